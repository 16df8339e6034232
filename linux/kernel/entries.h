/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of /proc about a process' memory, and the entries of pagemap. */
#ifndef WW_LINUX_KERNEL_ENTRIES_H
#define WW_LINUX_KERNEL_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An entry of /proc/PID/pagemap, 8 bytes a page (Documentation/admin-guide/mm/pagemap.rst). */
#define PM_PFN ((UINT64_C(1) << 55) - 1)    /* 0 if the reader may not know it (4.2) */
#define PM_SOFT_DIRTY (UINT64_C(1) << 55)   /* 3.11 */
#define PM_EXCLUSIVE (UINT64_C(1) << 56)    /* 4.2: no other process maps the page */
#define PM_UFFD_WP (UINT64_C(1) << 57)      /* 5.14 */
#define PM_GUARD_REGION (UINT64_C(1) << 58) /* 6.15 */
#define PM_FILE (UINT64_C(1) << 61)         /* 3.5 */
#define PM_SWAP (UINT64_C(1) << 62)
#define PM_PRESENT (UINT64_C(1) << 63)

/* Opens a file of a process for reading; @pid 0 is this process. A descriptor or a negative errno. */
int ww_proc_open(pid_t pid, const char *name);

/*
 * Reads the entries of up to @nr pages from @addr on. Returns how many, 0 if the process has no memory any
 * more, or a negative errno.
 */
ssize_t ww_entries_read(int fd, uint64_t addr, uint64_t *ret_entries, size_t nr);

/*
 * Calls @found for each run of pages of this process, from @start to @end, that exist. @shared: pages in
 * memory; else also those swapped out, but none that a userfaultfd write-protects. Where nobody can tell, all
 * of the range is.
 */
void ww_existing_pages(uintptr_t start, uintptr_t end, bool shared,
                       void (*found)(void *arg, uintptr_t start, uintptr_t end), void *arg);

/* What this kernel shows of pages of our own, found by a test on them. */
struct ww_page_facts {
    bool soft_dirty;   /* the kernel keeps PM_SOFT_DIRTY */
    bool guard;        /* the kernel keeps PM_GUARD_REGION */
    uint64_t zero_pfn; /* frame number of the zero page; 0: the kernel hides it */
};

void ww_page_facts_learn(struct ww_page_facts *ret_facts);

/* Whether entries show write-protection by a userfaultfd. */
bool ww_page_facts_uffd_wp(void);

#endif
