/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fast path: queries that were answered before are answered without a lock (lockless.c). */
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

struct ww_lockless {
    _Atomic(struct ww_lockless_table *) table; /* NULL: no query is cached */
    atomic_uint nr_crowded;                    /* queries that found no room */
};

/* Makes room for queries about so many regions. Without memory there stays less. table_lock is
 * held for writing. */
void ww_lockless_grow(struct ww_lockless *lockless, size_t nr_regions);
void ww_lockless_destroy(struct ww_lockless *lockless);

/* A cached query, being answered again. */
struct ww_cached_query {
    struct ww_tracker *tracker;
    uint64_t epoch;
    unsigned int epoch_at;
    bool dense;                 /* every page exists and was reported before, and none is latched */
    bool only_nothing;          /* an answer counts only if it is "nothing" */
    unsigned int expected_runs; /* as many as the last time */
    size_t nr_runs;             /* found so far */
    void *entry;
};

/* Whether the fast path can answer the query. @reset: the caller wants what is found to be reset. */
bool ww_lockless_begin(struct ww_context *ctx, const struct ww_range *range, bool reset,
                       struct ww_cached_query *ret);

/*
 * One step of the answer. Puts runs into scratch->out, and how far it got into *ret_next, as ww_scan_step()
 * does. Returns the number of runs, or -EAGAIN: nothing is known and nothing was changed, so the slow path
 * answers the rest.
 */
ssize_t ww_lockless_step(struct ww_context *ctx, struct ww_cached_query *query, const struct ww_scan *want,
                         struct ww_scratch *scratch, uintptr_t *ret_next);

/* Whether a cached query tells that the range, of whole pages, lies in one region. Takes no lock. */
bool ww_lockless_knows(struct ww_context *ctx, uintptr_t start, uintptr_t end);

/* Caches a query: one scan has answered for the whole of @range, with so many runs, by the kernel's bits
 * alone. The region's lock is held. */
void ww_lockless_remember(struct ww_context *ctx, const struct ww_region *region,
                          const struct ww_range *range, bool dense, size_t nr_runs);

#endif
