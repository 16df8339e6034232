/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a userfaultfd is opened; the one place that does. */
#ifndef WW_LINUX_KERNEL_USERFAULTFD_H
#define WW_LINUX_KERNEL_USERFAULTFD_H

#include "kernel/refusal.h"

/* The steps that it takes, beside WW_STEP_API_ASYNC or WW_STEP_API_WP. */
#define WW_STEPS_USERFAULTFD (WW_STEP_BIT(WW_STEP_USERFAULTFD) | WW_STEP_BIT(WW_STEP_DEVICE))

/*
 * Opens one with these features: UFFD_FEATURE_WP_ASYNC or UFFD_FEATURE_PAGEFAULT_FLAG_WP. *ret_full tells
 * whether it learns of the faults of system calls as well, which then wait for what is missing or
 * protected; otherwise they get EFAULT. Steps in @barred are not taken. A descriptor, or a negative errno
 * with more in *failure.
 */
int ww_userfaultfd_open(uint64_t features, uint64_t barred, bool *ret_full, struct ww_failure *failure);

#endif
