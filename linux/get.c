/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers: the written pages of a range in the caller's array, or their number, and
 * resets. The fast path answers a query that is cached without a lock (lockless.c). The slow path goes
 * step by step, and holds the region's lock for one step at a time (scan_step.c).
 */
#include <errno.h>
#include <string.h>

#include "context.h"
#include "hold.h"
#include "scan_step.h"

/* Where the answer goes, and how much more fits. */
struct sink {
    void **pages;            /* takes pages, or */
    struct ww_range *ranges; /* takes runs, or neither: counts */
    size_t room;             /* of pages or runs */
    size_t nr;               /* handed out so far: runs in ranges, else pages */
};

/* A step finds no more than there is room for. */
static void limit(struct ww_scan *want, const struct sink *sink)
{
    want->max_pages = sink->pages ? sink->room : SIZE_MAX;
    want->max_runs = sink->ranges ? sink->room : SIZE_MAX;
}

static void take_pages(struct sink *sink, const struct ww_range *runs, size_t nr)
{
    uintptr_t page = ww_page_size();
    void **out = sink->pages + sink->nr;

    for (size_t i = 0; i < nr; i++) {
        for (uintptr_t addr = runs[i].start; addr < runs[i].end; addr += page) {
            *out++ = (void *)addr;
        }
    }
    sink->room -= out - (sink->pages + sink->nr);
    sink->nr = out - sink->pages;
}

static void take_runs(struct sink *sink, const struct ww_range *runs, size_t nr)
{
    if (sink->pages) {
        take_pages(sink, runs, nr);
    } else if (sink->ranges) {
        memcpy(sink->ranges + sink->nr, runs, nr * sizeof(*runs));
        sink->nr += nr;
        sink->room -= nr;
    } else {
        for (size_t i = 0; i < nr; i++) {
            sink->nr += (runs[i].end - runs[i].start) >> ww_page_shift;
        }
    }
}

/* The fast path. Advances want->start as far as it gets: to the end, as a rule. */
static void get_lockless(struct ww_context *ctx, struct ww_scan *want, struct ww_scratch *scratch,
                         struct sink *sink)
{
    const struct ww_range range = { .start = want->start, .end = want->end };
    struct ww_cached_query query;

    if (!ww_lockless_begin(ctx, &range, want->reset, &query)) {
        return;
    }
    while (want->start < want->end && sink->room) {
        ssize_t nr;

        limit(want, sink);
        nr = ww_lockless_step(ctx, &query, want, scratch, &want->start);
        if (nr < 0) {
            return;
        }
        take_runs(sink, scratch->out, nr);
    }
}

/* One step of the slow path. The number of runs in scratch->out, or a negative errno. */
static ssize_t get_step(struct ww_context *ctx, struct ww_scan *want, struct ww_scratch *scratch)
{
    const struct ww_range rest = { .start = want->start, .end = want->end };
    struct ww_plain_scan plain;
    struct ww_hold hold;
    size_t nr;
    int err = ww_hold_to_read(ctx, &rest, &hold);

    if (err) {
        return err;
    }
    nr = ww_scan_step(ctx, hold.region, want, scratch, &want->start, &plain);
    if (plain.is_whole) {
        ww_lockless_remember(ctx, hold.region, &rest, plain.dense, nr);
    }
    ww_hold_end(&hold);
    return nr;
}

/*
 * Walks the range step by step. The sink takes the runs of a step with
 * no lock held and no signal blocked, because the store into the caller's array may fault.
 */
static ssize_t get(struct ww_context *ctx, const struct ww_range *range, unsigned int flags,
                   struct sink *sink)
{
    struct ww_scan want = { .start = range->start, .end = range->end, .reset = flags & WW_GET_RESET };
    struct ww_scratch *scratch;
    ssize_t nr = 0;

    ww_workers_make_wanted(&ctx->workers);
    scratch = ww_scratch_get(&ctx->scratch);
    if (!scratch) {
        return -ENOMEM;
    }
    get_lockless(ctx, &want, scratch, sink);
    while (want.start < want.end && sink->room) {
        limit(&want, sink);
        nr = get_step(ctx, &want, scratch);
        if (nr < 0) {
            break;
        }
        take_runs(sink, scratch->out, nr);
    }
    ww_scratch_put(&ctx->scratch, scratch);
    /* If the region goes away in the middle, the answer ends there. */
    return nr < 0 && want.start == range->start ? nr : (ssize_t)sink->nr;
}

WW_API ssize_t ww_get_pages(struct ww_context *ctx, const void *addr, size_t len, unsigned int flags,
                            void **ret_pages, size_t capacity)
{
    struct sink sink = { .pages = ret_pages, .room = capacity };
    struct ww_range range;
    int err = ww_range_rounded(ctx, addr, len, &range);

    if (err || (flags & ~WW_GET_RESET) || !ret_pages || !capacity) {
        return err ? err : -EINVAL;
    }
    return get(ctx, &range, flags, &sink);
}

WW_API ssize_t ww_get_ranges(struct ww_context *ctx, const void *addr, size_t len, unsigned int flags,
                             struct ww_range *ret_ranges, size_t capacity)
{
    struct sink sink = { .ranges = ret_ranges, .room = capacity };
    struct ww_range range;
    int err = ww_range_rounded(ctx, addr, len, &range);

    if (err || (flags & ~WW_GET_RESET) || !ret_ranges || !capacity) {
        return err ? err : -EINVAL;
    }
    return get(ctx, &range, flags, &sink);
}

WW_API ssize_t ww_count(struct ww_context *ctx, const void *addr, size_t len)
{
    struct sink sink = { .room = SIZE_MAX };
    struct ww_range range;
    int err = ww_range_rounded(ctx, addr, len, &range);

    return err ? err : get(ctx, &range, 0, &sink);
}

/* Whether the fast path finds the range clean. */
static bool is_clean(struct ww_context *ctx, const struct ww_range *range)
{
    struct ww_scan want = { .start = range->start, .end = range->end, .reset = true };
    struct ww_scratch *scratch = ww_scratch_get(&ctx->scratch);
    struct sink sink = { .room = SIZE_MAX };

    if (!scratch) {
        return false;
    }
    get_lockless(ctx, &want, scratch, &sink);
    ww_scratch_put(&ctx->scratch, scratch);
    return want.start == range->end;
}

WW_API int ww_reset(struct ww_context *ctx, const void *addr, size_t len)
{
    struct ww_range range;
    struct ww_hold hold;
    int err = ww_range_rounded(ctx, addr, len, &range);

    if (err) {
        return err;
    }
    ww_workers_make_wanted(&ctx->workers);
    if (is_clean(ctx, &range)) {
        return 0;
    }
    err = ww_hold_to_read(ctx, &range, &hold);
    if (!err) {
        err = ww_reset_range(ctx, hold.region, range.start, range.end);
        ww_hold_end(&hold);
    }
    return err;
}
