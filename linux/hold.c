/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holding a region while foreign code changes its mapping, and taking a part out
 * of the table while foreign code releases it. The layer above decides what to
 * do with the outcome; this file keeps table and locks right.
 */
#include <errno.h>

#include "hold.h"

static int hold_region(struct ww_context *ctx, uintptr_t addr, struct ww_hold *hold)
{
    struct ww_region *region;

    if (!ww_is_alive(ctx)) {
        return -ECHILD;
    }
    ww_block_signals(&hold->saved);
    ww_lock_read(&ctx->table_lock, WW_RANK_TABLE);
    region = ww_region_find(ctx, addr);
    if (region) {
        ww_lock(&region->lock, WW_RANK_REGION);
    }
    ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
    if (!region) {
        ww_restore_signals(&hold->saved);
        return -ENOENT;
    }
    hold->ctx = ctx;
    hold->region = region;
    hold->range = region->range;
    return 0;
}

int ww_hold_to_read(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold)
{
    int err = hold_region(ctx, range->start, hold);

    if (!err && hold->range.end < range->end) {
        ww_hold_end(hold);
        err = -ENOENT;
    }
    return err;
}

int ww_hold_to_change(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold)
{
    int err = ww_hold_to_read(ctx, range, hold);

    if (!err) {
        ww_epoch_end(ctx, hold->region);
    }
    return err;
}

void ww_hold_end(struct ww_hold *hold)
{
    ww_unlock(&hold->region->lock, WW_RANK_REGION);
    ww_restore_signals(&hold->saved);
}

int ww_hold_latch(struct ww_hold *hold, uintptr_t start, uintptr_t end)
{
    int err = ww_latch_range(hold->ctx, hold->region, start, end);

    if (err) {
        ww_hold_mark(hold, start, end);
    }
    return err;
}

int ww_hold_discard(struct ww_hold *hold, uintptr_t start, uintptr_t end)
{
    return ww_discard_range(hold->ctx, hold->region, start, end);
}

void ww_hold_mark(struct ww_hold *hold, uintptr_t start, uintptr_t end)
{
    ww_epoch_end(hold->ctx, hold->region);
    ww_page_set_add(&hold->region->latch, start, end);
}

/* Cuts [start, end) free within the table. On error the region is as it was. */
static int isolate(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_detached *detached)
{
    struct ww_region *region = ww_region_find(ctx, start), *whole = region, *upper;
    int err;

    if (!region || region->range.end < end) {
        return -ENOENT;
    }
    if (region->range.start < start) {
        err = ww_region_split(ctx, region, start, &region);
        if (err) {
            return err;
        }
        detached->lower = true;
    }
    if (region->range.end > end) {
        err = ww_region_split(ctx, region, end, &upper);
        if (err) {
            if (detached->lower) {
                ww_region_remove(ctx, region);
                ww_region_join(whole, region);
            }
            return err;
        }
        detached->upper = true;
    }
    detached->region = region;
    return 0;
}

int ww_detach(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_detached *detached)
{
    sigset_t saved;
    int err;

    *detached = (struct ww_detached){ .region = NULL };
    if (!ww_is_alive(ctx)) {
        return -ECHILD;
    }
    if (ww_backend_caps(ctx) & WW_CAP_OWNS_PROT) {
        return -EOPNOTSUPP;
    }
    ww_block_signals(&saved);
    ww_lock_write(&ctx->table_lock, WW_RANK_TABLE);
    err = isolate(ctx, start, end, detached);
    if (!err) {
        ww_region_remove(ctx, detached->region);
    }
    ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
    ww_restore_signals(&saved);
    return err;
}

/* The mapping is gone or somebody else's by now: nothing in the kernel is touched. */
void ww_detached_free(struct ww_detached *detached)
{
    sigset_t saved;

    if (detached->region) {
        ww_block_signals(&saved);
        ww_region_free(detached->region);
        ww_restore_signals(&saved);
        detached->region = NULL;
    }
}

/* The neighbour at @addr if it was cut off the same watch, and not somebody's new one. */
static struct ww_region *find_sibling(struct ww_context *ctx, const struct ww_region *region, uintptr_t addr)
{
    struct ww_region *found = ww_region_find(ctx, addr);

    return found && found->watch_id == region->watch_id ? found : NULL;
}

void ww_detached_restore(struct ww_context *ctx, struct ww_detached *detached)
{
    struct ww_region *region = detached->region, *next;
    sigset_t saved;

    if (!region) {
        return;
    }
    ww_block_signals(&saved);
    ww_lock_write(&ctx->table_lock, WW_RANK_TABLE);
    if (detached->upper) {
        next = find_sibling(ctx, region, region->range.end);
        if (next) {
            ww_region_remove(ctx, next);
            ww_region_join(region, next);
        }
    }
    next = detached->lower ? find_sibling(ctx, region, region->range.start - 1) : NULL;
    if (next) {
        ww_region_join(next, region);
    } else {
        ww_region_insert(ctx, region);
    }
    ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
    ww_restore_signals(&saved);
}
