/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The advice that the library gives the kernel about memory (madvise(2)): watched pages stay small, and pages
 * of our own become missing again. This file also finds out whether the kernel populates memory before
 * anybody touches it.
 */
#include <errno.h>
#include <sys/mman.h>

#include "kernel/advice.h"
#include "kernel/facts.h"
#include "process/heap.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

/* A huge page would report 512 pages for one write, and KSM may merge a page with the zero page. EINVAL:
 * the kernel has no such feature, so there is nothing to prevent. ENOMEM: part of the range is not mapped;
 * the kernel has advised the rest. EAGAIN: there is no memory, or no mapping is left (vm.max_map_count). */
int ww_keep_pages_small(uintptr_t start, uintptr_t end)
{
    static const int advice[] = { MADV_NOHUGEPAGE, MADV_UNMERGEABLE };

    for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
        if (madvise((void *)start, end - start, advice[i]) && errno != EINVAL && errno != ENOMEM) {
            return errno == EAGAIN ? -ENOMEM : -errno;
        }
    }
    return 0;
}

/* After mlockall(2) with MCL_FUTURE each new mapping has all its pages at once. No file of /proc shows
 * that. */
bool ww_kernel_populates(void)
{
    size_t page = ww_page_size();
    /* No page comes in with a huge page of a neighbour's. */
    char *area = ww_heap_map(page, 0);
    unsigned char there = 0;
    bool populates;

    if (!area) {
        return false;
    }
    populates = !mincore(area, page, &there) && (there & 1);
    munmap(area, page);
    return populates;
}

int ww_drop_pages(const volatile void *addr, size_t len)
{
    bool done =
        !madvise((void *)addr, len, MADV_DONTNEED_LOCKED) || !madvise((void *)addr, len, MADV_DONTNEED);

    return done ? 0 : -errno;
}
