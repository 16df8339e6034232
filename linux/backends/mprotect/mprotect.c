/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mprotect backend, for kernels without WP_ASYNC. Clean pages are mapped without write permission, and
 * the first write to one faults; the SIGSEGV handler (fault.c) then sets its dirty bit. System calls that
 * write into clean pages fail with EFAULT: that is the price.
 *
 * A reset clears the bits first and arms after that, so a write in between belongs to what is being reported.
 * A page that cannot be armed (vm.max_map_count) stays open and is reported again.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "backends/bits.h"
#include "backends/mprotect/mprotect.h"
#include "kernel/advice.h"
#include "kernel/entries.h"
#include "process/heap.h"

/* Without these steps nothing can be filled, but writes are still tracked. */
#define FILL_STEPS                                                                                           \
    (WW_STEP_BIT(WW_STEP_FSTAT) | WW_STEP_BIT(WW_STEP_PAGEMAP) | WW_STEP_BIT(WW_STEP_PREAD) |                \
     WW_STEP_BIT(WW_STEP_PWRITE))

static size_t dirty_bytes(size_t nr_pages)
{
    return (nr_pages + 63) / 64 * 8;
}

static void put_prot_pages(struct ww_prot_pages *pages)
{
    if (atomic_fetch_sub(&pages->refs, 1) > 1) {
        return;
    }
    ww_isolated_forget(pages);
    if (pages->dirty) {
        munmap((void *)pages->dirty, dirty_bytes(pages->nr_pages));
    }
    if (pages->prot) {
        munmap((void *)pages->prot, pages->nr_pages);
    }
    ww_heap_free(pages);
}

static struct ww_prot_pages *new_prot_pages(uintptr_t start, uintptr_t end)
{
    struct ww_prot_pages *pages = ww_heap_alloc(sizeof(*pages));

    if (!pages) {
        return NULL;
    }
    pages->base = start;
    pages->nr_pages = (end - start) >> ww_page_shift;
    pages->refs = 1;
    pages->dirty = ww_heap_map(dirty_bytes(pages->nr_pages), 0);
    pages->prot = ww_heap_map(pages->nr_pages, 0);
    if (!pages->dirty || !pages->prot) {
        put_prot_pages(pages);
        return NULL;
    }
    return pages;
}

/* Takes over the caller's reference to @pages, even if it fails. */
static struct ww_prot_map *new_map(struct ww_prot_pages *pages, uintptr_t start, uintptr_t end)
{
    struct ww_prot_map *map = pages ? ww_heap_alloc(sizeof(*map)) : NULL;

    if (map) {
        map->start = start;
        map->end = end;
        map->pages = pages;
    } else if (pages) {
        put_prot_pages(pages);
    }
    return map;
}

static void free_map(struct ww_prot_map *map)
{
    put_prot_pages(map->pages);
    ww_heap_free(map);
}

static struct ww_prot_pages *pages_of(const struct ww_region *region)
{
    return ((struct ww_prot_map *)region->priv)->pages;
}

static int mprotect_open(struct ww_tracker *tracker)
{
    tracker->priv = tracker->barred & FILL_STEPS ? NULL : ww_prot_filler_open();
    if (!tracker->priv) {
        tracker->caps &= ~WW_CAP_FILL;
    }
    return 0;
}

/* Gives every page the protection that the program wants. If the kernel refuses that (vm.max_map_count),
 * some pages stay armed. */
static int disarm_map(struct ww_prot_map *map)
{
    struct ww_prot_pages *pages = map->pages;
    size_t from = ww_prot_index(pages, map->start), to = ww_prot_index(pages, map->end);
    int err;

    ww_bits_change(pages->dirty, from, to, true);
    err = ww_prot_apply(pages, from, to);
    map->refused = err;
    return err;
}

/* Frees the map, or keeps it as an orphan if it still has armed pages: the handler continues to open
 * those. */
static void end_map(struct ww_prot_map *map)
{
    if (map->refused) {
        atomic_store(&map->orphaned, true);
    } else {
        ww_fault_remove(map);
        free_map(map);
    }
}

/* Two watches that begin at the same time may find the same orphan. */
static pthread_mutex_t orphans_lock = PTHREAD_MUTEX_INITIALIZER;

/* Ends orphans of earlier watches in the range. Their recorded protections may be out of date. The lock is
 * held. */
static int end_orphans(uintptr_t start, uintptr_t end, struct ww_failure *failure)
{
    struct ww_prot_map *map;

    while ((map = ww_fault_find_orphan(start, end))) {
        int unmapped = ww_prot_learn(map->pages, map->start, map->end, failure), err;

        if (unmapped < 0) {
            return unmapped;
        }
        err = disarm_map(map);
        if (err && !unmapped) {
            return ww_fail(failure, WW_STEP_MPROTECT, err);
        }
        map->refused = false;
        end_map(map);
    }
    return 0;
}

static int retire_orphan(uintptr_t start, uintptr_t end, struct ww_failure *failure)
{
    int err;

    ww_lock(&orphans_lock, WW_RANK_ORPHANS);
    err = end_orphans(start, end, failure);
    ww_unlock(&orphans_lock, WW_RANK_ORPHANS);
    return err;
}

/* Runs in a child of fork, where no thread holds the lock. */
static void unlock_orphans(void)
{
    pthread_mutex_init(&orphans_lock, NULL);
}

static void mprotect_prepare(void)
{
    pthread_atfork(NULL, NULL, unlock_orphans);
    ww_fault_follow_forks();
}

/* All of the range must be mapped. The memory of the self test is, unless the program unmaps it. */
static int learn(struct ww_prot_pages *pages, uintptr_t start, uintptr_t end, struct ww_failure *failure)
{
    int err = ww_prot_learn(pages, start, end, failure);

    return err > 0 ? ww_fail(failure, WW_STEP_TEST_PROTECT, -ENOMEM) : err;
}

static int arm_region(struct ww_region *region, struct ww_failure *failure)
{
    uintptr_t start = region->range.start, end = region->range.end;
    struct ww_prot_map *map;
    int err;

    /* A fault opens one page, and the kernel does not cut a huge one. */
    if (region->page_size > ww_page_size()) {
        return -EINVAL;
    }
    map = new_map(new_prot_pages(start, end), start, end);
    if (!map) {
        return ww_fail_memory(failure);
    }
    /* Only filling needs this: a huge page would bring others with the first one. So an error does not
     * matter. */
    ww_keep_pages_small(start, end);
    err = retire_orphan(start, end, failure);
    if (!err) {
        err = learn(map->pages, start, end, failure);
    }
    ww_bits_change(map->pages->dirty, 0, map->pages->nr_pages, false);
    if (!err) {
        err = ww_fault_add(map, failure);
    }
    if (err) {
        free_map(map);
        return err;
    }
    err = ww_fail(failure, WW_STEP_MPROTECT, ww_prot_apply(map->pages, 0, map->pages->nr_pages));
    if (err) {
        disarm_map(map);
        end_map(map);
        return err;
    }
    region->priv = map;
    return 0;
}

static int mprotect_arm(struct ww_region *region)
{
    return arm_region(region, NULL);
}

/* The regions share the state of the pages, and each works on its own part of it. */
static int mprotect_split(struct ww_region *region, struct ww_region *upper)
{
    struct ww_prot_map *map = region->priv, *cut;
    int err;

    atomic_fetch_add(&map->pages->refs, 1);
    cut = new_map(map->pages, upper->range.start, upper->range.end);
    if (!cut) {
        return -ENOMEM;
    }
    cut->prot_unknown = map->prot_unknown;
    err = ww_fault_add(cut, NULL);
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
    struct ww_prot_map *map = region->priv, *cut = upper->priv;

    map->end = upper->range.end;
    map->prot_unknown |= cut->prot_unknown;
}

/* After a change that the kernel refused in the middle, learns from the mappings what can be written. */
static int learn_again(struct ww_prot_map *map)
{
    int err = map->prot_unknown ? learn(map->pages, map->start, map->end, NULL) : 0;

    map->prot_unknown = err;
    map->refused = false; /* its region still exists */
    return err;
}

static ssize_t mprotect_scan(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                             uintptr_t *ret_next)
{
    struct ww_prot_pages *pages = pages_of(region);
    size_t from = ww_prot_index(pages, scan->start), to = ww_prot_index(pages, scan->end);
    size_t max = scan->max_runs < WW_SCAN_VEC_LEN ? scan->max_runs : WW_SCAN_VEC_LEN;
    size_t room = scan->max_pages, nr = 0;
    int err = learn_again(region->priv);

    if (err) {
        return err;
    }
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
            ww_isolated_close_run(pages, first, last);
            ww_prot_arm(pages, first, last);
        }
        vec[nr++] = (struct page_region){
            .start = ww_prot_addr(pages, first),
            .end = ww_prot_addr(pages, last),
            .categories = PAGE_IS_WRITTEN,
        };
        room -= last - first;
        from = last;
    }
    if (scan->reset) {
        ww_isolated_recount(pages);
    }
    *ret_next = ww_prot_addr(pages, from);
    return nr;
}

static int mprotect_disarm(struct ww_region *region)
{
    int err = disarm_map(region->priv);

    /* ENOMEM can also mean that part of it is not mapped any more, which msync() tells. That is no error; a
     * page that is still armed stays in an orphan. */
    if (err == -ENOMEM &&
        msync((void *)region->range.start, region->range.end - region->range.start, MS_ASYNC)) {
        err = 0;
    }
    return err == -ENOMEM ? err : 0;
}

static void mprotect_release(struct ww_region *region)
{
    if (region->priv) {
        end_map(region->priv);
    }
}

/* Arms a page of our own, writes to it and checks its bit. */
static int try_protection(struct ww_region *region)
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

/* Stores to the range fault from here on, and the handler makes them wait. So a page that was missing when
 * the filler looked is still missing when it writes. */
static ssize_t mprotect_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    struct ww_prot_map *map = region->priv;
    struct ww_prot_pages *pages = map->pages;
    size_t from = ww_prot_index(pages, start), to = ww_prot_index(pages, start + len);
    ssize_t ret;
    bool dirty;

    if (region->markers) {
        return -EINVAL;
    }
    ww_fault_begin_fill(map, start, start + len);
    dirty = ww_bits_find(pages->dirty, from, to, true) < to;
    ret = dirty ? ww_prot_arm_dirty(pages, from, to) : 0;
    if (!ret) {
        ret = ww_prot_fill(region->tracker->priv, start, src, len);
    }
    if (dirty) {
        /* The handler opens what cannot be opened now. */
        ww_prot_apply(pages, from, to);
    }
    ww_fault_end_fill(map);
    return ret;
}

/* Fills the first page, which is untouched, from the one after the region. */
static bool can_fill(struct ww_region *region)
{
    uintptr_t start = region->range.start, end = region->range.end;
    size_t len = ww_page_size();

    *(char *)end = 1;
    return mprotect_fill(region, start, (void *)end, len) == (ssize_t)len && *(volatile char *)start == 1 &&
           mprotect_fill(region, start, (void *)end, len) == -EEXIST &&
           !ww_prot_is_dirty(pages_of(region), 0);
}

static int mprotect_check(struct ww_tracker *tracker)
{
    size_t len = 2 * ww_page_size();
    char *area = ww_heap_map(len + ww_page_size(), 0);
    struct ww_region region = {
        .range = { .start = (uintptr_t)area, .end = (uintptr_t)area + len },
        .page_size = ww_page_size(),
        .tracker = tracker,
    };
    int err;

    if (!area) {
        return ww_fail_memory(&tracker->failure);
    }
    /* What the handler will do; a store whose page it cannot open ends the program. */
    err = ww_fail(&tracker->failure, WW_STEP_MPROTECT,
                  mprotect(area, len, PROT_READ | PROT_WRITE) ? -errno : 0);
    if (!err) {
        err = arm_region(&region, &tracker->failure);
    }
    if (!err) {
        err = ww_fail(&tracker->failure, WW_STEP_TEST_PROTECT, try_protection(&region));
        if (!err && (tracker->caps & WW_CAP_FILL) && !can_fill(&region)) {
            tracker->caps &= ~WW_CAP_FILL;
        }
        mprotect_disarm(&region);
        ((struct ww_prot_map *)region.priv)->refused = false; /* its memory will be unmapped */
        mprotect_release(&region);
        ww_fault_uninstall();
    }
    munmap(area, len + ww_page_size());
    return err;
}

static void mark_dirty(void *arg, uintptr_t start, uintptr_t end)
{
    struct ww_prot_pages *pages = arg;

    ww_bits_change(pages->dirty, ww_prot_index(pages, start), ww_prot_index(pages, end), true);
}

static int mprotect_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_prot_map *map = region->priv;
    struct ww_prot_pages *pages = map->pages;
    size_t from = ww_prot_index(pages, start), to = ww_prot_index(pages, end);
    int err = learn(pages, start, end, NULL);

    if (!err) {
        ww_keep_pages_small(start, end);
        ww_fault_synchronize();
        ww_bits_change(pages->dirty, from, to, false);
        err = ww_prot_apply(pages, from, to);
    }
    /* Pages that mlockall(2) has brought in are no writes. The handler opens the others again. */
    if (!err && !ww_kernel_populates()) {
        ww_existing_pages(start, end, region->markers, mark_dirty, pages);
    }
    map->prot_unknown |= err != 0;
    return err;
}

static int mprotect_protect(struct ww_region *region, uintptr_t start, uintptr_t end, int prot)
{
    struct ww_prot_map *map = region->priv;
    struct ww_prot_pages *pages = map->pages;
    size_t from = ww_prot_index(pages, start), to = ww_prot_index(pages, end);
    int err;

    /* One by one, since handlers read them meanwhile. */
    for (size_t page = from; page < to; page++) {
        atomic_store_explicit(&pages->prot[page], prot, memory_order_release);
    }
    /* A handler that has read the old protection must not apply it after this. */
    ww_fault_synchronize();
    err = ww_prot_apply(pages, from, to);
    map->prot_unknown |= err != 0;
    return err;
}

static void mprotect_close(struct ww_tracker *tracker)
{
    ww_prot_filler_close(tracker->priv);
}

const struct ww_backend ww_backend_mprotect = {
    .name = "mprotect",
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_OWNS_PROT | WW_CAP_EXACT | WW_CAP_SHARED | WW_CAP_FILES |
            WW_CAP_INTERNAL_MERGEABLE | WW_CAP_FILL,
    .steps = WW_STEP_BIT(WW_STEP_MAPS) | WW_STEP_BIT(WW_STEP_SIGACTION) | WW_STEP_BIT(WW_STEP_MPROTECT) |
             WW_STEP_BIT(WW_STEP_MADVISE) | FILL_STEPS,
    .dispensable = FILL_STEPS,
    .prepare = mprotect_prepare,
    .open = mprotect_open,
    .check = mprotect_check,
    .arm = mprotect_arm,
    .split = mprotect_split,
    .join = mprotect_join,
    .scan = mprotect_scan,
    .discard = mprotect_discard,
    .protect = mprotect_protect,
    .fill = mprotect_fill,
    .disarm = mprotect_disarm,
    .release = mprotect_release,
    .close = mprotect_close,
};
