/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mappings that change behind the library's back in ways that contract-mappings.c
 * does not have: mremap in all its forms, and a replaced piece in the middle of
 * more runs than one scan returns. The kernel answers EPERM; the library must still
 * report every write. And arrays that cannot be written: the caller gets the fault,
 * and the library holds no lock then.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#include "kernel.h"

/* ---- a replaced piece among many runs ---- */

#define NR_MANY 6000

/* More runs precede the later pieces than one scan returns, so that the error comes on a later call. */
START_TEST(a_replaced_piece_loses_nothing_round_it)
{
    static const size_t pieces[][2] = { { 10, 20 }, { 1030, 1040 }, { 3000, 3100 }, { 5990, 6000 } };
    size_t from = pieces[_i / 3][0], to = pieces[_i / 3][1], page = page_size(), capacity, nr = 0;
    static const size_t capacities[] = { 7, 1000, NR_MANY };
    char *base = watch_pages(NR_MANY), *found = malloc(NR_MANY), *map = malloc(NR_MANY);
    void *pages[NR_MANY];

    WANTS(WW_CAP_LOST_DETECTED);
    capacity = capacities[_i % 3];
    memset(map, '.', NR_MANY);
    for (size_t i = 1; i < NR_MANY; i += 2) {
        write_page(base, i, 1);
        map[i] = '#';
    }
    memset(map + from, '?', to - from);
    remap_pages(base + from * page, to - from);
    for (size_t i = from; i < to; i += 3) {
        write_page(base, i, 0);
        map[i] = '#';
    }
    memset(found, '.', NR_MANY);
    for (ssize_t got = capacity; got == (ssize_t)capacity; nr += got) {
        got = ww_get_pages(ctx, base, NR_MANY * page, WW_GET_RESET, pages, capacity);
        ck_assert_int_ge(got, 0);
        for (ssize_t i = 0; i < got; i++) {
            found[((char *)pages[i] - base) / page] = '#';
        }
    }
    compare_maps("all gets together", is_exact(ctx), found, map, NR_MANY);
    ck_assert_uint_le(nr, NR_MANY);
    ck_assert_int_eq(ww_count(ctx, base, NR_MANY * page), 0);
    write_page(base, from, 1);
    write_page(base, from - 1, 1);
    ck_assert_int_eq(ww_count(ctx, base, NR_MANY * page), 2);
}
END_TEST

/* ---- mremap ---- */

/* Pages move to other addresses; in a new mapping in their place every write is reported. */
START_TEST(pages_that_move_away)
{
    size_t page = page_size();
    char *base = watch_pages(12), *other = map_pages(4), *moved;

    WANTS(WW_CAP_LOST_DETECTED);
    write_map(base, "####.###.###");
    reset_pages(base, 12);
    write_map(base, "#...#.#....#");
    moved = mremap(base + 4 * page, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, other);
    ck_assert_ptr_eq(moved, other);
    expect_map(ctx, base, "#...????...#");
    /* At their new addresses the pages are not watched. */
    ck_assert_int_eq(read_page(moved, 1), 0);
    memset(moved, 3, 4 * page);
    ck_assert_int_eq(ww_count(ctx, moved, page), -ENOENT);
    write_map(base, ".#..");
    expect_map(ctx, base, "##..????...#");
    remap_pages(base + 4 * page, 4);
    write_map(base, ".....#......");
    expect_map(ctx, base, "##..?#??...#");
    reset_pages(base, 12);
    write_map(base, ".....##.#...");
    expect_map(ctx, base, ".....##.#...");
}
END_TEST

/* Pages with other contents move in, from unwatched memory or from watched and clean memory (_i 1). */
START_TEST(pages_that_move_in)
{
    size_t page = page_size();
    char *base = watch_pages(12), *other = _i ? watch_pages(4) : map_pages(4);

    WANTS(WW_CAP_LOST_DETECTED);
    write_map(base, "############");
    reset_pages(base, 12);
    memset(other, 7, 4 * page);
    if (_i) {
        reset_pages(other, 4);
    }
    write_map(base, "#..........#");
    ck_assert_ptr_eq(mremap(other, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, base + 4 * page),
                     base + 4 * page);
    /* Each has other contents than a harvester has seen at its address. */
    expect_map(ctx, base, "#...####...#");
    ck_assert_int_eq(base[6 * page], 7);
    reset_pages(base, 12);
    write_map(base, ".....#......");
    expect_map(ctx, base, ".....#......");
}
END_TEST

START_TEST(a_region_whose_mapping_shrinks_and_grows)
{
    size_t page = page_size();
    char *base = map_pages(24);

    WANTS(WW_CAP_LOST_DETECTED);
    ck_assert_int_eq(munmap(base + 12 * page, 12 * page), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 12 * page, WW_WATCH_FRESH), 0);
    write_map(base, "#...#.......");
    if (mremap(base, 12 * page, 18 * page, 0) == MAP_FAILED) {
        SKIP("the mapping cannot grow: %s", strerror(errno));
    }
    /* The added pages are in no region until they are watched. */
    write_map(base, "......#.....##....");
    expect_map(ctx, base, "#...#.#.....");
    ck_assert_int_eq(ww_count(ctx, base, 18 * page), -ENOENT);
    ck_assert_int_eq(ww_watch(ctx, base + 12 * page, 6 * page, 0), 0);
    expect_map(ctx, base + 12 * page, "......");
    write_map(base, "..............#...");
    expect_map(ctx, base + 12 * page, "..#...");
    ck_assert_ptr_eq(mremap(base, 18 * page, 6 * page, 0), base);
    expect_map(ctx, base, "#...#.??????");
    write_map(base, ".#....");
    expect_map(ctx, base, "##..#.??????");
    ck_assert_int_eq(ww_unwatch(ctx, base, 18 * page), 0);
}
END_TEST

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4 /* Linux 5.7 */
#endif

/* The pages move and the mapping stays: as after MADV_DONTNEED, no later write is lost. */
START_TEST(pages_that_move_away_from_a_mapping_that_stays)
{
    size_t page = page_size();
    char *base = watch_pages(8), *moved;

    write_map(base, "########");
    reset_pages(base, 8);
    write_map(base, "#......#");
    moved = mremap(base + 2 * page, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    if (moved == MAP_FAILED) {
        SKIP("MREMAP_DONTUNMAP: %s", strerror(errno));
    }
    write_map(base, "...#....");
    expect_map(ctx, base, "#.?#??.#");
    ck_assert_int_eq(read_page(base, 3), 1);
    reset_pages(base, 8);
    write_map(base, "....##..");
    expect_map(ctx, base, "..??##..");
}
END_TEST

/* ---- an array that cannot be written ---- */

#define NR_WRITTEN 1500

static sigjmp_buf faulted;

static void on_fault(int sig)
{
    (void)sig;
    siglongjmp(faulted, 1);
}

static void *ask_from_a_thread(void *base)
{
    return (void *)(intptr_t)ww_count(ctx, base, 3 * NR_WRITTEN * page_size());
}

/* Asserts that no lock is held, by calls that take them, one in another thread. An alarm ends a call that
 * hangs. */
static void expect_at_rest(char *base)
{
    char *other = map_pages(2);
    pthread_t thread;
    void *count;

    alarm(20);
    ck_assert_int_eq(ww_watch(ctx, other, 2 * page_size(), WW_WATCH_FRESH), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, ask_from_a_thread, base), 0);
    ck_assert_int_eq(pthread_join(thread, &count), 0);
    ck_assert_int_ge((intptr_t)count, 0);
    ck_assert_int_eq(ww_unwatch(ctx, other, 2 * page_size()), 0);
    ck_assert_int_eq(munmap(other, 2 * page_size()), 0);
    alarm(0);
}

/* Queries into @array, which faults. Bit 0 of @kind: with a reset. Bit 1: by ww_get_ranges(). Returns false
 * if the call returned. */
static bool get_into(char *base, int kind, void *array, size_t capacity)
{
    size_t len = 3 * NR_WRITTEN * page_size();
    unsigned int flags = kind & 1 ? WW_GET_RESET : 0;

    if (sigsetjmp(faulted, 1)) {
        return true;
    }
    if (kind & 2) {
        ww_get_ranges(ctx, base, len, flags, array, capacity);
    } else {
        ww_get_pages(ctx, base, len, flags, array, capacity);
    }
    return false;
}

/*
 * The contract says that a get with a reset resets exactly the pages that it returns.
 * It says nothing of a call that does not return: up to capacity pages may be reset
 * and their addresses lost with the array, but no more.
 */
START_TEST(an_array_that_faults_leaves_the_library_at_rest)
{
    struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
    static const size_t capacities[] = { 100, NR_WRITTEN };
    size_t nr = 3 * NR_WRITTEN, page = page_size(), capacity = capacities[_i / 4];
    char *base, *map = malloc(nr);
    void *array;

    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    base = watch_pages(nr);
    array = mmap(NULL, NR_WRITTEN * sizeof(struct ww_range), _i & 1 ? PROT_NONE : PROT_READ,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(array != MAP_FAILED);
    for (int round = 0; round < 10; round++) {
        ssize_t left;

        memset(map, '.', nr);
        for (size_t i = 1; i < nr; i += 3) {
            write_page(base, i, 1);
            map[i] = '#';
        }
        ck_assert(get_into(base, _i % 4, array, capacity));
        expect_at_rest(base);
        left = ww_count(ctx, base, nr * page);
        ck_assert_int_ge(left, _i & 1 ? (ssize_t)(NR_WRITTEN - capacity) : NR_WRITTEN);
        ck_assert_int_le(left, NR_WRITTEN);
        for (size_t i = 1; i < nr && _i & 1; i += 3) {
            map[i] = '?';
        }
        expect_map_len(ctx, base, map, nr);
        reset_pages(base, nr);
        write_page(base, 2, 1);
        ck_assert_int_eq(ww_count(ctx, base, nr * page), 1);
        reset_pages(base, nr);
    }
}
END_TEST

void add_replace_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "replaced");

    tcase_add_loop_test(tcase, a_replaced_piece_loses_nothing_round_it, 0, 12);
    tcase_add_test(tcase, pages_that_move_away);
    tcase_add_loop_test(tcase, pages_that_move_in, 0, 2);
    tcase_add_test(tcase, a_region_whose_mapping_shrinks_and_grows);
    tcase_add_test(tcase, pages_that_move_away_from_a_mapping_that_stays);
    tcase_add_loop_test(tcase, an_array_that_faults_leaves_the_library_at_rest, 0, 8);
}
