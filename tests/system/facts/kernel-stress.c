/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several threads at once. Two harvesters on one range: every write of a generation
 * is reported exactly once, to one of the two. And a shadow: writers change pages
 * (a word, or all of a page) while a harvester copies the reported pages, and another
 * thread makes the kernel fork, swap, collapse, split, migrate and merge what it can;
 * at the end shadow and memory are equal, byte for byte.
 *
 * A copy of a page that is being written may be torn; the page is then reported once
 * more. test-concurrent.c has variants in which the kernel does not disturb.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kernel.h"
#include "context.h"

/* ---- two harvesters ---- */

#define NR_SHARED 1024

static struct {
    char *base;
    bool is_bare;
    size_t capacity;
    int nr_generations;
    pthread_barrier_t gate;
    atomic_uchar reported[NR_SHARED];
    atomic_bool failed;
} dual;

/* One get with reset: how many pages it reported. */
static long harvest_dual(void)
{
    size_t page = page_size();
    struct page_region vec[64] = { { .start = 0 } };
    void *pages[64];
    uintptr_t next;
    long nr, total = 0;

    if (!dual.is_bare) {
        nr = ww_get_pages(ctx, dual.base, NR_SHARED * page, WW_GET_RESET, pages, dual.capacity);
        for (long i = 0; i < nr; i++) {
            atomic_fetch_add(&dual.reported[((char *)pages[i] - dual.base) / page], 1);
        }
        return nr;
    }
    nr = bare_scan(&bare, dual.base, NR_SHARED, LAZY, PM_SCAN_CHECK_WPASYNC | PM_SCAN_WP_MATCHING, vec,
                   dual.capacity, &next);
    for (long i = 0; i < nr; i++) {
        for (uintptr_t addr = vec[i].start; addr < vec[i].end; addr += page, total++) {
            atomic_fetch_add(&dual.reported[(addr - (uintptr_t)dual.base) / page], 1);
        }
    }
    return nr < 0 ? nr : total;
}

static void *dual_thread(void *arg)
{
    (void)arg;
    for (int generation = 0; generation < dual.nr_generations; generation++) {
        long nr;

        pthread_barrier_wait(&dual.gate);
        do {
            nr = harvest_dual();
        } while (nr > 0);
        if (nr < 0) {
            atomic_store(&dual.failed, true);
        }
        pthread_barrier_wait(&dual.gate);
    }
    return NULL;
}

/* Writes other pages in each generation, before the harvesters start on it. */
static void run_dual(size_t capacity)
{
    pthread_t threads[2];
    uint64_t random = capacity;

    use_all_processors();
    dual.capacity = capacity;
    /* 60 by default. Where processors are emulated, each reset waits for the other one for milliseconds. */
    dual.nr_generations = test_seconds() < 0.5 ? 15 : 30 * test_seconds();
    ck_assert_int_eq(pthread_barrier_init(&dual.gate, NULL, 3), 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, dual_thread, NULL), 0);
    }
    for (int generation = 0; generation < dual.nr_generations; generation++) {
        char map[NR_SHARED + 1];

        for (size_t i = 0; i < NR_SHARED; i++) {
            map[i] = random_below(&random, 1 + generation % 5) ? '.' : '#';
            atomic_store(&dual.reported[i], 0);
        }
        map[NR_SHARED] = 0;
        write_map(dual.base, map);
        pthread_barrier_wait(&dual.gate);
        pthread_barrier_wait(&dual.gate);
        for (size_t i = 0; i < NR_SHARED; i++) {
            ck_assert_msg(atomic_load(&dual.reported[i]) == (map[i] == '#'),
                          "generation %d, page %zu was %s, and reported %u times", generation, i,
                          map[i] == '#' ? "written" : "not written", atomic_load(&dual.reported[i]));
        }
        ck_assert(!atomic_load(&dual.failed));
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
}

static const size_t capacities[] = { 1, 7, 64 };

START_TEST(two_bare_harvesters_share_a_range)
{
    dual.is_bare = true;
    dual.base = map_small_pages(NR_SHARED);
    ck_assert_int_eq(bare_register(&bare, dual.base, NR_SHARED, UFFDIO_REGISTER_MODE_WP), 0);
    run_dual(capacities[_i]);
}
END_TEST

START_TEST(two_harvesters_share_a_range)
{
    WANTS(WW_CAP_ATOMIC_RESET);
    dual.base = watch_pages(NR_SHARED);
    run_dual(capacities[_i]);
}
END_TEST

/* ---- the shadow ---- */

#define NR_STRESSED 2048 /* four huge pages */
#define NR_WRITERS 2

static struct {
    char *base, *shadow;
    size_t nr_watched;
    atomic_bool stop_writers, stop_others;
    atomic_ulong nr_writes, nr_copied, nr_harvests, nr_disturbances;
} stress;

/* libcheck's own assertions do not work in threads. */
#define REQUIRE(cond, value)                                                                                 \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            dprintf(STDERR_FILENO, "%s:%d: %s: %s: %ld\n", __FILE__, __LINE__, backend->name, #cond,         \
                    (long)(value));                                                                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static void *write_thread(void *arg)
{
    uint64_t random = (uintptr_t)arg + 11;
    size_t page = page_size();

    while (!atomic_load_explicit(&stress.stop_writers, memory_order_relaxed)) {
        char *at = stress.base + random_below(&random, NR_STRESSED) * page;
        uint64_t what = next_random(&random);

        if (what % 8 == 0) {
            memset(at, 0, page);
        } else if (what % 8 == 1) {
            memset(at, what >> 8, page);
        } else {
            *(volatile uint64_t *)(at + (what >> 32) % (page / 8) * 8) = what;
        }
        atomic_fetch_add_explicit(&stress.nr_writes, 1, memory_order_relaxed);
        /* Writes come in bursts: the kernel swaps and merges pages that rest. */
        if (what % 4096 == 2) {
            usleep(3000);
        }
    }
    return NULL;
}

static size_t copy_written(size_t capacity)
{
    size_t page = page_size();
    void *pages[NR_STRESSED + 1];
    ssize_t nr = ww_get_pages(ctx, stress.base, stress.nr_watched * page, WW_GET_RESET, pages, capacity);

    REQUIRE(nr >= 0, nr);
    for (ssize_t i = 0; i < nr; i++) {
        memcpy(stress.shadow + ((char *)pages[i] - stress.base), pages[i], page);
    }
    atomic_fetch_add(&stress.nr_copied, nr);
    atomic_fetch_add(&stress.nr_harvests, 1);
    return nr;
}

static void *harvest_thread(void *arg)
{
    uint64_t random = 5;

    (void)arg;
    while (!atomic_load(&stress.stop_others)) {
        copy_written(random_below(&random, 2) ? NR_STRESSED : 1 + random_below(&random, 300));
        if (!random_below(&random, 4)) {
            usleep(1000);
        }
    }
    return NULL;
}

/* Each function disturbs the range in one way; some need privileges or settings, and do nothing without. */
static void fork_once(char *at, size_t len)
{
    pid_t pid = fork();
    int status;

    if (!pid) {
        /* The child shares the pages for a moment, and writes to its copy of some. */
        memset(at, 1, len < 65536 ? len : 65536);
        usleep(500);
        _exit(0);
    }
    REQUIRE(pid > 0, errno);
    REQUIRE(waitpid(pid, &status, 0) == pid && status == 0, status);
}

static void page_out(char *at, size_t len)
{
    madvise(at, len, MADV_PAGEOUT);
}

/* The kernel does not collapse armed pages: so each page is written first, with what it
 * holds. A harvest may arm some meanwhile, hence several tries. */
static void collapse(char *at, size_t len)
{
    bool done = false;

    (void)len;
    at = (char *)((uintptr_t)at & ~(HUGE_BYTES - 1));
    madvise(at, HUGE_BYTES, MADV_HUGEPAGE);
    for (int i = 0; i < 8 && !done; i++) {
        for (size_t k = 0; k < HUGE_BYTES; k += page_size()) {
            __atomic_fetch_add(at + k, 0, __ATOMIC_RELAXED);
        }
        done = !madvise(at, HUGE_BYTES, MADV_COLLAPSE);
    }
}

static void split(char *at, size_t len)
{
    (void)len;
    madvise(at, page_size(), MADV_COLD);
}

/* To NUMA nodes 0 and 1 by turns. On a machine with one node nothing moves. */
static void migrate(char *at, size_t len)
{
    size_t nr = len / page_size() < 64 ? len / page_size() : 64;
    int nodes[64], status[64];
    void *pages[64];
    static int node;

    node = !node;
    for (size_t i = 0; i < nr; i++) {
        pages[i] = at + i * page_size();
        nodes[i] = node;
    }
    syscall(SYS_move_pages, 0, nr, pages, nodes, status, 2 /* MPOL_MF_MOVE */);
}

/* Concerns all of the machine's memory: at most twice a second. */
static void compact(char *at, size_t len)
{
    static double last;

    (void)at;
    (void)len;
    if (now() > last + 0.5) {
        write_number("/proc/sys/vm/compact_memory", 1);
        last = now();
    }
}

/* With the other backends merged pages lose writes, as documented. */
static void mergeable(char *at, size_t len)
{
    if (atomic_load(&ctx->tracker)->caps & WW_CAP_INTERNAL_MERGEABLE) {
        madvise(at, len, MADV_MERGEABLE);
    }
}

static void (*const disturbances[])(char *at, size_t len) = {
    fork_once, page_out, collapse, split, migrate, compact, mergeable,
};
#define NR_DISTURBANCES (sizeof(disturbances) / sizeof(disturbances[0]))

static void *disturb_thread(void *arg)
{
    uint64_t random = 3;

    (void)arg;
    while (!atomic_load(&stress.stop_others)) {
        size_t from = random_below(&random, NR_STRESSED),
               nr_pages = 1 + random_below(&random, NR_STRESSED - from);

        unsigned long which = atomic_load(&stress.nr_disturbances) % NR_DISTURBANCES;

        disturbances[which](stress.base + from * page_size(), nr_pages * page_size());
        atomic_fetch_add(&stress.nr_disturbances, 1);
        usleep(random_below(&random, 1500));
    }
    return NULL;
}

static void compare_shadow(void)
{
    size_t page = page_size();

    for (size_t i = 0; i < NR_STRESSED; i++) {
        const char *memory = stress.base + i * page, *shadow = stress.shadow + i * page;

        for (size_t k = 0; memcmp(memory, shadow, page) && k < page; k++) {
            ck_assert_msg(memory[k] == shadow[k], "page %zu, byte %zu: memory has %#x, the shadow %#x", i, k,
                          (unsigned char)memory[k], (unsigned char)shadow[k]);
        }
    }
}

/* Counters of the whole machine, for what the disturbances ask for. */
static const char *const effects[] = { "pswpout", "thp_collapse_alloc", "thp_split_page",
                                       "pgmigrate_success" };
#define NR_EFFECTS (sizeof(effects) / sizeof(effects[0]))

static void read_effects(unsigned long *ret_counts)
{
    for (size_t i = 0; i < NR_EFFECTS; i++) {
        ret_counts[i] = read_vmstat(effects[i]);
    }
}

static void inform_of_stress(const unsigned long *before)
{
    unsigned long after[NR_EFFECTS];

    read_effects(after);
    for (size_t i = 0; i < NR_EFFECTS; i++) {
        after[i] -= before[i];
    }
    inform("%s, a shadow: %lu writes, %lu pages copied in %lu harvests, %lu disturbances; on the machine "
           "%lu pages swapped, %lu huge pages collapsed, %lu split, %lu pages migrated",
           backend->name, (unsigned long)stress.nr_writes, (unsigned long)stress.nr_copied,
           (unsigned long)stress.nr_harvests, (unsigned long)stress.nr_disturbances, after[0], after[1],
           after[2], after[3]);
}

/* Runs each disturbance at least twice, however slow the machine is. */
static void run_stress(void)
{
    pthread_t writers[NR_WRITERS], harvester, disturber;
    double end = now() + test_seconds() / 2;

    use_all_processors();
    for (size_t i = 0; i < NR_WRITERS; i++) {
        ck_assert_int_eq(pthread_create(&writers[i], NULL, write_thread, (void *)i), 0);
    }
    ck_assert_int_eq(pthread_create(&harvester, NULL, harvest_thread, NULL), 0);
    ck_assert_int_eq(pthread_create(&disturber, NULL, disturb_thread, NULL), 0);
    while (now() < end || stress.nr_harvests < 10 || stress.nr_disturbances < 2 * NR_DISTURBANCES) {
        usleep(10000);
    }
    atomic_store(&stress.stop_writers, true);
    for (size_t i = 0; i < NR_WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    atomic_store(&stress.stop_others, true);
    pthread_join(harvester, NULL);
    pthread_join(disturber, NULL);
    while (copy_written(100)) {
        ;
    }
}

START_TEST(a_shadow_equals_memory)
{
    unsigned long before[NR_EFFECTS];

    WANTS(WW_CAP_ATOMIC_RESET);
    stress.base = map_huge_area(NR_STRESSED + 1);
    /* With _i 1 one page more, never touched: the region stays sparse, and the library scans it as
     * such. The page may be reported nevertheless, so the shadow has room for it. */
    stress.nr_watched = NR_STRESSED + _i;
    stress.shadow = map_pages(NR_STRESSED + 1);
    ck_assert_int_eq(ww_watch(ctx, stress.base, stress.nr_watched * page_size(), WW_WATCH_FRESH), 0);
    read_effects(before);
    run_stress();
    compare_shadow();
    inform_of_stress(before);
}
END_TEST

void add_harvester_facts(Suite *suite)
{
    TCase *tcase = new_bare_case(suite, "harvesters");

    tcase_add_loop_test(tcase, two_bare_harvesters_share_a_range, 0, 3);
}

void add_harvester_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "harvesters");

    tcase_add_loop_test(tcase, two_harvesters_share_a_range, 0, 3);
}

void add_stress_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "stress");

    tcase_add_loop_test(tcase, a_shadow_equals_memory, 0, 2);
}
