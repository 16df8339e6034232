/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals while our locks are held. A collector, or Wine, suspends threads by a signal and then asks which
 * pages were written. If it suspended a thread that holds our lock, it would wait for that lock forever.
 */
#include <pthread.h>

#include "process/signal.h"

/* Leaves the synchronous signals open: if a thread raises one that is blocked, the kernel kills the
 * process. */
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
