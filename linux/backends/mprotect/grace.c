/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grace period of the mprotect backend: how a thread waits until the SIGSEGV handlers at work have left.
 * Knows nothing of what they work on. tests/stress/models/grace.pml is its model.
 *
 * Handlers count themselves by the parity of the epoch in which they began. A thread that synchronizes ends
 * the epoch and waits for its handlers, twice, since a handler may have read the epoch and not yet counted
 * itself. This is a grace period only if no other thread ends an epoch meanwhile: otherwise both epochs that
 * it ends could have the same parity. So one thread at a time synchronizes.
 *
 * All orders are sequentially consistent: a handler counts itself before it looks at anything that the
 * waiting thread has changed before.
 */
#include <limits.h>
#include <linux/futex.h>

#include "backends/mprotect/mprotect.h"
#include "process/raw.h"

/* How often a thread reads the count before it sleeps. A handler takes a microsecond or two. */
#define NR_SPINS 200

static atomic_uint epoch;
static atomic_uint nr_at_work[2]; /* each a futex */
static atomic_bool is_waited_for;
static pthread_mutex_t grace_lock = PTHREAD_MUTEX_INITIALIZER;

IN_HANDLER unsigned int ww_grace_enter(void)
{
    unsigned int parity = atomic_load(&epoch) & 1;

    atomic_fetch_add(&nr_at_work[parity], 1);
    return parity;
}

IN_HANDLER void ww_grace_leave(unsigned int parity)
{
    if (atomic_fetch_sub(&nr_at_work[parity], 1) == 1 && atomic_load(&is_waited_for)) {
        ww_raw_wake(&nr_at_work[parity]);
    }
}

IN_HANDLER void ww_raw_sleep(atomic_uint *word, unsigned int value)
{
    raw_syscall(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, 0);
}

IN_HANDLER void ww_raw_wake(atomic_uint *word)
{
    raw_syscall(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, INT_MAX, 0);
}

/* Sleeps instead of yielding: under SCHED_FIFO, a thread that only yields would keep the processor from
 * the handler. */
static void wait_until_none(atomic_uint *nr)
{
    unsigned int now = atomic_load(nr);

    for (int i = 0; i < NR_SPINS && now; i++) {
        now = atomic_load(nr);
    }
    if (!now) {
        return;
    }
    atomic_store(&is_waited_for, true);
    while ((now = atomic_load(nr))) {
        ww_raw_sleep(nr, now);
    }
    atomic_store(&is_waited_for, false);
}

void ww_fault_synchronize(void)
{
    ww_lock(&grace_lock, WW_RANK_GRACE);
    for (int i = 0; i < 2; i++) {
        wait_until_none(&nr_at_work[atomic_fetch_add(&epoch, 1) & 1]);
    }
    ww_unlock(&grace_lock, WW_RANK_GRACE);
}

void ww_grace_repair_child(void)
{
    pthread_mutex_init(&grace_lock, NULL);
    atomic_store(&nr_at_work[0], 0);
    atomic_store(&nr_at_work[1], 0);
    atomic_store(&is_waited_for, false);
}
