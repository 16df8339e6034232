/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals and cancellation while our locks are held. A collector, or Wine, suspends threads by a signal and
 * then asks which pages were written. If it suspended a thread that holds our lock, it would wait for that
 * lock forever. So would everybody if pthread_cancel() ended such a thread in open(2), say.
 */
#include <pthread.h>

#include "process/signal.h"

/* Leaves the synchronous signals open: if a thread raises one that is blocked, the kernel kills the
 * process. */
void ww_block_signals(struct ww_signals *ret_saved)
{
    sigset_t block;

    sigfillset(&block);
    sigdelset(&block, SIGSEGV);
    sigdelset(&block, SIGBUS);
    sigdelset(&block, SIGFPE);
    sigdelset(&block, SIGILL);
    sigdelset(&block, SIGTRAP);
    sigdelset(&block, SIGSYS);
    pthread_sigmask(SIG_BLOCK, &block, &ret_saved->mask);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret_saved->cancel_state);
}

void ww_restore_signals(const struct ww_signals *saved)
{
    pthread_setcancelstate(saved->cancel_state, NULL);
    pthread_sigmask(SIG_SETMASK, &saved->mask, NULL);
}
