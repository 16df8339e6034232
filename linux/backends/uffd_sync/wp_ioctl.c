/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ioctls of the uffd-sync backend, one function each, and what their errors mean. Knows descriptors and
 * ranges, neither dirty bits nor threads.
 *
 * Older kernels (6.1) accept one mapping a call and return ENOENT if a range contains a border, such as
 * mprotect(2) makes. UFFDIO_UNREGISTER returns EINVAL if one mapping in a range is of a wrong kind. So a
 * refused range is tried again in halves.
 */
#include <errno.h>
#include <unistd.h>

#include "backends/uffd_sync/uffd_sync.h"
#include "kernel/userfaultfd.h"
#include "process/raw.h"

/* The most page tables that one ioctl walks, so that mmap() in other threads does not stall. */
#define MAX_BYTES ((uintptr_t)256 << 20)

/* Returns false only if the number is closed or another file's: a sandbox may deny the check. */
bool ww_sync_is_ours(const struct ww_sync *sync)
{
    return ww_fd_look(&sync->opened) != 0;
}

int ww_sync_open_uffd(struct ww_sync *sync, uint64_t barred, struct ww_failure *failure)
{
    bool full;
    int fd = ww_userfaultfd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP, barred, &full, failure);

    if (fd < 0) {
        return fd;
    }
    sync->uffd = fd;
    sync->user_mode_only = !full;
    return ww_fail(failure, WW_STEP_FSTAT, ww_fd_take(&sync->opened, fd));
}

/* Calls @try on the range in pieces of at most @max bytes, and again in halves down to @min if a piece is
 * refused as a whole. Does everything that can be done, then returns the first error. */
static int in_pieces(const struct ww_sync *sync, uintptr_t start, uintptr_t end, uintptr_t max, uintptr_t min,
                     int (*try)(const struct ww_sync *, uintptr_t, uintptr_t))
{
    int err = 0, first_err = 0;

    for (uintptr_t stop; start < end; start = stop) {
        stop = end - start > max ? start + max : end;
        err = try(sync, start, stop);
        if ((err == -ENOENT || err == -EINVAL) && stop - start > min) {
            uintptr_t half = ((stop - start) >> ww_page_shift) / 2 << ww_page_shift;

            err = in_pieces(sync, start, stop, half, min, try);
        }
        first_err = first_err ? first_err : err;
    }
    return first_err;
}

int ww_sync_register(const struct ww_sync *sync, uintptr_t start, uintptr_t end, bool missing)
{
    struct uffdio_register reg = {
        .range = { .start = start, .len = end - start },
        .mode = UFFDIO_REGISTER_MODE_WP | (missing ? UFFDIO_REGISTER_MODE_MISSING : 0),
    };
    const uint64_t need =
        UINT64_C(1) << _UFFDIO_COPY | UINT64_C(1) << _UFFDIO_WRITEPROTECT | UINT64_C(1) << _UFFDIO_ZEROPAGE;

    if (ioctl(sync->uffd, UFFDIO_REGISTER, &reg)) {
        return -errno;
    }
    /* Pages of hugetlbfs cannot be zero pages. */
    if ((reg.ioctls & need) != need) {
        ww_sync_unregister(sync, start, end);
        return -EINVAL;
    }
    return 0;
}

static int unregister_piece(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    struct uffdio_range range = { .start = start, .len = end - start };

    return ioctl(sync->uffd, UFFDIO_UNREGISTER, &range) ? -errno : 0;
}

/* The kernel wakes threads that wait for a missing page, but not those that wait to write to a protected
 * one. */
int ww_sync_unregister(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    /* Nothing may be left there to unregister, which fails with the same error; @min bounds the search. */
    uintptr_t max = end - start, min = max >> 10 > ww_page_size() ? max >> 10 : ww_page_size();
    int err = in_pieces(sync, start, end, max, min, unregister_piece);

    ww_sync_wake(sync, start, end);
    return err;
}

/*
 * UFFDIO_CONTINUE (5.13) supports the page cache alone, and fails on private memory. But first it checks
 * whether the range is one registered mapping, and returns ENOENT if not; learn_kinds() found what it
 * returns otherwise. On shared memory it maps pages, also in place of markers, which is harmless only
 * before they are protected.
 */
int ww_sync_kind(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    struct uffdio_continue arg = { .range = { .start = start, .len = end - start } };
    int err;

    if (!sync->tells_lost) {
        return WW_SYNC_PRIVATE;
    }
    err = ioctl(sync->uffd, UFFDIO_CONTINUE, &arg) ? errno : 0;
    while (err == EINTR) {
        err = ioctl(sync->uffd, UFFDIO_CONTINUE, &arg) ? errno : 0;
    }
    if (err == sync->kind_error) {
        return WW_SYNC_PRIVATE;
    }
    switch (err) {
    case ENOENT:
        return WW_SYNC_LOST;
    case 0:
    case EEXIST:
    case EFAULT:
    case EAGAIN:
        return WW_SYNC_SHARED;
    default:
        return -err;
    }
}

static int protect_piece(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    struct uffdio_writeprotect arg = {
        .range = { .start = start, .len = end - start },
        .mode = UFFDIO_WRITEPROTECT_MODE_WP,
    };
    int err;

    while ((err = ioctl(sync->uffd, UFFDIO_WRITEPROTECT, &arg) ? -errno : 0) == -EAGAIN || err == -EINTR) {
        ww_wait_moment();
    }
    return err;
}

int ww_sync_protect(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    return in_pieces(sync, start, end, MAX_BYTES, ww_page_size(), protect_piece);
}

/* The trap may lie too near the end of the address space for a long range: then the range is tried in
 * pieces of this size. */
#define TRAP_BYTES ((uintptr_t)64 << 20)

/* UFFDIO_COPY, too, looks up the mapping first. It then reads the source, before it looks at the pages of
 * the range, and the trap cannot be read. 0, or -ENOENT: not one registered mapping. */
static int look_up(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    struct uffdio_copy arg = {
        .dst = start,
        .src = (uintptr_t)sync->trap,
        .len = end - start,
        .mode = UFFDIO_COPY_MODE_DONTWAKE,
    };
    int err;

    do {
        err = ioctl(sync->uffd, UFFDIO_COPY, &arg) ? errno : 0;
    } while (err == EINTR || err == EAGAIN);
    if (err == ENOMEM) {
        /* Perhaps a file system is full. An open page has its dirty bit, so it may be protected. */
        return protect_piece(sync, start, end);
    }
    return err == EFAULT ? 0 : err ? -err : -EIO;
}

int ww_sync_is_registered(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    int err = look_up(sync, start, end);

    if (err == -EINVAL && end - start > TRAP_BYTES) {
        for (err = 0; !err && start < end; start += TRAP_BYTES) {
            err = look_up(sync, start, end - start > TRAP_BYTES ? start + TRAP_BYTES : end);
        }
    }
    return err == -ENOENT ? 0 : err ? err : 1;
}

static int unprotect_piece(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    struct uffdio_writeprotect arg = { .range = { .start = start, .len = end - start } };

    return ioctl(sync->uffd, UFFDIO_WRITEPROTECT, &arg) ? -errno : 0;
}

int ww_sync_unprotect(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    return in_pieces(sync, start, end, MAX_BYTES, ww_page_size(), unprotect_piece);
}

static ssize_t copy_once(const struct ww_sync *sync, uintptr_t start, const void *src, size_t len,
                         bool protect)
{
    struct uffdio_copy arg = {
        .dst = start,
        .src = (uintptr_t)src,
        .len = len,
        .mode = protect ? UFFDIO_COPY_MODE_WP : 0,
    };

    if (!ioctl(sync->uffd, UFFDIO_COPY, &arg)) {
        return len;
    }
    return arg.copy > 0 ? arg.copy : -errno;
}

ssize_t ww_sync_copy(const struct ww_sync *sync, uintptr_t start, const void *src, size_t len, bool protect)
{
    size_t done = 0, page = ww_page_size();
    ssize_t nr = 0;

    while (done < len && nr >= 0) {
        const char *from = (const char *)src + done;

        nr = copy_once(sync, start + done, from, len - done, protect);
        if (nr == -ENOENT && len - done > page) {
            /* The range contains the border of a mapping. */
            nr = copy_once(sync, start + done, from, page, protect);
        }
        if (nr > 0) {
            done += nr;
        }
    }
    return done ? (ssize_t)done : nr;
}

static int zero_piece(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    while (start < end) {
        struct uffdio_zeropage arg = { .range = { .start = start, .len = end - start } };
        int err = ioctl(sync->uffd, UFFDIO_ZEROPAGE, &arg) ? errno : 0;

        if (!err) {
            return 0;
        }
        if (arg.zeropage > 0) {
            start += arg.zeropage;
        } else if (err == EEXIST) {
            start += ww_page_size();
        } else if (err == EAGAIN || err == EINTR) {
            ww_wait_moment();
        } else {
            return -err;
        }
    }
    return 0;
}

int ww_sync_fill_holes(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    return in_pieces(sync, start, end, MAX_BYTES, ww_page_size(), zero_piece);
}

void ww_sync_wake(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    struct uffdio_range range = { .start = start, .len = end - start };

    ioctl(sync->uffd, UFFDIO_WAKE, &range);
}
