/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ww_fill_on_demand(): content and written pages against a model; errors of the callback; pages that exist
 * before, are dropped, or are mapped anew.
 */
#include "fill.h"
#include "watch.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>

#define SEED 21
#define NR_MOST 40000

/* What the callback was called for, and the pages for which it must fail. */
static struct {
    char *base;
    atomic_uint nr_asked[NR_MOST];
    atomic_size_t nr_calls, longest;
    atomic_bool fails[NR_MOST];
} source;

static int give_image(void *arg, uintptr_t addr, void *page, size_t len)
{
    size_t first = (addr - (uintptr_t)source.base) / page_size(), nr = len / page_size();

    atomic_fetch_add(&source.nr_calls, 1);
    if (nr > atomic_load(&source.longest)) {
        atomic_store(&source.longest, nr);
    }
    for (size_t i = first; i < first + nr; i++) {
        atomic_fetch_add(&source.nr_asked[i], 1);
    }
    for (size_t i = first; i < first + nr; i++) {
        if (source.fails[i]) {
            return -EIO;
        }
    }
    make_image(page, (uintptr_t)arg, first, nr);
    return 0;
}

static char *demand_pages(size_t nr)
{
    char *base = watch_pages(nr);

    memset(&source, 0, sizeof(source));
    source.base = base;
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, nr * page_size(), give_image, (void *)SEED), 0);
    return base;
}

static size_t asked_pages(size_t nr)
{
    size_t asked = 0;

    for (size_t i = 0; i < nr; i++) {
        asked += atomic_load(&source.nr_asked[i]) != 0;
    }
    return asked;
}

START_TEST(content_comes_when_it_is_touched)
{
    char *base = demand_pages(10);

    ck_assert_int_eq(atomic_load(&source.nr_calls), 0);
    expect_map(ctx, base, "..........");
    ck_assert_int_eq(atomic_load(&source.nr_calls), 0);
    ck_assert(has_image(base, SEED, 3));
    expect_map(ctx, base, "..........");
    *(volatile uint64_t *)(base + 5 * page_size()) = 1;
    expect_map(ctx, base, ".....#....");
    ck_assert_int_eq(*(volatile uint64_t *)(base + 5 * page_size() + 8), image_word(SEED, 5, 1));
    ck_assert_int_eq(asked_pages(10), 2);
    ck_assert_int_eq(atomic_load(&source.nr_asked[3]), 1);
    ck_assert_int_eq(atomic_load(&source.nr_asked[5]), 1);
    reset_pages(base, 10);
    write_map(base, "...##.....");
    expect_map(ctx, base, "...##.....");
}
END_TEST

/* ---- many threads, at random, against a model ---- */

#define NR_RANDOM 20000
#define NR_THREADS 4

struct toucher {
    pthread_t thread;
    char *base;
    size_t id;
    char touched[NR_RANDOM], written[NR_RANDOM];
    size_t nr_wrong;
};

/* Reads or writes this thread's own word in random pages. */
static void *touch_at_random(void *arg)
{
    struct toucher *toucher = arg;
    uint64_t random = 300 + toucher->id;

    for (size_t i = 0; i < NR_RANDOM / 2; i++) {
        size_t page = random_below(&random, NR_RANDOM), word = 8 * toucher->id + 3;
        volatile uint64_t *at = (volatile uint64_t *)(toucher->base + page * page_size()) + word;

        if (random_below(&random, 3)) {
            toucher->nr_wrong += *at != (toucher->written[page] ? toucher->id : image_word(SEED, page, word));
        } else {
            *at = toucher->id;
            toucher->written[page] = 1;
        }
        toucher->touched[page] = 1;
    }
    return NULL;
}

static char harvested[NR_RANDOM];
static atomic_bool stop_harvester;

static void harvest(char *base)
{
    void *pages[64];
    ssize_t nr;

    do {
        nr = ww_get_pages(ctx, base, NR_RANDOM * page_size(), WW_GET_RESET, pages, 64);
        ck_assert_int_ge(nr, 0);
        for (ssize_t i = 0; i < nr; i++) {
            harvested[((char *)pages[i] - base) / page_size()] = 1;
        }
    } while (nr == 64);
}

static void *harvest_on(void *base)
{
    while (!atomic_load(&stop_harvester)) {
        harvest(base);
        usleep(500);
    }
    return NULL;
}

static void check_against_model(const struct toucher *touchers, char *base)
{
    for (size_t page = 0; page < NR_RANDOM; page++) {
        bool touched = false, dirty = false;

        for (size_t i = 0; i < NR_THREADS; i++) {
            touched |= touchers[i].touched[page];
            dirty |= touchers[i].written[page];
        }
        ck_assert_msg(touched == !!atomic_load(&source.nr_asked[page]), "page %zu: touched %d, asked for %u",
                      page, touched, atomic_load(&source.nr_asked[page]));
        ck_assert_msg(dirty == harvested[page], "page %zu: written %d, reported %d", page, dirty,
                      harvested[page]);
        for (size_t i = 0; i < NR_THREADS && touched; i++) {
            uint64_t value = ((uint64_t *)(base + page * page_size()))[8 * i + 3];

            ck_assert_int_eq(value, touchers[i].written[page] ? i : image_word(SEED, page, 8 * i + 3));
        }
    }
}

START_TEST(random_touches_agree_with_a_model)
{
    static struct toucher touchers[NR_THREADS];
    pthread_t harvester;
    char *base = demand_pages(NR_RANDOM);

    memset(harvested, 0, sizeof(harvested));
    if (_i) {
        ck_assert_int_eq(pthread_create(&harvester, NULL, harvest_on, base), 0);
    }
    for (size_t i = 0; i < NR_THREADS; i++) {
        touchers[i] = (struct toucher){ .base = base, .id = i };
        ck_assert_int_eq(pthread_create(&touchers[i].thread, NULL, touch_at_random, &touchers[i]), 0);
    }
    for (size_t i = 0; i < NR_THREADS; i++) {
        pthread_join(touchers[i].thread, NULL);
        ck_assert_int_eq(touchers[i].nr_wrong, 0);
    }
    if (_i) {
        atomic_store(&stop_harvester, true);
        pthread_join(harvester, NULL);
    }
    harvest(base);
    check_against_model(touchers, base);
}
END_TEST

START_TEST(tens_of_thousands_in_order)
{
    char *base = demand_pages(NR_MOST);

    for (size_t page = 0; page < NR_MOST; page++) {
        ck_assert_int_eq(*(volatile uint64_t *)(base + page * page_size()), image_word(SEED, page, 0));
    }
    ck_assert_int_eq(asked_pages(NR_MOST), NR_MOST);
    ck_assert_int_eq(ww_count(ctx, base, NR_MOST * page_size()), 0);
}
END_TEST

/* ---- errors ---- */

static __thread sigjmp_buf on_error;

static void jump(int sig)
{
    siglongjmp(on_error, sig);
}

static int signal_of_touch(char *addr, bool write)
{
    int sig = sigsetjmp(on_error, 1);

    if (!sig) {
        if (write) {
            *(volatile char *)addr = 1;
        } else {
            (void)*(volatile char *)addr;
        }
    }
    return sig;
}

static void catch_errors(void)
{
    struct sigaction action = { .sa_handler = jump };

    sigaction(SIGBUS, &action, NULL);
}

START_TEST(a_page_without_content_is_poisoned)
{
    size_t page = page_size();
    char *image = map_image(SEED, 6);
    char *base = demand_pages(6);

    catch_errors();
    source.fails[2] = source.fails[4] = true;
    ck_assert_int_eq(signal_of_touch(base + 2 * page, false), SIGBUS);
    ck_assert_int_eq(signal_of_touch(base + 4 * page, true), SIGBUS);
    ck_assert_int_eq(signal_of_touch(base + 2 * page, true), SIGBUS);
    ck_assert_int_eq(signal_of_touch(base + 3 * page, true), 0);
    expect_map(ctx, base, "...#..");
    reset_pages(base, 6);
    ck_assert_int_eq(signal_of_touch(base + 4 * page, false), SIGBUS);
    expect_map(ctx, base, "......");
    /* ww_fill() ends that; so does dropping the page, because the callback is called again. */
    ck_assert_int_eq(ww_fill(ctx, base + 2 * page, image + 2 * page, page), page);
    ck_assert(has_image(base, SEED, 2));
    source.fails[4] = false;
    ck_assert_int_eq(signal_of_touch(base + 4 * page, false), SIGBUS);
    ck_assert_int_eq(madvise(base + 4 * page, page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base + 4 * page, page), 0);
    ck_assert(has_image(base, SEED, 4));
    expect_map(ctx, base, "......");
}
END_TEST

START_TEST(a_page_with_a_marker_can_be_poisoned)
{
    size_t page = page_size();
    char *base = map_pages(4);

    ck_assert_int_eq(ww_watch_internal(ctx, base, 4 * page, WW_WATCH_FRESH | WW_WATCH_MARKERS), 0);
    memset(&source, 0, sizeof(source));
    source.base = base;
    source.fails[1] = true;
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, 4 * page, give_image, (void *)SEED), 0);
    catch_errors();
    ck_assert_int_eq(signal_of_touch(base + page, true), SIGBUS);
    ck_assert(has_image(base, SEED, 0));
    ck_assert_int_eq(signal_of_touch(base + 2 * page, true), 0);
    expect_map(ctx, base, "..#.");
}
END_TEST

/* ---- neighbours that wait together ---- */

#define NR_WAITERS 9

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint nr_at_gate;

static int give_image_behind_gate(void *arg, uintptr_t addr, void *page, size_t len)
{
    atomic_fetch_add(&nr_at_gate, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return give_image(arg, addr, page, len);
}

struct waiter {
    pthread_t thread;
    char *addr;
    atomic_int tid; /* set before it touches the page */
    int sig;
};

static void *wait_for_page(void *arg)
{
    struct waiter *waiter = arg;

    atomic_store(&waiter->tid, gettid());
    waiter->sig = signal_of_touch(waiter->addr, false);
    return NULL;
}

/* Starts threads that touch a page each. The callback is called for the first page alone and waits at the
 * gate, until all the other threads wait for theirs. */
static void wait_together(struct waiter *waiters, char *base)
{
    memset(&source, 0, sizeof(source));
    source.base = base;
    ck_assert_int_eq(
        ww_fill_on_demand(ctx, base, NR_WAITERS * page_size(), give_image_behind_gate, (void *)SEED), 0);
    catch_errors();
    pthread_mutex_lock(&gate);
    for (size_t i = 0; i < NR_WAITERS; i++) {
        waiters[i].addr = base + i * page_size();
        ck_assert_int_eq(pthread_create(&waiters[i].thread, NULL, wait_for_page, &waiters[i]), 0);
        while (!atomic_load(&nr_at_gate) || !atomic_load(&waiters[i].tid)) {
            usleep(1000);
        }
        await_sleep(atomic_load(&waiters[i].tid));
    }
}

static void let_through(struct waiter *waiters)
{
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < NR_WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
    }
}

START_TEST(waiting_neighbours_are_asked_for_together)
{
    struct waiter waiters[NR_WAITERS] = { { .sig = 0 } };
    char *base = watch_pages(NR_WAITERS);

    wait_together(waiters, base);
    let_through(waiters);
    for (size_t i = 0; i < NR_WAITERS; i++) {
        ck_assert_int_eq(waiters[i].sig, 0);
    }
    expect_image(base, SEED, 0, NR_WAITERS);
    ck_assert_int_eq(atomic_load(&source.longest), NR_WAITERS - 1);
    ck_assert_int_eq(atomic_load(&source.nr_calls), 2);
    expect_map(ctx, base, ".........");
}
END_TEST

START_TEST(one_bad_page_spoils_no_neighbour)
{
    struct waiter waiters[NR_WAITERS] = { { .sig = 0 } };
    char *base = watch_pages(NR_WAITERS);
    size_t bad = 3;

    wait_together(waiters, base);
    source.fails[bad] = true;
    let_through(waiters);
    for (size_t i = 0; i < NR_WAITERS; i++) {
        ck_assert_int_eq(waiters[i].sig, i == bad ? SIGBUS : 0);
        ck_assert(i == bad || has_image(base, SEED, i));
    }
    /* One call for the first page, one for all the others, which fails, and then one for each of these. */
    ck_assert_int_eq(atomic_load(&source.longest), NR_WAITERS - 1);
    ck_assert_int_eq(atomic_load(&source.nr_calls), 1 + 1 + NR_WAITERS - 1);
    expect_map(ctx, base, ".........");
}
END_TEST

/* ---- before, in between, after ---- */

START_TEST(what_exists_stays_as_it_is)
{
    char *base = watch_pages(8);

    write_page(base, 1, 5);
    ck_assert(has_zeros(base, 3));
    memset(&source, 0, sizeof(source));
    source.base = base;
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, 8 * page_size(), give_image, (void *)SEED), 0);
    expect_map(ctx, base, ".#......");
    ck_assert_int_eq(read_page(base, 1), 5);
    ck_assert(has_zeros(base, 3));
    ck_assert(has_image(base, SEED, 2));
    expect_map(ctx, base, ".#......");
    write_page(base, 3, 0);
    write_page(base, 6, 0);
    expect_map(ctx, base, ".#.#..#.");
}
END_TEST

START_TEST(dropped_pages_come_again)
{
    size_t page = page_size();
    char *base = demand_pages(6);

    write_map(base, "##....");
    ck_assert(has_image(base, SEED, 3));
    ck_assert_int_eq(ww_latch(ctx, base, page), 0);
    ck_assert_int_eq(madvise(base, 4 * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base, 4 * page), 0);
    expect_map(ctx, base, "#.....");
    expect_image(base, SEED, 0, 6);
    expect_map(ctx, base, "#.....");
    ck_assert_int_eq(atomic_load(&source.nr_asked[3]), 2);
    /* Also without ww_discard(). */
    ck_assert_int_eq(madvise(base, 6 * page, MADV_DONTNEED), 0);
    expect_image(base, SEED, 0, 6);
}
END_TEST

START_TEST(a_new_mapping_is_on_demand_from_discard_on)
{
    size_t page = page_size();
    char *base;

    NEEDS(WW_CAP_LOST_DETECTED);
    base = demand_pages(8);
    remap_pages(base + 2 * page, 4);
    ck_assert(has_zeros(base, 2));
    ck_assert_int_ge(ww_count(ctx, base, 8 * page), 0);
    ck_assert(has_zeros(base, 3));
    ck_assert(has_image(base, SEED, 1));
    remap_pages(base + 2 * page, 4);
    ck_assert_int_eq(ww_discard(ctx, base + 2 * page, 4 * page), 0);
    expect_image(base, SEED, 0, 8);
    reset_pages(base, 8);
    write_map(base, "...#....");
    expect_map(ctx, base, "...#....");
}
END_TEST

/* ---- system calls ---- */

START_TEST(system_calls_that_touch_first)
{
    bool waits = has_cap(WW_CAP_KERNEL_FILLS);
    char buffer[16] = "0123456789abcdef";
    size_t page = page_size();
    int fds[2];
    char *base = demand_pages(4);

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], buffer, 16), 16);
    if (!waits) {
        ck_assert_int_eq(read(fds[0], base + page, 16), -1);
        ck_assert_int_eq(errno, EFAULT);
        ck_assert_int_eq(write(fds[1], base + 2 * page, 16), -1);
        ck_assert_int_eq(errno, EFAULT);
        expect_map(ctx, base, "....");
        ck_assert_int_eq(asked_pages(4), 0);
        ck_assert(has_image(base, SEED, 1) && has_image(base, SEED, 2));
    }
    ck_assert_int_eq(read(fds[0], base + page, 16), 16);
    ck_assert(!memcmp(base + page, buffer, 16));
    ck_assert_int_eq(((uint64_t *)(base + page))[2], image_word(SEED, 1, 2));
    ck_assert_int_eq(write(fds[1], base + 2 * page, 16), 16);
    ck_assert_int_eq(read(fds[0], buffer, 16), 16);
    ck_assert(!memcmp(buffer, base + 2 * page, 16));
    ck_assert(has_image(base, SEED, 2));
    expect_map(ctx, base, ".#..");
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* The source of a fill may be on demand itself, and its callback may fail: ww_fill() holds no lock while it
 * reads the source. */
START_TEST(memory_on_demand_may_be_the_source_of_a_fill)
{
    bool waits = has_cap(WW_CAP_KERNEL_FILLS);
    size_t page = page_size();
    char *base = watch_pages(8);

    memset(&source, 0, sizeof(source));
    source.base = base;
    source.fails[3] = true;
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, 4 * page, give_image, (void *)SEED), 0);
    ck_assert_int_eq(ww_fill(ctx, base + 7 * page, base + 3 * page, page), -EFAULT);
    ck_assert_int_eq(ww_fill(ctx, base + 4 * page, base, 3 * page), waits ? (ssize_t)(3 * page) : -EFAULT);
    if (waits) {
        ck_assert(!memcmp(base + 4 * page, base, 3 * page));
    }
    expect_image(base, SEED, 0, 3);
    expect_map(ctx, base, "........");
}
END_TEST

void add_demand_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "on demand");

    tcase_add_test(tcase, content_comes_when_it_is_touched);
    tcase_add_loop_test(tcase, random_touches_agree_with_a_model, 0, 2);
    tcase_add_test(tcase, tens_of_thousands_in_order);
    tcase_add_test(tcase, a_page_without_content_is_poisoned);
    tcase_add_test(tcase, a_page_with_a_marker_can_be_poisoned);
    tcase_add_test(tcase, waiting_neighbours_are_asked_for_together);
    tcase_add_test(tcase, one_bad_page_spoils_no_neighbour);
    tcase_add_test(tcase, what_exists_stays_as_it_is);
    tcase_add_test(tcase, dropped_pages_come_again);
    tcase_add_test(tcase, a_new_mapping_is_on_demand_from_discard_on);
    tcase_add_test(tcase, system_calls_that_touch_first);
    tcase_add_test(tcase, memory_on_demand_may_be_the_source_of_a_fill);
}
