/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The five functions of kernel32.dll as kernelbase has them: each calls ntdll for this process and makes the
 * status the thread's last error. Calls that change memory run one at a time, on copies of what the guest
 * passes by pointer.
 */
#include <errno.h>
#include <string.h>

#include "kernel32.h"

/* ---- calls that change memory ---- */

/* A child of fork has no watches, and may lack the thread that holds the lock. */
static NTSTATUS begin_change(struct ww_win32 *w, struct ww_signals *saved)
{
    int err = ww_enter(w->nt.ctx, saved);

    if (!err) {
        pthread_mutex_lock(&w->lock);
    }
    return nt_status(err);
}

static void end_change(struct ww_win32 *w, const struct ww_signals *saved)
{
    pthread_mutex_unlock(&w->lock);
    ww_restore_signals(saved);
}

void *win32_virtual_alloc(struct ww_win32 *w, void *addr, SIZE_T size, ULONG type, ULONG protect)
{
    SIZE_T rounded;
    PVOID base;
    struct ww_signals saved;
    NTSTATUS status;

    /* Tries again after the engine lacked a thread, which is made while our lock is not held. */
    do {
        base = addr;
        rounded = size;
        status = begin_change(w, &saved);
        if (!status) {
            status = nt_allocate(&w->nt, NtCurrentProcess(), &base, 0, &rounded, type, protect);
            end_change(w, &saved);
        }
    } while (status && ww_is_alive(w->nt.ctx) && ww_workers_make_wanted(&w->nt.ctx->workers));
    return win32_succeeded(status) ? base : NULL;
}

BOOL win32_virtual_free(struct ww_win32 *w, void *addr, SIZE_T size, ULONG type)
{
    PVOID base = addr;
    struct ww_signals saved;
    NTSTATUS status;

    /* The NT call can release a part of an allocation. This one refuses to. */
    if (type == MEM_RELEASE && size) {
        return win32_succeeded(STATUS_INVALID_PARAMETER);
    }
    status = begin_change(w, &saved);
    if (!status) {
        status = nt_free(&w->nt, NtCurrentProcess(), &base, &size, type);
        end_change(w, &saved);
    }
    return win32_succeeded(status);
}

/* Not by nt_protect(), which holds the region while the protection changes. Here that is the engine's work,
 * where a backend owns protections, and it holds the region itself. */
BOOL win32_virtual_protect(struct ww_win32 *w, void *addr, SIZE_T size, ULONG protect, ULONG *old_protect)
{
    PVOID base = addr;
    ULONG old = 0;
    struct ww_signals saved;
    NTSTATUS status;

    if (!old_protect) {
        return win32_succeeded(STATUS_ACCESS_VIOLATION);
    }
    /* Faults on a pointer that cannot be written, before anything is changed. */
    nt_touch(old_protect);
    nt_touch((char *)old_protect + sizeof(old) - 1);
    status = begin_change(w, &saved);
    if (!status) {
        status = win32_memory_protect(w, &base, &size, protect, &old);
        if (!status) {
            nt_latch(&w->nt, base, size);
        }
        end_change(w, &saved);
    }
    if (!status) {
        memcpy(old_protect, &old, sizeof(old)); /* the guest need not align it */
    }
    return win32_succeeded(status);
}

/* ---- calls about written pages: the engine's own locks are enough ---- */

UINT win32_get_write_watch(struct ww_win32 *w, ULONG flags, void *base, SIZE_T size, void **addresses,
                           ULONG_PTR *count, ULONG *granularity)
{
    NTSTATUS status = ww_is_alive(w->nt.ctx) ? nt_get_write_watch(&w->nt, NtCurrentProcess(), flags, base,
                                                                  size, addresses, count, granularity)
                                             : nt_status(-ECHILD);

    return win32_succeeded(status) ? 0 : ~0u;
}

UINT win32_reset_write_watch(struct ww_win32 *w, void *base, SIZE_T size)
{
    NTSTATUS status = ww_is_alive(w->nt.ctx) ? nt_reset_write_watch(&w->nt, NtCurrentProcess(), base, size)
                                             : nt_status(-ECHILD);

    return win32_succeeded(status) ? 0 : ~0u;
}
