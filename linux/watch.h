/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_watch() for tests: with what is no part of the contract. Internal: not in the library's symbol map. */
#ifndef WW_LINUX_WATCH_H
#define WW_LINUX_WATCH_H

#include "writewatch.h"

/* Arm every page one by one, holes too, as is done for shared memory and files, whatever is mapped. Not with
 * WW_WATCH_PRIVATE_ANONYMOUS. Out of the way of public flags, and refused by ww_watch(). */
#define WW_WATCH_MARKERS (1u << 31)

/* ww_watch() that takes WW_WATCH_MARKERS as well. */
int ww_watch_internal(struct ww_context *ctx, void *addr, size_t len, unsigned int flags);

#endif
