/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_args.c - what the two calls refuse, in which order, and what rounding does.
 *
 * Each row of a table is tried with ntdll and with kernel32. Windows documents only that the
 * calls fail; Wine's own tests have found the codes and their order on Windows. Windows may use
 * one of the numbered STATUS_INVALID_PARAMETER_n, for which kernel32 has one error.
 */
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16
#define SIZE PAGES(NR_PAGES)
#define COUNT 64

#define NULL_COUNT 1
#define NULL_GRANULARITY 2
#define NULL_ADDRESSES 4
#define NULL_ALL (NULL_COUNT | NULL_GRANULARITY | NULL_ADDRESSES)

enum place { WATCHED, PLAIN, IMAGE, STACK, FREED, NOWHERE, NR_PLACES };

static char *places[NR_PLACES];

#define REFUSED STATUS_INVALID_PARAMETER
#define NO_ACCESS STATUS_ACCESS_VIOLATION

struct get_case {
    const char *what;
    enum place place;
    SIZE_T offset, size;
    ULONG flags;
    ULONG_PTR count;
    unsigned int nulls;
    DWORD status;
    bool stock_differs;
};

static const struct get_case get_cases[] = {
    /* One thing wrong. */
    { "no count", WATCHED, 0, SIZE, 0, COUNT, NULL_COUNT, NO_ACCESS, false },
    { "no granularity", WATCHED, 0, SIZE, 0, COUNT, NULL_GRANULARITY, NO_ACCESS, false },
    { "no addresses", WATCHED, 0, SIZE, 0, COUNT, NULL_ADDRESSES, NO_ACCESS, false },
    { "count 0", WATCHED, 0, SIZE, 0, 0, 0, REFUSED, false },
    { "size 0", WATCHED, 0, 0, 0, COUNT, 0, REFUSED, false },
    { "flag 2", WATCHED, 0, SIZE, 2, COUNT, 0, REFUSED, false },
    { "reset and flag 2", WATCHED, 0, SIZE, RESET | 2, COUNT, 0, REFUSED, false },
    { "flag 0x80000000", WATCHED, 0, SIZE, 0x80000000, COUNT, 0, REFUSED, false },
    { "all flags", WATCHED, 0, SIZE, ~0u, COUNT, 0, REFUSED, false },
    { "twice the size", WATCHED, 0, 2 * SIZE, 0, COUNT, 0, REFUSED, false },
    { "one byte too many", WATCHED, 0, SIZE + 1, 0, COUNT, 0, REFUSED, false },
    { "one page too many at the end", WATCHED, SIZE - 1, 2, 0, COUNT, 0, REFUSED, false },
    { "rounded past the end", WATCHED, SIZE - PAGE_BYTES, PAGE_BYTES + 1, 0, COUNT, 0, REFUSED, false },
    { "one byte before", WATCHED, (SIZE_T)-1, 2, 0, COUNT, 0, REFUSED, false },
    { "behind the end", WATCHED, SIZE, PAGE_BYTES, 0, COUNT, 0, REFUSED, false },
    { "unwatched memory", PLAIN, 0, SIZE, 0, COUNT, 0, REFUSED, false },
    { "an image", IMAGE, 0, PAGE_BYTES, 0, COUNT, 0, REFUSED, false },
    { "the stack", STACK, 0, PAGE_BYTES, 0, COUNT, 0, REFUSED, false },
    { "freed memory", FREED, 0, SIZE, 0, COUNT, 0, REFUSED, false },
    { "no base", NOWHERE, 0, SIZE, 0, COUNT, 0, REFUSED, false },
    { "no base, one byte", NOWHERE, 0, 1, 0, COUNT, 0, REFUSED, false },
    { "the last page there is", NOWHERE, (SIZE_T)-PAGE_BYTES, PAGE_BYTES, 0, COUNT, 0, REFUSED, false },
    { "size -1", WATCHED, 0, (SIZE_T)-1, 0, COUNT, 0, REFUSED, false },
    { "size -4096", WATCHED, 0, (SIZE_T)-PAGE_BYTES, 0, COUNT, 0, REFUSED, false },
    { "size half of all there is", WATCHED, 0, ~(SIZE_T)0 / 2, 0, COUNT, 0, REFUSED, false },
    /* Wine rounds before it checks: then this range is its first page only. */
    { "wraps around to its own first page", WATCHED, 2, (SIZE_T)-1, 0, COUNT, 0, REFUSED, true },
    { "wraps around to itself", WATCHED, PAGE_BYTES, (SIZE_T)-PAGE_BYTES, 0, COUNT, 0, REFUSED, false },
    /* Two things wrong: the status is that of the first. */
    { "no count, flag 2", WATCHED, 0, SIZE, 2, COUNT, NULL_COUNT, NO_ACCESS, false },
    { "no count, size 0", WATCHED, 0, 0, 0, COUNT, NULL_COUNT, NO_ACCESS, false },
    { "no count, unwatched", PLAIN, 0, SIZE, 0, COUNT, NULL_COUNT, NO_ACCESS, false },
    { "no granularity, count 0", WATCHED, 0, SIZE, 0, 0, NULL_GRANULARITY, NO_ACCESS, false },
    { "no granularity, size 0", WATCHED, 0, 0, 0, COUNT, NULL_GRANULARITY, NO_ACCESS, false },
    { "no granularity, flag 2", WATCHED, 0, SIZE, 2, COUNT, NULL_GRANULARITY, NO_ACCESS, false },
    { "no granularity, unwatched", PLAIN, 0, SIZE, 0, COUNT, NULL_GRANULARITY, NO_ACCESS, false },
    { "count 0, no addresses", WATCHED, 0, SIZE, 0, 0, NULL_ADDRESSES, REFUSED, false },
    { "size 0, no addresses", WATCHED, 0, 0, 0, COUNT, NULL_ADDRESSES, REFUSED, false },
    { "flag 2, no addresses", WATCHED, 0, SIZE, 2, COUNT, NULL_ADDRESSES, REFUSED, false },
    { "no addresses, unwatched", PLAIN, 0, SIZE, 0, COUNT, NULL_ADDRESSES, NO_ACCESS, false },
    { "no addresses, too long", WATCHED, 0, 2 * SIZE, 0, COUNT, NULL_ADDRESSES, NO_ACCESS, false },
    { "no addresses, no base", NOWHERE, 0, SIZE, 0, COUNT, NULL_ADDRESSES, NO_ACCESS, false },
    { "nothing at all", NOWHERE, 0, 0, ~0u, 0, NULL_ALL, NO_ACCESS, false },
};

struct reset_case {
    const char *what;
    enum place place;
    SIZE_T offset, size;
    bool stock_differs;
};

static const struct reset_case reset_cases[] = {
    { "size 0", WATCHED, 0, 0, false },
    { "twice the size", WATCHED, 0, 2 * SIZE, false },
    { "one byte too many", WATCHED, 0, SIZE + 1, false },
    { "rounded past the end", WATCHED, SIZE - 1, 2, false },
    { "one byte before", WATCHED, (SIZE_T)-1, 2, false },
    { "behind the end", WATCHED, SIZE, PAGE_BYTES, false },
    { "unwatched memory", PLAIN, 0, SIZE, false },
    { "an image", IMAGE, 0, PAGE_BYTES, false },
    { "the stack", STACK, 0, PAGE_BYTES, false },
    { "freed memory", FREED, 0, SIZE, false },
    { "no base", NOWHERE, 0, SIZE, false },
    { "size -1", WATCHED, 0, (SIZE_T)-1, false },
    { "size -4096", WATCHED, 0, (SIZE_T)-PAGE_BYTES, false },
    { "wraps around to its own first page", WATCHED, 2, (SIZE_T)-1, true },
};

static void open_places(char *stack)
{
    places[WATCHED] = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    places[PLAIN] = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    places[FREED] = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    places[IMAGE] = (char *)GetModuleHandleA(NULL);
    places[STACK] = stack;
    VirtualFree(places[FREED], 0, MEM_RELEASE);
}

static void close_places(void)
{
    free_pages(places[WATCHED]);
    free_pages(places[PLAIN]);
}

static bool is_numbered_refusal(NTSTATUS status)
{
    return (DWORD)status >= 0xc00000ef && (DWORD)status <= 0xc00000f4; /* STATUS_INVALID_PARAMETER_1 to _6 */
}

/* The outputs of a call, except results[]. */
struct outputs {
    ULONG_PTR count;
    ULONG granularity;
};

static struct outputs fill_outputs(const struct get_case *c)
{
    size_t i;

    for (i = 0; i < MAX_RESULTS; i++)
        results[i] = (PVOID)(ULONG_PTR)SENTINEL;
    return (struct outputs){ .count = c->count, .granularity = SENTINEL };
}

static void expect_untouched(const struct get_case *c, const struct outputs *out, const char *library)
{
    bool untouched = out->count == c->count && out->granularity == SENTINEL;
    size_t i;

    for (i = 0; untouched && i < MAX_RESULTS; i++)
        untouched = results[i] == (PVOID)(ULONG_PTR)SENTINEL;
    todo_if(wwtest.stock && c->stock_differs)
        ok(untouched, "%s: %s touched the outputs: count %u, granularity %#lx, first entry %p", c->what,
           library, (unsigned int)out->count, out->granularity, results[0]);
}

/* Tries one row, with more flags added to its own; the calls must fail and change nothing. */
static void put_get_case(const struct get_case *c, ULONG more_flags)
{
    DWORD error = c->status == NO_ACCESS ? ERROR_NOACCESS : ERROR_INVALID_PARAMETER;
    char *base = (char *)((ULONG_PTR)places[c->place] + c->offset);
    ULONG flags = c->flags | more_flags;
    struct outputs out = fill_outputs(c);
    ULONG_PTR *count = c->nulls & NULL_COUNT ? NULL : &out.count;
    ULONG *granularity = c->nulls & NULL_GRANULARITY ? NULL : &out.granularity;
    PVOID *addresses = c->nulls & NULL_ADDRESSES ? NULL : results;
    /* The WoW64 layer passes a granularity of its own to the call, and notices that this pointer is NULL
     * last. */
    bool late = is_wow64() && (c->nulls & NULL_GRANULARITY);
    NTSTATUS status;
    UINT ret;

    status = NtGetWriteWatch(GetCurrentProcess(), flags, base, c->size, addresses, count, granularity);
    todo_if(wwtest.stock && c->stock_differs)
        ok((DWORD)status == c->status || (late && (DWORD)status == REFUSED) ||
               broken(is_numbered_refusal(status)) || broken((DWORD)status == NO_ACCESS),
           "%s, flags %#lx: expected status %#lx, got %#lx", c->what, flags, c->status, (DWORD)status);
    expect_untouched(c, &out, "ntdll");

    out = fill_outputs(c);
    SetLastError(SENTINEL);
    ret = GetWriteWatch(flags, base, c->size, addresses, count, granularity);
    todo_if(wwtest.stock && c->stock_differs)
        ok(ret == ~0u && (GetLastError() == error || late || broken(GetLastError() != SENTINEL)),
           "%s, flags %#lx: expected error %lu, got %#x and error %lu", c->what, flags, error, ret,
           GetLastError());
    expect_untouched(c, &out, "kernel32");
}

void test_get_arguments(void)
{
    char stack[PAGE_BYTES];
    size_t i;

    open_places(stack);
    write_page(places[WATCHED], 1);
    write_page(places[WATCHED], 3);
    for (i = 0; i < ARRAYSIZE(get_cases); i++) {
        put_get_case(&get_cases[i], 0);
        put_get_case(&get_cases[i], RESET);
    }
    expect_pages(places[WATCHED], 0, NR_PAGES, KEEP, "1 3");
    close_places();
}

void test_reset_arguments(void)
{
    char stack[PAGE_BYTES];
    size_t i;

    open_places(stack);
    write_range(places[WATCHED], 0, NR_PAGES);
    for (i = 0; i < ARRAYSIZE(reset_cases); i++) {
        const struct reset_case *c = &reset_cases[i];
        char *base = (char *)((ULONG_PTR)places[c->place] + c->offset);
        NTSTATUS status = NtResetWriteWatch(GetCurrentProcess(), base, c->size);
        UINT ret;

        todo_if(wwtest.stock && c->stock_differs)
            ok((DWORD)status == REFUSED || broken(is_numbered_refusal(status)),
               "%s: expected status %#lx, got %#lx", c->what, (DWORD)REFUSED, (DWORD)status);
        SetLastError(SENTINEL);
        ret = ResetWriteWatch(base, c->size);
        todo_if(wwtest.stock && c->stock_differs)
            ok(ret == ~0u && GetLastError() == ERROR_INVALID_PARAMETER,
               "%s: expected ~0u and error 87, got %#x and error %lu", c->what, ret, GetLastError());
        /* A row that resets by mistake must not hide that the next one does too. */
        write_page(places[WATCHED], 0);
    }
    expect_pages(places[WATCHED], 0, NR_PAGES, KEEP, "0-15");

    ok(!NtResetWriteWatch(GetCurrentProcess(), places[WATCHED], PAGES(2)),
       "ntdll refuses to reset two pages");
    expect_pages(places[WATCHED], 0, NR_PAGES, KEEP, "2-15");
    ok(!ResetWriteWatch(places[WATCHED], SIZE), "kernel32 refuses to reset all, error %lu", GetLastError());
    expect_pages(places[WATCHED], 0, NR_PAGES, KEEP, "");
    ok(!ResetWriteWatch(places[WATCHED], SIZE), "resetting clean pages fails, error %lu", GetLastError());
    close_places();
}

void test_rounding(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_range(base, 0, NR_PAGES);
    expect_bytes(base, 0, 1, KEEP, "0");
    expect_bytes(base, 1, 1, KEEP, "0");
    expect_bytes(base, PAGE_BYTES - 1, 1, KEEP, "0");
    expect_bytes(base, PAGE_BYTES - 1, 2, KEEP, "0-1");
    expect_bytes(base, 1, PAGE_BYTES, KEEP, "0-1");
    expect_bytes(base, 1, PAGE_BYTES - 1, KEEP, "0");
    expect_bytes(base, PAGE_BYTES + 7, 2 * PAGE_BYTES, KEEP, "1-3");
    expect_bytes(base, SIZE - 1, 1, KEEP, "15");
    expect_bytes(base, 1, SIZE - 1, KEEP, "0-15");

    expect_bytes(base, PAGE_BYTES - 1, 2, RESET, "0-1");
    expect_bytes(base, 0, SIZE, KEEP, "2-15");
    ok(!ResetWriteWatch(base + PAGES(3) - 1, 2), "error %lu", GetLastError());
    expect_bytes(base, 0, SIZE, KEEP, "4-15");
    ok(!ResetWriteWatch(base + PAGES(5) + 100, 1), "error %lu", GetLastError());
    expect_bytes(base, 0, SIZE, KEEP, "4 6-15");
    ok(!ResetWriteWatch(base + SIZE - 1, 1), "error %lu", GetLastError());
    expect_bytes(base, 0, SIZE, KEEP, "4 6-14");
    free_pages(base);
}

/* Makes two watched allocations that touch. False: another thread of the process has taken the place. */
static bool allocate_pair(char **ret_low, char **ret_high)
{
    char *base = VirtualAlloc(NULL, 0x20000, MEM_RESERVE, PAGE_NOACCESS);
    DWORD type = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;

    free_pages(base);
    *ret_low = VirtualAlloc(base, 0x10000, type, PAGE_READWRITE);
    *ret_high = VirtualAlloc(base + 0x10000, 0x10000, type, PAGE_READWRITE);
    return *ret_low && *ret_high;
}

void test_adjacent(void)
{
    char *low, *high;

    if (!allocate_pair(&low, &high)) {
        skip("no place for two allocations side by side");
        return;
    }
    write_page(low, 15);
    write_page(high, 0);
    expect_pages(low, 0, 16, KEEP, "15");
    expect_pages(high, 0, 16, KEEP, "0");
    expect_pages(low, 0, 32, KEEP, "failed 0xc000000d");
    expect_pages(low, 15, 2, RESET, "failed 0xc000000d");
    expect_bytes(low, 0xffff, 2, KEEP, "failed 0xc000000d");
    ok(ResetWriteWatch(low, 0x20000) == ~0u, "a reset across two allocations succeeds");
    ok(ResetWriteWatch(low + 0xffff, 2) == ~0u, "a reset of two bytes across two allocations succeeds");
    expect_pages(low, 0, 16, KEEP, "15");
    expect_pages(high, 0, 16, KEEP, "0");

    /* A store over the border marks a page of each. */
    clean(low, 16);
    clean(high, 16);
    memset(high - 2, 1, 4);
    expect_pages(low, 0, 16, KEEP, "15");
    expect_pages(high, 0, 16, KEEP, "0");
    free_pages(low);
    expect_pages(low, 0, 16, KEEP, "failed 0xc000000d");
    expect_pages(high, 0, 16, KEEP, "0");
    free_pages(high);
}
