/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only table that maps NTSTATUS to Windows' error codes, and the last error of each thread. It has the
 * statuses that the NT calls and memory.c return. The pairs are those of RtlNtStatusToDosError.
 */
#include "kernel32.h"
#include "winerror.h"

static const struct {
    NTSTATUS status;
    uint32_t error;
} errors[] = {
    { STATUS_ACCESS_DENIED, ERROR_ACCESS_DENIED },
    { STATUS_ACCESS_VIOLATION, ERROR_NOACCESS },
    { STATUS_CONFLICTING_ADDRESSES, ERROR_INVALID_ADDRESS },
    { STATUS_FREE_VM_NOT_AT_BASE, ERROR_INVALID_ADDRESS },
    { STATUS_INVALID_PAGE_PROTECTION, ERROR_INVALID_PARAMETER },
    { STATUS_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
    { STATUS_MEMORY_NOT_ALLOCATED, ERROR_INVALID_ADDRESS },
    { STATUS_NOT_COMMITTED, ERROR_INVALID_ADDRESS },
    { STATUS_NOT_SUPPORTED, ERROR_NOT_SUPPORTED },
    { STATUS_NO_MEMORY, ERROR_NOT_ENOUGH_MEMORY },
    { STATUS_UNABLE_TO_FREE_VM, ERROR_INVALID_PARAMETER },
    { STATUS_UNSUCCESSFUL, ERROR_GEN_FAILURE },
};

static __thread uint32_t last_error;

WW_API uint32_t *ww_win32_last_error(void)
{
    return &last_error;
}

static uint32_t find_error(NTSTATUS status)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (errors[i].status == status) {
            return errors[i].error;
        }
    }
    return ERROR_MR_MID_NOT_FOUND;
}

bool win32_succeeded(NTSTATUS status)
{
    if (status) {
        last_error = find_error(status);
    }
    return !status;
}
