/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The region table: which ranges are watched, in a red-black tree by address,
 * so that finding, adding, splitting and removing take O(log regions). It knows
 * nothing of how writes are tracked beyond passing splits on to the backend.
 */
#include <errno.h>

#include "context.h"
#include "kernel/headroom.h"
#include "process/heap.h"

static int compare_regions(struct ww_region *a, struct ww_region *b)
{
    return a->range.start < b->range.start ? -1 : a->range.start > b->range.start;
}

#define MAYBE_UNUSED static __attribute__((unused))
RB_PROTOTYPE_INTERNAL(ww_region_tree, ww_region, entry, compare_regions, MAYBE_UNUSED)
RB_GENERATE_INTERNAL(ww_region_tree, ww_region, entry, compare_regions, MAYBE_UNUSED)

/* The region that ends behind @addr, the first of those. */
static struct ww_region *first_region_past(struct ww_context *ctx, uintptr_t addr)
{
    struct ww_region *region = RB_ROOT(&ctx->regions), *found = NULL;

    while (region) {
        if (region->range.end > addr) {
            found = region;
            region = RB_LEFT(region, entry);
        } else {
            region = RB_RIGHT(region, entry);
        }
    }
    return found;
}

struct ww_region *ww_region_find(struct ww_context *ctx, uintptr_t addr)
{
    struct ww_region *region = first_region_past(ctx, addr);

    return region && region->range.start <= addr ? region : NULL;
}

struct ww_region *ww_region_first(struct ww_context *ctx, uintptr_t start, uintptr_t end)
{
    struct ww_region *region = first_region_past(ctx, start);

    return region && region->range.start < end ? region : NULL;
}

struct ww_region *ww_region_new(uintptr_t start, uintptr_t end)
{
    struct ww_region *region = ww_heap_alloc(sizeof(*region));
    size_t nr_pages = (end - start) >> ww_page_shift;

    if (!region) {
        return NULL;
    }
    region->range = (struct ww_range){ .start = start, .end = end };
    region->page_size = ww_page_size();
    atomic_init(&region->nr_refs, 1);
    pthread_mutex_init(&region->lock, NULL);
    ww_page_set_init(&region->reported, start, nr_pages);
    ww_page_set_init(&region->latch, start, nr_pages);
    return region;
}

void ww_region_insert(struct ww_context *ctx, struct ww_region *region)
{
    ww_lock(&region->lock, WW_RANK_REGION);
    region->is_gone = false;
    ww_unlock(&region->lock, WW_RANK_REGION);
    RB_INSERT(ww_region_tree, &ctx->regions, region);
    atomic_fetch_add(&ctx->nr_regions, 1);
    ww_headroom_add_region(1);
}

void ww_region_remove(struct ww_context *ctx, struct ww_region *region)
{
    RB_REMOVE(ww_region_tree, &ctx->regions, region);
    atomic_fetch_sub(&ctx->nr_regions, 1);
    ww_headroom_add_region(-1);
    ww_lock(&region->lock, WW_RANK_REGION);
    ww_epoch_end(&ctx->epochs, region);
    region->is_gone = true;
    ww_unlock(&region->lock, WW_RANK_REGION);
}

int ww_region_split(struct ww_context *ctx, struct ww_region *region, uintptr_t at,
                    struct ww_region **ret_upper)
{
    struct ww_region *upper;
    int err;

    upper = ww_region_new(at, region->range.end);
    if (!upper) {
        return -ENOMEM;
    }
    ww_lock(&region->lock, WW_RANK_REGION);
    ww_epoch_end(&ctx->epochs, region);
    region->range.end = at;
    upper->watch_id = region->watch_id;
    upper->lost = region->lost;
    upper->arm_again = region->arm_again;
    upper->markers = region->markers;
    upper->on_demand = region->on_demand;
    upper->private_file = region->private_file;
    upper->page_size = region->page_size;
    upper->tracker = region->tracker;
    err = at & (region->page_size - 1) ? -EINVAL : ww_backend_split(region, upper);
    if (err) {
        region->range.end = upper->range.end;
    } else {
        ww_page_set_split(&region->reported, at, &upper->reported);
        ww_page_set_split(&region->latch, at, &upper->latch);
    }
    ww_unlock(&region->lock, WW_RANK_REGION);
    if (err) {
        ww_region_put(upper);
        return err;
    }
    ww_region_insert(ctx, upper);
    *ret_upper = upper;
    return 0;
}

void ww_region_join(struct ww_region *region, struct ww_region *upper)
{
    ww_lock(&region->lock, WW_RANK_REGION);
    ww_backend_join(region, upper);
    region->range.end = upper->range.end;
    region->lost |= upper->lost;
    region->arm_again |= upper->arm_again;
    ww_page_set_join(&region->reported, &upper->reported);
    ww_page_set_join(&region->latch, &upper->latch);
    ww_unlock(&region->lock, WW_RANK_REGION);
    ww_region_free(upper);
}

void ww_region_free(struct ww_region *region)
{
    ww_backend_release(region);
    ww_page_set_destroy(&region->reported);
    ww_page_set_destroy(&region->latch);
    ww_region_put(region);
}

void ww_region_put(struct ww_region *region)
{
    if (atomic_fetch_sub(&region->nr_refs, 1) == 1) {
        pthread_mutex_destroy(&region->lock);
        ww_heap_free(region);
    }
}
