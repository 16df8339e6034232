/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The userfaultfd backend: WP_ASYNC registration, and PAGEMAP_SCAN to read and
 * re-arm in one step. Private anonymous memory is armed lazily: a page that exists
 * and carries no write-protect bit was written, a page that does not exist was
 * not. In all other memory each page is armed up front, and one that does not
 * exist gets a marker. Kernel 6.7 and newer.
 *
 * Knows page tables, not answers: zero pages and the latch are harvest.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fd.h"
#include "heap.h"
#include "internal.h"
#include "uffd.h"

static void close_fds(struct uffd *uffd)
{
    ww_fd_close(&uffd->opened[0]);
    ww_fd_close(&uffd->opened[1]);
}

/*
 * In full mode, system calls that touch a page that is filled on demand wait for it;
 * in user mode, which everybody may have, they get EFAULT. Writes are tracked alike.
 */
static int open_userfaultfd(bool *ret_full)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    int err;

    *ret_full = fd >= 0;
    if (fd < 0) {
        fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    }
    if (fd < 0) {
        /* Kernels before 5.11 do not know UFFD_USER_MODE_ONLY. */
        return errno == EINVAL ? -EOPNOTSUPP : -errno;
    }
    if (!ioctl(fd, UFFDIO_API, &api)) {
        return fd;
    }
    err = errno == EINVAL ? -EOPNOTSUPP : -errno;
    close(fd);
    return err;
}

static int open_fds(struct uffd *uffd)
{
    int err;

    uffd->fd = open_userfaultfd(&uffd->full);
    if (uffd->fd < 0) {
        return uffd->fd;
    }
    uffd->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (uffd->pagemap < 0) {
        err = -errno;
        close(uffd->fd);
        return err;
    }
    ww_fd_init(&uffd->opened[0], uffd->fd);
    ww_fd_init(&uffd->opened[1], uffd->pagemap);
    return 0;
}

/* Idempotent: memory that is registered already keeps what it knows. */
static int register_range(const struct uffd *uffd, uintptr_t start, uintptr_t end, int mode)
{
    struct uffdio_register reg = {
        .range = { .start = start, .len = end - start },
        .mode = mode,
    };

    return ioctl(uffd->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

/* Makes every page of the range clean, and gives those that do not exist a marker.
 * In steps, so that mmap() in other threads does not stall. */
static int write_protect(const struct uffd *uffd, const struct ww_region *region, uintptr_t start,
                         uintptr_t end)
{
    size_t step = region->grain > WW_SCAN_BYTES ? region->grain : WW_SCAN_BYTES;

    while (start < end) {
        struct uffdio_writeprotect protect = {
            .range = { .start = start, .len = end - start < step ? end - start : step },
            .mode = UFFDIO_WRITEPROTECT_MODE_WP,
        };

        if (!ioctl(uffd->fd, UFFDIO_WRITEPROTECT, &protect)) {
            start += protect.range.len;
        } else if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
    return 0;
}

/* The same for memory whose mapping was replaced. It may have holes by now
 * (ENOMEM), which is no reason to leave the rest of it untracked. */
static int register_again(const struct uffd *uffd, uintptr_t start, uintptr_t end)
{
    int err = ww_keep_pages_small(start, end);

    return err && err != -ENOMEM ? err : register_range(uffd, start, end, UFFDIO_REGISTER_MODE_WP);
}

static void unregister_range(struct uffd *uffd, uintptr_t start, uintptr_t end)
{
    struct uffdio_range range = { .start = start, .len = end - start };

    if (ioctl(uffd->fd, UFFDIO_UNREGISTER, &range)) {
        atomic_store(&uffd->leftovers, true);
    }
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

/* 6.7 to 6.8.9 lose the dirty bit of swapped and young pages in a scan: no probe
 * of a few pages shows that, the version does. */
bool ww_uffd_has_known_bug(void)
{
    struct utsname name;
    unsigned int major = 0, minor = 0, micro = 0;

    if (uname(&name)) {
        return false;
    }
    sscanf(name.release, "%u.%u.%u", &major, &minor, &micro);
    return major == 6 && (minor == 7 || (minor == 8 && micro < 10));
}

static int uffd_open(struct ww_tracker *tracker)
{
    struct uffd *uffd;
    int err;

    if (ww_uffd_has_known_bug()) {
        return -EIO;
    }
    uffd = ww_heap_alloc(sizeof(*uffd));
    if (!uffd) {
        return -ENOMEM;
    }
    err = open_fds(uffd);
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
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .flags = PM_SCAN_CHECK_WPASYNC | (scan->reset ? PM_SCAN_WP_MATCHING : 0),
        .start = scan->start,
        .end = scan->end,
        .vec = (uintptr_t)vec,
        /* No longer than needed: the kernel allocates as much at each call. */
        .vec_len = max_runs < WW_SCAN_VEC_LEN ? max_runs : WW_SCAN_VEC_LEN,
        .max_pages = scan->max_pages,
        .category_inverted = guard,
        .category_mask = PAGE_IS_WRITTEN | guard,
        .category_anyof_mask = scan->dense ? 0 : PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = scan->dense ? PAGE_IS_WRITTEN : PAGE_IS_WRITTEN | PAGE_IS_PFNZERO,
    };
    ssize_t nr = ioctl(uffd->pagemap, PAGEMAP_SCAN, &arg);
    int err = errno;

    if (nr >= 0) {
        if (arg.walk_end <= scan->start) {
            return nr ? (*ret_next = vec[nr - 1].end, nr) : -EIO;
        }
        *ret_next = arg.walk_end;
        return nr;
    }
    /* An error in the middle has reset what the vector holds: walk_end says
     * nothing then, the entries do. The error comes back on the next call. */
    for (nr = 0; nr < (ssize_t)arg.vec_len && vec[nr].end; nr++) {
        ;
    }
    if (!nr) {
        return -err;
    }
    *ret_next = vec[nr - 1].end;
    return nr;
}

/* Sets up a scratch area, and runs write, get and reset on it. 0, -EIO for wrong answers. */
static int try_effect(const struct uffd *uffd, char *area, struct page_region *vec)
{
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
    int err = register_range(uffd, scan.start, scan.end, UFFDIO_REGISTER_MODE_WP);

    if (err) {
        return err;
    }
    area[0] = 1;
    area[2 * page] = 1;
    nr = scan_once(uffd, &scan, vec, &next);
    if (nr < 0) {
        return nr;
    }
    if (nr != 2 || vec[0].start != scan.start || vec[1].start != scan.start + 2 * page) {
        return -EIO;
    }
    area[2 * page] = 2;
    memset(vec, 0, nr * sizeof(vec[0]));
    nr = scan_once(uffd, &scan, vec, &next);
    if (nr < 0) {
        return nr;
    }
    return nr == 1 && vec[0].start == scan.start + 2 * page && next == scan.end ? 0 : -EIO;
}

/*
 * Whether pages that were filled are clean until they are written, and poisoned ones
 * can be. The area is registered and has not been touched. 0, -EIO.
 */
static int try_fill(const struct uffd *uffd, char *area, struct page_region *vec)
{
    size_t page = ww_page_size();
    uintptr_t start = (uintptr_t)area, next;
    struct ww_scan scan = { .start = start, .end = start + 3 * page, .max_pages = 3, .max_runs = 3 };

    /* The vector serves as content. */
    if (ww_uffd_copy(uffd, start, vec, 2 * page) != (ssize_t)(2 * page) ||
        ww_uffd_poison(uffd, start + 2 * page)) {
        return -EIO;
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
    int err = -ENOMEM;

    if (area != MAP_FAILED && vec != MAP_FAILED) {
        err = try_effect(uffd, area, vec);
        memset(vec, 0, vec_len);
        if (!err && (madvise(area, len, MADV_DONTNEED) || try_fill(uffd, area, vec))) {
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
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .start = start,
        .end = end,
        .vec = (uintptr_t)&found,
        .vec_len = 1,
        .max_pages = 1,
        .category_inverted = uffd->guard,
        .category_mask = PAGE_IS_WRITTEN | PAGE_IS_WPALLOWED | uffd->guard,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_WRITTEN,
    };
    int saved = errno;
    bool may_be = ioctl(uffd->pagemap, PAGEMAP_SCAN, &arg) != 0;

    errno = saved;
    return may_be;
}

/* One that is interrupted is left to the ordinary way. */
static ssize_t uffd_scan_alone(struct ww_tracker *tracker, const struct ww_scan *scan,
                               struct page_region *vec, uintptr_t *ret_next)
{
    int saved = errno;
    ssize_t nr = scan_once(tracker->priv, scan, vec, ret_next);

    errno = saved;
    return nr;
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
    if (!err && region->markers) {
        err = write_protect(uffd, region, start, end);
        if (err) {
            unregister_range(uffd, start, end);
        }
    }
    return err;
}

static int uffd_split(struct ww_region *region, struct ww_region *upper)
{
    (void)region;
    (void)upper;
    return 0;
}

static void uffd_join(struct ww_region *region, struct ww_region *upper)
{
    (void)region;
    (void)upper;
}

static int uffd_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    const struct uffd *uffd = region->tracker->priv;
    int err = register_again(uffd, start, end);

    return err || !region->markers ? err : write_protect(uffd, region, start, end);
}

static int uffd_protect(struct ww_region *region, uintptr_t start, uintptr_t end, int prot)
{
    (void)region;
    return mprotect((void *)start, end - start, prot) ? -errno : 0;
}

static ssize_t uffd_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    return ww_uffd_copy(region->tracker->priv, start, src, len);
}

/* Whether missing pages of a private mapping can be filled: those of tmpfs and memfds can, and those of
 * /dev/zero look like anonymous memory and cannot. The kernel says which, without a change: only the former
 * have minor faults, and -EBUSY says that nothing but our own registration is in the way. */
static int check_missing(const struct uffd *uffd, const struct ww_range *part)
{
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register reg = {
        .range = { .start = part->start, .len = part->end - part->start },
        .mode = UFFDIO_REGISTER_MODE_MINOR,
    };
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | (uffd->full ? 0 : UFFD_USER_MODE_ONLY)), err;

    if (fd < 0) {
        return 0; /* nobody knows; a page that cannot be filled is buried then */
    }
    err = !ioctl(fd, UFFDIO_API, &api) && ioctl(fd, UFFDIO_REGISTER, &reg) && errno == EINVAL ? -EINVAL : 0;
    close(fd);
    return err;
}

static int check_supply(const struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_range part;
    int err = 0;

    while (!err && region->private_file && ww_mapped_private_file(start, end, &part) > 0) {
        err = check_missing(region->tracker->priv, &part);
        start = part.end;
    }
    return err;
}

/* Missing faults besides: registering again adds the mode, and what is armed stays armed. */
static int uffd_supply(struct ww_region *region, uintptr_t start, uintptr_t end, struct ww_supply *supply)
{
    struct uffd *uffd = region->tracker->priv;
    int err = check_supply(region, start, end);

    if (!err) {
        err = ww_uffd_serve(uffd, supply);
    }
    return err ? err
               : register_range(uffd, start, end, UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING);
}

static void uffd_disarm(struct ww_region *region)
{
    unregister_range(region->tracker->priv, region->range.start, region->range.end);
}

static void uffd_release(struct ww_region *region)
{
    (void)region;
}

static void uffd_close(struct ww_tracker *tracker)
{
    ww_uffd_stop(tracker->priv);
    close_fds(tracker->priv);
    ww_heap_free(tracker->priv);
}

static const struct ww_refusal refusals[] = {
    { -EPERM, "the userfaultfd system call is denied here",
      "allow userfaultfd in the seccomp profile of the container or sandbox" },
    { -ENOSYS, "the kernel, or a seccomp profile, does not offer userfaultfd",
      "use a kernel with CONFIG_USERFAULTFD, or allow userfaultfd in the sandbox" },
    { -EOPNOTSUPP, "the kernel cannot track writes by userfaultfd (WP_ASYNC)", "use kernel 6.8.10 or newer" },
    { -ENOTTY, "the kernel has no PAGEMAP_SCAN", "use kernel 6.8.10 or newer" },
    { -ENOENT, "/proc/self/pagemap does not exist", "mount /proc" },
    { -EACCES, "/proc/self/pagemap cannot be opened", "let the process be dumpable when it starts" },
    { -EIO, "the kernel gives wrong answers (6.7 to 6.8.9 lose dirty bits; others fail the self test)",
      "use kernel 6.8.10 or newer" },
    { 0 },
};

const struct ww_backend ww_backend_uffd = {
    .name = "uffd",
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_LOST_DETECTED | WW_CAP_FREE_ARMING |
            WW_CAP_EXACT | WW_CAP_SHARED | WW_CAP_FILES | WW_CAP_MERGEABLE | WW_CAP_HUGETLB | WW_CAP_FILL |
            WW_CAP_FILL_ON_DEMAND | WW_CAP_KERNEL_FILLS,
    .refusals = refusals,
    .open = uffd_open,
    .check = uffd_check,
    .arm = uffd_arm,
    .split = uffd_split,
    .join = uffd_join,
    .scan = uffd_scan,
    .peek = uffd_peek,
    .scan_alone = uffd_scan_alone,
    .discard = uffd_discard,
    .protect = uffd_protect,
    .fill = uffd_fill,
    .supply = uffd_supply,
    .disarm = uffd_disarm,
    .release = uffd_release,
    .close = uffd_close,
};
