/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replaces a tracker that begins to fail: by the same backend opened anew, by another backend, or by the
 * fallback, which cannot fail. Regions are handed over one by one. Nothing is known of a region's pages then,
 * so all of them count as written.
 */
#include "context.h"
#include "failover.h"
#include "process/heap.h"

/* A context with more than these does not try again: something keeps breaking them. */
#define MAX_TRACKERS 8

/* The backend may work again in a moment: something is short, or there was no idle thread, which the next
 * call that holds nothing makes. */
static bool is_passing(const struct ww_context *ctx, int err)
{
    return ww_is_shortage(err) || atomic_load(&ctx->workers.wanted);
}

static size_t nr_trackers(const struct ww_tracker *tracker)
{
    size_t nr = 0;

    for (; tracker; tracker = tracker->next) {
        nr++;
    }
    return nr;
}

/* Opens the same backend anew, or else one that the program can live with as well.
 * Either has what the context requires. */
static int open_successor(struct ww_context *ctx, const struct ww_tracker *failing, struct ww_tracker *ret)
{
    int err = ww_tracker_open(failing->backend, &ctx->workers, ctx->required, ret);

    if (err == -EIO) {
        /* The end of the failing tracker may have disturbed the self test. */
        err = ww_tracker_open(failing->backend, &ctx->workers, ctx->required, ret);
    }
    if (err && !is_passing(ctx, err) && !ctx->named) {
        err = ww_tracker_open_best(ret, &ctx->workers, ctx->required | (failing->caps & WW_CAP_KERNEL_WRITES),
                                   ~failing->caps & WW_CAP_OWNS_PROT);
    }
    return err;
}

/*
 * The tracker that takes over: the same backend opened
 * anew, since a program may have closed our descriptors; else another; else the fallback.
 * NULL: something is short for the moment, memory or a thread, and the caller tries again later.
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

/* Replaces @failing, unless it passes its self test: then the trouble concerns one mapping, or was a passing
 * one. Returns whether another tracker is in use now. */
static bool replace(struct ww_context *ctx, struct ww_tracker *failing)
{
    bool replaced = true;

    ww_lock(&ctx->tracker_lock, WW_RANK_TRACKER);
    if (atomic_load(&ctx->tracker) == failing) {
        /* A copy, because the self test takes capabilities away that are missing for the moment. */
        struct ww_tracker copy = *failing;
        int err = ww_tracker_check(&copy);
        struct ww_tracker *next = err && !is_passing(ctx, err) ? successor(ctx, failing) : NULL;

        replaced = next;
        if (replaced) {
            ww_tracker_put_first(ctx, next);
        }
    }
    ww_unlock(&ctx->tracker_lock, WW_RANK_TRACKER);
    return replaced;
}

/* Arms by the tracker in use, or by the one after it if that begins to fail. */
int ww_failover_arm(struct ww_context *ctx, struct ww_region *region)
{
    int err;

    do {
        region->tracker = atomic_load(&ctx->tracker);
        err = ww_backend_arm(region);
    } while (err && replace(ctx, region->tracker));
    if (err) {
        region->tracker = &ctx->fallback;
    }
    /* The program has closed a descriptor of ours and uses its number for another file. */
    return err == -ENOTTY ? -EBADF : err;
}

/* Tracks a region by the tracker that is in use, or by the fallback: only until the next scan if something is
 * short. Nothing is known of its pages, so all of them count as written. */
static void track_anew(struct ww_context *ctx, struct ww_region *region)
{
    int err;

    region->tracker = atomic_load(&ctx->tracker);
    err = ww_backend_arm(region);
    region->arm_again = err && is_passing(ctx, err);
    if (err) {
        region->tracker = &ctx->fallback;
    }
    ww_demand_rearm(&ctx->demand, region, region->range.start, region->range.end);
    ww_page_set_add(&region->latch, region->range.start, region->range.end);
}

void ww_failover_arm_again(struct ww_context *ctx, struct ww_region *region)
{
    if (region->arm_again) {
        track_anew(ctx, region);
    }
}

bool ww_failover_hand_over(struct ww_context *ctx, struct ww_region *region)
{
    struct ww_tracker *failing = region->tracker;
    struct ww_range supplied;

    if (!replace(ctx, failing)) {
        return false;
    }
    if (ww_demand_next(&ctx->demand, region->range.start, region->range.end, &supplied) &&
        !ww_demand_rearm(&ctx->demand, region, region->range.start, region->range.end)) {
        return false;
    }
    ww_epoch_end(&ctx->epochs, region);
    ww_backend_disarm(region);
    ww_backend_release(region);
    region->priv = NULL;
    region->lost = true;
    track_anew(ctx, region);
    return true;
}
