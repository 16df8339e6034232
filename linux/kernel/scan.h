/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PAGEMAP_SCAN (6.7), on the pagemap of any process. Nothing else fills a struct pm_scan_arg; what the
 * kernel's answers mean is each caller's to know.
 */
#ifndef WW_LINUX_KERNEL_SCAN_H
#define WW_LINUX_KERNEL_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/uapi.h"

/* Regions that one ioctl returns at most: the kernel's cost for each is flat from here on. */
#define WW_SCAN_VEC_LEN 512
/* Populated memory that one ioctl walks at most, so that mmap() in other threads does not stall. */
#define WW_SCAN_BYTES ((size_t)64 << 20)

/* The kernel's fields, by the kernel's names. */
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
    size_t vec_len;          /* no longer than needed: the kernel allocates as much at each call */
};

/*
 * One ioctl. Returns the number of regions in the vector, or a negative errno. After an error the vector may
 * hold regions all the same, as many as have an end, which the kernel has reset before. *ret_walk_end, how
 * far the kernel went, is set only without an error, and need not be beyond start. errno stays; safe in
 * signal handlers.
 */
ssize_t ww_scan_pages(int pagemap, const struct ww_page_scan *scan, uint64_t *ret_walk_end);

/* PAGE_IS_GUARD where the kernel knows it (6.16), else 0. */
uint64_t ww_guard_category(int pagemap);

#endif
