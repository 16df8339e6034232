/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The choice between backends. Each is tried by its effect, in this process, now. This
 * is the only place that decides; what happens when the one in use begins to fail is failover.c's.
 */
#include <string.h>

#include "context.h"
#include "process/heap.h"

/* More than any table has. */
#define MAX_BACKENDS 8

/*
 * What an earlier row asks for is preferred to what is faster: a backend that does not break the
 * program's system calls to one that does, one that tells pages apart to
 * one that does not. A backend that fits no row is never chosen by itself.
 */
static const uint32_t preferences[] = {
    WW_CAP_ATOMIC_RESET | WW_CAP_EXACT | WW_CAP_KERNEL_WRITES,
    WW_CAP_ATOMIC_RESET | WW_CAP_EXACT,
    WW_CAP_ATOMIC_RESET,
};

#define NR_PREFERENCES (sizeof(preferences) / sizeof(preferences[0]))

static void prepare_all(void)
{
    for (size_t i = 0; i < ww_nr_backends; i++) {
        if (ww_backends[i]->prepare) {
            ww_backends[i]->prepare();
        }
    }
}

void ww_backend_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, prepare_all);
}

/* The first row that fits. */
static size_t preference_of(uint32_t caps)
{
    size_t row = 0;

    while (row < NR_PREFERENCES && (caps & preferences[row]) != preferences[row]) {
        row++;
    }
    return row;
}

static int check(struct ww_tracker *tracker)
{
    return tracker->backend->check ? tracker->backend->check(tracker) : 0;
}

/* First whether the process lives on after it. */
int ww_tracker_check(struct ww_tracker *tracker)
{
    const struct ww_backend *backend = tracker->backend;
    uint64_t barred;
    int err = ww_dry_run(backend->steps & ~tracker->barred, backend->dispensable, &barred, &tracker->failure);

    if (!err) {
        tracker->barred |= barred;
        err = check(tracker);
    }
    return err;
}

static void close_tracker(struct ww_tracker *tracker)
{
    struct ww_signals saved;

    if (tracker->backend->close) {
        ww_block_signals(&saved);
        tracker->backend->close(tracker);
        ww_restore_signals(&saved);
    }
}

/* In a replacement under locks, and under none when a context is opened. The
 * kernel's EINVAL is none of the caller's arguments. */
int ww_tracker_open(const struct ww_backend *backend, struct ww_workers *workers, uint32_t need,
                    struct ww_tracker *ret)
{
    struct ww_failure no_thread = { .error = 0 };
    struct ww_signals saved;
    int err;

    if (need & ~backend->caps) {
        return -EOPNOTSUPP;
    }
    if (workers->can_grow) {
        /* If that fails, open() has no thread, and the reason is here. */
        ww_workers_reserve(workers, backend->nr_threads, WW_STACK_BYTES, &no_thread);
    }
    *ret = (struct ww_tracker){ .backend = backend, .caps = backend->caps, .workers = workers };
    ww_block_signals(&saved);
    err = ww_dry_run(backend->steps, backend->dispensable, &ret->barred, &ret->failure);
    if (!err && backend->open) {
        err = backend->open(ret);
    }
    if (!err) {
        err = check(ret);
        if (!err && (need & ~ret->caps)) {
            err = -EOPNOTSUPP;
        }
        if (err) {
            close_tracker(ret);
        }
    }
    ww_restore_signals(&saved);
    if (err && ret->failure.step == WW_STEP_THREAD && no_thread.step) {
        ret->failure = no_thread;
        err = no_thread.step == WW_STEP_MEMORY ? -ENOMEM : no_thread.error;
    }
    return err == -EINVAL ? -EOPNOTSUPP : err;
}

static struct ww_probe probe_backend(const struct ww_backend *backend, struct ww_workers *workers)
{
    struct ww_probe probe = { .name = backend->name,
                              .caps = backend->caps & WW_PUBLIC_CAPS,
                              .reason = "works" };
    const struct ww_words *words;
    struct ww_tracker tracker;

    probe.error = ww_tracker_open(backend, workers, 0, &tracker);
    if (!probe.error) {
        probe.caps = tracker.caps & WW_PUBLIC_CAPS;
        close_tracker(&tracker);
        return probe;
    }
    words = ww_refusal_words(&tracker.failure);
    probe.reason = words ? words->reason : "no memory to say why";
    probe.remedy = words && words->remedy[0] ? words->remedy : NULL;
    return probe;
}

WW_API ssize_t ww_probe(struct ww_probe *ret_probes, size_t capacity)
{
    struct ww_probe probes[MAX_BACKENDS];
    struct ww_workers workers = { .can_grow = true };
    size_t nr_all = ww_nr_backends < MAX_BACKENDS ? ww_nr_backends : MAX_BACKENDS, nr = 0;

    if (!ret_probes && capacity) {
        return -EINVAL;
    }
    ww_page_size_init();
    ww_backend_prepare();
    for (size_t i = 0; capacity && i < nr_all; i++) {
        probes[i] = probe_backend(ww_backends[i], &workers);
    }
    ww_workers_end(&workers, true);
    for (size_t row = 0; row <= NR_PREFERENCES; row++) {
        for (size_t i = 0; i < nr_all && nr < capacity; i++) {
            if (preference_of(probes[i].caps) == row) {
                ret_probes[nr++] = probes[i];
            }
        }
    }
    return nr_all;
}

void ww_tracker_put_first(struct ww_context *ctx, struct ww_tracker *tracker)
{
    tracker->next = atomic_load(&ctx->tracker);
    atomic_store(&ctx->tracker, tracker);
}

/* The first failure that says more than -EOPNOTSUPP is the reason if none is left: a shortage, say. */
int ww_tracker_open_best(struct ww_tracker *ret, struct ww_workers *workers, uint32_t need, uint32_t avoid)
{
    int err, first_err = 0;

    for (size_t row = 0; row < NR_PREFERENCES; row++) {
        for (size_t i = 0; i < ww_nr_backends; i++) {
            uint32_t all = preferences[row] | need;

            if ((ww_backends[i]->caps & all) != all || (ww_backends[i]->caps & avoid)) {
                continue;
            }
            err = ww_tracker_open(ww_backends[i], workers, all, ret);
            if (!err) {
                return 0;
            }
            if (!workers->can_grow && atomic_load(&workers->wanted)) {
                /* A thread is missing for a moment, which is no reason for a lesser one. */
                return err;
            }
            if (err != -EOPNOTSUPP && !first_err) {
                first_err = err;
            }
        }
    }
    return first_err ? first_err : -EOPNOTSUPP;
}

static int open_named(struct ww_tracker *ret, struct ww_workers *workers, const char *name, uint32_t need)
{
    for (size_t i = 0; i < ww_nr_backends; i++) {
        if (!strcmp(name, ww_backends[i]->name)) {
            return ww_tracker_open(ww_backends[i], workers, need, ret);
        }
    }
    return -EINVAL;
}

int ww_backend_choose(struct ww_context *ctx, const char *name)
{
    struct ww_tracker *tracker = ww_heap_alloc(sizeof(*tracker));
    struct ww_workers *workers = &ctx->workers;
    struct ww_failure unused;
    int err;

    if (!tracker) {
        return -ENOMEM;
    }
    ctx->named = name;
    workers->can_grow = true;
    err = name ? open_named(tracker, workers, name, ctx->required)
               : ww_tracker_open_best(tracker, workers, ctx->required, 0);
    if (!err && tracker->backend->nr_threads) {
        /* For a successor: it is opened under locks. Without them it takes longer until there is one. */
        ww_workers_reserve(workers, tracker->backend->nr_threads, WW_STACK_BYTES, &unused);
    } else {
        /* Of backends that were tried and not taken. */
        ww_workers_end(workers, true);
    }
    workers->can_grow = false;
    atomic_store(&workers->wanted, false);
    if (err) {
        ww_heap_free(tracker);
        return err;
    }
    ww_tracker_put_first(ctx, tracker);
    return 0;
}

void ww_trackers_close(struct ww_context *ctx)
{
    struct ww_tracker *tracker = atomic_load(&ctx->tracker), *next;

    for (; tracker; tracker = next) {
        next = tracker->next;
        close_tracker(tracker);
        if (tracker != &ctx->fallback) {
            ww_heap_free(tracker);
        }
    }
}
