/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public calls that give pages their first content without counting it as written: at once (ww_fill) or
 * at the first access (ww_fill_on_demand). A backend installs the page; demand.c asks for the content.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "context.h"
#include "hold.h"
#include "scan_step.h"

/*
 * Copies part of the caller's memory into our own with no lock held, since reading it may wait for a
 * callback. The kernel copies, for which unreadable memory is an error and no signal; where a sandbox
 * forbids that call, memcpy() does. Returns the number of bytes, in whole pages, or -EFAULT.
 */
static ssize_t copy_in(void *bounce, const void *src, size_t len)
{
    struct iovec to = { .iov_base = bounce, .iov_len = len };
    struct iovec from = { .iov_base = (void *)src, .iov_len = len };
    ssize_t nr;

    do {
        nr = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
    } while (nr < 0 && errno == EINTR);
    if (nr < 0 && errno != EFAULT) {
        memcpy(bounce, src, len);
        nr = len;
    }
    if (nr > 0) {
        nr &= ~(ww_page_size() - 1);
    }
    return nr > 0 ? nr : -EFAULT;
}

/* Whether the backend has @cap for this region. Huge pages cannot be filled page by page, so they are
 * excluded. */
static bool supports(const struct ww_region *region, uint32_t cap)
{
    return (region->tracker->caps & cap) && region->page_size == ww_page_size();
}

/* Whether the range lies within one region whose backend has @cap. */
static int check_fill(struct ww_context *ctx, const struct ww_range *range, uint32_t cap)
{
    struct ww_hold hold;
    int err = ww_hold_to_read(ctx, range, &hold);

    if (!err) {
        err = supports(hold.region, cap) ? 0 : -EOPNOTSUPP;
        ww_hold_end(&hold);
    }
    return err;
}

static ssize_t fill_piece(struct ww_context *ctx, const struct ww_range *piece, const void *content)
{
    struct ww_hold hold;
    ssize_t nr = ww_hold_to_change(ctx, piece, &hold);

    if (nr) {
        return nr;
    }
    nr = ww_backend_fill(hold.region, piece->start, content, piece->end - piece->start);
    if (nr == -EFAULT || nr == -EIO) {
        nr = -EINVAL; /* the content is ours, so it is the memory that cannot be filled */
    } else if (nr == -ENOTTY) {
        nr = -EBADF; /* the number of our descriptor is another file's */
    } else if (nr == -EPERM || nr == -EACCES || nr == -ENOSYS) {
        nr = -EOPNOTSUPP; /* a sandbox that came later */
    }
    if (nr > 0 && !hold.region->markers) {
        /* The page holds data. If it is a zero page one day, somebody wrote zeros. */
        ww_page_set_add(&hold.region->reported, piece->start, piece->start + nr);
    }
    ww_hold_end(&hold);
    return nr;
}

WW_API ssize_t ww_fill(struct ww_context *ctx, void *dst, const void *src, size_t len)
{
    struct ww_scratch *scratch;
    struct ww_range range;
    ssize_t nr = ww_range_exact(ctx, dst, len, &range);
    size_t done = 0;

    if (!nr) {
        nr = src ? check_fill(ctx, &range, WW_CAP_FILL) : -EINVAL;
    }
    if (nr) {
        return nr;
    }
    scratch = ww_scratch_get(&ctx->scratch);
    if (!scratch) {
        return -ENOMEM;
    }
    while (done < len) {
        size_t want = len - done < sizeof(scratch->bounce) ? len - done : sizeof(scratch->bounce);
        struct ww_range piece = { .start = range.start + done };

        nr = copy_in(scratch->bounce, (const char *)src + done, want);
        if (nr < 0) {
            break;
        }
        piece.end = piece.start + nr;
        nr = fill_piece(ctx, &piece, scratch->bounce);
        if (nr < 0) {
            break;
        }
        done += nr;
        if ((uintptr_t)nr < piece.end - piece.start) {
            break;
        }
    }
    ww_scratch_put(&ctx->scratch, scratch);
    return done ? (ssize_t)done : nr;
}

/*
 * Latches and resets what exists already: zero pages among it come from reads and do not count. After that
 * no read makes a zero page any more, so zero pages count (scan_step.c).
 */
static int demand_page(struct ww_context *ctx, struct ww_region *region, const struct ww_range *range,
                       ww_fill_fn fill, void *arg)
{
    int err;

    if (!supports(region, WW_CAP_FILL_ON_DEMAND)) {
        return -EOPNOTSUPP;
    }
    err = ww_demand_add(&ctx->demand, range, fill, arg);
    if (err) {
        return err;
    }
    err = ww_demand_rearm(&ctx->demand, region, range->start, range->end);
    if (!err) {
        err = ww_latch_range(ctx, region, range->start, range->end);
    }
    if (err) {
        ww_demand_end(&ctx->demand, range->start, range->end);
    } else {
        ww_demand_count_zeros(&ctx->demand, range->start, range->end);
    }
    return err;
}

WW_API int ww_fill_on_demand(struct ww_context *ctx, void *addr, size_t len, ww_fill_fn fill, void *arg)
{
    struct ww_failure unused;
    struct ww_range range;
    struct ww_hold hold;
    int err = ww_range_exact(ctx, addr, len, &range);

    if (err || !fill) {
        return err ? err : -EINVAL;
    }
    err = check_fill(ctx, &range, WW_CAP_FILL_ON_DEMAND);
    if (!err) {
        /* For the pager, if there is none yet. If this fails, starting the pager returns the error. */
        ww_workers_reserve(&ctx->workers, 1, WW_CALLBACK_STACK_BYTES, &unused);
        err = ww_hold_to_change(ctx, &range, &hold);
    }
    if (err) {
        return err;
    }
    err = demand_page(ctx, hold.region, &range, fill, arg);
    ww_hold_end(&hold);
    if (!err) {
        /* For the pager of a backend that takes over in the middle of a scan. */
        ww_workers_reserve(&ctx->workers, 1, WW_CALLBACK_STACK_BYTES, &unused);
    } else if (err != -EEXIST) {
        ww_demand_wait(&ctx->demand, range.start, range.end);
    }
    return err;
}
