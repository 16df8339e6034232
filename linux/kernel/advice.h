/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel is advised of memory. */
#ifndef WW_LINUX_KERNEL_ADVICE_H
#define WW_LINUX_KERNEL_ADVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Watched memory is neither huge nor merged; holes are passed over. 0 or a negative errno. */
int ww_keep_pages_small(uintptr_t start, uintptr_t end);

/* Pages of our own are missing again, also those that the kernel has brought in and keeps (mlockall(2)). 0 or
 * a negative errno. */
int ww_drop_pages(const volatile void *addr, size_t len);

/* Whether the kernel gives new memory its pages at once (mlockall(2)), tried by its effect. */
bool ww_kernel_populates(void);

#endif
