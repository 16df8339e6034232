/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files behind writewatch-pagemap.h share: the handle, the two sources
 * that can answer a scan, and the place where their answers go. Nothing here
 * knows of watches.
 */
#ifndef WW_LINUX_PAGEMAP_PAGEMAP_H
#define WW_LINUX_PAGEMAP_PAGEMAP_H

#include <stdbool.h>

#include "kernel/entries.h"
#include "kernel/fd.h"
#include "kernel/facts.h"
#include "kernel/proc_maps.h"
#include "kernel/refusal.h"
#include "kernel/scan.h"
#include "writewatch-pagemap.h"

/* Pages one read of pagemap tells of: 32 MB of address space with pages of 4 KB. */
#define WW_PAGEMAP_ENTRIES 8192

/* Regions that match, as they are found. The memory is the caller's of the scan. */
struct ww_page_sink {
    struct ww_page_region *vec;
    size_t len;
    size_t nr;
    uint64_t room; /* pages that may still be added */
};

/* A way to answer a scan. */
struct ww_pagemap_source {
    const char *name;
    uint64_t flags; /* enum ww_pm_scan_flag */

    /* Whether it works for this handle; sets what it can tell. 0 or a negative errno. */
    int (*probe)(struct ww_pagemap *pagemap, pid_t pid);

    /*
     * Walks from scan->start to scan->end, which are page aligned and inside the address
     * space, until the sink is full. *ret_pos is set, also on failure: how far the answer
     * in the sink goes. 0 or a negative errno.
     */
    int (*walk)(struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan, struct ww_page_sink *sink,
                uint64_t *ret_pos);
};

/*
 * One handle, in pages of its own: the kernel writes into it, which must neither
 * fault nor land in memory that is watched.
 */
struct ww_pagemap {
    const struct ww_pagemap_source *source;
    pid_t self;             /* this process, if its own pages are meant; else 0 */
    uint64_t categories;    /* what can be told */
    uint64_t limit;         /* no mapping of a process lies beyond it */
    uint64_t quick_ns;      /* what a piece of a walk may take; the source's */
    uint64_t zero_pfn;      /* with PFNZERO by reads */
    int fd;                 /* /proc/PID/pagemap */
    int maps;               /* by reads: /proc/PID/maps, else -1 */
    int smaps;              /* the same, smaps */
    int kpageflags;         /* the same, with PFNZERO: /proc/kpageflags */
    struct ww_fd opened[4]; /* the same four, to know them again when they are closed */
    union {
        struct page_region regions[WW_SCAN_VEC_LEN]; /* all zero between calls of the ioctl */
        struct {
            uint64_t entries[WW_PAGEMAP_ENTRIES];
            struct ww_maps reader;
        };
    };
};

extern const struct ww_pagemap_source ww_pagemap_ioctl, ww_pagemap_read;

/* Whether pages of these categories are asked for. */
static inline bool ww_page_matches(const struct ww_pagemap_scan *scan, uint64_t categories)
{
    uint64_t turned = categories ^ scan->category_inverted;

    return (turned & scan->category_mask) == scan->category_mask &&
           (!scan->category_anyof_mask || (turned & scan->category_anyof_mask));
}

static inline bool ww_page_sink_is_full(const struct ww_page_sink *sink)
{
    return sink->nr == sink->len || !sink->room;
}

uint64_t ww_page_sink_add(struct ww_page_sink *sink, uint64_t start, uint64_t end, uint64_t categories);

#endif
