/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, repeated queries: the same query again and again about clean memory, and then something
 * happens. The library may cache such a query and answer it on a fast path; the answer must be the same as on
 * the slow path.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "contract.h"

#define NR 8

static ssize_t ask(const char *base, size_t nr, unsigned int flags)
{
    void *pages[NR];

    return ww_get_pages(ctx, base, nr * page_size(), flags, pages, NR);
}

/* Queries of the whole range and of a part of it, often enough for the fast path. They report nothing. */
static void expect_clean(const char *base)
{
    for (int i = 0; i < 3; i++) {
        expect_number(ctx, ask(base, NR, 0), 0, NR);
        expect_number(ctx, ask(base, NR, WW_GET_RESET), 0, NR);
        expect_number(ctx, ww_count(ctx, base + page_size(), 2 * page_size()), 0, 2);
    }
}

/* Watches memory all of whose pages were reported once, or that was never touched; its queries are cached. */
static char *watch_cached(bool touched)
{
    char *base = watch_pages(NR);

    if (touched) {
        memset(base, 1, NR * page_size());
        reset_pages(base, NR);
    }
    expect_clean(base);
    return base;
}

START_TEST(a_write_ends_the_cached_query)
{
    char *base = watch_cached(_i);

    for (size_t i = 0; i < 100; i++) {
        char map[NR + 1] = "........";

        map[i * 5 % NR] = '#';
        write_map(base, map);
        expect_map(ctx, base, map);
        expect_number(ctx, ask(base, NR, WW_GET_RESET), 1, NR);
        expect_clean(base);
    }
}
END_TEST

START_TEST(zeros_end_the_cached_query)
{
    char *base = watch_cached(_i);

    read_page(base, 3);
    expect_clean(base);
    write_page(base, 3, 0);
    expect_map(ctx, base, "...#....");
}
END_TEST

START_TEST(the_latch_ends_the_cached_query)
{
    char *base = watch_cached(_i);

    write_page(base, 2, 1);
    ck_assert_int_eq(ww_latch(ctx, base, NR * page_size()), 0);
    expect_map(ctx, base, "..#.....");
    expect_map(ctx, base, "..#.....");
    expect_number(ctx, ask(base, NR, WW_GET_RESET), 1, NR);
    expect_clean(base);
    write_page(base, 2, 1);
    ck_assert_int_eq(ww_reset(ctx, base, NR * page_size()), 0);
    expect_clean(base);
}
END_TEST

START_TEST(an_unwatched_part_ends_the_cached_query)
{
    char *base = watch_cached(_i);
    size_t page = page_size();

    ck_assert_int_eq(ww_unwatch(ctx, base + 3 * page, page), 0);
    ck_assert_int_eq(ask(base, NR, 0), -ENOENT);
    ck_assert_int_eq(ask(base, 4, 0), -ENOENT);
    expect_number(ctx, ask(base, 3, 0), 0, 3);
    expect_number(ctx, ask(base, 3, 0), 0, 3);
    write_page(base, 2, 1);
    expect_map(ctx, base, "..#");
    ck_assert_int_eq(ww_unwatch(ctx, base, NR * page), 0);
    ck_assert_int_eq(ask(base, 3, 0), -ENOENT);
    ck_assert_int_eq(ask(base, NR, 0), -ENOENT);
    ck_assert_int_eq(ww_watch(ctx, base, NR * page, 0), 0);
    expect_clean(base);
    write_page(base, 5, 1);
    expect_map(ctx, base, ".....#..");
}
END_TEST

START_TEST(what_comes_after_a_discard_is_seen)
{
    char *base = watch_cached(_i);
    size_t page = page_size();

    ck_assert_int_eq(madvise(base + 2 * page, 3 * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base + 2 * page, 3 * page), 0);
    expect_clean(base);
    if (has_cap(WW_CAP_FILL)) {
        ck_assert_int_eq(ww_fill(ctx, base + 2 * page, base, page), (ssize_t)page);
        expect_clean(base);
    }
    write_map(base, "..##....");
    expect_map(ctx, base, "..##....");
}
END_TEST

START_TEST(a_new_mapping_ends_the_cached_query)
{
    char *base = watch_cached(_i);

    NEEDS(WW_CAP_LOST_DETECTED);
    remap_pages(base + 2 * page_size(), 3);
    write_map(base, ".#.#....");
    expect_map(ctx, base, ".#?#?...");
    expect_map(ctx, base, ".#?#?...");
}
END_TEST

START_TEST(a_child_uses_no_cached_query_of_its_parent)
{
    char *base = watch_cached(_i);
    int status;
    pid_t pid = fork();

    if (!pid) {
        _exit(ask(base, NR, 0) == -ECHILD ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    write_page(base, 7, 1);
    expect_map(ctx, base, ".......#");
}
END_TEST

/* One query for each of many regions. */
START_TEST(cached_queries_of_many_regions)
{
    enum { nr_regions = 3000 };
    size_t page = page_size(), step = 2 * page;
    char *base = map_pages(2 * nr_regions);

    for (size_t i = 0; i < nr_regions; i++) {
        ck_assert_int_eq(ww_watch(ctx, base + i * step, page, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS),
                         0);
    }
    for (size_t i = 0; i < 3 * nr_regions; i++) {
        expect_number(ctx, ask(base + i % nr_regions * step, 1, WW_GET_RESET), 0, 1);
    }
    for (size_t i = 0; i < nr_regions; i += 7) {
        write_page(base, 2 * i, 1);
    }
    for (size_t i = 0; i < nr_regions; i++) {
        expect_number(ctx, ask(base + i * step, 1, WW_GET_RESET), i % 7 == 0, 1);
    }
}
END_TEST

/* ---- with another thread ---- */

static struct {
    char *base;
    atomic_bool stop;
    atomic_ulong nr_done;
} other;

static void *latch_thread(void *arg)
{
    (void)arg;
    while (!atomic_load(&other.stop)) {
        ww_latch(ctx, other.base, NR * page_size());
        ww_count(ctx, other.base, NR * page_size());
        atomic_fetch_add(&other.nr_done, 1);
    }
    return NULL;
}

static void *rewatch_thread(void *arg)
{
    (void)arg;
    while (!atomic_load(&other.stop)) {
        if (!ww_unwatch(ctx, other.base, NR * page_size())) {
            ww_watch(ctx, other.base, NR * page_size(), WW_WATCH_PRIVATE_ANONYMOUS);
        }
        atomic_fetch_add(&other.nr_done, 1);
    }
    return NULL;
}

static void run_with(void *(*thread)(void *), void (*step)(size_t))
{
    pthread_t id;

    other.base = watch_cached(true);
    ck_assert_int_eq(pthread_create(&id, NULL, thread, NULL), 0);
    for (size_t i = 0; i < 3000 || atomic_load(&other.nr_done) < 1000; i++) {
        step(i);
    }
    atomic_store(&other.stop, true);
    pthread_join(id, NULL);
}

/* The write is over when the get begins, so the get reports it, whether the other thread has latched it or
 * not. */
static void write_and_ask(size_t i)
{
    size_t page = i % NR;

    expect_number(ctx, ask(other.base, NR, 0), 0, NR);
    write_page(other.base, page, 1);
    ck_assert_int_ge(ask(other.base, NR, 0), 1);
    ck_assert_int_ge(ww_count(ctx, other.base + page * page_size(), page_size()), 1);
    ck_assert_int_ge(ask(other.base, NR, WW_GET_RESET), 1);
}

START_TEST(a_latch_at_work_hides_nothing)
{
    NEEDS(WW_CAP_ATOMIC_RESET | WW_CAP_EXACT);
    run_with(latch_thread, write_and_ask);
}
END_TEST

static void ask_whatever_is_there(size_t i)
{
    ssize_t nr = ask(other.base, NR, i % 2 ? WW_GET_RESET : 0);

    ck_assert_msg(nr == -ENOENT || (nr >= 0 && nr <= NR), "%zd", nr);
}

START_TEST(regions_may_go_while_they_are_asked)
{
    NEEDS(WW_CAP_ATOMIC_RESET);
    run_with(rewatch_thread, ask_whatever_is_there);
}
END_TEST

void add_lockless_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "lockless");

    tcase_add_loop_test(tcase, a_write_ends_the_cached_query, 0, 2);
    tcase_add_loop_test(tcase, zeros_end_the_cached_query, 0, 2);
    tcase_add_loop_test(tcase, the_latch_ends_the_cached_query, 0, 2);
    tcase_add_loop_test(tcase, an_unwatched_part_ends_the_cached_query, 0, 2);
    tcase_add_loop_test(tcase, what_comes_after_a_discard_is_seen, 0, 2);
    tcase_add_loop_test(tcase, a_new_mapping_ends_the_cached_query, 0, 2);
    tcase_add_loop_test(tcase, a_child_uses_no_cached_query_of_its_parent, 0, 2);
    tcase_add_test(tcase, cached_queries_of_many_regions);
    tcase_add_test(tcase, a_latch_at_work_hides_nothing);
    tcase_add_test(tcase, regions_may_go_while_they_are_asked);
}
