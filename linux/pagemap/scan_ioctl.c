/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers a scan by PAGEMAP_SCAN. The kernel writes into a vector of ours, because only the vector tells what
 * it has write-protected. If the vector were not writable, or an error in the middle hid what it holds, that
 * would be lost.
 *
 * The walk is divided into pieces: the kernel holds mmap_lock for reading while an ioctl runs, which stalls
 * mmap() in the scanned process. A piece is 64 MB long at first, and becomes longer while pieces finish
 * quickly, as in holes.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "kernel/facts.h"
#include "pagemap/pagemap.h"
#include "process/raw.h"

#define MAX_PIECE ((uint64_t)16 << 30)
/* Above this address a mapping lies only where a program has asked for the address, on few machines.
 * Kernels such as 6.12 still accept scans up to 1 << 63. */
#define HIGH_ADDRESS ((uint64_t)1 << 47)
#define MAX_HIGH_PIECE ((uint64_t)1 << 52)
/* Added to the time that an empty call takes on this machine. */
#define FAST_NS 100000
/* The largest page size. The kernel cannot write-protect a page if the piece ends inside it. */
#define LARGEST_PAGE ((uint64_t)1 << 30)

/* Results of a piece, besides errors. */
enum {
    PIECE_DONE = 0,
    PIECE_NO_PROGRESS = 1, /* found nothing, and the kernel went no farther */
    PIECE_LAST = 2,        /* found something, and the kernel stopped before the end of the last region */
};

static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Moves what the kernel found into the sink, and returns the number of regions. */
static size_t take_regions(struct ww_pagemap *pagemap, ssize_t nr, struct ww_page_sink *sink)
{
    size_t taken = 0;

    /* After an error the kernel does not return the number. */
    while (taken < (nr < 0 ? WW_SCAN_VEC_LEN : (size_t)nr) && pagemap->regions[taken].end) {
        struct page_region *region = &pagemap->regions[taken++];

        ww_page_sink_add(sink, region->start, region->end, region->categories);
    }
    return taken;
}

/* Scans from *pos, which advances, up to @stop. One of the above, or a negative errno. */
static int scan_piece(struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan, uint64_t stop,
                      struct ww_page_sink *sink, uint64_t *pos)
{
    size_t slots = sink->len - sink->nr, taken;
    const struct ww_page_scan request = {
        .start = *pos,
        .end = stop,
        .flags = scan->flags,
        .max_pages = sink->room,
        .category_inverted = scan->category_inverted,
        .category_mask = scan->category_mask,
        .category_anyof_mask = scan->category_anyof_mask,
        .return_mask = scan->return_mask,
        .vec = pagemap->regions,
        .vec_len = slots < WW_SCAN_VEC_LEN ? slots : WW_SCAN_VEC_LEN,
    };
    uint64_t walk_end = *pos, last_end;
    ssize_t nr = ww_scan_pages(pagemap->fd, &request, &walk_end);
    int err = nr < 0 ? nr : 0;

    taken = take_regions(pagemap, nr, sink);
    last_end = taken ? pagemap->regions[taken - 1].end : *pos;
    memset(pagemap->regions, 0, taken * sizeof(pagemap->regions[0]));
    if (err) {
        /* walk_end is not set then. If there are regions, the next call reports the error behind them. */
        *pos = last_end;
        if (!taken && err == -EAGAIN) {
            ww_wait_moment();
        }
        return taken || err == -EINTR || err == -EAGAIN ? PIECE_DONE : err;
    }
    if (!taken && walk_end <= *pos) {
        return PIECE_NO_PROGRESS;
    }
    *pos = walk_end;
    return walk_end < last_end ? PIECE_LAST : PIECE_DONE;
}

/* The end of the next piece: @size further on, at a multiple of the smallest size. */
static uint64_t piece_end(uint64_t pos, uint64_t size, uint64_t end)
{
    uint64_t stop = (pos + size) & ~((uint64_t)WW_SCAN_BYTES - 1);

    return stop < end ? stop : end;
}

/*
 * Ends a piece before the first huge page that matches, or after those at its beginning, as many as fit.
 * If max_pages would cut a hugetlb page, the kernel does not protect it and silently goes on after it, so
 * such a request must never be made. The kernel does not show whether huge pages are hugetlb's or
 * transparent.
 */
static bool shorten_piece(struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan, uint64_t pos,
                          uint64_t room, uint64_t *stop)
{
    const struct ww_page_scan request = {
        .start = pos,
        .end = *stop,
        .max_pages = room,
        .category_inverted = scan->category_inverted,
        .category_mask = scan->category_mask,
        .category_anyof_mask = scan->category_anyof_mask,
        .return_mask = PAGE_IS_HUGE,
        .vec = pagemap->regions,
        .vec_len = WW_SCAN_VEC_LEN,
    };
    uint64_t walk_end;
    ssize_t nr = ww_scan_pages(pagemap->fd, &request, &walk_end);
    bool shortened = false;

    for (ssize_t i = 0; i < nr && !shortened; i++) {
        const struct page_region *region = &pagemap->regions[i];

        if (region->categories & PAGE_IS_HUGE) {
            *stop = region->start > pos ? region->start : region->end;
            shortened = true;
        }
    }
    memset(pagemap->regions, 0, sizeof(pagemap->regions));
    return shortened;
}

static int ioctl_walk(struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan,
                      struct ww_page_sink *sink, uint64_t *ret_pos)
{
    uint64_t pos = scan->start, size = WW_SCAN_BYTES;
    bool may_cut = (scan->flags & WW_PM_SCAN_WP_MATCHING) && scan->max_pages;
    int result = PIECE_DONE;

    while (pos < scan->end && !ww_page_sink_is_full(sink) && !result) {
        uint64_t stop = piece_end(pos, size, scan->end), started = now_ns();
        bool shortened = may_cut && shorten_piece(pagemap, scan, pos, sink->room, &stop);

        result = scan_piece(pagemap, scan, stop, sink, &pos);
        if (result == PIECE_NO_PROGRESS && stop < scan->end && !shortened) {
            /* The end of the piece is our choice, and may lie inside a page larger than the smallest
             * piece. */
            stop = (pos + LARGEST_PAGE) & ~(LARGEST_PAGE - 1);
            result = scan_piece(pagemap, scan, stop < scan->end ? stop : scan->end, sink, &pos);
        }
        /* By halves, so that one delay from outside does not slow down the whole rest. */
        if (now_ns() - started > pagemap->fast_ns) {
            size = size > WW_SCAN_BYTES ? size / 2 : size;
        } else if (size < (pos < HIGH_ADDRESS ? MAX_PIECE : MAX_HIGH_PIECE)) {
            size *= 2;
        }
    }
    *ret_pos = pos;
    result = result == PIECE_NO_PROGRESS ? -EINVAL : result < 0 ? result : 0;
    return ww_fail(&pagemap->failure, WW_STEP_PROC_SCAN, result);
}

/* Makes an empty scan at @addr: 0 if the kernel accepts these categories there. */
static int try_ioctl(const struct ww_pagemap *pagemap, uint64_t addr, uint64_t len, uint64_t categories)
{
    struct page_region region;
    const struct ww_page_scan request = {
        .start = addr,
        .end = addr + len,
        .max_pages = 1,
        .category_mask = categories,
        .category_inverted = categories,
        .return_mask = categories,
        .vec = &region,
        .vec_len = 1,
    };
    uint64_t walk_end;
    ssize_t nr = ww_scan_pages(pagemap->fd, &request, &walk_end);

    return nr < 0 ? nr : 0;
}

/* The address up to which the kernel accepts scans: above it, it returns EFAULT and does nothing. */
static uint64_t find_limit(const struct ww_pagemap *pagemap)
{
    uint64_t page = ww_page_size(), low = page, high = UINT64_C(1) << 63, probe = (UINT64_C(1) << 38) - page;

    /* A 32-bit kernel truncates addresses to its own size. */
    if (sizeof(long) == 4 && try_ioctl(pagemap, probe - page, page, 0) == -EFAULT) {
        high = UINT64_C(1) << 32;
    }
    while (high - low > page) {
        uint64_t middle = (low + (high - low) / 2) & ~(page - 1);

        if (try_ioctl(pagemap, middle - page, page, 0) == -EFAULT) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return low;
}

static int ioctl_probe(struct ww_pagemap *pagemap, pid_t pid)
{
    uint64_t categories = WW_PAGE_IS_WPALLOWED | WW_PAGE_IS_WRITTEN | WW_PAGE_IS_FILE | WW_PAGE_IS_PRESENT |
                          WW_PAGE_IS_SWAPPED | WW_PAGE_IS_PFNZERO | WW_PAGE_IS_HUGE;
    struct ww_page_facts facts;
    uint64_t started, barred;
    int err = ww_dry_run(WW_STEP_BIT(WW_STEP_SCAN), 0, &barred, &pagemap->failure);

    (void)pid;
    if (!err) {
        err = ww_fail(&pagemap->failure, WW_STEP_PROC_SCAN, try_ioctl(pagemap, 0, 0, categories));
    }
    if (err) {
        return err;
    }
    if (ww_kernel_loses_bits()) {
        return ww_fail(&pagemap->failure, WW_STEP_RELEASE, -EOPNOTSUPP);
    }
    ww_page_facts_learn(&facts);
    if (facts.soft_dirty && !try_ioctl(pagemap, 0, 0, WW_PAGE_IS_SOFT_DIRTY)) {
        categories |= WW_PAGE_IS_SOFT_DIRTY;
    }
    if (!try_ioctl(pagemap, 0, 0, WW_PAGE_IS_GUARD)) {
        categories |= WW_PAGE_IS_GUARD;
    }
    pagemap->categories = categories;
    started = now_ns();
    pagemap->limit = find_limit(pagemap);
    /* find_limit() makes some 50 empty calls, so this is the time of about five. */
    pagemap->fast_ns = FAST_NS + (now_ns() - started) / 10;
    return 0;
}

const struct ww_pagemap_reader ww_pagemap_ioctl = {
    .name = "ioctl",
    .flags = WW_PM_SCAN_WP_MATCHING | WW_PM_SCAN_CHECK_WPASYNC,
    .probe = ioctl_probe,
    .walk = ioctl_walk,
};
