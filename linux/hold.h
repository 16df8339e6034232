/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A region that one thread works on, with its lock held and signals blocked. */
#ifndef WW_LINUX_HOLD_H
#define WW_LINUX_HOLD_H

#include "context.h"

struct ww_hold {
    struct ww_context *ctx;
    struct ww_region *region;
    struct ww_range range;
    struct ww_signals saved;
};

/*
 * Holds the one region that contains the whole range. 0, -ENOENT, -ECHILD. The thread
 * makes no other call on the context until ww_hold_end().
 *
 * ww_hold_to_read() is for answers, with a reset or without: lockless queries about the region go on
 * meanwhile. ww_hold_to_change() is for everything else, by this library or by foreign code. It ends the
 * region's epoch, so that queries take the slow path, wait for the lock, and see the change whole.
 */
int ww_hold_to_read(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold);
int ww_hold_to_change(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold);
void ww_hold_end(struct ww_hold *hold);

/*
 * Takes table_lock for writing, in order to cut or remove regions in [@start, @end): first waits, without it,
 * until no thread is at work on them. Where threads keep coming it gives up after some time, and the caller
 * waits with table_lock held. Signals are blocked.
 */
void ww_lock_table(struct ww_context *ctx, uintptr_t start, uintptr_t end);

/* Holds the region that contains @addr, to change it. */
static inline int ww_hold_to_change_at(struct ww_context *ctx, uintptr_t addr, struct ww_hold *hold)
{
    struct ww_range byte = { .start = addr, .end = addr + 1 };

    return ww_hold_to_change(ctx, &byte, hold);
}

#endif
