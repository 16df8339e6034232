/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, mappings: what the library answers when the mapping changes. Latch and discard, protections,
 * mappings that are replaced or unmapped behind the library's back, huge pages.
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

/* Without mlockall(), a page that exists at a discard was written after the pages were dropped. */
START_TEST(a_write_before_a_discard_is_not_taken_for_the_kernels)
{
    char *base = watch_pages(8);

    NEEDS(WW_CAP_FREE_ARMING | WW_CAP_FILES);
    write_map(base, "#..#....");
    remap_pages(base, 8);
    write_map(base, "..#.....");
    ck_assert_int_eq(ww_discard(ctx, base, 8 * page_size()), 0);
    expect_map(ctx, base, "..#.....");
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
    unsigned char there = 0;

    NEEDS(WW_CAP_EXACT);
    write_page(neighbour, 0, 1);
    if (mincore(base, page_size(), &there) || !(there & 1)) {
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
    tcase_add_loop_test(tcase, a_replaced_mapping_is_noticed, 0, 2 * NR_PARTS);
    tcase_add_loop_test(tcase, a_replaced_mapping_is_noticed_by_every_call, 0, 10);
    tcase_add_loop_test(tcase, a_hole_leaves_the_rest_exact, 0, 2);
    tcase_add_loop_test(tcase, advice_behind_our_back_loses_no_later_write, 0, 10);
    tcase_add_loop_test(tcase, pages_that_the_kernel_populates_are_no_writes, 0, 6);
    tcase_add_test(tcase, a_backend_opens_in_a_process_that_locks_its_memory);
    tcase_add_test(tcase, a_context_locks_little_of_the_programs_memory);
    tcase_add_test(tcase, a_write_before_a_discard_is_not_taken_for_the_kernels);
    tcase_add_loop_test(tcase, a_write_to_a_huge_page_marks_one_page, 0, 2);
    tcase_add_loop_test(tcase, a_huge_page_of_a_neighbour_is_no_write, 0, 3);
    tcase_add_test(tcase, watched_memory_is_neither_huge_nor_merged);
}
