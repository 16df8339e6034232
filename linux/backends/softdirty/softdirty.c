/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The soft-dirty backend. The kernel sets a bit per page at the first write, and clears the bits of the whole
 * process when 4 is written to /proc/self/clear_refs. It suits callers whose writers stand still: a write
 * between reading the bits and clearing them is lost, so the backend lacks WW_CAP_ATOMIC_RESET.
 *
 * Since clearing affects the whole process, all regions of all contexts have one owner here. Before each
 * clearing the owner saves the bits of all regions in a page set per region, the marks. A scan returns the
 * marks together with the bits; a reset removes its own range from the marks alone. The owner's lock is the
 * innermost one.
 *
 * A mapping that is new, or was merged with a new one, reads as written in all its pages: the backend then
 * reports too much, never too little. Pages that do not exist do not count. But a file, or shared memory,
 * that the program maps over a region counts as written always, missing pages included, since the kernel may
 * take its pages out of the page table, and their bits with them. Only /proc/self/maps tells: the kernel
 * shows nothing of device memory, and no new mapping where mremap(2) moved one. Knows nothing of zero pages
 * and the latch (scan_step.c).
 */
#include <bsd/sys/queue.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "backend.h"
#include "backends/softdirty/softdirty.h"
#include "kernel/advice.h"
#include "kernel/survey.h"
#include "process/heap.h"
#include "process/lock.h"
#include "process/signal.h"

/* Dirty bits of one region that the kernel has already cleared. */
struct marks {
    LIST_ENTRY(marks) entry;
    unsigned int generation; /* the process, counted by forks, in whose list it is */
    struct ww_range range;
    struct ww_page_set dirty;
};

static struct {
    pthread_mutex_t lock; /* covers everything here and in all marks */
    LIST_HEAD(, marks) all;
    unsigned int generation;
} owner = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the owner ---- */

/* Blocks signals, since ww_open(), ww_probe() and ww_close() call with signals open. */
static void lock_owner(struct ww_signals *ret_saved)
{
    ww_block_signals(ret_saved);
    ww_lock(&owner.lock, WW_RANK_BACKEND);
}

static void unlock_owner(const struct ww_signals *saved)
{
    ww_unlock(&owner.lock, WW_RANK_BACKEND);
    ww_restore_signals(saved);
}

/* In the child: it has none of the regions, and no thread that holds the lock. */
static void forget_parent(void)
{
    pthread_mutex_init(&owner.lock, NULL);
    LIST_INIT(&owner.all);
    owner.generation++;
}

void ww_softdirty_follow_forks(void)
{
    pthread_atfork(NULL, NULL, forget_parent);
}

/* From here on every clearing saves this range first. The lock is held. */
static void add_marks(struct marks *marks)
{
    marks->generation = owner.generation;
    LIST_INSERT_HEAD(&owner.all, marks, entry);
}

/* A child has another list, and the neighbours in the parent's list do not exist there. */
static void remove_marks(struct marks *marks)
{
    if (marks->generation == owner.generation) {
        LIST_REMOVE(marks, entry);
    }
}

static struct marks *new_marks(const struct ww_range *range)
{
    struct marks *marks = ww_heap_alloc(sizeof(*marks));

    if (marks) {
        marks->range = *range;
        ww_page_set_init(&marks->dirty, range->start, (range->end - range->start) >> ww_page_shift);
    }
    return marks;
}

static void free_marks(struct marks *marks)
{
    ww_page_set_destroy(&marks->dirty);
    ww_heap_free(marks);
}

/* Saves the bits of every region, then clears those of the whole process. The lock is held. */
static int clear_bits(const struct softdirty *sd)
{
    struct marks *marks;
    bool found = false;
    int err;

    LIST_FOREACH(marks, &owner.all, entry)
    {
        err = ww_softdirty_read(sd, marks->range.start, marks->range.end, &marks->dirty, &found);
        if (err) {
            return err;
        }
    }
    return ww_softdirty_clear(sd);
}

/* ---- the backend ---- */

static void softdirty_close(struct ww_tracker *tracker)
{
    ww_softdirty_close(tracker->priv);
    ww_heap_free(tracker->priv);
}

static int softdirty_open(struct ww_tracker *tracker)
{
    struct softdirty *sd = ww_heap_alloc(sizeof(*sd));
    int err;

    if (!sd) {
        return ww_fail_memory(&tracker->failure);
    }
    err = ww_softdirty_open(sd, &tracker->failure);
    if (err) {
        ww_heap_free(sd);
        return err;
    }
    tracker->priv = sd;
    return 0;
}

/* Checks both pages of a fresh area, one of which was written. */
static int try_dirty_bits(struct ww_tracker *tracker, char *area)
{
    const struct softdirty *sd = tracker->priv;
    struct ww_failure *failure = &tracker->failure;
    uintptr_t start = (uintptr_t)area, page = ww_page_size(), low = 0, high = 0;
    struct ww_page_set dirty;
    bool found = false, right, short_of_memory;
    int err;

    ww_page_set_init(&dirty, start, 2);
    *(volatile char *)area = 1;
    err = ww_softdirty_read(sd, start, start + 2 * page, &dirty, &found);
    right = ww_page_set_next(&dirty, start, start + 2 * page, &low, &high) && low == start &&
            high == start + page;
    short_of_memory = dirty.all;
    ww_page_set_destroy(&dirty);
    if (err && ww_softdirty_look(sd)) {
        return ww_fail(failure, WW_STEP_FSTAT, ww_softdirty_look(sd));
    }
    if (err) {
        return ww_fail(failure, sd->scans ? WW_STEP_SCAN : WW_STEP_PREAD, err);
    }
    if (short_of_memory) {
        return ww_fail(failure, WW_STEP_MEMORY, -ENOMEM);
    }
    return found ? ww_fail(failure, WW_STEP_TEST_SOFT_DIRTY, right ? 0 : -EIO)
                 : ww_fail(failure, WW_STEP_NO_SOFT_DIRTY, -EOPNOTSUPP);
}

/*
 * Without CONFIG_MEM_SOFT_DIRTY the file can still be written, but no page becomes soft-dirty, and that is
 * what this tests. It does not clear bits, since the whole process, and others that watch it, would pay
 * for that. If clearing had no effect, the backend would report too much, not too little.
 */
static int softdirty_check(struct ww_tracker *tracker)
{
    struct softdirty *sd = tracker->priv;
    size_t len = 2 * ww_page_size();
    char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct ww_signals saved;
    int err;

    if (area == MAP_FAILED) {
        return ww_fail_memory(&tracker->failure);
    }
    madvise(area, len, MADV_NOHUGEPAGE);
    /* mlockall(2) may have brought the pages in already. */
    ww_drop_pages(area, len);
    lock_owner(&saved);
    sd->scans = true;
    err = try_dirty_bits(tracker, area);
    if (err && err != -ENOMEM) {
        sd->scans = false;
        err = try_dirty_bits(tracker, area);
    }
    unlock_owner(&saved);
    munmap(area, len);
    return err ? err : ww_fail(&tracker->failure, WW_STEP_FSTAT, ww_softdirty_look(sd));
}

/*
 * Accepts private anonymous memory only. The kernel may drop pages of files and shared memory from the
 * page table when memory runs short, and with them their bits; it keeps no soft-dirty bits for hugetlb
 * pages.
 */
static int check_kind(const struct ww_region *region)
{
    struct ww_mapped mapped = { .private_anonymous = true };
    int err = 0;

    if (region->markers || region->page_size > ww_page_size()) {
        err = ww_mapped_survey(region->range.start, region->range.end, &mapped);
    }
    return err ? err : mapped.private_anonymous ? 0 : -EINVAL;
}

static int softdirty_arm(struct ww_region *region)
{
    struct marks *marks;
    struct ww_signals saved;
    int err = check_kind(region);

    if (!err) {
        err = ww_keep_pages_small(region->range.start, region->range.end);
    }
    if (err) {
        return err;
    }
    marks = new_marks(&region->range);
    if (!marks) {
        return -ENOMEM;
    }
    lock_owner(&saved);
    add_marks(marks);
    unlock_owner(&saved);
    region->priv = marks;
    return 0;
}

static int softdirty_split(struct ww_region *region, struct ww_region *upper)
{
    struct marks *marks = region->priv, *cut = new_marks(&upper->range);
    struct ww_signals saved;

    if (!cut) {
        return -ENOMEM;
    }
    lock_owner(&saved);
    ww_page_set_split(&marks->dirty, upper->range.start, &cut->dirty);
    marks->range.end = upper->range.start;
    add_marks(cut);
    unlock_owner(&saved);
    upper->priv = cut;
    return 0;
}

static void softdirty_join(struct ww_region *region, struct ww_region *upper)
{
    struct marks *marks = region->priv, *cut = upper->priv;
    struct ww_signals saved;

    lock_owner(&saved);
    ww_page_set_join(&marks->dirty, &cut->dirty);
    marks->range.end = cut->range.end;
    unlock_owner(&saved);
}

/* Returns marks as runs, as many as fit, and their number. */
static ssize_t take_marks(struct marks *marks, const struct ww_scan *scan, struct page_region *vec,
                          uintptr_t *ret_next)
{
    size_t max = scan->max_runs < WW_SCAN_VEC_LEN ? scan->max_runs : WW_SCAN_VEC_LEN;
    size_t room = scan->max_pages, nr = 0;
    uintptr_t pos = scan->start, low, high;

    while (nr < max && room) {
        if (!ww_page_set_next(&marks->dirty, pos, scan->end, &low, &high)) {
            pos = scan->end;
            break;
        }
        if ((high - low) >> ww_page_shift > room) {
            high = low + ((uintptr_t)room << ww_page_shift);
        }
        vec[nr++] = (struct page_region){ .start = low, .end = high, .categories = PAGE_IS_WRITTEN };
        room -= (high - low) >> ww_page_shift;
        pos = high;
    }
    if (scan->reset) {
        ww_page_set_remove(&marks->dirty, scan->start, pos);
    }
    *ret_next = pos;
    return nr;
}

/*
 * Moves the bits of the range into the marks in any case, which changes no answer. So a reset clears bits
 * only if it found any: while nobody writes, only the first step of a scan clears.
 */
static ssize_t softdirty_scan(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                              uintptr_t *ret_next)
{
    const struct softdirty *sd = region->tracker->priv;
    struct marks *marks = region->priv;
    bool found = false;
    struct ww_signals saved;
    ssize_t nr;

    lock_owner(&saved);
    nr = ww_softdirty_read(sd, scan->start, scan->end, &marks->dirty, &found);
    if (!nr && found && scan->reset) {
        nr = clear_bits(sd);
    }
    if (!nr) {
        nr = ww_softdirty_find_others(sd, scan->start, scan->end, &marks->dirty);
    }
    if (!nr) {
        nr = take_marks(marks, scan, vec, ret_next);
    }
    unlock_owner(&saved);
    return nr;
}

/* Fresh pages of a new mapping read as written once they exist, so the backend reports too much. */
static int softdirty_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct marks *marks = region->priv;
    int err = ww_keep_pages_small(start, end);
    struct ww_signals saved;

    if (err) {
        return err;
    }
    lock_owner(&saved);
    ww_page_set_remove(&marks->dirty, start, end);
    unlock_owner(&saved);
    return 0;
}

static int softdirty_protect(struct ww_region *region, uintptr_t start, uintptr_t end, int prot)
{
    (void)region;
    return mprotect((void *)start, end - start, prot) ? -errno : 0;
}

static ssize_t softdirty_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    (void)region;
    (void)start;
    (void)src;
    (void)len;
    return -EOPNOTSUPP;
}

static int softdirty_disarm(struct ww_region *region)
{
    (void)region;
    return 0;
}

static void softdirty_release(struct ww_region *region)
{
    struct marks *marks = region->priv;
    struct ww_signals saved;

    if (marks) {
        lock_owner(&saved);
        remove_marks(marks);
        unlock_owner(&saved);
        free_marks(marks);
    }
}

const struct ww_backend ww_backend_softdirty = {
    .name = "softdirty",
    .caps = WW_CAP_KERNEL_WRITES | WW_CAP_LOST_DETECTED | WW_CAP_FREE_ARMING,
    .steps = WW_STEP_BIT(WW_STEP_PAGEMAP) | WW_STEP_BIT(WW_STEP_CLEAR_REFS) | WW_STEP_BIT(WW_STEP_MAPS) |
             WW_STEP_BIT(WW_STEP_FSTAT) | WW_STEP_BIT(WW_STEP_SCAN) | WW_STEP_BIT(WW_STEP_PREAD) |
             WW_STEP_BIT(WW_STEP_MADVISE),
    .prepare = ww_softdirty_follow_forks,
    .open = softdirty_open,
    .check = softdirty_check,
    .arm = softdirty_arm,
    .split = softdirty_split,
    .join = softdirty_join,
    .scan = softdirty_scan,
    .discard = softdirty_discard,
    .protect = softdirty_protect,
    .fill = softdirty_fill,
    .disarm = softdirty_disarm,
    .release = softdirty_release,
    .close = softdirty_close,
};
