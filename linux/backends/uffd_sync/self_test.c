/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The self test of the uffd-sync backend: faults of every kind on pages of our
 * own, and what a scan finds of them. A handler that does not answer keeps the
 * thread that faults for ever, so another thread has to try it first.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "backends/uffd_sync/uffd_sync.h"
#include "kernel/advice.h"

/* How long the handler may take, in waits of 50 ms. Emulated machines are slow. */
#define CHECK_WAITS 100

/* What the helper does while the main thread watches the clock. */
struct trial {
    char *area;
    atomic_uint done; /* a futex */
};

/* A page that exists, one that is missing, one that is missing and only read; the fourth is left alone. */
static void trial_thread(void *arg)
{
    struct trial *trial = arg;
    size_t page = ww_page_size();

    *(volatile char *)trial->area = 2;
    *(volatile char *)(trial->area + page) = 2;
    (void)*(volatile char *)(trial->area + 2 * page);
    atomic_store(&trial->done, 1);
    syscall(SYS_futex, &trial->done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Counts waits and not seconds: a machine that stood still would have taken them all at once. */
static bool wait_for_trial(struct trial *trial)
{
    const struct timespec moment = { .tv_nsec = 50000000 };
    int nr_waits = 0;

    while (!atomic_load(&trial->done) && nr_waits < CHECK_WAITS) {
        if (syscall(SYS_futex, &trial->done, FUTEX_WAIT_PRIVATE, 0, &moment, NULL, 0) && errno == ETIMEDOUT) {
            nr_waits++;
        }
    }
    return atomic_load(&trial->done);
}

/* Lets another thread touch the area, since a handler that is stuck would keep this one for ever. */
static int run_trial(struct ww_tracker *tracker, char *area)
{
    struct ww_sync *sync = tracker->priv;
    struct trial trial = { .area = area };
    struct ww_job job;
    int err = ww_worker_run(tracker->workers, WW_STACK_BYTES, trial_thread, &trial, &job);

    if (err) {
        return ww_fail(&tracker->failure, WW_STEP_THREAD, err);
    }
    if (!wait_for_trial(&trial)) {
        atomic_store(&sync->stuck, true);
        ww_sync_give_up(sync);
        err = ww_fail(&tracker->failure, WW_STEP_TEST_SYNC, -EIO);
    }
    ww_job_wait(&job);
    return err;
}

/* A resetting scan of the area must find the first @nr pages and no other. */
static int expect_first(struct ww_region *region, size_t nr)
{
    struct ww_scan scan = {
        .start = region->range.start,
        .end = region->range.end,
        .max_pages = 4,
        .max_runs = 4,
        .reset = true,
    };
    struct page_region vec[4];
    uintptr_t next;
    ssize_t found = region->tracker->backend->scan(region, &scan, vec, &next);

    if (found < 0) {
        return found;
    }
    if (found != 1 || vec[0].start != scan.start || vec[0].end != scan.start + nr * ww_page_size()) {
        return -EIO;
    }
    return 0;
}

/* The requests that answer faults, one by one on pages that are missing: so that one that is refused has a
 * name. Those that set pages free may fail. */
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
        ssize_t nr = ww_sync_copy(sync, start, sync->zeroes, page, true);

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
        return ww_fail(&tracker->failure, WW_STEP_MEMORY, -ENOMEM);
    }
    ww_drop_pages(area, len);
    err = try_requests(tracker, (uintptr_t)area + page);
    if (err) {
        munmap(area, len);
        return err;
    }
    ww_drop_pages(area + page, 2 * page);
    area[0] = area[len - 1] = 1;
    err = ww_fail(&tracker->failure, WW_STEP_TEST_SYNC, ww_backend_arm(&region));
    if (!err) {
        err = run_trial(tracker, area);
        if (!err) {
            err = ww_fail(&tracker->failure, WW_STEP_TEST_SYNC, expect_first(&region, 2));
        }
        if (!err) {
            *(volatile char *)area = 3;
            err = ww_fail(&tracker->failure, WW_STEP_TEST_SYNC, expect_first(&region, 1));
        }
        ww_backend_disarm(&region);
        ww_backend_release(&region);
    }
    munmap(area, len);
    return err;
}
