/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the uffd backend (uffd.c) and its pager of missing pages (pager.c)
 * share.
 */
#ifndef WW_LINUX_BACKENDS_UFFD_UFFD_H
#define WW_LINUX_BACKENDS_UFFD_UFFD_H

#include "kernel/fd.h"
#include "backend.h"

struct uffd {
    int fd;                   /* userfaultfd */
    int pagemap;              /* /proc/self/pagemap; opened early, it outlives PR_SET_DUMPABLE */
    struct ww_fd opened[2];   /* the same two, to know them again when they are closed */
    uint64_t guard;           /* PAGE_IS_GUARD, or 0 where the kernel does not know it */
    bool full;                /* fd is told of the faults of system calls as well */
    atomic_bool leftovers;    /* some range stayed registered when it was to be so no more */
    struct uffd_pager *pager; /* NULL until something is filled on demand */
};

/* Without these steps nothing can be filled, and writes are tracked all the same. */
#define WW_UFFD_FILL_STEPS (WW_STEP_BIT(WW_STEP_COPY) | WW_STEP_BIT(WW_STEP_POISON))

/* ---- requests.c; 0 or a negative errno unless said ---- */

/* @mode: UFFDIO_REGISTER_MODE_*. Idempotent: memory that is registered already keeps what it knows. */
int ww_uffd_register(const struct uffd *uffd, uintptr_t start, uintptr_t end, int mode);

/* 0, or -ENOMEM: a mapping was to be cut and could not; some of the range is registered still. */
int ww_uffd_unregister(struct uffd *uffd, uintptr_t start, uintptr_t end);

/* Makes every page of the range clean, and gives those that do not exist a marker. */
int ww_uffd_write_protect(const struct uffd *uffd, const struct ww_region *region, uintptr_t start,
                          uintptr_t end);

/* Takes the write-protect bit from pages that exist in the range. */
int ww_uffd_unprotect_present(const struct uffd *uffd, uintptr_t start, uintptr_t end);

/* One ioctl, for scan() and scan_lockless() alike. Returns the number of entries, or a negative errno after
 * which
 * @vec is all zero still. */
ssize_t ww_uffd_scan(struct ww_tracker *tracker, const struct ww_scan *scan, struct page_region *vec,
                     uintptr_t *ret_next);

/* ---- effect.c ---- */

int ww_uffd_check(struct ww_tracker *tracker);

/* ---- pager.c ---- */

/* Installs content from @start on, write-protected, up to the first page that exists. Returns
 * how many bytes, or -EEXIST, -ENOENT (not tracked), -ENOMEM, -EFAULT. */
ssize_t ww_uffd_copy(const struct uffd *uffd, uintptr_t start, const void *content, size_t len);

/* Makes accesses to a missing page end in SIGBUS, and arms it: it looks written otherwise.
 * 0, -EEXIST (it is not missing), or another negative errno. */
int ww_uffd_poison(const struct uffd *uffd, uintptr_t addr);

/* Starts the pager if it does not run yet. 0; -EAGAIN (no thread is idle), -ENOMEM; -EBADF (somebody closed
 * the descriptor). */
int ww_uffd_serve(struct uffd *uffd, struct ww_demand *demand);

/* Ends the pager, if any. No range has missing faults any more. */
void ww_uffd_stop(struct uffd *uffd);

#endif
