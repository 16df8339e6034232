/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call over several watched ranges, and over memory between them that is not watched. */
#include <pthread.h>
#include <signal.h>

#include "nt-test.h"

/* The range of a call, in pages from the start of the area: it begins and ends inside the two allocations, at
 * their ends, or beyond them. The gap is unwatched before the call: it lies in the first, across both, or in
 * the second. */
static const struct {
    int first, nr, gap, gap_nr;
} spans[] = {
    { 2, NR_PAGES, 0, 0 },
    { 0, 2 * NR_PAGES, 0, 0 },
    { -4, 2 * NR_PAGES + 8, 0, 0 },
    { -4, NR_PAGES + 8, 0, 0 },
    { NR_PAGES - 1, 2, 0, 0 },
    { 0, 2 * NR_PAGES, 0, 3 },
    { 1, NR_PAGES + 6, NR_PAGES - 2, 4 },
    { 3, 2 * NR_PAGES - 4, 5, 2 },
    { 3, 2 * NR_PAGES - 3, 2 * NR_PAGES - 2, 2 },
};
#define NR_SPANS (int)(sizeof(spans) / sizeof(spans[0]))

static void setup_span(int nr)
{
    serves = true;
    if (spans[nr].gap_nr) {
        ck_assert_int_eq(
            ww_unwatch(nt.ctx, area + spans[nr].gap * NT_PAGE_SIZE, (size_t)spans[nr].gap_nr * NT_PAGE_SIZE),
            0);
    }
    memset(area, 1, 2 * SIZE);
}

static bool is_in_span(int nr, int page)
{
    return page >= spans[nr].first && page < spans[nr].first + spans[nr].nr;
}

/* A watched page must be reported if it is in the span and @inside is true, or outside and @outside is
 * true. */
static void expect_span(int nr, bool inside, bool outside)
{
    for (int page = 0; page < 2 * NR_PAGES; page++) {
        char *base = area + page * NT_PAGE_SIZE;
        ssize_t expected = is_in_span(nr, page) ? inside : outside;

        if (page < spans[nr].gap || page >= spans[nr].gap + spans[nr].gap_nr) {
            ck_assert_msg(ww_count(nt.ctx, base, NT_PAGE_SIZE) == expected, "span %d, page %d: not %zd", nr,
                          page, expected);
        }
    }
}

/* NtProtectVirtualMemory latches all dirty pages of its range, so that they stay reported when they are
 * dropped. */
START_TEST(protecting_latches_every_part)
{
    setup_span(_i);
    ck_assert_int_eq(
        change(NT_PROTECT, 0, area + spans[_i].first * NT_PAGE_SIZE, (SIZE_T)spans[_i].nr * NT_PAGE_SIZE), 0);
    remap_pages(area, 2 * NR_PAGES);
    for (int page = 0; page < 2 * NR_PAGES; page++) {
        ww_discard(nt.ctx, area + page * NT_PAGE_SIZE, NT_PAGE_SIZE);
    }
    expect_span(_i, true, false);
}
END_TEST

/* By NtAllocateVirtualMemory, or by NtAllocateVirtualMemoryEx with parameters, which it follows. */
static void commit_again(int nr, bool extended)
{
    PVOID addr = area + spans[nr].first * NT_PAGE_SIZE;
    SIZE_T size = (SIZE_T)spans[nr].nr * NT_PAGE_SIZE;
    MEM_EXTENDED_PARAMETER parameter = { .Type = 0 };

    setup_span(nr);
    ck_assert_int_eq(extended
                         ? nt_allocate_ex(&nt, SELF, &addr, &size, MEM_COMMIT, PAGE_READONLY, &parameter, 1)
                         : nt_allocate(&nt, SELF, &addr, 0, &size, MEM_COMMIT, PAGE_READONLY),
                     0);
    remap_pages(area, 2 * NR_PAGES);
    for (int page = 0; page < 2 * NR_PAGES; page++) {
        ww_discard(nt.ctx, area + page * NT_PAGE_SIZE, NT_PAGE_SIZE);
    }
}

/* Committing pages again may change their protection, and latches as NtProtectVirtualMemory does. */
START_TEST(committing_again_latches_every_part)
{
    commit_again(_i / 2, _i % 2);
    expect_span(_i / 2, true, false);
}
END_TEST

static void drop_span(int nr, enum nt_call call, ULONG type)
{
    setup_span(nr);
    ck_assert_int_eq(
        change(call, type, area + spans[nr].first * NT_PAGE_SIZE, (SIZE_T)spans[nr].nr * NT_PAGE_SIZE), 0);
    expect_span(nr, false, true);
}

START_TEST(decommitting_drops_every_part)
{
    drop_span(_i, NT_FREE, MEM_DECOMMIT);
}
END_TEST

START_TEST(resetting_drops_every_part)
{
    drop_span(_i, NT_ALLOCATE, MEM_RESET);
}
END_TEST

static bool was_own, was_blocked;

static void look_whose(enum nt_call call, void **args)
{
    sigset_t blocked;

    (void)call;
    (void)args;
    was_own = own;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    was_blocked = sigismember(&blocked, SIGUSR1);
}

/* The library follows a free of one watched allocation itself. During any other free, set_own() is off, so
 * that the changes it makes to mappings are queued. */
START_TEST(frees_that_are_not_followed_are_noted)
{
    before_original = look_whose;
    change(NT_FREE, MEM_DECOMMIT, area, SIZE);
    ck_assert(was_own);
    change(NT_FREE, MEM_RELEASE, area, SIZE);
    ck_assert(was_own);
    change(NT_FREE, MEM_RELEASE, area, 2 * SIZE);
    ck_assert(!was_own);
    change(NT_FREE, MEM_DECOMMIT, area, SIZE);
    change(NT_FREE, MEM_DECOMMIT, area - NT_PAGE_SIZE, 0);
    ck_assert(!was_own);
    change(NT_FREE, MEM_DECOMMIT, area, SIZE);
    change(NT_FREE, MEM_RELEASE, area - NT_PAGE_SIZE, 0);
    ck_assert(!was_own);
}
END_TEST

/* Wine carries out what another process asks for in a signal handler. If it ran while changes are our own,
 * the change would not be queued. */
START_TEST(changes_are_our_own_only_while_signals_are_blocked)
{
    static const struct {
        enum nt_call call;
        ULONG type;
        long offset;
    } rows[] = {
        { NT_PROTECT, 0, 0 },
        { NT_PROTECT, 0, 2 * SIZE },
        { NT_FREE, MEM_DECOMMIT, 0 },
        { NT_FREE, MEM_DECOMMIT, 2 * SIZE },
        { NT_FREE, MEM_RELEASE, 0 },
        { NT_ALLOCATE, MEM_RESET, 0 },
        { NT_ALLOCATE, MEM_COMMIT, 0 },
        { NT_ALLOCATE, MEM_RESERVE, 0 },
        { NT_ALLOCATE, MEM_RESERVE | MEM_WRITE_WATCH, 0 },
    };

    ck_assert_int_eq(filter_add((uintptr_t)area, (uintptr_t)area + 2 * SIZE), 0);
    serves = true;
    before_original = look_whose;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        change(rows[i].call, rows[i].type, area + rows[i].offset, SIZE);
        ck_assert_msg(was_blocked || !was_own, "row %zu", i);
        ck_assert(!own);
    }
}
END_TEST

/* Another thread gets the addresses as soon as they are free. */
static void watch_again(enum nt_call call, void **args)
{
    (void)call;
    (void)args;
    stats_watched(nt.counters, (uintptr_t)area, (uintptr_t)area + SIZE);
}

START_TEST(a_release_ends_no_later_region_in_the_counters)
{
    static struct counters counters;

    memset(&counters, 0, sizeof(counters));
    ck_assert_int_eq(filter_add((uintptr_t)area, (uintptr_t)area + SIZE), 0);
    nt.counters = &counters;
    serves = true;
    stats_watched(nt.counters, (uintptr_t)area, (uintptr_t)area + SIZE);
    before_original = watch_again;
    ck_assert_int_eq(change(NT_FREE, MEM_RELEASE, area, SIZE), 0);
    ck_assert_uint_eq(counters.region[0].start, 0);
    ck_assert_uint_eq(counters.region[1].start, (uintptr_t)area);
    ck_assert_uint_eq(counters.watched_bytes, SIZE);
}
END_TEST

static int refuse(uintptr_t start, uintptr_t end)
{
    (void)start;
    (void)end;
    return -ENOMEM;
}

static struct {
    enum nt_call call;
    ULONG type;
    SIZE_T size;
} seen[4];
static int nr_seen;

static void see(enum nt_call call, void **args)
{
    ck_assert_int_lt(nr_seen, 4);
    seen[nr_seen].call = call;
    seen[nr_seen].type = *(ULONG *)args[3];
    seen[nr_seen++].size = **(SIZE_T **)args[2];
}

/* Wine releases a whole allocation by size 0, and makes a placeholder again only with its size. Then it gets
 * the call as the program made it. */
START_TEST(what_cannot_be_watched_is_left_to_wine)
{
    const ULONG placeholder = _i ? MEM_REPLACE_PLACEHOLDER : 0;
    const ULONG type = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH | placeholder;
    PVOID addr = area + 2 * SIZE;
    SIZE_T size = SIZE;

    nt.before_watch = refuse;
    serves = true;
    nr_seen = 0;
    before_original = see;
    ck_assert_int_eq(nt_allocate_ex(&nt, SELF, &addr, &size, type, PAGE_READWRITE, NULL, 0), 0);
    ck_assert_int_eq(nr_seen, 3);
    ck_assert_uint_eq(seen[0].type, type & ~MEM_WRITE_WATCH);
    ck_assert_int_eq(seen[1].call, NT_FREE);
    ck_assert_uint_eq(seen[1].type, placeholder ? MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER : MEM_RELEASE);
    ck_assert_uint_eq(seen[1].size, placeholder ? SIZE : 0);
    ck_assert_int_eq(seen[2].call, NT_ALLOCATE_EX);
    ck_assert_uint_eq(seen[2].type, type);
    ck_assert_uint_eq(seen[2].size, SIZE);
}
END_TEST

void add_span_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, protecting_latches_every_part, 0, NR_SPANS);
    tcase_add_loop_test(tcase, committing_again_latches_every_part, 0, 2 * NR_SPANS);
    tcase_add_loop_test(tcase, decommitting_drops_every_part, 0, NR_SPANS);
    tcase_add_loop_test(tcase, resetting_drops_every_part, 0, NR_SPANS);
    tcase_add_test(tcase, frees_that_are_not_followed_are_noted);
    tcase_add_test(tcase, changes_are_our_own_only_while_signals_are_blocked);
    tcase_add_test(tcase, a_release_ends_no_later_region_in_the_counters);
    tcase_add_loop_test(tcase, what_cannot_be_watched_is_left_to_wine, 0, 2);
}
