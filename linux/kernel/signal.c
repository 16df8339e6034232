/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals around our locks. A collector, or Wine, suspends threads by a signal
 * and then asks which pages were written: a thread that is suspended with our
 * lock held would stop it for ever.
 */
#include <pthread.h>

#include "kernel/signal.h"

/* The synchronous signals stay open: blocking one that the thread then raises
 * itself would kill the process. */
void ww_block_signals(sigset_t *ret_saved)
{
    sigset_t block;

    sigfillset(&block);
    sigdelset(&block, SIGSEGV);
    sigdelset(&block, SIGBUS);
    sigdelset(&block, SIGFPE);
    sigdelset(&block, SIGILL);
    sigdelset(&block, SIGTRAP);
    sigdelset(&block, SIGSYS);
    pthread_sigmask(SIG_BLOCK, &block, ret_saved);
}

void ww_restore_signals(const sigset_t *saved)
{
    pthread_sigmask(SIG_SETMASK, saved, NULL);
}
