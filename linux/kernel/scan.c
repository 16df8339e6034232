/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "kernel/scan.h"

ssize_t ww_scan_pages(int pagemap, const struct ww_page_scan *scan, uint64_t *ret_walk_end)
{
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .flags = scan->flags,
        .start = scan->start,
        .end = scan->end,
        .vec = (uintptr_t)scan->vec,
        .vec_len = scan->vec_len,
        .max_pages = scan->max_pages,
        .category_inverted = scan->category_inverted,
        .category_mask = scan->category_mask,
        .category_anyof_mask = scan->category_anyof_mask,
        .return_mask = scan->return_mask,
    };
    int saved = errno;
    ssize_t nr = ioctl(pagemap, PAGEMAP_SCAN, &arg);

    if (nr < 0) {
        nr = -errno;
        errno = saved;
    } else {
        *ret_walk_end = arg.walk_end;
    }
    return nr;
}

uint64_t ww_guard_category(int pagemap)
{
    /* Scans an empty range: a kernel that does not know the category returns EINVAL all the same. */
    struct page_region none;
    struct ww_page_scan scan = {
        .category_mask = PAGE_IS_GUARD,
        .return_mask = PAGE_IS_GUARD,
        .vec = &none,
        .vec_len = 1,
    };
    uint64_t end;

    return ww_scan_pages(pagemap, &scan, &end) ? 0 : PAGE_IS_GUARD;
}
