/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mappings that are left for the program. */
#ifndef WW_LINUX_KERNEL_HEADROOM_H
#define WW_LINUX_KERNEL_HEADROOM_H

/* One part in so many of vm.max_map_count is kept for the program. */
#define WW_HEADROOM_PART 16

/* Before a watch begins: 0, or -ENOMEM (regions have taken so many mappings that too few are free). */
int ww_headroom_take(void);

/* So many regions more; negative: fewer. */
void ww_headroom_add_region(long nr);

#endif
