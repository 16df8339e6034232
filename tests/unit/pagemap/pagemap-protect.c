/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Write-protection by a scan, in memory that a userfaultfd of this test tracks. The pages that a call returns
 * are clean afterwards, and no others, whatever ends the call: limits, memory that is not tracked, huge pages
 * that would be cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "pagemap-test.h"
#include "kernel/uapi.h"

#define BOTH (WW_PM_SCAN_WP_MATCHING | WW_PM_SCAN_CHECK_WPASYNC)
#define WRITTEN WW_PAGE_IS_WRITTEN
#define HUGE_BYTES ((size_t)2 << 20)

static struct ww_pagemap *pagemap;
static int uffd;

/* Opens the source that can protect. The tests are added only if it works. */
static void open_protecting(void)
{
    pagemap = open_source("ioctl", 0);
    uffd = open_async_uffd();
}

static void close_protecting(void)
{
    ww_pagemap_close(pagemap);
    close(uffd);
}

static char *map_tracked(size_t nr)
{
    char *base = map_pages(nr);

    madvise(base, nr * page_size(), MADV_NOHUGEPAGE);
    register_pages(uffd, base, nr);
    return base;
}

START_TEST(test_protect)
{
    char *base = map_tracked(8);

    write_map(base, "##.#...#");
    expect_pages(pagemap, base, WRITTEN, 0, "##.#...#");
    expect_pages(pagemap, base, WRITTEN, BOTH, "##.#...#");
    expect_pages(pagemap, base, WRITTEN, BOTH, "........");
    write_map(base, "..##....");
    expect_pages(pagemap, base, WRITTEN, WW_PM_SCAN_CHECK_WPASYNC, "..##....");
    expect_pages(pagemap, base + 3 * page_size(), WRITTEN, BOTH, "#");
    expect_pages(pagemap, base, WRITTEN, 0, "..#.....");
    expect_pages(pagemap, base, WW_PAGE_IS_WPALLOWED | WW_PAGE_IS_PRESENT, 0, "####...#");
}
END_TEST

/* Reads see which pages a scan has protected. */
START_TEST(test_reads_agree)
{
    struct ww_pagemap *reads = open_source("read", 0);
    char *base = map_tracked(8);

    SKIP_UNLESS(knows(reads, WRITTEN), "reads do not tell write-protection here");
    write_map(base, "##.#...#");
    expect_pages(reads, base, WRITTEN, 0, "##.#...#");
    expect_pages(pagemap, base, WRITTEN, BOTH, "##.#...#");
    expect_pages(reads, base, WRITTEN, 0, "........");
    write_map(base, ".#......");
    expect_pages(reads, base, WRITTEN, 0, ".#......");
    ww_pagemap_close(reads);
}
END_TEST

/* Protects pages of another process, whose own userfaultfd tracks them. */
START_TEST(test_other_process)
{
    char *base = map_pages(4);
    int to_child[2], to_parent[2];
    struct ww_pagemap *other;
    pid_t child;
    char byte;

    ck_assert_int_eq(pipe2(to_child, O_CLOEXEC) | pipe2(to_parent, O_CLOEXEC), 0);
    child = fork();
    if (!child) {
        uffd = open_async_uffd();
        register_pages(uffd, base, 4);
        write_map(base, "#.#.");
        ck_assert_int_eq(write(to_parent[1], "x", 1), 1);
        ck_assert_int_eq(read(to_child[0], &byte, 1), 1);
        write_map(base, "##..");
        ck_assert_int_eq(write(to_parent[1], "x", 1), 1);
        ck_assert_int_eq(read(to_child[0], &byte, 1), 1);
        _exit(0);
    }
    ck_assert_int_eq(read(to_parent[0], &byte, 1), 1);
    other = open_source("ioctl", child);
    expect_pages(other, base, WRITTEN, BOTH, "#.#.");
    expect_pages(other, base, WRITTEN, BOTH, "....");
    ck_assert_int_eq(write(to_child[1], "x", 1), 1);
    ck_assert_int_eq(read(to_parent[0], &byte, 1), 1);
    expect_pages(other, base, WRITTEN, BOTH, "##..");
    ck_assert_int_eq(write(to_child[1], "x", 1), 1);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ww_pagemap_close(other);
}
END_TEST

/* Exactly one of the calls returns each written page, however small their limits are. */
START_TEST(test_limits)
{
    enum { NR = 600 };
    char *base = map_tracked(NR), want[NR], got[NR];
    uint64_t random = 3;

    for (int round = 0; round < 200; round++) {
        struct ww_pagemap_scan scan = {
            .flags = BOTH,
            .start = (uintptr_t)base,
            .end = (uintptr_t)base + NR * page_size(),
            .category_mask = WRITTEN,
            .category_anyof_mask = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED,
            .max_pages = random_below(&random, 3) ? 1 + random_below(&random, 50) : 0,
        };
        size_t vec_len = 1 + random_below(&random, 600), density = 1 + random_below(&random, 20);

        memset(want, '.', NR);
        memset(got, '.', NR);
        for (size_t i = 0; i < NR; i++) {
            if (!random_below(&random, density)) {
                write_page(base, i, round);
                want[i] = '#';
            }
        }
        do {
            ssize_t nr = ww_pagemap_scan(pagemap, &scan, found, vec_len);

            ck_assert_int_ge(nr, 0);
            for (ssize_t i = 0; i < nr; i++) {
                for (uint64_t at = found[i].start; at < found[i].end; at += page_size()) {
                    size_t page = (at - (uintptr_t)base) / page_size();

                    ck_assert_msg(got[page] == '.', "page %zu twice", page);
                    got[page] = '#';
                }
            }
            scan.start = scan.walk_end;
        } while (scan.walk_end < scan.end);
        compare_maps("limits", true, got, want, NR);
    }
}
END_TEST

/*
 * Memory in the middle is not tracked. The first call returns the pages that it found before that, because it
 * has protected them; each later call returns the error.
 */
START_TEST(test_untracked_middle)
{
    size_t page = page_size();
    char *base = map_tracked(12);
    struct ww_pagemap_scan scan = {
        .flags = BOTH,
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + 12 * page,
        .category_mask = WRITTEN,
        .category_anyof_mask = WW_PAGE_IS_PRESENT,
        .return_mask = WRITTEN,
    };

    write_map(base, "#.##....####");
    remap_pages(base + 5 * page, 3);
    write_map(base + 5 * page, "###");
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), 2);
    ck_assert_uint_eq(found[0].start, (uintptr_t)base);
    ck_assert_uint_eq(found[0].end, (uintptr_t)base + page);
    ck_assert_uint_eq(found[1].start, (uintptr_t)base + 2 * page);
    ck_assert_uint_eq(found[1].end, (uintptr_t)base + 4 * page);
    ck_assert_uint_ge(scan.walk_end, found[1].end);
    ck_assert_uint_le(scan.walk_end, (uintptr_t)base + 5 * page);
    for (int i = 0; i < 2; i++) {
        scan.start = scan.walk_end;
        ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), -EPERM);
    }
    /* Once the memory is tracked, scans return all written pages there and behind it. */
    register_pages(uffd, base + 5 * page, 3);
    expect_pages(pagemap, base, WRITTEN, BOTH, ".....#######");
    expect_pages(pagemap, base, WRITTEN, BOTH, "............");
}
END_TEST

/* Without WW_PM_SCAN_CHECK_WPASYNC, a scan leaves memory that is not tracked as it is. */
START_TEST(test_no_check)
{
    size_t page = page_size();
    char *base = map_tracked(6);

    write_map(base, "######");
    remap_pages(base + 2 * page, 2);
    write_map(base, "..##..");
    expect_pages(pagemap, base, WRITTEN | WW_PAGE_IS_WPALLOWED, WW_PM_SCAN_WP_MATCHING, "##..##");
    register_pages(uffd, base, 6);
    expect_pages(pagemap, base, WRITTEN, 0, "..##..");
}
END_TEST

/* ---- hugetlb: 2 MB pages, which the kernel cannot protect in part ---- */

static long read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    long number = -1;

    if (file) {
        if (fscanf(file, "%ld", &number) != 1) {
            number = -1;
        }
        fclose(file);
    }
    return number;
}

static void write_number(const char *path, long number)
{
    FILE *file = fopen(path, "we");

    if (file) {
        fprintf(file, "%ld\n", number);
        fclose(file);
    }
}

static const char pool[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
static long pool_before = -1;

/* Adds four huge pages to the pool if fewer are free, and removes them again. Runs before and after all
 * tests, outside their processes. */
static void borrow_pool(void)
{
    long free = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");

    if (free >= 0 && free < 4) {
        pool_before = read_number(pool);
        write_number(pool, pool_before + 4);
    }
}

static void restore_pool(void)
{
    if (pool_before >= 0) {
        write_number(pool, pool_before);
    }
}

/* Four huge pages. NULL: the kernel has none free. */
static char *map_hugetlb(void)
{
    char *base =
        mmap(NULL, 4 * HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

    return base == MAP_FAILED ? NULL : base;
}

static void write_huge_pages(char *base)
{
    for (int i = 0; i < 4; i++) {
        base[i * HUGE_BYTES + 12345]++;
    }
}

/* Scans with a limit until the end or an error, and adds up the bytes of what the calls return. */
static ssize_t count_in_steps(char *base, size_t start, size_t max_pages, uint64_t *ret_bytes)
{
    struct ww_pagemap_scan scan = {
        .flags = BOTH,
        .start = (uintptr_t)base + start,
        .end = (uintptr_t)base + 4 * HUGE_BYTES,
        .category_mask = WRITTEN,
        .category_anyof_mask = WW_PAGE_IS_PRESENT,
        .max_pages = max_pages,
    };
    ssize_t nr;
    int steps = 0;

    *ret_bytes = 0;
    do {
        nr = ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS);
        for (ssize_t i = 0; i < nr; i++) {
            *ret_bytes += found[i].end - found[i].start;
        }
        scan.start = scan.walk_end;
        ck_assert_int_lt(++steps, 100);
    } while (nr >= 0 && scan.walk_end < scan.end);
    return nr;
}

START_TEST(test_hugetlb)
{
    size_t small = HUGE_BYTES / page_size();
    char *base = map_hugetlb();
    uint64_t bytes;

    SKIP_UNLESS(base, "no hugetlb pages to be had");
    register_pages(uffd, base, 4 * small);
    write_huge_pages(base);
    ck_assert_int_ge(count_in_steps(base, 0, 0, &bytes), 0);
    ck_assert_uint_eq(bytes, 4 * HUGE_BYTES);
    write_huge_pages(base);
    /* With room for one and a half, each call returns one, and none is left out. */
    ck_assert_int_ge(count_in_steps(base, 0, small + small / 2, &bytes), 0);
    ck_assert_uint_eq(bytes, 4 * HUGE_BYTES);
    write_huge_pages(base);
    ck_assert_int_eq(count_in_steps(base, 0, small - 1, &bytes), -EINVAL);
    ck_assert_uint_eq(bytes, 0);
    /* A scan that begins in the middle of a huge page ends with an error. */
    ck_assert_int_eq(count_in_steps(base, HUGE_BYTES / 2, 0, &bytes), -EINVAL);
    ck_assert_uint_eq(bytes, 3 * HUGE_BYTES);
    ck_assert_int_ge(count_in_steps(base, 0, 0, &bytes), 0);
    ck_assert_uint_eq(bytes, HUGE_BYTES);
    munmap(base, 4 * HUGE_BYTES);
}
END_TEST

void add_protect_cases(Suite *suite)
{
    int fd = open_async_uffd();
    TCase *tcase;

    SKIP_UNLESS(!strcmp(sources[0], "ioctl") && fd >= 0,
                "needs PAGEMAP_SCAN and a userfaultfd with WP_ASYNC");
    close(fd);
    tcase = tcase_create("protect");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, open_protecting, close_protecting);
    tcase_add_unchecked_fixture(tcase, borrow_pool, restore_pool);
    tcase_add_test(tcase, test_protect);
    tcase_add_test(tcase, test_reads_agree);
    tcase_add_test(tcase, test_other_process);
    tcase_add_test(tcase, test_limits);
    tcase_add_test(tcase, test_untracked_middle);
    tcase_add_test(tcase, test_no_check);
    tcase_add_test(tcase, test_hugetlb);
    suite_add_tcase(suite, tcase);
}
