/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds a region and takes its lock, for an answer or for a change.
 */
#include <errno.h>

#include "hold.h"

static int hold_region(struct ww_context *ctx, uintptr_t addr, struct ww_hold *hold)
{
    struct ww_region *region;
    int err = ww_enter(ctx, &hold->saved);

    if (err) {
        return err;
    }
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
        ww_epoch_end(&ctx->epochs, hold->region);
    }
    return err;
}

void ww_hold_end(struct ww_hold *hold)
{
    ww_unlock(&hold->region->lock, WW_RANK_REGION);
    ww_restore_signals(&hold->saved);
}
