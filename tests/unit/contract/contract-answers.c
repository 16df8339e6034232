/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, answers: what counts as a write, and what a get and a reset do to the answer. Regions have a
 * few pages, so that the tests can try every capacity.
 */
#include "contract.h"

START_TEST(fresh_memory_is_clean)
{
    char *base = watch_pages(8);

    expect_map(ctx, base, "........");
}
END_TEST

START_TEST(populated_memory_starts_clean)
{
    char *base = map_pages(8);

    write_map(base, "##.#.###");
    read_page(base, 2);
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page_size(), 0), 0);
    expect_map(ctx, base, "........");
    ck_assert_int_eq(read_page(base, 3), 1);
    write_page(base, 2, 1);
    write_page(base, 3, 1);
    write_page(base, 4, 1);
    expect_map(ctx, base, "..###...");
}
END_TEST

START_TEST(watching_again_starts_clean)
{
    char *base = watch_pages(8);

    write_map(base, "##..##..");
    ck_assert_int_eq(ww_latch(ctx, base, 4 * page_size()), 0);
    ck_assert_int_eq(ww_unwatch(ctx, base, 8 * page_size()), 0);
    write_map(base, "#.#.#.#.");
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page_size(), 0), 0);
    expect_map(ctx, base, "........");
    write_map(base, ".##.....");
    expect_map(ctx, base, ".##.....");
}
END_TEST

/* Reads of a hole, of a page that was written and reset, of a zero page and of a dropped page. */
START_TEST(reads_mark_nothing)
{
    char *base = watch_pages(6);

    write_map(base, ".##...");
    reset_pages(base, 6);
    ck_assert_int_eq(madvise(base + 2 * page_size(), page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base + 2 * page_size(), page_size()), 0);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(read_page(base, 0), 0);
        ck_assert_int_eq(read_page(base, 1), 1);
        ck_assert_int_eq(read_page(base, 2), 0);
        expect_map(ctx, base, "......");
        ck_assert_int_eq(ww_reset(ctx, base, 6 * page_size()), 0);
    }
    write_map(base, "###...");
    expect_map(ctx, base, "###...");
}
END_TEST

START_TEST(writes_of_zeros_count)
{
    char *base = watch_pages(4);

    write_page(base, 1, 0);
    read_page(base, 2);
    write_page(base, 2, 0);
    expect_map(ctx, base, ".##.");
    reset_pages(base, 4);
    write_page(base, 1, 0);
    expect_map(ctx, base, ".#..");
    /* A page that held data becomes all zeros. */
    write_page(base, 3, 7);
    reset_pages(base, 4);
    write_page(base, 3, 0);
    expect_map(ctx, base, "...#");
    ck_assert_int_eq(ww_latch(ctx, base, 4 * page_size()), 0);
    expect_map(ctx, base, "...#");
}
END_TEST

START_TEST(writing_the_same_value_counts)
{
    char *base = watch_pages(3);

    write_page(base, 1, 5);
    reset_pages(base, 3);
    write_page(base, 1, 5);
    expect_map(ctx, base, ".#.");
}
END_TEST

START_TEST(a_write_over_a_boundary_marks_both_pages)
{
    char *base = watch_pages(6);
    uint64_t value = UINT64_C(0x1122334455667788);

    memcpy(base + 2 * page_size() - 3, &value, sizeof(value));
    expect_map(ctx, base, ".##...");
    reset_pages(base, 6);
    memcpy(base + 4 * page_size() - 1, &value, sizeof(value));
    expect_map(ctx, base, "...##.");
    memset(base + page_size() - 1, 1, page_size() + 2);
    expect_map(ctx, base, "#####.");
}
END_TEST

START_TEST(get_without_reset_repeats)
{
    char *base = watch_pages(8);

    write_map(base, "#..##..#");
    for (int i = 0; i < 3; i++) {
        expect_map(ctx, base, "#..##..#");
    }
}
END_TEST

START_TEST(get_with_reset_clears_what_it_returns)
{
    char *base = watch_pages(8);
    void *pages[8];

    write_map(base, "#..##..#");
    expect_number(ctx, ww_get_pages(ctx, base, 8 * page_size(), WW_GET_RESET, pages, 8), 4, 8);
    expect_map(ctx, base, "........");
    write_map(base, "...#..#.");
    expect_map(ctx, base, "...#..#.");
}
END_TEST

/* A range that holds one byte of a page covers the whole page. */
START_TEST(ranges_are_rounded_out)
{
    size_t page = page_size();
    char *base = watch_pages(4);
    void *pages[4];

    write_map(base, "####");
    ck_assert_int_eq(ww_get_pages(ctx, base + 2 * page - 1, 2, 0, pages, 4), 2);
    ck_assert_ptr_eq(pages[0], base + page);
    ck_assert_ptr_eq(pages[1], base + 2 * page);
    ck_assert_int_eq(ww_count(ctx, base + 4 * page - 1, 1), 1);
    ck_assert_int_eq(ww_reset(ctx, base + page + 5, 1), 0);
    expect_map(ctx, base, "#.##");
    ck_assert_int_eq(ww_latch(ctx, base + 3 * page + 9, 1), 0);
    ck_assert_int_eq(madvise(base, 4 * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base + page - 1, 3 * page - 3), 0);
    expect_map(ctx, base + page, "..#");
}
END_TEST

START_TEST(reset_of_a_part_leaves_the_rest)
{
    size_t page = page_size();

    for (size_t from = 0; from < 6; from++) {
        for (size_t to = from + 1; to <= 6; to++) {
            char *base = watch_pages(6), map[] = "#.####";

            write_map(base, map);
            ck_assert_int_eq(ww_latch(ctx, base, 3 * page), 0);
            ck_assert_int_eq(ww_reset(ctx, base + from * page, (to - from) * page), 0);
            memset(map + from, '.', to - from);
            expect_map(ctx, base, map);
            ck_assert_int_eq(ww_unwatch(ctx, base, 6 * page), 0);
            munmap(base, 6 * page);
        }
    }
}
END_TEST

/* ---- arrays that are too small ---- */

/* Pages that are dirty in the latch and pages that are dirty in the page tables, adjacent and apart. */
static const char mixed[] = "##.#####..#.##.####.#.##";
static const char latched[] = "#..##.#...#..#..##......";

static char *watch_mixed(void)
{
    size_t nr = strlen(mixed);
    char *base = watch_pages(nr);

    write_map(base, latched);
    ck_assert_int_eq(ww_latch(ctx, base, nr * page_size()), 0);
    ck_assert_int_eq(madvise(base, nr * page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base, nr * page_size()), 0);
    for (size_t i = 0; i < nr; i++) {
        if (mixed[i] == '#' && latched[i] != '#') {
            write_page(base, i, 1);
        }
    }
    expect_map(ctx, base, mixed);
    return base;
}

START_TEST(a_full_array_of_pages_leaves_the_rest_dirty)
{
    size_t nr = strlen(mixed);
    void *pages[sizeof(mixed) + 1];

    for (size_t capacity = 1; capacity <= nr; capacity++) {
        char *base = watch_mixed(), map[sizeof(mixed)];
        ssize_t found;

        for (unsigned int flags = 0; flags <= WW_GET_RESET; flags++) {
            memcpy(map, mixed, sizeof(mixed));
            for (size_t i = 0; i <= nr; i++) {
                pages[i] = &pages[i];
            }
            expect_map(ctx, base, mixed);
            found = ww_get_pages(ctx, base, nr * page_size(), flags, pages, capacity);
            take_pages(ctx, base, map, nr, pages, found, capacity);
            for (size_t i = found; i <= nr; i++) {
                ck_assert_msg(pages[i] == &pages[i], "entry %zu behind the %zd returned was touched", i,
                              found);
            }
        }
        expect_map(ctx, base, map);
        ck_assert_int_eq(ww_unwatch(ctx, base, nr * page_size()), 0);
    }
}
END_TEST

START_TEST(a_full_array_of_runs_leaves_the_rest_dirty)
{
    size_t nr = strlen(mixed), page = page_size();
    struct ww_range ranges[sizeof(mixed) + 1];

    for (size_t capacity = 1; capacity <= nr; capacity++) {
        char *base = watch_mixed(), map[sizeof(mixed)];
        ssize_t found;

        memcpy(map, mixed, sizeof(mixed));
        for (size_t i = 0; i <= nr; i++) {
            ranges[i] = (struct ww_range){ .start = 1, .end = 2 };
        }
        found = ww_get_ranges(ctx, base, nr * page, WW_GET_RESET, ranges, capacity);
        ck_assert_int_gt(found, 0);
        take_ranges(ctx, base, map, nr, ranges, found, capacity);
        for (size_t i = found; i <= nr; i++) {
            ck_assert_msg(ranges[i].start == 1 && ranges[i].end == 2, "entry %zu was touched", i);
        }
        expect_map(ctx, base, map);
        ck_assert_int_eq(ww_unwatch(ctx, base, nr * page), 0);
    }
}
END_TEST

/*
 * Repeated gets with a small array report every page once and in order. Each get begins at the start of the
 * range (_i 0) or behind the last reported page. Without WW_CAP_EXACT only the latter ends, because pages
 * that were reset may be reported again.
 */
START_TEST(small_arrays_drain_a_range)
{
    size_t nr = strlen(mixed);

    for (size_t capacity = 1; capacity < 8; capacity++) {
        char *base = watch_mixed(), map[sizeof(mixed)];
        struct taking taking = { .ctx = ctx, .base = base, .map = map, .nr = nr };
        size_t from = 0;
        void *pages[8];
        ssize_t found;

        memcpy(map, mixed, sizeof(mixed));
        do {
            found = ww_get_pages(ctx, base + from * page_size(), (nr - from) * page_size(), WW_GET_RESET,
                                 pages, capacity);
            ck_assert_int_ge(found, 0);
            for (ssize_t i = 0; i < found; i++) {
                take_page(&taking, pages[i]);
            }
            from = _i || !is_exact(ctx) ? taking.at : 0;
        } while (found == (ssize_t)capacity && from < nr);
        take_rest(&taking);
        expect_map(ctx, base, "........................");
        ck_assert_int_eq(ww_unwatch(ctx, base, nr * page_size()), 0);
    }
}
END_TEST

/* A get of a part of a region reports that part only. */
START_TEST(parts_of_a_region_can_be_asked_for)
{
    size_t nr = strlen(mixed), page = page_size();
    char *base = watch_mixed();

    for (size_t from = 0; from < nr; from++) {
        for (size_t to = from + 1; to <= nr; to++) {
            expect_map_len(ctx, base + from * page, mixed + from, to - from);
        }
    }
}
END_TEST

void add_answer_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "answers");

    tcase_add_test(tcase, fresh_memory_is_clean);
    tcase_add_test(tcase, populated_memory_starts_clean);
    tcase_add_test(tcase, watching_again_starts_clean);
    tcase_add_test(tcase, reads_mark_nothing);
    tcase_add_test(tcase, writes_of_zeros_count);
    tcase_add_test(tcase, writing_the_same_value_counts);
    tcase_add_test(tcase, a_write_over_a_boundary_marks_both_pages);
    tcase_add_test(tcase, get_without_reset_repeats);
    tcase_add_test(tcase, get_with_reset_clears_what_it_returns);
    tcase_add_test(tcase, ranges_are_rounded_out);
    tcase_add_test(tcase, reset_of_a_part_leaves_the_rest);
    tcase_add_test(tcase, a_full_array_of_pages_leaves_the_rest_dirty);
    tcase_add_test(tcase, a_full_array_of_runs_leaves_the_rest_dirty);
    tcase_add_loop_test(tcase, small_arrays_drain_a_range, 0, 2);
    tcase_add_test(tcase, parts_of_a_region_can_be_asked_for);
}
