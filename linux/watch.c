/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * START HERE. Begins and ends watches. From here a page is armed by a backend (failover.c, backends/),
 * written by the program, read and reset by get.c, and changed or dropped by change.c. context.c opens and
 * closes contexts.
 */
#include <errno.h>
#include <sys/mman.h>

#include "change.h"
#include "context.h"
#include "failover.h"
#include "hold.h"
#include "kernel/headroom.h"
#include "kernel/survey.h"
#include "scan_step.h"
#include "watch.h"

/*
 * Decides how the region is armed. In private anonymous memory a page that does
 * not exist was not written. In other memory it may exist for other processes, or may have been
 * written and dropped again, so every page gets a marker. If /proc does not tell what
 * is mapped, the region gets markers: they are right everywhere, and only cost more.
 */
static int choose_arming(const struct ww_range *range, unsigned int flags, struct ww_mapped *ret)
{
    int err = 0;

    *ret = (struct ww_mapped){ .private_anonymous = flags & WW_WATCH_PRIVATE_ANONYMOUS,
                               .page_size = ww_page_size() };
    if (!(flags & WW_WATCH_PRIVATE_ANONYMOUS)) {
        err = ww_mapped_survey(range->start, range->end, ret);
    }
    return err == -ENOMEM || err == -EINVAL ? err : 0;
}

/* Cuts the providers at both ends of the range. */
static int cut_demand(struct ww_context *ctx, const struct ww_range *range)
{
    int err = ww_demand_cut(&ctx->demand, range->start);

    return err ? err : ww_demand_cut(&ctx->demand, range->end);
}

/* Puts a region into the table, locked and tracked by nothing yet. table_lock is held for writing. */
static int insert_region(struct ww_context *ctx, const struct ww_range *range, bool is_mapped,
                         struct ww_region **ret_region)
{
    struct ww_region *region;
    int err;

    if (ww_region_first(ctx, range->start, range->end)) {
        return -EEXIST;
    }
    if (!is_mapped) {
        return -ENOMEM;
    }
    /* A provider that is left at these addresses belongs to a mapping that is gone. */
    err = cut_demand(ctx, range);
    if (err) {
        return err;
    }
    ww_demand_end(&ctx->demand, range->start, range->end);
    region = ww_region_new(range->start, range->end);
    if (!region) {
        return -ENOMEM;
    }
    region->watch_id = ++ctx->last_watch_id;
    region->tracker = &ctx->fallback;
    ww_region_insert(ctx, region);
    ww_region_get(region);
    ww_lock(&region->lock, WW_RANK_REGION);
    ww_lockless_grow(&ctx->lockless, atomic_load(&ctx->nr_regions));
    *ret_region = region;
    return 0;
}

/* The work that takes time in proportion to pages and mappings. Only the region's lock is held, so that only
 * calls on this region wait. On error nothing tracks it. */
static int begin_tracking(struct ww_context *ctx, struct ww_region *region, unsigned int flags)
{
    struct ww_mapped mapped;
    int err = choose_arming(&region->range, flags, &mapped);

    if (!err) {
        region->markers = !mapped.private_anonymous || (flags & WW_WATCH_MARKERS);
        region->private_file = mapped.private_file;
        region->page_size = mapped.page_size;
        err = ww_failover_arm(ctx, region);
    }
    /* In memory that the program has not touched, the kernel may have made pages: by mlockall(2), or in a
     * huge page for a fault beside it. */
    if (err || ((flags & WW_WATCH_FRESH) && !ww_backend_arm_left_dirty(region))) {
        return err;
    }
    err = ww_reset_range(ctx, region, region->range.start, region->range.end);
    if (err) {
        ww_backend_disarm(region);
        ww_backend_release(region);
        region->priv = NULL;
        region->tracker = &ctx->fallback;
    }
    return err;
}

/* Removes what is left of a region that could not be tracked. Other threads have seen it meanwhile: they may
 * have cut or removed it. */
static void withdraw(struct ww_context *ctx, const struct ww_range *range, uint64_t watch_id)
{
    uintptr_t pos = range->start;
    struct ww_region *region;

    ww_lock_table(ctx, range->start, range->end);
    while (pos < range->end && (region = ww_region_first(ctx, pos, range->end))) {
        pos = region->range.end;
        if (region->watch_id == watch_id) {
            ww_region_remove(ctx, region);
            ww_region_free(region);
        }
    }
    ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
}

static int add_region(struct ww_context *ctx, const struct ww_range *range, unsigned int flags)
{
    /* MS_ASYNC writes nothing back, but fails unless all of the range is mapped. Asked before
     * anything is changed, and before memory of ours could fill a hole in it. */
    bool is_mapped = !msync((void *)range->start, range->end - range->start, MS_ASYNC);
    struct ww_region *region;
    uint64_t watch_id;
    int err;

    ww_lock_write(&ctx->table_lock, WW_RANK_TABLE);
    err = insert_region(ctx, range, is_mapped, &region);
    ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
    if (err) {
        return err;
    }
    watch_id = region->watch_id;
    err = begin_tracking(ctx, region, flags);
    ww_unlock(&region->lock, WW_RANK_REGION);
    ww_region_put(region);
    if (err) {
        withdraw(ctx, range, watch_id);
    }
    return err;
}

#define ARMING_FLAGS (WW_WATCH_PRIVATE_ANONYMOUS | WW_WATCH_MARKERS)
#define PUBLIC_FLAGS (WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS)

/* @known has the flags that this caller may use. */
static int watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags, unsigned int known)
{
    struct ww_range range;
    struct ww_signals saved;
    int err = ww_range_exact(ctx, addr, len, &range);

    if (err || (flags & ~known) || (flags & ARMING_FLAGS) == ARMING_FLAGS) {
        return err ? err : -EINVAL;
    }
    err = ww_headroom_take();
    if (err) {
        return err;
    }
    do {
        err = ww_enter(ctx, &saved);
        if (err) {
            return err;
        }
        err = add_region(ctx, &range, flags);
        ww_restore_signals(&saved);
    } while (err && ww_workers_make_wanted(&ctx->workers));
    return err;
}

int ww_watch_internal(struct ww_context *ctx, void *addr, size_t len, unsigned int flags)
{
    return watch(ctx, addr, len, flags, PUBLIC_FLAGS | WW_WATCH_MARKERS);
}

WW_API int ww_watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags)
{
    return watch(ctx, addr, len, flags, PUBLIC_FLAGS);
}

/* The regions at the ends of a range after the cuts: below and above lie outside, first and last inside. */
struct cuts {
    struct ww_region *below, *first;
    struct ww_region *last, *above;
};

static void undo_cut(struct ww_context *ctx, struct ww_region *lower, struct ww_region *upper)
{
    if (upper) {
        ww_region_remove(ctx, upper);
        ww_region_join(lower, upper);
    }
}

/* Cuts the regions at both ends of the range, so that each lies inside or outside. */
static int cut_at_ends(struct ww_context *ctx, const struct ww_range *range, struct cuts *ret)
{
    struct cuts cuts = { .below = ww_region_find(ctx, range->start) };
    int err = cut_demand(ctx, range);

    if (err) {
        return err;
    }
    if (cuts.below && cuts.below->range.start < range->start) {
        err = ww_region_split(ctx, cuts.below, range->start, &cuts.first);
        if (err) {
            return err;
        }
    }
    cuts.last = ww_region_find(ctx, range->end - 1);
    if (cuts.last && cuts.last->range.end > range->end) {
        err = ww_region_split(ctx, cuts.last, range->end, &cuts.above);
        if (err) {
            undo_cut(ctx, cuts.below, cuts.first);
            return err;
        }
    }
    *ret = cuts;
    return 0;
}

/* Disarms the regions in the range, with table_lock held: while the kernel does its part of that it lets no
 * thread scan anyway. If the kernel cannot cut a mapping, all regions stay: a scan finds the
 * parts that lost their registration, counts them as written, and registers them again. */
static int disarm_range(struct ww_context *ctx, const struct ww_range *range, const struct cuts *cuts)
{
    struct ww_region *region;
    uintptr_t pos = range->start, end = range->end;
    int err = 0;

    for (; !err && (region = ww_region_first(ctx, pos, end)); pos = region->range.end) {
        ww_lock(&region->lock, WW_RANK_REGION);
        ww_epoch_end(&ctx->epochs, region);
        err = ww_backend_disarm(region);
        ww_unlock(&region->lock, WW_RANK_REGION);
    }
    if (!err) {
        return 0;
    }
    for (pos = range->start; (region = ww_region_first(ctx, pos, end)); pos = region->range.end) {
        ww_lock(&region->lock, WW_RANK_REGION);
        ww_demand_rearm(&ctx->demand, region, region->range.start, region->range.end);
        ww_unlock(&region->lock, WW_RANK_REGION);
    }
    undo_cut(ctx, cuts->last, cuts->above);
    undo_cut(ctx, cuts->below, cuts->first);
    return err;
}

/* Removes the regions in the range from the table. @disarm: the mappings are still those that were watched.
 */
static int remove_range(struct ww_context *ctx, const struct ww_range *range, bool disarm,
                        void (*gone)(uintptr_t start, uintptr_t end))
{
    struct ww_region *region;
    struct cuts cuts;
    struct ww_signals saved;
    int err = ww_enter(ctx, &saved);

    if (err) {
        return err;
    }
    ww_lock_table(ctx, range->start, range->end);
    err = cut_at_ends(ctx, range, &cuts);
    if (!err && disarm) {
        err = disarm_range(ctx, range, &cuts);
    }
    if (!err) {
        ww_demand_end(&ctx->demand, range->start, range->end);
    }
    while (!err && (region = ww_region_first(ctx, range->start, range->end))) {
        ww_region_remove(ctx, region);
        if (gone) {
            gone(region->range.start, region->range.end);
        }
        ww_region_free(region);
    }
    ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
    ww_restore_signals(&saved);
    return err;
}

WW_API int ww_unwatch(struct ww_context *ctx, void *addr, size_t len)
{
    struct ww_range range;
    int err = ww_range_exact(ctx, addr, len, &range);

    if (!err && ww_demand_in_callback(&ctx->demand)) {
        err = -EDEADLK;
    }
    if (!err) {
        err = remove_range(ctx, &range, true, NULL);
    }
    if (!err) {
        ww_demand_wait(&ctx->demand, range.start, range.end);
    }
    return err;
}

int ww_forget(struct ww_context *ctx, uintptr_t start, uintptr_t end,
              void (*gone)(uintptr_t start, uintptr_t end))
{
    struct ww_range range = { .start = start, .end = end };

    return remove_range(ctx, &range, false, gone);
}

int ww_find_next(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_range *ret_range)
{
    struct ww_range range = { .end = 0 };
    struct ww_region *region;
    struct ww_signals saved;
    int err = ww_enter(ctx, &saved);

    if (err) {
        return err;
    }
    ww_lock_read(&ctx->table_lock, WW_RANK_TABLE);
    region = ww_region_first(ctx, start, end);
    if (region) {
        range = region->range;
    }
    ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
    ww_restore_signals(&saved);
    if (!range.end) {
        return -ENOENT;
    }
    *ret_range = range;
    return 0;
}

WW_API int ww_find(struct ww_context *ctx, const void *addr, struct ww_range *ret_range)
{
    if (!ctx || !ret_range) {
        return -EINVAL;
    }
    return ww_find_next(ctx, (uintptr_t)addr, (uintptr_t)addr + 1, ret_range);
}

WW_API int ww_next(struct ww_context *ctx, const void *addr, struct ww_range *ret_range)
{
    if (!ctx || !ret_range) {
        return -EINVAL;
    }
    return ww_find_next(ctx, (uintptr_t)addr, UINTPTR_MAX, ret_range);
}
