/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, enumeration: ww_next() visits each region in the order of addresses, also while another
 * thread adds and removes regions.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>

#include "contract.h"

static void expect_next(const char *addr, const char *start, const char *end)
{
    struct ww_range range = { 1, 2 };

    ck_assert_int_eq(ww_next(ctx, addr, &range), 0);
    ck_assert_msg(range.start == (uintptr_t)start && range.end == (uintptr_t)end,
                  "[%#tx, %#tx) in place of [%p, %p)", range.start, range.end, (void *)start, (void *)end);
}

static void expect_none(const void *addr)
{
    struct ww_range range = { 1, 2 };

    ck_assert_int_eq(ww_next(ctx, addr, &range), -ENOENT);
    ck_assert(range.start == 1 && range.end == 2);
}

START_TEST(arguments_of_next)
{
    struct ww_range range = { 1, 2 };
    char *base = watch_pages(2);

    ck_assert_int_eq(ww_next(NULL, base, &range), -EINVAL);
    ck_assert_int_eq(ww_next(ctx, base, NULL), -EINVAL);
    ck_assert(range.start == 1 && range.end == 2);
    expect_none((void *)UINTPTR_MAX);
    ck_assert_int_eq(ww_unwatch(ctx, base, 2 * page_size()), 0);
    expect_none(NULL);
    expect_none(base);
}
END_TEST

START_TEST(the_next_region_ends_behind_the_address)
{
    size_t page = page_size();
    char *base = map_pages(12), *first = base + 2 * page, *touching = base + 4 * page,
         *last = base + 8 * page;

    ck_assert_int_eq(ww_watch(ctx, last, 3 * page, WW_WATCH_FRESH), 0);
    ck_assert_int_eq(ww_watch(ctx, first, 2 * page, WW_WATCH_FRESH), 0);
    ck_assert_int_eq(ww_watch(ctx, touching, page, WW_WATCH_FRESH), 0);
    expect_next(NULL, first, touching);
    expect_next(base, first, touching);
    expect_next(first - 1, first, touching);
    expect_next(first, first, touching);
    expect_next(touching - 1, first, touching);
    expect_next(touching, touching, touching + page);
    expect_next(touching + page - 1, touching, touching + page);
    expect_next(touching + page, last, last + 3 * page);
    expect_next(last + 3 * page - 1, last, last + 3 * page);
    expect_none(last + 3 * page);
    /* A region that is cut becomes two. */
    ck_assert_int_eq(ww_unwatch(ctx, last + page, page), 0);
    expect_next(last, last, last + page);
    expect_next(last + page, last + 2 * page, last + 3 * page);
}
END_TEST

/* ---- while another thread adds and removes regions ---- */

#define NR_SLOTS 16
#define SLOT_PAGES 4 /* of which the last is never watched */
#define NR_WALKS 300

static struct {
    char *base;
    atomic_bool stop;
    atomic_ulong nr_rounds;
    atomic_int error;
} table;

static char *slot(size_t index)
{
    return table.base + index * SLOT_PAGES * page_size();
}

/* Even slots stay; each odd one is watched, cut in its middle, and unwatched. */
static void *change_odd_slots(void *arg)
{
    size_t page = page_size(), index = 1;
    int err = 0;

    (void)arg;
    for (; !err && !atomic_load(&table.stop); index = (index + 2) % NR_SLOTS) {
        err = ww_watch(ctx, slot(index), 3 * page, WW_WATCH_FRESH);
        err = err ? err : ww_unwatch(ctx, slot(index) + page, page);
        err = err ? err : ww_unwatch(ctx, slot(index), 3 * page);
        atomic_fetch_add(&table.nr_rounds, 1);
    }
    atomic_store(&table.error, err);
    return NULL;
}

/* Every region lies within its slot. Those in even slots are whole, and the walk visits each of them. */
static void walk(void)
{
    size_t page = page_size(), nr_even = 0, len = SLOT_PAGES * page;
    struct ww_range range = { 0, 0 };
    uintptr_t at = 0;
    int err;

    while (!(err = ww_next(ctx, (void *)at, &range))) {
        uintptr_t from = range.start - (uintptr_t)table.base, to = range.end - (uintptr_t)table.base;

        /* A region that was added meanwhile may begin before @at. */
        ck_assert_msg(range.end > at && range.end > range.start, "[%#tx, %#tx) after %#tx", range.start,
                      range.end, at);
        ck_assert_msg(from / len < NR_SLOTS && to <= from / len * len + 3 * page, "[%#tx, %#tx)", from, to);
        if (from / len % 2 == 0) {
            ck_assert_msg(from % len == 0 && to - from == 3 * page, "[%#tx, %#tx)", from, to);
            ck_assert_msg(from / len == 2 * nr_even, "slot %zu is left out", 2 * nr_even);
            nr_even++;
        }
        at = range.end;
    }
    ck_assert_int_eq(err, -ENOENT);
    ck_assert_uint_eq(nr_even, NR_SLOTS / 2);
}

START_TEST(regions_are_walked_while_others_come_and_go)
{
    size_t page = page_size();
    pthread_t changer;

    table.base = map_pages(NR_SLOTS * SLOT_PAGES);
    for (size_t i = 0; i < NR_SLOTS; i += 2) {
        ck_assert_int_eq(ww_watch(ctx, slot(i), 3 * page, WW_WATCH_FRESH), 0);
    }
    ck_assert_int_eq(pthread_create(&changer, NULL, change_odd_slots, NULL), 0);
    for (int i = 0; i < NR_WALKS || atomic_load(&table.nr_rounds) < NR_WALKS; i++) {
        walk();
        ck_assert_int_eq(atomic_load(&table.error), 0);
    }
    atomic_store(&table.stop, true);
    pthread_join(changer, NULL);
    ck_assert_int_eq(atomic_load(&table.error), 0);
    walk();
}
END_TEST

static void *unwatch_two(void *base)
{
    return (void *)(intptr_t)ww_unwatch(ctx, base, 2 * page_size());
}

static sigjmp_buf out;

static void jump_out(int sig)
{
    (void)sig;
    siglongjmp(out, 1);
}

/* The caller's memory may fault, and the program may survive that. */
START_TEST(a_range_that_cannot_be_written_leaves_no_lock)
{
    struct sigaction action = { .sa_handler = jump_out };
    char *base = watch_pages(2);
    struct ww_range *forbidden = mmap(NULL, page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct timespec limit;
    pthread_t other;
    void *err;

    ck_assert_ptr_ne(forbidden, MAP_FAILED);
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    if (!sigsetjmp(out, 1)) {
        if (_i) {
            ww_next(ctx, base, forbidden);
        } else {
            ww_find(ctx, base, forbidden);
        }
        ck_abort_msg("the forbidden write went through");
    }
    signal(SIGSEGV, SIG_DFL);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    ck_assert_int_eq(pthread_create(&other, NULL, unwatch_two, base), 0);
    ck_assert_int_eq(pthread_timedjoin_np(other, &err, &limit), 0);
    ck_assert_int_eq((intptr_t)err, 0);
}
END_TEST

void add_next_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "next");

    tcase_add_test(tcase, arguments_of_next);
    tcase_add_test(tcase, the_next_region_ends_behind_the_address);
    tcase_add_test(tcase, regions_are_walked_while_others_come_and_go);
    tcase_add_loop_test(tcase, a_range_that_cannot_be_written_leaves_no_lock, 0, 2);
}
