/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of regions that leave the table while somebody else's code releases their memory. */
#ifndef WW_LINUX_DETACH_H
#define WW_LINUX_DETACH_H

#include "context.h"

/* A part of a region that is out of the table while its memory is being released. */
struct ww_detached {
    struct ww_region *region; /* NULL: nothing */
    bool lower, upper;        /* it was cut off a region below, above */
};

/*
 * Takes [@start, @end), within one region, out of the table, before the memory is
 * released: afterwards another thread may get and watch the same addresses at once.
 * Then either ww_detached_free(), or ww_detached_restore() if the release failed.
 * 0, -ENOENT, -ENOMEM, -ECHILD, -EOPNOTSUPP (WW_CAP_OWNS_PROT: a fault in the new
 * memory would still be looked up in the old).
 */
int ww_detach(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_detached *detached);
void ww_detached_free(struct ww_detached *detached);
void ww_detached_restore(struct ww_context *ctx, struct ww_detached *detached);

#endif
