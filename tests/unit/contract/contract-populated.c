/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, pages that the kernel brings in by itself: memory that is locked or populated before it is
 * touched, and huge pages. They are no writes when a watch begins; ww_discard() cannot tell all of them from
 * writes.
 */
#include "contract.h"

/* After mlockall(), the kernel populates new memory before the program touches it. */
START_TEST(pages_that_the_kernel_populates_are_no_writes)
{
    static const unsigned int flags[] = { 0, WW_WATCH_FRESH, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS };
    char *base;

    if (mlockall(MCL_FUTURE)) {
        printf("SKIP %s: mlockall: %s\n", __func__, strerror(errno));
        return;
    }
    base = map_pages(8);
    if (_i / 3) {
        mprotect(base + 2 * page_size(), 2 * page_size(), PROT_NONE);
    }
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page_size(), flags[_i % 3]), 0);
    expect_map(ctx, base, "........");
    write_map(base, "#....#..");
    expect_map(ctx, base, "#....#..");
    remap_pages(base + 4 * page_size(), 4);
    ck_assert_int_eq(ww_discard(ctx, base + 4 * page_size(), 4 * page_size()), 0);
    expect_map(ctx, base, "#.......");
    write_map(base, "......#.");
    expect_map(ctx, base, "#.....#.");
    munlockall();
}
END_TEST

/* Whether the page is in memory. */
static bool is_present(char *page)
{
    unsigned char there = 0;

    return !mincore(page, page_size(), &there) && (there & 1);
}

/* With MAP_POPULATE the pages exist before the program touches them: new memory at @addr, or anywhere. */
static char *map_populated(char *addr, size_t nr, int visibility)
{
    char *base = mmap(addr, nr * page_size(), PROT_READ | PROT_WRITE,
                      visibility | MAP_ANONYMOUS | MAP_POPULATE | (addr ? MAP_FIXED : 0), -1, 0);

    ck_assert_ptr_ne(base, MAP_FAILED);
    for (size_t i = 0; i < nr; i++) {
        ck_assert(is_present(base + i * page_size()));
    }
    return base;
}

START_TEST(populated_pages_are_clean_when_a_watch_begins)
{
    static const struct {
        unsigned int flags;
        int visibility;
    } rows[] = {
        { 0, MAP_PRIVATE },
        { WW_WATCH_FRESH, MAP_PRIVATE },
        { WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS, MAP_PRIVATE },
        { 0, MAP_SHARED },
        { WW_WATCH_FRESH, MAP_SHARED },
    };
    char *base;

    if (rows[_i].visibility == MAP_SHARED && !has_cap(WW_CAP_SHARED)) {
        printf("SKIP %s %d on %s: it lacks WW_CAP_SHARED\n", __func__, _i, backend->name);
        return;
    }
    base = map_populated(NULL, 8, rows[_i].visibility);
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page_size(), rows[_i].flags), 0);
    expect_map(ctx, base, "........");
    read_page(base, 3);
    write_map(base, "#....#..");
    expect_map(ctx, base, "#....#..");
    reset_pages(base, 8);
    write_map(base, ".#......");
    expect_map(ctx, base, ".#......");
}
END_TEST

/* ww_discard() cannot tell populated pages from pages that the program has written since they were mapped. */
START_TEST(populated_pages_count_as_written_when_they_replace_others)
{
    char *base = watch_pages(8);

    write_map(base, "#....#..");
    map_populated(base + 4 * page_size(), 4, MAP_PRIVATE);
    ck_assert_int_eq(ww_discard(ctx, base + 4 * page_size(), 4 * page_size()), 0);
    expect_map(ctx, base, "#...####");
    reset_pages(base, 8);
    write_map(base, "......#.");
    expect_map(ctx, base, "......#.");
}
END_TEST

/* The self test of a backend uses new memory and missing pages, and must work although the kernel populates
 * new memory. */
START_TEST(a_backend_opens_in_a_process_that_locks_its_memory)
{
    struct ww_context *other;
    char *base;

    if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
        printf("SKIP %s: mlockall: %s\n", __func__, strerror(errno));
        return;
    }
    ck_assert_int_eq(ww_open(&other, backend->name), 0);
    base = map_pages(8);
    ck_assert_int_eq(ww_watch(other, base, 8 * page_size(), 0), 0);
    expect_map(other, base, "........");
    write_map(base, "#....#..");
    expect_map(other, base, "#....#..");
    ck_assert_int_eq(ww_unwatch(other, base, 8 * page_size()), 0);
    ck_assert_int_eq(ww_watch(other, base, 8 * page_size(), 0), 0);
    ww_fill_on_demand(other, base, 8 * page_size(), put_nothing, NULL);
    ww_close(other);
    munlockall();
}
END_TEST

/* The kernel populates locked memory at once, so the stacks of idle threads and the library's tables must not
 * take megabytes. */
START_TEST(a_context_locks_little_of_the_programs_memory)
{
    struct ww_context *other;
    char *base = map_pages(8);
    unsigned long locked, present;

    NOT_UNDER_TSAN("its shadow counts as memory of the process");
    if (access("/proc/self/status", R_OK) || mlockall(MCL_FUTURE)) {
        printf("SKIP %s: %s\n", __func__, strerror(errno));
        return;
    }
    locked = status_kb("VmLck");
    present = status_kb("VmRSS");
    ck_assert_int_eq(ww_open(&other, backend->name), 0);
    ck_assert_int_eq(ww_watch(other, base, 8 * page_size(), 0), 0);
    ww_fill_on_demand(other, base, 8 * page_size(), put_nothing, NULL);
    ck_assert_uint_lt(status_kb("VmLck"), locked + 1024);
    ck_assert_uint_lt(status_kb("VmRSS"), present + 2048);
    ww_close(other);
    munlockall();
}
END_TEST

/* ---- huge pages and merging ---- */

#define HUGE_BYTES ((size_t)2 << 20)

static char *map_huge(void)
{
    char *area = map_pages(3 * HUGE_BYTES / page_size());
    char *base = (char *)(((uintptr_t)area + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));

    madvise(base, 2 * HUGE_BYTES, MADV_HUGEPAGE);
    return base;
}

/* Memory that may be huge pages, or the huge zero page, before it is watched: one write marks one small
 * page. */
START_TEST(a_write_to_a_huge_page_marks_one_page)
{
    size_t nr = 2 * HUGE_BYTES / page_size();
    char *base = map_huge(), *map = malloc(nr);
    void *pages[8];

    if (_i) {
        memset(base, 1, 2 * HUGE_BYTES);
    } else {
        read_page(base, 5);
        read_page(base, nr - 5);
    }
    ck_assert_int_eq(ww_watch(ctx, base, 2 * HUGE_BYTES, 0), 0);
    memset(map, '.', nr);
    expect_map_len(ctx, base, map, nr);
    read_page(base, 100);
    write_page(base, 3, 0);
    write_page(base, nr / 2 + 1, 0);
    map[3] = map[nr / 2 + 1] = '#';
    expect_map_len(ctx, base, map, nr);
    NEEDS(WW_CAP_EXACT);
    ck_assert_int_eq(ww_get_pages(ctx, base, 2 * HUGE_BYTES, WW_GET_RESET, pages, 8), 2);
    write_page(base, 4, 1);
    ck_assert_int_eq(ww_get_pages(ctx, base, 2 * HUGE_BYTES, WW_GET_RESET, pages, 8), 1);
    ck_assert_ptr_eq(pages[0], base + 4 * page_size());
}
END_TEST

/* A fault beside new memory may bring in a huge page that reaches into it, which is no write there. */
START_TEST(a_huge_page_of_a_neighbour_is_no_write)
{
    static const unsigned int flags[] = { 0, WW_WATCH_FRESH, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS };
    size_t len = HUGE_BYTES / 2, nr = len / page_size();
    char *neighbour = map_huge(), *base = neighbour + len, *map = malloc(nr);

    NEEDS(WW_CAP_EXACT);
    write_page(neighbour, 0, 1);
    if (!is_present(base)) {
        printf("SKIP %s on %s: no huge page is free\n", __func__, backend->name);
        free(map);
        return;
    }
    ck_assert_int_eq(ww_watch(ctx, base, len, flags[_i]), 0);
    memset(map, '.', nr);
    expect_map_len(ctx, base, map, nr);
    write_page(base, 5, 0);
    map[5] = '#';
    expect_map_len(ctx, base, map, nr);
    free(map);
}
END_TEST

/* Where such a huge page comes between the new mapping and ww_discard(), its pages count as written. */
START_TEST(a_huge_page_of_a_neighbour_counts_when_memory_is_replaced)
{
    size_t len = HUGE_BYTES / 2, nr = len / page_size();
    char *neighbour = map_huge(), *base = neighbour + len, *map = malloc(nr);

    ck_assert_int_eq(ww_watch(ctx, base, len, WW_WATCH_FRESH), 0);
    remap_pages(neighbour, 2 * nr);
    madvise(neighbour, 2 * len, MADV_HUGEPAGE);
    write_page(neighbour, 0, 1);
    if (!is_present(base) || !is_present(base + len - page_size())) {
        printf("SKIP %s on %s: no huge page is free\n", __func__, backend->name);
        free(map);
        return;
    }
    ck_assert_int_eq(ww_discard(ctx, base, len), 0);
    memset(map, '#', nr);
    expect_map_len(ctx, base, map, nr);
    reset_pages(base, nr);
    write_page(base, 5, 0);
    memset(map, '.', nr);
    map[5] = '#';
    expect_map_len(ctx, base, map, nr);
    free(map);
}
END_TEST

START_TEST(watched_memory_is_neither_huge_nor_merged)
{
    char *base = map_huge(), flags[256];
    bool mergeable = !madvise(base, 2 * HUGE_BYTES, MADV_MERGEABLE);

    NEEDS(WW_CAP_EXACT);
    if (access("/proc/self/smaps", R_OK)) {
        printf("SKIP %s on %s: /proc/self/smaps: %s\n", __func__, backend->name, strerror(errno));
        return;
    }
    smaps_line(base, "VmFlags", flags, sizeof(flags));
    if (!strstr(flags, " hg") && !mergeable) {
        printf("SKIP %s: the kernel has neither huge pages nor KSM\n", __func__);
        return;
    }
    ck_assert_int_eq(ww_watch(ctx, base, 2 * HUGE_BYTES, WW_WATCH_FRESH), 0);
    smaps_line(base, "VmFlags", flags, sizeof(flags));
    ck_assert_msg(!strstr(flags, " hg"), "flags after ww_watch:%s", flags);
    ck_assert_msg(!strstr(flags, " mg"), "flags after ww_watch:%s", flags);
    /* The same for a new mapping, after ww_discard(). */
    remap_pages(base, 4);
    madvise(base, 4 * page_size(), MADV_HUGEPAGE);
    ck_assert_int_eq(ww_discard(ctx, base, 4 * page_size()), 0);
    smaps_line(base, "VmFlags", flags, sizeof(flags));
    ck_assert_msg(!strstr(flags, " hg"), "flags after ww_discard:%s", flags);
}
END_TEST

void add_populated_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "populated");

    tcase_add_loop_test(tcase, pages_that_the_kernel_populates_are_no_writes, 0, 6);
    tcase_add_loop_test(tcase, populated_pages_are_clean_when_a_watch_begins, 0, 5);
    tcase_add_test(tcase, populated_pages_count_as_written_when_they_replace_others);
    tcase_add_test(tcase, a_backend_opens_in_a_process_that_locks_its_memory);
    tcase_add_test(tcase, a_context_locks_little_of_the_programs_memory);
    tcase_add_loop_test(tcase, a_write_to_a_huge_page_marks_one_page, 0, 2);
    tcase_add_loop_test(tcase, a_huge_page_of_a_neighbour_is_no_write, 0, 3);
    tcase_add_test(tcase, a_huge_page_of_a_neighbour_counts_when_memory_is_replaced);
    tcase_add_test(tcase, watched_memory_is_neither_huge_nor_merged);
}
