/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mprotect backend, for kernels without WP_ASYNC: clean pages are mapped
 * without write permission, and the first write to one ends in a SIGSEGV handler
 * (mprotect_fault.c) that sets its dirty bit. System calls that write into clean
 * pages fail with EFAULT: that is the price of this way.
 *
 * Reset clears the bits first and arms after that: a write in between is part
 * of what is being reported. A page that cannot be armed (vm.max_map_count)
 * stays open and is reported again.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bits.h"
#include "heap.h"
#include "internal.h"
#include "maps.h"
#include "mprotect.h"

static size_t page_index(const struct ww_prot_pages *pages, uintptr_t addr)
{
    return ww_prot_index(pages, addr, ww_page_shift);
}

static uintptr_t page_addr(const struct ww_prot_pages *pages, size_t page)
{
    return pages->base + ((uintptr_t)page << ww_page_shift);
}

static size_t dirty_bytes(size_t nr_pages)
{
    return (nr_pages + 63) / 64 * 8;
}

static void *map_zeroes(size_t len)
{
    void *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return area == MAP_FAILED ? NULL : area;
}

static void put_pages(struct ww_prot_pages *pages)
{
    if (atomic_fetch_sub(&pages->refs, 1) > 1) {
        return;
    }
    ww_fault_forget_islands(pages);
    if (pages->dirty) {
        munmap((void *)pages->dirty, dirty_bytes(pages->nr_pages));
    }
    if (pages->prot) {
        munmap((void *)pages->prot, pages->nr_pages);
    }
    ww_heap_free(pages);
}

static struct ww_prot_pages *new_pages(uintptr_t start, uintptr_t end)
{
    struct ww_prot_pages *pages = ww_heap_alloc(sizeof(*pages));

    if (!pages) {
        return NULL;
    }
    pages->base = start;
    pages->nr_pages = (end - start) >> ww_page_shift;
    pages->refs = 1;
    pages->dirty = map_zeroes(dirty_bytes(pages->nr_pages));
    pages->prot = map_zeroes(pages->nr_pages);
    if (!pages->dirty || !pages->prot) {
        put_pages(pages);
        return NULL;
    }
    return pages;
}

/* Takes over the caller's reference to @pages, also where it fails. */
static struct ww_prot_map *new_map(struct ww_prot_pages *pages, uintptr_t start, uintptr_t end)
{
    struct ww_prot_map *map = pages ? ww_heap_alloc(sizeof(*map)) : NULL;

    if (map) {
        map->start = start;
        map->end = end;
        map->pages = pages;
    } else if (pages) {
        put_pages(pages);
    }
    return map;
}

static void free_map(struct ww_prot_map *map)
{
    put_pages(map->pages);
    ww_heap_free(map);
}

static struct ww_prot_pages *pages_of(const struct ww_region *region)
{
    return ((struct ww_prot_map *)region->priv)->pages;
}

static bool is_dirty(const struct ww_prot_pages *pages, size_t page)
{
    return atomic_load(&pages->dirty[page / 64]) >> (page % 64) & 1;
}

/* The end of the run of pages from @from that want the same protection. */
static size_t same_prot(const struct ww_prot_pages *pages, size_t from, size_t to)
{
    size_t page = from;

    while (page < to && pages->prot[page] == pages->prot[from]) {
        page++;
    }
    return page;
}

/* Gives pages from..to-1 the protection that their state asks for. 0 or a negative errno. */
static int apply_prot(struct ww_prot_pages *pages, size_t from, size_t to)
{
    while (from < to) {
        size_t same = same_prot(pages, from, to);
        int prot = pages->prot[from];
        bool dirty = is_dirty(pages, from);
        size_t stop = prot & PROT_WRITE ? ww_bits_find(pages->dirty, from, same, !dirty) : same;

        if (mprotect((void *)page_addr(pages, from), (stop - from) << ww_page_shift,
                     dirty ? prot : WW_ARMED(prot))) {
            return -errno;
        }
        from = stop;
    }
    return 0;
}

/* Arms pages whose bits were just cleared. Those that cannot be armed are dirty again. */
static void arm_pages(struct ww_prot_pages *pages, size_t from, size_t to)
{
    while (from < to) {
        size_t stop = same_prot(pages, from, to);
        int prot = pages->prot[from];

        if ((prot & PROT_WRITE) &&
            mprotect((void *)page_addr(pages, from), (stop - from) << ww_page_shift, WW_ARMED(prot))) {
            ww_bits_change(pages->dirty, from, stop, true);
        }
        from = stop;
    }
}

/*
 * Learns the protections of [start, end) from /proc/self/maps. A page that has
 * the armed form of what is noted already keeps its note.
 */
static int learn_prot(struct ww_prot_pages *pages, uintptr_t start, uintptr_t end)
{
    struct ww_mapping mapping;
    struct ww_maps maps;
    uintptr_t pos = start;
    int found = ww_maps_open(&maps, 0, 0);

    if (found) {
        return found;
    }
    while (pos < end && (found = ww_maps_next(&maps, &mapping)) > 0) {
        if (mapping.end <= pos) {
            continue;
        }
        if (mapping.start > pos) {
            break;
        }
        for (; pos < mapping.end && pos < end; pos += ww_page_size()) {
            size_t page = page_index(pages, pos);

            if (mapping.prot != (pages->prot[page] & ~PROT_WRITE)) {
                pages->prot[page] = mapping.prot;
            }
        }
    }
    ww_maps_close(&maps);
    if (found < 0) {
        return found;
    }
    return pos < end ? -ENOMEM : 0;
}

static int mprotect_open(struct ww_tracker *tracker)
{
    tracker->priv = ww_prot_filler_open();
    if (!tracker->priv) {
        tracker->caps &= ~WW_CAP_FILL;
    }
    return 0;
}

static int mprotect_arm(struct ww_region *region)
{
    uintptr_t start = region->range.start, end = region->range.end;
    struct ww_prot_map *map;
    int err;

    /* A fault opens a page, and the kernel does not cut a huge one. */
    if (region->grain > ww_page_size()) {
        return -EINVAL;
    }
    map = new_map(new_pages(start, end), start, end);
    if (!map) {
        return -ENOMEM;
    }
    /* Only filling needs it, whose first page would bring others with it: no error counts. */
    ww_keep_pages_small(start, end);
    err = learn_prot(map->pages, start, end);
    if (!err) {
        err = ww_fault_add(map);
    }
    if (err) {
        free_map(map);
        return err;
    }
    err = apply_prot(map->pages, 0, map->pages->nr_pages);
    if (err) {
        ww_bits_change(map->pages->dirty, 0, map->pages->nr_pages, true);
        apply_prot(map->pages, 0, map->pages->nr_pages);
        ww_fault_remove(map);
        free_map(map);
        return err;
    }
    region->priv = map;
    return 0;
}

/* The state of the pages is shared: each region works on its own part of it. */
static int mprotect_split(struct ww_region *region, struct ww_region *upper)
{
    struct ww_prot_map *map = region->priv, *cut;
    int err;

    atomic_fetch_add(&map->pages->refs, 1);
    cut = new_map(map->pages, upper->range.start, upper->range.end);
    if (!cut) {
        return -ENOMEM;
    }
    err = ww_fault_add(cut);
    if (err) {
        free_map(cut);
        return err;
    }
    map->end = upper->range.start;
    upper->priv = cut;
    return 0;
}

static void mprotect_join(struct ww_region *region, struct ww_region *upper)
{
    struct ww_prot_map *map = region->priv;

    map->end = upper->range.end;
}

static ssize_t mprotect_scan(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                             uintptr_t *ret_next)
{
    struct ww_prot_pages *pages = pages_of(region);
    size_t from = page_index(pages, scan->start), to = page_index(pages, scan->end);
    size_t max = scan->max_runs < WW_SCAN_VEC_LEN ? scan->max_runs : WW_SCAN_VEC_LEN;
    size_t room = scan->max_pages, nr = 0;

    ww_fault_synchronize();
    while (nr < max && room) {
        size_t first = ww_bits_find(pages->dirty, from, to, true), last;

        if (first >= to) {
            from = to;
            break;
        }
        last = ww_bits_find(pages->dirty, first, to - first > room ? first + room : to, false);
        if (scan->reset) {
            ww_bits_change(pages->dirty, first, last, false);
            ww_fault_close_run(pages, first, last);
            arm_pages(pages, first, last);
        }
        vec[nr++] = (struct page_region){
            .start = page_addr(pages, first),
            .end = page_addr(pages, last),
            .categories = PAGE_IS_WRITTEN,
        };
        room -= last - first;
        from = last;
    }
    if (scan->reset) {
        ww_fault_count_islands(pages);
    }
    *ret_next = page_addr(pages, from);
    return nr;
}

/* Every page gets the protection that the program wants. */
static void mprotect_disarm(struct ww_region *region)
{
    struct ww_prot_pages *pages = pages_of(region);
    size_t from = page_index(pages, region->range.start), to = page_index(pages, region->range.end);

    ww_bits_change(pages->dirty, from, to, true);
    apply_prot(pages, from, to);
}

static void mprotect_release(struct ww_region *region)
{
    struct ww_prot_map *map = region->priv;

    if (map) {
        ww_fault_remove(map);
        free_map(map);
    }
}

/* Arms a page of our own, writes to it and looks for its bit. */
static int try_effect(struct ww_region *region)
{
    struct ww_scan scan = {
        .start = region->range.start,
        .end = region->range.end,
        .max_pages = 2,
        .max_runs = 2,
        .reset = true,
    };
    struct page_region vec[2];
    uintptr_t next;
    ssize_t nr;

    *(volatile char *)(scan.start + ww_page_size()) = 1;
    nr = mprotect_scan(region, &scan, vec, &next);
    return nr == 1 && vec[0].start == scan.start + ww_page_size() ? 0 : -EIO;
}

/* Takes write permission from dirty pages for the time they are filled. 0 or a negative errno. */
static int arm_dirty(struct ww_prot_pages *pages, size_t from, size_t to)
{
    while ((from = ww_bits_find(pages->dirty, from, to, true)) < to) {
        size_t stop = same_prot(pages, from, ww_bits_find(pages->dirty, from, to, false));
        int prot = pages->prot[from];

        if ((prot & PROT_WRITE) &&
            mprotect((void *)page_addr(pages, from), (stop - from) << ww_page_shift, WW_ARMED(prot))) {
            return -errno;
        }
        from = stop;
    }
    return 0;
}

/* Stores to the range fault from here on, and the handler keeps them waiting: so what does
 * not exist when it is looked at does not exist either when it is written. */
static ssize_t mprotect_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    struct ww_prot_map *map = region->priv;
    struct ww_prot_pages *pages = map->pages;
    size_t from = page_index(pages, start), to = page_index(pages, start + len);
    ssize_t ret;
    bool dirty;

    if (region->markers) {
        return -EINVAL;
    }
    atomic_store(&map->fill_start, start);
    atomic_store(&map->fill_end, start + len);
    ww_fault_synchronize();
    dirty = ww_bits_find(pages->dirty, from, to, true) < to;
    ret = dirty ? arm_dirty(pages, from, to) : 0;
    if (!ret) {
        ret = ww_prot_fill(region->tracker->priv, start, src, len);
    }
    if (dirty) {
        /* What cannot be opened now, the handler opens. */
        apply_prot(pages, from, to);
    }
    atomic_store(&map->fill_end, 0);
    atomic_store(&map->fill_start, 0);
    return ret;
}

/* Fills the first page, which was not touched yet, from the one behind the region. */
static bool can_fill(struct ww_region *region)
{
    uintptr_t start = region->range.start, end = region->range.end;
    size_t len = ww_page_size();

    *(char *)end = 1;
    return mprotect_fill(region, start, (void *)end, len) == (ssize_t)len && *(volatile char *)start == 1 &&
           mprotect_fill(region, start, (void *)end, len) == -EEXIST && !is_dirty(pages_of(region), 0);
}

static int mprotect_check(struct ww_tracker *tracker)
{
    size_t len = 2 * ww_page_size();
    char *area = map_zeroes(len + ww_page_size());
    struct ww_region region = {
        .range = { .start = (uintptr_t)area, .end = (uintptr_t)area + len },
        .grain = ww_page_size(),
        .tracker = tracker,
    };
    int err;

    if (!area) {
        return -ENOMEM;
    }
    err = mprotect_arm(&region);
    if (!err) {
        err = try_effect(&region);
        if (!err && (tracker->caps & WW_CAP_FILL) && !can_fill(&region)) {
            tracker->caps &= ~WW_CAP_FILL;
        }
        mprotect_disarm(&region);
        mprotect_release(&region);
        ww_fault_uninstall();
    }
    munmap(area, len + ww_page_size());
    return err;
}

static bool mprotect_peek(struct ww_tracker *tracker, uintptr_t start, uintptr_t end)
{
    (void)tracker;
    (void)start;
    (void)end;
    return true;
}

static int mprotect_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_prot_pages *pages = pages_of(region);
    size_t from = page_index(pages, start), to = page_index(pages, end);
    int err = learn_prot(pages, start, end);

    if (err) {
        return err;
    }
    ww_keep_pages_small(start, end);
    ww_fault_synchronize();
    ww_bits_change(pages->dirty, from, to, false);
    return apply_prot(pages, from, to);
}

static int mprotect_protect(struct ww_region *region, uintptr_t start, uintptr_t end, int prot)
{
    struct ww_prot_pages *pages = pages_of(region);
    size_t from = page_index(pages, start), to = page_index(pages, end);

    /* One by one: handlers read them meanwhile. */
    for (size_t page = from; page < to; page++) {
        atomic_store_explicit(&pages->prot[page], prot, memory_order_release);
    }
    /* A handler that has read the old protection must not apply it after us. */
    ww_fault_synchronize();
    return apply_prot(pages, from, to);
}

static void mprotect_close(struct ww_tracker *tracker)
{
    ww_prot_filler_close(tracker->priv);
}

static const struct ww_refusal refusals[] = {
    { -ENOENT, "/proc/self/maps does not exist", "mount /proc" },
    { -EACCES, "/proc/self/maps cannot be opened", "let the process be dumpable when it starts" },
    { -EIO, "page protection does not work here", NULL },
    { 0 },
};

const struct ww_backend ww_backend_mprotect = {
    .name = "mprotect",
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_OWNS_PROT | WW_CAP_EXACT | WW_CAP_SHARED | WW_CAP_FILES |
            WW_CAP_MERGEABLE | WW_CAP_FILL,
    .refusals = refusals,
    .open = mprotect_open,
    .check = mprotect_check,
    .arm = mprotect_arm,
    .split = mprotect_split,
    .join = mprotect_join,
    .scan = mprotect_scan,
    .peek = mprotect_peek,
    .scan_alone = ww_no_scan_alone,
    .discard = mprotect_discard,
    .protect = mprotect_protect,
    .fill = mprotect_fill,
    .supply = ww_no_supply,
    .disarm = mprotect_disarm,
    .release = mprotect_release,
    .close = mprotect_close,
};
