/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Windows' memory calls for hosts that are not Wine. PE loaders, emulators and other compatibility layers get
 * VirtualAlloc, VirtualFree, VirtualProtect, GetWriteWatch and ResetWriteWatch as functions that Windows code
 * can call, bound to a context of writewatch.h.
 *
 * Results, checks and error codes are those that Wine's winetest (kernel32 virtual.c) found on Windows. The
 * Windows headers are not needed. The functions declared here return negative errno values.
 */
#ifndef WRITEWATCH_WIN32_H
#define WRITEWATCH_WIN32_H

#include <stdint.h>

#include "writewatch.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Windows' view of one context: the memory allocated through it, and the functions bound to it. Several
 * views may share a context; each frees and protects only its own allocations, and GetWriteWatch answers
 * for the whole context.
 */
struct ww_win32;

/* How the guest's code passes arguments. */
enum ww_win32_convention {
    WW_WIN32_WIN64 = 1,   /* x86_64 Windows: __attribute__((ms_abi)) */
    WW_WIN32_STDCALL = 2, /* i386 Windows: __attribute__((stdcall)) */
    WW_WIN32_SYSV = 3,    /* the host's own: a plain C function pointer */
};

/*
 * A bound function. Cast it to its type on Windows, with the requested convention. LPVOID, SIZE_T and
 * ULONG_PTR are as wide as a pointer; DWORD, ULONG, UINT and BOOL have 32 bits.
 */
typedef void (*ww_win32_function)(void);

/*
 * Opens Windows' view of @ctx. Close the view before the context.
 *
 * Returns 0; -EINVAL (NULL); -ENOTSUP (the machine's page size is not 4096 bytes, as Windows' is);
 * -ENOMEM; -ECHILD (@ctx was opened before a fork).
 */
int ww_win32_open(struct ww_win32 **ret_win32, struct ww_context *ctx);

/*
 * Unbinds all functions, and frees all memory that was allocated through them. NULL is allowed. No thread
 * may be inside a call on @win32 or in a function bound to it, or call one later.
 */
void ww_win32_close(struct ww_win32 *win32);

/*
 * Gets the function called @name in kernel32.dll, "VirtualAlloc", "VirtualFree", "VirtualProtect",
 * "GetWriteWatch" or "ResetWriteWatch", as code with the calling convention @convention. The code is valid
 * until ww_win32_close(); the same name and convention give the same function again.
 *
 * The functions behave as Windows', except:
 *  - PAGE_GUARD fails with ERROR_NOT_SUPPORTED, since nothing here raises the exception; large and
 *    physical pages and placeholders fail with ERROR_INVALID_PARAMETER.
 *  - A pointer that is not NULL but cannot be written does not make the call fail with ERROR_NOACCESS.
 *    It faults, in the calling thread, with no lock held and before anything has changed.
 *  - 32-bit programs may get memory above 2 GB, as large-address-aware ones do.
 *  - GetWriteWatch also answers for memory that the host watches by ww_watch(). So a host with a
 *    VirtualAlloc of its own binds GetWriteWatch and ResetWriteWatch alone.
 *
 * Threads: any thread may call the functions and ww_win32_bind() at any time, but not from a signal
 * handler. Asynchronous signals are blocked while a lock is held, so a thread that a signal suspends never
 * holds one.
 *
 * Fork: in a child the functions fail with ERROR_GEN_FAILURE and change nothing; ww_win32_close() frees
 * the child's copy.
 *
 * Cost of a call: some tens of ns for the convention, in addition to the system calls. The calls read one
 * byte per page, except that reserving costs nothing per page if the backend has WW_CAP_FREE_ARMING.
 *
 * Returns 0; -EINVAL (NULL, unknown convention); -ENOTSUP (the convention does not exist on this machine);
 * -ENOENT (unknown name); -ENOMEM; -ECHILD.
 */
int ww_win32_bind(struct ww_win32 *win32, const char *name, enum ww_win32_convention convention,
                  ww_win32_function *ret_function);

/*
 * The address of the calling thread's last error: the host's GetLastError reads it, and its SetLastError
 * may write it. A bound function that fails writes a code of winerror.h; one that succeeds writes nothing.
 * As on Windows there is one per thread, 0 at first, for all contexts. Valid as long as the thread.
 */
uint32_t *ww_win32_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
