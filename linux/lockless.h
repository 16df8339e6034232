/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions that were answered before, see lockless.c. What changes a region in
 * any other way than by answering for it must call ww_epoch_end() first.
 */
#ifndef WW_LINUX_LOCKLESS_H
#define WW_LINUX_LOCKLESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "writewatch.h"

struct ww_context;
struct ww_region;
struct ww_scan;
struct ww_scratch;
struct ww_tracker;
struct ww_lockless_table;

#define WW_NR_EPOCHS 64

struct ww_lockless {
    _Atomic(struct ww_lockless_table *) table; /* NULL: nothing is noted */
    atomic_uint nr_crowded;                    /* questions that found no room for a note */
    _Atomic uint64_t epochs[WW_NR_EPOCHS];
};

/* Makes room for the questions of so many regions; without memory there are fewer. table_lock is
 * held for writing. */
void ww_lockless_grow(struct ww_lockless *quiet, size_t nr_regions);
void ww_lockless_destroy(struct ww_lockless *quiet);

/* What is known of a question that was asked before. */
struct ww_cached_query {
    struct ww_tracker *tracker;
    uint64_t epoch;
    unsigned int epoch_at;
    bool dense;                 /* every page exists and was reported before, and none is latched */
    bool only_nothing;          /* what is found is no answer, unless it is nothing */
    unsigned int expected_runs; /* as many as the last time */
    size_t nr_runs;             /* found so far */
    void *note;
};

/* Whether the question can be asked without a lock now, with or without a reset of what is found. */
bool ww_lockless_begin(struct ww_context *ctx, const struct ww_range *range, bool reset,
                       struct ww_cached_query *ret);

/*
 * One step of its answer, as ww_scan_step() gives it: what is found is in scratch->out, and *ret_next says
 * how far it got. Returns the number of runs, or -EAGAIN: nothing is known, nothing was changed, and the rest
 * is to be asked in the ordinary way.
 */
ssize_t ww_lockless_step(struct ww_context *ctx, struct ww_cached_query *question, const struct ww_scan *want,
                         struct ww_scratch *scratch, uintptr_t *ret_next);

/* Whether the range, of whole pages, is known to lie in one region. Without a lock. */
bool ww_lockless_knows(struct ww_context *ctx, uintptr_t start, uintptr_t end);

/* One scan answered for the whole of @scan, with so many runs; no page of it is latched. The region's lock
 * is held. */
void ww_lockless_remember(struct ww_context *ctx, const struct ww_region *region, const struct ww_scan *scan,
                          size_t nr_runs);

/* What was noted of the region is void. Before anything is changed; the region's lock is held, or
 * table_lock for writing. */
void ww_epoch_end(struct ww_context *ctx, const struct ww_region *region);

#endif
