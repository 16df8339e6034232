/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel does to pages of its own accord: it splits huge pages, whose
 * zero-filled parts become zero pages, swaps, and frees page tables. And scans that
 * must not make page tables grow. First as bare facts, then as answers of the library
 * on every backend. kernel-ksm.c has KSM.
 */
#include <errno.h>
#include <fcntl.h>

#include "kernel.h"

/* ---- a huge page with zeros in it is split ---- */

#define ZEROED 7

/* Fills 2 MB with fives, in one huge page. False: the kernel gives none. */
static bool fill_huge(char *base)
{
    memset(base, 5, HUGE_BYTES);
    if (smaps_kb(base, "AnonHugePages") < HUGE_BYTES >> 10) {
        madvise(base, HUGE_BYTES, MADV_COLLAPSE);
    }
    return smaps_kb(base, "AnonHugePages") >= HUGE_BYTES >> 10;
}

static void split_by_debugfs(const char *base)
{
    int fd = open("/sys/kernel/debug/split_huge_pages", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        dprintf(fd, "%d,0x%lx,0x%lx", getpid(), (unsigned long)base, (unsigned long)base + HUGE_BYTES);
        close(fd);
    }
}

/*
 * Splits the huge page itself, not only its mapping, by advice for a part of it or by
 * debugfs. Returns whether the zero-filled page became a zero page, as it does since
 * Linux 6.12.
 */
static bool split_huge(char *base)
{
    static const int advice[] = { MADV_COLD, MADV_PAGEOUT };

    for (size_t i = 0; i < 2 && !is_zero_page(base, ZEROED); i++) {
        madvise(base + 300 * page_size(), page_size(), advice[i]);
    }
    if (!is_zero_page(base, ZEROED)) {
        split_by_debugfs(base);
    }
    return is_zero_page(base, ZEROED);
}

START_TEST(zeros_in_a_split_huge_page)
{
    size_t nr = HUGE_BYTES / page_size();
    char *base = map_huge_area(nr), *map = malloc(nr + 1);
    bool zero_page;

    madvise(base, HUGE_BYTES, MADV_HUGEPAGE);
    ck_assert_int_eq(bare_register(&bare, base, nr, UFFDIO_REGISTER_MODE_WP), 0);
    if (!fill_huge(base)) {
        SKIP("no huge page can be had");
    }
    reset_bare(base, nr);
    memset(base + ZEROED * page_size(), 0, page_size());
    zero_page = split_huge(base);
    ck_assert_int_eq(bare_map(&bare, base, nr, LAZY, false, map), 0);
    ck_assert_int_eq(map[ZEROED], zero_page ? 'z' : '#');
    /* The scan reports no other page. */
    map[ZEROED] = '.';
    ck_assert_ptr_null(strpbrk(map, "#z"));
    ck_assert_int_eq(bare_map(&bare, base, nr, NO_ZERO, false, map), 0);
    inform("a page written with zeros, in a huge page that was split: it is %s zero page, and a scan that "
           "excludes zero pages %s",
           zero_page ? "a" : "no", map[ZEROED] == '#' ? "reports it" : "loses the write");
    ck_assert_int_eq(map[ZEROED] == '#', !zero_page);
}
END_TEST

/*
 * Watches a huge page, although the library advises against huge pages. @way 0: the page was huge before;
 * 1: by MADV_HUGEPAGE after ww_watch(); 2: by MADV_COLLAPSE after it. With @nr_holes untouched pages behind
 * it the region is sparse, without them it is dense: the library scans the two with different masks.
 */
static bool watch_huge(char *base, int way, size_t nr_holes)
{
    if (way == 0) {
        madvise(base, HUGE_BYTES, MADV_HUGEPAGE);
        if (!fill_huge(base)) {
            return false;
        }
    }
    ck_assert_int_eq(ww_watch(ctx, base, HUGE_BYTES + nr_holes * page_size(), 0), 0);
    if (way == 1) {
        madvise(base, HUGE_BYTES, MADV_HUGEPAGE);
        return fill_huge(base);
    }
    memset(base, 5, HUGE_BYTES);
    if (way == 2) {
        madvise(base, HUGE_BYTES, MADV_HUGEPAGE);
        madvise(base, HUGE_BYTES, MADV_COLLAPSE);
        return smaps_kb(base, "AnonHugePages") >= HUGE_BYTES >> 10;
    }
    return true;
}

START_TEST(zeros_in_a_split_huge_page_are_reported)
{
    static const char *const ways[] = { "before ww_watch", "by MADV_HUGEPAGE after it",
                                        "by MADV_COLLAPSE after it" };
    size_t nr_holes = _i % 2, nr = HUGE_BYTES / page_size() + nr_holes;
    char *base = map_huge_area(nr), *map = malloc(nr);
    bool zero_page;

    if (!watch_huge(base, _i / 2, nr_holes)) {
        skip_test(__func__, "no huge page can be had %s", ways[_i / 2]);
        return;
    }
    reset_pages(base, nr);
    memset(base + ZEROED * page_size(), 0, page_size());
    zero_page = split_huge(base);
    if (!nr_holes) {
        inform("%s, memory made huge %s, then split: the zeros are in %s zero page", backend->name,
               ways[_i / 2], zero_page ? "a" : "no");
    }
    memset(map, '.', nr);
    map[ZEROED] = '#';
    expect_map_len(ctx, base, map, nr);
    ck_assert_int_eq(read_page(base, ZEROED), 0);
    ck_assert_int_eq(read_page(base, ZEROED + 1), 5);
    reset_pages(base, nr);
    write_page(base, ZEROED, 0);
    write_page(base, ZEROED + 1, 0);
    map[ZEROED + 1] = '#';
    expect_map_len(ctx, base, map, nr);
}
END_TEST

/* ---- large MADV_DONTNEED ---- */

/* 48 MB, long enough for the library to scan the memory as dense. */
START_TEST(one_write_after_a_large_dontneed_is_one_page)
{
    size_t nr = 24 * HUGE_BYTES / page_size(), page = page_size(), at = 5 * HUGE_BYTES / page + 77;
    char *base = map_huge_area(nr);
    void **pages = malloc(nr * sizeof(*pages));
    ssize_t found;

    ck_assert_int_eq(ww_watch(ctx, base, nr * page, WW_WATCH_FRESH), 0);
    for (size_t i = 0; i < nr; i++) {
        write_page(base, i, 1);
    }
    ck_assert_int_eq(ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, nr), nr);
    ck_assert_int_eq(madvise(base + 4 * HUGE_BYTES, 2 * HUGE_BYTES, MADV_DONTNEED), 0);
    if (_i) {
        ck_assert_int_eq(ww_discard(ctx, base + 4 * HUGE_BYTES, 2 * HUGE_BYTES), 0);
    }
    write_page(base, at, 1);
    found = ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, nr);
    if (_i) {
        ck_assert_int_eq(found, 1);
        ck_assert_ptr_eq(pages[0], base + at * page);
        return;
    }
    /* Without ww_discard() more of the dropped pages may be reported, but the written one must be, and no
     * page that was kept. */
    inform("%s, 4 MB of 48 dropped without ww_discard(), one write: %zd pages reported", backend->name,
           found);
    ck_assert_int_ge(found, 1);
    for (ssize_t i = 0; i < found; i++) {
        ck_assert_uint_ge((uintptr_t)pages[i], (uintptr_t)base + 4 * HUGE_BYTES);
        ck_assert_uint_lt((uintptr_t)pages[i], (uintptr_t)base + 6 * HUGE_BYTES);
        at = pages[i] == base + at * page ? 0 : at;
    }
    ck_assert_uint_eq(at, 0);
}
END_TEST

/* ---- page tables ---- */

START_TEST(a_sparse_region_makes_no_page_tables)
{
    size_t page = page_size(), nr = ((size_t)4 << 30) / page, step = nr / 16;
    unsigned long before;
    void *pages[32];
    char *base;

    WANTS(WW_CAP_FREE_ARMING);
    if (sizeof(void *) < 8) {
        SKIP("the address space is too small");
    }
    base = map_pages(nr);
    before = status_kb("VmPTE");
    ck_assert_int_eq(ww_watch(ctx, base, nr * page, WW_WATCH_FRESH), 0);
    ck_assert_int_eq(ww_count(ctx, base, nr * page), 0);
    ck_assert_msg(status_kb("VmPTE") <= before + 64, "watching made %lu kB of page tables",
                  status_kb("VmPTE") - before);
    for (size_t i = 0; i < 16; i++) {
        write_page(base, i * step + 5, 1);
    }
    before = status_kb("VmPTE");
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, 32), round ? 0 : 16);
        ck_assert_int_eq(ww_latch(ctx, base, nr * page), 0);
        ck_assert_int_eq(ww_reset(ctx, base, nr * page), 0);
    }
    for (size_t i = 0; i < 16; i++) {
        ck_assert_ptr_eq(pages[i], base + (i * step + 5) * page);
    }
    ck_assert_msg(status_kb("VmPTE") <= before + 64, "the scans made %lu kB of page tables",
                  status_kb("VmPTE") - before);
}
END_TEST

/* ---- more isolated pages than there may be mappings ---- */

/* A backend that spends mappings on each written page runs out of them here. */
START_TEST(more_isolated_pages_than_mappings_allow)
{
    size_t page = page_size(), nr, nr_pages, at = 0;
    void **pages, *other;
    long max = 0, found;
    char *base;

    ck_assert(read_number("/proc/sys/vm/max_map_count", &max));
    if (max > 300000) {
        SKIP("vm.max_map_count is %ld", max);
    }
    nr = max / 2 + 300;
    nr_pages = 2 * nr + 1;
    base = watch_pages(nr_pages);
    pages = malloc(nr_pages * sizeof(*pages));
    for (size_t i = 0; i < nr; i++) {
        write_page(base, 2 * i + 1, i % 100);
    }
    found = ww_get_pages(ctx, base, nr_pages * page, WW_GET_RESET, pages, nr_pages);
    inform("%s, %zu isolated pages written: %ld reported", backend->name, nr, found);
    ck_assert_int_ge(found, nr);
    /* Only a backend with WW_CAP_OWNS_PROT may report more than was written. */
    ck_assert(found == (long)nr || has_cap(WW_CAP_OWNS_PROT));
    for (long i = 0; i < found; i++) {
        at += pages[i] == base + (2 * at + 1) * page;
    }
    ck_assert_uint_eq(at, nr);
    /* The backend has left mappings for other code. */
    other = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(other != MAP_FAILED);
    munmap(other, page);
    reset_pages(base, nr_pages);
    for (size_t i = 0; i < nr; i++) {
        ck_assert_int_eq(read_page(base, 2 * i + 1), i % 100);
    }
    write_page(base, 100, 1);
    write_page(base, nr_pages - 1, 1);
    ck_assert_int_eq(ww_get_pages(ctx, base, nr_pages * page, WW_GET_RESET, pages, nr_pages), 2);
    ck_assert_ptr_eq(pages[0], base + 100 * page);
    ck_assert_ptr_eq(pages[1], base + (nr_pages - 1) * page);
}
END_TEST

/*
 * Few pages are dirty at any time here, but over time more gaps between dirty pages are filled than there may
 * be mappings: a backend must not go on counting joined pages as isolated ones. Where no page costs a
 * mapping, fewer rounds are enough.
 */
START_TEST(pages_that_join_are_not_isolated_any_more)
{
    char *base = watch_pages(16), map[17];
    void *pages[16];
    long max = 0, nr_rounds;

    ck_assert(read_number("/proc/sys/vm/max_map_count", &max));
    if (max > 300000) {
        SKIP("vm.max_map_count is %ld", max);
    }
    nr_rounds = has_cap(WW_CAP_OWNS_PROT) ? max / 2 : 1000;
    for (long i = 0; i < nr_rounds; i++) {
        write_map(base, ".#.#.");
        write_page(base, 2, 1);
        ck_assert_msg(ww_get_pages(ctx, base, 16 * page_size(), WW_GET_RESET, pages, 16) == 3,
                      "after %ld times three pages, more than three are reported", i);
    }
    strcpy(map, "..........#.....");
    write_map(base, map);
    expect_map(ctx, base, map);
}
END_TEST

/* ---- swap ---- */

#define NR_SWAPPED 64

/* Asks the kernel for up to 3 seconds to swap the pages out; returns how many are in swap. */
static size_t swap_out(char *base)
{
    double limit = now() + 3;
    size_t nr;

    do {
        madvise(base, NR_SWAPPED * page_size(), MADV_PAGEOUT);
        nr = 0;
        for (size_t i = 0; i < NR_SWAPPED; i++) {
            nr += (pagemap_entry(base, i) & ENTRY_SWAPPED) != 0;
        }
    } while (nr < NR_SWAPPED && now() < limit && !usleep(20000));
    return nr;
}

/* After a heading, each line of /proc/swaps begins with a path. */
static bool has_swap(void)
{
    FILE *file = fopen("/proc/swaps", "re");
    bool found = false;
    char line[512];

    while (file && fgets(line, sizeof(line), file)) {
        found |= line[0] == '/';
    }
    if (file) {
        fclose(file);
    }
    return found;
}

/* With _i 1 an untouched page follows: the region is sparse, and the library scans it with another mask. */
START_TEST(swapped_pages_keep_their_state)
{
    size_t nr_watched = NR_SWAPPED + _i;
    char *base, map[NR_SWAPPED + 2];
    size_t nr;

    if (!has_swap()) {
        SKIP("there is no swap");
    }
    base = watch_pages(nr_watched);
    memset(base, 5, NR_SWAPPED * page_size());
    reset_pages(base, nr_watched);
    memset(map, 0, sizeof(map));
    map[NR_SWAPPED] = _i ? '.' : 0;
    for (size_t i = 0; i < NR_SWAPPED; i++) {
        map[i] = i % 2 ? '#' : '.';
    }
    write_map(base, map);
    nr = swap_out(base);
    if (!nr) {
        SKIP("MADV_PAGEOUT swaps nothing out");
    }
    inform("%s: %zu of %d pages are in swap", backend->name, nr, NR_SWAPPED);
    expect_map(ctx, base, map);
    reset_pages(base, nr_watched);
    /* A read swaps pages in and leaves them clean; a write makes them written. */
    for (size_t i = 0; i < NR_SWAPPED; i++) {
        ck_assert_int_eq(read_page(base, i), i % 2 ? 1 : 5);
    }
    ck_assert_int_eq(ww_count(ctx, base, nr_watched * page_size()), 0);
    swap_out(base);
    ck_assert_int_eq(ww_count(ctx, base, nr_watched * page_size()), 0);
    for (size_t i = 0; i < NR_SWAPPED; i++) {
        map[i] = i % 3 ? '.' : '#';
    }
    write_map(base, map);
    expect_map(ctx, base, map);
    swap_out(base);
    expect_map(ctx, base, map);
}
END_TEST

void add_page_facts(Suite *suite)
{
    TCase *tcase = new_bare_case(suite, "pages");

    tcase_add_test(tcase, zeros_in_a_split_huge_page);
}

void add_page_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "pages");

    tcase_add_loop_test(tcase, zeros_in_a_split_huge_page_are_reported, 0, 6);
    tcase_add_loop_test(tcase, one_write_after_a_large_dontneed_is_one_page, 0, 2);
    tcase_add_test(tcase, a_sparse_region_makes_no_page_tables);
    tcase_add_test(tcase, more_isolated_pages_than_mappings_allow);
    tcase_add_test(tcase, pages_that_join_are_not_isolated_any_more);
    tcase_add_loop_test(tcase, swapped_pages_keep_their_state, 0, 2);
}
