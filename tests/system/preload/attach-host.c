/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attach-host PATH/ntdll.so patched|untouched: opens a fake ntdll.so as Wine's
 * loader does, and checks through its table, in its calling convention, that
 * the preload answers write watches, or that it has changed nothing.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "fake-ntdll.h"

#define PAGE 4096
#define NR_PAGES 16

static int nr_failed;

#define ok(cond, ...)                                                                                        \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            nr_failed++;                                                                                     \
            printf("%s:%d: failed: ", __FILE__, __LINE__);                                                   \
            printf(__VA_ARGS__);                                                                             \
            printf("\n");                                                                                    \
        }                                                                                                    \
    } while (0)

typedef __typeof__(&NtAllocateVirtualMemory) allocate_fn;
typedef __typeof__(&NtAllocateVirtualMemoryEx) allocate_ex_fn;
typedef __typeof__(&NtFreeVirtualMemory) free_fn;
typedef __typeof__(&NtProtectVirtualMemory) protect_fn;
typedef __typeof__(&NtGetWriteWatch) get_fn;
typedef __typeof__(&NtResetWriteWatch) reset_fn;

static void *const *table;

static int get(void *base, size_t size, uint32_t flags, void **pages, uintptr_t *count)
{
    uint32_t granularity = 0;
    int status = ((get_fn)table[AT_GET])(SELF, flags, base, size, pages, count, &granularity);

    ok(status || granularity == PAGE, "granularity %u", granularity);
    return status;
}

static void expect_pages(char *base, uint32_t flags, const char *expected, int line)
{
    void *pages[NR_PAGES];
    uintptr_t count = NR_PAGES;
    char text[128] = "";
    int status = get(base, NR_PAGES * PAGE, flags, pages, &count);

    for (uintptr_t i = 0; !status && i < count; i++) {
        sprintf(text + strlen(text), "%s%d", i ? " " : "", (int)(((char *)pages[i] - base) / PAGE));
    }
    ok(!status && !strcmp(text, expected), "line %d: status %x, pages '%s' instead of '%s'", line, status,
       text, expected);
}

static char *allocate(void)
{
    void *base = NULL;
    size_t size = NR_PAGES * PAGE;
    int status = ((allocate_fn)table[AT_ALLOCATE])(
        SELF, &base, 0, &size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);

    ok(!status && base, "allocate: %x", status);
    return base;
}

/* A call of the original that fails must not change the watch. */
static void check_failures(char *base)
{
    void *addr = base;
    size_t size = 1;
    uint32_t old = 7;

    ok(((free_fn)table[AT_FREE])(SELF, &addr, &size, MEM_RELEASE) == STATUS_FAKE, "release did not fail");
    expect_pages(base, 0, "3", __LINE__);
    size = 0;
    ok(((free_fn)table[AT_FREE])(SELF, &addr, &size, MEM_DECOMMIT) == STATUS_FAKE, "decommit did not fail");
    expect_pages(base, 0, "3", __LINE__);
    size = NR_PAGES * PAGE;
    ok(((protect_fn)table[AT_PROTECT])(SELF, &addr, &size, FAKE_FAIL, &old) == STATUS_FAKE && old == 7,
       "protect did not fail, or changed old to %u", old);
    expect_pages(base, 0, "3", __LINE__);
}

/* A handle to this process works as the pseudo handle does. With other handles calls fail with Windows'
 * statuses, and tell nothing of another process's watches. */
static void check_handles(char *base)
{
    static const struct {
        uintptr_t handle;
        int status;
    } rows[] = {
        { FAKE_OWN, 0 },
        { FAKE_OWN_MAY_LOOK, STATUS_ACCESS_DENIED },
        { FAKE_OTHER, STATUS_ACCESS_DENIED },
        { FAKE_EVENT, STATUS_OBJECT_TYPE_MISMATCH },
        { 0, STATUS_INVALID_HANDLE },
        { 47, STATUS_INVALID_HANDLE },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status = ((reset_fn)table[AT_RESET])((void *)rows[i].handle, base, PAGE);

        ok(status == rows[i].status, "handle %d: reset %x", (int)rows[i].handle, status);
    }
}

static void check_cycle(void)
{
    char *base = allocate();
    void *addr = base, *pages[1];
    size_t size = NR_PAGES * PAGE;
    uintptr_t count = 1;
    uint32_t old;

    expect_pages(base, 0, "", __LINE__);
    base[2 * PAGE] = base[9 * PAGE] = 1;
    expect_pages(base, 0, "2 9", __LINE__);
    expect_pages(base, 1, "2 9", __LINE__);
    expect_pages(base, 0, "", __LINE__);
    base[3 * PAGE] = 1;
    check_failures(base);

    /* Protecting latches page 3; decommitting drops page 4 with its dirty bit. */
    ok(!((protect_fn)table[AT_PROTECT])(SELF, &addr, &size, PAGE_READWRITE, &old) && old == 4, "protect");
    base[4 * PAGE] = 1;
    expect_pages(base, 0, "3 4", __LINE__);
    addr = base + 2 * PAGE;
    size = 4 * PAGE;
    ok(!((free_fn)table[AT_FREE])(SELF, &addr, &size, MEM_DECOMMIT), "decommit");
    expect_pages(base, 0, "3", __LINE__);
    base[5 * PAGE] = 1;
    expect_pages(base, 0, "3 5", __LINE__);
    ok(!((reset_fn)table[AT_RESET])(SELF, base, NR_PAGES * PAGE), "reset");
    expect_pages(base, 0, "", __LINE__);

    check_handles(base);
    ok(get(base, (NR_PAGES + 1) * PAGE, 0, pages, &count) == STATUS_INVALID_PARAMETER, "beyond the end");

    addr = base;
    size = 0;
    ok(!((free_fn)table[AT_FREE])(SELF, &addr, &size, MEM_RELEASE), "release");
    ok(get(base, PAGE, 0, pages, &count) == STATUS_FAKE, "released memory is still watched");
}

/* Wine carries out another process's requests without the table; the preload must notice them nevertheless.
 */
static void check_remote(void *ntdll)
{
    void (*protect)(void *, size_t) = (void (*)(void *, size_t))dlsym(ntdll, "fake_remote_protect");
    void (*drop)(void *, size_t) = (void (*)(void *, size_t))dlsym(ntdll, "fake_remote_drop");
    void (*release)(void *, size_t) = (void (*)(void *, size_t))dlsym(ntdll, "fake_remote_release");
    char *base = allocate();
    void *pages[1], *addr = base + 3 * PAGE;
    size_t size = 2 * PAGE;
    uintptr_t count = 1;

    base[3 * PAGE] = base[4 * PAGE] = 1;
    protect(base + 3 * PAGE, PAGE);
    ok(!((free_fn)table[AT_FREE])(SELF, &addr, &size, MEM_DECOMMIT), "decommit");
    expect_pages(base, 1, "3", __LINE__);

    /* A dropped page is clean, until it is written again. */
    base[5 * PAGE] = base[6 * PAGE] = 1;
    drop(base + 5 * PAGE, PAGE);
    expect_pages(base, 1, "6", __LINE__);
    base[5 * PAGE] = 0;
    expect_pages(base, 1, "5", __LINE__);

    /* Protected and dropped between two calls of the preload: it may have been written, so it is reported. */
    base[7 * PAGE] = 1;
    protect(base + 7 * PAGE, PAGE);
    drop(base + 7 * PAGE, PAGE);
    expect_pages(base, 1, "7", __LINE__);

    /* More changes than the queue has room for: all pages count as written once, so that no write is lost. */
    base[8 * PAGE] = 1;
    for (int i = 0; i < 2000; i++) {
        protect(base + 8 * PAGE, PAGE);
    }
    expect_pages(base, 1, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", __LINE__);
    expect_pages(base, 1, "", __LINE__);

    release(base, NR_PAGES * PAGE);
    ok(get(base, PAGE, 0, pages, &count) == STATUS_FAKE, "memory released from outside is still watched");
}

static void check_allocations(void)
{
    int *saw_flag = dlsym(RTLD_DEFAULT, "fake_saw_flag");
    void *base = NULL;
    size_t size = 3 * PAGE;
    uint32_t type = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;

    ok(((allocate_fn)table[AT_ALLOCATE])(SELF, &base, 0, &size, type, FAKE_FAIL) == STATUS_FAKE && !base,
       "an allocation that fails");
    ok(!((allocate_ex_fn)table[AT_ALLOCATE_EX])(SELF, &base, &size, type, PAGE_READWRITE, NULL, 0) && base,
       "allocate_ex");
    ok(saw_flag && *saw_flag == 0, "the flag came through");
    ((char *)base)[PAGE] = 1;
    ok(!((reset_fn)table[AT_RESET])(SELF, base, 3 * PAGE), "reset after allocate_ex");
    base = NULL;
    ok(!((allocate_fn)table[AT_ALLOCATE])((void *)FAKE_OTHER, &base, 0, &size, type, PAGE_READWRITE) &&
           saw_flag && *saw_flag == 1,
       "another process's allocation lost its flag");
}

int main(int argc, char **argv)
{
    void *ntdll = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;

    if (!ntdll) {
        printf("usage: attach-host PATH/ntdll.so patched|untouched: %s\n", dlerror());
        return 2;
    }
    table = dlsym(ntdll, "fake_table");
    if (!strcmp(argv[2], "patched")) {
        check_cycle();
        check_allocations();
        check_remote(ntdll);
    } else {
        ok(table[AT_FREE] == dlsym(ntdll, "NtFreeVirtualMemory"), "a slot was changed");
        ok(table[AT_RESET] == dlsym(ntdll, "NtResetWriteWatch"), "a slot was changed");
    }
    printf("%s %s: %d failed\n", argv[1], argv[2], nr_failed);
    return nr_failed != 0;
}
