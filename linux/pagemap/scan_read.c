/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers a scan from plain reads of /proc/PID/pagemap, for kernels without PAGEMAP_SCAN (before 6.7). The
 * handle's categories exclude what entries cannot tell, so a scan never asks for it.
 *
 * An entry of zero is either a page that does not exist or an address without a mapping. The list of mappings
 * tells them apart, and lets the walk skip the space between mappings.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "pagemap/pagemap.h"

/* Replaces the frame number after it was looked up. */
#define IS_ZERO UINT64_C(1)

#define KPF_ZERO_PAGE (UINT64_C(1) << 24) /* 4.0 */

/* A walk in progress. */
struct walk {
    struct ww_pagemap *pagemap;
    const struct ww_pagemap_scan *scan;
    struct ww_page_sink *sink;
    uint64_t relevant; /* bits of an entry that matter for this scan */
    bool look_up;      /* look up frames that may be zero pages */
    uint64_t pos;      /* end of the answer in the sink */
};

static uint64_t asked_categories(const struct ww_pagemap_scan *scan)
{
    return scan->category_inverted | scan->category_mask | scan->category_anyof_mask | scan->return_mask;
}

/*
 * Whether the frame is a zero page. The kernel has one of the small page size, known by its number, and
 * maybe a huge one, which appears in anonymous memory and is exclusive to no process. Since 6.18 at the
 * latest an entry shows the huge one as a file's.
 */
static bool is_zero_frame(const struct ww_pagemap *pagemap, uint64_t entry, bool anonymous)
{
    uint64_t pfn = entry & PM_PFN, flags = 0;
    ssize_t len;

    if (!pfn || pfn == pagemap->zero_pfn || !anonymous || (entry & PM_EXCLUSIVE)) {
        return pfn && pfn == pagemap->zero_pfn;
    }
    do {
        len = pread64(pagemap->kpageflags, &flags, sizeof(flags), pfn * sizeof(flags));
    } while (len < 0 && errno == EINTR);
    return len == sizeof(flags) && (flags & KPF_ZERO_PAGE);
}

static void mark_zero_frames(struct ww_pagemap *pagemap, size_t nr, bool anonymous)
{
    for (size_t i = 0; i < nr; i++) {
        uint64_t entry = pagemap->entries[i];

        if (!(entry & PM_PRESENT)) {
            continue;
        }
        if (is_zero_frame(pagemap, entry, anonymous)) {
            pagemap->entries[i] = (entry & ~(PM_PFN | PM_FILE)) | IS_ZERO;
        } else {
            pagemap->entries[i] = entry & ~PM_PFN;
        }
    }
}

/* The categories that the kernel's ioctl would report for a page with this entry. */
static uint64_t entry_categories(uint64_t entry)
{
    uint64_t categories = entry & PM_SOFT_DIRTY ? WW_PAGE_IS_SOFT_DIRTY : 0;

    if (entry & PM_PRESENT) {
        categories |= WW_PAGE_IS_PRESENT | (entry & IS_ZERO ? WW_PAGE_IS_PFNZERO : 0);
    } else if (entry & PM_SWAP) {
        categories |= WW_PAGE_IS_SWAPPED | (entry & PM_GUARD_REGION ? WW_PAGE_IS_GUARD : 0);
    } else {
        return categories;
    }
    return categories | (entry & PM_FILE ? WW_PAGE_IS_FILE : 0) |
           (entry & PM_UFFD_WP ? 0 : WW_PAGE_IS_WRITTEN);
}

/* The bits of an entry that can change the categories that the scan asks for. */
static uint64_t relevant_bits(uint64_t asked)
{
    return PM_PRESENT | PM_SWAP | (asked & WW_PAGE_IS_FILE ? PM_FILE : 0) |
           (asked & WW_PAGE_IS_WRITTEN ? PM_UFFD_WP : 0) |
           (asked & WW_PAGE_IS_SOFT_DIRTY ? PM_SOFT_DIRTY : 0) |
           (asked & WW_PAGE_IS_GUARD ? PM_GUARD_REGION : 0) | (asked & WW_PAGE_IS_PFNZERO ? IS_ZERO : 0);
}

/* Adds the pages of @nr entries from walk->pos on. 1: the sink is full. */
static int add_entries(struct walk *walk, size_t nr)
{
    const uint64_t *entries = walk->pagemap->entries;

    for (size_t i = 0, same; i < nr; i = same) {
        uint64_t bits = entries[i] & walk->relevant, categories = entry_categories(bits);
        uint64_t end;

        for (same = i + 1; same < nr && (entries[same] & walk->relevant) == bits; same++) {
            ;
        }
        end = walk->pos + ((uint64_t)(same - i) << ww_page_shift);
        if (ww_page_matches(walk->scan, categories)) {
            walk->pos = ww_page_sink_add(walk->sink, walk->pos, end, categories & walk->scan->return_mask);
        } else {
            walk->pos = end;
        }
        if (walk->pos < end || !walk->sink->room) {
            return 1;
        }
    }
    return 0;
}

/* Reads from walk->pos to @end, within the mapping. 0, 1 (the sink is full) or a negative errno. */
static int walk_mapping(struct walk *walk, const struct ww_mapping *mapping, uint64_t end)
{
    struct ww_pagemap *pagemap = walk->pagemap;
    int full = 0;

    while (walk->pos < end && !full) {
        uint64_t wanted = (end - walk->pos) >> ww_page_shift;
        ssize_t nr = ww_entries_read(pagemap->fd, walk->pos, pagemap->entries,
                                     wanted < WW_PAGEMAP_ENTRIES ? wanted : WW_PAGEMAP_ENTRIES);

        if (nr <= 0) {
            return ww_fail(&pagemap->failure, WW_STEP_PROC_PREAD, nr ? nr : -ESRCH);
        }
        if (walk->look_up) {
            mark_zero_frames(pagemap, nr, !mapping->inode);
        }
        full = add_entries(walk, nr);
    }
    return full;
}

/* Whether pages without content match. Then the walk must recognize mappings that pagemap does not show
 * (VM_PFNMAP). */
static bool wants_holes(const struct ww_pagemap_scan *scan)
{
    return ww_page_matches(scan, 0) || ww_page_matches(scan, WW_PAGE_IS_SOFT_DIRTY);
}

static int read_walk(struct ww_pagemap *pagemap, const struct ww_pagemap_scan *scan,
                     struct ww_page_sink *sink, uint64_t *ret_pos)
{
    uint64_t asked = asked_categories(scan);
    struct walk walk = {
        .pagemap = pagemap,
        .scan = scan,
        .sink = sink,
        .relevant = relevant_bits(asked),
        .look_up = pagemap->kpageflags >= 0 && (asked & (WW_PAGE_IS_PFNZERO | WW_PAGE_IS_FILE)),
        .pos = scan->start,
    };
    bool holes = wants_holes(scan);
    struct ww_maps *list = &pagemap->list;
    struct ww_mapping mapping;
    int result = ww_maps_init(list, holes ? pagemap->smaps : pagemap->maps, holes ? WW_MAPS_VM_FLAGS : 0);

    ww_fail(&pagemap->failure, WW_STEP_PROC_READ, result);

    while (!result && walk.pos < scan->end) {
        int found = ww_maps_next(list, &mapping);

        if (found < 0) {
            result = ww_fail(&pagemap->failure, WW_STEP_PROC_READ, found);
        } else if (!found || mapping.start >= scan->end) {
            walk.pos = scan->end;
        } else if (mapping.end > walk.pos && !(mapping.vm_flags & WW_VM_PFNMAP)) {
            walk.pos = mapping.start > walk.pos ? mapping.start : walk.pos;
            result = walk_mapping(&walk, &mapping, mapping.end < scan->end ? mapping.end : scan->end);
        }
    }
    *ret_pos = walk.pos;
    return result < 0 ? result : 0;
}

/* Uses frame numbers only if /proc/kpageflags can be read, which explains them. */
static void probe_zero(struct ww_pagemap *pagemap, const struct ww_page_facts *facts)
{
    uint64_t flags = 0;
    int fd = facts->zero_pfn ? ww_open_file("/proc/kpageflags", O_RDONLY) : -1;

    if (fd < 0) {
        return;
    }
    if (pread64(fd, &flags, sizeof(flags), facts->zero_pfn * sizeof(flags)) != sizeof(flags) ||
        !(flags & KPF_ZERO_PAGE)) {
        close(fd);
        return;
    }
    pagemap->kpageflags = fd;
    pagemap->zero_pfn = facts->zero_pfn;
    pagemap->categories |= WW_PAGE_IS_PFNZERO;
}

static int read_probe(struct ww_pagemap *pagemap, pid_t pid)
{
    struct ww_page_facts facts;

    pagemap->maps = ww_fail(&pagemap->failure, WW_STEP_PROC_MAPS, ww_proc_open(pid, "maps"));
    if (pagemap->maps < 0) {
        return pagemap->maps;
    }
    pagemap->smaps = ww_fail(&pagemap->failure, WW_STEP_PROC_SMAPS, ww_proc_open(pid, "smaps"));
    if (pagemap->smaps < 0) {
        return pagemap->smaps;
    }
    ww_page_facts_learn(&facts);
    pagemap->categories = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED | WW_PAGE_IS_FILE |
                          (ww_page_facts_uffd_wp() ? WW_PAGE_IS_WRITTEN : 0) |
                          (facts.soft_dirty ? WW_PAGE_IS_SOFT_DIRTY : 0) |
                          (facts.guard ? WW_PAGE_IS_GUARD : 0);
    /* The upper half of the address space has at most a page of the kernel's, such as [vsyscall]. */
    pagemap->limit = UINT64_C(1) << 63;
    probe_zero(pagemap, &facts);
    return 0;
}

const struct ww_pagemap_reader ww_pagemap_read = {
    .name = "read",
    .flags = 0,
    .probe = read_probe,
    .walk = read_walk,
};
