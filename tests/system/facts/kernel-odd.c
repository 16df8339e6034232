/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Facts about page table entries that are no pages: guards, poison and
 * write-protect markers, each an entry like that of a page in swap. What a scan
 * reports for each, armed and not armed, and what a fault on it does. Swap entries are in
 * kernel-pages.c, migration entries in tests/system/kernels/test-moving.c. Bare system
 * calls only.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "kernel.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#define MADV_GUARD_REMOVE 103
#endif

/* Those of @categories that a page is in: 0 for none, or a negative errno. */
static int categories_of(const char *base, size_t page, uint64_t categories)
{
    struct page_region found = { .start = 0 };
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .start = (uintptr_t)base + page * page_size(),
        .end = (uintptr_t)base + (page + 1) * page_size(),
        .vec = (uintptr_t)&found,
        .vec_len = 1,
        .category_anyof_mask = categories,
        .return_mask = categories,
    };

    return ioctl(bare.pagemap, PAGEMAP_SCAN, &arg) < 0 ? -errno : (int)found.categories;
}

static int guard(char *base, size_t page, int advice)
{
    return madvise(base + page * page_size(), page_size(), advice) ? -errno : 0;
}

static bool knows_guards(const char *base)
{
    return categories_of(base, 0, PAGE_IS_GUARD) != -EINVAL;
}

/* A scan for an unknown category fails with EINVAL: so a program can find out what a kernel knows. */
START_TEST(an_unknown_category_is_refused)
{
    char *base = map_small_pages(1);

    ck_assert_int_eq(categories_of(base, 0, UINT64_C(1) << 40), -EINVAL);
    if (!knows_guards(base)) {
        SKIP("the kernel does not know PAGE_IS_GUARD");
    }
    ck_assert_int_eq(guard(base, 0, MADV_GUARD_INSTALL), 0);
    ck_assert_int_eq(categories_of(base, 0, PAGE_IS_GUARD), PAGE_IS_GUARD);
}
END_TEST

/* A scan reports a guard as written and swapped, once after each installation. Arming leaves the guard there.
 */
START_TEST(a_guard_looks_written)
{
    char *base = map_small_pages(6);
    struct page_region vec[6];
    uintptr_t next;
    int err;

    ck_assert_int_eq(bare_register(&bare, base, 6, UFFDIO_REGISTER_MODE_WP), 0);
    write_map(base, "##....");
    reset_bare(base, 6);
    err = guard(base, 1, MADV_GUARD_INSTALL);
    if (err) {
        SKIP("no guards: %s", strerror(-err));
    }
    ck_assert_int_eq(guard(base, 3, MADV_GUARD_INSTALL), 0);
    for (int round = 0; round < 2; round++) {
        expect_bare(base, LAZY, ".#.#..");
        ck_assert_int_eq(categories_of(base, 3, PAGE_IS_WRITTEN | PAGE_IS_PRESENT | PAGE_IS_SWAPPED),
                         PAGE_IS_WRITTEN | PAGE_IS_SWAPPED);
        ck_assert_int_eq(
            bare_scan(&bare, base, 6, LAZY, PM_SCAN_CHECK_WPASYNC | PM_SCAN_WP_MATCHING, vec, 6, &next), 2);
        expect_bare(base, LAZY, "......");
        expect_bare(base, FAST, "..?.??");
        /* The guard is still there; removing it removes its arming too. */
        ck_assert_int_eq(madvise(base + 3 * page_size(), page_size(), MADV_POPULATE_READ), -1);
        ck_assert_int_eq(guard(base, 3, MADV_GUARD_REMOVE), 0);
        ck_assert_int_eq(guard(base, 1, MADV_GUARD_REMOVE), 0);
        expect_bare(base, LAZY, "......");
        ck_assert_int_eq(guard(base, 3, MADV_GUARD_INSTALL), 0);
        ck_assert_int_eq(guard(base, 1, MADV_GUARD_INSTALL), 0);
    }
}
END_TEST

/* A mask that leaves guards out leaves nothing else out, and the scan arms what it returns. */
START_TEST(guards_can_be_left_out)
{
    char *base = map_small_pages(6);
    struct page_region vec[6] = { { .start = 0 } };
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .flags = PM_SCAN_CHECK_WPASYNC | PM_SCAN_WP_MATCHING,
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + 6 * page_size(),
        .vec = (uintptr_t)vec,
        .vec_len = 6,
        .category_inverted = PAGE_IS_GUARD,
        .category_mask = PAGE_IS_WRITTEN | PAGE_IS_GUARD,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_WRITTEN | PAGE_IS_PFNZERO,
    };

    if (!knows_guards(base)) {
        SKIP("the kernel does not know PAGE_IS_GUARD");
    }
    ck_assert_int_eq(bare_register(&bare, base, 6, UFFDIO_REGISTER_MODE_WP), 0);
    write_map(base, "#.#.##");
    ck_assert_int_eq(guard(base, 3, MADV_GUARD_INSTALL), 0);
    ck_assert_int_eq(guard(base, 4, MADV_GUARD_INSTALL), 0);
    ck_assert_int_eq(ioctl(bare.pagemap, PAGEMAP_SCAN, &arg), 3);
    for (size_t i = 0; i < 3; i++) {
        static const size_t at[] = { 0, 2, 5 };

        ck_assert_uint_eq(vec[i].start, (uintptr_t)base + at[i] * page_size());
        ck_assert_uint_eq(vec[i].end, vec[i].start + page_size());
        ck_assert_uint_eq(vec[i].categories, PAGE_IS_WRITTEN);
    }
    expect_bare(base, LAZY, "...##.");
}
END_TEST

/* A scan reports a poison marker as written and swapped until it is armed. */
START_TEST(a_poison_marker_looks_written)
{
    char *base = map_small_pages(4);
    struct uffdio_poison poison = { .range = { .start = (uintptr_t)base + page_size(), .len = page_size() } };

    ck_assert_int_eq(bare_register(&bare, base, 4, UFFDIO_REGISTER_MODE_WP), 0);
    if (ioctl(bare.fd, UFFDIO_POISON, &poison)) {
        SKIP("UFFDIO_POISON: %s", strerror(errno));
    }
    ck_assert_int_eq(categories_of(base, 1, PAGE_IS_WRITTEN | PAGE_IS_PRESENT | PAGE_IS_SWAPPED),
                     PAGE_IS_WRITTEN | PAGE_IS_SWAPPED);
    expect_bare(base, LAZY, ".#..");
    reset_bare(base, 4);
    expect_bare(base, LAZY, "....");
    ck_assert_int_eq(madvise(base + page_size(), page_size(), MADV_POPULATE_READ), -1);
    /* MADV_DONTNEED removes it. */
    ck_assert_int_eq(madvise(base, 4 * page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(read_page(base, 1), 0);
    expect_bare(base, LAZY, ".?..");
}
END_TEST

/* A scan reports a write-protect marker as swapped and not written. */
START_TEST(a_write_protect_marker_looks_clean)
{
    char *base = map_small_pages(4);

    ck_assert_int_eq(bare_register(&bare, base, 4, UFFDIO_REGISTER_MODE_WP), 0);
    ck_assert_int_eq(bare_arm(&bare, base, 4), 0);
    ck_assert_int_eq(categories_of(base, 1, PAGE_IS_WRITTEN | PAGE_IS_PRESENT | PAGE_IS_SWAPPED),
                     PAGE_IS_SWAPPED);
    expect_bare(base, LAZY, "....");
    /* In private anonymous memory a guard replaces the marker. */
    if (guard(base, 2, MADV_GUARD_INSTALL)) {
        SKIP("no guards: %s", strerror(errno));
    }
    expect_bare(base, LAZY, "..#.");
    expect_bare(base, FAST, "..#.");
}
END_TEST

#define LIVELOCK_SECONDS 2

/*
 * MADV_GUARD_INSTALL drops what is in its range and tries again while any entry is left. In shared memory
 * write-protect markers stay when pages are dropped, so the kernel may try forever: here in a child, which
 * can be killed.
 */
START_TEST(a_guard_over_markers_of_shared_memory)
{
    char *base = mmap(NULL, 4 * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double limit = now() + LIVELOCK_SECONDS;
    pid_t child, ended = 0;
    int status = 0;

    ck_assert(base != MAP_FAILED);
    if (guard(base, 0, MADV_GUARD_INSTALL)) {
        SKIP("no guards in shared memory: %s", strerror(errno));
    }
    child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        struct bare own;

        if (bare_open(&own, UFFD_USER_MODE_ONLY) || bare_register(&own, base, 4, UFFDIO_REGISTER_MODE_WP) ||
            bare_arm(&own, base, 4)) {
            _exit(2);
        }
        _exit(guard(base, 2, MADV_GUARD_INSTALL) ? 1 : 0);
    }
    while (!ended && now() < limit) {
        usleep(10000);
        ended = waitpid(child, &status, WNOHANG);
    }
    inform("madvise(MADV_GUARD_INSTALL) over markers of shared memory %s",
           ended ? "returns" : "does not return: a livelock of the kernel");
    if (!ended) {
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        return;
    }
    ck_assert(WIFEXITED(status));
    ck_assert_int_le(WEXITSTATUS(status), 1);
}
END_TEST

/* Guards can be installed where one was before the markers, and where the markers are gone. */
START_TEST(a_guard_beside_markers_of_shared_memory)
{
    char *base = mmap(NULL, 4 * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct uffdio_range range = { .start = (uintptr_t)base, .len = 4 * page_size() };

    ck_assert(base != MAP_FAILED);
    if (guard(base, 1, MADV_GUARD_INSTALL)) {
        SKIP("no guards in shared memory: %s", strerror(errno));
    }
    ck_assert_int_eq(bare_register(&bare, base, 4, UFFDIO_REGISTER_MODE_WP), 0);
    ck_assert_int_eq(bare_arm(&bare, base, 4), 0);
    expect_bare(base, FAST, ".?..");
    ck_assert_int_eq(guard(base, 1, MADV_GUARD_INSTALL), 0);
    /* Unregistering takes the markers away. */
    ck_assert_int_eq(ioctl(bare.fd, UFFDIO_UNREGISTER, &range), 0);
    ck_assert_int_eq(guard(base, 2, MADV_GUARD_INSTALL), 0);
}
END_TEST

void add_odd_facts(Suite *suite)
{
    TCase *tcase = new_bare_case(suite, "odd entries");

    tcase_add_test(tcase, an_unknown_category_is_refused);
    tcase_add_test(tcase, a_guard_looks_written);
    tcase_add_test(tcase, guards_can_be_left_out);
    tcase_add_test(tcase, a_poison_marker_looks_written);
    tcase_add_test(tcase, a_write_protect_marker_looks_clean);
    tcase_add_test(tcase, a_guard_over_markers_of_shared_memory);
    tcase_add_test(tcase, a_guard_beside_markers_of_shared_memory);
}
