/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Windows program of the test loader: it has no C runtime, imports five functions
 * and no others, and expects the same answers from the loader, Wine and Windows. Its
 * entry point returns 0, or the line of the first check that fails.
 */
#include <windows.h>

#define PAGE 0x1000
#define NR_PAGES 16
#define SIZE (NR_PAGES * PAGE)
#define WATCHED (MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH)
#define ALL ((1u << NR_PAGES) - 1)

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            return __LINE__;                                                                                 \
        }                                                                                                    \
    } while (0)

static char *base;

static void write_pages(unsigned int pages)
{
    for (int i = 0; i < NR_PAGES; i++) {
        if (pages >> i & 1) {
            *(volatile char *)(base + i * PAGE + i * 17) = 1;
        }
    }
}

/* The written pages of the area, a bit each; bit 31 means a failed call or a wrong address. */
static unsigned int get_pages(DWORD flags)
{
    ULONG_PTR count = NR_PAGES;
    void *addresses[NR_PAGES];
    ULONG granularity = 0;
    unsigned int pages = 0;

    if (GetWriteWatch(flags, base, SIZE, addresses, &count, &granularity) || granularity != PAGE) {
        return 1u << 31;
    }
    for (ULONG_PTR i = 0; i < count; i++) {
        SIZE_T offset = (char *)addresses[i] - base;

        pages |= offset % PAGE || offset >= SIZE ? 1u << 31 : 1u << offset / PAGE;
    }
    return pages;
}

static int check_allocate(void)
{
    CHECK(!VirtualAlloc(NULL, 0, WATCHED, PAGE_READWRITE));
    CHECK(!VirtualAlloc(NULL, SIZE, WATCHED, 0));
    CHECK(!VirtualAlloc(NULL, SIZE, MEM_WRITE_WATCH, PAGE_READWRITE));
    base = VirtualAlloc(NULL, SIZE, WATCHED, PAGE_READWRITE);
    CHECK(base);
    CHECK(!((ULONG_PTR)base & 0xffff));
    CHECK(!VirtualAlloc(base, SIZE, MEM_RESERVE, PAGE_READWRITE));
    CHECK(base[0] == 0 && base[SIZE - 1] == 0);
    CHECK(get_pages(0) == 0);
    return 0;
}

static int check_get(void)
{
    ULONG_PTR count = 2;
    ULONG granularity;
    void *addresses[3] = { NULL, NULL, base };

    write_pages(0x8421);
    CHECK(get_pages(0) == 0x8421);
    CHECK(get_pages(0) == 0x8421);
    /* With a short array other pages stay dirty, and memory beyond the array is not touched. */
    CHECK(!GetWriteWatch(WRITE_WATCH_FLAG_RESET, base, SIZE, addresses, &count, &granularity));
    CHECK(count == 2 && addresses[0] == base && addresses[1] == base + 5 * PAGE && addresses[2] == base);
    CHECK(get_pages(WRITE_WATCH_FLAG_RESET) == 0x8400);
    CHECK(get_pages(0) == 0);
    return 0;
}

static int check_arguments(void)
{
    ULONG_PTR count = 1, none = 0;
    ULONG granularity;
    void *address;

    CHECK(GetWriteWatch(0, base, SIZE, &address, NULL, &granularity) == ~0u);
    CHECK(GetWriteWatch(0, base, SIZE, &address, &count, NULL) == ~0u);
    CHECK(GetWriteWatch(0, base, SIZE, NULL, &count, &granularity) == ~0u);
    CHECK(GetWriteWatch(0, base, SIZE, &address, &none, &granularity) == ~0u);
    CHECK(GetWriteWatch(2, base, SIZE, &address, &count, &granularity) == ~0u);
    CHECK(GetWriteWatch(0, base, 0, &address, &count, &granularity) == ~0u);
    CHECK(GetWriteWatch(0, base, SIZE + 1, &address, &count, &granularity) == ~0u);
    CHECK(GetWriteWatch(0, &count, 1, &address, &count, &granularity) == ~0u);
    CHECK(ResetWriteWatch(base, 0) == ~0u);
    CHECK(ResetWriteWatch(base, SIZE + 1) == ~0u);
    CHECK(count == 1);
    return 0;
}

static int check_reset(void)
{
    write_pages(ALL);
    CHECK(ResetWriteWatch(base + PAGE, 3 * PAGE) == 0);
    CHECK(get_pages(0) == (ALL & ~0xeu));
    CHECK(ResetWriteWatch(base, SIZE) == 0);
    CHECK(get_pages(0) == 0);
    return 0;
}

static int check_protect(void)
{
    DWORD old;

    CHECK(!VirtualProtect(base, PAGE, PAGE_READONLY, NULL));
    CHECK(!VirtualProtect(base, PAGE, 0, &old));
    write_pages(0x3);
    CHECK(VirtualProtect(base, PAGE, PAGE_READONLY, &old) && old == PAGE_READWRITE);
    CHECK(get_pages(0) == 0x3);
    CHECK(VirtualProtect(base, SIZE, PAGE_NOACCESS, &old) && old == PAGE_READONLY);
    CHECK(get_pages(WRITE_WATCH_FLAG_RESET) == 0x3);
    CHECK(VirtualProtect(base + PAGE, SIZE - PAGE, PAGE_READWRITE, &old) && old == PAGE_NOACCESS);
    CHECK(VirtualProtect(base, PAGE, PAGE_READWRITE, &old) && old == PAGE_NOACCESS);
    write_pages(0x4);
    CHECK(get_pages(WRITE_WATCH_FLAG_RESET) == 0x4);
    return 0;
}

static int check_decommit(void)
{
    DWORD old;

    /* VirtualProtect moves dirty bits into the bitmap of the allocation, which decommitting does not clear.
     */
    write_pages(0x1);
    CHECK(VirtualProtect(base, PAGE, PAGE_READWRITE, &old));
    write_pages(0x7);
    CHECK(VirtualFree(base, 2 * PAGE, MEM_DECOMMIT));
    CHECK(get_pages(0) == 0x5);
    CHECK(!VirtualProtect(base, PAGE, PAGE_READWRITE, &old));
    CHECK(VirtualAlloc(base, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE) == base);
    CHECK(base[0] == 0 && base[PAGE] == 0);
    CHECK(get_pages(WRITE_WATCH_FLAG_RESET) == 0x5);
    write_pages(0x2);
    CHECK(get_pages(WRITE_WATCH_FLAG_RESET) == 0x2);
    return 0;
}

static int check_free(void)
{
    CHECK(!VirtualFree(base, SIZE, MEM_RELEASE));
    CHECK(!VirtualFree(base + PAGE, 0, MEM_RELEASE));
    CHECK(!VirtualFree(base, 0, 0));
    CHECK(VirtualFree(base, 0, MEM_RELEASE));
    CHECK(get_pages(0) == 1u << 31);
    CHECK(ResetWriteWatch(base, SIZE) == ~0u);
    CHECK(!VirtualFree(base, 0, MEM_RELEASE));
    return 0;
}

/* Addresses in data: they are right only if the loader relocates. */
static int (*const volatile checks[])(void) = {
    check_allocate, check_get, check_arguments, check_reset, check_protect, check_decommit, check_free,
};

int guest_main(void);
int guest_main(void)
{
    for (unsigned int i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        int line = checks[i]();

        if (line) {
            return line;
        }
    }
    return 0;
}
