/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Takes a part of a region out of the table while somebody else's code releases its memory, and puts it back
 * if that fails. Another thread may get and watch the same addresses meanwhile.
 */
#include <errno.h>

#include "detach.h"
#include "hold.h"

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
    struct ww_signals saved;
    int err;

    *detached = (struct ww_detached){ .region = NULL };
    err = ww_enter(ctx, &saved);
    if (err) {
        return err;
    }
    if (ww_backend_caps(ctx) & WW_CAP_OWNS_PROT) {
        ww_restore_signals(&saved);
        return -EOPNOTSUPP;
    }
    ww_lock_table(ctx, start, end);
    err = isolate(ctx, start, end, detached);
    if (!err) {
        ww_region_remove(ctx, detached->region);
    }
    ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
    ww_restore_signals(&saved);
    return err;
}

/* Touches nothing in the kernel: the mapping is gone, or somebody else's by now. */
void ww_detached_free(struct ww_detached *detached)
{
    struct ww_signals saved;

    if (detached->region) {
        ww_block_signals(&saved);
        ww_region_free(detached->region);
        ww_restore_signals(&saved);
        detached->region = NULL;
    }
}

/* The neighbour at @addr if it comes from the same ww_watch(), and not from a later one. */
static struct ww_region *find_sibling(struct ww_context *ctx, const struct ww_region *region, uintptr_t addr)
{
    struct ww_region *found = ww_region_find(ctx, addr);

    return found && found->watch_id == region->watch_id ? found : NULL;
}

void ww_detached_restore(struct ww_context *ctx, struct ww_detached *detached)
{
    struct ww_region *region = detached->region, *next;
    struct ww_signals saved;

    if (!region) {
        return;
    }
    ww_block_signals(&saved);
    ww_lock_table(ctx, region->range.start - 1, region->range.end + 1);
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
