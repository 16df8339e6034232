/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synchronous userfaultfd backend, for kernels 5.7 to 6.6. Clean pages are write-protected in the page
 * tables, missing pages are registered as such, and the first access to either waits until our handler thread
 * (handler.c) has recorded it. uffd_sync.h has the rule that keeps writes from getting lost.
 *
 * If the descriptor handles only faults of user mode, system calls cannot wait for the thread, and fail with
 * EFAULT when they write to a clean page. They must still be able to read, so arming a range then maps the
 * zero page into all holes.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/uffd_sync/uffd_sync.h"
#include "kernel/advice.h"
#include "kernel/userfaultfd.h"
#include "process/heap.h"

/* One ioctl protects dirty runs that have fewer clean pages than this between them. Clean pages are
 * protected already, and passing over one costs less than another call. */
#define NEAR_PAGES 32

/* ---- open ---- */

/* Maps the struct, followed by pages that no fault of the program can concern. 0 or a negative errno. */
static int map_sync(struct ww_sync **ret_sync, struct ww_failure *failure)
{
    size_t page = ww_page_size(), head = (sizeof(struct ww_sync) + page - 1) & ~(page - 1);
    size_t len = head + (3 + WW_SYNC_BATCH) * page;
    char *area = ww_heap_map(len, 0);
    struct ww_sync *sync = (struct ww_sync *)area;
    int err = 0;

    if (!area) {
        return ww_fail_memory(failure);
    }
    /* Avoids mprotect(2), since a seccomp filter may kill a process that calls it. */
    if (mmap(area + len - page, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED) {
        err = ww_fail_memory(failure);
    } else if (madvise(area + head, page, MADV_WIPEONFORK)) {
        err = ww_fail(failure, WW_STEP_MADVISE, -errno);
    }
    if (err) {
        munmap(area, len);
        return err;
    }
    area[head] = 1;
    sync->map_len = len;
    sync->alive = (const unsigned int *)(area + head);
    sync->wake_page = area + head + page;
    sync->zeroes = area + head + 2 * page;
    sync->trap = area + len - page;
    ww_drop_pages(sync->wake_page, page);
    /* Maps them now, so that UFFDIO_COPY finds them at its first try. */
    for (size_t i = 0; i < WW_SYNC_BATCH; i++) {
        (void)*(const volatile char *)(sync->zeroes + i * page);
    }
    *ret_sync = sync;
    return 0;
}

/* Learns what ww_sync_kind() returns for a registered page of ours, and whether it and
 * ww_sync_is_registered() return something else for one that is not registered. */
static int learn_kinds(struct ww_sync *sync)
{
    uintptr_t wake_page = (uintptr_t)sync->wake_page, page = ww_page_size();
    struct uffdio_continue arg = { .range = { .start = wake_page, .len = page } };
    int err = ww_sync_register(sync, wake_page, wake_page + page, true);

    if (err) {
        return err;
    }
    sync->kind_error = ioctl(sync->uffd, UFFDIO_CONTINUE, &arg) ? errno : 0;
    sync->tells_lost = sync->kind_error == EINVAL || sync->kind_error == EOPNOTSUPP;
    sync->tells_lost = sync->tells_lost &&
                       ww_sync_kind(sync, wake_page, wake_page + page) == WW_SYNC_PRIVATE &&
                       ww_sync_kind(sync, wake_page + page, wake_page + 2 * page) == WW_SYNC_LOST &&
                       ww_sync_kind(sync, wake_page, wake_page + 2 * page) == WW_SYNC_LOST &&
                       ww_sync_is_registered(sync, wake_page, wake_page + page) == 1 &&
                       ww_sync_is_registered(sync, wake_page + page, wake_page + 2 * page) == 0;
    return 0;
}

static int sync_open(struct ww_tracker *tracker)
{
    struct ww_sync *sync;
    int err = map_sync(&sync, &tracker->failure);

    if (err) {
        return err;
    }
    err = ww_sync_open_uffd(sync, tracker->barred, &tracker->failure);
    if (err) {
        munmap(sync, sync->map_len);
        return err;
    }
    err = ww_fail(&tracker->failure, WW_STEP_REGISTER, learn_kinds(sync));
    if (!err) {
        err = ww_sync_start(sync, tracker->workers, &tracker->failure);
    }
    if (err) {
        close(sync->uffd);
        munmap(sync, sync->map_len);
        return err;
    }
    if (sync->user_mode_only) {
        tracker->caps &= ~(WW_CAP_KERNEL_WRITES | WW_CAP_FREE_ARMING | WW_CAP_FILL);
    }
    if (!sync->tells_lost) {
        tracker->caps &= ~WW_CAP_LOST_DETECTED;
    }
    tracker->priv = sync;
    return 0;
}

/* ---- arm ---- */

static int sync_arm(struct ww_region *region)
{
    return ww_sync_arm(region, NULL);
}

static int sync_split(struct ww_region *region, struct ww_region *upper)
{
    struct ww_sync_pages *pages = region->priv;
    int err = pages ? ww_sync_table_cut(region->tracker->priv, upper->range.start) : 0;

    if (!err && pages) {
        atomic_fetch_add(&pages->refs, 1);
        upper->priv = pages;
    }
    return err;
}

static void sync_release(struct ww_region *region)
{
    struct ww_sync *sync = region->tracker->priv;
    const struct ww_sync_entry entry = { .start = region->range.start,
                                         .end = region->range.end,
                                         .pages = region->priv };

    if (!region->priv) {
        return;
    }
    /* A child of fork has the memory, but no handler, and the state of its lock is unknown. */
    if (*sync->alive) {
        ww_sync_table_remove(sync, &entry);
    }
    ww_sync_put_pages(sync, region->priv);
    region->priv = NULL;
}

/* If one part was armed again, the parts have separate bits. Then the next scan arms the whole. */
static void sync_join(struct ww_region *region, struct ww_region *upper)
{
    if (region->priv && upper->tracker == region->tracker && upper->priv == region->priv) {
        ww_sync_table_join(region->tracker->priv, upper->range.start);
        ww_sync_put_pages(region->tracker->priv, upper->priv);
        upper->priv = NULL;
    } else {
        sync_release(region);
    }
}

/* ---- scan ---- */

/* Protects the span of @nr runs whose bits were taken. If that fails, they become dirty again. An
 * untracked part is no error here, since the next scan tracks it; the runs are then protected one by one,
 * since older kernels (6.1) refuse the whole span. */
static int protect_runs(const struct ww_region *region, const struct page_region *runs, size_t nr)
{
    struct ww_sync_pages *pages = region->priv;
    int err = nr ? ww_sync_protect(region->tracker->priv, runs[0].start, runs[nr - 1].end) : 0;

    for (size_t i = 0; err && i < nr; i++) {
        if (err != -ENOENT || nr == 1 || ww_sync_protect(region->tracker->priv, runs[i].start, runs[i].end)) {
            ww_bits_change(pages->dirty, ww_sync_page_index(pages, runs[i].start),
                           ww_sync_page_index(pages, runs[i].end), true);
        }
    }
    return err == -ENOENT ? 0 : err;
}

/* Collects runs, and takes their bits if the scan resets. Protects runs that lie near each other together. */
static ssize_t collect_runs(const struct ww_region *region, const struct ww_scan *scan,
                            struct page_region *vec, uintptr_t *ret_next)
{
    struct ww_sync_pages *pages = region->priv;
    size_t from = ww_sync_page_index(pages, scan->start), to = ww_sync_page_index(pages, scan->end);
    size_t max = scan->max_runs < WW_SCAN_VEC_LEN ? scan->max_runs : WW_SCAN_VEC_LEN;
    size_t room = scan->max_pages, nr = 0, nr_done = 0, last = from;
    int err = 0;

    while (nr < max && room && !err) {
        size_t first = ww_bits_find(pages->dirty, from, to, true);

        if (first >= to) {
            from = to;
            break;
        }
        if (scan->reset && nr > nr_done && first - last > NEAR_PAGES) {
            err = protect_runs(region, vec + nr_done, nr - nr_done);
            if (err) {
                break;
            }
            nr_done = nr;
        }
        last = ww_bits_find(pages->dirty, first, to - first > room ? first + room : to, false);
        if (scan->reset) {
            ww_bits_change(pages->dirty, first, last, false);
        }
        vec[nr++] = (struct page_region){
            .start = ww_sync_page_addr(pages, first),
            .end = ww_sync_page_addr(pages, last),
            .categories = PAGE_IS_WRITTEN,
        };
        room -= last - first;
        from = last;
    }
    if (scan->reset && !err) {
        err = protect_runs(region, vec + nr_done, nr - nr_done);
    }
    if (err) {
        /* The rest is unchanged; the next call returns the error. */
        from = ww_sync_page_index(pages, vec[nr_done].start);
        memset(vec + nr_done, 0, (nr - nr_done) * sizeof(*vec));
        nr = nr_done;
    }
    *ret_next = ww_sync_page_addr(pages, from);
    return nr || !err ? (ssize_t)nr : err;
}

static ssize_t sync_scan(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                         uintptr_t *ret_next)
{
    struct ww_sync *sync = region->tracker->priv;
    struct ww_sync_pages *pages;
    int err = 0;

    if (!region->priv) {
        err = sync_arm(region);
        if (err) {
            return err;
        }
        pages = region->priv;
        ww_bits_change(pages->dirty, 0, pages->nr_pages, true);
    }
    ww_sync_synchronize(sync);
    if (atomic_load(&sync->broken) || !ww_sync_is_ours(sync)) {
        return -EIO;
    }
    err = ww_sync_recover(region, scan->start, scan->end);
    return err ? err : collect_runs(region, scan, vec, ret_next);
}

/* ---- other calls on a range ---- */

static int sync_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_sync *sync = region->tracker->priv;
    struct ww_sync_pages *pages = region->priv;
    int err;

    /* The number may be the program's own userfaultfd by now, which must not get our faults. */
    if (!pages || atomic_load(&sync->broken) || !ww_sync_is_ours(sync)) {
        return -EIO;
    }
    err = ww_keep_pages_small(start, end);
    if (err) {
        return err;
    }
    ww_sync_synchronize(sync);
    ww_bits_change(pages->dirty, ww_sync_page_index(pages, start), ww_sync_page_index(pages, end), false);
    err = ww_sync_register(sync, start, end, false);
    if (!err) {
        /* Pages that mlockall(2) has brought in are no writes. */
        err = ww_sync_track(sync, pages, start, end, !ww_kernel_populates(), NULL);
        if (err && err != -ENOENT) {
            ww_sync_mark_uncertain(sync, pages, start, end);
        }
    }
    return err == -ENOENT ? 0 : err;
}

static int sync_protect(struct ww_region *region, uintptr_t start, uintptr_t end, int prot)
{
    (void)region;
    return mprotect((void *)start, end - start, prot) ? -errno : 0;
}

static ssize_t sync_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    const struct ww_sync *sync = region->tracker->priv;
    ssize_t nr;

    if (sync->user_mode_only || atomic_load(&sync->broken) || !ww_sync_is_ours(sync)) {
        return -EOPNOTSUPP;
    }
    do {
        nr = ww_sync_copy(sync, start, src, len, true);
    } while (nr == -EAGAIN || nr == -EINTR);
    return nr;
}

static int sync_disarm(struct ww_region *region)
{
    struct ww_sync *sync = region->tracker->priv;
    uintptr_t start = region->range.start, end = region->range.end;
    int err = 0;

    /* Another file's descriptor would end another tracking. */
    if (ww_sync_is_ours(sync)) {
        err = ww_sync_unregister(sync, start, end);
    }
    if (err == -ENOMEM && !sync->tells_lost) {
        ww_sync_mark_uncertain(sync, region->priv, start, end);
    }
    return err == -ENOMEM ? err : 0;
}

static void sync_close(struct ww_tracker *tracker)
{
    struct ww_sync *sync = tracker->priv;
    bool ended = ww_sync_stop(sync);

    ww_fd_close(&sync->opened);
    if (atomic_load(&sync->replaced)) {
        ww_fd_close(&sync->placeholder);
    }
    if (ended) {
        munmap(sync, sync->map_len);
    }
}

const struct ww_backend ww_backend_uffd_sync = {
    .name = "uffd-sync",
    .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_LOST_DETECTED | WW_CAP_FREE_ARMING |
            WW_CAP_EXACT | WW_CAP_SHARED | WW_CAP_FILL,
    .steps = WW_STEPS_USERFAULTFD | WW_STEP_BIT(WW_STEP_API_WP) | WW_STEP_BIT(WW_STEP_REGISTER) |
             WW_STEP_BIT(WW_STEP_WRITEPROTECT) | WW_STEP_BIT(WW_STEP_COPY) | WW_STEP_BIT(WW_STEP_ZEROPAGE) |
             WW_STEP_BIT(WW_STEP_CONTINUE) | WW_STEP_BIT(WW_STEP_WAKE) | WW_STEP_BIT(WW_STEP_UNREGISTER) |
             WW_STEP_BIT(WW_STEP_EPOLL) | WW_STEP_BIT(WW_STEP_EPOLL_CTL) | WW_STEP_BIT(WW_STEP_THREAD) |
             WW_STEP_BIT(WW_STEP_MADVISE) | WW_STEP_BIT(WW_STEP_FSTAT),
    .nr_threads = 2, /* the handler, and the thread that faults in the self test */
    .dispensable = WW_STEPS_USERFAULTFD,
    .open = sync_open,
    .check = ww_sync_check,
    .arm = sync_arm,
    .split = sync_split,
    .join = sync_join,
    .scan = sync_scan,
    .discard = sync_discard,
    .protect = sync_protect,
    .fill = sync_fill,
    .disarm = sync_disarm,
    .release = sync_release,
    .close = sync_close,
};
