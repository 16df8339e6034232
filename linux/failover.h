/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trackers that fail. The region's lock is held. */
#ifndef WW_LINUX_FAILOVER_H
#define WW_LINUX_FAILOVER_H

#include <stdbool.h>

struct ww_context;
struct ww_region;

/* Begins to track a region. 0 or a negative errno, after which the fallback has it. */
int ww_failover_arm(struct ww_context *ctx, struct ww_region *region);

/* Arms a region that could not be armed before because something was short (region->arm_again). */
void ww_failover_arm_again(struct ww_context *ctx, struct ww_region *region);

/*
 * Hands a region whose scan has failed to the tracker that is in use now, if its own does not work any more.
 * Returns whether it did. A region with pages on demand stays with its tracker as long as that serves them:
 * between two trackers its missing pages would be zeros.
 */
bool ww_failover_hand_over(struct ww_context *ctx, struct ww_region *region);

#endif
