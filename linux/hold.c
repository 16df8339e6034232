/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds a region and takes its lock, for an answer or for a change. Whoever waits for the lock of a region
 * holds no other meanwhile, so that calls about other regions go on.
 */
#include <errno.h>

#include "hold.h"

/* How often ww_lock_table() lets others go first. */
#define MAX_WAITS 100

static void release(struct ww_region *region)
{
    ww_unlock(&region->lock, WW_RANK_REGION);
    ww_region_put(region);
}

/* The region that holds @addr, locked, or NULL. Looks again if the region was cut or removed while the thread
 * waited for it. */
static struct ww_region *find_and_lock(struct ww_context *ctx, uintptr_t addr)
{
    for (;;) {
        struct ww_region *region;

        ww_lock_read(&ctx->table_lock, WW_RANK_TABLE);
        region = ww_region_find(ctx, addr);
        if (region) {
            ww_region_get(region);
        }
        ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
        if (!region) {
            return NULL;
        }
        ww_lock(&region->lock, WW_RANK_REGION);
        if (!region->is_gone && region->range.start <= addr && addr < region->range.end) {
            return region;
        }
        release(region);
    }
}

static int hold_region(struct ww_context *ctx, uintptr_t addr, struct ww_hold *hold)
{
    struct ww_region *region;
    int err = ww_enter(ctx, &hold->saved);

    if (err) {
        return err;
    }
    region = find_and_lock(ctx, addr);
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
    release(hold->region);
    ww_restore_signals(&hold->saved);
}

/* The first region in [@start, @end) that a thread waits for or works on. table_lock is held for writing. */
static struct ww_region *first_in_use(struct ww_context *ctx, uintptr_t start, uintptr_t end)
{
    struct ww_region *region;

    while ((region = ww_region_first(ctx, start, end)) && atomic_load(&region->nr_refs) == 1) {
        start = region->range.end;
    }
    return region;
}

void ww_lock_table(struct ww_context *ctx, uintptr_t start, uintptr_t end)
{
    struct ww_region *region;

    ww_lock_write(&ctx->table_lock, WW_RANK_TABLE);
    for (int nr = 0; nr < MAX_WAITS && (region = first_in_use(ctx, start, end)); nr++) {
        ww_region_get(region);
        ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
        ww_lock(&region->lock, WW_RANK_REGION);
        release(region);
        ww_lock_write(&ctx->table_lock, WW_RANK_TABLE);
    }
}
