/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes to watched memory that do not pass our calls. Another process may protect, decommit or release
 * memory here (VirtualProtectEx, VirtualFreeEx). Wine makes such a call inside this process, by a direct jump
 * that no system call slot sees. All of them end in libc's mapping calls, which ntdll.so imports, so those
 * are interposed.
 */
#ifndef WW_DLLS_NTDLL_REMOTE_H
#define WW_DLLS_NTDLL_REMOTE_H

#include "elf.h"
#include "nt.h"

#define REMOTE_NR_IMPORTS 4

/* Finds the slots through which @ntdll calls the mapping calls, and the functions to store there, which queue
 * changes to what @ctx watches. Returns 0; -ENOENT: one of them is not imported; -EEXIST: another preload has
 * interposed one. *@ret_import is its name. */
int remote_prepare(const struct elf_object *ntdll, struct ww_context *ctx, void **ret_slots[],
                   void *ret_values[], const char **ret_import);

/* While true, changes that this thread makes belong to a call of ours and are not queued. */
void remote_set_own(bool own);

/* Applies the queued changes. Called before any answer and before a new watch. 0, or -ENOMEM: some stay
 * queued. */
int remote_drain(struct nt *nt);

/* While true, the changes stay queued, and who would apply them waits. */
void remote_pause_drain(bool pause);

#endif
