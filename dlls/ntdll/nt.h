/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The NT calls as this library answers them, in plain C. hook.c brings calls from Windows code here. The
 * fallback is the function that was interposed (`original`). They return NTSTATUS and follow Windows' order
 * of checks. No address of the caller is touched under a lock.
 */
#ifndef WW_DLLS_NTDLL_NT_H
#define WW_DLLS_NTDLL_NT_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WIN32_NO_STATUS
#include "windef.h"
#include "winternl.h"
#undef WIN32_NO_STATUS
#include "ntstatus.h"

#include "change.h"
#include "stats.h"

/* Windows' page, which is also the granularity that NtGetWriteWatch reports. */
#define NT_PAGE_SIZE 0x1000

/* The calls that are interposed. */
enum nt_call {
    NT_ALLOCATE,
    NT_ALLOCATE_EX,
    NT_FREE,
    NT_PROTECT,
    NT_GET_WRITE_WATCH,
    NT_RESET_WRITE_WATCH,
    NR_NT_CALLS,
};

struct nt {
    struct ww_context *ctx;
    struct counters *counters; /* NULL: not asked for */

    /* Memory has been watched here that was allocated with PAGE_NOACCESS. */
    atomic_bool watches_no_access;

    /* Calls the interposed function. @args points to the arguments. */
    NTSTATUS (*original)(struct nt *nt, enum nt_call call, void **args);

    /* 0 if a handle that is not the pseudo handle was opened on this process and may operate on its memory;
     * otherwise Windows' status for such a handle. */
    NTSTATUS (*check_handle)(struct nt *nt, HANDLE process);

    /* The rest follows changes that do not pass these calls (remote.h). NULL where there are none. */

    /* Applies the queued changes to what is watched. 0, or -ENOMEM: some stay queued. */
    int (*drain)(struct nt *nt);

    /* Whether no watched memory can be at @addr any more: nothing is there, or a file, or a placeholder. The
     * answer is the same up to *@ret_until. */
    bool (*is_gone)(struct nt *nt, uintptr_t addr, uintptr_t *ret_until);

    /* While true, no thread applies queued changes. The caller has blocked signals, holds no lock of ours,
     * and makes no call that drains. */
    void (*pause_drain)(bool pause);

    /* While true, changes to mappings belong to a call of ours, and are not queued. */
    void (*set_own)(bool own);

    /* A range is going to be watched. 0, or a negative errno with which it is not. */
    int (*before_watch)(uintptr_t start, uintptr_t end);

    /* Such a range, or a part of one, is no longer watched. */
    void (*after_watch)(uintptr_t start, uintptr_t end);
};

/* virtual.c */
NTSTATUS nt_allocate(struct nt *nt, HANDLE process, PVOID *ret, ULONG_PTR zero_bits, SIZE_T *size_ptr,
                     ULONG type, ULONG protect);
NTSTATUS nt_allocate_ex(struct nt *nt, HANDLE process, PVOID *ret, SIZE_T *size_ptr, ULONG type,
                        ULONG protect, MEM_EXTENDED_PARAMETER *parameters, ULONG count);
NTSTATUS nt_free(struct nt *nt, HANDLE process, PVOID *addr_ptr, SIZE_T *size_ptr, ULONG type);
NTSTATUS nt_protect(struct nt *nt, HANDLE process, PVOID *addr_ptr, SIZE_T *size_ptr, ULONG new_prot,
                    ULONG *old_prot);

/* Ends the watches in the range, of memory that somebody else has released. 0, or -ENOMEM: one could not be
 * cut. */
int nt_forget(struct nt *nt, uintptr_t start, uintptr_t end);

/* Latches what is dirty in a range whose protection has changed. No earlier: until then other threads may
 * write. */
void nt_latch(struct nt *nt, PVOID addr, SIZE_T size);

/* writewatch.c */
NTSTATUS nt_get_write_watch(struct nt *nt, HANDLE process, ULONG flags, PVOID base, SIZE_T size,
                            PVOID *addresses, ULONG_PTR *count, ULONG *granularity);
NTSTATUS nt_reset_write_watch(struct nt *nt, HANDLE process, PVOID base, SIZE_T size);

/* Windows' checks of the arguments alone, in its order: the range itself comes last. */
NTSTATUS nt_check_get_arguments(ULONG flags, SIZE_T size, PVOID *addresses, const ULONG_PTR *count,
                                const ULONG *granularity);

/* status.c: @error is 0 or a negative errno of linux/. */
NTSTATUS nt_status(int error);

/* Whether a handle means this process, the pseudo handle or a real one: 0 or why not. */
static inline NTSTATUS nt_check_handle(struct nt *nt, HANDLE process)
{
    return process == NtCurrentProcess() ? STATUS_SUCCESS : nt->check_handle(nt, process);
}

static inline bool nt_is_self(struct nt *nt, HANDLE process)
{
    return !nt_check_handle(nt, process);
}

static inline int nt_drain(struct nt *nt)
{
    return nt->drain ? nt->drain(nt) : 0;
}

static inline void nt_pause_drain(struct nt *nt, bool pause)
{
    if (nt->pause_drain) {
        nt->pause_drain(pause);
    }
}

/* Writes back the value of a byte, which other threads may write at the same time, and so faults where
 * writing is not allowed. An atomic "or" of 0 would not do: compilers make a read of it, or nothing. */
static inline void nt_touch(void *byte)
{
    char seen = __atomic_load_n((char *)byte, __ATOMIC_RELAXED);

    while (
        !__atomic_compare_exchange_n((char *)byte, &seen, seen, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        ;
    }
}

static inline uintptr_t nt_page_down(uintptr_t addr)
{
    return addr & ~(uintptr_t)(NT_PAGE_SIZE - 1);
}

static inline uintptr_t nt_page_up(uintptr_t addr)
{
    return nt_page_down(addr + NT_PAGE_SIZE - 1);
}

#endif
