/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The requests of the uffd backend to the kernel, each for a range. Requests that walk pages go in steps of
 * WW_SCAN_BYTES, so that mmap() in other threads does not stall.
 */
#include <errno.h>

#include "backends/uffd/uffd.h"
#include "process/raw.h"

int ww_uffd_register(const struct uffd *uffd, uintptr_t start, uintptr_t end, int mode)
{
    struct uffdio_register reg = {
        .range = { .start = start, .len = end - start },
        .mode = mode,
    };

    /* The number may be the program's own userfaultfd by now, whose handler would then get our faults. */
    if (!ww_fd_look(&uffd->opened[0])) {
        return -EBADF;
    }
    if (ioctl(uffd->fd, UFFDIO_REGISTER, &reg)) {
        return -errno;
    }
    /* The kernel offers this for all memory but hugetlb's, whose pages cannot be filled one by one. */
    return (mode & UFFDIO_REGISTER_MODE_MISSING) && !(reg.ioctls & UINT64_C(1) << _UFFDIO_ZEROPAGE)
               ? -EOPNOTSUPP
               : 0;
}

int ww_uffd_protect(const struct uffd *uffd, const struct ww_region *region, uintptr_t start, uintptr_t end,
                    uint64_t mode)
{
    size_t step = region->page_size > WW_SCAN_BYTES ? region->page_size : WW_SCAN_BYTES;

    while (start < end) {
        struct uffdio_writeprotect protect = {
            .range = { .start = start, .len = end - start < step ? end - start : step },
            .mode = mode,
        };

        if (!ioctl(uffd->fd, UFFDIO_WRITEPROTECT, &protect)) {
            start += protect.range.len;
        } else if (errno == EAGAIN) {
            ww_wait_moment();
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int unregister_once(const struct uffd *uffd, uintptr_t start, uintptr_t end)
{
    struct uffdio_range range = { .start = start, .len = end - start };

    return ioctl(uffd->fd, UFFDIO_UNREGISTER, &range) ? -errno : 0;
}

/* Unregisters what is registered, run by run. Returns the last error. */
static int unregister_runs(const struct uffd *uffd, uintptr_t start, uintptr_t end)
{
    struct page_region run;
    struct ww_page_scan rest = {
        .start = start,
        .end = end,
        .category_mask = PAGE_IS_WPALLOWED,
        .return_mask = PAGE_IS_WPALLOWED,
        .vec = &run,
        .vec_len = 1,
    };
    int err = 0, nr;

    while (rest.start < end) {
        uint64_t walk_end;

        run = (struct page_region){ .start = 0 };
        nr = ww_scan_pages(uffd->pagemap, &rest, &walk_end);
        if (nr == -EINTR || nr == -EAGAIN) {
            ww_wait_moment();
            continue;
        }
        if (nr <= 0) {
            return nr ? nr : err;
        }
        nr = unregister_once(uffd, run.start, run.end);
        err = nr ? nr : err;
        rest.start = run.end;
    }
    return err;
}

int ww_uffd_unregister(struct uffd *uffd, uintptr_t start, uintptr_t end)
{
    /* The number may be another userfaultfd by now, which may track the same memory. */
    int err = ww_fd_look(&uffd->opened[0]) ? unregister_once(uffd, start, end) : -EBADF;

    if (err == -EINVAL) {
        /* A mapping of a kind that the kernel registers for other modes only, or none, lies in the range.
         * Then the kernel refuses all of it. */
        err = unregister_runs(uffd, start, end);
    }
    if (err) {
        atomic_store(&uffd->has_stale_ranges, true);
    }
    return err == -ENOMEM ? err : 0;
}

ssize_t ww_uffd_scan(struct ww_tracker *tracker, const struct ww_scan *scan, struct page_region *vec,
                     uintptr_t *ret_next)
{
    const struct uffd *uffd = tracker->priv;
    size_t nr_pages = (scan->end - scan->start) >> ww_page_shift;
    size_t max_runs = scan->max_runs < nr_pages ? scan->max_runs : nr_pages;
    /* A guard page looks written. Dense memory had none when it was last scanned, and the kernel's fast
     * path allows no further category. */
    uint64_t guard = scan->dense ? 0 : uffd->guard;
    const struct ww_page_scan request = {
        .start = scan->start,
        .end = scan->end,
        .flags = PM_SCAN_CHECK_WPASYNC | (scan->reset ? PM_SCAN_WP_MATCHING : 0),
        .max_pages = scan->max_pages,
        .category_inverted = guard,
        .category_mask = PAGE_IS_WRITTEN | guard,
        .category_anyof_mask = scan->dense ? 0 : PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = scan->dense ? PAGE_IS_WRITTEN : PAGE_IS_WRITTEN | PAGE_IS_PFNZERO,
        .vec = vec,
        .vec_len = max_runs < WW_SCAN_VEC_LEN ? max_runs : WW_SCAN_VEC_LEN,
    };
    uint64_t walk_end;
    ssize_t nr = ww_scan_pages(uffd->pagemap, &request, &walk_end), err = nr;

    if (nr >= 0) {
        if (walk_end <= scan->start) {
            return nr ? (*ret_next = vec[nr - 1].end, nr) : -EIO;
        }
        *ret_next = walk_end;
        return nr;
    }
    /* An error in the middle: the kernel has already reset what the vector holds. The next call returns
     * the error. */
    for (nr = 0; nr < (ssize_t)request.vec_len && vec[nr].end; nr++) {
        ;
    }
    if (!nr) {
        return err;
    }
    *ret_next = vec[nr - 1].end;
    return nr;
}

ssize_t ww_uffd_scan_patiently(struct ww_tracker *tracker, const struct ww_scan *scan,
                               struct page_region *vec, uintptr_t *ret_next)
{
    ssize_t nr;

    while ((nr = ww_uffd_scan(tracker, scan, vec, ret_next)) == -EINTR || nr == -EAGAIN) {
        ww_wait_moment();
    }
    return nr;
}

int ww_uffd_unprotect_present(const struct uffd *uffd, uintptr_t start, uintptr_t end)
{
    while (start < end) {
        struct page_region found = { .start = 0 };
        const struct ww_page_scan request = {
            .start = start,
            .end = end - start < WW_SCAN_BYTES ? end : start + WW_SCAN_BYTES,
            .category_mask = PAGE_IS_PRESENT,
            .return_mask = PAGE_IS_PRESENT,
            .vec = &found,
            .vec_len = 1,
        };
        uint64_t walk_end;
        ssize_t nr = ww_scan_pages(uffd->pagemap, &request, &walk_end);
        struct uffdio_writeprotect unprotect = {
            .range = { .start = found.start, .len = found.end - found.start },
        };

        if (nr > 0 && ioctl(uffd->fd, UFFDIO_WRITEPROTECT, &unprotect)) {
            nr = -errno;
        }
        if (nr == -EINTR || nr == -EAGAIN) {
            ww_wait_moment();
            continue;
        }
        if (nr < 0 || walk_end <= start) {
            return nr < 0 ? nr : -EIO;
        }
        start = walk_end;
    }
    return 0;
}
