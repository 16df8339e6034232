/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the files behind writewatch-pagemap.h: the handle, the two readers that can answer a scan, and
 * the sink that takes their answers. Knows nothing of watches.
 */
#ifndef WW_LINUX_PAGEMAP_PAGEMAP_H
#define WW_LINUX_PAGEMAP_PAGEMAP_H

#include <stdbool.h>

#include "kernel/entries.h"
#include "kernel/facts.h"
#include "kernel/fd.h"
#include "kernel/proc_maps.h"
#include "kernel/refusal.h"
#include "kernel/scan.h"
#include "writewatch-pagemap.h"

/* Entries that one read of pagemap returns: 32 MB of address space with pages of 4 KB. */
#define WW_PAGEMAP_ENTRIES 8192

/* Collects regions that match. The vector belongs to the caller of the scan. */
struct ww_page_sink {
    struct ww_page_region *vec;
    size_t len;
    size_t nr;
    uint64_t room; /* pages that still fit */
};

/* One way to answer a scan. */
struct ww_pagemap_reader {
    const char *name;
    uint64_t flags; /* enum ww_pm_scan_flag */

    /* Whether the reader works for this handle; sets pagemap->categories and limit. 0 or a negative errno. */
    int (*probe)(struct ww_pagemap *pagemap, pid_t pid);

    /*
     * Walks from scan->start to scan->end, which are page aligned and inside the address space, until the
     * sink is full. Sets *ret_pos, also on failure, to where the answer in the sink ends. 0 or a negative
     * errno.
     */
    int (*walk)(struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan, struct ww_page_sink *sink,
                uint64_t *ret_pos);
};

/*
 * A handle, in pages of its own: the kernel writes into it, and must neither fault nor write to watched
 * memory.
 */
struct ww_pagemap {
    const struct ww_pagemap_reader *reader;
    struct ww_failure failure; /* of the last call that failed at a step */
    pid_t self;                /* this process' id if the handle is for its own pages; else 0 */
    uint64_t categories;       /* that the reader can report */
    uint64_t limit;            /* no mapping of a process lies beyond */
    uint64_t fast_ns;          /* a piece of a walk that takes longer is made smaller; of scan_ioctl.c */
    uint64_t zero_pfn;         /* frame number of the zero page; of scan_read.c, with PFNZERO */
    int fd;                    /* /proc/PID/pagemap */
    int maps;                  /* of scan_read.c: /proc/PID/maps; else -1 */
    int smaps;                 /* the same: smaps */
    int kpageflags;            /* the same, with PFNZERO: /proc/kpageflags */
    struct ww_fd opened[4];    /* the same four, to check them before they are closed */
    union {
        struct page_region regions[WW_SCAN_VEC_LEN]; /* all zero between calls of the ioctl */
        struct {
            uint64_t entries[WW_PAGEMAP_ENTRIES];
            struct ww_maps list;
        };
    };
};

extern const struct ww_pagemap_reader ww_pagemap_ioctl, ww_pagemap_read;

/* As ww_pagemap_open(), with the step that failed in *failure. */
int ww_pagemap_try(struct ww_pagemap **ret_pagemap, pid_t pid, struct ww_failure *failure);

/* Whether a page of these categories matches the scan. */
static inline bool ww_page_matches(const struct ww_pagemap_scan *scan, uint64_t categories)
{
    uint64_t inverted = categories ^ scan->category_inverted;

    return (inverted & scan->category_mask) == scan->category_mask &&
           (!scan->category_anyof_mask || (inverted & scan->category_anyof_mask));
}

static inline bool ww_page_sink_is_full(const struct ww_page_sink *sink)
{
    return sink->nr == sink->len || !sink->room;
}

uint64_t ww_page_sink_add(struct ww_page_sink *sink, uint64_t start, uint64_t end, uint64_t categories);

#endif
