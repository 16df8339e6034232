/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Harvests while threads write: no write may get lost. Every page holds a counter that writer threads
 * increment. A harvester gets and resets, and then copies the counters of the reported pages into an image of
 * its own. After a last harvest the image must equal memory, page by page.
 *
 * Variants: one harvester with arrays of any size; two harvesters on one range; regions that another thread
 * watches and unwatches meanwhile; children that it forks meanwhile; and writers that a signal suspends,
 * wherever they are, for the time of each harvest. WW_TEST_SECONDS is the time of the first variant on the
 * first backend (default 10); the others take a part of it. An alarm ends a run that hangs.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "util.h"

#define NR_PAGES 4096
#define NR_WRITERS 4
#define MAX_HARVESTERS 2
#define MIN_HARVESTS 10
#define MIN_STOPS 20 /* however slow the machine is */

static const struct ww_probe *backend;
static size_t backend_index;
static double seconds = 10;
static struct ww_context *ctx;

/* What all threads of a run share. */
static struct {
    char *base;
    atomic_bool stop_writers, stop_harvesters, stop_helpers;
    _Atomic uint64_t image[NR_PAGES];
    uint64_t shadow[NR_WRITERS][NR_PAGES]; /* the highest value a writer left in a page */
    atomic_ulong nr_writes, nr_reported, nr_harvests, nr_helped;
    unsigned long nr_moved; /* pages that the kernel has moved in this machine */
} run;

static _Atomic uint64_t *counter_of(size_t page)
{
    return (_Atomic uint64_t *)(run.base + page * page_size());
}

/*
 * Threads check with REQUIRE(): libcheck's assertions take a lock each time, and a thread that is suspended
 * while it holds that lock would stop the test.
 */
#define REQUIRE(cond, format, ...)                                                                           \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            dprintf(STDERR_FILENO, "%s:%d: %s: %s: " format "\n", __FILE__, __LINE__, backend->name, #cond,  \
                    __VA_ARGS__);                                                                            \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* ---- writers and harvesters ---- */

static void stamp(size_t writer, uint64_t *random)
{
    /* Now and then many writes to few pages, so that several writers meet in one. */
    size_t page = random_below(random, random_below(random, 4) ? NR_PAGES : 16);

    run.shadow[writer][page] = atomic_fetch_add_explicit(counter_of(page), 1, memory_order_relaxed) + 1;
}

static void *writer_thread(void *arg)
{
    size_t writer = (size_t)arg;
    uint64_t random = 1000 + writer;

    while (!atomic_load_explicit(&run.stop_writers, memory_order_relaxed)) {
        for (int i = 0; i < 64; i++) {
            stamp(writer, &random);
        }
        atomic_fetch_add_explicit(&run.nr_writes, 64, memory_order_relaxed);
    }
    return NULL;
}

/* Two harvesters may copy the same page in either order: the higher value stays. */
static void copy_page(size_t page)
{
    uint64_t value = atomic_load(counter_of(page)), old = atomic_load(&run.image[page]);

    while (old < value && !atomic_compare_exchange_weak(&run.image[page], &old, value)) {
        ;
    }
}

/* Returns the page to go on from: the one behind the last that fitted, or @to. */
static size_t harvest_pages(size_t from, size_t to, size_t capacity)
{
    void *pages[NR_PAGES];
    size_t page = page_size();
    ssize_t nr = ww_get_pages(ctx, run.base + from * page, (to - from) * page, WW_GET_RESET, pages, capacity);

    REQUIRE(nr >= 0, "%zd", nr);
    for (ssize_t i = 0; i < nr; i++) {
        copy_page(((char *)pages[i] - run.base) / page);
    }
    atomic_fetch_add(&run.nr_reported, nr);
    return (size_t)nr < capacity ? to : ((char *)pages[nr - 1] - run.base) / page + 1;
}

static void harvest_all(size_t capacity)
{
    for (size_t from = 0; from < NR_PAGES;) {
        from = harvest_pages(from, NR_PAGES, capacity);
    }
}

static void harvest_ranges(size_t from, size_t to, size_t capacity)
{
    struct ww_range ranges[NR_PAGES];
    size_t page = page_size(), nr_pages = 0;
    ssize_t nr =
        ww_get_ranges(ctx, run.base + from * page, (to - from) * page, WW_GET_RESET, ranges, capacity);

    REQUIRE(nr >= 0, "%zd", nr);
    for (ssize_t i = 0; i < nr; i++) {
        for (uintptr_t addr = ranges[i].start; addr < ranges[i].end; addr += page) {
            copy_page((addr - (uintptr_t)run.base) / page);
            nr_pages++;
        }
    }
    atomic_fetch_add(&run.nr_reported, nr_pages);
}

/* Harvests a random range with a random capacity; now and then counts or latches it instead. */
static void harvest_something(uint64_t *random)
{
    size_t from = random_below(random, 2) ? 0 : random_below(random, NR_PAGES);
    size_t to = from + 1 + random_below(random, NR_PAGES - from), page = page_size();
    size_t capacity = random_below(random, 3) ? NR_PAGES : 1 + random_below(random, 600);
    ssize_t ret;

    switch (random_below(random, 8)) {
    case 0:
        ret = ww_count(ctx, run.base + from * page, (to - from) * page);
        REQUIRE(ret >= 0, "%zd", ret);
        break;
    case 1:
        ret = ww_latch(ctx, run.base + from * page, (to - from) * page);
        REQUIRE(ret == 0, "%zd", ret);
        break;
    case 2:
    case 3:
        harvest_ranges(from, to, capacity);
        break;
    default:
        harvest_pages(from, to, capacity);
        break;
    }
    atomic_fetch_add(&run.nr_harvests, 1);
}

static void *harvester_thread(void *arg)
{
    uint64_t random = (size_t)arg;

    while (!atomic_load(&run.stop_harvesters)) {
        harvest_something(&random);
    }
    return NULL;
}

/* ---- helpers: what else goes on in a process ---- */

/* Watches, cuts and unwatches regions in mappings of its own. */
static void *churn_thread(void *arg)
{
    size_t page = page_size();
    uint64_t random = 77;

    (void)arg;
    while (!atomic_load(&run.stop_helpers)) {
        size_t nr = 4 + random_below(&random, 60);
        char *base = mmap(NULL, nr * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        void *pages[64];
        ssize_t ret;

        REQUIRE(base != MAP_FAILED, "%zu pages", nr);
        ret = ww_watch(ctx, base, nr * page, WW_WATCH_FRESH);
        REQUIRE(ret == 0, "%zd", ret);
        write_page(base, 0, 1);
        write_page(base, nr - 1, 1);
        ret = ww_unwatch(ctx, base + page, page);
        REQUIRE(ret == 0, "%zd", ret);
        ret = ww_get_pages(ctx, base, page, WW_GET_RESET, pages, 64);
        REQUIRE(ret == 1, "%zd", ret);
        ret = ww_get_pages(ctx, base + 2 * page, (nr - 2) * page, 0, pages, 64);
        REQUIRE(ret == 1 || (ret > 1 && !is_exact(ctx)), "%zd", ret);
        REQUIRE(pages[ret - 1] == base + (nr - 1) * page, "%zd", ret);
        ret = ww_unwatch(ctx, base, nr * page);
        REQUIRE(ret == 0, "%zd", ret);
        munmap(base, nr * page);
        atomic_fetch_add(&run.nr_helped, 1);
    }
    return NULL;
}

/* Forks children that exit at once. Until then they share the writers' pages, copy on write. */
static void *fork_thread(void *arg)
{
    (void)arg;
    while (!atomic_load(&run.stop_helpers)) {
        pid_t pid = fork();
        int status;

        if (!pid) {
            _exit(ww_count(ctx, run.base, page_size()) == -ECHILD ? 0 : 1);
        }
        REQUIRE(pid > 0, "%d", errno);
        REQUIRE(waitpid(pid, &status, 0) == pid && status == 0, "status %#x", status);
        atomic_fetch_add(&run.nr_helped, 1);
        usleep(2000);
    }
    return NULL;
}

/* ---- the run ---- */

/* @limit in seconds; CK_TIMEOUT_MULTIPLIER holds for it as for libcheck's own limits. */
static void begin(unsigned int limit)
{
    const char *multiplier = getenv("CK_TIMEOUT_MULTIPLIER");

    memset(&run, 0, sizeof(run));
    run.nr_moved = read_vmstat("pgmigrate_success");
    alarm(multiplier && atoi(multiplier) > 0 ? limit * atoi(multiplier) : limit);
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
    run.base = map_pages(NR_PAGES);
    ck_assert_int_eq(ww_watch(ctx, run.base, NR_PAGES * page_size(), WW_WATCH_FRESH), 0);
}

static void check_image(const char *when)
{
    for (size_t page = 0; page < NR_PAGES; page++) {
        uint64_t memory = atomic_load(counter_of(page)), image = atomic_load(&run.image[page]);

        REQUIRE(memory == image, "%s, page %zu has stamp %lu, the harvests saw %lu", when, page,
                (unsigned long)memory, (unsigned long)image);
    }
}

static void check_shadows(void)
{
    for (size_t page = 0; page < NR_PAGES; page++) {
        uint64_t highest = 0;

        for (size_t i = 0; i < NR_WRITERS; i++) {
            highest = run.shadow[i][page] > highest ? run.shadow[i][page] : highest;
        }
        REQUIRE(highest == atomic_load(counter_of(page)), "page %zu has lost the store of %lu", page,
                (unsigned long)highest);
    }
}

static void finish(const char *variant, double began)
{
    harvest_all(1000);
    check_shadows();
    check_image("at the end");
    /* A page that the kernel moves at the moment of its reset is reported once more. */
    for (int i = 0; i < 10 && read_vmstat("pgmigrate_success") != run.nr_moved; i++) {
        run.nr_moved = read_vmstat("pgmigrate_success");
        harvest_all(1000);
    }
    expect_number(ctx, ww_count(ctx, run.base, NR_PAGES * page_size()), 0, NR_PAGES);
    printf("%s, %s: %.1f s, %lu writes, %lu pages reported in %lu harvests, %lu helper rounds\n",
           backend->name, variant, now() - began, (unsigned long)run.nr_writes,
           (unsigned long)run.nr_reported, (unsigned long)run.nr_harvests, (unsigned long)run.nr_helped);
    fflush(stdout);
    ww_close(ctx);
    alarm(0);
}

static void race(const char *variant, double duration, unsigned long min_writes, size_t nr_harvesters,
                 void *(*helper)(void *))
{
    pthread_t writers[NR_WRITERS], harvesters[MAX_HARVESTERS], helping;
    double began = now();

    begin(60 + 10 * duration);
    for (size_t i = 0; i < NR_WRITERS; i++) {
        ck_assert_int_eq(pthread_create(&writers[i], NULL, writer_thread, (void *)i), 0);
    }
    for (size_t i = 0; i < nr_harvesters; i++) {
        ck_assert_int_eq(pthread_create(&harvesters[i], NULL, harvester_thread, (void *)(i + 1)), 0);
    }
    if (helper) {
        ck_assert_int_eq(pthread_create(&helping, NULL, helper, NULL), 0);
    }
    while (now() - began < duration || atomic_load(&run.nr_writes) < min_writes ||
           atomic_load(&run.nr_harvests) < MIN_HARVESTS || (helper && !atomic_load(&run.nr_helped))) {
        usleep(10000);
    }
    atomic_store(&run.stop_writers, true);
    for (size_t i = 0; i < NR_WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    atomic_store(&run.stop_harvesters, true);
    for (size_t i = 0; i < nr_harvesters; i++) {
        pthread_join(harvesters[i], NULL);
    }
    atomic_store(&run.stop_helpers, true);
    if (helper) {
        pthread_join(helping, NULL);
    }
    finish(variant, began);
}

/* The first backend that works gets all of WW_TEST_SECONDS, the others 40 % of it. */
static double share(double part)
{
    return seconds * part * (backend_index ? 0.4 : 1);
}

START_TEST(no_write_is_lost)
{
    race("one harvester", share(1), 1e4 * share(1), 1, NULL);
}
END_TEST

START_TEST(two_harvesters_lose_nothing)
{
    race("two harvesters", share(0.3), 1000, 2, NULL);
}
END_TEST

START_TEST(regions_that_come_and_go_disturb_nothing)
{
    race("with other regions", share(0.3), 1000, 1, churn_thread);
}
END_TEST

START_TEST(children_that_come_and_go_disturb_nothing)
{
    race("with children", share(0.2), 1000, 1, fork_thread);
}
END_TEST

/* ---- writers that are suspended ---- */

static sem_t suspended, resumed;

static void on_suspend(int sig)
{
    sigset_t mask;
    int saved = errno;

    (void)sig;
    sigfillset(&mask);
    sigdelset(&mask, SIGUSR2);
    sem_post(&suspended);
    sigsuspend(&mask);
    sem_post(&resumed);
    errno = saved;
}

static void on_resume(int sig)
{
    (void)sig;
}

/* Writes, and calls the library often enough for the signal to arrive inside it now and then. */
static void *suspended_thread(void *arg)
{
    size_t writer = (size_t)arg;
    uint64_t random = 2000 + writer;

    while (!atomic_load_explicit(&run.stop_writers, memory_order_relaxed)) {
        for (int i = 0; i < 32; i++) {
            stamp(writer, &random);
        }
        atomic_fetch_add_explicit(&run.nr_writes, 32, memory_order_relaxed);
        if (!random_below(&random, 4)) {
            char *addr = run.base + random_below(&random, NR_PAGES) * page_size();
            ssize_t ret = ww_count(ctx, addr, page_size());

            REQUIRE(ret == 0 || ret == 1, "%zd", ret);
            ret = ww_latch(ctx, addr, page_size());
            REQUIRE(ret == 0, "%zd", ret);
        }
    }
    return NULL;
}

static void signal_all(const pthread_t *threads, int sig, sem_t *answers)
{
    for (size_t i = 0; i < NR_WRITERS; i++) {
        REQUIRE(!pthread_kill(threads[i], sig), "signal %d", sig);
    }
    for (size_t i = 0; i < NR_WRITERS; i++) {
        while (sem_wait(answers)) {
            REQUIRE(errno == EINTR, "%d", errno);
        }
    }
}

static void handle_suspension(void)
{
    struct sigaction action = { .sa_handler = on_suspend, .sa_flags = SA_RESTART };

    sigfillset(&action.sa_mask);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    action.sa_handler = on_resume;
    ck_assert_int_eq(sigaction(SIGUSR2, &action, NULL), 0);
    ck_assert_int_eq(sem_init(&suspended, 0, 0), 0);
    ck_assert_int_eq(sem_init(&resumed, 0, 0), 0);
}

/* As a garbage collector does: suspends all writers, harvests, and resumes them. While they are suspended,
 * the image must equal memory. */
START_TEST(suspended_writers_block_no_harvest)
{
    double began = now(), duration = share(0.3);
    unsigned long nr_stops = 0;
    pthread_t writers[NR_WRITERS];

    NOT_UNDER_TSAN("it puts signals off into calls made with a lock held");
    handle_suspension();
    begin(60 + 10 * duration);
    for (size_t i = 0; i < NR_WRITERS; i++) {
        ck_assert_int_eq(pthread_create(&writers[i], NULL, suspended_thread, (void *)i), 0);
    }
    while (now() - began < duration || nr_stops < MIN_STOPS) {
        signal_all(writers, SIGUSR1, &suspended);
        harvest_all(3000);
        if (nr_stops % 16 == 0) {
            check_image("with the writers stopped");
        }
        atomic_fetch_add(&run.nr_harvests, 1);
        signal_all(writers, SIGUSR2, &resumed);
        nr_stops++;
    }
    atomic_store(&run.stop_writers, true);
    for (size_t i = 0; i < NR_WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    atomic_store(&run.nr_helped, nr_stops);
    finish("suspended writers", began);
}
END_TEST

static Suite *concurrent_suite(void)
{
    Suite *suite = suite_create(backend->name);
    TCase *tcase = tcase_create("concurrent");

    tcase_set_timeout(tcase, 120 + 20 * seconds);
    tcase_add_test(tcase, no_write_is_lost);
    tcase_add_test(tcase, two_harvesters_lose_nothing);
    tcase_add_test(tcase, regions_that_come_and_go_disturb_nothing);
    tcase_add_test(tcase, children_that_come_and_go_disturb_nothing);
    tcase_add_test(tcase, suspended_writers_block_no_harvest);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    const char *wanted = getenv("WW_TEST_SECONDS");
    struct ww_probe found[MAX_BACKENDS];
    size_t nr = find_backends(found, WW_CAP_ATOMIC_RESET);
    int failed = 0;

    if (wanted && atof(wanted) > 0) {
        seconds = atof(wanted);
    }
    for (size_t i = 0; i < nr; i++) {
        backend = &found[i];
        failed += run_suite(concurrent_suite());
        backend_index++;
    }
    if (!backend_index) {
        return EXIT_SKIPPED;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
