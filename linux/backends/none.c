/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend that tracks nothing and always reports every page as written. It is the fallback: it needs no
 * kernel feature and no memory, never fails, and loses no write.
 */
#include "backend.h"

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

const struct ww_backend ww_backend_none = {
    .name = "none",
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_LOST_DETECTED | WW_CAP_FREE_ARMING |
            WW_CAP_SHARED | WW_CAP_FILES | WW_CAP_INTERNAL_MERGEABLE | WW_CAP_HUGETLB,
    .scan = none_scan,
};
