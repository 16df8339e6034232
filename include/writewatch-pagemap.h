/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libwritewatch: the pages of this process or of another by what they are:
 * present, swapped, of a file, written since they were protected, and so on.
 *
 * This is the kernel's PAGEMAP_SCAN (Linux 6.7, Documentation/admin-guide/mm/
 * pagemap.rst) with its names and its meanings. Where the kernel lacks it, the
 * same questions are answered from plain reads of /proc/PID/pagemap, as far as
 * those can tell: ww_pagemap_categories() says how far. A question that cannot
 * be answered is an error, never a wrong answer.
 *
 * Watches (writewatch.h) need none of this. It is for snapshots, dumps and
 * people who want to look.
 *
 * Errors are negative errno values. Threads: any thread may call, a handle is used
 * by one at a time; handles are independent. Not from signal handlers.
 */
#ifndef WRITEWATCH_PAGEMAP_H
#define WRITEWATCH_PAGEMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a page is: the bits of all the masks below. Values are the kernel's. */
enum ww_page_category {
    WW_PAGE_IS_WPALLOWED = 1u << 0,  /* in memory that a userfaultfd tracks by WP_ASYNC */
    WW_PAGE_IS_WRITTEN = 1u << 1,    /* not write-protected by a userfaultfd, see below */
    WW_PAGE_IS_FILE = 1u << 2,       /* of a file, or of shared memory */
    WW_PAGE_IS_PRESENT = 1u << 3,    /* in memory */
    WW_PAGE_IS_SWAPPED = 1u << 4,    /* swapped out; markers in the page tables count as well */
    WW_PAGE_IS_PFNZERO = 1u << 5,    /* the kernel's page of zeros */
    WW_PAGE_IS_HUGE = 1u << 6,       /* mapped as part of a huge page */
    WW_PAGE_IS_SOFT_DIRTY = 1u << 7, /* written since 4 was written to /proc/PID/clear_refs */
    WW_PAGE_IS_GUARD = 1u << 8,      /* of a guard region (MADV_GUARD_INSTALL): Linux 6.16, by reads 6.15 */
};

/* Flags of a scan, as the kernel has them. */
enum ww_pm_scan_flag {
    /* Write-protect the pages that are returned, where WP_ASYNC tracks them, in
     * one atomic step. Memory that is not tracked is left as it is. */
    WW_PM_SCAN_WP_MATCHING = 1u << 0,
    /* Fail with -EPERM at memory that is not tracked by WP_ASYNC. */
    WW_PM_SCAN_CHECK_WPASYNC = 1u << 1,
};

/*
 * What is asked for. All that is not set is 0. A page of categories c matches if
 *
 *     x = c ^ category_inverted
 *     (x & category_mask) == category_mask
 *     category_anyof_mask == 0 || (x & category_anyof_mask) != 0
 *
 * so a category that must not be set stands in category_inverted and in
 * category_mask. Pages of a mapping that do not exist yet are pages too, mostly
 * of no category: an empty filter matches them. Addresses between mappings, and
 * mappings of device memory (VM_PFNMAP), never match.
 */
struct ww_pagemap_scan {
    uint64_t flags;    /* enum ww_pm_scan_flag */
    uint64_t start;    /* an address, a multiple of the page size */
    uint64_t end;      /* the scan stops before it; rounded up to pages */
    uint64_t walk_end; /* out: how far the scan got; not less than end: it is complete */
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask; /* the categories to tell */
    uint64_t max_pages;   /* return at most so many pages; 0: any number */
};

/* Pages from start up to, not including, end, of the same categories as far as return_mask asks. */
struct ww_page_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

/* The pages of one process. */
struct ww_pagemap;

/*
 * Opens the pages of the process @pid; 0 is this one. What is opened stays with
 * that process: it is never taken for another one that gets its number later.
 * One that executes another program counts as ended.
 *
 * The ioctl is used where the kernel has it and has it right (from 6.8.10), reads
 * elsewhere. The environment variable WW_PAGEMAP (ignored in setuid programs)
 * takes one of them, "ioctl" or "read", or fails.
 *
 * Returns 0; -EINVAL (ret_pagemap NULL, pid negative, WW_PAGEMAP unknown);
 * -ESRCH (no such process, or one without memory, as threads of the kernel and
 * zombies are; to others than root the kernel says -EACCES of these); -EACCES or
 * -EPERM (not allowed: it takes what ptrace(2) calls
 * read access); -ENOENT (no /proc, or one without pagemap); -ENOTTY (WW_PAGEMAP asks
 * for an ioctl that the kernel does not have) or -EOPNOTSUPP (has with a known
 * bug); -ENOMEM; -EMFILE, -ENFILE. Costs about a tenth of a millisecond.
 */
int ww_pagemap_open(struct ww_pagemap **ret_pagemap, pid_t pid);

/* Frees a handle. NULL is allowed. */
void ww_pagemap_close(struct ww_pagemap *pagemap);

/* Where the answers come from, for people: "ioctl" or "read". Static. */
const char *ww_pagemap_source(const struct ww_pagemap *pagemap);

/*
 * The categories that can be told here: bits of enum ww_page_category.
 *
 * SOFT_DIRTY is among them only where the kernel keeps track of it, whichever way
 * it is asked. Reads tell PRESENT, SWAPPED and FILE; WRITTEN from Linux 5.14;
 * PFNZERO with CAP_SYS_ADMIN; GUARD from 6.15. They cannot tell HUGE (a huge page
 * looks the same when it is mapped in small pieces) nor WPALLOWED (the kernel
 * does not say which kind of userfaultfd it is).
 */
uint64_t ww_pagemap_categories(const struct ww_pagemap *pagemap);

/* The flags that ww_pagemap_scan() takes here: bits of enum ww_pm_scan_flag; none with reads. */
uint64_t ww_pagemap_flags(const struct ww_pagemap *pagemap);

/*
 * Looks for the pages of [@scan->start, @scan->end) that match, and writes them to
 * @vec: ascending, at most @vec_len regions and @scan->max_pages pages. Neighbours
 * of equal categories are one region, except where one call ends and the next
 * goes on.
 *
 * @scan->walk_end says where to go on: call again with start = walk_end until
 * walk_end is not less than end. An end beyond the address space is taken as its
 * end. An error in the middle of the range appears when a call has nothing
 * else to return.
 *
 * WRITTEN is what the kernel says it is. A page that exists and is not
 * write-protected by a userfaultfd is WRITTEN up to Linux 7.2, in any memory;
 * from 7.3, in tracked memory alone. Whether a page that does not exist is WRITTEN
 * differs between kernels, and with the masks: ask for PRESENT or SWAPPED as well.
 *
 * A hugetlb page cannot be write-protected in part: with WP_MATCHING, start, end
 * and max_pages must not cut one.
 *
 * Returns the number of regions; -EINVAL (NULL, vec_len 0, start not aligned, end
 * before start, unknown bits, a hugetlb page would be cut); -EOPNOTSUPP (a mask has a
 * category, or flags a flag, that cannot be had here); -EPERM (CHECK_WPASYNC);
 * -ESRCH (the process has ended, also if it did so during the scan); -ECHILD (a
 * handle of a parent process for itself); -EACCES, -EIO (/proc). On error
 * nothing is written to @scan or @vec.
 *
 * Costs, with the ioctl, two to ten nanoseconds a page that exists, next to
 * nothing for memory that was never touched, and some 50 more a region; other threads'
 * mmap() is not held up for longer than a scan of 64 MB takes, or once, where
 * sparse memory becomes dense, of 16 GB. With reads, each call reads the list
 * of mappings, and inside mappings costs are per page of address space: see
 * ww_pagemap_scan(3). A filter that matches pages of no category costs a walk
 * through all memory of the process then (/proc/PID/smaps).
 */
ssize_t ww_pagemap_scan(struct ww_pagemap *pagemap, struct ww_pagemap_scan *scan, struct ww_page_region *vec,
                        size_t vec_len);

#ifdef __cplusplus
}
#endif

#endif
