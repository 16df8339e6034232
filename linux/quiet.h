/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions whose last answer was "no page", see quiet.c. What changes a region in
 * any other way than by answering for it must call ww_quiet_end() first.
 */
#ifndef WW_LINUX_QUIET_H
#define WW_LINUX_QUIET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "writewatch.h"

struct ww_context;
struct ww_region;
struct ww_scan;
struct ww_quiet_table;

#define WW_QUIET_EPOCHS 64

struct ww_quiet {
    _Atomic(struct ww_quiet_table *) table; /* NULL: nothing is noted */
    atomic_uint nr_crowded;                 /* questions that found no room for a note */
    _Atomic uint64_t epochs[WW_QUIET_EPOCHS];
};

/* Makes room for the questions of so many regions; without memory there are fewer. table_lock is
 * held for writing. */
void ww_quiet_grow(struct ww_quiet *quiet, size_t nr_regions);
void ww_quiet_destroy(struct ww_quiet *quiet);

/* Whether no page of the range is written: asked of the kernel anew, without a lock. False: unknown. */
bool ww_quiet_still(struct ww_context *ctx, const struct ww_range *range);

/* Whether the range, of whole pages, is known to lie in one region. Without a lock. */
bool ww_quiet_knows(struct ww_context *ctx, uintptr_t start, uintptr_t end);

/* One scan answered for the whole of @scan; @nothing: neither did it find a page, nor is one latched.
 * The region's lock is held. */
void ww_quiet_note(struct ww_context *ctx, const struct ww_region *region, const struct ww_scan *scan,
                   bool nothing);

/* What was noted of the region is void. Before anything is changed; the region's lock is held, or
 * table_lock for writing. */
void ww_quiet_end(struct ww_context *ctx, const struct ww_region *region);

#endif
