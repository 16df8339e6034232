/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The userfaultfd backend: WP_ASYNC registration, and PAGEMAP_SCAN to read and
 * re-arm in one step. Private anonymous memory is armed lazily: a page that exists
 * and carries no write-protect bit was written, a page that does not exist was
 * not, and the zero page, which reads map, is told apart. In all other memory, and where the
 * kernel has no zero page, each page is armed up front, and one that does not
 * exist gets a marker. Kernel 6.7 and newer.
 *
 * Knows page tables, not answers: zero pages and the latch are scan_step.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/uffd/uffd.h"
#include "kernel/advice.h"
#include "kernel/heap.h"
#include "kernel/raw.h"
#include "kernel/survey.h"
#include "kernel/userfaultfd.h"

/* Without them nothing can be filled, and writes are tracked all the same. */
#define FILL_STEPS (WW_STEP_BIT(WW_STEP_COPY) | WW_STEP_BIT(WW_STEP_POISON))

static void close_fds(struct uffd *uffd)
{
    ww_fd_close(&uffd->opened[0]);
    ww_fd_close(&uffd->opened[1]);
}

/*
 * In full mode, system calls that touch a page that is filled on demand wait for it;
 * in user mode, which everybody may have, they get EFAULT. Writes are tracked alike.
 */
static int open_fds(struct ww_tracker *tracker, struct uffd *uffd)
{
    int err;

    uffd->fd = ww_userfaultfd_open(UFFD_FEATURE_WP_ASYNC, tracker->barred, &uffd->full, &tracker->failure);
    if (uffd->fd < 0) {
        return uffd->fd;
    }
    err = ww_fail(&tracker->failure, WW_STEP_FSTAT, ww_fd_take(&uffd->opened[0], uffd->fd));
    if (err) {
        return err;
    }
    err = ww_fail(&tracker->failure, WW_STEP_PAGEMAP,
                  ww_fd_take(&uffd->opened[1], ww_open_file("/proc/self/pagemap", O_RDONLY)));
    if (err) {
        ww_fd_close(&uffd->opened[0]);
        return err;
    }
    uffd->pagemap = uffd->opened[1].fd;
    return 0;
}

/* Idempotent: memory that is registered already keeps what it knows. */
static int register_range(const struct uffd *uffd, uintptr_t start, uintptr_t end, int mode)
{
    struct uffdio_register reg = {
        .range = { .start = start, .len = end - start },
        .mode = mode,
    };

    /* By the program's own one, its handler would get our faults. */
    if (!ww_fd_look(&uffd->opened[0])) {
        return -EBADF;
    }
    return ioctl(uffd->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

/* Makes every page of the range clean, and gives those that do not exist a marker.
 * In steps, so that mmap() in other threads does not stall. */
static int write_protect(const struct uffd *uffd, const struct ww_region *region, uintptr_t start,
                         uintptr_t end)
{
    size_t step = region->page_size > WW_SCAN_BYTES ? region->page_size : WW_SCAN_BYTES;

    while (start < end) {
        struct uffdio_writeprotect protect = {
            .range = { .start = start, .len = end - start < step ? end - start : step },
            .mode = UFFDIO_WRITEPROTECT_MODE_WP,
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

/* The same for memory whose mapping was replaced. */
static int register_again(const struct uffd *uffd, uintptr_t start, uintptr_t end)
{
    int err = ww_keep_pages_small(start, end);

    return err ? err : register_range(uffd, start, end, UFFDIO_REGISTER_MODE_WP);
}

/* -ENOMEM: a mapping was to be cut and could not; some of the range is registered still. */
static int unregister_range(struct uffd *uffd, uintptr_t start, uintptr_t end)
{
    struct uffdio_range range = { .start = start, .len = end - start };
    /* Another one by its number may track the same memory by now. */
    int err = !ww_fd_look(&uffd->opened[0])                ? -EBADF
              : ioctl(uffd->fd, UFFDIO_UNREGISTER, &range) ? -errno
                                                           : 0;

    if (err) {
        atomic_store(&uffd->leftovers, true);
    }
    return err == -ENOMEM ? err : 0;
}

/* A range is registered with one descriptor only. What one of ours that came to its end has kept is taken
 * from it; other programs' descriptors are left alone. */
static int register_over_leftovers(const struct ww_tracker *tracker, uintptr_t start, uintptr_t end)
{
    for (const struct ww_tracker *former = tracker->next; former; former = former->next) {
        struct uffd *uffd = former->backend == &ww_backend_uffd ? former->priv : NULL;

        if (uffd && atomic_load(&uffd->leftovers)) {
            unregister_range(uffd, start, end);
        }
    }
    return register_range(tracker->priv, start, end, UFFDIO_REGISTER_MODE_WP);
}

static int uffd_open(struct ww_tracker *tracker)
{
    struct uffd *uffd;
    int err;

    if (ww_kernel_loses_bits()) {
        return ww_fail(&tracker->failure, WW_STEP_RELEASE, -EIO);
    }
    uffd = ww_heap_alloc(sizeof(*uffd));
    if (!uffd) {
        return ww_fail(&tracker->failure, WW_STEP_MEMORY, -ENOMEM);
    }
    err = open_fds(tracker, uffd);
    if (err) {
        ww_heap_free(uffd);
        return err;
    }
    if (!uffd->full) {
        tracker->caps &= ~WW_CAP_KERNEL_FILLS;
    }
    uffd->guard = ww_guard_category(uffd->pagemap);
    tracker->priv = uffd;
    return 0;
}

/* Returns the number of entries, or a negative errno after which @vec is all zero still. */
static ssize_t scan_once(const struct uffd *uffd, const struct ww_scan *scan, struct page_region *vec,
                         uintptr_t *ret_next)
{
    size_t nr_pages = (scan->end - scan->start) >> ww_page_shift;
    size_t max_runs = scan->max_runs < nr_pages ? scan->max_runs : nr_pages;
    /* A guard looks written. Where memory is dense there was none, and the kernel's fast form has no room for
     * the question. */
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
    /* An error in the middle has reset what the vector holds. The error comes back on the next call. */
    for (nr = 0; nr < (ssize_t)request.vec_len && vec[nr].end; nr++) {
        ;
    }
    if (!nr) {
        return err;
    }
    *ret_next = vec[nr - 1].end;
    return nr;
}

/* Sets up a scratch area, and runs write, get and reset on it. 0, -EIO for wrong answers. */
static int try_effect(struct ww_tracker *tracker, char *area, struct page_region *vec)
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
                      register_range(uffd, scan.start, scan.end, UFFDIO_REGISTER_MODE_WP));

    if (err) {
        return err;
    }
    area[0] = 1;
    area[2 * page] = 1;
    nr = scan_once(uffd, &scan, vec, &next);
    if (nr < 0) {
        return ww_fail(failure, WW_STEP_SCAN, nr);
    }
    if (nr != 2 || vec[0].start != scan.start || vec[1].start != scan.start + 2 * page) {
        return ww_fail(failure, WW_STEP_TEST_ASYNC, -EIO);
    }
    area[2 * page] = 2;
    memset(vec, 0, nr * sizeof(vec[0]));
    nr = scan_once(uffd, &scan, vec, &next);
    if (nr < 0) {
        return ww_fail(failure, WW_STEP_SCAN, nr);
    }
    err = nr == 1 && vec[0].start == scan.start + 2 * page && next == scan.end ? 0 : -EIO;
    return ww_fail(failure, WW_STEP_TEST_ASYNC, err);
}

/*
 * Whether a read of a page that does not exist maps the zero page, by which it is told from a write. A
 * kernel need not have one: s390 in some guests, virtual machines that share page tables with their
 * host. The page is registered and has not been touched.
 */
static bool reads_map_zero_page(const struct uffd *uffd, const volatile char *page, struct page_region *vec)
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
    is_zero = scan_once(uffd, &scan, vec, &next) == 1 && (vec[0].categories & PAGE_IS_PFNZERO);
    memset(vec, 0, sizeof(vec[0]));
    return is_zero;
}

/*
 * Whether pages that were filled are clean until they are written, and poisoned ones
 * can be. The area is registered and has not been touched. 0, -ENOMEM (nothing is known), -EIO.
 */
static int try_fill(const struct uffd *uffd, char *area, struct page_region *vec)
{
    size_t page = ww_page_size();
    uintptr_t start = (uintptr_t)area, next;
    struct ww_scan scan = { .start = start, .end = start + 3 * page, .max_pages = 3, .max_runs = 3 };

    /* The vector serves as content. */
    ssize_t nr = ww_uffd_copy(uffd, start, vec, 2 * page);
    int err = nr == (ssize_t)(2 * page) ? ww_uffd_poison(uffd, start + 2 * page) : nr < 0 ? nr : -EIO;

    if (err) {
        return err == -ENOMEM ? err : -EIO;
    }
    area[page] = 1;
    if (scan_once(uffd, &scan, vec, &next) != 1 || vec[0].start != start + page) {
        return -EIO;
    }
    return ww_uffd_copy(uffd, start, vec, page) == -EEXIST ? 0 : -EIO;
}

static int uffd_check(struct ww_tracker *tracker)
{
    struct uffd *uffd = tracker->priv;
    size_t len = 4 * ww_page_size(), vec_len = WW_SCAN_VEC_LEN * sizeof(struct page_region);
    char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *vec =
        mmap(NULL, vec_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    int err = ww_fail(&tracker->failure, WW_STEP_MEMORY, -ENOMEM), fill_err = 0;

    if (!ww_fd_look(&uffd->opened[0]) || !ww_fd_look(&uffd->opened[1])) {
        err = ww_fail(&tracker->failure, WW_STEP_FSTAT, -EBADF);
    } else if (area != MAP_FAILED && vec != MAP_FAILED) {
        ww_drop_pages(area, len);
        err = try_effect(tracker, area, vec);
        memset(vec, 0, vec_len);
        if (!err && !reads_map_zero_page(uffd, area + len - ww_page_size(), vec)) {
            tracker->no_zero_page = true;
            tracker->caps &= ~WW_CAP_FREE_ARMING;
        }
        if (!err && (tracker->barred & FILL_STEPS)) {
            fill_err = -EOPNOTSUPP;
        } else if (!err) {
            fill_err = ww_drop_pages(area, len) ? -EIO : try_fill(uffd, area, vec);
        }
        if (fill_err == -ENOMEM) {
            err = ww_fail(&tracker->failure, WW_STEP_COPY, fill_err);
        } else if (fill_err) {
            tracker->caps &= ~(WW_CAP_FILL | WW_CAP_FILL_ON_DEMAND | WW_CAP_KERNEL_FILLS);
        }
        unregister_range(uffd, (uintptr_t)area, (uintptr_t)area + len);
    }
    if (area != MAP_FAILED) {
        munmap(area, len);
    }
    if (vec != MAP_FAILED) {
        munmap(vec, vec_len);
    }
    return err;
}

static ssize_t uffd_scan(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                         uintptr_t *ret_next)
{
    const struct uffd *uffd = region->tracker->priv;
    ssize_t nr = scan_once(uffd, scan, vec, ret_next);

    while (nr == -EINTR || nr == -EAGAIN) {
        ww_wait_moment();
        nr = scan_once(uffd, scan, vec, ret_next);
    }
    if (nr == -EPERM) {
        /* Part of the range was replaced by a mapping that is not registered.
         * Registering is enough for a safe answer: no page there is armed, so
         * each one that exists counts as written. */
        struct ww_scan again = *scan;
        int err = register_again(uffd, scan->start, scan->end);

        again.dense = region->markers;
        region->lost = true;
        nr = err ? err : scan_once(uffd, &again, vec, ret_next);
    }
    return nr;
}

/* Pages of registered mappings alone, and one is enough. A failure knows nothing. */
static bool uffd_peek(struct ww_tracker *tracker, uintptr_t start, uintptr_t end)
{
    const struct uffd *uffd = tracker->priv;
    struct page_region found = { .start = 0 };
    const struct ww_page_scan request = {
        .start = start,
        .end = end,
        .max_pages = 1,
        .category_inverted = uffd->guard,
        .category_mask = PAGE_IS_WRITTEN | PAGE_IS_WPALLOWED | uffd->guard,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_WRITTEN,
        .vec = &found,
        .vec_len = 1,
    };
    uint64_t walk_end;

    return ww_scan_pages(uffd->pagemap, &request, &walk_end) != 0;
}

/* The slow path repeats one that is interrupted. */
static ssize_t uffd_scan_lockless(struct ww_tracker *tracker, const struct ww_scan *scan,
                                  struct page_region *vec, uintptr_t *ret_next)
{
    return scan_once(tracker->priv, scan, vec, ret_next);
}

/* Whether new memory has pages because the kernel has brought them in by itself (mlockall(2)), which is no
 * write. Where it does not do that, somebody has written to it meanwhile. */
static bool is_populated(const struct ww_region *region, uintptr_t start, uintptr_t end)
{
    return uffd_peek(region->tracker, start, end) && ww_kernel_populates();
}

/* Takes the write-protect bit from pages that exist in the range. In steps, as above. */
static int unprotect_present(const struct uffd *uffd, uintptr_t start, uintptr_t end)
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

/*
 * Arms new private memory in a kernel without a zero page, so that a read makes a page that is clean. What
 * exists behind that was written meanwhile, and stays so: whoever reads a page at this moment is reported,
 * too.
 */
static int arm_holes(const struct uffd *uffd, const struct ww_region *region, uintptr_t start, uintptr_t end)
{
    int err = write_protect(uffd, region, start, end);

    return err ? err : unprotect_present(uffd, start, end);
}

static int uffd_arm(struct ww_region *region)
{
    struct uffd *uffd = region->tracker->priv;
    uintptr_t start = region->range.start, end = region->range.end;
    int err = ww_keep_pages_small(start, end);

    if (!err) {
        err = register_range(uffd, start, end, UFFDIO_REGISTER_MODE_WP);
    }
    if (err == -EBUSY) {
        err = register_over_leftovers(region->tracker, start, end);
    }
    if (err == -ENOMEM) {
        /* Some of its mappings may be registered. None is another's: that is refused before anything is. */
        unregister_range(uffd, start, end);
    }
    if (err) {
        return err;
    }
    if (region->markers || is_populated(region, start, end)) {
        err = write_protect(uffd, region, start, end);
    } else if (region->tracker->no_zero_page) {
        err = arm_holes(uffd, region, start, end);
    }
    if (err) {
        unregister_range(uffd, start, end);
    }
    return err;
}

static int uffd_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    const struct uffd *uffd = region->tracker->priv;
    int err = register_again(uffd, start, end);

    if (!err && (region->markers || is_populated(region, start, end))) {
        err = write_protect(uffd, region, start, end);
    } else if (!err && region->tracker->no_zero_page && !uffd_peek(region->tracker, start, end)) {
        /* Where something was written already, reads of the rest count as writes. */
        err = arm_holes(uffd, region, start, end);
    }
    return err;
}

static ssize_t uffd_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    return ww_uffd_copy(region->tracker->priv, start, src, len);
}

/* Whether missing pages of a private mapping can be filled: those of tmpfs and memfds can, and those of
 * /dev/zero look like anonymous memory and cannot. The kernel says which, without a change: only the former
 * have minor faults, and -EBUSY says that nothing but our own registration is in the way. */
static int check_missing(const struct ww_tracker *tracker, const struct ww_range *part)
{
    struct ww_failure unused;
    struct uffdio_register reg = {
        .range = { .start = part->start, .len = part->end - part->start },
        .mode = UFFDIO_REGISTER_MODE_MINOR,
    };
    bool full;
    int fd = ww_userfaultfd_open(UFFD_FEATURE_WP_ASYNC, tracker->barred, &full, &unused), err;

    if (fd < 0) {
        return 0; /* nobody knows; a page that cannot be filled is buried then */
    }
    err = ioctl(fd, UFFDIO_REGISTER, &reg) && errno == EINVAL ? -EINVAL : 0;
    close(fd);
    return err;
}

static int check_fillable(const struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_range part;
    int err = 0;

    while (!err && region->private_file && ww_mapped_private_file(start, end, &part) > 0) {
        err = check_missing(region->tracker, &part);
        start = part.end;
    }
    return err;
}

/* Missing faults besides: registering again adds the mode, and what is armed stays armed. */
static int uffd_arm_missing(struct ww_region *region, uintptr_t start, uintptr_t end,
                            struct ww_demand *demand)
{
    struct uffd *uffd = region->tracker->priv;
    int err = check_fillable(region, start, end);

    if (!err) {
        err = ww_uffd_serve(uffd, demand);
    }
    return err ? err
               : register_range(uffd, start, end, UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING);
}

static int uffd_disarm(struct ww_region *region)
{
    return unregister_range(region->tracker->priv, region->range.start, region->range.end);
}

static void uffd_close(struct ww_tracker *tracker)
{
    ww_uffd_stop(tracker->priv);
    close_fds(tracker->priv);
    ww_heap_free(tracker->priv);
}

const struct ww_backend ww_backend_uffd = {
    .name = "uffd",
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_LOST_DETECTED | WW_CAP_FREE_ARMING |
            WW_CAP_EXACT | WW_CAP_SHARED | WW_CAP_FILES | WW_CAP_MERGEABLE | WW_CAP_HUGETLB | WW_CAP_FILL |
            WW_CAP_FILL_ON_DEMAND | WW_CAP_KERNEL_FILLS,
    .steps = WW_STEPS_USERFAULTFD | WW_STEP_BIT(WW_STEP_API_ASYNC) | WW_STEP_BIT(WW_STEP_REGISTER) |
             WW_STEP_BIT(WW_STEP_WRITEPROTECT) | WW_STEP_BIT(WW_STEP_COPY) | WW_STEP_BIT(WW_STEP_POISON) |
             WW_STEP_BIT(WW_STEP_WAKE) | WW_STEP_BIT(WW_STEP_UNREGISTER) | WW_STEP_BIT(WW_STEP_PAGEMAP) |
             WW_STEP_BIT(WW_STEP_SCAN) | WW_STEP_BIT(WW_STEP_MADVISE) | WW_STEP_BIT(WW_STEP_FSTAT),
    .dispensable = WW_STEPS_USERFAULTFD | FILL_STEPS,
    .open = uffd_open,
    .check = uffd_check,
    .arm = uffd_arm,
    .scan = uffd_scan,
    .peek = uffd_peek,
    .scan_lockless = uffd_scan_lockless,
    .discard = uffd_discard,
    .fill = uffd_fill,
    .arm_missing = uffd_arm_missing,
    .disarm = uffd_disarm,
    .close = uffd_close,
};
