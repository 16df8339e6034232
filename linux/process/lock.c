/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks that locks are taken in order and with signals blocked, in builds with --enable-debug. It is the
 * only place that prints and aborts, and no other build contains it.
 */
#include "process/lock.h"

#ifdef WW_DEBUG_LOCKS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A bit for each rank of which this thread holds a lock. */
static __thread unsigned int held;

static void violated(const char *what, enum ww_rank rank)
{
    dprintf(2, "writewatch: lock of rank %d: %s (held: %#x)\n", rank, what, held);
    abort();
}

void ww_rank_enter(enum ww_rank rank)
{
    sigset_t blocked;

    if (held >> rank) {
        violated("out of order", rank);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (!sigismember(&blocked, SIGUSR1) || !sigismember(&blocked, SIGALRM)) {
        violated("signals are not blocked", rank);
    }
    held |= 1u << rank;
}

void ww_rank_leave(enum ww_rank rank)
{
    if (!(held >> rank & 1)) {
        violated("not held", rank);
    }
    held &= ~(1u << rank);
}
#endif
