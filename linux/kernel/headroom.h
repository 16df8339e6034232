/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mappings reserved for the program. */
#ifndef WW_LINUX_KERNEL_HEADROOM_H
#define WW_LINUX_KERNEL_HEADROOM_H

/* The program's reserve: this fraction of vm.max_map_count. */
#define WW_HEADROOM_PART 16

/* Call before a watch begins. 0, or -ENOMEM (regions have taken so many mappings that too few are free). */
int ww_headroom_take(void);

/* Counts regions; @nr is negative when they end. */
void ww_headroom_add_region(long nr);

#endif
