/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For a layer above that changes watched mappings through somebody else's code
 * (Wine's) and must not let a scan see the middle of it. Internal: not in the
 * library's symbol map.
 */
#ifndef WW_LINUX_CHANGE_H
#define WW_LINUX_CHANGE_H

#include "detach.h"
#include "hold.h"

/* ww_latch() and ww_discard() on page-aligned parts of the held region. Either way nothing is lost: if one
 * fails, all of the range counts as written. */
int ww_hold_latch(struct ww_hold *hold, uintptr_t start, uintptr_t end);
int ww_hold_discard(struct ww_hold *hold, uintptr_t start, uintptr_t end);

/* Nothing is known of these pages: they count as written until they are reset. */
void ww_hold_mark(struct ww_hold *hold, uintptr_t start, uintptr_t end);

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

    while (tracker && !ww_tracker_peek(tracker, start, end)) {
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
