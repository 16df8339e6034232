/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a thread waits until the handler has finished its current batch. The count of batches is odd during
 * one, and is a futex.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "backends/uffd_sync/uffd_sync.h"

static void futex(atomic_uint *word, int operation, unsigned int value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

void ww_sync_begin_batch(struct ww_sync *sync)
{
    atomic_fetch_add(&sync->batches, 1);
}

void ww_sync_end_batch(struct ww_sync *sync)
{
    atomic_fetch_add(&sync->batches, 1);
    if (atomic_load(&sync->nr_waiting)) {
        futex(&sync->batches, FUTEX_WAKE, INT_MAX, NULL);
    }
}

void ww_sync_synchronize(struct ww_sync *sync)
{
    const struct timespec moment = { .tv_nsec = 10000000 };
    unsigned int seen = atomic_load(&sync->batches);

    if (!(seen & 1)) {
        return;
    }
    atomic_fetch_add(&sync->nr_waiting, 1);
    while (atomic_load(&sync->batches) == seen && !atomic_load(&sync->hung)) {
        futex(&sync->batches, FUTEX_WAIT, seen, &moment);
    }
    atomic_fetch_sub(&sync->nr_waiting, 1);
}
