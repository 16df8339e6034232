/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend that tracks nothing: every page is written, always. It is the floor:
 * no kernel feature, no memory, no failure, and no write lost. What cannot be
 * tracked any more ends here.
 */
#include <errno.h>
#include <sys/mman.h>

#include "internal.h"

static int none_open(struct ww_tracker *tracker)
{
    (void)tracker;
    return 0;
}

static int none_check(struct ww_tracker *tracker)
{
    (void)tracker;
    return 0;
}

static int none_arm(struct ww_region *region)
{
    (void)region;
    return 0;
}

static int none_split(struct ww_region *region, struct ww_region *upper)
{
    (void)region;
    (void)upper;
    return 0;
}

static void none_join(struct ww_region *region, struct ww_region *upper)
{
    (void)region;
    (void)upper;
}

static ssize_t none_scan(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                         uintptr_t *ret_next)
{
    size_t nr_pages = (scan->end - scan->start) >> ww_page_shift;

    (void)region;
    if (nr_pages > scan->max_pages) {
        nr_pages = scan->max_pages;
    }
    vec[0] = (struct page_region){
        .start = scan->start,
        .end = scan->start + ((uintptr_t)nr_pages << ww_page_shift),
        .categories = PAGE_IS_WRITTEN,
    };
    *ret_next = vec[0].end;
    return 1;
}

ssize_t ww_no_scan_lockless(struct ww_tracker *tracker, const struct ww_scan *scan, struct page_region *vec,
                            uintptr_t *ret_next)
{
    (void)tracker;
    (void)scan;
    (void)vec;
    (void)ret_next;
    return -EOPNOTSUPP;
}

static bool none_peek(struct ww_tracker *tracker, uintptr_t start, uintptr_t end)
{
    (void)tracker;
    (void)start;
    (void)end;
    return true;
}

static int none_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    (void)region;
    (void)start;
    (void)end;
    return 0;
}

static int none_protect(struct ww_region *region, uintptr_t start, uintptr_t end, int prot)
{
    (void)region;
    return mprotect((void *)start, end - start, prot) ? -errno : 0;
}

static ssize_t none_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    (void)region;
    (void)start;
    (void)src;
    (void)len;
    return -EOPNOTSUPP;
}

static int none_disarm(struct ww_region *region)
{
    (void)region;
    return 0;
}

static void none_release(struct ww_region *region)
{
    (void)region;
}

static void none_close(struct ww_tracker *tracker)
{
    (void)tracker;
}

const struct ww_backend ww_backend_none = {
    .name = "none",
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_LOST_DETECTED | WW_CAP_FREE_ARMING |
            WW_CAP_SHARED | WW_CAP_FILES | WW_CAP_MERGEABLE | WW_CAP_HUGETLB,
    .open = none_open,
    .check = none_check,
    .arm = none_arm,
    .split = none_split,
    .join = none_join,
    .scan = none_scan,
    .peek = none_peek,
    .scan_lockless = ww_no_scan_lockless,
    .discard = none_discard,
    .protect = none_protect,
    .fill = none_fill,
    .arm_missing = ww_no_arm_missing,
    .disarm = none_disarm,
    .release = none_release,
    .close = none_close,
};
