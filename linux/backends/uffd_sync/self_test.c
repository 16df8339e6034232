/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The self test of the uffd-sync backend: makes faults of every kind on pages of our own, and checks what a
 * scan finds. If the handler does not answer, the thread that faults hangs, so another thread touches the
 * pages first.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "backends/uffd_sync/uffd_sync.h"
#include "kernel/advice.h"
#include "process/raw.h"

/* How long the handler may take, in waits of 50 ms. Emulated machines are slow. */
#define CHECK_WAITS 100

/* Shared with the thread that touches the pages. */
struct touches {
    char *area;
    atomic_uint done; /* a futex */
};

/* Writes to a page that exists and to a missing one, and reads another missing one. Leaves the fourth
 * alone. */
static void touch_pages(void *arg)
{
    struct touches *touches = arg;
    size_t page = ww_page_size();

    *(volatile char *)touches->area = 2;
    *(volatile char *)(touches->area + page) = 2;
    (void)*(volatile char *)(touches->area + 2 * page);
    atomic_store(&touches->done, 1);
    syscall(SYS_futex, &touches->done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Counts waits instead of time: a machine that was suspended would have used up all the time at once. */
static bool wait_for_touches(struct touches *touches)
{
    const struct timespec moment = { .tv_nsec = 50000000 };
    int nr_waits = 0;

    while (!atomic_load(&touches->done) && nr_waits < CHECK_WAITS) {
        if (syscall(SYS_futex, &touches->done, FUTEX_WAIT_PRIVATE, 0, &moment, NULL, 0) &&
            errno == ETIMEDOUT) {
            nr_waits++;
        }
    }
    return atomic_load(&touches->done);
}

/* Another thread touches the area, since a hung handler would keep this one forever. */
static int run_touches(struct ww_tracker *tracker, char *area)
{
    struct ww_sync *sync = tracker->priv;
    struct touches touches = { .area = area };
    struct ww_job job;
    int err = ww_worker_run(tracker->workers, WW_STACK_BYTES, touch_pages, &touches, &job);

    if (err) {
        return ww_fail(&tracker->failure, WW_STEP_THREAD, err);
    }
    if (!wait_for_touches(&touches)) {
        atomic_store(&sync->hung, true);
        ww_sync_give_up(sync);
        err = ww_fail(&tracker->failure, WW_STEP_TEST_SYNC, -EIO);
    }
    ww_job_wait(&job);
    return err;
}

/* The verdict, or what the handler could not do: it gives up then, and everything fails. */
static int say_wrong(struct ww_tracker *tracker)
{
    const struct ww_sync *sync = tracker->priv;

    if (atomic_load(&sync->broken) && sync->failure.error) {
        tracker->failure = sync->failure;
        return sync->failure.error;
    }
    return ww_fail(&tracker->failure, WW_STEP_TEST_SYNC, -EIO);
}

/* Checks that a resetting scan of the area finds the first @nr pages and no other. */
static int expect_first(struct ww_region *region, size_t nr)
{
    struct ww_scan scan = {
        .start = region->range.start,
        .end = region->range.end,
        .max_pages = 4,
        .max_runs = 4,
        .reset = true,
    };
    const struct ww_sync *sync = region->tracker->priv;
    struct ww_failure *failure = &region->tracker->failure;
    struct page_region vec[4];
    uintptr_t next;
    ssize_t found = ww_fail(failure, WW_STEP_CONTINUE, ww_sync_recover(region, scan.start, scan.end));

    if (!found) {
        found =
            ww_fail(failure, WW_STEP_WRITEPROTECT, region->tracker->backend->scan(region, &scan, vec, &next));
    }
    if (found < 0 && found != -EIO && !atomic_load(&sync->broken)) {
        return found;
    }
    if (found != 1 || vec[0].start != scan.start || vec[0].end != scan.start + nr * ww_page_size()) {
        return say_wrong(region->tracker);
    }
    return 0;
}

/* Tries the ioctls that answer faults one by one on missing pages, so that a failure names its request.
 * The calls that release pages may fail. */
static int try_requests(struct ww_tracker *tracker, uintptr_t start)
{
    const struct ww_sync *sync = tracker->priv;
    struct ww_failure *failure = &tracker->failure;
    uintptr_t page = ww_page_size(), end = start + 2 * page;
    int err = ww_fail(failure, WW_STEP_MADVISE, ww_keep_pages_small(start, end));

    if (!err) {
        err = ww_fail(failure, WW_STEP_REGISTER, ww_sync_register(sync, start, end, true));
    }
    if (!err) {
        ssize_t nr;

        while ((nr = ww_sync_copy(sync, start, sync->zeroes, page, true)) == -EAGAIN || nr == -EINTR) {
            ww_wait_moment();
        }
        err = ww_fail(failure, WW_STEP_COPY, nr < 0 ? (int)nr : 0);
    }
    if (!err && sync->user_mode_only) {
        err = ww_fail(failure, WW_STEP_ZEROPAGE, ww_sync_fill_holes(sync, start + page, end));
    }
    if (!err) {
        err = ww_fail(failure, WW_STEP_WRITEPROTECT, ww_sync_protect(sync, start, start + page));
    }
    ww_sync_unregister(sync, start, end);
    return err;
}

int ww_sync_check(struct ww_tracker *tracker)
{
    size_t page = ww_page_size(), len = 4 * page;
    char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct ww_region region = {
        .range = { .start = (uintptr_t)area, .end = (uintptr_t)area + len },
        .tracker = tracker,
    };
    int err;

    if (area == MAP_FAILED) {
        return ww_fail_memory(&tracker->failure);
    }
    ww_drop_pages(area, len);
    err = try_requests(tracker, (uintptr_t)area + page);
    if (err) {
        munmap(area, len);
        return err;
    }
    ww_drop_pages(area + page, 2 * page);
    area[0] = area[len - 1] = 1;
    err = ww_sync_arm(&region, &tracker->failure);
    if (!err) {
        err = run_touches(tracker, area);
        if (!err) {
            err = expect_first(&region, 2);
        }
        if (!err) {
            *(volatile char *)area = 3;
            err = expect_first(&region, 1);
        }
        ww_backend_disarm(&region);
        ww_backend_release(&region);
    }
    munmap(area, len);
    return err;
}
