/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handler thread of the uffd-sync backend. It reads all pending faults, joins those of neighbouring
 * pages, and answers each run with one ioctl, which also wakes the threads.
 *
 * A missing page that is read gets a page of zeros that is protected at once. Mapping the kernel's zero page
 * and protecting it after that would leave a moment in which a write goes unseen. If a fault cannot be
 * answered, its thread is woken and faults again. If that would go on forever, all tracking ends (broken):
 * then scans fail, but no thread hangs.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "backends/uffd_sync/uffd_sync.h"

/* In the order in which a batch answers them: a page that is both written and read counts as written. */
enum { PROTECTED_WRITTEN, MISSING_WRITTEN, MISSING_READ };

/* ---- batches ---- */

/* Whether @a is answered before @b. */
static bool is_before(const struct ww_sync_fault *a, const struct ww_sync_fault *b)
{
    return a->kind != b->kind ? a->kind < b->kind : a->page < b->page;
}

/* Sorts the faults of the messages. There are few, and most are in order already. */
static size_t sort_faults(struct ww_sync *sync, size_t nr_messages)
{
    size_t nr = 0;

    for (size_t i = 0; i < nr_messages; i++) {
        const struct uffd_msg *message = &sync->messages[i];
        uint64_t flags = message->arg.pagefault.flags;
        struct ww_sync_fault fault = { .kind = MISSING_READ };
        size_t at = nr;

        if (message->event != UFFD_EVENT_PAGEFAULT) {
            continue;
        }
        fault.page = message->arg.pagefault.address & ~(ww_page_size() - 1);
        if (flags & UFFD_PAGEFAULT_FLAG_WP) {
            fault.kind = PROTECTED_WRITTEN;
        } else if (flags & UFFD_PAGEFAULT_FLAG_WRITE) {
            fault.kind = MISSING_WRITTEN;
        }
        for (; at > 0 && is_before(&fault, &sync->faults[at - 1]); at--) {
            sync->faults[at] = sync->faults[at - 1];
        }
        sync->faults[at] = fault;
        nr++;
    }
    return nr;
}

/* Fills missing pages. Skips a page that exists by now or is not tracked any more, and wakes its thread,
 * which faults again if need be. */
static int answer_missing(struct ww_sync *sync, uintptr_t start, uintptr_t end, bool protect)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    while (start < end) {
        ssize_t nr = ww_sync_copy(sync, start, sync->zeroes, end - start, protect);

        if (nr > 0) {
            start += nr;
            continue;
        }
        if (nr == -ENOMEM) {
            /* Other processes may free memory; the thread that faults waits, as it would in the kernel. */
            nanosleep(&moment, NULL);
        } else if (nr == -EFAULT && sync->tells_lost) {
            /* Only this mapping is affected, so the others stay tracked. Without tracking, the kernel
             * fills its pages as usual. */
            ww_sync_untrack(sync, start, start + ww_page_size());
        } else if (nr != -EEXIST && nr != -ENOENT && nr != -EAGAIN && nr != -EINTR) {
            return nr;
        }
        ww_sync_wake(sync, start, start + ww_page_size());
        start += ww_page_size();
    }
    return 0;
}

static int answer_protected(struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    int err = ww_sync_unprotect(sync, start, end);

    if (err == -ENOENT || err == -EAGAIN || err == -EINTR || err == -ENOMEM) {
        ww_sync_wake(sync, start, end);
        return 0;
    }
    return err;
}

/* Answers the faults of a run of pages, all of one kind. */
static int answer(struct ww_sync *sync, int kind, uintptr_t start, uintptr_t end)
{
    int err;

    atomic_fetch_add(&sync->nr_resolved, 1);
    if (kind == PROTECTED_WRITTEN) {
        err = ww_fail(&sync->failure, WW_STEP_WRITEPROTECT, answer_protected(sync, start, end));
    } else {
        err = ww_fail(&sync->failure, WW_STEP_COPY, answer_missing(sync, start, end, kind == MISSING_READ));
    }
    if (kind != MISSING_READ) {
        /* Not earlier: a scan could take the bits and protect the pages before they are opened. */
        ww_sync_mark_dirty(sync, start, end);
    }
    return err;
}

/* Answers all faults of the messages. After an error, faults cannot be answered now or later. */
static int answer_batch(struct ww_sync *sync, size_t nr_messages)
{
    size_t nr = sort_faults(sync, nr_messages), i = 0;
    int err = 0;

    atomic_fetch_add(&sync->nr_messages, nr);
    while (i < nr && !err) {
        int kind = sync->faults[i].kind;
        uintptr_t start = sync->faults[i].page, end = start;

        for (; i < nr && sync->faults[i].kind == kind && sync->faults[i].page <= end; i++) {
            end = sync->faults[i].page + ww_page_size();
        }
        err = answer(sync, kind, start, end);
    }
    return err;
}

/* ---- the thread ---- */

/* Reads pending messages: their number, 0 if there are none, or a negative errno. */
static ssize_t read_messages(struct ww_sync *sync)
{
    ssize_t nr;

    /* The number may be a later tracker's by now, whose messages are not ours. */
    if (!ww_sync_is_ours(sync)) {
        return -EBADF;
    }
    nr = read(sync->uffd, sync->messages, sizeof(sync->messages));
    if (nr < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    return nr ? nr / (ssize_t)sizeof(sync->messages[0]) : -EIO;
}

/*
 * Sleeps until there is something to read. The program may close our descriptor and open a file of its own
 * under the number, which must not be read.
 *
 * poll() does not work here: it keeps the file open that it began with, so threads wait in that for an
 * answer, and when it wakes it looks at the number's new file. Under epoll the file is freed when its
 * number is closed, and all threads that wait in it go on. Nothing wakes this thread then, so it checks
 * again every WW_FD_RECHECK_MS.
 */
static int wait_for_messages(const struct ww_sync *sync)
{
    struct epoll_event event = { .events = 0 };
    int nr;

    /* The events of another epoll are not ours either. */
    if (!ww_fd_look(&sync->epoll)) {
        return -EBADF;
    }
    nr = epoll_wait(sync->epoll.fd, &event, 1, WW_FD_RECHECK_MS);
    if (nr < 0 && errno != EINTR) {
        return -errno;
    }
    return (event.events & ~EPOLLIN) || !ww_sync_is_ours(sync) ? -EBADF : 0;
}

/* Runs until it is told to stop. After an error, faults cannot be answered any more. One read before it
 * sleeps finds the next fault of a thread that was quick; more reads gain nothing. */
static int serve(struct ww_sync *sync)
{
    int err = 0;

    while (!err && !atomic_load(&sync->stop) && !atomic_load(&sync->broken)) {
        ssize_t nr;

        /* A message counts as part of the batch from before it is read: who ends a watch waits for it,
         * because by then another one may protect the page. */
        ww_sync_begin_batch(sync);
        nr = read_messages(sync);
        err = nr > 0 ? answer_batch(sync, nr) : (int)nr;
        ww_sync_end_batch(sync);
        if (!nr) {
            err = wait_for_messages(sync);
        }
    }
    return err;
}

/* Gives up as part of a batch, so that the table stays. */
static void give_up_in_thread(struct ww_sync *sync)
{
    ww_sync_begin_batch(sync);
    ww_sync_give_up(sync);
    ww_sync_end_batch(sync);
}

static void handler_thread(void *arg)
{
    struct ww_sync *sync = arg;
    uintptr_t wake_page = (uintptr_t)sync->wake_page;
    size_t page = ww_page_size();

    prctl(PR_SET_NAME, "writewatch");
    if (serve(sync)) {
        give_up_in_thread(sync);
    }
    /* A thread that touches the wake-up page now must not wait, even if the kernel refuses one of these. */
    if (ww_sync_is_ours(sync)) {
        ww_sync_copy(sync, wake_page, sync->zeroes, page, false);
        if (ww_sync_unregister(sync, wake_page, wake_page + page)) {
            give_up_in_thread(sync);
        }
    }
}

/*
 * Tries everything that may work. First it unregisters the ranges one by one, since a forked child may
 * hold the descriptor; then it closes the descriptor, since a sandbox that came later may deny the ioctl.
 */
void ww_sync_give_up(struct ww_sync *sync)
{
    const struct ww_sync_table *table = atomic_load(&sync->table);

    atomic_store(&sync->broken, true);
    if (!ww_sync_is_ours(sync)) {
        return;
    }
    for (size_t i = 0; i < table->nr; i++) {
        ww_sync_unregister(sync, table->entries[i].start, table->entries[i].end);
    }
    if (ww_fd_replace(sync->uffd, &sync->placeholder)) {
        atomic_store(&sync->replaced, true);
    }
}

static int open_epoll(struct ww_sync *sync, struct ww_failure *failure)
{
    struct epoll_event event = { .events = EPOLLIN };
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int err = epoll < 0 ? ww_fail(failure, WW_STEP_EPOLL, -errno)
                        : ww_fail(failure, WW_STEP_FSTAT, ww_fd_take(&sync->epoll, epoll));

    if (!err && epoll_ctl(sync->epoll.fd, EPOLL_CTL_ADD, sync->uffd, &event)) {
        err = ww_fail(failure, WW_STEP_EPOLL_CTL, -errno);
    }
    return err;
}

static void unmap_all(struct ww_sync *sync)
{
    struct ww_sync_table *table = atomic_load(&sync->table);

    if (table) {
        munmap(table, table->map_len);
    }
    if (sync->spare) {
        munmap(sync->spare, sync->spare->map_len);
    }
}

int ww_sync_start(struct ww_sync *sync, struct ww_workers *workers, struct ww_failure *failure)
{
    int err = 0;

    pthread_mutex_init(&sync->table_lock, NULL);
    ww_fd_init(&sync->epoll, -1);
    sync->spare = ww_sync_new_table(64);
    atomic_store(&sync->table, sync->spare ? ww_sync_new_table(64) : NULL);
    if (!atomic_load(&sync->table)) {
        err = ww_fail_memory(failure);
    }
    if (!err) {
        err = open_epoll(sync, failure);
    }
    if (!err) {
        err = ww_fail(failure, WW_STEP_THREAD,
                      ww_worker_run(workers, WW_STACK_BYTES, handler_thread, sync, &sync->job));
    }
    if (err) {
        ww_fd_close(&sync->epoll);
        unmap_all(sync);
    }
    return err;
}

bool ww_sync_stop(struct ww_sync *sync)
{
    if (*sync->alive) {
        atomic_store(&sync->stop, true);
        if (!atomic_load(&sync->broken) && ww_sync_is_ours(sync)) {
            (void)*sync->wake_page;
            ww_job_wait(&sync->job);
        } else if (atomic_load(&sync->broken) && !atomic_load(&sync->hung)) {
            ww_job_wait(&sync->job);
        } else if (!ww_job_is_over(&sync->job)) {
            /* The handler is hung, or asleep on a descriptor that the program has closed. */
            ww_fd_close(&sync->epoll);
            return false;
        }
    }
    ww_fd_close(&sync->epoll);
    unmap_all(sync);
    return true;
}
