/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PAGEMAP_SCAN (6.7) on the pagemap of any process. Nothing else fills a struct pm_scan_arg. Each caller
 * knows what the kernel's answer means for it.
 */
#ifndef WW_LINUX_KERNEL_SCAN_H
#define WW_LINUX_KERNEL_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/uapi.h"

/* The most regions that one ioctl returns. A longer vector does not lower the cost of a region. */
#define WW_SCAN_VEC_LEN 512
/* The most populated memory that one ioctl walks, so that mmap() in other threads does not stall. */
#define WW_SCAN_BYTES ((size_t)64 << 20)

/* Fields and names are the kernel's. */
struct ww_page_scan {
    uint64_t start;
    uint64_t end;
    uint64_t flags;     /* PM_SCAN_WP_MATCHING, PM_SCAN_CHECK_WPASYNC */
    uint64_t max_pages; /* 0: any number */
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
    struct page_region *vec; /* not NULL, and never in watched memory; all zero where errors matter */
    size_t vec_len;          /* no longer than needed: the kernel allocates as much in each call */
};

/*
 * Makes one ioctl. Returns the number of regions in the vector, or a negative errno. After an error the
 * vector may still hold regions, those with an end; the kernel has already reset them. *ret_walk_end, how
 * far the kernel went, is set only without an error, and need not be beyond start. Preserves errno; safe
 * in signal handlers.
 */
ssize_t ww_scan_pages(int pagemap, const struct ww_page_scan *scan, uint64_t *ret_walk_end);

/* PAGE_IS_GUARD if the kernel knows it (6.16), else 0. */
uint64_t ww_guard_category(int pagemap);

#endif
