/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, guard pages in watched memory (MADV_GUARD_INSTALL, which the C library uses for the stacks of
 * threads): page table entries without a page. Installing one is no write, and there is no page that a caller
 * could copy.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>

#include "contract.h"
#include "context.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#define MADV_GUARD_REMOVE 103
#endif

static int guard(char *base, size_t from, size_t to, bool install)
{
    return madvise(base + from * page_size(), (to - from) * page_size(),
                   install ? MADV_GUARD_INSTALL : MADV_GUARD_REMOVE)
               ? -errno
               : 0;
}

/* Whether the kernel has guards, and tells them apart in the page tables: a backend can ignore them only
 * then. */
static bool has_guards(void)
{
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    bool told = pagemap < 0 || ww_guard_category(pagemap);
    char *base = map_pages(1);
    int err = guard(base, 0, 1, true);

    close(pagemap);
    munmap(base, page_size());
    if (err || !told) {
        printf("SKIP guards on %s: the kernel has none, or does not tell them (%s)\n", backend->name,
               strerror(-err));
    }
    return !err && told;
}

#define NEEDS_GUARDS()                                                                                       \
    do {                                                                                                     \
        if (!has_guards()) {                                                                                 \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

/* Memory, not watched yet, whose first page is written. */
static char *watch_touched(size_t nr)
{
    char *base = map_pages(nr);

    write_page(base, 0, 1);
    return base;
}

START_TEST(a_guard_is_no_write)
{
    size_t page = page_size();
    char *base = watch_touched(16);
    void *pages[16];

    NEEDS_GUARDS();
    NEEDS(WW_CAP_EXACT);
    ck_assert_int_eq(guard(base, 4, 6, true), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 16 * page, 0), 0);
    expect_map(ctx, base, "................");
    ck_assert_int_eq(guard(base, 10, 11, true), 0);
    expect_map(ctx, base, "................");
    write_map(base, "#........#......");
    expect_map(ctx, base, "#........#......");
    /* A guard drops the page. The page was written, and may still be reported. */
    ck_assert_int_eq(guard(base, 9, 10, true), 0);
    expect_map(ctx, base, "#........?......");
    ck_assert_int_ge(ww_get_pages(ctx, base, 16 * page, WW_GET_RESET, pages, 16), 1);
    ck_assert_ptr_eq(pages[0], base);
    expect_map(ctx, base, "................");
    /* A guard that is removed leaves a hole. */
    ck_assert_int_eq(guard(base, 4, 11, false), 0);
    expect_map(ctx, base, "................");
    ck_assert_int_eq(read_page(base, 5), 0);
    ck_assert_int_eq(read_page(base, 9), 0);
    write_map(base, ".....#....#.....");
    expect_map(ctx, base, ".....#...?#.....");
}
END_TEST

/* As happens with the stacks of threads that start and end. */
START_TEST(guards_that_come_and_go_are_no_writes)
{
    char *base = watch_touched(32);
    void *pages[32];

    NEEDS_GUARDS();
    NEEDS(WW_CAP_EXACT);
    ck_assert_int_eq(ww_watch(ctx, base, 32 * page_size(), 0), 0);
    for (size_t i = 0; i < 100; i++) {
        size_t at = 8 + i % 10;

        ck_assert_int_eq(guard(base, at, at + 2, true), 0);
        write_page(base, i % 8, 1);
        ck_assert_int_eq(ww_get_pages(ctx, base, 32 * page_size(), WW_GET_RESET, pages, 32), 1);
        ck_assert_ptr_eq(pages[0], base + i % 8 * page_size());
        ck_assert_int_eq(ww_count(ctx, base, 32 * page_size()), 0);
        ck_assert_int_eq(guard(base, at, at + 2, false), 0);
        ck_assert_int_eq(ww_count(ctx, base, 32 * page_size()), 0);
    }
}
END_TEST

/* Guards in a region all of whose pages were reported once. A guard drops its page; with _i 1 the program
 * tells the library by ww_discard(). */
START_TEST(guards_in_memory_that_was_reported_whole)
{
    size_t page = page_size();
    char *base = watch_pages(16);
    void *pages[16];

    NEEDS_GUARDS();
    NEEDS(WW_CAP_EXACT);
    for (size_t i = 0; i < 16; i++) {
        write_page(base, i, 1);
    }
    ck_assert_int_eq(ww_get_pages(ctx, base, 16 * page, WW_GET_RESET, pages, 16), 16);
    write_map(base, "...#..");
    ck_assert_int_eq(guard(base, 4, 6, true), 0);
    if (_i) {
        ck_assert_int_eq(ww_discard(ctx, base + 4 * page, 2 * page), 0);
        expect_map(ctx, base, "...#............");
    }
    expect_map(ctx, base, "...#??..........");
    ck_assert_int_ge(ww_get_pages(ctx, base, 16 * page, WW_GET_RESET, pages, 16), 1);
    expect_map(ctx, base, "................");
    write_map(base, "#......#");
    expect_map(ctx, base, "#......#........");
    ck_assert_int_eq(guard(base, 4, 6, false), 0);
    ck_assert_int_eq(read_page(base, 4), 0);
    write_page(base, 5, 1);
    expect_map(ctx, base, "#...?#.#........");
}
END_TEST

static sigjmp_buf refused;

static void on_refusal(int sig)
{
    (void)sig;
    siglongjmp(refused, 1);
}

/* The program's own handler gets a signal for each access to a guard, and answers about other pages are
 * exact. */
START_TEST(a_guard_faults_as_ever)
{
    struct sigaction action = { .sa_handler = on_refusal, .sa_flags = SA_NODEFER };
    volatile unsigned int nr_refused = 0;
    char *volatile base;

    NEEDS_GUARDS();
    NEEDS(WW_CAP_EXACT);
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    base = watch_pages(6);
    ck_assert_int_eq(guard(base, 2, 4, true), 0);
    for (volatile size_t i = 0; i < 6; i++) {
        if (sigsetjmp(refused, 1)) {
            nr_refused++;
        } else if (i == 3) {
            read_page(base, i);
        } else {
            write_page(base, i, 1);
        }
    }
    ck_assert_uint_eq(nr_refused, 2);
    expect_map(ctx, base, "##?.##");
    ck_assert_int_eq(ww_reset(ctx, base, 6 * page_size()), 0);
    expect_map(ctx, base, "......");
    ck_assert_int_eq(guard(base, 2, 4, false), 0);
    write_page(base, 3, 1);
    expect_map(ctx, base, "...#..");
}
END_TEST

void add_odd_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "odd entries");

    tcase_add_test(tcase, a_guard_is_no_write);
    tcase_add_test(tcase, guards_that_come_and_go_are_no_writes);
    tcase_add_loop_test(tcase, guards_in_memory_that_was_reported_whole, 0, 2);
    tcase_add_test(tcase, a_guard_faults_as_ever);
}
