/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happens to watched memory past our calls. Another process may protect,
 * decommit or release memory here (VirtualProtectEx, VirtualFreeEx): Wine makes
 * such a call inside this process, by a direct jump that no system call slot
 * sees. But whatever it does ends in libc's mapping calls, which ntdll.so imports.
 */
#ifndef WW_DLLS_NTDLL_REMOTE_H
#define WW_DLLS_NTDLL_REMOTE_H

#include "elf.h"
#include "nt.h"

#define REMOTE_NR_IMPORTS 4

/* Finds the slots through which @ntdll calls the mapping calls, and what is to stand there so that changes to
 * what @ctx watches are noted. 0, or -ENOENT where one of them is not imported, -EEXIST where somebody else
 * stands there already, with its name in *@ret_import. */
int remote_prepare(const struct elf_object *ntdll, struct ww_context *ctx, void **ret_slots[],
                   void *ret_values[], const char **ret_import);

/* While true, changes made by this thread are those of a call that we follow ourselves. */
void remote_set_own(bool own);

/* Applies what happened since the last time: before any answer, and before a new watch. */
void remote_settle(struct nt *nt);

#endif
