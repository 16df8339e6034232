/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Advice to the kernel about memory. */
#ifndef WW_LINUX_KERNEL_ADVICE_H
#define WW_LINUX_KERNEL_ADVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keeps watched memory free of huge pages and of KSM; skips holes. 0 or a negative errno. */
int ww_keep_pages_small(uintptr_t start, uintptr_t end);

/* Makes pages of our own missing again, also those that mlockall(2) has brought in and locked. 0 or a
 * negative errno. */
int ww_drop_pages(const volatile void *addr, size_t len);

/* Whether the kernel populates new memory at once (mlockall(2)). Tries it on a page of our own. */
bool ww_kernel_populates(void);

#endif
