/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of backends, the choice between them, and what happens when the one
 * in use begins to fail. Each is tried by its effect, in this process, now. This
 * is the only place that decides.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/heap.h"
#include "internal.h"
#include "backends/mprotect/mprotect.h"
#include "backends/softdirty/softdirty.h"

unsigned int ww_page_shift;

/* Fastest first. What a backend can do goes before that: see preferences. */
static const struct ww_backend *const backends[] = {
    &ww_backend_uffd, &ww_backend_mprotect, &ww_backend_softdirty, &ww_backend_uffd_sync, &ww_backend_none,
};

#define NR_BACKENDS (sizeof(backends) / sizeof(backends[0]))

/*
 * A better preference is taken before a faster backend: one that does not break the
 * program's system calls before one that does, one that tells pages apart before
 * one that does not. Below the last preference a backend is never chosen by itself.
 */
static const uint32_t preferences[] = {
    WW_CAP_ATOMIC_RESET | WW_CAP_EXACT | WW_CAP_KERNEL_WRITES,
    WW_CAP_ATOMIC_RESET | WW_CAP_EXACT,
    WW_CAP_ATOMIC_RESET,
};

#define NR_PREFERENCES (sizeof(preferences) / sizeof(preferences[0]))

/* Above this many a context does not try again: something keeps breaking them. */
#define MAX_TRACKERS 8

static void learn_page_size(void)
{
    ww_page_shift = __builtin_ctzl(sysconf(_SC_PAGESIZE));
}

/* Once: threads of other contexts read it. */
void ww_page_size_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, learn_page_size);
}

static void follow_forks(void)
{
    ww_fault_follow_forks();
    ww_softdirty_follow_forks();
}

/* Once, and before anything is held: pthread_atfork() uses malloc(). */
void ww_backend_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, follow_forks);
}

static size_t preference_of(uint32_t caps)
{
    size_t preference = 0;

    while (preference < NR_PREFERENCES && (caps & preferences[preference]) != preferences[preference]) {
        preference++;
    }
    return preference;
}

/* Tries what a tracker needs: first whether the process lives on after it. */
static int check_tracker(struct ww_tracker *tracker)
{
    const struct ww_backend *backend = tracker->backend;
    uint64_t barred;
    int err =
        ww_rehearse(backend->steps & ~tracker->barred, backend->dispensable, &barred, &tracker->failure);

    if (!err) {
        tracker->barred |= barred;
        err = backend->check(tracker);
    }
    return err;
}

/* Opens and tries a backend: in a replacement under locks, and under none when a context is opened. The
 * kernel's EINVAL is none of the caller's arguments. */
static int open_tracker(const struct ww_backend *backend, struct ww_workers *workers, struct ww_tracker *ret)
{
    sigset_t saved;
    int err;

    if (workers->can_grow) {
        /* Where that fails, open() says so. */
        ww_workers_reserve(workers, backend->nr_threads, WW_STACK_BYTES);
    }
    *ret = (struct ww_tracker){ .backend = backend, .caps = backend->caps, .workers = workers };
    ww_block_signals(&saved);
    err = ww_rehearse(backend->steps, backend->dispensable, &ret->barred, &ret->failure);
    if (!err) {
        err = backend->open(ret);
    }
    if (!err) {
        err = backend->check(ret);
        if (err) {
            backend->close(ret);
        }
    }
    ww_restore_signals(&saved);
    return err == -EINVAL ? -EOPNOTSUPP : err;
}

static void close_tracker(struct ww_tracker *tracker)
{
    sigset_t saved;

    ww_block_signals(&saved);
    tracker->backend->close(tracker);
    ww_restore_signals(&saved);
}

static struct ww_probe probe_backend(const struct ww_backend *backend, struct ww_workers *workers)
{
    struct ww_probe probe = { .name = backend->name, .caps = backend->caps, .reason = "works" };
    const struct ww_words *words;
    struct ww_tracker tracker;

    probe.error = open_tracker(backend, workers, &tracker);
    if (!probe.error) {
        probe.caps = tracker.caps;
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
    struct ww_probe probes[NR_BACKENDS];
    struct ww_workers workers = { .can_grow = true };
    size_t nr = 0;

    if (!ret_probes && capacity) {
        return -EINVAL;
    }
    ww_page_size_init();
    ww_backend_prepare();
    for (size_t i = 0; capacity && i < NR_BACKENDS; i++) {
        probes[i] = probe_backend(backends[i], &workers);
    }
    ww_workers_end(&workers, true);
    for (size_t preference = 0; preference <= NR_PREFERENCES; preference++) {
        for (size_t i = 0; i < NR_BACKENDS && nr < capacity; i++) {
            if (preference_of(probes[i].caps) == preference) {
                ret_probes[nr++] = probes[i];
            }
        }
    }
    return NR_BACKENDS;
}

/* Makes the tracker the one that new regions get. tracker_lock is held, or nobody knows ctx yet. */
static void put_in_front(struct ww_context *ctx, struct ww_tracker *tracker)
{
    tracker->next = atomic_load(&ctx->tracker);
    atomic_store(&ctx->tracker, tracker);
}

/* The first in the order of choice whose capabilities have all of @need and none of
 * @avoid. Its first failure is the reason if none is left. */
static int choose(struct ww_tracker *ret, struct ww_workers *workers, uint32_t need, uint32_t avoid)
{
    int err, first_err = 0;

    for (size_t preference = 0; preference < NR_PREFERENCES; preference++) {
        for (size_t i = 0; i < NR_BACKENDS; i++) {
            uint32_t all = preferences[preference] | need;

            if ((backends[i]->caps & all) != all || (backends[i]->caps & avoid)) {
                continue;
            }
            err = open_tracker(backends[i], workers, ret);
            if (!err && (ret->caps & all) == all) {
                return 0;
            }
            if (!err) {
                close_tracker(ret);
            }
            first_err = first_err ? first_err : err;
        }
    }
    return first_err ? first_err : -EOPNOTSUPP;
}

static int choose_named(struct ww_tracker *ret, struct ww_workers *workers, const char *name)
{
    for (size_t i = 0; i < NR_BACKENDS; i++) {
        if (!strcmp(name, backends[i]->name)) {
            return open_tracker(backends[i], workers, ret);
        }
    }
    return -EINVAL;
}

/* Opens the named backend, or the best that works. Nothing is held. */
int ww_backend_choose(const char *name, struct ww_context *ctx)
{
    struct ww_tracker *tracker = ww_heap_alloc(sizeof(*tracker));
    struct ww_workers *workers = &ctx->workers;
    int err;

    if (!tracker) {
        return -ENOMEM;
    }
    ctx->named = name;
    workers->can_grow = true;
    err = name ? choose_named(tracker, workers, name) : choose(tracker, workers, 0, 0);
    if (!err && tracker->backend->nr_threads) {
        /* For a successor: it is opened under locks. Without them it takes longer until there is one. */
        ww_workers_reserve(workers, tracker->backend->nr_threads, WW_STACK_BYTES);
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
    put_in_front(ctx, tracker);
    return 0;
}

/* Says nothing against a backend: it may work again in a moment. */
static bool is_shortage(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

/* The same, or a thread was missing, and is made when nothing is held. */
static bool is_passing(const struct ww_context *ctx, int err)
{
    return is_shortage(err) || atomic_load(&ctx->workers.wanted);
}

static size_t nr_trackers(const struct ww_tracker *tracker)
{
    size_t nr = 0;

    for (; tracker; tracker = tracker->next) {
        nr++;
    }
    return nr;
}

/* Opens the same backend anew, or else one under which nothing breaks that worked before. */
static int open_successor(struct ww_context *ctx, const struct ww_tracker *failing, struct ww_tracker *ret)
{
    int err = open_tracker(failing->backend, &ctx->workers, ret);

    if (err == -EIO) {
        /* Its self test may have met the end of the failing one. */
        err = open_tracker(failing->backend, &ctx->workers, ret);
    }
    if (err && !is_passing(ctx, err) && !ctx->named) {
        err = choose(ret, &ctx->workers, failing->caps & WW_CAP_KERNEL_WRITES,
                     ~failing->caps & WW_CAP_OWNS_PROT);
    }
    return err;
}

/*
 * What goes on in place of a tracker that has failed: the same backend opened
 * anew, since a program may have closed our descriptors; else another; else none.
 * NULL: it is to be tried again later, since something was short, threads among it.
 */
static struct ww_tracker *successor(struct ww_context *ctx, const struct ww_tracker *failing)
{
    struct ww_tracker *tracker;
    int err;

    if (nr_trackers(failing) >= MAX_TRACKERS) {
        return &ctx->fallback;
    }
    tracker = ww_heap_alloc(sizeof(*tracker));
    if (!tracker) {
        return NULL;
    }
    err = open_successor(ctx, failing, tracker);
    if (!err) {
        return tracker;
    }
    ww_heap_free(tracker);
    return is_passing(ctx, err) ? NULL : &ctx->fallback;
}

/* Whether there is another tracker in use now than @failing, which is tried first:
 * if it still works, the trouble is of one mapping or of the moment, and it stays. */
bool ww_backend_replace(struct ww_context *ctx, struct ww_tracker *failing)
{
    bool replaced = true;

    ww_lock(&ctx->tracker_lock, WW_RANK_TRACKER);
    if (atomic_load(&ctx->tracker) == failing) {
        /* A copy: what is missing for a moment must not be taken from one that is in use. */
        struct ww_tracker copy = *failing;
        int err = check_tracker(&copy);
        struct ww_tracker *next = err && !is_passing(ctx, err) ? successor(ctx, failing) : NULL;

        replaced = next;
        if (replaced) {
            put_in_front(ctx, next);
        }
    }
    ww_unlock(&ctx->tracker_lock, WW_RANK_TRACKER);
    return replaced;
}

/* Tracks a region by the tracker that is in use, or by none: until the next scan if something is short.
 * Nothing is known of its pages then, so all of them are written. The region's lock is held. */
static void track_anew(struct ww_context *ctx, struct ww_region *region)
{
    int err;

    region->tracker = atomic_load(&ctx->tracker);
    err = region->tracker->backend->arm(region);
    region->arm_again = err && is_passing(ctx, err);
    if (err) {
        region->tracker = &ctx->fallback;
    }
    ww_demand_rearm(&ctx->demand, region, region->range.start, region->range.end);
    ww_page_set_add(&region->latch, region->range.start, region->range.end);
}

void ww_backend_arm_again(struct ww_context *ctx, struct ww_region *region)
{
    if (region->arm_again) {
        track_anew(ctx, region);
    }
}

/*
 * Gives a region whose scan has failed to the tracker that is in use now, if its
 * own is of no use any more. One that is filled on demand stays where it is as long as that works: between
 * two trackers its missing pages would be zeros. The region's lock is held.
 */
bool ww_backend_hand_over(struct ww_context *ctx, struct ww_region *region)
{
    struct ww_tracker *failing = region->tracker;
    struct ww_range supplied;

    if (!ww_backend_replace(ctx, failing)) {
        return false;
    }
    if (ww_demand_next(&ctx->demand, region->range.start, region->range.end, &supplied) &&
        !ww_demand_rearm(&ctx->demand, region, region->range.start, region->range.end)) {
        return false;
    }
    ww_epoch_end(ctx, region);
    failing->backend->disarm(region);
    failing->backend->release(region);
    region->priv = NULL;
    region->lost = true;
    track_anew(ctx, region);
    return true;
}

/* Ends all trackers of a context; no region is left. */
void ww_backend_close(struct ww_context *ctx)
{
    struct ww_tracker *tracker = atomic_load(&ctx->tracker), *next;

    for (; tracker; tracker = next) {
        next = tracker->next;
        tracker->backend->close(tracker);
        if (tracker != &ctx->fallback) {
            ww_heap_free(tracker);
        }
    }
}
