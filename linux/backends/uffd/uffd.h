/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the uffd backend (uffd.c), its requests, its self test, and its pager of missing pages (pager.c).
 */
#ifndef WW_LINUX_BACKENDS_UFFD_UFFD_H
#define WW_LINUX_BACKENDS_UFFD_UFFD_H

#include "backend.h"
#include "kernel/fd.h"

struct uffd {
    int fd;                       /* userfaultfd */
    int pagemap;                  /* /proc/self/pagemap; opened early, so it outlives PR_SET_DUMPABLE */
    struct ww_fd opened[2];       /* the same two, to check them before they are used or closed */
    uint64_t guard;               /* PAGE_IS_GUARD, or 0 if the kernel does not know it */
    bool moves_bits;              /* the kernel leaves write-protect bits in pages that mremap(2) moves */
    bool full;                    /* fd also gets the faults of system calls */
    atomic_bool has_stale_ranges; /* a range could not be unregistered */
    struct uffd_pager *pager;     /* NULL until something is filled on demand */
    struct ww_fd placeholder;     /* if the pager gave up: the file that has the descriptor's number */
};

/* Without these steps nothing can be filled, but writes are still tracked. */
#define WW_UFFD_FILL_STEPS (WW_STEP_BIT(WW_STEP_COPY) | WW_STEP_BIT(WW_STEP_POISON))

/* ---- requests.c; 0 or a negative errno unless said ---- */

/* @mode: UFFDIO_REGISTER_MODE_*. Idempotent: memory that is registered already stays as it is. After an error
 * part of the range may be registered: -ENOMEM, or -EOPNOTSUPP (missing pages of hugetlb). */
int ww_uffd_register(const struct uffd *uffd, uintptr_t start, uintptr_t end, int mode);

/* 0, or -ENOMEM: the kernel could not cut a mapping, and some of the range is still registered. */
int ww_uffd_unregister(struct uffd *uffd, uintptr_t start, uintptr_t end);

/* @mode UFFDIO_WRITEPROTECT_MODE_WP: makes every page of the range clean, and gives missing ones a
 * write-protect marker. 0: makes each page that exists dirty, and takes markers away. */
int ww_uffd_protect(const struct uffd *uffd, const struct ww_region *region, uintptr_t start, uintptr_t end,
                    uint64_t mode);

/* Removes the write-protect bit from pages of the range that exist. */
int ww_uffd_unprotect_present(const struct uffd *uffd, uintptr_t start, uintptr_t end);

/* Makes one ioctl, for scan() and scan_lockless() alike. Returns the number of entries, or a negative errno
 * after which @vec is still all zero. */
ssize_t ww_uffd_scan(struct ww_tracker *tracker, const struct ww_scan *scan, struct page_region *vec,
                     uintptr_t *ret_next);

/* The same, again while it is interrupted. */
ssize_t ww_uffd_scan_patiently(struct ww_tracker *tracker, const struct ww_scan *scan,
                               struct page_region *vec, uintptr_t *ret_next);

/* ---- effect.c ---- */

int ww_uffd_check(struct ww_tracker *tracker);

/* ---- pager.c ---- */

/* Installs content from @start on, write-protected, up to the first page that exists. Returns how many
 * bytes, or -EEXIST, -ENOENT (not tracked), -ENOMEM, -EFAULT. */
ssize_t ww_uffd_copy(const struct uffd *uffd, uintptr_t start, const void *content, size_t len);

/* Makes accesses to a missing page end in SIGBUS, and arms it, since it would look written otherwise. 0,
 * -EEXIST (it is not missing), or another negative errno. */
int ww_uffd_poison(const struct uffd *uffd, uintptr_t addr);

/* Starts the pager unless it runs already. 0; -EAGAIN (no thread is idle), -ENOMEM; -EBADF (the program
 * has closed the descriptor). */
int ww_uffd_start_pager(struct uffd *uffd, struct ww_demand *demand);

/* Ends the pager, if any. No range has missing faults any more. */
void ww_uffd_stop_pager(struct uffd *uffd);

#endif
