/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For a layer above that changes watched mappings through somebody else's code
 * (Wine's) and must not let a harvest see the middle of it. Internal: not in the
 * library's symbol map.
 */
#ifndef WW_LINUX_HOLD_H
#define WW_LINUX_HOLD_H

#include "internal.h"

/* A region that nobody else harvests or changes, in a thread that no signal suspends. */
struct ww_hold {
    struct ww_context *ctx;
    struct ww_region *region;
    struct ww_range range;
    sigset_t saved;
};

/*
 * Holds the one region that contains the whole range. 0, -ENOENT, -ECHILD. No other call on the context
 * may be made by this thread until ww_hold_end().
 *
 * To read is to answer for the region, with a reset or without: threads that ask without a lock
 * (lockless.c) go on to do so. To change is everything else, by this library or by foreign code:
 * those threads wait for the lock, and nobody sees the middle of it.
 */
int ww_hold_to_read(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold);
int ww_hold_to_change(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold);
void ww_hold_end(struct ww_hold *hold);

/* Holds the region that contains @addr, to change it. */
static inline int ww_hold_to_change_at(struct ww_context *ctx, uintptr_t addr, struct ww_hold *hold)
{
    struct ww_range byte = { .start = addr, .end = addr + 1 };

    return ww_hold_to_change(ctx, &byte, hold);
}

/* ww_latch() and ww_discard() on page-aligned parts of the held region. Either way nothing is lost: if one
 * fails, all of the range counts as written. */
int ww_hold_latch(struct ww_hold *hold, uintptr_t start, uintptr_t end);
int ww_hold_discard(struct ww_hold *hold, uintptr_t start, uintptr_t end);

/* Nothing is known of these pages: they count as written until they are reset. */
void ww_hold_mark(struct ww_hold *hold, uintptr_t start, uintptr_t end);

/* A part of a region that is out of the table while its memory is being released. */
struct ww_detached {
    struct ww_region *region; /* NULL: nothing */
    bool lower, upper;        /* it was cut off a region below, above */
};

/*
 * Takes [@start, @end), within one region, out of the table, before the memory is
 * released: afterwards another thread may get and watch the same addresses at once.
 * Then either ww_detached_free(), or ww_detached_restore() if the release failed.
 * 0, -ENOENT, -ENOMEM, -ECHILD, -EOPNOTSUPP (WW_CAP_OWNS_PROT: a fault in the new
 * memory would still be looked up in the old).
 */
int ww_detach(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_detached *detached);
void ww_detached_free(struct ww_detached *detached);
void ww_detached_restore(struct ww_context *ctx, struct ww_detached *detached);

/* Takes whatever is watched in the range out of the table, and touches no mapping:
 * the memory was replaced by somebody else. -ENOMEM: a region at an end was not cut.
 * @gone, if not NULL, hears of each part that has left the table, still under its lock. */
int ww_forget(struct ww_context *ctx, uintptr_t start, uintptr_t end,
              void (*gone)(uintptr_t start, uintptr_t end));

/* The first region that shares a byte with the range. 0, -ENOENT, -ECHILD. */
int ww_find_next(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_range *ret_range);

/* Whether a page of the range may be written. Takes no lock; safe in signal handlers. */
static inline bool ww_peek(struct ww_context *ctx, uintptr_t start, uintptr_t end)
{
    struct ww_tracker *tracker = atomic_load(&ctx->tracker);

    while (tracker && !tracker->backend->peek(tracker, start, end)) {
        tracker = tracker->next;
    }
    return tracker;
}

/* Whether anything is watched. No lock: a quick look before the slower calls. */
static inline bool ww_watches_any(struct ww_context *ctx)
{
    return atomic_load_explicit(&ctx->nr_regions, memory_order_relaxed) != 0;
}

#endif
