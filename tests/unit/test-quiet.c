/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moments that no test meets by chance: what happens to a region while the kernel is
 * asked without a lock about it (quiet.c). The ioctl is wrapped: before the real one
 * runs, the thread itself does what another thread could do there.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "hold.h"
#include "util.h"

#define NR 8

static struct ww_context *ctx;
static char *base;
static void (*meanwhile)(void);
static unsigned int nr_glances;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

/* A glance asks for one run and never resets. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    void (*act)(void) = meanwhile;
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (request == (unsigned long)PAGEMAP_SCAN) {
        const struct pm_scan_arg *scan = arg;

        if (scan->vec_len == 1 && scan->max_pages == 1 && !(scan->flags & PM_SCAN_WP_MATCHING)) {
            nr_glances++;
            meanwhile = NULL;
            if (act) {
                act();
            }
        }
    }
    return __real_ioctl(fd, request, arg);
}

static ssize_t ask(unsigned int flags)
{
    void *pages[NR];

    return ww_get_pages(ctx, base, NR * page_size(), flags, pages, NR);
}

static void open_quiet(void)
{
    ck_assert_int_eq(ww_open(&ctx, "uffd"), 0);
    base = map_pages(NR);
    ck_assert_int_eq(ww_watch(ctx, base, NR * page_size(), WW_WATCH_FRESH), 0);
    memset(base, 1, NR * page_size());
    ck_assert_int_eq(ask(WW_GET_RESET), NR);
    ck_assert_int_eq(ask(0), 0);
}

static void close_quiet(void)
{
    ww_close(ctx);
}

START_TEST(a_question_that_repeats_is_asked_without_a_lock)
{
    for (int i = 0; i < 3; i++) {
        nr_glances = 0;
        ck_assert_int_eq(ask(i % 2 ? WW_GET_RESET : 0), 0);
        ck_assert_uint_eq(nr_glances, 1);
    }
}
END_TEST

/* A note that found a write is no use any more: the next answer walks the memory once. */
START_TEST(memory_that_is_always_written_is_not_walked_twice)
{
    for (int i = 0; i < 5; i++) {
        nr_glances = 0;
        write_page(base, i, 1);
        ck_assert_int_eq(ask(WW_GET_RESET), 1);
        ck_assert_uint_eq(nr_glances, i == 0);
    }
}
END_TEST

static const struct {
    size_t nr, pages, gap; /* regions, pages of each, pages from one to the next */
} grids[] = { { 10000, 2, 2 }, { 10000, 2, 16 }, { 4000, 1, 64 }, { 128, 2, 272 }, { 300, 2, 2048 } };
#define NR_GRIDS (sizeof(grids) / sizeof(grids[0]))

/* However regular their addresses, notes about some regions leave those about others alone: of 20, one at
 * most is lost, as among addresses without any order. */
START_TEST(notes_about_many_regions_have_room)
{
    size_t nr = grids[_i].nr, len = grids[_i].pages * page_size(), gap = grids[_i].gap * page_size();
    char *all =
        mmap(NULL, nr * gap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *pages[2];

    ck_assert_ptr_ne(all, MAP_FAILED);
    for (size_t i = 0; i < nr; i++) {
        ck_assert_int_eq(ww_watch(ctx, all + i * gap, len, WW_WATCH_FRESH | WW_WATCH_LAZY), 0);
    }
    for (int round = 0; round < 3; round++) {
        nr_glances = 0;
        for (size_t i = 0; i < nr; i++) {
            ck_assert_int_eq(ww_get_pages(ctx, all + i * gap, len, WW_GET_RESET, pages, 2), 0);
        }
    }
    ck_assert_msg(nr_glances >= nr - nr / 20, "%u of %zu regions are asked without a lock", nr_glances, nr);
    munmap(all, nr * gap);
}
END_TEST

static void write_one(void)
{
    write_page(base, 3, 1);
}

static void latch_one(void)
{
    write_page(base, 3, 1);
    ck_assert_int_eq(ww_latch(ctx, base, NR * page_size()), 0);
}

static void mark_one(void)
{
    struct ww_hold hold;

    ck_assert_int_eq(ww_hold(ctx, (uintptr_t)base, &hold), 0);
    ww_hold_mark(&hold, (uintptr_t)base + 3 * page_size(), (uintptr_t)base + 4 * page_size());
    ww_hold_end(&hold);
}

static void (*const dirtying[])(void) = { write_one, latch_one, mark_one };

START_TEST(what_gets_dirty_meanwhile_is_reported)
{
    meanwhile = dirtying[_i];
    ck_assert_int_eq(ask(0), 1);
    ck_assert_ptr_null(meanwhile);
    ck_assert_int_eq(ask(WW_GET_RESET), 1);
    ck_assert_int_eq(ask(0), 0);
}
END_TEST

static void forget_all(void)
{
    ck_assert_int_eq(ww_forget(ctx, (uintptr_t)base, (uintptr_t)base + NR * page_size()), 0);
}

/* The rest is watched, and registered as a whole: only the table knows. */
static void forget_a_part(void)
{
    ck_assert_int_eq(ww_forget(ctx, (uintptr_t)base + 6 * page_size(), (uintptr_t)base + 7 * page_size()), 0);
}

static void unwatch_all(void)
{
    ck_assert_int_eq(ww_unwatch(ctx, base, NR * page_size()), 0);
}

static void cut_by_limbo(void)
{
    struct ww_limbo limbo;

    ck_assert_int_eq(ww_limbo_enter(ctx, (uintptr_t)base, (uintptr_t)base + page_size(), &limbo), 0);
    ww_limbo_forget(&limbo);
}

static void (*const endings[])(void) = { forget_all, forget_a_part, unwatch_all, cut_by_limbo };
#define NR_ENDINGS (sizeof(endings) / sizeof(endings[0]))

/* While it is asked, or just before. */
START_TEST(what_is_watched_no_more_is_not_answered)
{
    if ((size_t)_i < NR_ENDINGS) {
        meanwhile = endings[_i];
    } else {
        endings[_i - NR_ENDINGS]();
    }
    ck_assert_int_eq(ask(0), -ENOENT);
    ck_assert_ptr_null(meanwhile);
    ck_assert_int_eq(ask(0), -ENOENT);
}
END_TEST

static Suite *quiet_suite(void)
{
    Suite *suite = suite_create("quiet");
    TCase *tcase = tcase_create("quiet");

    tcase_add_checked_fixture(tcase, open_quiet, close_quiet);
    tcase_add_test(tcase, a_question_that_repeats_is_asked_without_a_lock);
    tcase_add_test(tcase, memory_that_is_always_written_is_not_walked_twice);
    tcase_add_loop_test(tcase, notes_about_many_regions_have_room, 0, NR_GRIDS);
    tcase_add_loop_test(tcase, what_gets_dirty_meanwhile_is_reported, 0,
                        sizeof(dirtying) / sizeof(dirtying[0]));
    tcase_add_loop_test(tcase, what_is_watched_no_more_is_not_answered, 0, 2 * NR_ENDINGS);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    struct ww_context *c;

    if (ww_open(&c, "uffd")) {
        printf("SKIP: uffd does not work here, and no other backend is asked without a lock\n");
        return EXIT_SKIPPED;
    }
    ww_close(c);
    return run_suite(quiet_suite()) ? EXIT_FAILURE : EXIT_SUCCESS;
}
