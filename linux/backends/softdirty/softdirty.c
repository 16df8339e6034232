/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The soft-dirty backend: a bit per page that the kernel sets with each first
 * write, and clears for the whole process at once when 4 is written to
 * /proc/self/clear_refs. For callers whose writers stand still: what is written
 * between reading the bits and clearing them is lost, so no WW_CAP_ATOMIC_RESET.
 *
 * Since clearing spares nobody, all regions of all contexts have one owner here.
 * Before each clearing the bits of all of them go into a set per region, the
 * marks; an answer is the marks together with the bits, and a reset takes its
 * own range out of the marks alone. The owner's lock is the innermost one.
 *
 * A mapping that is new, or was joined with a new one, reads as written in all
 * its pages: more is reported then, never less. Pages that do not exist do not
 * count. It knows nothing of zero pages, latch and answers (scan_step.c).
 */
#include <bsd/sys/queue.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kernel/heap.h"
#include "backend.h"
#include "kernel/advice.h"
#include "kernel/survey.h"
#include "kernel/lock.h"
#include "kernel/signal.h"
#include "backends/softdirty/softdirty.h"

/* What the kernel does not hold any more of one region. */
struct marks {
    LIST_ENTRY(marks) entry;
    unsigned int generation; /* in which process, counted by forks, it is in the list */
    struct ww_range range;
    struct ww_page_set dirty;
};

static struct {
    pthread_mutex_t lock; /* covers everything here and in all marks */
    LIST_HEAD(, marks) all;
    unsigned int generation;
} owner = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the owner ---- */

/* Not every caller has signals blocked already: ww_open(), ww_probe() and ww_close() have not. */
static void lock_owner(sigset_t *ret_saved)
{
    ww_block_signals(ret_saved);
    ww_lock(&owner.lock, WW_RANK_BACKEND);
}

static void unlock_owner(const sigset_t *saved)
{
    ww_unlock(&owner.lock, WW_RANK_BACKEND);
    ww_restore_signals(saved);
}

/* The child has none of the regions, and nobody who could hold the lock. */
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

/* In a child the list is another one, and the neighbours in the parent's are not there. */
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

/* Clears the bits of the whole process, after those of every region were saved. The lock is held. */
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
        return ww_fail(&tracker->failure, WW_STEP_MEMORY, -ENOMEM);
    }
    err = ww_softdirty_open(sd, &tracker->failure);
    if (err) {
        ww_heap_free(sd);
        return err;
    }
    tracker->priv = sd;
    return 0;
}

/* Whether both pages of a fresh area of which one was written read as they must. */
static int try_effect(struct ww_tracker *tracker, char *area)
{
    const struct softdirty *sd = tracker->priv;
    struct ww_failure *failure = &tracker->failure;
    uintptr_t start = (uintptr_t)area, page = ww_page_size(), low = 0, high = 0;
    struct ww_page_set dirty;
    bool found = false, right;
    int err;

    ww_page_set_init(&dirty, start, 2);
    *(volatile char *)area = 1;
    err = ww_softdirty_read(sd, start, start + 2 * page, &dirty, &found);
    right = ww_page_set_next(&dirty, start, start + 2 * page, &low, &high) && low == start &&
            high == start + page;
    ww_page_set_destroy(&dirty);
    if (err) {
        /* -EBADF: one that does not seem to be ours. */
        return ww_fail(failure,
                       err == -EBADF ? WW_STEP_FSTAT
                       : sd->scans   ? WW_STEP_SCAN
                                     : WW_STEP_PREAD,
                       err);
    }
    return found ? ww_fail(failure, WW_STEP_TEST_SOFT_DIRTY, right ? 0 : -EIO)
                 : ww_fail(failure, WW_STEP_NO_SOFT_DIRTY, -EOPNOTSUPP);
}

/*
 * Without CONFIG_MEM_SOFT_DIRTY the file can be written all the same, and no page
 * ever becomes soft-dirty: that is what shows. Nothing is cleared to find out, since
 * the whole process, and others that watch it, would pay for it; where clearing had
 * no effect, too much would be reported, and not too little.
 */
static int softdirty_check(struct ww_tracker *tracker)
{
    struct softdirty *sd = tracker->priv;
    size_t len = 2 * ww_page_size();
    char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigset_t saved;
    int err;

    if (area == MAP_FAILED) {
        return ww_fail(&tracker->failure, WW_STEP_MEMORY, -ENOMEM);
    }
    madvise(area, len, MADV_NOHUGEPAGE);
    /* In a process that has all of its memory locked the pages are there already. */
    ww_drop_pages(area, len);
    lock_owner(&saved);
    sd->scans = true;
    err = try_effect(tracker, area);
    if (err && err != -EBADF && err != -ENOMEM) {
        sd->scans = false;
        err = try_effect(tracker, area);
    }
    unlock_owner(&saved);
    munmap(area, len);
    if (!err && !ww_softdirty_is_whole(sd)) {
        err = ww_fail(&tracker->failure, WW_STEP_FSTAT, -EBADF);
    }
    return err;
}

/*
 * Only private anonymous memory: pages of files and shared memory may be taken out
 * of the page table without a trace when memory runs short, and with them their
 * bits; in hugetlb pages the kernel does not keep any.
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
    sigset_t saved;
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
    sigset_t saved;

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
    sigset_t saved;

    lock_owner(&saved);
    ww_page_set_join(&marks->dirty, &cut->dirty);
    marks->range.end = cut->range.end;
    unlock_owner(&saved);
}

/* Hands marks out, as far as they fit; returns how many runs. */
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
 * The bits of the range go into the marks in any case, which changes no answer. A
 * reset then has to clear them only if there were any: of an answer in many steps,
 * that is the first one, as long as nobody writes.
 */
static ssize_t softdirty_scan(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                              uintptr_t *ret_next)
{
    const struct softdirty *sd = region->tracker->priv;
    struct marks *marks = region->priv;
    bool found = false;
    sigset_t saved;
    ssize_t nr;

    lock_owner(&saved);
    nr = ww_softdirty_read(sd, scan->start, scan->end, &marks->dirty, &found);
    if (!nr && found && scan->reset) {
        nr = clear_bits(sd);
    }
    if (!nr) {
        nr = take_marks(marks, scan, vec, ret_next);
    }
    unlock_owner(&saved);
    return nr;
}

/* The marks cannot be read without the lock. */
static bool softdirty_peek(struct ww_tracker *tracker, uintptr_t start, uintptr_t end)
{
    (void)tracker;
    (void)start;
    (void)end;
    return true;
}

/* Fresh pages of a new mapping read as written once they exist: more is reported. */
static int softdirty_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct marks *marks = region->priv;
    int err = ww_keep_pages_small(start, end);
    sigset_t saved;

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
    sigset_t saved;

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
    .steps = WW_STEP_BIT(WW_STEP_PAGEMAP) | WW_STEP_BIT(WW_STEP_CLEAR_REFS) | WW_STEP_BIT(WW_STEP_FSTAT) |
             WW_STEP_BIT(WW_STEP_SCAN) | WW_STEP_BIT(WW_STEP_PREAD) | WW_STEP_BIT(WW_STEP_MADVISE),
    .prepare = ww_softdirty_follow_forks,
    .open = softdirty_open,
    .check = softdirty_check,
    .arm = softdirty_arm,
    .split = softdirty_split,
    .join = softdirty_join,
    .scan = softdirty_scan,
    .peek = softdirty_peek,
    .discard = softdirty_discard,
    .protect = softdirty_protect,
    .fill = softdirty_fill,
    .disarm = softdirty_disarm,
    .release = softdirty_release,
    .close = softdirty_close,
};
