/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of writewatch-pagemap.h, by the ioctl and by reads. This file finds out which of these sources
 * work here, and tests arguments and single categories; pagemap-filter.c tests the filter against a model,
 * pagemap-process.c other processes, pagemap-protect.c write-protection.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "pagemap-test.h"
#include "kernel/uapi.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* 5.4 */
#endif

#define HUGE_BYTES ((size_t)2 << 20)

const char *sources[2];
int nr_sources;
struct ww_page_region found[MAX_REGIONS];

void in_child(void (*function)(void *), void *arg)
{
    pid_t child = fork();
    int status;

    if (!child) {
        function(arg);
        _exit(0);
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "the child ended with %#x", status);
}

int open_async_uffd(void)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
        close(fd);
        return -1;
    }
    return fd;
}

void register_pages(int uffd, const char *base, size_t nr)
{
    struct uffdio_register reg = {
        .range = { .start = (uintptr_t)base, .len = nr * page_size() },
        .mode = UFFDIO_REGISTER_MODE_WP,
    };

    /* A page that KSM has merged would be reported. */
    madvise((void *)base, nr * page_size(), MADV_UNMERGEABLE);
    ck_assert_int_eq(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
}

/* The sum of a field of smaps over the mappings that begin in the range, in bytes. */
static size_t smaps_field(const char *base, size_t len, const char *name)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    unsigned long start, kilobytes, sum = 0;
    char line[8192], field[64];
    bool inside = false;

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%lx-%*x %*4s", &start) == 1 && strchr(line, '-')) {
            inside = start >= (uintptr_t)base && start < (uintptr_t)base + len;
        } else if (inside && sscanf(line, "%63[^:]: %lu kB", field, &kilobytes) == 2 &&
                   !strcmp(field, name)) {
            sum += kilobytes;
        }
    }
    fclose(file);
    return sum << 10;
}

/* Pages that khugepaged leaves alone. */
static char *map_small_pages(size_t nr)
{
    char *base = map_pages(nr);

    madvise(base, nr * page_size(), MADV_NOHUGEPAGE);
    return base;
}

/* ---- arguments ---- */

START_TEST(test_arguments)
{
    struct ww_pagemap *pagemap = OPEN();
    char *base = map_small_pages(4);
    uintptr_t start = (uintptr_t)base, end = start + 4 * page_size();
    const struct {
        struct ww_pagemap_scan scan;
        int error;
    } cases[] = {
        { { .start = start + 1, .end = end }, -EINVAL },
        { { .start = end, .end = start }, -EINVAL },
        { { .start = start, .end = end, .flags = 1u << 2 }, -EINVAL },
        { { .start = start, .end = end, .category_mask = UINT64_C(1) << 9 }, -EINVAL },
        { { .start = start, .end = end, .category_anyof_mask = UINT64_C(1) << 63 }, -EINVAL },
        { { .start = start, .end = end, .category_inverted = UINT64_C(1) << 40 }, -EINVAL },
        { { .start = start, .end = end, .return_mask = UINT64_C(1) << 10 }, -EINVAL },
    };
    struct ww_pagemap_scan scan = { .start = start, .end = end };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ww_pagemap_scan copy = cases[i].scan;

        copy.walk_end = 77;
        ck_assert_int_eq(ww_pagemap_scan(pagemap, &copy, found, 1), cases[i].error);
        ck_assert_uint_eq(copy.walk_end, 77);
    }
    ck_assert_int_eq(ww_pagemap_scan(NULL, &scan, found, 1), -EINVAL);
    ck_assert_int_eq(ww_pagemap_scan(pagemap, NULL, found, 1), -EINVAL);
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, NULL, 1), -EINVAL);
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, NULL, 0), -EINVAL);
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, 0), -EINVAL);
    ck_assert_int_eq(ww_pagemap_open(NULL, 0), -EINVAL);
    ck_assert_int_eq(ww_pagemap_open(&pagemap, -1), -EINVAL);
    ww_pagemap_close(NULL);
    ww_pagemap_close(pagemap);
}
END_TEST

/* A category is known, or it is refused in each mask; a scan never answers as if no page had it. */
START_TEST(test_unknown_categories)
{
    struct ww_pagemap *pagemap = OPEN();
    char *base = map_small_pages(1);

    for (uint64_t bit = 1; bit <= WW_PAGE_IS_GUARD; bit <<= 1) {
        for (int mask = 0; mask < 4; mask++) {
            struct ww_pagemap_scan scan = {
                .start = (uintptr_t)base,
                .end = (uintptr_t)base + page_size(),
                .category_inverted = mask == 0 ? bit : 0,
                .category_mask = mask == 1 ? bit : 0,
                .category_anyof_mask = mask == 2 ? bit : 0,
                .return_mask = mask == 3 ? bit : 0,
            };
            ssize_t nr = ww_pagemap_scan(pagemap, &scan, found, 1);

            if (knows(pagemap, bit)) {
                ck_assert_int_ge(nr, 0);
            } else {
                ck_assert_int_eq(nr, -EOPNOTSUPP);
            }
        }
    }
    for (uint64_t flag = 1; flag <= WW_PM_SCAN_CHECK_WPASYNC; flag <<= 1) {
        struct ww_pagemap_scan scan = { .flags = flag, .start = (uintptr_t)base, .end = (uintptr_t)base };

        ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, 1),
                         ww_pagemap_flags(pagemap) & flag ? 0 : -EOPNOTSUPP);
    }
    ww_pagemap_close(pagemap);
}
END_TEST

/* The categories that every source knows, and those that reads know on no kernel. */
START_TEST(test_known_categories)
{
    struct ww_pagemap *pagemap = OPEN();

    ck_assert(knows(pagemap, WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED | WW_PAGE_IS_FILE));
    if (!strcmp(sources[_i], "read")) {
        ck_assert(!knows(pagemap, WW_PAGE_IS_HUGE));
        ck_assert(!knows(pagemap, WW_PAGE_IS_WPALLOWED));
        ck_assert_uint_eq(ww_pagemap_flags(pagemap), 0);
    } else {
        ck_assert(knows(pagemap, 0x7f));
        ck_assert_uint_eq(ww_pagemap_flags(pagemap), WW_PM_SCAN_WP_MATCHING | WW_PM_SCAN_CHECK_WPASYNC);
    }
    ww_pagemap_close(pagemap);
}
END_TEST

START_TEST(test_environment)
{
    struct ww_pagemap *pagemap = NULL;

    ck_assert_int_eq(setenv("WW_PAGEMAP", "bogus", 1), 0);
    ck_assert_int_eq(ww_pagemap_open(&pagemap, 0), -EINVAL);
    ck_assert_ptr_null(pagemap);
    ck_assert_int_eq(setenv("WW_PAGEMAP", "", 1), 0);
    ck_assert_int_eq(ww_pagemap_open(&pagemap, 0), 0);
    ck_assert_str_eq(ww_pagemap_source(pagemap), sources[0]);
    ww_pagemap_close(pagemap);
    ck_assert_int_eq(unsetenv("WW_PAGEMAP"), 0);
    ck_assert_int_eq(ww_pagemap_open(&pagemap, getpid()), 0);
    ck_assert_str_eq(ww_pagemap_source(pagemap), sources[0]);
    ww_pagemap_close(pagemap);
}
END_TEST

/* ---- ranges ---- */

/* The end of a range may be any number up to UINT64_MAX, and need not be aligned. */
START_TEST(test_ends)
{
    struct ww_pagemap *pagemap = OPEN();
    size_t page = page_size();
    char *base = map_small_pages(3);
    struct ww_pagemap_scan scan = {
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + page + 1,
        .category_mask = WW_PAGE_IS_PRESENT,
    };

    memset(base, 1, 3 * page);
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, 2), 1);
    ck_assert_uint_eq(found[0].start, scan.start);
    ck_assert_uint_eq(found[0].end, scan.start + 2 * page);
    ck_assert_uint_eq(found[0].categories, 0);
    ck_assert_uint_eq(scan.walk_end, scan.start + 2 * page);
    scan.end = scan.start;
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, 2), 0);
    ck_assert_uint_eq(scan.walk_end, scan.end);
    scan.end = UINT64_MAX;
    ck_assert_int_ge(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), 1);
    ck_assert_uint_eq(found[0].start, scan.start);
    ck_assert_uint_eq(scan.walk_end, UINT64_MAX);
    scan.start = UINT64_MAX - page + 1;
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, 2), 0);
    ck_assert_uint_eq(scan.walk_end, UINT64_MAX);
    ww_pagemap_close(pagemap);
}
END_TEST

/* Two pages at the ends of a terabyte: first with all of it mapped, then with nothing between them. */
START_TEST(test_sparse)
{
    size_t page = page_size(), span = sizeof(long) == 8 ? (size_t)1 << 40 : (size_t)1 << 29;
    struct ww_pagemap *pagemap = OPEN();
    char *base = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct ww_pagemap_scan scan = { .category_mask = WW_PAGE_IS_PRESENT, .return_mask = WW_PAGE_IS_PRESENT };

    SKIP_UNLESS(base != MAP_FAILED, "no address space for a terabyte");
    for (int mapped = 1; mapped >= 0; mapped--) {
        if (!mapped) {
            ck_assert_int_eq(munmap(base + page, span - 2 * page), 0);
        }
        ck_assert_int_eq(mprotect(base, page, PROT_READ | PROT_WRITE), 0);
        ck_assert_int_eq(mprotect(base + span - page, page, PROT_READ | PROT_WRITE), 0);
        base[0] = base[span - page] = 1;
        scan.start = (uintptr_t)base;
        scan.end = scan.start + span;
        ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, 4), 2);
        ck_assert_uint_eq(found[0].start, scan.start);
        ck_assert_uint_eq(found[0].end, scan.start + page);
        ck_assert_uint_eq(found[1].start, scan.end - page);
        ck_assert_uint_eq(found[1].end, scan.end);
        ck_assert_uint_eq(scan.walk_end, scan.end);
    }
    ww_pagemap_close(pagemap);
}
END_TEST

/* ---- categories that not every machine has ---- */

START_TEST(test_swapped)
{
    struct ww_pagemap *pagemap = OPEN();
    size_t page = page_size();
    char *base = map_small_pages(8);

    memset(base, 1, 8 * page);
    madvise(base + 2 * page, 3 * page, MADV_PAGEOUT);
    SKIP_UNLESS(smaps_field(base, 8 * page, "Swap") == 3 * page, "no swap that takes pages here");
    expect_pages(pagemap, base, WW_PAGE_IS_SWAPPED, 0, "..###...");
    expect_pages(pagemap, base, WW_PAGE_IS_PRESENT, 0, "##...###");
    base[3 * page] = 2;
    expect_pages(pagemap, base, WW_PAGE_IS_PRESENT, 0, "##?#?###"); /* read-ahead may bring neighbours */
    ww_pagemap_close(pagemap);
}
END_TEST

START_TEST(test_guard)
{
    struct ww_pagemap *pagemap = OPEN();
    size_t page = page_size();
    char *base = map_small_pages(6);

    memset(base, 1, 3 * page);
    SKIP_UNLESS(!madvise(base + 2 * page, 2 * page, MADV_GUARD_INSTALL), "no guard regions before 6.13");
    SKIP_UNLESS(knows(pagemap, WW_PAGE_IS_GUARD), "guard regions are not told before 6.15 or 6.16");
    expect_pages(pagemap, base, WW_PAGE_IS_GUARD, 0, "..##..");
    expect_pages(pagemap, base, WW_PAGE_IS_PRESENT, 0, "##....");
    ww_pagemap_close(pagemap);
}
END_TEST

static void soft_dirty_child(void *arg)
{
    struct ww_pagemap *pagemap = open_source(arg, 0);
    char *base = map_small_pages(4);
    int fd = open("/proc/self/clear_refs", O_WRONLY);

    memset(base, 1, 3 * page_size());
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "4", 1), 1);
    expect_pages(pagemap, base, WW_PAGE_IS_SOFT_DIRTY, 0, "....");
    base[page_size()] = 2;
    expect_pages(pagemap, base, WW_PAGE_IS_SOFT_DIRTY, 0, ".#..");
    close(fd);
    ww_pagemap_close(pagemap);
}

START_TEST(test_soft_dirty)
{
    struct ww_pagemap *pagemap = OPEN();
    bool known = knows(pagemap, WW_PAGE_IS_SOFT_DIRTY);

    ww_pagemap_close(pagemap);
    SKIP_UNLESS(known, "the kernel does not track soft-dirty pages");
    in_child(soft_dirty_child, (void *)sources[_i]);
}
END_TEST

static char *map_huge(void)
{
    char *area = map_pages(2 * HUGE_BYTES / page_size());
    char *base = (char *)(((uintptr_t)area + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));

    madvise(base, HUGE_BYTES, MADV_HUGEPAGE);
    return base;
}

START_TEST(test_huge)
{
    struct ww_pagemap *pagemap = open_source(sources[0], 0);
    char *base = map_huge();
    struct ww_pagemap_scan scan = {
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + HUGE_BYTES,
        .category_mask = WW_PAGE_IS_HUGE,
        .return_mask = WW_PAGE_IS_HUGE | WW_PAGE_IS_PRESENT,
    };

    SKIP_UNLESS(knows(pagemap, WW_PAGE_IS_HUGE), "reads do not tell huge pages");
    base[5] = 1;
    SKIP_UNLESS(smaps_field(base, HUGE_BYTES, "AnonHugePages") == HUGE_BYTES, "no huge page to be had");
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, 4), 1);
    ck_assert_uint_eq(found[0].start, scan.start);
    ck_assert_uint_eq(found[0].end, scan.end);
    ck_assert_uint_eq(found[0].categories, WW_PAGE_IS_HUGE | WW_PAGE_IS_PRESENT);
    ww_pagemap_close(pagemap);
}
END_TEST

/* The huge zero page, which reads recognise by the kernel's flags of its frame. */
START_TEST(test_huge_zero)
{
    struct ww_pagemap *pagemap = open_source("read", 0), *other = open_source(sources[0], 0);
    size_t nr = HUGE_BYTES / page_size();
    char *base = map_huge(), *map = malloc(nr + 1);

    memset(map, '#', nr);
    map[nr] = '\0';
    SKIP_UNLESS(knows(pagemap, WW_PAGE_IS_PFNZERO), "frame numbers are not told (CAP_SYS_ADMIN)");
    SKIP_UNLESS(knows(other, WW_PAGE_IS_HUGE), "reads do not tell huge pages");
    (void)*(volatile char *)base;
    {
        struct ww_pagemap_scan scan = {
            .start = (uintptr_t)base,
            .end = (uintptr_t)base + HUGE_BYTES,
            .category_mask = WW_PAGE_IS_HUGE,
        };

        SKIP_UNLESS(ww_pagemap_scan(other, &scan, found, 1) == 1, "no huge page of zeros to be had");
    }
    expect_pages(pagemap, base, WW_PAGE_IS_PFNZERO, 0, map);
    free(map);
    ww_pagemap_close(pagemap);
    ww_pagemap_close(other);
}
END_TEST

static void find_sources(void)
{
    static const char *const names[] = { "ioctl", "read" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ww_pagemap *pagemap;
        int err;

        setenv("WW_PAGEMAP", names[i], 1);
        err = ww_pagemap_open(&pagemap, 0);
        if (err) {
            printf("SKIP source %s: %s\n", names[i], strerror(-err));
        } else {
            printf("source %s: categories %#lx\n", names[i], (unsigned long)ww_pagemap_categories(pagemap));
            sources[nr_sources++] = names[i];
            ww_pagemap_close(pagemap);
        }
    }
    fflush(stdout);
}

static void add_single_cases(Suite *suite)
{
    TCase *tcase = tcase_create("single");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_arguments, 0, nr_sources);
    tcase_add_loop_test(tcase, test_unknown_categories, 0, nr_sources);
    tcase_add_loop_test(tcase, test_known_categories, 0, nr_sources);
    tcase_add_test(tcase, test_environment);
    tcase_add_loop_test(tcase, test_ends, 0, nr_sources);
    tcase_add_loop_test(tcase, test_sparse, 0, nr_sources);
    tcase_add_loop_test(tcase, test_swapped, 0, nr_sources);
    tcase_add_loop_test(tcase, test_guard, 0, nr_sources);
    tcase_add_loop_test(tcase, test_soft_dirty, 0, nr_sources);
    tcase_add_test(tcase, test_huge);
    tcase_add_test(tcase, test_huge_zero);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("pagemap");

    find_sources();
    if (!nr_sources) {
        printf("SKIP: pagemap cannot be read here\n");
        return EXIT_SKIPPED;
    }
    add_single_cases(suite);
    add_filter_cases(suite);
    add_process_cases(suite);
    add_protect_cases(suite);
    add_reason_cases(suite);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
