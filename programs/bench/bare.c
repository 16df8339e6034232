/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lower bound: PAGEMAP_SCAN in a loop and the stores into the address array, without a table, a lock or a
 * rule for zero pages. Its answers are right only for what the workloads do. The caller marks dense areas,
 * which this peer scans in the kernel's fastest form. Other peers of the bare kernel use the system calls
 * here as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "kernel/uapi.h"

int bench_kernel_open(struct bench_kernel *ret)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
    struct bench_kernel kernel = { .fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) };
    int err;

    if (kernel.fd < 0) {
        return -errno;
    }
    if (ioctl(kernel.fd, UFFDIO_API, &api)) {
        err = errno == EINVAL ? -EOPNOTSUPP : -errno;
        close(kernel.fd);
        return err;
    }
    kernel.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (kernel.pagemap < 0) {
        err = -errno;
        close(kernel.fd);
        return err;
    }
    *ret = kernel;
    return 0;
}

void bench_kernel_close(struct bench_kernel *kernel)
{
    close(kernel->fd);
    close(kernel->pagemap);
}

int bench_kernel_register(const struct bench_kernel *kernel, const struct bench_area *area)
{
    struct uffdio_register reg = {
        .range = { .start = (uintptr_t)area->base, .len = area->len },
        .mode = UFFDIO_REGISTER_MODE_WP,
    };

    return ioctl(kernel->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

int bench_kernel_unregister(const struct bench_kernel *kernel, const struct bench_area *area)
{
    struct uffdio_range range = { .start = (uintptr_t)area->base, .len = area->len };

    return ioctl(kernel->fd, UFFDIO_UNREGISTER, &range) ? -errno : 0;
}

/* Stores the addresses of the pages of @nr regions. Returns how many. */
static size_t store(const struct page_region *vec, long nr, size_t page, void **ret_pages)
{
    size_t nr_pages = 0;

    for (long i = 0; i < nr; i++) {
        for (uintptr_t addr = vec[i].start; addr < vec[i].end; addr += page) {
            ret_pages[nr_pages++] = (void *)addr;
        }
    }
    return nr_pages;
}

static struct pm_scan_arg scan_arg(const struct bench_area *area, const struct bench_scan *how,
                                   struct page_region *vec)
{
    return (struct pm_scan_arg){
        .size = sizeof(struct pm_scan_arg),
        .flags = PM_SCAN_CHECK_WPASYNC | (how->reset ? PM_SCAN_WP_MATCHING : 0),
        .start = (uintptr_t)area->base,
        .end = (uintptr_t)area->base + area->len,
        .vec = (uintptr_t)vec,
        .vec_len = how->vec_len,
        .category_mask = PAGE_IS_WRITTEN,
        .category_anyof_mask = how->anyof_mask,
        .return_mask = PAGE_IS_WRITTEN,
    };
}

/* Makes one ioctl, and sets @arg up for the next. Returns the number of regions, or a negative errno. */
static long scan_on(const struct bench_kernel *kernel, struct pm_scan_arg *arg)
{
    long nr;

    do {
        nr = ioctl(kernel->pagemap, PAGEMAP_SCAN, arg);
    } while (nr < 0 && errno == EINTR);
    if (nr < 0) {
        return -errno;
    }
    if (arg->walk_end <= arg->start) {
        return -EIO;
    }
    arg->start = arg->walk_end;
    return nr;
}

/* Scans until the end of the area or @capacity pages. A lost registration (EPERM) is an error. */
ssize_t bench_kernel_scan(const struct bench_kernel *kernel, const struct bench_area *area,
                          const struct bench_scan *how, void **ret_pages, size_t capacity)
{
    static _Thread_local struct page_region vec[BENCH_VEC_LEN];
    struct pm_scan_arg arg = scan_arg(area, how, vec);
    size_t found = 0, page = sysconf(_SC_PAGESIZE);

    while (arg.start < arg.end && found < capacity) {
        long nr;

        arg.max_pages = capacity - found;
        nr = scan_on(kernel, &arg);
        if (nr < 0) {
            return nr;
        }
        found += store(vec, nr, page, ret_pages + found);
    }
    return found;
}

/* Ignores the regions; but without a vector the kernel ignores masks, and some versions crash. */
int bench_kernel_reset(const struct bench_kernel *kernel, const struct bench_area *area,
                       const struct bench_scan *how)
{
    static _Thread_local struct page_region vec[BENCH_VEC_LEN];
    struct pm_scan_arg arg = scan_arg(area, how, vec);

    while (arg.start < arg.end) {
        long nr = scan_on(kernel, &arg);

        if (nr < 0) {
            return nr;
        }
    }
    return 0;
}

int bench_kernel_ops_open(const struct bench_peer *peer, void **ret_state)
{
    struct bench_kernel *kernel = malloc(sizeof(*kernel));
    int err = kernel ? bench_kernel_open(kernel) : -ENOMEM;

    (void)peer;
    if (err) {
        free(kernel);
        return err;
    }
    *ret_state = kernel;
    return 0;
}

void bench_kernel_ops_close(void *state)
{
    bench_kernel_close(state);
    free(state);
}

/* For one write to a huge page, the kernel would report 512 pages. */
static int bare_watch(void *state, const struct bench_area *area)
{
    if (madvise(area->base, area->len, MADV_NOHUGEPAGE) && errno != EINVAL) {
        return -errno;
    }
    return bench_kernel_register(state, area);
}

static int bare_allocate(void *state, size_t len, bool sparse, struct bench_area *ret_area)
{
    (void)sparse;
    return bench_map_watched(bare_watch, state, len, ret_area);
}

int bench_kernel_ops_release(void *state, const struct bench_area *area)
{
    int err = bench_kernel_unregister(state, area);

    return err ? err : bench_unmap(area);
}

/* Mapped memory needs no commit. */
int bench_kernel_ops_commit(void *state, const struct bench_area *area, size_t nr, size_t stride)
{
    (void)state;
    (void)area;
    (void)nr;
    (void)stride;
    return 0;
}

static struct bench_scan scan_of(const struct bench_area *area, bool reset)
{
    return (struct bench_scan){
        .anyof_mask = area->dense ? 0 : PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .vec_len = BENCH_VEC_LEN,
        .reset = reset,
    };
}

static ssize_t bare_get(void *state, const struct bench_area *area, bool reset, void **ret_pages,
                        size_t capacity)
{
    const struct bench_scan how = scan_of(area, reset);

    return bench_kernel_scan(state, area, &how, ret_pages, capacity);
}

static int bare_reset(void *state, const struct bench_area *area)
{
    const struct bench_scan how = scan_of(area, true);

    return bench_kernel_reset(state, area, &how);
}

/* Dropped pages do not exist, so the scan does not report them. */
static int bare_decommit(void *state, const struct bench_area *area)
{
    (void)state;
    return bench_drop(area);
}

int bench_kernel_ops_protect(void *state, const struct bench_area *area, bool writable)
{
    (void)state;
    return bench_protect_memory(area, writable);
}

const struct bench_ops bench_bare_ops = {
    .open = bench_kernel_ops_open,
    .close = bench_kernel_ops_close,
    .allocate = bare_allocate,
    .release = bench_kernel_ops_release,
    .commit = bench_kernel_ops_commit,
    .get = bare_get,
    .reset = bare_reset,
    .decommit = bare_decommit,
    .protect = bench_kernel_ops_protect,
};
