/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The userfaultfd backend, for kernel 6.7 and newer: registers memory in WP_ASYNC mode, and reads and re-arms
 * it in one step by PAGEMAP_SCAN. Private anonymous memory is armed lazily: a page that exists without a
 * write-protect bit was written, a missing page was not, and the zero page, which a read maps, is told apart.
 * In all other memory, and if the kernel has no zero page, each page is armed in advance, and a missing one
 * gets a write-protect marker.
 *
 * Knows page tables. scan_step.c knows zero pages and the latch.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/uffd/uffd.h"
#include "kernel/advice.h"
#include "kernel/survey.h"
#include "kernel/userfaultfd.h"
#include "process/heap.h"
#include "process/raw.h"

static void close_fds(struct uffd *uffd)
{
    ww_fd_close(&uffd->opened[0]);
    ww_fd_close(&uffd->opened[1]);
    ww_fd_close(&uffd->placeholder);
}

/*
 * In full mode, system calls wait for a page that is filled on demand; in user mode, which every process
 * may use, they get EFAULT there. Both modes track writes alike.
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
    uffd->pagemap = ww_open_file("/proc/self/pagemap", O_RDONLY);
    err = ww_fail(&tracker->failure, uffd->pagemap < 0 ? WW_STEP_PAGEMAP : WW_STEP_FSTAT,
                  ww_fd_take(&uffd->opened[1], uffd->pagemap));
    if (err) {
        ww_fd_close(&uffd->opened[0]);
        return err;
    }
    return 0;
}

/* A page that was moved here may have the bit of an earlier watch, and be written without a trace. */
static int forget_moved_bits(const struct uffd *uffd, const struct ww_region *region, uintptr_t start,
                             uintptr_t end)
{
    return uffd->moves_bits ? ww_uffd_protect(uffd, region, start, end, 0) : 0;
}

/* Registers memory whose mapping was replaced. */
static int register_again(const struct ww_region *region, uintptr_t start, uintptr_t end)
{
    const struct uffd *uffd = region->tracker->priv;
    int err = ww_keep_pages_small(start, end);

    if (!err) {
        err = ww_uffd_register(uffd, start, end, UFFDIO_REGISTER_MODE_WP);
    }
    return err ? err : forget_moved_bits(uffd, region, start, end);
}

/* Registers a range again where the program has replaced mappings and told nobody. None of the pages there is
 * armed, so each one that exists counts as written; if it is not private anonymous memory any more, so do
 * missing ones, which exist elsewhere. */
static int register_unknown(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_mapped mapped;
    int err = register_again(region, start, end);

    if (err || region->markers) {
        return err;
    }
    err = ww_mapped_survey(start, end, &mapped);
    if (!err && mapped.page_size != region->page_size) {
        return -EIO;
    }
    region->markers = err || !mapped.private_anonymous;
    return 0;
}

/* Only one descriptor can register a range. Takes the range away from our own former trackers that still
 * have it, and leaves other programs' descriptors alone. */
static int register_over_stale(const struct ww_tracker *tracker, uintptr_t start, uintptr_t end)
{
    for (const struct ww_tracker *former = tracker->next; former; former = former->next) {
        struct uffd *uffd = former->backend == &ww_backend_uffd ? former->priv : NULL;

        if (uffd && atomic_load(&uffd->has_stale_ranges)) {
            ww_uffd_unregister(uffd, start, end);
        }
    }
    return ww_uffd_register(tracker->priv, start, end, UFFDIO_REGISTER_MODE_WP);
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
        return ww_fail_memory(&tracker->failure);
    }
    err = open_fds(tracker, uffd);
    if (err) {
        ww_heap_free(uffd);
        return err;
    }
    if (!uffd->full) {
        tracker->caps &= ~WW_CAP_KERNEL_FILLS;
    }
    ww_fd_init(&uffd->placeholder, -1);
    uffd->guard = ww_guard_category(uffd->pagemap);
    uffd->moves_bits = ww_kernel_moves_bits();
    tracker->priv = uffd;
    return 0;
}

static ssize_t uffd_scan(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                         uintptr_t *ret_next)
{
    struct ww_scan request = *scan;
    ssize_t nr;

    if (scan->again) {
        int err = register_unknown(region, scan->start, scan->end);

        if (err) {
            return err;
        }
        request.dense = region->markers;
    }
    nr = ww_uffd_scan_patiently(region->tracker, &request, vec, ret_next);
    return nr == -EPERM && !scan->again ? -ESTALE : nr;
}

/* Looks at pages of registered mappings only, and stops at the first one. An error counts as yes. */
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

/*
 * Arms memory page by page, so that a page that a read makes is clean: with markers, and if the kernel has no
 * zero page. A page that exists after that was written meanwhile, and stays dirty; a page that is read at
 * this moment is reported as well.
 */
static int arm_holes(const struct uffd *uffd, const struct ww_region *region, uintptr_t start, uintptr_t end)
{
    int err = ww_uffd_protect(uffd, region, start, end, UFFDIO_WRITEPROTECT_MODE_WP);

    return err ? err : ww_uffd_unprotect_present(uffd, start, end);
}

static int uffd_arm(struct ww_region *region)
{
    struct uffd *uffd = region->tracker->priv;
    uintptr_t start = region->range.start, end = region->range.end;
    int err = ww_keep_pages_small(start, end);

    if (!err) {
        err = ww_uffd_register(uffd, start, end, UFFDIO_REGISTER_MODE_WP);
    }
    if (err == -EBUSY) {
        err = register_over_stale(region->tracker, start, end);
    }
    if (err == -ENOMEM) {
        /* The kernel may have registered some of its mappings. None of them is another descriptor's: the
         * kernel refuses those before it registers anything. */
        ww_uffd_unregister(uffd, start, end);
    }
    if (err) {
        return err;
    }
    err = forget_moved_bits(uffd, region, start, end);
    if (!err && region->markers) {
        err = ww_uffd_protect(uffd, region, start, end, UFFDIO_WRITEPROTECT_MODE_WP);
    } else if (!err && region->tracker->no_zero_page) {
        err = arm_holes(uffd, region, start, end);
    }
    if (err) {
        ww_uffd_unregister(uffd, start, end);
    }
    return err;
}

static bool uffd_arm_left_dirty(const struct ww_region *region)
{
    /* Markers make all clean, and looking through them takes time in proportion to the pages. */
    return !region->markers && uffd_peek(region->tracker, region->range.start, region->range.end);
}

static int uffd_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    const struct uffd *uffd = region->tracker->priv;
    int err = register_again(region, start, end);
    bool has_pages = !err && (region->markers || uffd_peek(region->tracker, start, end));

    if (err) {
        return err;
    }
    /* Pages that mlockall(2) has brought in are no writes. If the kernel does not do that, a thread has
     * written meanwhile. */
    if (has_pages && ww_kernel_populates()) {
        return ww_uffd_protect(uffd, region, start, end, UFFDIO_WRITEPROTECT_MODE_WP);
    }
    /* Without markers, if something was written already, reads of the rest count as writes. */
    if (region->markers || (region->tracker->no_zero_page && !has_pages)) {
        return arm_holes(uffd, region, start, end);
    }
    return 0;
}

static ssize_t uffd_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    return ww_uffd_copy(region->tracker->priv, start, src, len);
}

/* Whether missing pages of a private mapping can be filled. Those of tmpfs and memfds can; those of
 * /dev/zero look like anonymous memory and cannot. The kernel tells them apart without a change: only the
 * former support minor faults. -EBUSY means that only our own registration is in the way. */
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
        return 0; /* unknown; the pager replaces a page that cannot be filled */
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

/* Registers for missing faults too: registering again adds the mode, and what is armed stays armed. */
static int uffd_arm_missing(struct ww_region *region, uintptr_t start, uintptr_t end,
                            struct ww_demand *demand)
{
    struct uffd *uffd = region->tracker->priv;
    int err = check_fillable(region, start, end);

    if (!err) {
        err = ww_uffd_start_pager(uffd, demand);
    }
    if (err) {
        return err;
    }
    err = ww_uffd_register(uffd, start, end, UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING);
    if (err == -ENOMEM || err == -EOPNOTSUPP) {
        /* The kernel has registered some of its mappings. Pages that exist count as written. */
        ww_uffd_unregister(uffd, start, end);
        ww_uffd_register(uffd, start, end, UFFDIO_REGISTER_MODE_WP);
    }
    return err == -EOPNOTSUPP ? -EINVAL : err;
}

static int uffd_disarm(struct ww_region *region)
{
    return ww_uffd_unregister(region->tracker->priv, region->range.start, region->range.end);
}

static void uffd_close(struct ww_tracker *tracker)
{
    ww_uffd_stop_pager(tracker->priv);
    close_fds(tracker->priv);
    ww_heap_free(tracker->priv);
}

const struct ww_backend ww_backend_uffd = {
    .name = "uffd",
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_LOST_DETECTED | WW_CAP_FREE_ARMING |
            WW_CAP_EXACT | WW_CAP_SHARED | WW_CAP_FILES | WW_CAP_INTERNAL_MERGEABLE | WW_CAP_HUGETLB |
            WW_CAP_FILL | WW_CAP_FILL_ON_DEMAND | WW_CAP_KERNEL_FILLS,
    .steps = WW_STEPS_USERFAULTFD | WW_STEP_BIT(WW_STEP_API_ASYNC) | WW_STEP_BIT(WW_STEP_REGISTER) |
             WW_STEP_BIT(WW_STEP_WRITEPROTECT) | WW_STEP_BIT(WW_STEP_COPY) | WW_STEP_BIT(WW_STEP_POISON) |
             WW_STEP_BIT(WW_STEP_WAKE) | WW_STEP_BIT(WW_STEP_UNREGISTER) | WW_STEP_BIT(WW_STEP_PAGEMAP) |
             WW_STEP_BIT(WW_STEP_SCAN) | WW_STEP_BIT(WW_STEP_MADVISE) | WW_STEP_BIT(WW_STEP_FSTAT),
    .dispensable = WW_STEPS_USERFAULTFD | WW_UFFD_FILL_STEPS,
    .open = uffd_open,
    .check = ww_uffd_check,
    .arm = uffd_arm,
    .arm_left_dirty = uffd_arm_left_dirty,
    .scan = uffd_scan,
    .peek = uffd_peek,
    .scan_lockless = ww_uffd_scan,
    .discard = uffd_discard,
    .fill = uffd_fill,
    .arm_missing = uffd_arm_missing,
    .disarm = uffd_disarm,
    .close = uffd_close,
};
