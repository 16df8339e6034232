/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls of writewatch-pagemap.h: opens a process, checks what is asked for,
 * lets a source answer it (START HERE for the way down: scan_ioctl.c, or
 * scan_read.c where the kernel lacks the ioctl), and makes sure that the
 * process was still there at the end. It knows nothing of watches.
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
static const struct ww_pagemap_source *const sources[] = { &ww_pagemap_ioctl, &ww_pagemap_read };

#define NR_SOURCES (sizeof(sources) / sizeof(sources[0]))

/* Whether the address space is still in use: the descriptor belongs to that, not to a number. */
static int check_alive(const struct ww_pagemap *pagemap)
{
    uint64_t entry;
    ssize_t nr = pagemap->self ? 1 : ww_entries_read(pagemap->fd, 0, &entry, 1);

    return nr < 0 ? nr : nr ? 0 : -ESRCH;
}

/* Takes the best source that works, or the one the environment names. */
static int choose_source(struct ww_pagemap *pagemap, pid_t pid)
{
    const char *name = secure_getenv("WW_PAGEMAP");
    int err = -EINVAL;

    for (size_t i = 0; i < NR_SOURCES; i++) {
        if (name && name[0] && strcmp(name, sources[i]->name)) {
            continue;
        }
        err = sources[i]->probe(pagemap, pid);
        if (!err) {
            pagemap->source = sources[i];
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
    pagemap->fd = ww_proc_open(pid, "pagemap");
    if (pagemap->fd < 0) {
        return pagemap->fd;
    }
    err = check_alive(pagemap);
    return err ? err : choose_source(pagemap, pid);
}

/* Of mappings there is only a text, which is read from its beginning on. */
static void know_files(struct ww_pagemap *pagemap)
{
    ww_fd_init(&pagemap->opened[0], pagemap->fd);
    ww_fd_init_in_place(&pagemap->opened[1], pagemap->maps);
    ww_fd_init_in_place(&pagemap->opened[2], pagemap->smaps);
    ww_fd_init(&pagemap->opened[3], pagemap->kpageflags);
}

WW_API int ww_pagemap_open(struct ww_pagemap **ret_pagemap, pid_t pid)
{
    struct ww_pagemap *pagemap;
    int err;

    if (!ret_pagemap || pid < 0) {
        return -EINVAL;
    }
    ww_page_size_init();
    pagemap = mmap(NULL, sizeof(*pagemap), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                   -1, 0);
    if (pagemap == MAP_FAILED) {
        return -ENOMEM;
    }
    err = open_pagemap(pagemap, pid);
    know_files(pagemap);
    if (err) {
        ww_pagemap_close(pagemap);
        return err;
    }
    *ret_pagemap = pagemap;
    return 0;
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
    return pagemap->source->name;
}

WW_API uint64_t ww_pagemap_categories(const struct ww_pagemap *pagemap)
{
    return pagemap->categories;
}

WW_API uint64_t ww_pagemap_flags(const struct ww_pagemap *pagemap)
{
    return pagemap->source->flags;
}

static int check_scan(const struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan)
{
    uint64_t masks =
        scan->category_inverted | scan->category_mask | scan->category_anyof_mask | scan->return_mask;

    if ((scan->flags & ~(uint64_t)ALL_FLAGS) || (masks & ~ALL_CATEGORIES) ||
        (scan->start & (ww_page_size() - 1)) || scan->end < scan->start) {
        return -EINVAL;
    }
    if ((scan->flags & ~pagemap->source->flags) || (masks & ~pagemap->categories)) {
        return -EOPNOTSUPP;
    }
    /* What a child inherits still shows its parent. */
    return pagemap->self && pagemap->self != getpid() ? -ECHILD : 0;
}

/* The same question about whole pages that a process can have. */
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
    err = pagemap->source->walk(pagemap, &clipped, &sink, &pos);
    /* Memory that is gone looks empty: what was found proves nothing about the rest. */
    dead = check_alive(pagemap);
    if (dead || (err && !sink.nr)) {
        return dead ? dead : err;
    }
    scan->walk_end = pos < clipped.end ? pos : clipped.end > scan->end ? clipped.end : scan->end;
    return sink.nr;
}
