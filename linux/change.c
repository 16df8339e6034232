/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes a part of a region: moves dirty pages to the latch, starts again after pages were dropped, sets the
 * protection. The public calls take the region's lock; ww_hold_*() serve a layer that holds it already.
 */
#include <errno.h>
#include <sys/mman.h>

#include "change.h"
#include "failover.h"
#include "scan_step.h"

/* The pages are gone, and with them all that was known of them but the latch. If
 * they cannot be tracked again, they count as written, and the region goes to another
 * tracker if its own does not work any more. */
static int discard_range(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end)
{
    int err;

    ww_epoch_end(&ctx->epochs, region);
    ww_page_set_remove(&region->reported, start, end);
    err = ww_backend_discard(region, start, end);
    if (!err && region->tracker != &ctx->fallback) {
        err = ww_demand_rearm(&ctx->demand, region, start, end);
    }
    if (err) {
        ww_page_set_add(&region->latch, start, end);
        if (ww_failover_hand_over(ctx, region)) {
            return 0;
        }
    }
    return err == -EAGAIN ? -ENOMEM : err; /* no thread could be made */
}

/* ---- of a region that is held ---- */

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
    return discard_range(hold->ctx, hold->region, start, end);
}

void ww_hold_mark(struct ww_hold *hold, uintptr_t start, uintptr_t end)
{
    ww_epoch_end(&hold->ctx->epochs, hold->region);
    ww_page_set_add(&hold->region->latch, start, end);
}

/* ---- public ---- */

/* Makes one change to a range within one region. */
static int change(struct ww_context *ctx, const void *addr, size_t len,
                  int (*apply)(struct ww_context *, struct ww_region *, uintptr_t, uintptr_t))
{
    struct ww_range range;
    struct ww_hold hold;
    int err = ww_range_rounded(ctx, addr, len, &range);

    if (err) {
        return err;
    }
    do {
        err = ww_hold_to_change(ctx, &range, &hold);
        if (!err) {
            err = apply(ctx, hold.region, range.start, range.end);
            ww_hold_end(&hold);
        }
    } while (err && ww_workers_make_wanted(&ctx->workers));
    return err;
}

WW_API int ww_latch(struct ww_context *ctx, const void *addr, size_t len)
{
    return change(ctx, addr, len, ww_latch_range);
}

WW_API int ww_discard(struct ww_context *ctx, const void *addr, size_t len)
{
    return change(ctx, addr, len, discard_range);
}

WW_API int ww_protect(struct ww_context *ctx, void *addr, size_t len, int prot)
{
    struct ww_range range;
    struct ww_hold hold;
    int err =
        prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC) ? -EINVAL : ww_range_rounded(ctx, addr, len, &range);

    if (!err) {
        err = ww_hold_to_change(ctx, &range, &hold);
    }
    if (!err) {
        err = ww_backend_protect(hold.region, range.start, range.end, prot);
        ww_hold_end(&hold);
    }
    return err;
}
