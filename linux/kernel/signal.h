/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals around our locks. */
#ifndef WW_LINUX_KERNEL_SIGNAL_H
#define WW_LINUX_KERNEL_SIGNAL_H

#include <signal.h>

/* All that are not synchronous: before the first lock is taken, and until the last one is released. */
void ww_block_signals(sigset_t *ret_saved);
void ww_restore_signals(const sigset_t *saved);

#endif
