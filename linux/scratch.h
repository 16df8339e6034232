/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for one call at work: what the kernel writes a scan's regions into, and what goes to the caller. Its
 * pages are present, so that a scan does not fault on its vector, and never in watched memory.
 */
#ifndef WW_LINUX_SCRATCH_H
#define WW_LINUX_SCRATCH_H

#include <stdatomic.h>

#include "kernel/scan.h"
#include "writewatch.h"

/* At most this much of the caller's content is copied at once. */
#define WW_BOUNCE_BYTES ((size_t)64 << 10)
/* Runs one step of an answer can hand out: what a scan finds, and as many from the latch. */
#define WW_OUT_LEN (2 * WW_SCAN_VEC_LEN)
/* Kept for the next call. */
#define WW_NR_SPARE_SCRATCH 8

struct ww_scratch {
    struct page_region vec[WW_SCAN_VEC_LEN]; /* all zero between scans */
    union {
        struct ww_range out[WW_OUT_LEN];
        char bounce[WW_BOUNCE_BYTES]; /* what ww_fill() installs */
    };
};

struct ww_scratch_pool {
    _Atomic(struct ww_scratch *) spare[WW_NR_SPARE_SCRATCH];
};

/* One for this thread until ww_scratch_put(). NULL: no memory. No lock is needed. */
struct ww_scratch *ww_scratch_get(struct ww_scratch_pool *pool);
void ww_scratch_put(struct ww_scratch_pool *pool, struct ww_scratch *scratch);
void ww_scratch_destroy(struct ww_scratch_pool *pool);

/* Copies @nr regions from vec to out, and clears them in vec. Returns @nr. */
size_t ww_scratch_take(struct ww_scratch *scratch, size_t nr);

#endif
