/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls of writewatch-pagemap.h. Opens a process, checks the arguments of a scan, lets a reader answer it
 * (START HERE for the way down: scan_ioctl.c, or scan_read.c if the kernel lacks the ioctl), and makes sure
 * that the process still existed at the end. Knows nothing of watches.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "pagemap/pagemap.h"
#include "process/heap.h"

#define ALL_CATEGORIES ((UINT64_C(1) << 9) - 1)
#define ALL_FLAGS (WW_PM_SCAN_WP_MATCHING | WW_PM_SCAN_CHECK_WPASYNC)

_Static_assert(sizeof(struct ww_page_region) == sizeof(struct page_region), "a region is the kernel's");
_Static_assert((int)WW_PAGE_IS_WPALLOWED == PAGE_IS_WPALLOWED && (int)WW_PAGE_IS_WRITTEN == PAGE_IS_WRITTEN &&
                   (int)WW_PAGE_IS_FILE == PAGE_IS_FILE && (int)WW_PAGE_IS_PRESENT == PAGE_IS_PRESENT &&
                   (int)WW_PAGE_IS_SWAPPED == PAGE_IS_SWAPPED && (int)WW_PAGE_IS_PFNZERO == PAGE_IS_PFNZERO &&
                   (int)WW_PAGE_IS_HUGE == PAGE_IS_HUGE,
               "categories are the kernel's");
_Static_assert((int)WW_PM_SCAN_WP_MATCHING == PM_SCAN_WP_MATCHING &&
                   (int)WW_PM_SCAN_CHECK_WPASYNC == PM_SCAN_CHECK_WPASYNC,
               "flags are the kernel's");

/* Best first. */
static const struct ww_pagemap_reader *const readers[] = { &ww_pagemap_ioctl, &ww_pagemap_read };

#define NR_READERS (sizeof(readers) / sizeof(readers[0]))

/* Whether the address space is still in use. The descriptor belongs to that, not to a process number. */
static int check_alive(struct ww_pagemap *pagemap)
{
    uint64_t entry;
    ssize_t nr = pagemap->self ? 1 : ww_entries_read(pagemap->fd, 0, &entry, 1);

    return ww_fail(&pagemap->failure, WW_STEP_PROC_PREAD, nr < 0 ? nr : nr ? 0 : -ESRCH);
}

/* Takes the first reader that works, or the one that the environment names. */
static int choose_reader(struct ww_pagemap *pagemap, pid_t pid)
{
    const char *name = secure_getenv("WW_PAGEMAP");
    int err = ww_fail(&pagemap->failure, WW_STEP_READER, -EINVAL);

    for (size_t i = 0; i < NR_READERS; i++) {
        if (name && name[0] && strcmp(name, readers[i]->name)) {
            continue;
        }
        err = readers[i]->probe(pagemap, pid);
        if (!err) {
            pagemap->reader = readers[i];
            break;
        }
    }
    return err;
}

static int open_pagemap(struct ww_pagemap *pagemap, pid_t pid)
{
    int err;

    pagemap->fd = pagemap->maps = pagemap->smaps = pagemap->kpageflags = -1;
    pagemap->self = !pid || pid == getpid() ? getpid() : 0;
    pagemap->fd = ww_fail(&pagemap->failure, WW_STEP_PROC_PAGEMAP, ww_proc_open(pid, "pagemap"));
    if (pagemap->fd < 0) {
        return pagemap->fd;
    }
    err = check_alive(pagemap);
    return err ? err : choose_reader(pagemap, pid);
}

/* Remembers the descriptors. The lists of mappings are read from their beginning, so their position stays. */
static void remember_files(struct ww_pagemap *pagemap)
{
    ww_fd_init(&pagemap->opened[0], pagemap->fd);
    ww_fd_init_in_place(&pagemap->opened[1], pagemap->maps);
    ww_fd_init_in_place(&pagemap->opened[2], pagemap->smaps);
    ww_fd_init(&pagemap->opened[3], pagemap->kpageflags);
}

int ww_pagemap_try(struct ww_pagemap **ret_pagemap, pid_t pid, struct ww_failure *failure)
{
    struct ww_pagemap *pagemap;
    int err;

    ww_page_size_init();
    pagemap = ww_heap_map(sizeof(*pagemap), MAP_POPULATE);
    if (!pagemap) {
        return ww_fail_memory(failure);
    }
    err = open_pagemap(pagemap, pid);
    remember_files(pagemap);
    if (err) {
        *failure = pagemap->failure;
        ww_pagemap_close(pagemap);
        return err;
    }
    *ret_pagemap = pagemap;
    return 0;
}

WW_API int ww_pagemap_open(struct ww_pagemap **ret_pagemap, pid_t pid)
{
    struct ww_failure unused;

    return ret_pagemap && pid >= 0 ? ww_pagemap_try(ret_pagemap, pid, &unused) : -EINVAL;
}

WW_API void ww_pagemap_close(struct ww_pagemap *pagemap)
{
    if (!pagemap) {
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        ww_fd_close(&pagemap->opened[i]);
    }
    munmap(pagemap, sizeof(*pagemap));
}

WW_API const char *ww_pagemap_source(const struct ww_pagemap *pagemap)
{
    return pagemap->reader->name;
}

WW_API uint64_t ww_pagemap_categories(const struct ww_pagemap *pagemap)
{
    return pagemap->categories;
}

WW_API uint64_t ww_pagemap_flags(const struct ww_pagemap *pagemap)
{
    return pagemap->reader->flags;
}

static int check_scan(const struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan)
{
    uint64_t masks =
        scan->category_inverted | scan->category_mask | scan->category_anyof_mask | scan->return_mask;

    if ((scan->flags & ~(uint64_t)ALL_FLAGS) || (masks & ~ALL_CATEGORIES) ||
        (scan->start & (ww_page_size() - 1)) || scan->end < scan->start) {
        return -EINVAL;
    }
    if ((scan->flags & ~pagemap->reader->flags) || (masks & ~pagemap->categories)) {
        return -EOPNOTSUPP;
    }
    /* A descriptor that a child inherits still shows its parent. */
    return pagemap->self && pagemap->self != getpid() ? -ECHILD : 0;
}

/* The same scan of whole pages, up to the end of the address space. */
static struct ww_pagemap_scan clip_scan(const struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan)
{
    struct ww_pagemap_scan clipped = *scan;
    uint64_t mask = ww_page_size() - 1;

    clipped.end = scan->end > pagemap->limit ? pagemap->limit : (scan->end + mask) & ~mask;
    if (clipped.start > clipped.end) {
        clipped.start = clipped.end;
    }
    return clipped;
}

WW_API ssize_t ww_pagemap_scan(struct ww_pagemap *pagemap, struct ww_pagemap_scan *scan,
                               struct ww_page_region *vec, size_t vec_len)
{
    struct ww_page_sink sink = { .vec = vec, .len = vec_len };
    struct ww_pagemap_scan clipped;
    uint64_t pos;
    int err = pagemap && scan && vec && vec_len && vec_len <= SSIZE_MAX / sizeof(*vec) ? 0 : -EINVAL, dead;

    if (!err) {
        err = check_scan(pagemap, scan);
    }
    if (err) {
        return err;
    }
    clipped = clip_scan(pagemap, scan);
    sink.room = scan->max_pages ? scan->max_pages : UINT64_MAX;
    err = pagemap->reader->walk(pagemap, &clipped, &sink, &pos);
    /* The memory of a dead process looks empty, so an answer could be incomplete. */
    dead = check_alive(pagemap);
    if (dead || (err && !sink.nr)) {
        return dead ? dead : err;
    }
    scan->walk_end = pos < clipped.end ? pos : clipped.end > scan->end ? clipped.end : scan->end;
    return sink.nr;
}
