/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A counting filter of watched memory, by 2 MB of the address space. It tells without a lock, in signal
 * handlers too, that a changed range has no watched page (remote.c). It may match where none is, and never
 * misses one.
 */
#ifndef WW_DLLS_NTDLL_FILTER_H
#define WW_DLLS_NTDLL_FILTER_H

#include <stdbool.h>
#include <stdint.h>

/* Adds the pages of a range that is going to be watched, before it is in the table. 0 or -ENOMEM. */
int filter_add(uintptr_t start, uintptr_t end);

/* Removes pages that were added, in parts of any size, after they have left the table. */
void filter_remove(uintptr_t start, uintptr_t end);

/* Whether a page is watched in one of the aligned 2 MB that the range touches. */
bool filter_may_match(uintptr_t start, uintptr_t end);

#endif
