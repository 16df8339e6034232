/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Windows' memory calls for hosts that are not Wine: PE loaders, emulators and
 * other compatibility layers get VirtualAlloc, VirtualFree, VirtualProtect,
 * GetWriteWatch and ResetWriteWatch as functions that Windows code can call,
 * bound to a context of writewatch.h.
 *
 * Answers, checks and error codes are those of Windows, as Wine's winetest
 * (kernel32 virtual.c) saw them there; the Windows headers are not needed.
 * Errors of the functions declared here are negative errno values.
 */
#ifndef WRITEWATCH_WIN32_H
#define WRITEWATCH_WIN32_H

#include <stdint.h>

#include "writewatch.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Windows' view of one context: the memory that was allocated through it and the
 * functions bound to it. Several may share a context; each frees and protects
 * only what it allocated itself, GetWriteWatch answers for the whole context.
 */
struct ww_win32;

/* How the guest's code passes arguments. */
enum ww_win32_convention {
    WW_WIN32_WIN64 = 1,   /* x86_64 Windows: __attribute__((ms_abi)) */
    WW_WIN32_STDCALL = 2, /* i386 Windows: __attribute__((stdcall)) */
    WW_WIN32_SYSV = 3,    /* the host's own: a plain C function pointer */
};

/*
 * A bound function. Cast it to its type on Windows, with the convention that was
 * asked for, where LPVOID, SIZE_T and ULONG_PTR are as wide as a pointer and
 * DWORD, ULONG, UINT and BOOL have 32 bits.
 */
typedef void (*ww_win32_function)(void);

/*
 * Opens Windows' view of @ctx, which must stay open for longer than it.
 *
 * Returns 0; -EINVAL (NULL); -ENOTSUP (the machine's pages are not of 4096 bytes,
 * as Windows' are); -ENOMEM; -ECHILD (@ctx was opened before a fork).
 */
int ww_win32_open(struct ww_win32 **ret_win32, struct ww_context *ctx);

/*
 * Unbinds all functions, and releases all memory that was allocated through them
 * and not freed. NULL is allowed. No thread may be inside a call on @win32 or in
 * a function bound to it, or call one later.
 */
void ww_win32_close(struct ww_win32 *win32);

/*
 * Gives the function called @name in kernel32.dll, "VirtualAlloc", "VirtualFree",
 * "VirtualProtect", "GetWriteWatch" or "ResetWriteWatch", as code that is called
 * in @convention. It is valid until ww_win32_close(); the same name and convention
 * give the same function again.
 *
 * The functions behave as Windows', except:
 * - PAGE_GUARD fails with ERROR_NOT_SUPPORTED, since nobody here raises the
 *   exception; large and physical pages and placeholders fail with
 *   ERROR_INVALID_PARAMETER.
 * - A pointer that is not NULL but cannot be written does not fail the call with
 *   ERROR_NOACCESS: it faults, in the calling thread, with no lock held and before
 *   anything was changed.
 * - 32-bit programs may get memory above 2 GB, as large-address-aware ones do.
 * - Memory that the host has under ww_watch() is answered for as well. So a host
 *   with a VirtualAlloc of its own binds GetWriteWatch and ResetWriteWatch alone.
 *
 * Threads: the functions and ww_win32_bind() may be called from any thread at any
 * time, but not from a signal handler. Asynchronous signals are blocked while a
 * lock is held, so a thread that is suspended by a signal never holds one.
 *
 * Fork: in a child the functions fail with ERROR_GEN_FAILURE and change nothing;
 * ww_win32_close() frees the child's copy.
 *
 * Cost of a call: some tens of ns for the convention, beside the system calls. The
 * other calls go through a byte a page; reserving costs nothing per page where the
 * backend has WW_CAP_FREE_ARMING.
 *
 * Returns 0; -EINVAL (NULL, unknown convention); -ENOTSUP (the convention does not
 * exist on this machine); -ENOENT (unknown name); -ENOMEM; -ECHILD.
 */
int ww_win32_bind(struct ww_win32 *win32, const char *name, enum ww_win32_convention convention,
                  ww_win32_function *ret_function);

/*
 * Where the calling thread's last error is: the host's GetLastError reads it and
 * its SetLastError may write it. A bound function that fails writes a code of
 * winerror.h, one that succeeds writes nothing. As on Windows there is one a
 * thread, 0 at first, for all contexts. Valid as long as the thread.
 */
uint32_t *ww_win32_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
