/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens a userfaultfd; nothing else does. */
#ifndef WW_LINUX_KERNEL_USERFAULTFD_H
#define WW_LINUX_KERNEL_USERFAULTFD_H

#include "kernel/refusal.h"

/* The steps that opening takes, in addition to WW_STEP_API_ASYNC or WW_STEP_API_WP. */
#define WW_STEPS_USERFAULTFD (WW_STEP_BIT(WW_STEP_USERFAULTFD) | WW_STEP_BIT(WW_STEP_DEVICE))

/*
 * Opens a userfaultfd with these features: UFFD_FEATURE_WP_ASYNC or UFFD_FEATURE_PAGEFAULT_FLAG_WP.
 * *ret_full tells whether it also handles faults of system calls, which then wait for a missing or
 * protected page; otherwise they fail with EFAULT. Does not take steps in @barred. Returns a descriptor,
 * or a negative errno with more in *failure.
 */
int ww_userfaultfd_open(uint64_t features, uint64_t barred, bool *ret_full, struct ww_failure *failure);

#endif
