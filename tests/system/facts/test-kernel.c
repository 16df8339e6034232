/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel behaviour that this project relies on, each fact as a test: bare (the
 * suite "kernel", with userfaultfd and PAGEMAP_SCAN alone), and through the library
 * (one suite a backend). This file runs the parts. A test that cannot run here
 * says why; lines that begin with INFO say what this kernel does where several
 * behaviours are right. WW_TEST_SECONDS is the length of the stress test (default 2).
 *
 *  1 zeros, then a huge page is split   zeros_in_a_split_huge_page, .._are_reported (kernel-pages.c)
 *  2 zeros, then KSM's zero pages       zeros_that_ksm_merges, .._are_reported, a_merged_page_is_watched_on
 *                                       (kernel-ksm.c)
 *  3 masks and sparse memory            a_sparse_range_stays_sparse_with_the_right_mask (kernel-scan.c),
 *                                       a_sparse_region_makes_no_page_tables (kernel-pages.c),
 *                                       a_sparse_reservation_of_4_gb (contract-sizes.c)
 *  4 4 MB dropped, one write            one_write_after_a_large_dontneed (kernel-scan.c), .._is_one_page
 *                                       (kernel-pages.c)
 *  5 EPERM in the middle                a_refused_scan_leaves_in_the_vector_what_it_has_reset,
 *                                       without_the_check_a_lost_registration_is_silent (kernel-scan.c),
 *                                       a_replaced_piece_loses_nothing_round_it (kernel-replace.c),
 *                                       a_replaced_mapping_is_noticed* (contract-mappings.c)
 *  6 arrays that fault                  a_vector_that_faults_takes_the_dirty_set_with_it (kernel-scan.c),
 *                                       an_array_that_faults_leaves_the_library_at_rest (kernel-replace.c)
 *  7 inherited descriptors              an_inherited_pagemap_is_the_parents, an_inherited_userfaultfd_is_..
 *                                       (kernel-fork.c), a_forked_child_has_no_watch (contract-process.c)
 *  8 close with a living child          close_does_not_unregister_while_a_child_lives,
 *                                       close_ends_the_watch_while_a_child_lives (kernel-fork.c),
 *                                       a_child_that_closes_* (kernel-fork.c),
 *                                       a_living_child_disturbs_no_answer (contract-process.c)
 *  9 mremap, map-over, filled holes     pages_that_move_*, a_region_whose_mapping_shrinks_and_grows
 *                                       (kernel-replace.c), a_mapping_that_grows_in_place (kernel-marker.c),
 *                                       a_hole_leaves_the_rest_exact (contract-mappings.c)
 * 10 shadow copy under stress           a_shadow_equals_memory (kernel-stress.c), test-concurrent.c
 * 11 two harvesters                     two_bare_harvesters_share_a_range, two_harvesters_share_a_range
 *                                       (kernel-stress.c), two_harvesters_lose_nothing (test-concurrent.c)
 * 12 pinned pages, a documented limit   a_registered_buffer_of_io_uring, a_direct_read_in_flight
 *                                       (kernel-pinned.c)
 * 13 33,000 isolated pages              more_isolated_pages_than_mappings_allow (kernel-pages.c),
 *                                       every_other_page_of_512_mb_ends (test-mprotect.c)
 * 14 32-bit processes                   this program and test-contract.c, built for i686
 * 15 nobody, dumpable, seccomp          nobody_can_use_what_root_can, a_process_that_is_not_dumpable,
 *                                       a_filter_denies_userfaultfd (kernel-sandbox.c), test-command.sh,
 *                                       what_is_denied_is_not_chosen (contract-choice.c)
 * 16 lazy fill                          a_page_that_is_filled_protected_was_not_written,
 *                                       a_read_into_a_missing_page_fails (kernel-writes.c)
 * 17 swap                               swapped_pages_keep_their_state (kernel-pages.c)
 * 18 the kernel as the writer           the_kernel_writes_into_watched_pages (kernel-writes.c),
 *                                       system_calls_write_into_clean_pages (contract-process.c)
 * 19 soft-dirty by effect               soft_dirty_tracks_or_never_shows (kernel-scan.c)
 * 20 markers                           marker_and_lazy_case_by_case, a_read_of_shared_memory_counts_..,
 *                                       markers_are_exact_on_shared_memory (kernel-marker.c),
 *                                       reads_of_any_mapping_mark_nothing (contract-shared.c)
 * 21 entries that are no pages         kernel-odd.c, contract-odd.c
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "kernel.h"

/* Shared with the processes that the tests run in. */
static struct {
    atomic_ulong nr_begun, nr_skipped;
    atomic_ulong last_skip; /* a hash of the last line about a skip */
} * tally;

/* ---- what tests print ---- */

/* libcheck's function behind START_TEST(name) is name_fn. */
static int name_len(const char *test)
{
    size_t len = strlen(test);

    return len > 3 && !strcmp(test + len - 3, "_fn") ? len - 3 : len;
}

void skip_test(const char *test, const char *format, ...)
{
    unsigned long hash = 5381;
    char text[384];
    va_list args;
    int len;

    atomic_fetch_add(&tally->nr_skipped, 1);
    len = snprintf(text, sizeof(text), "SKIP %.*s%s%s: ", name_len(test), test, backend ? " on " : "",
                   backend ? backend->name : "");
    va_start(args, format);
    vsnprintf(text + len, sizeof(text) - len, format, args);
    va_end(args);
    for (const char *c = text; *c; c++) {
        hash = hash * 33 + (unsigned char)*c;
    }
    /* The iterations of a loop repeat their reason. */
    if (atomic_exchange(&tally->last_skip, hash) != hash) {
        printf("%s\n", text);
        fflush(stdout);
    }
}

void inform(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("INFO %s\n", text);
    fflush(stdout);
}

/* ---- cases ---- */

static void begin(void)
{
    atomic_fetch_add(&tally->nr_begun, 1);
}

static void open_bare(void)
{
    begin();
    ck_assert_int_eq(bare_open(&bare, UFFD_USER_MODE_ONLY), 0);
}

static void close_bare(void)
{
    bare_close(&bare);
}

static void begin_with_context(void)
{
    begin();
    open_context();
}

static TCase *make_case(Suite *suite, const char *name, SFun setup, SFun teardown)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 120 + 20 * test_seconds());
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    return tcase;
}

TCase *new_plain_case(Suite *suite, const char *name)
{
    return make_case(suite, name, begin, NULL);
}

TCase *new_bare_case(Suite *suite, const char *name)
{
    return make_case(suite, name, open_bare, close_bare);
}

TCase *new_case(Suite *suite, const char *name)
{
    return make_case(suite, name, begin_with_context, close_context);
}

/* ---- suites ---- */

/* Whether the kernel has all of the bare interface; prints what is missing. */
static bool has_interface(void)
{
    void *base = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct bare found;
    char map[2];
    int err = bare_open(&found, UFFD_USER_MODE_ONLY);

    if (err) {
        printf("SKIP facts: userfaultfd with WP_ASYNC: %s\n", strerror(-err));
        return false;
    }
    err = base == MAP_FAILED ? -ENOMEM : bare_register(&found, base, 1, UFFDIO_REGISTER_MODE_WP);
    err = err ? err : bare_map(&found, base, 1, LAZY, false, map);
    bare_close(&found);
    munmap(base, page_size());
    if (err) {
        printf("SKIP facts: PAGEMAP_SCAN: %s\n", strerror(-err));
    }
    return !err;
}

static int run_facts(void)
{
    Suite *suite = suite_create("kernel");

    if (has_interface()) {
        add_scan_facts(suite);
        add_marker_facts(suite);
        add_odd_facts(suite);
        add_page_facts(suite);
        add_ksm_facts(suite);
        add_fork_facts(suite);
        add_write_facts(suite);
        add_harvester_facts(suite);
    }
    add_soft_dirty_facts(suite);
    add_sandbox_cases(suite);
    fflush(stdout);
    return run_suite(suite);
}

static int run_backend(void)
{
    Suite *suite = suite_create(backend->name);

    add_page_cases(suite);
    add_ksm_cases(suite);
    add_replace_cases(suite);
    add_fork_cases(suite);
    add_write_cases(suite);
    add_pinned_cases(suite);
    add_harvester_cases(suite);
    add_stress_cases(suite);
    return run_suite(suite);
}

int main(void)
{
    int failed;

    tally = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tally == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    nr_backends = find_backends(backends, WW_CAP_ATOMIC_RESET | WW_CAP_EXACT);
    failed = run_facts();
    for (size_t i = 0; i < nr_backends; i++) {
        backend = &backends[i];
        failed += run_backend();
    }
    printf("%lu tests begun, %lu of them skipped\n", (unsigned long)tally->nr_begun,
           (unsigned long)tally->nr_skipped);
    if (!failed && tally->nr_begun == tally->nr_skipped) {
        return EXIT_SKIPPED;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
