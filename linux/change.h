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

/* These pages count as written until they are reset, because nothing is known of them. */
void ww_hold_mark(struct ww_hold *hold, uintptr_t start, uintptr_t end);

/* Removes the regions in the range from the table and touches no mapping, because somebody else has
 * replaced the memory. 0, -ECHILD, or -ENOMEM: a region at an end could not be cut.
 * Calls @gone, if not NULL, for each part that has left the table, with table_lock held. */
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

/* Whether anything is watched. Takes no lock. */
static inline bool ww_watches_any(struct ww_context *ctx)
{
    return atomic_load_explicit(&ctx->nr_regions, memory_order_relaxed) != 0;
}

#endif
