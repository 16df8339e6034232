/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A benchmark peer that works as Wine from 10.7 on does, if it was built for kernel write
 * watches: it write-protects the whole reservation up front, holes by markers
 * (WP_UNPOPULATED), and a query scans all of its range for PAGE_IS_WRITTEN alone, with a
 * vector of 256 regions. Written from Wine's system calls, to compare with them in the same
 * run and without Wine.
 */
#include <errno.h>

#include "peers.h"
#include "kernel/uapi.h"

#define VEC_LEN 256
_Static_assert(VEC_LEN <= BENCH_VEC_LEN, "the core's vector is long enough");

/* In one call, as Wine does. */
static int arm(const struct bench_kernel *kernel, const struct bench_area *area)
{
    struct uffdio_writeprotect protect = {
        .range = { .start = (uintptr_t)area->base, .len = area->len },
        .mode = UFFDIO_WRITEPROTECT_MODE_WP,
    };

    while (ioctl(kernel->fd, UFFDIO_WRITEPROTECT, &protect)) {
        if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
    return 0;
}

static int marker_watch(void *state, const struct bench_area *area)
{
    int err = bench_kernel_register(state, area);

    return err ? err : arm(state, area);
}

static int marker_allocate(void *state, size_t len, bool sparse, struct bench_area *ret_area)
{
    (void)sparse;
    return bench_map_watched(marker_watch, state, len, ret_area);
}

static ssize_t marker_get(void *state, const struct bench_area *area, bool reset, void **ret_pages,
                          size_t capacity)
{
    const struct bench_scan how = { .anyof_mask = 0, .vec_len = VEC_LEN, .reset = reset };

    return bench_kernel_scan(state, area, &how, ret_pages, capacity);
}

static int marker_reset(void *state, const struct bench_area *area)
{
    const struct bench_scan how = { .anyof_mask = 0, .vec_len = VEC_LEN, .reset = true };

    return bench_kernel_reset(state, area, &how);
}

/* Dropped pages are reported as written until they are armed again. */
static int marker_decommit(void *state, const struct bench_area *area)
{
    int err = bench_drop(area);

    return err ? err : arm(state, area);
}

static const struct bench_ops marker_ops = {
    .open = bench_kernel_ops_open,
    .close = bench_kernel_ops_close,
    .allocate = marker_allocate,
    .release = bench_kernel_ops_release,
    .commit = bench_kernel_ops_commit,
    .get = marker_get,
    .reset = marker_reset,
    .decommit = marker_decommit,
    .protect = bench_kernel_ops_protect,
};

const struct bench_peer marker_peer = {
    .name = "marker",
    .ops = &marker_ops,
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_EXACT,
};
