/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Facts about the two ways to arm: "marker" (UFFDIO_WRITEPROTECT over the whole
 * range first) and "lazy" (registration alone), case by case on private anonymous
 * memory, and on shared memory, where only the first can tell a read from a
 * write. Bare system calls only.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "kernel.h"

/* ---- private anonymous memory ---- */

static void leave(char *base, size_t nr)
{
    (void)base;
    (void)nr;
}

static void read_all(char *base, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        read_page(base, i);
    }
}

static void protect_and_back(char *base, size_t nr)
{
    static const int protections[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE | PROT_EXEC,
                                       PROT_READ | PROT_WRITE };

    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(mprotect(base, nr * page_size(), protections[i]), 0);
    }
}

static void drop_all(char *base, size_t nr)
{
    ck_assert_int_eq(madvise(base, nr * page_size(), MADV_DONTNEED), 0);
}

static void lock_all(char *base, size_t nr)
{
    /* AddressSanitizer's mlock() does nothing. */
    ck_assert_int_eq(syscall(SYS_mlock, base, nr * page_size()), 0);
}

static void populate_all(char *base, size_t nr)
{
    ck_assert_int_eq(madvise(base, nr * page_size(), MADV_POPULATE_WRITE), 0);
}

/* What is written after the reset. The pages: hole, zero page, written and reset, the same and written again,
 * written, hole. */
static const char before[] = "...##.";

static const struct {
    const char *name;
    void (*act)(char *base, size_t nr);
    const char *marker, *lazy; /* '?': kernels differ */
} changes[] = {
    { "nothing", leave, "...##.", ".z.##." },
    { "reading every page", read_all, "...##.", "zz.##z" },
    { "mprotect to each protection and back", protect_and_back, "...##.", ".z.##." },
    { "MADV_DONTNEED", drop_all, "??###?", "......" },
    { "mlock", lock_all, "######", "######" },
    { "MADV_POPULATE_WRITE", populate_all, "######", "######" },
};
#define NR_CHANGES (sizeof(changes) / sizeof(changes[0]))

static char *make_scene(bool marker)
{
    char *base = map_small_pages(6), map[7];

    ck_assert_int_eq(bare_register(&bare, base, 6, UFFDIO_REGISTER_MODE_WP), 0);
    if (marker) {
        ck_assert_int_eq(bare_arm(&bare, base, 6), 0);
    }
    write_map(base, "..##..");
    ck_assert_int_eq(bare_map(&bare, base, 6, marker ? FAST : LAZY, true, map), 0);
    ck_assert_str_eq(map, "..##..");
    read_page(base, 1);
    write_map(base, before);
    return base;
}

START_TEST(marker_and_lazy_case_by_case)
{
    char *base = make_scene(true), map[7];

    changes[_i].act(base, 6);
    ck_assert_int_eq(bare_map(&bare, base, 6, FAST, false, map), 0);
    if (strchr(changes[_i].marker, '?')) {
        inform("markers, after %s: %s", changes[_i].name, map);
    }
    compare_maps(changes[_i].name, true, map, changes[_i].marker, 6);
    munmap(base, 6 * page_size());

    base = make_scene(false);
    changes[_i].act(base, 6);
    expect_bare(base, LAZY, changes[_i].lazy);
    /* After any of the changes a reset makes answers exact again. */
    reset_bare(base, 6);
    write_map(base, "#....#");
    ck_assert_int_eq(bare_map(&bare, base, 6, LAZY, false, map), 0);
    compare_maps(changes[_i].name, true, map, "#????#", 6);
    ck_assert_uint_eq(count_marks(map), 2);
}
END_TEST

/* mremap() in place: pages added to a marked range may come out as written; in a lazy one they are holes. */
START_TEST(a_mapping_that_grows_in_place)
{
    size_t page = page_size();
    char *base = map_small_pages(8), map[9];

    ck_assert_int_eq(munmap(base + 4 * page, 4 * page), 0);
    ck_assert_int_eq(bare_register(&bare, base, 4, UFFDIO_REGISTER_MODE_WP), 0);
    if (_i) {
        ck_assert_int_eq(bare_arm(&bare, base, 4), 0);
    }
    write_map(base, ".#..");
    if (mremap(base, 4 * page, 8 * page, 0) == MAP_FAILED) {
        SKIP("the mapping cannot grow: %s", strerror(errno));
    }
    write_map(base, "......#.");
    if (_i) {
        ck_assert_int_eq(bare_map(&bare, base, 8, FAST, false, map), 0);
        compare_maps("markers", true, map, ".#..??#?", 8);
        inform("markers, after growing in place by 4 pages with one write: %s", map);
    } else {
        expect_bare(base, LAZY, ".#....#.");
    }
}
END_TEST

/* ---- shared memory ---- */

static char *map_shared(size_t nr)
{
    char *base = mmap(NULL, nr * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert(base != MAP_FAILED);
    /* The kernel's setting for shared memory may ask for huge pages. */
    madvise(base, nr * page_size(), MADV_NOHUGEPAGE);
    ck_assert_int_eq(bare_register(&bare, base, nr, UFFDIO_REGISTER_MODE_WP), 0);
    return base;
}

START_TEST(a_read_of_shared_memory_counts_under_lazy)
{
    char *base = map_shared(6);

    read_page(base, 1);
    write_page(base, 3, 1);
    /* Shared memory has no zero page: a read makes a page like any other. */
    expect_bare(base, LAZY, ".#.#..");
    reset_bare(base, 6);
    read_page(base, 1);
    read_page(base, 3);
    expect_bare(base, LAZY, "......");
    write_page(base, 1, 1);
    expect_bare(base, LAZY, ".#....");
}
END_TEST

START_TEST(markers_are_exact_on_shared_memory)
{
    char *base = map_shared(6), map[7];

    ck_assert_int_eq(bare_arm(&bare, base, 6), 0);
    expect_bare(base, FAST, "......");
    read_page(base, 1);
    expect_bare(base, FAST, "......");
    write_map(base, ".#.#..");
    expect_bare(base, FAST, ".#.#..");
    ck_assert_int_eq(bare_map(&bare, base, 6, FAST, true, map), 0);
    ck_assert_str_eq(map, ".#.#..");
    /* MADV_DONTNEED unmaps the pages and keeps the markers: pages that are read again are clean. */
    ck_assert_int_eq(madvise(base, 6 * page_size(), MADV_DONTNEED), 0);
    expect_bare(base, FAST, "......");
    ck_assert_int_eq(read_page(base, 1), 1);
    ck_assert_int_eq(read_page(base, 2), 0);
    expect_bare(base, FAST, "......");
    write_map(base, "##....");
    expect_bare(base, FAST, "##....");
}
END_TEST

void add_marker_facts(Suite *suite)
{
    TCase *tcase = new_bare_case(suite, "markers");

    tcase_add_loop_test(tcase, marker_and_lazy_case_by_case, 0, NR_CHANGES);
    tcase_add_loop_test(tcase, a_mapping_that_grows_in_place, 0, 2);
    tcase_add_test(tcase, a_read_of_shared_memory_counts_under_lazy);
    tcase_add_test(tcase, markers_are_exact_on_shared_memory);
}
