/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Facts about PAGEMAP_SCAN that the library's scans rely on: what a failing
 * get-and-reset has reset already, why the vector must be the library's own memory,
 * which masks keep a sparse range sparse. And soft-dirty bits, which can be cleared also
 * where the kernel never sets them. Bare system calls only.
 */
#include <errno.h>
#include <fcntl.h>

#include "kernel.h"

#define GET_RESET (PM_SCAN_CHECK_WPASYNC | PM_SCAN_WP_MATCHING)

/* Registered small pages. */
static char *track_pages(size_t nr)
{
    char *base = map_small_pages(nr);

    ck_assert_int_eq(bare_register(&bare, base, nr, UFFDIO_REGISTER_MODE_WP), 0);
    return base;
}

/* ---- errors in the middle ---- */

START_TEST(a_refused_scan_leaves_in_the_vector_what_it_has_reset)
{
    struct page_region vec[16] = { { .start = 0 } };
    char *base = track_pages(12);
    size_t page = page_size(), nr = 0;
    uintptr_t next;

    write_map(base, "#.##..#..#.#");
    remap_pages(base + 6 * page, 2);
    write_page(base, 6, 1);
    ck_assert_int_eq(bare_scan(&bare, base, 12, LAZY, GET_RESET, vec, 16, &next), -EPERM);
    while (nr < 16 && vec[nr].end) {
        nr++;
    }
    ck_assert_uint_eq(nr, 2);
    ck_assert_uint_eq(vec[0].start, (uintptr_t)base);
    ck_assert_uint_eq(vec[0].end, (uintptr_t)base + page);
    ck_assert_uint_eq(vec[1].start, (uintptr_t)base + 2 * page);
    ck_assert_uint_eq(vec[1].end, (uintptr_t)base + 4 * page);
    /* The scan has reset the pages in the vector, so only the vector knows them, and none behind the error.
     */
    expect_bare(base, LAZY, "......");
    expect_bare(base + 8 * page, LAZY, ".#.#");
    /* With the registration back, no page of the new mapping is armed. */
    ck_assert_int_eq(bare_register(&bare, base, 12, UFFDIO_REGISTER_MODE_WP), 0);
    expect_bare(base, LAZY, "......#..#.#");
}
END_TEST

/* Without PM_SCAN_CHECK_WPASYNC a scan skips the replaced part and its writes, and reports no error. */
START_TEST(without_the_check_a_lost_registration_is_silent)
{
    struct page_region vec[16] = { { .start = 0 } };
    size_t page = page_size();
    char *base = track_pages(6);
    uintptr_t next;
    long found;

    write_map(base, "#....#");
    remap_pages(base + 2 * page, 2);
    write_page(base, 2, 1);
    found = bare_scan(&bare, base, 6, LAZY, PM_SCAN_WP_MATCHING, vec, 16, &next);
    ck_assert_int_eq(found, 2);
    ck_assert_uint_eq(vec[0].start, (uintptr_t)base);
    ck_assert_uint_eq(vec[1].start, (uintptr_t)base + 5 * page);
}
END_TEST

START_TEST(a_vector_that_faults_takes_the_dirty_set_with_it)
{
    int prot = _i ? PROT_READ : PROT_NONE;
    char *base = track_pages(8), map[9];
    void *vec = mmap(NULL, page_size(), prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t next;

    ck_assert(vec != MAP_FAILED);
    write_map(base, "#.#.#.#.");
    ck_assert_int_eq(bare_scan(&bare, base, 8, LAZY, GET_RESET, vec, 8, &next), -EFAULT);
    ck_assert_int_eq(bare_map(&bare, base, 8, LAZY, false, map), 0);
    inform("a vector with protection %d: EFAULT, and %zu of 4 written pages are still reported", prot,
           count_marks(map));
    compare_maps("scan after EFAULT", true, map, count_marks(map) ? "#.#.#.#." : "........", 8);
    /* Either way the next write is reported. */
    write_map(base, ".#......");
    ck_assert_int_eq(bare_map(&bare, base, 8, LAZY, false, map), 0);
    ck_assert_int_eq(map[1], '#');
}
END_TEST

START_TEST(a_full_vector_resets_only_what_it_holds)
{
    struct page_region vec[2] = { { .start = 0 } };
    size_t page = page_size();
    char *base = track_pages(8);
    uintptr_t next;

    write_map(base, "#.#.#.#.");
    ck_assert_int_eq(bare_scan(&bare, base, 8, LAZY, GET_RESET, vec, 2, &next), 2);
    ck_assert_uint_ge(next, (uintptr_t)base + 3 * page);
    ck_assert_uint_le(next, (uintptr_t)base + 4 * page);
    expect_bare(base, LAZY, "....#.#.");
}
END_TEST

/* ---- sparse memory ---- */

#define SPARSE_BYTES ((size_t)4 << 30)
#define NR_SPOTS 16

/* Writes a page in every 256 MB. */
static void write_spots(char *base)
{
    for (size_t i = 0; i < NR_SPOTS; i++) {
        base[i * (SPARSE_BYTES / NR_SPOTS) + 5 * page_size()] = 1;
    }
}

/* A get-and-reset of sparse memory. Returns how many pages it reported; page tables grew by *ret_growth kB,
 * and *ret_spots of the written pages were reported. */
static size_t scan_sparse(char *base, enum masks masks, long *ret_growth, size_t *ret_spots)
{
    static struct page_region vec[512];
    size_t page = page_size(), nr_pages = 0, nr = SPARSE_BYTES / page, at = 0;
    unsigned long before;

    memset(vec, 0, sizeof(vec));
    *ret_spots = 0;
    before = status_kb("VmPTE");
    while (at < nr) {
        uintptr_t next;
        long found = bare_scan(&bare, base + at * page, nr - at, masks, GET_RESET, vec, 512, &next);

        ck_assert_int_ge(found, 0);
        for (long i = 0; i < found; i++) {
            nr_pages += (vec[i].end - vec[i].start) / page;
            for (size_t k = 0; k < NR_SPOTS; k++) {
                uintptr_t spot = (uintptr_t)base + k * (SPARSE_BYTES / NR_SPOTS) + 5 * page;

                *ret_spots += vec[i].start <= spot && spot < vec[i].end;
            }
        }
        ck_assert_uint_gt(next, (uintptr_t)base + at * page);
        at = (next - (uintptr_t)base) / page;
    }
    *ret_growth = status_kb("VmPTE") - before;
    return nr_pages;
}

START_TEST(a_sparse_range_stays_sparse_with_the_right_mask)
{
    size_t nr = SPARSE_BYTES / page_size(), nr_pages, spots;
    char *base;
    long growth;

    if (sizeof(void *) < 8) {
        SKIP("the address space is too small");
    }
    base = track_pages(nr);
    write_spots(base);
    nr_pages = scan_sparse(base, LAZY, &growth, &spots);
    ck_assert_uint_eq(nr_pages, NR_SPOTS);
    ck_assert_uint_eq(spots, NR_SPOTS);
    ck_assert_msg(growth <= 64, "the scan made %ld kB of page tables", growth);
    ck_assert_uint_eq(scan_sparse(base, LAZY, &growth, &spots), 0);
    munmap(base, SPARSE_BYTES);

    base = track_pages(nr);
    write_spots(base);
    nr_pages = scan_sparse(base, FAST, &growth, &spots);
    inform(
        "4 GB with %d pages written, asked for WRITTEN alone: %zu pages reported, %ld kB of new page tables",
        NR_SPOTS, nr_pages, growth);
    ck_assert_uint_eq(spots, NR_SPOTS);
}
END_TEST

/* Since Linux 6.16 so large a MADV_DONTNEED frees page tables too. */
START_TEST(one_write_after_a_large_dontneed)
{
    size_t nr = 4 * HUGE_BYTES / page_size(), page = page_size(), at = HUGE_BYTES / page + 77;
    char *base = map_huge_area(nr), *map = malloc(nr + 1);

    madvise(base, nr * page, MADV_NOHUGEPAGE);
    ck_assert_int_eq(bare_register(&bare, base, nr, UFFDIO_REGISTER_MODE_WP), 0);
    memset(base, 1, nr * page);
    reset_bare(base, nr);
    ck_assert_int_eq(madvise(base + HUGE_BYTES, 2 * HUGE_BYTES, MADV_DONTNEED), 0);
    ck_assert_int_eq(bare_map(&bare, base, nr, LAZY, false, map), 0);
    ck_assert_uint_eq(count_marks(map), 0);
    write_page(base, at, 1);
    ck_assert_int_eq(bare_map(&bare, base, nr, LAZY, false, map), 0);
    ck_assert_uint_eq(count_marks(map), 1);
    ck_assert_int_eq(map[at], '#');
    ck_assert_int_eq(bare_map(&bare, base, nr, FAST, false, map), 0);
    ck_assert_int_eq(map[at], '#');
    inform("one write after MADV_DONTNEED of 4 MB, asked for WRITTEN alone: %zu pages", count_marks(map));
}
END_TEST

/* ---- soft-dirty ---- */

/* Clearing succeeds with and without CONFIG_MEM_SOFT_DIRTY: only a write shows whether the kernel tracks. */
START_TEST(soft_dirty_tracks_or_never_shows)
{
    char *base = map_small_pages(6), bits[7] = "......";
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    size_t nr;

    if (fd < 0) {
        SKIP("/proc/self/clear_refs: %s", strerror(errno));
    }
    write_map(base, "######");
    if (write(fd, "4", 1) != 1) {
        SKIP("soft-dirty bits cannot be cleared: %s", strerror(errno));
    }
    write_map(base, ".#..#.");
    for (size_t i = 0; i < 6; i++) {
        bits[i] = pagemap_entry(base, i) & ENTRY_SOFT_DIRTY ? '#' : '.';
    }
    nr = count_marks(bits);
    inform("soft-dirty: clearing succeeds, and the bit %s", nr ? "tracks writes" : "is never set");
    compare_maps("bit 55", true, bits, nr ? ".#..#." : "......", 6);
    close(fd);
}
END_TEST

void add_scan_facts(Suite *suite)
{
    TCase *tcase = new_bare_case(suite, "scan");

    tcase_add_test(tcase, a_refused_scan_leaves_in_the_vector_what_it_has_reset);
    tcase_add_test(tcase, without_the_check_a_lost_registration_is_silent);
    tcase_add_loop_test(tcase, a_vector_that_faults_takes_the_dirty_set_with_it, 0, 2);
    tcase_add_test(tcase, a_full_vector_resets_only_what_it_holds);
    tcase_add_test(tcase, a_sparse_range_stays_sparse_with_the_right_mask);
    tcase_add_test(tcase, one_write_after_a_large_dontneed);
}

/* Needs no userfaultfd. */
void add_soft_dirty_facts(Suite *suite)
{
    TCase *tcase = new_plain_case(suite, "soft-dirty");

    tcase_add_test(tcase, soft_dirty_tracks_or_never_shows);
}
