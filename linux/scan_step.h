/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scans of a region, by its backend. The region's lock is held. */
#ifndef WW_LINUX_SCAN_STEP_H
#define WW_LINUX_SCAN_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ww_context;
struct ww_region;
struct ww_scan;
struct ww_scratch;

/* Whether the kernel's bits were all there was to say. */
struct ww_plain_scan {
    bool is_whole; /* one scan answered for all that was wanted, with no page from the latch */
    bool dense;    /* that scan was */
};

/*
 * Reports dirty pages of [want->start, want->end), at most want->max_pages of
 * them in want->max_runs runs, in scratch->out. Sets *ret_next to where to go on: want->end when
 * all is said. Returns the number of runs, which may be 0 before the end.
 */
size_t ww_scan_step(struct ww_context *ctx, struct ww_region *region, const struct ww_scan *want,
                    struct ww_scratch *scratch, uintptr_t *ret_next, struct ww_plain_scan *ret_plain);

/* Moves what is dirty in the page tables into the latch. 0 or -ENOMEM. */
int ww_latch_range(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end);

/* Forgets what was written. What a failing scan leaves in the latch stays. 0 or -ENOMEM. */
int ww_reset_range(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end);

#endif
