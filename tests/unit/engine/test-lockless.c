/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Races that no test meets by chance: what happens to a region while the fast path scans it without a lock
 * (lockless.c). The ioctl is wrapped: before or after the real one runs, the thread itself does what another
 * thread could do there.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "change.h"
#include "util.h"

#define NR 8

static struct ww_context *ctx;
static char *base;
static void (*meanwhile)(void), (*afterwards)(void);
static unsigned int nr_alone, nr_scans, nr_resets_alone;

int __real_ioctl(int fd, unsigned long request, ...);
static void act_under_lock(struct pm_scan_arg *arg);
static int take_apart(struct pm_scan_arg *arg, int nr);
static void (*after_register)(void);
int __wrap_ioctl(int fd, unsigned long request, ...);

/* Whether this thread holds no lock: one that does has blocked signals. */
static bool is_alone(void)
{
    sigset_t blocked;

    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    return !sigismember(&blocked, SIGUSR1);
}

static void act(void (**action)(void))
{
    void (*once)(void) = *action;

    *action = NULL;
    if (once) {
        once();
    }
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    void *arg;
    int ret;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (request == (unsigned long)UFFDIO_REGISTER) {
        ret = __real_ioctl(fd, request, arg);
        act(&after_register);
        return ret;
    }
    if (request != (unsigned long)PAGEMAP_SCAN || !is_alone()) {
        nr_scans += request == (unsigned long)PAGEMAP_SCAN;
        ret = __real_ioctl(fd, request, arg);
        if (ret > 0 && request == (unsigned long)PAGEMAP_SCAN) {
            act_under_lock(arg);
            ret = take_apart(arg, ret);
        }
        return ret;
    }
    nr_scans++;
    nr_alone++;
    nr_resets_alone += ((const struct pm_scan_arg *)arg)->flags & PM_SCAN_WP_MATCHING ? 1 : 0;
    act(&meanwhile);
    ret = __real_ioctl(fd, request, arg);
    act(&afterwards);
    return ret;
}

static ssize_t ask(unsigned int flags)
{
    void *pages[NR];

    return ww_get_pages(ctx, base, NR * page_size(), flags, pages, NR);
}

static void open_lockless(void)
{
    ck_assert_int_eq(ww_open(&ctx, "uffd"), 0);
    base = map_pages(NR);
    ck_assert_int_eq(ww_watch(ctx, base, NR * page_size(), WW_WATCH_FRESH), 0);
    memset(base, 1, NR * page_size());
    ck_assert_int_eq(ask(WW_GET_RESET), NR);
    ck_assert_int_eq(ask(0), 0);
}

/* No test may have reset anything without a lock. */
static void close_lockless(void)
{
    ck_assert_uint_eq(nr_resets_alone, 0);
    ww_close(ctx);
}

START_TEST(a_repeated_query_takes_no_lock)
{
    for (int i = 0; i < 3; i++) {
        nr_alone = nr_scans = 0;
        ck_assert_int_eq(ask(i % 2 ? WW_GET_RESET : 0), 0);
        ck_assert_uint_eq(nr_alone, 1);
        ck_assert_uint_eq(nr_scans, 1);
    }
}
END_TEST

/* Where every page was reported before, the fast path answers with the written pages as well; only a reset of
 * them takes the lock. If there are more runs than in the last answer, the fast path scans twice. */
START_TEST(written_memory_is_asked_without_a_lock_where_it_is_dense)
{
    for (int i = 0; i < 4; i++) {
        for (int runs = 0; runs < 3; runs++) {
            write_page(base, 2 * runs, i);
        }
        nr_alone = nr_scans = 0;
        ck_assert_int_eq(ask(0), 3);
        ck_assert_uint_eq(nr_alone, i ? 1 : 2);
        ck_assert_uint_eq(nr_scans, nr_alone);
        ck_assert_int_eq(ask(WW_GET_RESET), 3);
        ck_assert_uint_eq(nr_alone, i ? 1 : 2);
        ck_assert_uint_eq(nr_scans, nr_alone + 1);
    }
    ck_assert_int_eq(ask(0), 0);
}
END_TEST

/* A cached query has room for as many runs as the whole of its last answer, however many scans that took. */
START_TEST(as_many_runs_again_need_one_scan)
{
    static const size_t nr_runs[] = { 5, 5, 7, 7, 7, 3, 3 }, wanted[] = { 2, 1, 2, 1, 1, 1, 1 };
    struct ww_range runs[16];
    size_t len = 16 * page_size();
    char *many = map_pages(16);
    void *pages[16];

    ck_assert_int_eq(ww_watch(ctx, many, len, WW_WATCH_FRESH), 0);
    memset(many, 1, len);
    ck_assert_int_eq(ww_get_pages(ctx, many, len, WW_GET_RESET, pages, 16), 16);
    ck_assert_int_eq(ww_get_pages(ctx, many, len, 0, pages, 16), 0);
    for (size_t i = 0; i < sizeof(nr_runs) / sizeof(nr_runs[0]); i++) {
        for (size_t run = 0; run < nr_runs[i]; run++) {
            write_page(many, 2 * run, 2);
        }
        nr_scans = 0;
        ck_assert_int_eq(ww_get_ranges(ctx, many, len, 0, runs, 16), nr_runs[i]);
        ck_assert_msg(nr_scans == wanted[i], "answer %zu takes %u scans", i, nr_scans);
        nr_scans = 0;
        ck_assert_int_eq(ww_get_pages(ctx, many, len, WW_GET_RESET, pages, 16), nr_runs[i]);
        ck_assert_uint_eq(nr_scans, 1);
    }
}
END_TEST

/* With a reset, or on sparse memory, the fast path can only answer "nothing". If it finds something, the slow
 * path scans again, and also answers all later queries, with one scan each, until an answer is "nothing". */
START_TEST(memory_that_is_always_written_is_not_walked_twice)
{
    char *sparse = _i ? base : map_pages(NR);
    void *pages[NR];

    ck_assert_int_eq(ww_watch(ctx, sparse, NR * page_size(), WW_WATCH_FRESH), _i ? -EEXIST : 0);
    for (int i = 0; i < 3; i++) {
        nr_alone = 0;
        ck_assert_int_eq(ww_get_pages(ctx, sparse, NR * page_size(), WW_GET_RESET, pages, NR), 0);
        ck_assert_uint_eq(nr_alone, _i || i > 0);
    }
    for (int i = 0; i < 5; i++) {
        nr_alone = nr_scans = 0;
        write_page(sparse, i, 1);
        ck_assert_int_eq(ww_get_pages(ctx, sparse, NR * page_size(), WW_GET_RESET, pages, NR), 1);
        ck_assert_uint_eq(nr_alone, i == 0);
        ck_assert_uint_eq(nr_scans, i == 0 ? 2 : 1);
    }
}
END_TEST

/* A get resets no more pages than its array has room for. */
START_TEST(what_found_no_room_stays_written)
{
    void *pages[NR];

    memset(base, 2, NR * page_size());
    for (int i = 0; i < NR / 2; i++) {
        ck_assert_int_eq(ww_get_pages(ctx, base, NR * page_size(), WW_GET_RESET, pages, 2), 2);
        ck_assert_ptr_eq(pages[0], base + 2 * i * page_size());
        ck_assert_ptr_eq(pages[1], base + (2 * i + 1) * page_size());
    }
    ck_assert_int_eq(ask(0), 0);
}
END_TEST

static const struct {
    size_t nr, pages, gap; /* regions, pages of each, pages from one to the next */
} grids[] = { { 10000, 2, 2 }, { 10000, 2, 16 }, { 4000, 1, 64 }, { 128, 2, 272 }, { 300, 2, 2048 } };
#define NR_GRIDS (sizeof(grids) / sizeof(grids[0]))

/* Regions at regular distances do not evict each other's cached queries: at most one query in 20 finds no
 * room, as with random addresses. */
START_TEST(notes_about_many_regions_have_room)
{
    size_t nr = grids[_i].nr, len = grids[_i].pages * page_size(), gap = grids[_i].gap * page_size();
    char *all =
        mmap(NULL, nr * gap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *pages[2];

    ck_assert_ptr_ne(all, MAP_FAILED);
    for (size_t i = 0; i < nr; i++) {
        ck_assert_int_eq(ww_watch(ctx, all + i * gap, len, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS), 0);
    }
    for (int round = 0; round < 3; round++) {
        nr_alone = 0;
        for (size_t i = 0; i < nr; i++) {
            ck_assert_int_eq(ww_get_pages(ctx, all + i * gap, len, WW_GET_RESET, pages, 2), 0);
        }
    }
    ck_assert_msg(nr_alone >= nr - nr / 20, "%u of %zu regions are asked without a lock", nr_alone, nr);
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

    ck_assert_int_eq(ww_hold_to_change_at(ctx, (uintptr_t)base, &hold), 0);
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

static void latch_another(void)
{
    write_page(base, 3, 2);
    ck_assert_int_eq(ww_latch(ctx, base, NR * page_size()), 0);
}

/* Another thread's get takes all the written pages. */
static void take_another(void)
{
    void *pages[NR];

    mark_one();
    ck_assert_int_eq(ww_get_pages(ctx, base, NR * page_size(), WW_GET_RESET, pages, NR), 2);
    ck_assert_ptr_eq(pages[0], base + page_size());
    ck_assert_ptr_eq(pages[1], base + 3 * page_size());
}

static void hold_it(void)
{
    struct ww_hold hold;

    ck_assert_int_eq(ww_hold_to_change_at(ctx, (uintptr_t)base, &hold), 0);
    ww_hold_end(&hold);
}

/* Page 5, which is clean, is dropped. */
static void discard_one(void)
{
    ck_assert_int_eq(madvise(base + 5 * page_size(), page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base + 5 * page_size(), page_size()), 0);
}

static const struct {
    void (*action)(void);
    size_t nr, page[3]; /* the answer */
} conflicts[] = {
    { latch_another, 2, { 1, 3 } }, { mark_one, 2, { 1, 3 } }, { take_another, 0, { 0 } },
    { hold_it, 1, { 1 } },          { discard_one, 1, { 1 } },
};
#define NR_CONFLICTS (sizeof(conflicts) / sizeof(conflicts[0]))

START_TEST(what_happens_after_a_look_is_in_the_answer)
{
    void *pages[NR];

    write_page(base, 1, 2);
    afterwards = conflicts[_i].action;
    ck_assert_int_eq(ww_get_pages(ctx, base, NR * page_size(), WW_GET_RESET, pages, NR), conflicts[_i].nr);
    ck_assert_ptr_null(afterwards);
    for (size_t i = 0; i < conflicts[_i].nr; i++) {
        ck_assert_ptr_eq(pages[i], base + conflicts[_i].page[i] * page_size());
    }
    ck_assert_int_eq(ask(0), 0);
}
END_TEST

/* ww_reset() uses the fast path, too, and loses no later write. */
START_TEST(a_reset_of_clean_memory_needs_no_lock)
{
    nr_alone = nr_scans = 0;
    ck_assert_int_eq(ww_reset(ctx, base, NR * page_size()), 0);
    ck_assert_uint_eq(nr_scans, 1);
    ck_assert_uint_eq(nr_alone, 1);
    memset(base, 2, NR * page_size());
    ck_assert_int_eq(ww_reset(ctx, base, NR * page_size()), 0);
    ck_assert_int_eq(ask(0), 0);
    write_page(base, 3, 3);
    ck_assert_int_eq(ask(0), 1);
}
END_TEST

START_TEST(what_gets_dirty_during_a_look_is_reset)
{
    write_page(base, 1, 2);
    if (_i % 2) {
        meanwhile = dirtying[_i / 2];
    } else {
        afterwards = dirtying[_i / 2];
    }
    ck_assert_int_eq(ww_reset(ctx, base, NR * page_size()), 0);
    ck_assert_ptr_null(meanwhile);
    ck_assert_ptr_null(afterwards);
    /* The reset comes after both writes, on the slow path. */
    ck_assert_int_eq(ask(0), 0);
}
END_TEST

/* ---- memory that another context has taken over ---- */

static struct ww_context *other;

/* Another context watches the memory, and the program writes it, while a thread of this context is preempted
 * before its ioctl. */
static void give_away(void)
{
    ck_assert_int_eq(ww_unwatch(ctx, base, NR * page_size()), 0);
    ck_assert_int_eq(ww_watch(other, base, NR * page_size(), 0), 0);
    write_page(base, 3, 2);
}

START_TEST(a_late_query_leaves_the_bits_of_another_tracker)
{
    void *pages[NR];

    ck_assert_int_eq(ww_open(&other, "uffd"), 0);
    meanwhile = give_away;
    if (_i) {
        ck_assert_int_eq(ask(WW_GET_RESET), -ENOENT);
    } else {
        ck_assert_int_eq(ww_reset(ctx, base, NR * page_size()), -ENOENT);
    }
    ck_assert_ptr_null(meanwhile);
    ck_assert_int_eq(ww_get_pages(other, base, NR * page_size(), WW_GET_RESET, pages, NR), 1);
    ck_assert_ptr_eq(pages[0], base + 3 * page_size());
    ww_close(other);
}
END_TEST

/* ---- memory that a userfaultfd of the program's own has taken over ---- */

static int foreign_uffd = -1, foreign_pagemap = -1;

static void open_foreign(void)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };

    foreign_uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    ck_assert_int_ge(foreign_uffd, 0);
    ck_assert_int_eq(__real_ioctl(foreign_uffd, UFFDIO_API, &api), 0);
    foreign_pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(foreign_pagemap, 0);
}

/* The program itself registers and arms the memory and writes a page, while a thread of this context is
 * preempted before its ioctl. Nothing of the library's knows of it. */
static void give_to_foreign(void)
{
    struct uffdio_register reg = {
        .range = { .start = (uintptr_t)base, .len = NR * page_size() },
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    struct uffdio_writeprotect protect = { .range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

    ck_assert_int_eq(ww_unwatch(ctx, base, NR * page_size()), 0);
    ck_assert_int_eq(__real_ioctl(foreign_uffd, UFFDIO_REGISTER, &reg), 0);
    ck_assert_int_eq(__real_ioctl(foreign_uffd, UFFDIO_WRITEPROTECT, &protect), 0);
    write_page(base, 3, 2);
}

/* Asks the kernel for the written pages of the foreign registration; resets nothing. Returns how many runs.
 */
static int look_at_foreign(struct page_region *ret_run)
{
    struct page_region runs[NR] = { { .start = 0 } };
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .flags = PM_SCAN_CHECK_WPASYNC,
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + NR * page_size(),
        .vec = (uintptr_t)runs,
        .vec_len = NR,
        .category_mask = PAGE_IS_WRITTEN,
        .return_mask = PAGE_IS_WRITTEN,
    };
    int nr = __real_ioctl(foreign_pagemap, PAGEMAP_SCAN, &arg);

    *ret_run = runs[0];
    return nr;
}

/* Get with and without reset, and reset: the late ioctl must not clear what the other user has not seen yet.
 */
START_TEST(a_late_query_leaves_the_bits_of_a_userfaultfd_that_is_not_ours)
{
    struct page_region run;

    open_foreign();
    meanwhile = give_to_foreign;
    ck_assert_int_eq(_i == 2 ? ww_reset(ctx, base, NR * page_size()) : ask(_i ? WW_GET_RESET : 0), -ENOENT);
    ck_assert_ptr_null(meanwhile);
    ck_assert_int_eq(look_at_foreign(&run), 1);
    ck_assert_uint_eq(run.start, (uintptr_t)base + 3 * page_size());
    ck_assert_uint_eq(run.end, (uintptr_t)base + 4 * page_size());
    close(foreign_pagemap);
    close(foreign_uffd);
}
END_TEST

/* Once, after a resetting scan that found pages and before its thread goes on: they become zero pages, as a
 * huge page of zeros that is split, and another thread asks about page 2. */
static bool splits_now;
static pthread_t asker;
static ssize_t asked = -1;

static void *ask_for_page(void *page)
{
    void *pages[1];

    asked = ww_get_pages(ctx, page, page_size(), 0, pages, 1);
    return page;
}

static void act_under_lock(struct pm_scan_arg *arg)
{
    if (splits_now && (arg->flags & PM_SCAN_WP_MATCHING)) {
        splits_now = false;
        ((struct page_region *)(uintptr_t)arg->vec)->categories |= PAGE_IS_PFNZERO;
        ck_assert_int_eq(pthread_create(&asker, NULL, ask_for_page, base + 2 * page_size()), 0);
        usleep(100000);
    }
}

static void *ask_all(void *arg)
{
    asked = ask(0);
    return arg;
}

/* One run of the kernel's that is zero pages comes apart where pages were not reported before. What finds no
 * room in the caller's array is dirty all the time. */
START_TEST(surplus_of_zero_pages_is_never_clean)
{
    struct ww_range range;
    void *pages[8];

    ck_assert_int_eq(madvise(base + page_size(), page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base + page_size(), page_size()), 0);
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ww_get_pages(ctx, base + 2 * page_size(), page_size(), 0, pages, 1), 0);
    }
    write_map(base, "###.....");
    splits_now = true;
    ck_assert_int_eq(ww_get_ranges(ctx, base, 3 * page_size(), WW_GET_RESET, &range, 1), 1);
    ck_assert_uint_eq(range.end, (uintptr_t)base + page_size());
    pthread_join(asker, NULL);
    ck_assert_int_eq(asked, 1);
}
END_TEST

/* One run of the kernel's becomes three, of which the second is zero pages and comes apart where the page in
 * its middle was not reported before. */
static bool takes_apart;

static int take_apart(struct pm_scan_arg *arg, int nr)
{
    struct page_region *vec = (struct page_region *)(uintptr_t)arg->vec;

    if (takes_apart && (arg->flags & PM_SCAN_WP_MATCHING)) {
        takes_apart = false;
        ck_assert_uint_eq(arg->vec_len, 3);
        vec[1] = (struct page_region){ vec[0].start + page_size(), vec[0].start + 4 * page_size(),
                                       PAGE_IS_WRITTEN | PAGE_IS_PFNZERO };
        vec[2] = (struct page_region){ vec[1].end, vec[1].end + page_size(), PAGE_IS_WRITTEN };
        vec[0].end = vec[1].start;
        nr = 3;
        ck_assert_int_eq(pthread_create(&asker, NULL, ask_for_page, base + 4 * page_size()), 0);
        usleep(100000);
    }
    return nr;
}

START_TEST(surplus_of_a_few_pages_is_never_clean)
{
    struct ww_range ranges[3];
    void *pages[8];

    ck_assert_int_eq(madvise(base + 2 * page_size(), page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base + 2 * page_size(), page_size()), 0);
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ww_get_pages(ctx, base + 4 * page_size(), page_size(), 0, pages, 1), 0);
    }
    write_map(base, "#####...");
    takes_apart = true;
    ck_assert_int_eq(ww_get_ranges(ctx, base, 5 * page_size(), WW_GET_RESET, ranges, 3), 3);
    ck_assert(!takes_apart);
    pthread_join(asker, NULL);
    ck_assert_int_eq(asked, 1);
}
END_TEST

static void ask_in_another_thread(void)
{
    ck_assert_int_eq(pthread_create(&asker, NULL, ask_all, NULL), 0);
    usleep(100000);
}

/* Fresh memory has replaced a part. Once it is registered again, no cached query may see it before its region
 * has ended them. */
START_TEST(a_hole_in_memory_that_was_replaced_is_no_write)
{
    char *hole = base + page_size();

    ck_assert_ptr_eq(mmap(hole, page_size(), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0),
                     hole);
    after_register = ask_in_another_thread;
    ck_assert_int_eq(ww_count(ctx, base, 4 * page_size()), 0);
    ck_assert_ptr_null(after_register);
    pthread_join(asker, NULL);
    ck_assert_int_eq(asked, 0);
}
END_TEST

static void forget_all(void)
{
    ck_assert_int_eq(ww_forget(ctx, (uintptr_t)base, (uintptr_t)base + NR * page_size(), NULL), 0);
}

/* The kernel still has all of the range registered: only the table of regions tells the part apart. */
static void forget_a_part(void)
{
    ck_assert_int_eq(
        ww_forget(ctx, (uintptr_t)base + 6 * page_size(), (uintptr_t)base + 7 * page_size(), NULL), 0);
}

static void unwatch_all(void)
{
    ck_assert_int_eq(ww_unwatch(ctx, base, NR * page_size()), 0);
}

static void detach_a_part(void)
{
    struct ww_detached detached;

    ck_assert_int_eq(ww_detach(ctx, (uintptr_t)base, (uintptr_t)base + page_size(), &detached), 0);
    ww_detached_free(&detached);
}

static void (*const endings[])(void) = { forget_all, forget_a_part, unwatch_all, detach_a_part };
#define NR_ENDINGS (sizeof(endings) / sizeof(endings[0]))

/* The region ends during the scan, after it, or before the query. */
START_TEST(what_is_watched_no_more_is_not_answered)
{
    if ((size_t)_i < NR_ENDINGS) {
        meanwhile = endings[_i];
    } else if ((size_t)_i < 2 * NR_ENDINGS) {
        write_page(base, 1, 2);
        afterwards = endings[_i - NR_ENDINGS];
    } else {
        endings[_i - 2 * NR_ENDINGS]();
    }
    ck_assert_int_eq(ask(_i % 2 ? WW_GET_RESET : 0), -ENOENT);
    ck_assert_ptr_null(meanwhile);
    ck_assert_ptr_null(afterwards);
    ck_assert_int_eq(ask(0), -ENOENT);
}
END_TEST

static Suite *lockless_suite(void)
{
    Suite *suite = suite_create("lockless");
    TCase *tcase = tcase_create("lockless");

    tcase_add_checked_fixture(tcase, open_lockless, close_lockless);
    tcase_add_test(tcase, a_repeated_query_takes_no_lock);
    tcase_add_test(tcase, written_memory_is_asked_without_a_lock_where_it_is_dense);
    tcase_add_test(tcase, as_many_runs_again_need_one_scan);
    tcase_add_loop_test(tcase, memory_that_is_always_written_is_not_walked_twice, 0, 2);
    tcase_add_test(tcase, what_found_no_room_stays_written);
    tcase_add_test(tcase, a_reset_of_clean_memory_needs_no_lock);
    tcase_add_loop_test(tcase, what_gets_dirty_during_a_look_is_reset, 0, 6);
    tcase_add_loop_test(tcase, what_happens_after_a_look_is_in_the_answer, 0, NR_CONFLICTS);
    tcase_add_loop_test(tcase, a_late_query_leaves_the_bits_of_another_tracker, 0, 2);
    tcase_add_loop_test(tcase, a_late_query_leaves_the_bits_of_a_userfaultfd_that_is_not_ours, 0, 3);
    tcase_add_loop_test(tcase, notes_about_many_regions_have_room, 0, NR_GRIDS);
    tcase_add_loop_test(tcase, what_gets_dirty_meanwhile_is_reported, 0,
                        sizeof(dirtying) / sizeof(dirtying[0]));
    tcase_add_test(tcase, surplus_of_zero_pages_is_never_clean);
    tcase_add_test(tcase, surplus_of_a_few_pages_is_never_clean);
    tcase_add_test(tcase, a_hole_in_memory_that_was_replaced_is_no_write);
    tcase_add_loop_test(tcase, what_is_watched_no_more_is_not_answered, 0, 3 * NR_ENDINGS);
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
    return run_suite(lockless_suite()) ? EXIT_FAILURE : EXIT_SUCCESS;
}
