/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One step of an answer: scans a piece of a region through its backend, applies the
 * rule for zero pages, and merges the latch in. get.c turns the
 * steps into addresses, with no lock held.
 *
 * Once the kernel has reset a page, only this step knows that it was dirty. So the step either hands the page
 * out or puts it into the latch before the region is unlocked.
 */
#include <errno.h>
#include <string.h>

#include "context.h"
#include "failover.h"
#include "scan_step.h"

/* What a scan has found, and how far it is merged with the latch. */
struct merge {
    struct ww_demand *demand;
    const struct page_region *vec;
    size_t nr;
    size_t at;
    struct ww_range latched; /* the next run of the latch, looked up again once pos has passed it */
    bool no_more_latched;
};

/*
 * The first run of the range in which a zero page counts as written: pages that were reported
 * before, and pages on demand. Elsewhere a read of a hole maps the zero page, which is no
 * write. But the kernel may also turn a page that held data into a zero page.
 */
static bool next_counting_zero(const struct ww_region *region, const struct merge *merge, uintptr_t start,
                               uintptr_t end, struct ww_range *ret_run)
{
    bool found = ww_page_set_next(&region->reported, start, end, &ret_run->start, &ret_run->end);
    struct ww_range filled;

    if (ww_demand_next_counting(merge->demand, start, end, &filled) &&
        (!found || filled.start < ret_run->start)) {
        *ret_run = filled;
        found = true;
    }
    return found;
}

/* The next run at or after @pos that the kernel reports as written. */
static bool next_written(const struct ww_region *region, struct merge *merge, uintptr_t pos,
                         struct ww_range *ret_run)
{
    for (; merge->at < merge->nr; merge->at++) {
        const struct page_region *entry = &merge->vec[merge->at];
        uintptr_t start = entry->start > pos ? entry->start : pos;

        if (start >= entry->end) {
            continue;
        }
        if (!(entry->categories & PAGE_IS_PFNZERO)) {
            *ret_run = (struct ww_range){ .start = start, .end = entry->end };
            return true;
        }
        if (next_counting_zero(region, merge, start, entry->end, ret_run)) {
            return true;
        }
    }
    return false;
}

/* The next dirty run at or after @pos: the kernel's or the latch's, whichever begins first. */
static bool next_dirty(const struct ww_region *region, struct merge *merge, uintptr_t pos, uintptr_t end,
                       struct ww_range *ret_run)
{
    struct ww_range *latched = &merge->latched;
    bool written = next_written(region, merge, pos, ret_run);

    if (latched->end <= pos && !merge->no_more_latched) {
        merge->no_more_latched = !ww_page_set_next(&region->latch, pos, end, &latched->start, &latched->end);
    }
    if (merge->no_more_latched) {
        return written;
    }
    if (latched->start < pos) {
        latched->start = pos;
    }
    if (!written || latched->start < ret_run->start) {
        *ret_run = *latched;
    }
    return true;
}

/* Records which pages were reported, or would have been with more room. In dense memory all were before. */
static void mark_reported(struct ww_region *region, const struct ww_scan *scan, const struct page_region *vec,
                          size_t nr)
{
    for (size_t i = 0; i < nr && !scan->dense; i++) {
        if (!(vec[i].categories & PAGE_IS_PFNZERO)) {
            ww_page_set_add(&region->reported, vec[i].start, vec[i].end);
        }
    }
}

/* Puts into the latch what the kernel has reset at or after @pos and this step does not hand out. */
static void latch_rest(struct ww_context *ctx, struct ww_region *region, struct merge *merge, uintptr_t pos)
{
    struct ww_range run;

    while (next_written(region, merge, pos, &run)) {
        ww_epoch_end(&ctx->epochs, region);
        ww_page_set_add(&region->latch, run.start, run.end);
        pos = run.end;
    }
}

/* Below this length the extra scan of a dense run costs more than the faster walk gains. */
#define DENSE_BYTES ((size_t)32 << 20)

/*
 * Sets how far one scan goes, and its form. Memory is dense if all of its pages were reported
 * once: every page exists, so the scan need only ask for WRITTEN,
 * which the kernel answers two to three times as fast. With markers, holes have entries as
 * pages do. Elsewhere holes cost next to nothing, and populated memory bounds the scan.
 */
static void set_extent(const struct ww_region *region, struct ww_scan *scan)
{
    size_t bytes = region->page_size > WW_SCAN_BYTES ? region->page_size : WW_SCAN_BYTES;
    size_t max_pages = bytes >> ww_page_shift;
    uintptr_t dense_end = scan->start;

    if (region->markers) {
        dense_end = scan->end;
    } else if (!region->lost) {
        dense_end = ww_page_set_full_run(&region->reported, scan->start, scan->end);
    }
    scan->dense = dense_end - scan->start >= DENSE_BYTES || dense_end == scan->end;
    if (scan->dense) {
        scan->end = dense_end - scan->start > bytes ? scan->start + bytes : dense_end;
    } else {
        scan->end = ww_page_set_span(&region->reported, scan->start, scan->end, max_pages);
    }
    if (scan->max_pages > max_pages) {
        scan->max_pages = max_pages;
    }
}

/*
 * A resetting scan must not reset more than this step can hand out: the surplus
 * would have to go into the latch, where it outlives its page. The kernel does not know
 * that latched pages take room as well. So where there are any, one step covers
 * no more pages than there is room, or a gap without latched pages, or part
 * of a latched run, all of which is dirty anyway. Nor does it know which zero pages count: one run of them
 * may come apart into every other page.
 */
static void limit_to_room(struct ww_context *ctx, const struct ww_region *region, struct ww_scan *scan)
{
    size_t room = scan->max_pages < scan->max_runs ? scan->max_pages : scan->max_runs;
    size_t nr_pages = (scan->end - scan->start) >> ww_page_shift;
    size_t most = nr_pages < scan->max_pages ? nr_pages : scan->max_pages;
    uintptr_t start = scan->start, end = scan->end, latched, latched_end, covered;

    if (room > WW_OUT_LEN) {
        room = WW_OUT_LEN;
    }
    /* For a moment only this step knows of the surplus. */
    if (!scan->dense && most > room) {
        ww_epoch_end(&ctx->epochs, region);
    }
    covered = nr_pages > room ? start + ((uintptr_t)room << ww_page_shift) : end;
    if (!ww_page_set_next(&region->latch, start, end, &latched, &latched_end)) {
        return;
    }
    ww_epoch_end(&ctx->epochs, region);
    if (latched > start) {
        scan->end = latched > covered ? latched : covered;
    } else if ((latched_end - start) >> ww_page_shift <= scan->max_pages) {
        scan->end = latched_end > covered ? latched_end : covered;
    } else {
        scan->end = start + ((uintptr_t)scan->max_pages << ww_page_shift);
    }
}

/* Scans as far as @scan says. If the scan fails, nothing is known up to its end: all of that counts as
 * written and goes into the latch. */
static size_t scan_extent(struct ww_context *ctx, struct ww_region *region, const struct ww_scan *scan,
                          struct page_region *vec, uintptr_t *ret_next)
{
    bool lost = region->lost;
    ssize_t nr;

    if (region->arm_again) {
        ww_failover_arm_again(ctx, region);
    }
    nr = region->tracker->backend->scan(region, scan, vec, ret_next);
    if (nr == -ESTALE) {
        struct ww_scan again = *scan;

        again.again = true;
        region->lost = true;
        ww_epoch_end(&ctx->epochs, region);
        nr = region->tracker->backend->scan(region, &again, vec, ret_next);
    }
    if (region->lost && !lost) {
        ww_epoch_end(&ctx->epochs, region); /* dense memory may have holes now */
    }
    if (nr < 0) {
        ww_epoch_end(&ctx->epochs, region);
        ww_page_set_add(&region->latch, scan->start, scan->end);
        ww_failover_hand_over(ctx, region);
        *ret_next = scan->end;
        return 0;
    }
    return nr;
}

/* Walks a range and hands nothing out: dirty pages go into the latch, or are forgotten. */
static void drain_with(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end,
                       bool latch, struct ww_scratch *scratch)
{
    uintptr_t mask = region->page_size - 1;
    struct ww_scan want = {
        .start = start & ~mask,
        .end = (end + mask) & ~mask,
        .max_pages = SIZE_MAX,
        .max_runs = SIZE_MAX,
        .reset = true,
    };

    if (latch) {
        ww_epoch_end(&ctx->epochs, region);
    }
    while (want.start < want.end) {
        struct merge merge = { .demand = &ctx->demand, .vec = scratch->vec };
        struct ww_scan scan = want;
        uintptr_t next;

        set_extent(region, &scan);
        merge.nr = scan_extent(ctx, region, &scan, scratch->vec, &next);
        if (latch) {
            latch_rest(ctx, region, &merge, want.start);
        }
        mark_reported(region, &scan, scratch->vec, merge.nr);
        memset(scratch->vec, 0, merge.nr * sizeof(scratch->vec[0]));
        want.start = next;
    }
}

static int drain(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end, bool latch)
{
    struct ww_scratch *scratch = ww_scratch_get(&ctx->scratch);

    if (!scratch) {
        return -ENOMEM;
    }
    drain_with(ctx, region, start, end, latch, scratch);
    ww_scratch_put(&ctx->scratch, scratch);
    return 0;
}

/*
 * The usual case: the latch has nothing there, and the scan found no zero page.
 * Then every run counts, and fits, since the scan was limited to the room. Moves them to scratch->out. False:
 * the vector is unchanged.
 */
static bool take_plain(const struct ww_region *region, const struct ww_scan *scan, uintptr_t next,
                       struct ww_scratch *scratch, size_t nr)
{
    const struct page_region *vec = scratch->vec;
    uintptr_t latched, latched_end;

    if (ww_page_set_next(&region->latch, scan->start, next, &latched, &latched_end)) {
        return false;
    }
    for (size_t i = 0; i < nr && !scan->dense; i++) {
        if (vec[i].categories & PAGE_IS_PFNZERO) {
            return false;
        }
    }
    ww_scratch_take(scratch, nr);
    return true;
}

size_t ww_scan_step(struct ww_context *ctx, struct ww_region *region, const struct ww_scan *want,
                    struct ww_scratch *scratch, uintptr_t *ret_next, struct ww_plain_scan *ret_plain)
{
    struct merge merge = { .demand = &ctx->demand, .vec = scratch->vec };
    bool coarse = region->page_size > ww_page_size();
    size_t nr_out = 0, room = want->max_pages;
    size_t max_out = want->max_runs < WW_OUT_LEN ? want->max_runs : WW_OUT_LEN;
    uintptr_t pos = want->start, next = want->end;
    struct ww_scan scan = *want;
    struct ww_range run;

    *ret_plain = (struct ww_plain_scan){ .is_whole = false };
    if (coarse) {
        /* The kernel resets a huge page as a whole, and the caller may take a part of it. The latch keeps the
         * rest. */
        drain_with(ctx, region, want->start, want->end, true, scratch);
    } else {
        set_extent(region, &scan);
        if (scan.reset) {
            limit_to_room(ctx, region, &scan);
        }
        merge.nr = scan_extent(ctx, region, &scan, scratch->vec, &next);
        mark_reported(region, &scan, scratch->vec, merge.nr);
        if (take_plain(region, &scan, next, scratch, merge.nr)) {
            *ret_plain = (struct ww_plain_scan){ .is_whole = scan.end == want->end && next >= want->end,
                                                 .dense = scan.dense };
            *ret_next = next;
            return merge.nr;
        }
    }
    while (room && nr_out < max_out && next_dirty(region, &merge, pos, next, &run)) {
        if ((run.end - run.start) >> ww_page_shift > room) {
            run.end = run.start + ((uintptr_t)room << ww_page_shift);
        }
        room -= (run.end - run.start) >> ww_page_shift;
        scratch->out[nr_out++] = run;
        pos = run.end;
    }
    if (room && nr_out < max_out) {
        pos = next;
    }
    if (want->reset) {
        ww_page_set_remove(&region->latch, want->start, pos);
        latch_rest(ctx, region, &merge, pos);
    }
    memset(scratch->vec, 0, merge.nr * sizeof(scratch->vec[0]));
    *ret_next = pos;
    return nr_out;
}

int ww_latch_range(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end)
{
    return drain(ctx, region, start, end, true);
}

int ww_reset_range(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end)
{
    bool coarse = region->page_size > ww_page_size();
    int err = coarse ? drain(ctx, region, start, end, true) : 0;

    if (err) {
        return err;
    }
    ww_page_set_remove(&region->latch, start, end);
    return coarse ? 0 : drain(ctx, region, start, end, false);
}
