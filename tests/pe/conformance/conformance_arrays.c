/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_arrays.c - where the answer goes: arrays of all sizes, and in all kinds of memory.
 *
 * Windows documents only that count says how many entries there is room for. Wine's own tests
 * have found on Windows that pages which do not fit stay written. Windows probes the pointers
 * before it begins, so that a call with a bad one fails and changes nothing. With an array of
 * which only the unneeded end is bad, a call may fail or succeed.
 */
#include <stdlib.h>
#include <string.h>
#include "conformance.h"

#define NR_PAGES 64
#define MANY_PAGES 2048
#define NO_ACCESS STATUS_ACCESS_VIOLATION

static bool set[MANY_PAGES], copy[MANY_PAGES];

static void write_set(char *base, unsigned int nr_pages)
{
    unsigned int i;

    for (i = 0; i < nr_pages; i++)
        if (set[i])
            write_page(base, i);
}

/* Runs and single pages, some of them latched, and every limit from one entry to one too many. */
void test_limits(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    unsigned int i, room, pattern, nr;

    for (pattern = 0; pattern < 4; pattern++) {
        for (i = 0, nr = 0; i < NR_PAGES; i++) {
            copy[i] = pattern == 0 ? i % 2 : pattern == 1 ? i % 5 < 3 : pattern == 2 ? i % 16 > 3 : true;
            nr += copy[i];
        }
        for (room = 1; room <= nr + 1; room++) {
            memcpy(set, copy, sizeof(set));
            write_set(base, NR_PAGES);
            if (room & 1) {
                protect_pages(base, room % 32, 1 + room % 19, PAGE_READONLY);
                protect_pages(base, room % 32, 1 + room % 19, PAGE_READWRITE);
            }
            expect_set(base, 0, NR_PAGES, room, KEEP, set);
            expect_set(base, room % 7, NR_PAGES - 20, room, RESET, set);
            expect_set(base, 0, NR_PAGES, room, RESET, set);
            expect_set(base, 0, NR_PAGES, MAX_RESULTS, RESET, set);
            expect_pages(base, 0, NR_PAGES, KEEP, "");
        }
    }
    free_pages(base);

    /* More separate runs than any buffer of the system holds, with arrays that end in the middle of them. */
    base = watch_pages(MANY_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    for (pattern = 0; pattern < 12; pattern++) {
        static const unsigned int rooms[] = { 255, 256, 257, 511, 512, 513, 600, 767, 1000, 1, 1023, 1024 };

        for (i = 0; i < MANY_PAGES; i++)
            set[i] = pattern % 3 == 0 ? i % 2 : pattern % 3 == 1 ? i % 3 != 1 : i % 7 < 3 && i > 900;
        write_set(base, MANY_PAGES);
        for (i = 1; pattern >= 6 && i < MANY_PAGES; i += 3) {
            protect_pages(base, i, 1, PAGE_READONLY);
            protect_pages(base, i, 1, PAGE_READWRITE);
        }
        expect_set(base, 0, MANY_PAGES, rooms[pattern], KEEP, set);
        expect_set(base, 0, MANY_PAGES, MAX_RESULTS, KEEP, set);
        expect_set(base, 0, MANY_PAGES, rooms[pattern], RESET, set);
        expect_set(base, 100, MANY_PAGES - 200, 512, RESET, set);
        expect_set(base, 0, MANY_PAGES, MAX_RESULTS, KEEP, set);
        expect_set(base, 0, MANY_PAGES, MAX_RESULTS, RESET, set);
        expect_pages(base, 0, MANY_PAGES, KEEP, "");
    }
    free_pages(base);
}

/*
 * Compares an answer in any array with want: the pages of want must be there, those from first
 * to last may be, because the answer itself was written there.
 */
static void expect_array(char *base, PVOID *array, ULONG_PTR count, unsigned int first, unsigned int last,
                         const bool *want, const char *what)
{
    unsigned int i, wrong = 0;
    ULONG_PTR at = 0;

    for (i = 0; i < NR_PAGES; i++) {
        bool got = at < count && array[at] == base + PAGES(i);

        at += got;
        if (got != want[i] && (i < first || i > last))
            wrong++;
    }
    ok(at == count && !wrong, "%s: %u entries, the first %u ascend and are pages, %u wrong", what,
       (unsigned int)count, (unsigned int)at, wrong);
}

/* The array lies in the queried memory; with with_numbers, count and granularity do too. */
static void test_array_inside(char *base, SIZE_T offset, ULONG flags, bool with_numbers)
{
    unsigned int first = offset / PAGE_BYTES, last = (offset + NR_PAGES * sizeof(PVOID) - 1) / PAGE_BYTES;
    PVOID *array = (PVOID *)(base + offset);
    struct {
        ULONG_PTR count;
        ULONG granularity;
    } outside, *numbers = &outside;
    struct answer answer;
    NTSTATUS status;
    unsigned int i;

    for (i = 0; i < NR_PAGES; i++)
        set[i] = i % 4 == 1 || i > 50;
    clean(base, NR_PAGES);
    write_set(base, NR_PAGES);
    if (with_numbers)
        numbers = (void *)(base + PAGES(first) - 64);
    numbers->count = NR_PAGES;
    if (with_numbers)
        first--;
    status = NtGetWriteWatch(GetCurrentProcess(), flags, base, PAGES(NR_PAGES), array, &numbers->count,
                             &numbers->granularity);
    ok(!status && numbers->granularity == PAGE_BYTES, "status %#lx, granularity %#lx", (DWORD)status,
       numbers->granularity);
    expect_array(base, array, numbers->count, first, last, set, "the array inside");

    /* Then a query with an array outside: after a reset it reports only the array's own pages, if any. */
    query_native(&answer, KEEP, base, PAGES(NR_PAGES), MAX_RESULTS);
    for (i = 0; i < NR_PAGES && (flags & RESET); i++)
        set[i] = false;
    expect_array(base, results, answer.count, first, last, set, "the query after it");
}

void test_arrays(void)
{
    static const SIZE_T offsets[] = { 0x1000, 0x8000, 0x8f00, 0x20ff8, 0x3fe00 };
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    size_t i;

    for (i = 0; i < ARRAYSIZE(offsets); i++) {
        test_array_inside(base, offsets[i], KEEP, false);
        test_array_inside(base, offsets[i], RESET, false);
        test_array_inside(base, offsets[i], KEEP, true);
        test_array_inside(base, offsets[i], RESET, true);
    }
    free_pages(base);
    /* The call is the first to touch these pages. */
    base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    test_array_inside(base, 0x8f00, RESET, false);
    free_pages(base);
}

#define NR_DIRTY 900 /* more than the 512 or 1024 entries that a page holds */

static PVOID *pages_for_array(DWORD second_protection)
{
    char *array = VirtualAlloc(NULL, PAGES(4), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    const SIZE_T first_page = PAGE_BYTES - 256 * sizeof(PVOID);
    DWORD old;

    VirtualProtect(array + PAGES(1), PAGES(3), second_protection, &old);
    return (PVOID *)(array + first_page); /* 256 entries fit before the bad page */
}

static void free_array(PVOID *array)
{
    free_pages((void *)((ULONG_PTR)array & ~(ULONG_PTR)(PAGE_BYTES - 1)));
}

static void test_unwritable_array(char *base, DWORD protect, ULONG flags)
{
    PVOID *array = pages_for_array(protect);
    ULONG_PTR count = MANY_PAGES;
    ULONG granularity = SENTINEL;
    NTSTATUS status;
    UINT ret;

    write_set(base, MANY_PAGES);
    status =
        NtGetWriteWatch(GetCurrentProcess(), flags, base, PAGES(MANY_PAGES), array, &count, &granularity);
    ok((DWORD)status == NO_ACCESS && count == MANY_PAGES && granularity == SENTINEL,
       "protection %#lx: status %#lx, count %u, granularity %#lx", protect, (DWORD)status,
       (unsigned int)count, granularity);
    expect_set(base, 0, MANY_PAGES, MAX_RESULTS, KEEP, set);
    SetLastError(SENTINEL);
    ret = GetWriteWatch(flags, base, PAGES(MANY_PAGES), array, &count, &granularity);
    ok(ret == ~0u && GetLastError() == ERROR_NOACCESS, "protection %#lx: got %#x, error %lu", protect, ret,
       GetLastError());
    expect_set(base, 0, MANY_PAGES, MAX_RESULTS, KEEP, set);

    /* The array is good as far as it is needed: the call may fail or succeed. */
    ok(!ResetWriteWatch(base, PAGES(MANY_PAGES)), "error %lu", GetLastError());
    memset(copy, 0, sizeof(copy));
    copy[7] = copy[1000] = true;
    write_page(base, 7);
    write_page(base, 1000);
    count = MANY_PAGES;
    ret = GetWriteWatch(flags, base, PAGES(MANY_PAGES), array, &count, &granularity);
    if (!ret) {
        ok(count == 2 && array[0] == base + PAGES(7) && array[1] == base + PAGES(1000), "%u pages, %p, %p",
           (unsigned int)count, array[0], array[1]);
        copy[7] = copy[1000] = !(flags & RESET);
    }
    expect_set(base, 0, MANY_PAGES, MAX_RESULTS, RESET, copy);
    free_array(array);
}

/* Makes a call with one bad pointer, which must fail and change nothing. */
static void expect_fault(char *base, ULONG flags, PVOID *array, ULONG_PTR *count, ULONG *granularity,
                         const char *what)
{
    NTSTATUS status;
    UINT ret;

    status = NtGetWriteWatch(GetCurrentProcess(), flags, base, PAGES(MANY_PAGES), array, count, granularity);
    ok((DWORD)status == NO_ACCESS, "%s, flags %lu: status %#lx", what, flags, (DWORD)status);
    SetLastError(SENTINEL);
    ret = GetWriteWatch(flags, base, PAGES(MANY_PAGES), array, count, granularity);
    ok(ret == ~0u && GetLastError() == ERROR_NOACCESS, "%s, flags %lu: got %#x, error %lu", what, flags, ret,
       GetLastError());
    expect_set(base, 0, MANY_PAGES, MAX_RESULTS, KEEP, set);
}

static void test_bad_numbers(char *base)
{
    char *nowhere = VirtualAlloc(NULL, PAGES(2), MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);
    char *readonly = VirtualAlloc(NULL, PAGES(2), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    ULONG_PTR count = MANY_PAGES;
    ULONG granularity;
    DWORD old;
    ULONG flags;

    *(ULONG_PTR *)readonly = MANY_PAGES;
    VirtualProtect(readonly, PAGES(2), PAGE_READONLY, &old);
    write_set(base, MANY_PAGES);
    for (flags = KEEP; flags <= RESET; flags++) {
        expect_fault(base, flags, results, (ULONG_PTR *)nowhere, &granularity, "count in no memory");
        expect_fault(base, flags, results, (ULONG_PTR *)8, &granularity, "count at 8");
        expect_fault(base, flags, results, (ULONG_PTR *)readonly, &granularity, "count read-only");
        expect_fault(base, flags, results, &count, (ULONG *)nowhere, "granularity in no memory");
        expect_fault(base, flags, results, &count, (ULONG *)8, "granularity at 8");
        expect_fault(base, flags, results, &count, (ULONG *)readonly, "granularity read-only");
        expect_fault(base, flags, (PVOID *)nowhere, &count, &granularity, "array in no memory");
        expect_fault(base, flags, (PVOID *)8, &count, &granularity, "array at 8");
        expect_fault(base, flags, (PVOID *)readonly, &count, &granularity, "array read-only");
        ok(count == MANY_PAGES, "count became %u", (unsigned int)count);
    }
    ok(*(ULONG_PTR *)readonly == MANY_PAGES, "read-only memory was written");
    VirtualFree(nowhere, 0, MEM_RELEASE);
    VirtualFree(readonly, 0, MEM_RELEASE);
}

void test_bad_pointers(void)
{
    char *base;
    unsigned int i;

    if (wwtest.stock || is_wow64()) {
        /* Wine faults with its lock held and signals blocked, and leaves both so: the next thread that
         * allocates memory never gets the lock. WoW64 copies the array after everything is reset. */
        skip("bad pointers are more than this system can take");
        return;
    }
    base = watch_pages(MANY_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    memset(set, 0, sizeof(set));
    for (i = 0; i < NR_DIRTY; i++)
        set[2 * i + 1] = true;
    test_unwritable_array(base, PAGE_READONLY, KEEP);
    test_unwritable_array(base, PAGE_READONLY, RESET);
    test_unwritable_array(base, PAGE_NOACCESS, KEEP);
    test_unwritable_array(base, PAGE_NOACCESS, RESET);
    test_bad_numbers(base);
    free_pages(base);
}
