/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, sizes: more runs than one scan returns, more memory than one scan visits, and reservations
 * that consist almost only of holes.
 */
#include "contract.h"

#define SCAN_RUNS 512 /* runs that an implementation is likely to ask for at once */

/* Writes every third page, @nr in all. */
static void write_isolated(char *base, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        write_page(base, 3 * i + 1, 1);
    }
}

static void mark_isolated(char *map, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        map[3 * i + 1] = '#';
    }
}

START_TEST(more_runs_than_one_scan)
{
    static const size_t capacities[] = {
        1,    SCAN_RUNS - 1, SCAN_RUNS, SCAN_RUNS + 1, 2 * SCAN_RUNS - 1, 2 * SCAN_RUNS, 2 * SCAN_RUNS + 1,
        2500, 2600,
    };
    size_t nr = 2500, nr_pages = 3 * nr, page = page_size(), capacity = capacities[_i];
    char *base = watch_pages(nr_pages), *map = malloc(nr_pages + 1);
    struct ww_range *ranges = malloc(capacity * sizeof(*ranges));
    void **pages = malloc(capacity * sizeof(*pages));
    size_t taken = capacity < nr ? capacity : nr;
    ssize_t found;

    memset(map, '.', nr_pages);
    write_isolated(base, nr);
    mark_isolated(map, nr);
    expect_number(ctx, ww_count(ctx, base, nr_pages * page), nr, nr_pages);
    found = ww_get_pages(ctx, base, nr_pages * page, WW_GET_RESET, pages, capacity);
    expect_number(ctx, found, taken, capacity);
    take_pages(ctx, base, map, nr_pages, pages, found, capacity);
    expect_map_len(ctx, base, map, nr_pages);
    write_isolated(base, nr);
    mark_isolated(map, nr);
    found = ww_get_ranges(ctx, base, nr_pages * page, WW_GET_RESET, ranges, capacity);
    ck_assert(found == (ssize_t)taken || !is_exact(ctx));
    take_ranges(ctx, base, map, nr_pages, ranges, found, capacity);
    expect_map_len(ctx, base, map, nr_pages);
    reset_pages(base, nr_pages);
}
END_TEST

/* No page is reported. */
static void expect_nothing(struct ww_context *c, const char *base, size_t nr)
{
    expect_number(c, ww_count(c, base, nr * page_size()), 0, nr);
}

/* More runs in the latch than one scan returns, with written pages between them. */
START_TEST(more_latched_runs_than_one_scan)
{
    size_t nr = 1800, nr_pages = 3 * nr, page = page_size();
    char *base = watch_pages(nr_pages), *map = malloc(nr_pages);
    void **pages = malloc(nr_pages * sizeof(*pages));
    ssize_t found;

    write_isolated(base, nr);
    ck_assert_int_eq(ww_latch(ctx, base, nr_pages * page), 0);
    for (size_t i = 0; i < nr; i++) {
        write_page(base, 3 * i, 1);
    }
    for (size_t i = 0; i < nr_pages; i++) {
        map[i] = i % 3 == 2 ? '.' : '#';
    }
    expect_map_len(ctx, base, map, nr_pages);
    found = ww_get_pages(ctx, base, nr_pages * page, WW_GET_RESET, pages, 1001);
    ck_assert_int_eq(found, 1001);
    take_pages(ctx, base, map, nr_pages, pages, found, 1001);
    expect_map_len(ctx, base, map, nr_pages);
    found = ww_get_pages(ctx, base, nr_pages * page, WW_GET_RESET, pages, nr_pages);
    expect_number(ctx, found, 2 * nr - 1001, nr_pages);
    take_pages(ctx, base, map, nr_pages, pages, found, nr_pages);
    expect_nothing(ctx, base, nr_pages);
}
END_TEST

/* The program writes all of 96 MB, twice, and then a few pages of it. */
START_TEST(more_memory_than_one_scan)
{
    size_t nr = 24576, page = page_size(), at = 0;
    char *base = watch_pages(nr), *map = malloc(nr);
    void **pages = malloc(nr * sizeof(*pages));
    ssize_t found;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < nr; i++) {
            write_page(base, i, 1);
        }
        ck_assert_int_eq(ww_count(ctx, base, nr * page), nr);
        ck_assert_int_eq(ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, nr - 1), nr - 1);
        ck_assert_ptr_eq(pages[0], base);
        ck_assert_ptr_eq(pages[nr - 2], base + (nr - 2) * page);
        found = ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, nr);
        expect_number(ctx, found, 1, nr);
        ck_assert_ptr_eq(pages[found - 1], base + (nr - 1) * page);
    }
    memset(map, '.', nr);
    for (size_t i = 3; i < nr; i += 1 + i / 7) {
        write_page(base, i, 1);
        map[i] = '#';
        at++;
    }
    expect_number(ctx, ww_count(ctx, base, nr * page), at, nr);
    expect_map_len(ctx, base, map, nr);
}
END_TEST

/* Every page of 80 MB exists and is clean; then some are written, dropped, replaced and latched. */
START_TEST(a_large_range_that_is_populated)
{
    size_t nr = 20480, page = page_size();
    char *base = watch_pages(nr), *map = malloc(nr);
    void **pages = malloc(nr * sizeof(*pages));

    for (size_t i = 0; i < nr; i++) {
        write_page(base, i, 1);
    }
    ck_assert_int_eq(ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, nr), nr);
    memset(map, '.', nr);
    expect_map_len(ctx, base, map, nr);
    for (size_t i = 5; i < nr; i += 37) {
        write_page(base, i, 0);
        map[i] = '#';
    }
    expect_map_len(ctx, base, map, nr);
    ck_assert_int_eq(ww_latch(ctx, base + 3000 * page, 200 * page), 0);
    ck_assert_int_eq(madvise(base + 2000 * page, 9000 * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base + 2000 * page, 9000 * page), 0);
    memset(map + 2000, '.', 1000);
    memset(map + 3200, '.', 7800);
    expect_map_len(ctx, base, map, nr);
    remap_pages(base + 15000 * page, 3000);
    ck_assert_int_eq(ww_discard(ctx, base + 15000 * page, 3000 * page), 0);
    memset(map + 15000, '.', 3000);
    for (size_t i = 1000; i < 19000; i += 111) {
        read_page(base, i + 1);
        write_page(base, i, 1);
        map[i] = '#';
    }
    expect_map_len(ctx, base, map, nr);
    reset_pages(base, nr);
    write_page(base, 16000, 1);
    memset(map, '.', nr);
    map[16000] = '#';
    expect_map_len(ctx, base, map, nr);
}
END_TEST

/* Compares without a map, which would take too many pages: gets three runs at a time. */
static void expect_written(const char *base, size_t nr, const size_t *written, size_t nr_written,
                           unsigned int flags)
{
    size_t page = page_size(), from = 0, at = 0;
    struct ww_range ranges[3];
    ssize_t found;

    do {
        found = ww_get_ranges(ctx, base + from * page, (nr - from) * page, flags, ranges, 3);
        ck_assert_int_ge(found, 0);
        for (ssize_t i = 0; i < found; i++) {
            size_t start = (ranges[i].start - (uintptr_t)base) / page;
            size_t end = (ranges[i].end - (uintptr_t)base) / page;

            ck_assert_msg(start >= from && start < end && end <= nr, "run of pages %zu to %zu", start, end);
            ck_assert_msg(at >= nr_written || written[at] >= start, "page %zu is missing", written[at]);
            for (; at < nr_written && written[at] < end; at++) {
                start++;
            }
            /* The run has no other pages, unless the backend is not exact. */
            ck_assert_msg(start == end || !is_exact(ctx), "pages before %zu were not written", end);
            from = end;
        }
    } while (found == 3 && from < nr);
    ck_assert_msg(at == nr_written, "page %zu is missing", written[at < nr_written ? at : 0]);
}

START_TEST(a_sparse_reservation_of_4_gb)
{
    static const size_t written[] = { 0, 1, 511, 512, 4095, 4096, 65535, 65536, 262144, 1000000, 1048575 };
    static const size_t later[] = { 700000 };
    size_t nr = 1048576, page = page_size(), nr_written = sizeof(written) / sizeof(written[0]);
    char *base;

    if (sizeof(void *) < 8) {
        printf("SKIP %s: the address space is too small\n", __func__);
        return;
    }
    base = watch_pages(nr);
    expect_nothing(ctx, base, nr);
    for (size_t i = 0; i < nr_written; i++) {
        write_page(base, written[i], 1);
        read_page(base, (written[i] + 7919) % nr);
    }
    expect_written(base, nr, written, nr_written, 0);
    ck_assert_int_eq(ww_latch(ctx, base + nr / 2 * page, nr / 2 * page), 0);
    ck_assert_int_eq(madvise(base, nr * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base, nr * page), 0);
    expect_written(base, nr, written + nr_written - 2, 2, WW_GET_RESET);
    write_page(base, later[0], 1);
    expect_written(base, nr, later, 1, WW_GET_RESET);
    ck_assert_int_eq(ww_unwatch(ctx, base, nr * page), 0);
}
END_TEST

/* Many adjacent regions: each reports its own pages. */
START_TEST(many_small_regions)
{
    size_t nr = 500, page = page_size();
    char *base = map_pages(2 * nr);

    for (size_t i = 0; i < nr; i++) {
        size_t at = i * 269 % nr; /* in no order */

        ck_assert_int_eq(ww_watch(ctx, base + 2 * at * page, 2 * page, WW_WATCH_FRESH), 0);
    }
    for (size_t i = 0; i < nr; i += 3) {
        write_page(base, 2 * i + i % 2, 1);
    }
    for (size_t i = 0; i < nr; i++) {
        expect_map(ctx, base + 2 * i * page, i % 3 ? ".." : i % 2 ? ".#" : "#.");
    }
    ck_assert_int_eq(ww_unwatch(ctx, base + page, (2 * nr - 2) * page), 0);
    expect_map(ctx, base, "#");
    expect_map(ctx, base + (2 * nr - 1) * page, ".");
}
END_TEST

void add_size_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "sizes");

    tcase_add_loop_test(tcase, more_runs_than_one_scan, 0, 9);
    tcase_add_test(tcase, more_latched_runs_than_one_scan);
    tcase_add_test(tcase, more_memory_than_one_scan);
    tcase_add_test(tcase, a_large_range_that_is_populated);
    tcase_add_test(tcase, a_sparse_reservation_of_4_gb);
    tcase_add_test(tcase, many_small_regions);
}
