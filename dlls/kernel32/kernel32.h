/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of dlls/kernel32 share. bind.c receives a guest's call and passes it to one of the functions
 * of kernel32.c, which calls the NT calls of dlls/ntdll. Those have Windows' rules for write watches.
 * memory.c is the fallback of the NT calls, which is Wine elsewhere.
 */
#ifndef WW_DLLS_KERNEL32_KERNEL32_H
#define WW_DLLS_KERNEL32_KERNEL32_H

#include <ffi.h>

#include "nt.h"
#include "writewatch-win32.h"

_Static_assert(sizeof(ULONG) == 4, "Windows' ULONG has 32 bits");

enum win32_call {
    WIN32_VIRTUAL_ALLOC,
    WIN32_VIRTUAL_FREE,
    WIN32_VIRTUAL_PROTECT,
    WIN32_GET_WRITE_WATCH,
    WIN32_RESET_WRITE_WATCH,
    NR_WIN32_CALLS,
};

#define WIN32_NR_CONVENTIONS 3
#define WIN32_MAX_ARGS 6

/* One function in one convention. */
struct win32_binding {
    ffi_closure *closure;
    void *entry;
    ffi_cif cif;
    ffi_type *types[WIN32_MAX_ARGS];
};

struct win32_allocation;
RB_HEAD(win32_allocation_tree, win32_allocation);

struct ww_win32 {
    struct nt nt;

    /* Taken before any lock of the engine, with signals blocked. The guest's memory is not touched under it.
     * It covers the table below, and makes allocating, freeing and protecting atomic. */
    pthread_mutex_t lock;
    struct win32_allocation_tree allocations; /* by address, not overlapping */

    _Atomic(struct win32_binding *) bindings[NR_WIN32_CALLS][WIN32_NR_CONVENTIONS]; /* NULL: not bound yet */
};

/* memory.c: sets up nt->original and what goes with it; releases all memory. */
void win32_memory_init(struct ww_win32 *w);
void win32_memory_destroy(struct ww_win32 *w);

/* memory.c: gives pages a protection, rounds the range, and returns the old protection; the lock is held. */
NTSTATUS win32_memory_protect(struct ww_win32 *w, PVOID *addr_ptr, SIZE_T *size_ptr, ULONG protect,
                              ULONG *old_protect);

/* kernel32.c: the functions as Windows declares them. */
void *win32_virtual_alloc(struct ww_win32 *w, void *addr, SIZE_T size, ULONG type, ULONG protect);
BOOL win32_virtual_free(struct ww_win32 *w, void *addr, SIZE_T size, ULONG type);
BOOL win32_virtual_protect(struct ww_win32 *w, void *addr, SIZE_T size, ULONG protect, ULONG *old_protect);
UINT win32_get_write_watch(struct ww_win32 *w, ULONG flags, void *base, SIZE_T size, void **addresses,
                           ULONG_PTR *count, ULONG *granularity);
UINT win32_reset_write_watch(struct ww_win32 *w, void *base, SIZE_T size);

/* error.c: whether a call succeeded; if not, the thread's last error says why. */
bool win32_succeeded(NTSTATUS status);

#endif
