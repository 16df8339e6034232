/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The epoch of a region. What changes a region in any other way than by answering for it ends the region's
 * epoch first, and with it every cached query about the region (lockless.c).
 */
#ifndef WW_LINUX_EPOCH_H
#define WW_LINUX_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

#include "region.h"

/* Regions share them: to end one too many costs a query that takes the lock. */
#define WW_NR_EPOCHS 64

struct ww_epochs {
    _Atomic uint64_t numbers[WW_NR_EPOCHS];
};

static inline unsigned int ww_epoch_index(const struct ww_region *region)
{
    return region->watch_id % WW_NR_EPOCHS;
}

/* Before the change. The region's lock is held, or table_lock for writing. */
static inline void ww_epoch_end(struct ww_epochs *epochs, const struct ww_region *region)
{
    atomic_fetch_add(&epochs->numbers[ww_epoch_index(region)], 1);
}

#endif
