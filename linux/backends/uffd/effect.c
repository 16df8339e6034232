/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The self test of the uffd backend: writes, reads and fills pages of our own, and checks what a scan finds.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "backends/uffd/uffd.h"
#include "kernel/advice.h"

/* Registers a scratch area and runs write, get and reset on it. 0, or -EIO for a wrong answer. */
static int try_writes(struct ww_tracker *tracker, char *area, struct page_region *vec)
{
    const struct uffd *uffd = tracker->priv;
    struct ww_failure *failure = &tracker->failure;
    size_t page = ww_page_size();
    struct ww_scan scan = {
        .start = (uintptr_t)area,
        .end = (uintptr_t)area + 4 * page,
        .max_pages = 4,
        .max_runs = 4,
        .reset = true,
    };
    uintptr_t next;
    ssize_t nr;
    int err = ww_fail(failure, WW_STEP_REGISTER,
                      ww_uffd_register(uffd, scan.start, scan.end, UFFDIO_REGISTER_MODE_WP));

    if (err) {
        return err;
    }
    area[0] = 1;
    area[2 * page] = 1;
    nr = ww_uffd_scan_patiently(tracker, &scan, vec, &next);
    if (nr < 0) {
        return ww_fail(failure, WW_STEP_SCAN, nr);
    }
    if (nr != 2 || vec[0].start != scan.start || vec[1].start != scan.start + 2 * page) {
        return ww_fail(failure, WW_STEP_TEST_ASYNC, -EIO);
    }
    area[2 * page] = 2;
    memset(vec, 0, nr * sizeof(vec[0]));
    nr = ww_uffd_scan_patiently(tracker, &scan, vec, &next);
    if (nr < 0) {
        return ww_fail(failure, WW_STEP_SCAN, nr);
    }
    err = nr == 1 && vec[0].start == scan.start + 2 * page && next == scan.end ? 0 : -EIO;
    return ww_fail(failure, WW_STEP_TEST_ASYNC, err);
}

/*
 * Whether a read of a missing page maps the zero page, which tells it from a write. Some kernels have no
 * zero page: s390 in some guests, and virtual machines that share page tables with their host. The page is
 * registered and untouched.
 */
static bool reads_map_zero_page(struct ww_tracker *tracker, const volatile char *page,
                                struct page_region *vec)
{
    struct ww_scan scan = {
        .start = (uintptr_t)page,
        .end = (uintptr_t)page + ww_page_size(),
        .max_pages = 1,
        .max_runs = 1,
    };
    uintptr_t next;
    bool is_zero;

    (void)*page;
    is_zero =
        ww_uffd_scan_patiently(tracker, &scan, vec, &next) == 1 && (vec[0].categories & PAGE_IS_PFNZERO);
    memset(vec, 0, sizeof(vec[0]));
    return is_zero;
}

/*
 * Whether filled pages are clean until they are written, and a missing page can be poisoned. The area is
 * registered and untouched. 0; -ENOMEM, with the step in *failure: nothing is known; -EIO.
 */
static int try_fill(struct ww_tracker *tracker, char *area, struct page_region *vec)
{
    struct ww_failure *failure = &tracker->failure;
    const struct uffd *uffd = tracker->priv;
    size_t page = ww_page_size();
    uintptr_t start = (uintptr_t)area, next;
    struct ww_scan scan = { .start = start, .end = start + 3 * page, .max_pages = 3, .max_runs = 3 };

    /* Fills with the vector, which is zero. */
    ssize_t nr = ww_uffd_copy(uffd, start, vec, 2 * page);
    int err = ww_fail(failure, WW_STEP_COPY, nr == (ssize_t)(2 * page) ? 0 : nr < 0 ? nr : -EIO);

    if (!err) {
        err = ww_fail(failure, WW_STEP_POISON, ww_uffd_poison(uffd, start + 2 * page));
    }
    if (err) {
        return err == -ENOMEM ? err : -EIO;
    }
    area[page] = 1;
    if (ww_uffd_scan_patiently(tracker, &scan, vec, &next) != 1 || vec[0].start != start + page) {
        return -EIO;
    }
    nr = ww_uffd_copy(uffd, start, vec, page);
    return nr == -EEXIST ? 0 : nr == -ENOMEM ? ww_fail(failure, WW_STEP_COPY, nr) : -EIO;
}

int ww_uffd_check(struct ww_tracker *tracker)
{
    struct uffd *uffd = tracker->priv;
    size_t len = 4 * ww_page_size(), vec_len = WW_SCAN_VEC_LEN * sizeof(struct page_region);
    char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *vec =
        mmap(NULL, vec_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    int err = area == MAP_FAILED || vec == MAP_FAILED ? ww_fail_memory(&tracker->failure) : 0, fill_err = 0;

    if (!ww_fd_look(&uffd->opened[0]) || !ww_fd_look(&uffd->opened[1])) {
        err = ww_fail(&tracker->failure, WW_STEP_FSTAT, -EBADF);
    } else if (!err) {
        ww_drop_pages(area, len);
        err = try_writes(tracker, area, vec);
        memset(vec, 0, vec_len);
        if (!err && !reads_map_zero_page(tracker, area + len - ww_page_size(), vec)) {
            tracker->no_zero_page = true;
            tracker->caps &= ~WW_CAP_FREE_ARMING;
        }
        if (!err && (tracker->barred & WW_UFFD_FILL_STEPS)) {
            fill_err = -EOPNOTSUPP;
        } else if (!err) {
            fill_err = ww_drop_pages(area, len) ? -EIO : try_fill(tracker, area, vec);
        }
        if (fill_err == -ENOMEM) {
            err = fill_err;
        } else if (fill_err) {
            tracker->caps &= ~(WW_CAP_FILL | WW_CAP_FILL_ON_DEMAND | WW_CAP_KERNEL_FILLS);
        }
        ww_uffd_unregister(uffd, (uintptr_t)area, (uintptr_t)area + len);
    }
    if (area != MAP_FAILED) {
        munmap(area, len);
    }
    if (vec != MAP_FAILED) {
        munmap(vec, vec_len);
    }
    return err;
}
