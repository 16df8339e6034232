/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ww_watch() of memory that exists takes time in proportion to its pages. Meanwhile other threads can find,
 * get, watch and unwatch other ranges, whoever waits for this one. Their gets and unwatches of this range
 * wait until the watch has ended; a second watch of it is refused at once.
 *
 * Link with -Wl,--wrap=ioctl,--wrap=mprotect: the wrappers stop a watch at the call that makes its pages
 * clean.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>

#include "kernel/uapi.h"
#include "util.h"
#include "watch.h"

#define NR 64

static struct ww_probe backends[MAX_BACKENDS];
static size_t nr_backends;
static struct ww_context *ctx;
static char *base;

/* ---- a watch that is stopped ---- */

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_mprotect(void *addr, size_t len, int prot);
int __wrap_mprotect(void *addr, size_t len, int prot);

static _Thread_local bool is_watcher;
static atomic_bool stopped, go_on;
static int error; /* the errno with which the stopped call fails; 0: it succeeds */

/* Stops the watching thread at a call about the range until go_on is set. Returns whether the call must
 * fail. */
static bool stop(uintptr_t addr)
{
    if (!is_watcher || addr < (uintptr_t)base || addr >= (uintptr_t)base + NR * page_size()) {
        return false;
    }
    atomic_store(&stopped, true);
    for (int i = 0; i < 5000 && !atomic_load(&go_on); i++) {
        nanosleep(&(const struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    errno = error;
    return error;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    uintptr_t addr = 0;
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (request == (unsigned long)PAGEMAP_SCAN &&
        (((struct pm_scan_arg *)arg)->flags & PM_SCAN_WP_MATCHING)) {
        addr = ((struct pm_scan_arg *)arg)->start;
    } else if (request == (unsigned long)UFFDIO_WRITEPROTECT) {
        addr = ((struct uffdio_writeprotect *)arg)->range.start;
    }
    return stop(addr) ? -1 : __real_ioctl(fd, request, arg);
}

int __wrap_mprotect(void *addr, size_t len, int prot)
{
    return stop((uintptr_t)addr) ? -1 : __real_mprotect(addr, len, prot);
}

static void *watch(void *flags)
{
    is_watcher = true;
    return (void *)(intptr_t)ww_watch_internal(ctx, base, NR * page_size(), (uintptr_t)flags);
}

/* Lets the watching thread go on. Returns what ww_watch() returned. */
static int end(pthread_t watcher)
{
    void *err;

    atomic_store(&go_on, true);
    pthread_join(watcher, &err);
    return (int)(intptr_t)err;
}

/* Starts a thread that watches written pages, and waits until it is stopped. False: the backend does not walk
 * them. */
static bool begin(pthread_t *ret_watcher, unsigned int flags)
{
    base = map_pages(NR);
    memset(base, 1, NR * page_size());
    ck_assert_int_eq(pthread_create(ret_watcher, NULL, watch, (void *)(uintptr_t)flags), 0);
    for (int i = 0; i < 1000 && !atomic_load(&stopped); i++) {
        usleep(1000);
    }
    if (!atomic_load(&stopped)) {
        ck_assert_int_eq(end(*ret_watcher), 0);
        printf("SKIP %s: it does not walk the pages\n", ww_backend_name(ctx));
    }
    return atomic_load(&stopped);
}

/* ---- tests ---- */

static void open_named(size_t index)
{
    ck_assert_int_eq(ww_open(&ctx, backends[index].name), 0);
}

static void *use_others(void *arg)
{
    char *other = map_pages(8), *third = map_pages(8);
    size_t len = 8 * page_size();
    struct ww_range range;
    void *pages[8];

    ck_assert_int_eq(ww_watch(ctx, other, len, WW_WATCH_FRESH), 0);
    write_page(other, 3, 1);
    ck_assert_int_eq(ww_find(ctx, other, &range), 0);
    ck_assert_int_ge(ww_get_pages(ctx, other, len, WW_GET_RESET, pages, 8), 1);
    ck_assert_int_eq(ww_watch(ctx, third, len, 0), 0);
    ck_assert_int_eq(ww_unwatch(ctx, other, len), 0);
    ck_assert_int_eq(ww_unwatch(ctx, third, len), 0);
    atomic_store((atomic_bool *)arg, true);
    return NULL;
}

static void *count(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)ww_count(ctx, base, NR * page_size());
}

static void *unwatch_a_part(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)ww_unwatch(ctx, base + 8 * page_size(), 8 * page_size());
}

static void expect_others_go_on(void)
{
    atomic_bool done = false;
    pthread_t user;

    ck_assert_int_eq(pthread_create(&user, NULL, use_others, &done), 0);
    for (int i = 0; i < 3000 && !atomic_load(&done); i++) {
        usleep(1000);
    }
    ck_assert_msg(atomic_load(&done), "%s: calls about other ranges wait for a watch", ww_backend_name(ctx));
    pthread_join(user, NULL);
}

START_TEST(other_ranges_go_on_while_a_watch_walks_its_pages)
{
    pthread_t watcher;

    open_named(_i);
    if (!begin(&watcher, 0)) {
        return;
    }
    expect_others_go_on();
    ck_assert_int_eq(end(watcher), 0);
    expect_number(ctx, ww_count(ctx, base, NR * page_size()), 0, NR);
}
END_TEST

/* Calls that wait for the range take nothing along that others need. */
START_TEST(other_ranges_go_on_while_calls_wait_for_a_range)
{
    pthread_t watcher, getter, unwatcher;
    void *nr, *err;

    open_named(_i);
    if (!begin(&watcher, 0)) {
        return;
    }
    ck_assert_int_eq(pthread_create(&getter, NULL, count, NULL), 0);
    usleep(20000);
    expect_others_go_on();
    ck_assert_int_eq(pthread_create(&unwatcher, NULL, unwatch_a_part, NULL), 0);
    usleep(20000);
    expect_others_go_on();
    ck_assert_int_eq(end(watcher), 0);
    pthread_join(getter, &nr);
    pthread_join(unwatcher, &err);
    ck_assert_int_eq((intptr_t)err, 0);
    ck_assert_int_le((intptr_t)nr, NR);
    ck_assert_int_eq(ww_count(ctx, base + 8 * page_size(), page_size()), -ENOENT);
    expect_number(ctx, ww_count(ctx, base + 16 * page_size(), (NR - 16) * page_size()), 0, NR - 16);
}
END_TEST

/* Another thread makes a call about the range while the watch is stopped. Ends the watch, and returns what
 * the call returned. */
static intptr_t call_meanwhile(pthread_t watcher, void *(*call)(void *), int watch_error)
{
    pthread_t caller;
    void *ret;

    ck_assert_int_eq(pthread_create(&caller, NULL, call, NULL), 0);
    usleep(20000);
    ck_assert_int_eq(end(watcher), watch_error);
    pthread_join(caller, &ret);
    return (intptr_t)ret;
}

START_TEST(a_get_waits_until_the_range_is_watched)
{
    pthread_t watcher;

    open_named(_i);
    if (begin(&watcher, 0)) {
        expect_number(ctx, call_meanwhile(watcher, count, 0), 0, NR);
    }
}
END_TEST

START_TEST(an_unwatch_waits_until_the_range_is_watched)
{
    size_t page = page_size();
    struct ww_range range;
    pthread_t watcher;

    open_named(_i);
    if (!begin(&watcher, 0)) {
        return;
    }
    ck_assert_int_eq(call_meanwhile(watcher, unwatch_a_part, 0), 0);
    ck_assert_int_eq(ww_find(ctx, base, &range), 0);
    ck_assert_uint_eq(range.end, (uintptr_t)base + 8 * page);
    ck_assert_int_eq(ww_find(ctx, base + 8 * page, &range), -ENOENT);
    ck_assert_int_eq(ww_find(ctx, base + 16 * page, &range), 0);
    write_page(base, 20, 2);
    ck_assert_int_ge(ww_count(ctx, base + 20 * page, page), 1);
}
END_TEST

START_TEST(a_second_watch_of_the_range_is_refused)
{
    pthread_t watcher;

    open_named(_i);
    if (begin(&watcher, 0)) {
        ck_assert_int_eq(ww_watch(ctx, base, page_size(), 0), -EEXIST);
        ck_assert_int_eq(end(watcher), 0);
    }
}
END_TEST

/* With markers, because ww_watch() then fails if the kernel refuses to arm the pages. */
static bool begin_failing(pthread_t *ret_watcher)
{
    error = EPERM;
    return begin(ret_watcher, WW_WATCH_MARKERS);
}

static void expect_nothing_watched(void)
{
    struct ww_range range;

    for (size_t i = 0; i < NR; i++) {
        ck_assert_int_eq(ww_find(ctx, base + i * page_size(), &range), -ENOENT);
    }
    error = 0;
    ck_assert_int_eq(ww_watch(ctx, base, NR * page_size(), 0), 0);
    expect_number(ctx, ww_count(ctx, base, NR * page_size()), 0, NR);
}

START_TEST(a_watch_that_fails_leaves_nothing)
{
    pthread_t watcher;

    open_named(_i);
    if (begin_failing(&watcher)) {
        ck_assert_int_eq(end(watcher), -EPERM);
        expect_nothing_watched();
    }
}
END_TEST

START_TEST(a_watch_that_fails_and_was_cut_leaves_nothing)
{
    pthread_t watcher;

    open_named(_i);
    if (begin_failing(&watcher)) {
        ck_assert_int_eq(call_meanwhile(watcher, unwatch_a_part, -EPERM), 0);
        expect_nothing_watched();
    }
}
END_TEST

/* The get finds no region, or one that nothing tracks, all of whose pages count as written. */
START_TEST(a_get_during_a_watch_that_fails_is_harmless)
{
    pthread_t watcher;
    intptr_t ret;

    open_named(_i);
    if (begin_failing(&watcher)) {
        ret = call_meanwhile(watcher, count, -EPERM);
        ck_assert_msg(ret == -ENOENT || ret == NR, "%td", ret);
        expect_nothing_watched();
    }
}
END_TEST

#define NR_THREADS 4
#define NR_ROUNDS 300

/* Watches, writes, counts, resets and unwatches random ranges within this thread's part of the mapping.
 * Returns the number of wrong answers. */
static void *use_part(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    size_t page = page_size(), first = ((uintptr_t)arg - 1) * NR / NR_THREADS, nr = NR / NR_THREADS;
    uintptr_t nr_wrong = 0;

    for (int round = 0; round < NR_ROUNDS; round++) {
        size_t from = first + random_below(&random, nr),
               to = from + 1 + random_below(&random, first + nr - from);
        size_t written = from + random_below(&random, to - from);
        char *start = base + from * page;
        size_t len = (to - from) * page;

        nr_wrong += ww_watch_internal(ctx, start, len, round % 2 ? 0 : WW_WATCH_MARKERS) != 0;
        write_page(base, written, 1);
        nr_wrong += ww_count(ctx, base + written * page, page) != 1;
        nr_wrong += ww_reset(ctx, start, len) != 0;
        nr_wrong += ww_unwatch(ctx, start, len) != 0;
    }
    return (void *)nr_wrong;
}

START_TEST(neighbours_are_watched_at_the_same_time)
{
    pthread_t threads[NR_THREADS];

    open_named(_i);
    if (!(ww_backend_caps(ctx) & WW_CAP_ATOMIC_RESET)) {
        printf("SKIP %s on %s: its resets lose writes of running threads (no WW_CAP_ATOMIC_RESET)\n",
               __func__, ww_backend_name(ctx));
        return;
    }
    base = map_pages(NR);
    memset(base, 1, NR * page_size() / 2);
    for (uintptr_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_part, (void *)(i + 1)), 0);
    }
    for (size_t i = 0; i < NR_THREADS; i++) {
        void *nr_wrong;

        pthread_join(threads[i], &nr_wrong);
        ck_assert_msg(!nr_wrong, "%s: %zu answers are wrong", ww_backend_name(ctx), (size_t)nr_wrong);
    }
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *test)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test, 0, nr_backends);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("watch");

    nr_backends = find_backends(backends, 0);
    add(suite, "others", other_ranges_go_on_while_a_watch_walks_its_pages);
    add(suite, "wait", other_ranges_go_on_while_calls_wait_for_a_range);
    add(suite, "get", a_get_waits_until_the_range_is_watched);
    add(suite, "unwatch", an_unwatch_waits_until_the_range_is_watched);
    add(suite, "twice", a_second_watch_of_the_range_is_refused);
    add(suite, "fails", a_watch_that_fails_leaves_nothing);
    add(suite, "fails-cut", a_watch_that_fails_and_was_cut_leaves_nothing);
    add(suite, "fails-get", a_get_during_a_watch_that_fails_is_harmless);
    add(suite, "neighbours", neighbours_are_watched_at_the_same_time);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
