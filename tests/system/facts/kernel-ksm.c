/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * KSM with use_zero_pages: a page that was written with zeros becomes the zero
 * page, and a scan that excludes zero pages loses the write. Shown bare, then
 * through the library, on watched memory that the program makes mergeable again.
 *
 * The settings in /sys/kernel/mm/ksm belong to the whole machine: the test program
 * locks them, and a separate process restores them. KSM scans all mergeable memory, also
 * that of virtual machines; the settings leave processor time to others, and once a test
 * has waited for KSM in vain, later ones are skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "kernel.h"
#include "context.h"

#define KSM "/sys/kernel/mm/ksm/"

/* Set in this order, restored in the reverse. */
static struct {
    const char *path;
    long wanted, saved;
} settings[] = {
    { KSM "use_zero_pages", 1, 0 },
    { KSM "sleep_millisecs", 20, 0 },
    { KSM "pages_to_scan", 2000, 0 },
    { KSM "run", 1, 0 },
};
#define NR_SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const char *no_ksm;
static atomic_bool *is_slow; /* a test has waited in vain; shared between the tests' processes */
static int lock_fd = -1;
static pid_t guard = -1;
static int guarded = -1; /* the guard waits until every process has closed this end */

/* The guard: restores the settings, in a process of its own, so that it does so even if the tests are killed.
 */
static void guard_settings(int end)
{
    sigset_t all;
    char byte;

    setsid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    close(guarded);
    while (read(end, &byte, 1) < 0 && errno == EINTR) {
        ;
    }
    for (size_t i = NR_SETTINGS; i-- > 0;) {
        write_number(settings[i].path, settings[i].saved);
    }
    _exit(0);
}

static const char *change_settings(void)
{
    int ends[2];

    for (size_t i = 0; i < NR_SETTINGS; i++) {
        if (!read_number(settings[i].path, &settings[i].saved)) {
            return "this kernel's KSM has no use_zero_pages";
        }
    }
    if (pipe(ends)) {
        return "no pipe for the guard";
    }
    guarded = ends[1];
    fflush(stdout);
    guard = fork();
    if (!guard) {
        guard_settings(ends[0]);
    }
    close(ends[0]);
    if (guard < 0) {
        return "no process for the guard";
    }
    for (size_t i = 0; i < NR_SETTINGS; i++) {
        if (!write_number(settings[i].path, settings[i].wanted)) {
            return "the settings of KSM cannot be changed";
        }
    }
    return NULL;
}

static const char *lock_settings(void)
{
    lock_fd = open(KSM "run", O_RDONLY | O_CLOEXEC);
    if (lock_fd < 0) {
        return "this kernel has no KSM";
    }
    while (flock(lock_fd, LOCK_EX)) {
        if (errno != EINTR) {
            return "the settings of KSM cannot be locked";
        }
    }
    return NULL;
}

/* An unchecked fixture: it runs in the process that forks the tests, and its end however they end. */
static void start_ksm(void)
{
    if (!is_slow) {
        is_slow = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    if (is_slow == MAP_FAILED) {
        is_slow = NULL;
        no_ksm = "no memory";
        return;
    }
    no_ksm = lock_settings();
    if (!no_ksm) {
        no_ksm = change_settings();
    }
}

static void stop_ksm(void)
{
    if (guarded >= 0) {
        close(guarded);
        guarded = -1;
    }
    if (guard > 0) {
        while (waitpid(guard, NULL, 0) < 0 && errno == EINTR) {
            ;
        }
        guard = -1;
    }
    if (lock_fd >= 0) {
        close(lock_fd);
        lock_fd = -1;
    }
}

#define ZEROED 3
#define NR_PAGES 8

/* Has KSM scan the range. False: KSM took too long; all later calls return false at once. */
static bool merge(char *base)
{
    double limit = now() + 10;
    long start, scans;

    if (atomic_load(is_slow)) {
        return false;
    }
    ck_assert_int_eq(madvise(base, NR_PAGES * page_size(), MADV_MERGEABLE), 0);
    ck_assert(read_number(KSM "full_scans", &start));
    do {
        usleep(10000);
        ck_assert(read_number(KSM "full_scans", &scans));
        /* A page is merged when it did not change from one scan to the next. */
        if (scans >= start + 4 || is_zero_page(base, ZEROED)) {
            return true;
        }
    } while (now() < limit);
    atomic_store(is_slow, true);
    return false;
}

/* Pages that differ from each other, so that KSM merges none. */
static void fill(char *base)
{
    for (size_t i = 0; i < NR_PAGES; i++) {
        memset(base + i * page_size(), 10 + i, page_size());
        memcpy(base + i * page_size(), &base, sizeof(base));
    }
}

/* KSM may merge pages at any time, and those are reported although nobody wrote them: so this cannot expect,
 * as reset_pages() does, that none is. */
static void reset_beside_ksm(const char *base)
{
    ck_assert_int_eq(ww_reset(ctx, (void *)base, NR_PAGES * page_size()), 0);
}

START_TEST(zeros_that_ksm_merges)
{
    char *base = map_small_pages(NR_PAGES), map[NR_PAGES + 1];
    bool zero_page;

    if (no_ksm) {
        SKIP("%s", no_ksm);
    }
    ck_assert_int_eq(bare_register(&bare, base, NR_PAGES, UFFDIO_REGISTER_MODE_WP), 0);
    fill(base);
    reset_bare(base, NR_PAGES);
    memset(base + ZEROED * page_size(), 0, page_size());
    if (!merge(base)) {
        SKIP("KSM has too much memory to go through");
    }
    zero_page = is_zero_page(base, ZEROED);
    ck_assert_int_eq(bare_map(&bare, base, NR_PAGES, LAZY, false, map), 0);
    ck_assert_int_eq(map[ZEROED], zero_page ? 'z' : '#');
    ck_assert_int_eq(bare_map(&bare, base, NR_PAGES, NO_ZERO, false, map), 0);
    inform("a page written with zeros, then seen by KSM: it is %s zero page, and a scan that excludes zero "
           "pages %s",
           zero_page ? "a" : "no", map[ZEROED] == '#' ? "reports it" : "loses the write");
    ck_assert_int_eq(map[ZEROED] == '#', !zero_page);
    ck_assert_int_eq(madvise(base, NR_PAGES * page_size(), MADV_UNMERGEABLE), 0);
}
END_TEST

/* With _i 1 an untouched page follows: the region is sparse, and the library scans it with another mask. */
START_TEST(zeros_that_ksm_merges_are_reported)
{
    char *base, map[] = "????????.";

    if (no_ksm) {
        SKIP("%s", no_ksm);
    }
    base = watch_pages(NR_PAGES + _i);
    map[NR_PAGES + _i] = 0;
    fill(base);
    reset_pages(base, NR_PAGES + _i);
    memset(base + ZEROED * page_size(), 0, page_size());
    /* merge() advises MADV_MERGEABLE, which undoes the library's MADV_UNMERGEABLE. */
    if (!merge(base)) {
        SKIP("KSM has too much memory to go through");
    }
    inform("%s: KSM made a page of zeros %s zero page", backend->name,
           is_zero_page(base, ZEROED) ? "a" : "no");
    map[ZEROED] = '#';
    expect_map(ctx, base, map);
    ck_assert_int_eq(read_page(base, ZEROED), 0);
    reset_beside_ksm(base);
    write_page(base, ZEROED, 1);
    write_page(base, ZEROED + 1, 1);
    expect_map(ctx, base, "???##???");
    ck_assert_int_eq(madvise(base, NR_PAGES * page_size(), MADV_UNMERGEABLE), 0);
}
END_TEST

static int give_content(void *arg, uintptr_t addr, void *page, size_t len)
{
    const char *const *content_and_base = arg;

    memcpy(page, content_and_base[0] + (addr - (uintptr_t)content_and_base[1]), len);
    return 0;
}

/* Pages that were never reported, but filled: by ww_fill(), or on demand (_i 1). */
START_TEST(zeros_over_filled_content_are_reported)
{
    char *content, *base, map[] = "????????";
    size_t len = NR_PAGES * page_size();
    char *content_and_base[2];

    if (no_ksm || !has_cap(_i ? WW_CAP_FILL_ON_DEMAND : WW_CAP_FILL)) {
        SKIP("%s", no_ksm ? no_ksm : "the backend cannot fill");
    }
    content_and_base[0] = content = map_pages(NR_PAGES);
    content_and_base[1] = base = watch_pages(NR_PAGES);
    fill(content);
    if (_i) {
        ck_assert_int_eq(ww_fill_on_demand(ctx, base, len, give_content, content_and_base), 0);
    } else {
        ck_assert_int_eq(ww_fill(ctx, base, content, len), len);
    }
    ck_assert(!memcmp(base, content, len));
    ck_assert_int_eq(ww_count(ctx, base, len), 0);
    memset(base + ZEROED * page_size(), 0, page_size());
    if (!merge(base)) {
        SKIP("KSM has too much memory to go through");
    }
    inform("%s: KSM made a filled page that was written with zeros %s zero page", backend->name,
           is_zero_page(base, ZEROED) ? "a" : "no");
    map[ZEROED] = '#';
    expect_map(ctx, base, map);
    ck_assert_int_eq(madvise(base, len, MADV_UNMERGEABLE), 0);
}
END_TEST

/* A page that KSM merged while it was clean may be reported; one that is written afterwards must be. */
START_TEST(a_merged_page_is_watched_on)
{
    char *base;

    if (no_ksm || !(atomic_load(&ctx->tracker)->caps & WW_CAP_INTERNAL_MERGEABLE)) {
        SKIP("%s", no_ksm ? no_ksm : "it lacks WW_CAP_INTERNAL_MERGEABLE");
    }
    base = watch_pages(NR_PAGES);
    memset(base, 0, NR_PAGES * page_size());
    memset(base + 4 * page_size(), 9, 4 * page_size());
    reset_pages(base, NR_PAGES);
    if (!merge(base)) {
        SKIP("KSM has too much memory to go through");
    }
    write_map(base, "#..#.#..");
    expect_map(ctx, base, "#??#?#??");
    reset_beside_ksm(base);
    write_map(base, ".#....#.");
    expect_map(ctx, base, "?#????#?");
    ck_assert_int_eq(read_page(base, 4), 9);
    ck_assert_int_eq(madvise(base, NR_PAGES * page_size(), MADV_UNMERGEABLE), 0);
    expect_map(ctx, base, "?#????#?");
}
END_TEST

void add_ksm_facts(Suite *suite)
{
    TCase *tcase = new_bare_case(suite, "KSM");

    tcase_add_unchecked_fixture(tcase, start_ksm, stop_ksm);
    tcase_add_test(tcase, zeros_that_ksm_merges);
}

void add_ksm_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "KSM");

    tcase_add_unchecked_fixture(tcase, start_ksm, stop_ksm);
    tcase_add_loop_test(tcase, zeros_that_ksm_merges_are_reported, 0, 2);
    tcase_add_loop_test(tcase, zeros_over_filled_content_are_reported, 0, 2);
    tcase_add_test(tcase, a_merged_page_is_watched_on);
}
