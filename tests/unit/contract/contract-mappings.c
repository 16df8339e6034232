/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, mappings: what the library answers when the mapping changes. Latch and discard, protections,
 * mappings that are replaced or unmapped behind the library's back.
 */
#include <setjmp.h>
#include <signal.h>

#include "contract.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

/* Drops pages, by a new mapping or by MADV_DONTNEED, and tells the library. */
static void drop(char *base, size_t from, size_t to, bool remap)
{
    size_t page = page_size();

    if (remap) {
        remap_pages(base + from * page, to - from);
    } else {
        ck_assert_int_eq(madvise(base + from * page, (to - from) * page, MADV_DONTNEED), 0);
    }
    ck_assert_int_eq(ww_discard(ctx, base + from * page, (to - from) * page), 0);
}

START_TEST(what_is_latched_survives_a_discard)
{
    size_t page = page_size();
    char *base = watch_pages(12);

    write_map(base, "##..#...#..#");
    ck_assert_int_eq(ww_latch(ctx, base, 5 * page), 0);
    expect_map(ctx, base, "##..#...#..#");
    write_map(base, ".##.........");
    drop(base, 0, 9, _i);
    expect_map(ctx, base, "##..#......#");
    ck_assert_int_eq(read_page(base, 1), 0);
    ck_assert_int_eq(read_page(base, 11), 1);
    expect_map(ctx, base, "##..#......#");
    write_map(base, "...##...#...");
    expect_map(ctx, base, "##.##...#..#");
    drop(base, 0, 12, _i);
    expect_map(ctx, base, "##..#.......");
    reset_pages(base, 12);
    drop(base, 0, 12, _i);
    expect_map(ctx, base, "............");
}
END_TEST

START_TEST(discard_forgets_its_part_only)
{
    for (size_t from = 0; from < 6; from++) {
        for (size_t to = from + 1; to <= 6; to++) {
            char *base = watch_pages(6), map[] = "##.##.";

            write_map(base, map);
            drop(base, from, to, _i);
            memset(map + from, '.', to - from);
            expect_map(ctx, base, map);
            for (size_t i = from; i < to; i += 2) {
                read_page(base, i);
                write_page(base, i, 0);
                map[i] = '#';
            }
            expect_map(ctx, base, map);
            ck_assert_int_eq(ww_unwatch(ctx, base, 6 * page_size()), 0);
        }
    }
}
END_TEST

/* A get that fills its array with latched pages must not latch the written pages behind them. */
START_TEST(what_did_not_fit_is_not_latched)
{
    size_t page = page_size();
    char *base = watch_pages(8);
    struct ww_range range;
    void *found[2];

    write_map(base, "##......");
    ck_assert_int_eq(ww_latch(ctx, base, 8 * page), 0);
    write_map(base, "...##.#.");
    if (_i) {
        ck_assert_int_eq(ww_get_pages(ctx, base, 8 * page, WW_GET_RESET, found, 2), 2);
    } else {
        ck_assert_int_eq(ww_get_ranges(ctx, base, 8 * page, WW_GET_RESET, &range, 1), 1);
    }
    expect_map(ctx, base, "...##.#.");
    drop(base, 4, 8, false);
    expect_map(ctx, base, "...#....");
}
END_TEST

START_TEST(latch_changes_no_answer)
{
    char *base = watch_pages(6);
    void *pages[6];

    ck_assert_int_eq(ww_latch(ctx, base, 6 * page_size()), 0);
    expect_map(ctx, base, "......");
    write_map(base, "#.##..");
    ck_assert_int_eq(ww_latch(ctx, base, 6 * page_size()), 0);
    ck_assert_int_eq(ww_latch(ctx, base, 3 * page_size()), 0);
    expect_map(ctx, base, "#.##..");
    ck_assert_int_eq(ww_get_pages(ctx, base, 6 * page_size(), WW_GET_RESET, pages, 2), 2);
    expect_map(ctx, base, "...#..");
    reset_pages(base, 6);
    write_map(base, "##....");
    expect_map(ctx, base, "##....");
}
END_TEST

/* ---- protections ---- */

static void protect(char *base, size_t from, size_t to, int prot)
{
    ck_assert_int_eq(ww_protect(ctx, base + from * page_size(), (to - from) * page_size(), prot), 0);
}

START_TEST(protections_change_no_answer)
{
    static const int protections[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
    char *base = watch_pages(8);

    write_map(base, "#..##..#");
    for (size_t i = 0; i < 9; i++) {
        protect(base, 1, 6, protections[i / 3]);
        expect_map(ctx, base, "#..##..#");
        protect(base, 3, 8, protections[i % 3]);
        expect_map(ctx, base, "#..##..#");
        protect(base, 0, 8, PROT_READ | PROT_WRITE);
        expect_map(ctx, base, "#..##..#");
        ck_assert_int_eq(read_page(base, 4), 1);
    }
    write_map(base, ".#......");
    expect_map(ctx, base, "##.##..#");
}
END_TEST

START_TEST(reset_and_latch_work_on_protected_pages)
{
    size_t page = page_size();
    int prot = _i ? PROT_READ : PROT_NONE;
    char *base = watch_pages(8);

    write_map(base, "#.#.#.#.");
    protect(base, 0, 8, prot);
    ck_assert_int_eq(ww_reset(ctx, base, 3 * page), 0);
    ck_assert_int_eq(ww_latch(ctx, base + 3 * page, 2 * page), 0);
    expect_map(ctx, base, "....#.#.");
    drop(base, 4, 8, false);
    expect_map(ctx, base, "....#...");
    protect(base, 0, 8, PROT_READ | PROT_WRITE);
    expect_map(ctx, base, "....#...");
    write_map(base, "##......");
    expect_map(ctx, base, "##..#...");
    reset_pages(base, 8);
    write_map(base, "#......#");
    expect_map(ctx, base, "#......#");
}
END_TEST

/* Without WW_CAP_OWNS_PROT, the program may call mprotect(2) itself. */
START_TEST(mprotect_changes_no_answer)
{
    size_t page = page_size();
    char *base = watch_pages(8);

    if (has_cap(WW_CAP_OWNS_PROT)) {
        printf("SKIP %s on %s: it has WW_CAP_OWNS_PROT\n", __func__, backend->name);
        return;
    }
    write_map(base, "#..##..#");
    for (int prot = PROT_NONE; prot <= PROT_READ; prot++) {
        ck_assert_int_eq(mprotect(base + page, 4 * page, prot), 0);
        expect_map(ctx, base, "#..##..#");
        ck_assert_int_eq(mprotect(base, 8 * page, PROT_READ | PROT_WRITE), 0);
        expect_map(ctx, base, "#..##..#");
    }
    reset_pages(base, 8);
    ck_assert_int_eq(mprotect(base, 4 * page, PROT_READ), 0);
    ck_assert_int_eq(mprotect(base, 4 * page, PROT_READ | PROT_WRITE), 0);
    write_map(base, ".#...#..");
    expect_map(ctx, base, ".#...#..");
}
END_TEST

static sigjmp_buf refused;

static void on_refusal(int sig)
{
    (void)sig;
    siglongjmp(refused, 1);
}

/* The program's own handler gets the signal of a store that the program's protections forbid, and the page
 * does not count as written. */
START_TEST(a_forbidden_write_faults_and_marks_nothing)
{
    struct sigaction action = { .sa_handler = on_refusal, .sa_flags = SA_NODEFER };
    volatile unsigned int nr_refused = 0;
    char *base;

    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    base = watch_pages(4);
    write_map(base, "#...");
    protect(base, 0, 2, PROT_READ);
    protect(base, 2, 3, PROT_NONE);
    for (volatile size_t i = 0; i < 4; i++) {
        if (sigsetjmp(refused, 1)) {
            nr_refused++;
        } else {
            write_page(base, i, 2);
        }
    }
    ck_assert_uint_eq(nr_refused, 3);
    expect_map(ctx, base, "#..#");
    protect(base, 0, 4, PROT_READ | PROT_WRITE);
    ck_assert_int_eq(read_page(base, 0), 1);
    ck_assert_int_eq(read_page(base, 2), 0);
    expect_map(ctx, base, "#..#");
}
END_TEST

/* The memory is not writable when the watch begins, and becomes writable later. */
START_TEST(memory_that_is_protected_when_it_is_watched)
{
    int prot = _i ? PROT_READ : PROT_NONE;
    char *base = map_pages(6);

    write_map(base, "##....");
    ck_assert_int_eq(mprotect(base, 4 * page_size(), prot), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 6 * page_size(), 0), 0);
    expect_map(ctx, base, "......");
    protect(base, 0, 6, PROT_READ | PROT_WRITE);
    expect_map(ctx, base, "......");
    write_map(base, "#.#.#.");
    expect_map(ctx, base, "#.#.#.");
}
END_TEST

/* Where the processor lets programs read what they may write, it still does. */
START_TEST(memory_that_may_only_be_written_can_still_be_read)
{
    char *base = mmap(NULL, 8 * page_size(), PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_int_eq(read_page(base, 1), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page_size(), 0), 0);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(read_page(base, 1), 0);
        write_map(base, "..#..#..");
        expect_map(ctx, base, "..#..#..");
        ck_assert_int_eq(ww_protect(ctx, base, 4 * page_size(), PROT_WRITE), 0);
        expect_map(ctx, base, "..#..#..");
        ck_assert_int_ne(read_page(base, 2), 0);
        reset_pages(base, 8);
    }
}
END_TEST

/* ---- behind our back ---- */

/* Resets the range; with @all, writes every page first: the library may scan a range differently if all its
 * pages were reported before. */
static void populate(char *base, size_t nr, bool all)
{
    for (size_t i = 0; all && i < nr; i++) {
        write_page(base, i, 1);
    }
    reset_pages(base, nr);
}

/* Parts of 16 pages: at the start, in the middle, at the end, all of it, one page. */
static const struct {
    size_t from, to;
} parts[] = { { 0, 5 }, { 5, 11 }, { 9, 16 }, { 0, 16 }, { 7, 8 } };
#define NR_PARTS (sizeof(parts) / sizeof(parts[0]))

START_TEST(a_replaced_mapping_is_noticed)
{
    size_t page = page_size(), from = parts[_i / 2].from, to = parts[_i / 2].to;
    char map[] = "#.#.#..#.##..#.#", *base = watch_pages(16);
    void *pages[16];

    NEEDS(WW_CAP_LOST_DETECTED);
    populate(base, 16, _i % 2);
    write_map(base, map);
    remap_pages(base + from * page, to - from);
    write_page(base, from, 1);
    write_page(base, to - 1, 0);
    memset(map + from, '?', to - from);
    map[from] = map[to - 1] = '#';
    expect_map(ctx, base, map);
    ck_assert_int_gt(ww_get_pages(ctx, base, 16 * page, WW_GET_RESET, pages, 16), 0);
    /* From here on answers are exact again, except for a hole where a page was reported before. A read of it
     * may be reported, because the page may have been written and then become a zero page. Where reads do not
     * map the zero page, a read of any hole in the new mapping may be reported. */
    expect_map(ctx, base, "................");
    write_map(base, "....#...#.....#.");
    read_page(base, 7);
    if ((_i % 2 || !reads_map_zero_page()) && from <= 7 && 7 < to) {
        expect_map(ctx, base, "....#..?#.....#.");
    } else {
        expect_map(ctx, base, "....#...#.....#.");
    }
}
END_TEST

/* Every call must notice that a mapping was replaced, not only a get. */
START_TEST(a_replaced_mapping_is_noticed_by_every_call)
{
    size_t page = page_size();
    char *base = watch_pages(8);
    void *pages[8];

    NEEDS(WW_CAP_LOST_DETECTED);
    populate(base, 8, _i % 2);
    write_map(base, "#.#.#.#.");
    remap_pages(base + 2 * page, 4);
    write_page(base, 3, 1);
    switch (_i / 2) {
    case 0:
        ck_assert_int_ge(ww_count(ctx, base, 8 * page), 3);
        break;
    case 1:
        ck_assert_int_eq(ww_latch(ctx, base, 8 * page), 0);
        break;
    case 2:
        ck_assert_int_eq(ww_get_pages(ctx, base, 8 * page, WW_GET_RESET, pages, 1), 1);
        write_page(base, 0, 1);
        break;
    case 3:
        ck_assert_int_eq(ww_reset(ctx, base, 8 * page), 0);
        expect_map(ctx, base, "........");
        write_map(base, "#..#..#.");
        break;
    default:
        ck_assert_int_eq(ww_unwatch(ctx, base + page, page), 0);
        expect_map(ctx, base + 2 * page, "?#??#.");
        return;
    }
    expect_map(ctx, base, "#.?#??#.");
    write_map(base, "..#.....");
    expect_map(ctx, base, "#.##??#.");
}
END_TEST

/* The program unmaps a part in the middle, and later maps memory there. */
START_TEST(a_hole_leaves_the_rest_exact)
{
    size_t page = page_size();
    char *base = watch_pages(16);
    void *pages[16];

    NEEDS(WW_CAP_LOST_DETECTED);
    populate(base, 16, _i);
    write_map(base, "#...#.........#.");
    munmap(base + 6 * page, 4 * page);
    expect_map(ctx, base, "#...#.????....#.");
    write_map(base, ".#..........#...");
    expect_map(ctx, base, "##..#.????..#.#.");
    ck_assert_int_eq(ww_latch(ctx, base, 3 * page), 0);
    ck_assert_int_ge(ww_get_pages(ctx, base, 16 * page, WW_GET_RESET, pages, 16), 5);
    write_map(base, "..#............#");
    expect_map(ctx, base, "..#...????.....#");
    remap_pages(base + 6 * page, 4);
    write_map(base, ".......#........");
    expect_map(ctx, base, "..#...?#??.....#");
    ck_assert_int_ge(ww_get_pages(ctx, base, 16 * page, WW_GET_RESET, pages, 16), 3);
    write_map(base, "........#.......");
    expect_map(ctx, base, "........#.......");
    ck_assert_int_eq(ww_unwatch(ctx, base, 16 * page), 0);
}
END_TEST

START_TEST(advice_behind_our_back_loses_no_later_write)
{
    static const int advice[] = { MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE };
    size_t page = page_size();
    char *base = watch_pages(12);
    void *pages[12];

    populate(base, 12, _i % 2);
    for (int round = 0; round < 3; round++) {
        write_map(base, "#...##....#.");
        if (round == 1) {
            ck_assert_int_ge(ww_get_pages(ctx, base, 12 * page, WW_GET_RESET, pages, 12), 4);
        }
        /* The kernel may refuse an advice, and should refuse MADV_COLLAPSE here. */
        madvise(base + 2 * page, 8 * page, advice[_i / 2]);
        write_map(base, "...##..#...#");
        expect_map(ctx, base, round == 1 ? "..?##??#??.#" : "#.?##??#??##");
        reset_pages(base, 12);
    }
}
END_TEST

void add_mapping_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "mappings");

    tcase_add_loop_test(tcase, what_is_latched_survives_a_discard, 0, 2);
    tcase_add_loop_test(tcase, discard_forgets_its_part_only, 0, 2);
    tcase_add_loop_test(tcase, what_did_not_fit_is_not_latched, 0, 2);
    tcase_add_test(tcase, latch_changes_no_answer);
    tcase_add_test(tcase, protections_change_no_answer);
    tcase_add_loop_test(tcase, reset_and_latch_work_on_protected_pages, 0, 2);
    tcase_add_test(tcase, mprotect_changes_no_answer);
    tcase_add_test(tcase, a_forbidden_write_faults_and_marks_nothing);
    tcase_add_loop_test(tcase, memory_that_is_protected_when_it_is_watched, 0, 2);
    tcase_add_test(tcase, memory_that_may_only_be_written_can_still_be_read);
    tcase_add_loop_test(tcase, a_replaced_mapping_is_noticed, 0, 2 * NR_PARTS);
    tcase_add_loop_test(tcase, a_replaced_mapping_is_noticed_by_every_call, 0, 10);
    tcase_add_loop_test(tcase, a_hole_leaves_the_rest_exact, 0, 2);
    tcase_add_loop_test(tcase, advice_behind_our_back_loses_no_later_write, 0, 10);
}
