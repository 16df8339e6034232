/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libwritewatch: the pages of this process or of another by category: present, swapped, of a file, written
 * since they were write-protected, and so on.
 *
 * This is the kernel's PAGEMAP_SCAN (Linux 6.7, Documentation/admin-guide/mm/pagemap.rst) with its names and
 * meanings. If the kernel lacks it, plain reads of /proc/PID/pagemap answer the same scans, as far as they
 * can; ww_pagemap_categories() says how far. A scan that cannot be answered is an error, never a wrong
 * answer.
 *
 * Watches (writewatch.h) need none of this. It serves snapshots, dumps and inspection.
 *
 * Errors are negative errno values. Threads: any thread may call. Only one at a time may use a handle;
 * handles are independent. Not from signal handlers.
 */
#ifndef WRITEWATCH_PAGEMAP_H
#define WRITEWATCH_PAGEMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The categories of a page: bits of all the masks below. The values are the kernel's. */
enum ww_page_category {
    WW_PAGE_IS_WPALLOWED = 1u << 0,  /* in memory that a userfaultfd tracks by WP_ASYNC */
    WW_PAGE_IS_WRITTEN = 1u << 1,    /* not write-protected by a userfaultfd, see below */
    WW_PAGE_IS_FILE = 1u << 2,       /* of a file, or of shared memory */
    WW_PAGE_IS_PRESENT = 1u << 3,    /* in memory */
    WW_PAGE_IS_SWAPPED = 1u << 4,    /* swapped out, or a marker in the page tables */
    WW_PAGE_IS_PFNZERO = 1u << 5,    /* the kernel's zero page */
    WW_PAGE_IS_HUGE = 1u << 6,       /* mapped as part of a huge page */
    WW_PAGE_IS_SOFT_DIRTY = 1u << 7, /* written since 4 was written to /proc/PID/clear_refs */
    WW_PAGE_IS_GUARD = 1u << 8,      /* of a guard region (MADV_GUARD_INSTALL): Linux 6.16, by reads 6.15 */
};

/* Flags of a scan, as in the kernel. */
enum ww_pm_scan_flag {
    /* Write-protect the pages that are returned, if WP_ASYNC tracks them, in one atomic step. Leaves
     * untracked memory as it is. Resets pages for whoever tracks them: the watches of a context in that
     * process do not see those writes any more. */
    WW_PM_SCAN_WP_MATCHING = 1u << 0,
    /* Fail with -EPERM at memory that WP_ASYNC does not track. */
    WW_PM_SCAN_CHECK_WPASYNC = 1u << 1,
};

/*
 * The filter and the range of a scan. Set unused fields to 0. A page of categories c matches if
 *
 *     x = c ^ category_inverted
 *     (x & category_mask) == category_mask
 *     category_anyof_mask == 0 || (x & category_anyof_mask) != 0
 *
 * So a category that must not be set goes into category_inverted and category_mask. Pages of a mapping
 * that do not exist yet are pages too, mostly of no category: an empty filter matches them. Addresses
 * between mappings, and mappings of device memory (VM_PFNMAP), never match.
 */
struct ww_pagemap_scan {
    uint64_t flags;    /* enum ww_pm_scan_flag */
    uint64_t start;    /* an address, a multiple of the page size */
    uint64_t end;      /* the scan stops before it; rounded up to the page size */
    uint64_t walk_end; /* out: how far the scan got; if not less than end, it is complete */
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask; /* the categories to return */
    uint64_t max_pages;   /* return at most this many pages; 0: any number */
};

/* Pages from start up to, not including, end, that agree in the categories of return_mask. */
struct ww_page_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

/* The pages of one process. */
struct ww_pagemap;

/*
 * Opens the pages of the process @pid; 0 is this process. The handle stays with that process, and never
 * shows another one that gets its number later. A process that executes another program counts as ended.
 *
 * Uses the ioctl if the kernel has it without known bugs (from 6.8.10), else reads. The environment
 * variable WW_PAGEMAP (ignored in setuid programs) selects one of them, "ioctl" or "read"; opening fails
 * if that does not work.
 *
 * Returns 0; -EINVAL (ret_pagemap NULL, pid negative, WW_PAGEMAP unknown); -ESRCH (no such process, or one
 * without memory, such as kernel threads and zombies; for these the kernel returns -EACCES to users other
 * than root); -EACCES or -EPERM (not allowed: it needs what ptrace(2) calls read access); -ENOENT (no
 * /proc, or one without pagemap); -ENOTTY (WW_PAGEMAP asks for the ioctl, and the kernel lacks it) or
 * -EOPNOTSUPP (it has a known bug); -ENOMEM; -EMFILE, -ENFILE. Costs about a tenth of a millisecond.
 */
int ww_pagemap_open(struct ww_pagemap **ret_pagemap, pid_t pid);

/* Frees a handle. NULL is allowed. */
void ww_pagemap_close(struct ww_pagemap *pagemap);

/* Who answers the scans, for display: "ioctl" or "read". Static. */
const char *ww_pagemap_source(const struct ww_pagemap *pagemap);

/*
 * The categories that this handle can report: bits of enum ww_page_category.
 *
 * SOFT_DIRTY is among them only if the kernel keeps track of it. Reads report PRESENT, SWAPPED and FILE;
 * WRITTEN from Linux 5.14; PFNZERO with CAP_SYS_ADMIN; GUARD from 6.15. They cannot report HUGE (a huge
 * page looks the same when it is mapped in small pieces) nor WPALLOWED (the kernel does not show the kind
 * of userfaultfd).
 */
uint64_t ww_pagemap_categories(const struct ww_pagemap *pagemap);

/* The flags that ww_pagemap_scan() accepts here: bits of enum ww_pm_scan_flag; none with reads. */
uint64_t ww_pagemap_flags(const struct ww_pagemap *pagemap);

/*
 * Finds the pages of [@scan->start, @scan->end) that match, and writes them to @vec: ascending, at most
 * @vec_len regions and @scan->max_pages pages. Neighbours of equal categories are one region, except where
 * one call ends and the next goes on.
 *
 * @scan->walk_end says where to go on: call again with start = walk_end until walk_end is not less than
 * end. An end beyond the address space counts as the end of that. If an error occurs in the middle of the
 * range, the call returns what it found, and a later call that has nothing to return returns the error.
 *
 * WRITTEN is what the kernel says it is. Up to Linux 7.2, a page in any memory is WRITTEN if it exists and
 * no userfaultfd write-protects it; from 7.3, only in tracked memory. Whether a page that does not exist
 * is WRITTEN differs between kernels and with the masks: ask for PRESENT or SWAPPED as well.
 *
 * A hugetlb page cannot be write-protected in part: with WP_MATCHING, start, end and max_pages must not
 * cut one.
 *
 * Returns the number of regions; -EINVAL (NULL, vec_len 0, start not aligned, end before start, unknown
 * bits, a hugetlb page would be cut); -EOPNOTSUPP (a mask has a category, or flags a flag, that this
 * handle does not support); -EPERM (CHECK_WPASYNC); -ESRCH (the process has ended, also during the scan);
 * -ECHILD (the handle of a parent process for itself); -EACCES, -EIO (/proc). On error nothing is written
 * to @scan, nor to @vec but with -ESRCH.
 *
 * Cost with the ioctl: two to ten nanoseconds per page that exists, some 50 more per region, and next to
 * nothing for memory that was never touched. The scan delays mmap() in other threads for no longer than it
 * takes for 64 MB, or once, where sparse memory becomes dense, for 16 GB. With reads, each call reads the
 * list of mappings, and within mappings the cost is per page of address space: see ww_pagemap_scan(3). A
 * filter that matches pages of no category then costs a walk through all memory of the process
 * (/proc/PID/smaps).
 */
ssize_t ww_pagemap_scan(struct ww_pagemap *pagemap, struct ww_pagemap_scan *scan, struct ww_page_region *vec,
                        size_t vec_len);

#ifdef __cplusplus
}
#endif

#endif
