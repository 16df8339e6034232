/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only table that maps this library's errors to NTSTATUS.
 */
#include <errno.h>

#include "nt.h"

static const struct {
    int error;
    NTSTATUS status;
} statuses[] = {
    { 0, STATUS_SUCCESS },
    { -EINVAL, STATUS_INVALID_PARAMETER },
    { -ENOENT, STATUS_INVALID_PARAMETER }, /* not within one watched allocation */
    { -EFAULT, STATUS_ACCESS_VIOLATION },
    { -ENOMEM, STATUS_NO_MEMORY },
    { -EACCES, STATUS_ACCESS_DENIED },
    { -EPERM, STATUS_ACCESS_DENIED },
};

NTSTATUS nt_status(int error)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].error == error) {
            return statuses[i].status;
        }
    }
    return STATUS_UNSUCCESSFUL;
}
