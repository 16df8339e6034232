/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel is advised of memory (madvise(2)): that watched pages stay small, and that pages of our own
 * are missing again. Also whether the kernel gives memory its pages before anybody touches them.
 */
#include <errno.h>
#include <sys/mman.h>

#include "kernel/advice.h"
#include "kernel/facts.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

/* Neither huge pages, which would report 512 pages for one write, nor merging with
 * zero pages. EINVAL: the kernel has no such feature, so nothing is to be kept off. ENOMEM: a part is
 * not mapped, and the rest is done. EAGAIN: no memory, or no mapping more (vm.max_map_count). */
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

/* mlockall() with MCL_FUTURE: each new mapping has all its pages at once. No file tells. */
bool ww_kernel_populates(void)
{
    size_t page = ww_page_size();
    char *area = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char there = 0;
    bool populates;

    if (area == MAP_FAILED) {
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
