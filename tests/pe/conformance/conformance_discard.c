/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_discard.c - giving up contents, and locking pages in memory.
 *
 * Windows documents that after MEM_RESET, MEM_RESET_UNDO and DiscardVirtualMemory contents are
 * undefined, and protections and commitment unchanged; it says nothing of write watches. So a
 * page that was written may be reported after them or not, unless VirtualProtect has latched it
 * (the two-level model); a clean page stays clean, and no write after them may be missed.
 */
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16

#ifndef MEM_RESET_UNDO
#define MEM_RESET_UNDO 0x01000000
#endif

typedef DWORD(WINAPI *discard_fn)(PVOID, SIZE_T);

static discard_fn discard_memory;

/* The calls that give up contents. False: this system does not have the call. */
static bool by_reset(char *addr, SIZE_T size)
{
    return VirtualAlloc(addr, size, MEM_RESET, PAGE_READWRITE) == addr;
}

static bool by_reset_noaccess(char *addr, SIZE_T size)
{
    return VirtualAlloc(addr, size, MEM_RESET, PAGE_NOACCESS) == addr;
}

static bool by_reset_and_undo(char *addr, SIZE_T size)
{
    /* MEM_RESET_UNDO may fail because the contents are lost, with ERROR_SUCCESS or another error. */
    if (VirtualAlloc(addr, size, MEM_RESET, PAGE_READWRITE) != addr)
        return false;
    return VirtualAlloc(addr, size, MEM_RESET_UNDO, PAGE_READWRITE) ||
           GetLastError() != ERROR_INVALID_PARAMETER;
}

static bool by_discard(char *addr, SIZE_T size)
{
    return discard_memory && !discard_memory(addr, size);
}

/* Pages 2 to 3 dirty, 4 to 5 latched, 6 clean, 7 latched and dirty again, 9 dirty outside the range. */
static void prepare(char *base)
{
    write_range(base, 4, 4);
    protect_pages(base, 4, 2, PAGE_READONLY);
    protect_pages(base, 4, 2, PAGE_READWRITE);
    ok(!ResetWriteWatch(base + PAGES(6), PAGES(2)), "error %lu", GetLastError());
    write_page(base, 7);
    protect_pages(base, 7, 1, PAGE_NOACCESS);
    protect_pages(base, 7, 1, PAGE_READWRITE);
    write_range(base, 2, 2);
    write_page(base, 7);
    write_page(base, 9);
}

static void test_way(bool (*give_up)(char *, SIZE_T), const char *what)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    MEMORY_BASIC_INFORMATION info;
    unsigned int i;

    prepare(base);
    if (!give_up(base + PAGES(2), PAGES(6))) {
        skip("no %s, error %lu", what, GetLastError());
        free_pages(base);
        return;
    }
    ok(VirtualQuery(base, &info, sizeof(info)) && info.State == MEM_COMMIT &&
           info.Protect == PAGE_READWRITE && info.RegionSize == PAGES(NR_PAGES),
       "%s: state %#lx, protection %#lx, size %#lx", what, info.State, info.Protect, (DWORD)info.RegionSize);
    expect_between(base, NR_PAGES, KEEP, "4-5 7 9", "2-5 7 9");
    for (i = 0; i < NR_PAGES; i++)
        read_page(base, i);
    expect_between(base, NR_PAGES, KEEP, "4-5 7 9", "2-5 7 9");

    /* A write of zeros counts, at once and after a reset. */
    *(volatile char *)(base + PAGES(2)) = 0;
    *(volatile char *)(base + PAGES(6)) = 0;
    expect_between(base, NR_PAGES, RESET, "2 4-7 9", "2-7 9");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    *(volatile char *)(base + PAGES(3)) = 0;
    write_page(base, 6);
    expect_pages(base, 0, NR_PAGES, RESET, "3 6");

    /* Pages that were written, reset, given up and reset again. */
    write_range(base, 0, NR_PAGES);
    clean(base, NR_PAGES);
    ok(give_up(base + PAGES(4), PAGES(4)), "%s: error %lu", what, GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    read_page(base, 5);
    write_page(base, 6);
    write_page(base, 8);
    expect_pages(base, 0, NR_PAGES, RESET, "6 8");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    free_pages(base);
}

/* Contents of uncommitted pages cannot be given up; Wine does not check, so the call may succeed. */
static void test_refused(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE, PAGE_READWRITE);

    commit_pages(base, 0, 8);
    write_range(base, 2, 2);
    VirtualAlloc(base + PAGES(6), PAGES(4), MEM_RESET, PAGE_READWRITE); /* half of it is not committed */
    expect_pages(base, 0, NR_PAGES, KEEP, "2-3");
    ok(!VirtualAlloc(base, PAGES(NR_PAGES + 1), MEM_RESET, PAGE_READWRITE), "MEM_RESET past the end");
    expect_pages(base, 0, NR_PAGES, KEEP, "2-3");
    ok(read_page(base, 2) == 0x55, "wrong content");
    expect_pages(base, 0, NR_PAGES, RESET, "2-3");
    write_page(base, 7);
    expect_pages(base, 0, NR_PAGES, RESET, "7");
    free_pages(base);
}

void test_discard(void)
{
    HMODULE kernelbase = GetModuleHandleA("kernelbase.dll");

    discard_memory = (discard_fn)(void (*)(void))GetProcAddress(kernelbase, "DiscardVirtualMemory");
    test_way(by_reset, "MEM_RESET");
    test_way(by_reset_noaccess, "MEM_RESET with PAGE_NOACCESS");
    test_way(by_reset_and_undo, "MEM_RESET_UNDO");
    test_way(by_discard, "DiscardVirtualMemory");
    test_refused();
}

/*
 * VirtualLock makes pages resident. Windows reads them to do so; with mlock(), which Wine calls,
 * the kernel writes to writable ones. So locked pages may be reported; written ones must be,
 * pages outside the range must not, and a locked page is armed and marked like any other.
 */
void test_lock(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_page(base, 3);
    write_page(base, 10);
    if (!VirtualLock(base + PAGES(2), PAGES(4))) {
        skip("VirtualLock is refused, error %lu", GetLastError());
        free_pages(base);
        return;
    }
    expect_between(base, NR_PAGES, RESET, "3 10", "2-5 10");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 4);
    *(volatile char *)(base + PAGES(5)) = 0;
    read_page(base, 2);
    expect_pages(base, 0, NR_PAGES, RESET, "4-5");
    ok(VirtualUnlock(base + PAGES(2), PAGES(4)), "VirtualUnlock: error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 2);
    expect_pages(base, 0, NR_PAGES, RESET, "2");

    /* Armed pages, pages that may only be read, and a protection that changes while they are locked. */
    ok(VirtualLock(base, PAGES(6)), "VirtualLock: error %lu", GetLastError());
    expect_between(base, NR_PAGES, RESET, "", "0-5");
    write_page(base, 1);
    protect_pages(base, 0, 4, PAGE_READONLY);
    ok(VirtualUnlock(base, PAGES(6)), "VirtualUnlock: error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, RESET, "1");
    ok(VirtualLock(base, PAGES(4)), "VirtualLock: error %lu", GetLastError());
    expect_between(base, NR_PAGES, KEEP, "", "0-3");
    VirtualUnlock(base, PAGES(4));
    protect_pages(base, 0, 4, PAGE_READWRITE);
    clean(base, NR_PAGES);
    write_page(base, 0);
    expect_pages(base, 0, NR_PAGES, KEEP, "0");

    /* A release of locked pages. */
    ok(VirtualLock(base, PAGES(2)), "VirtualLock: error %lu", GetLastError());
    free_pages(base);
    expect_pages(base, 0, NR_PAGES, KEEP, "failed 0xc000000d");
}
