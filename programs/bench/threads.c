/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workloads with several threads: threads that write while another one collects, and threads that poll
 * regions of their own and should not slow each other.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define MAX_THREADS 4

static const size_t thread_counts[] = { 1, 2, 4 };

static void start_thread(struct bench_run *run, pthread_t *ret_thread, void *(*body)(void *), void *arg)
{
    int err = pthread_create(ret_thread, NULL, body, arg);

    if (err) {
        bench_unable(run, "no thread: %s", strerror(err));
    }
}

/* ---- writers ---- */

struct writer {
    volatile uint64_t *first; /* the first word of the first page that is its own */
    size_t nr_pages, step;    /* words from one page to the next */
    atomic_bool *stop;
    atomic_size_t nr_writes;
    pthread_t thread;
};

/* Writes its pages round after round; a page holds the number of the round that wrote it last. */
static void *write_on(void *arg)
{
    struct writer *writer = arg;

    for (uint64_t round = 1; !atomic_load_explicit(writer->stop, memory_order_relaxed); round++) {
        for (size_t i = 0; i < writer->nr_pages; i++) {
            writer->first[i * writer->step] = round;
        }
        atomic_fetch_add_explicit(&writer->nr_writes, writer->nr_pages, memory_order_relaxed);
    }
    return NULL;
}

/* The copy of a tool that copies dirty pages: a word for each page. */
struct copy {
    uint64_t *words;
    size_t nr_pages; /* collected so far */
    size_t nr_gets;
    double get_us;
};

static void collect(struct bench_run *run, const struct bench_area *area, struct copy *copy)
{
    double start = bench_now_us();
    ssize_t nr = run->peer->ops->get(run->state, area, true, run->pages, run->capacity);

    copy->get_us += bench_now_us() - start;
    copy->nr_pages += bench_must(run, "get", nr);
    copy->nr_gets++;
    for (ssize_t i = 0; i < nr; i++) {
        copy->words[((char *)run->pages[i] - area->base) / run->page] = *(volatile uint64_t *)run->pages[i];
    }
}

/* Once the writers have ended, the copy of the collected pages must equal the memory. */
static void compare_copy(struct bench_run *run, const struct bench_area *area, const struct copy *copy)
{
    size_t nr_lost = 0;

    for (size_t i = 0; i < area->len / run->page; i++) {
        nr_lost += copy->words[i] != *(uint64_t *)(area->base + i * run->page);
    }
    if (nr_lost) {
        bench_wrong(run, "writes to %zu pages were lost", nr_lost);
    }
}

static void begin_copy(struct bench_run *run, const struct bench_area *area, struct copy *copy)
{
    for (size_t i = 0; i < area->len / run->page; i++) {
        copy->words[i] = *(uint64_t *)(area->base + i * run->page);
    }
}

/* Whether every thread has run. */
static bool all_have_written(struct writer *writer, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        if (!atomic_load_explicit(&writer[i].nr_writes, memory_order_relaxed)) {
            return false;
        }
    }
    return true;
}

static void emit_writers(struct bench_run *run, size_t nr_threads, const struct copy *copy, double per_s)
{
    struct bench_sample sample = { .unit = "writes_per_s", .fraction = -1, .value = per_s };

    snprintf(sample.name, sizeof(sample.name), "writers_%zu_throughput", nr_threads);
    bench_emit_sample(run, &sample);
    /* The number of pages in a get depends on the peer: a faster one lets the writers get further. */
    bench_emit(run, 0, copy->get_us / copy->nr_gets, "writers_%zu_harvest", nr_threads);
    if (copy->nr_pages) {
        bench_emit(run, 1, copy->get_us / copy->nr_pages, "writers_%zu_harvest_per_page", nr_threads);
    }
}

static void writers(struct bench_run *run, size_t nr_threads)
{
    static const struct timespec pause = { .tv_nsec = 2000000 };
    size_t len = run->quick ? MB : 64 * MB, nr = len / run->page;
    double duration = run->quick ? 20e3 : 300e3, start;
    struct bench_area area = bench_allocate(run, len);
    struct copy copy = { .words = calloc(nr, sizeof(*copy.words)) };
    struct writer writer[MAX_THREADS] = { { .nr_pages = 0 } };
    atomic_bool stop = false;
    uint64_t nr_writes = 0;

    if (!copy.words) {
        bench_unable(run, "no memory for a copy");
    }
    bench_reserve_pages(run, nr + 1);
    bench_make_dense(run, &area);
    begin_copy(run, &area, &copy);
    start = bench_now_us();
    for (size_t i = 0; i < nr_threads; i++) {
        writer[i] = (struct writer){
            .first = (volatile uint64_t *)(area.base + i * (nr / nr_threads) * run->page),
            .nr_pages = nr / nr_threads,
            .step = run->page / sizeof(uint64_t),
            .stop = &stop,
        };
        start_thread(run, &writer[i].thread, write_on, &writer[i]);
    }
    do {
        nanosleep(&pause, NULL);
        collect(run, &area, &copy);
    } while (bench_now_us() - start < duration || !all_have_written(writer, nr_threads));
    atomic_store(&stop, true);
    for (size_t i = 0; i < nr_threads; i++) {
        pthread_join(writer[i].thread, NULL);
        nr_writes += atomic_load(&writer[i].nr_writes);
    }
    emit_writers(run, nr_threads, &copy, nr_writes / ((bench_now_us() - start) / 1e6));
    collect(run, &area, &copy);
    compare_copy(run, &area, &copy);
    bench_release(run, &area);
    free(copy.words);
}

void bench_writers(struct bench_run *run)
{
    for (size_t i = 0; i < sizeof(thread_counts) / sizeof(thread_counts[0]); i++) {
        writers(run, thread_counts[i]);
    }
}

/* ---- pollers ---- */

struct poller {
    struct bench_run *run;
    struct bench_area area;
    pthread_barrier_t *barrier;
    size_t nr_polls;
    double us;
    pthread_t thread;
};

static void *poll_on(void *arg)
{
    struct poller *poller = arg;
    struct bench_run *run = poller->run;
    void *pages[16];
    double start;

    pthread_barrier_wait(poller->barrier);
    start = bench_now_us();
    for (size_t i = 0; i < poller->nr_polls; i++) {
        ssize_t nr = run->peer->ops->get(run->state, &poller->area, true, pages, 16);

        if (nr < 0 || (nr > 0 && (run->peer->caps & WW_CAP_EXACT))) {
            bench_wrong(run, "a poll of clean memory returns %zd", nr);
        }
    }
    poller->us = bench_now_us() - start;
    return NULL;
}

static void pollers(struct bench_run *run, size_t nr_threads)
{
    struct poller poller[MAX_THREADS];
    pthread_barrier_t barrier;
    double us = 0;

    pthread_barrier_init(&barrier, NULL, nr_threads);
    bench_reserve_pages(run, MB / run->page + 1);
    for (size_t i = 0; i < nr_threads; i++) {
        poller[i] = (struct poller){
            .run = run,
            .area = bench_allocate(run, MB),
            .barrier = &barrier,
            .nr_polls = run->quick ? 50 : 5000,
        };
        bench_make_dense(run, &poller[i].area);
    }
    for (size_t i = 0; i < nr_threads; i++) {
        start_thread(run, &poller[i].thread, poll_on, &poller[i]);
    }
    for (size_t i = 0; i < nr_threads; i++) {
        pthread_join(poller[i].thread, NULL);
        us += poller[i].us / poller[i].nr_polls / nr_threads;
    }
    for (size_t i = 0; i < nr_threads; i++) {
        bench_release(run, &poller[i].area);
    }
    pthread_barrier_destroy(&barrier);
    bench_emit(run, MB / run->page, us, "poll_1m_by_%zu_threads", nr_threads);
}

void bench_pollers(struct bench_run *run)
{
    for (size_t i = 0; i < sizeof(thread_counts) / sizeof(thread_counts[0]); i++) {
        pollers(run, thread_counts[i]);
    }
}
