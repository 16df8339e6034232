/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where watched memory is, roughly: how many watched pages there are in each 2 MB. Asked without a lock, in
 * signal handlers too, by what must do nothing about changes elsewhere (remote.c).
 */
#ifndef WW_DLLS_NTDLL_NEAR_H
#define WW_DLLS_NTDLL_NEAR_H

#include <stdbool.h>
#include <stdint.h>

/* Counts the pages of a range that is going to be watched: before it is in the table. 0 or -ENOMEM. */
int near_add(uintptr_t start, uintptr_t end);

/* Counts off pages that were counted, in parts of any size: once they are out of the table. */
void near_remove(uintptr_t start, uintptr_t end);

/* Whether a page is watched within 2 MB, aligned, of a byte of the range. */
bool near_watch(uintptr_t start, uintptr_t end);

#endif
