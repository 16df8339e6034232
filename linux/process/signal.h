/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals and cancellation while our locks are held. */
#ifndef WW_LINUX_PROCESS_SIGNAL_H
#define WW_LINUX_PROCESS_SIGNAL_H

#include <signal.h>

/* What a thread had before. */
struct ww_signals {
    sigset_t mask;
    int cancel_state;
};

/* Blocks all asynchronous signals, and pthread_cancel(): from before the first lock until after the last
 * unlock. */
void ww_block_signals(struct ww_signals *ret_saved);
void ww_restore_signals(const struct ww_signals *saved);

#endif
