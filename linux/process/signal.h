/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals while our locks are held. */
#ifndef WW_LINUX_PROCESS_SIGNAL_H
#define WW_LINUX_PROCESS_SIGNAL_H

#include <signal.h>

/* Blocks all asynchronous signals: from before the first lock until after the last unlock. */
void ww_block_signals(sigset_t *ret_saved);
void ww_restore_signals(const sigset_t *saved);

#endif
