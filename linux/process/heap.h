/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that can be allocated while signals are blocked, see heap.c.
 */
#ifndef WW_LINUX_PROCESS_HEAP_H
#define WW_LINUX_PROCESS_HEAP_H

#include <stddef.h>

/* Zeroed memory, aligned to 16 bytes; NULL: out of memory. Takes no lock; safe in a child of fork. */
void *ww_heap_alloc(size_t size);
/* NULL is allowed. */
void ww_heap_free(void *block);

/*
 * Zeroed pages of our own, with MAP_POPULATE or 0 in @flags; NULL: out of memory. The caller unmaps them.
 * They take no huge pages: a fault in one of ours could bring in a huge page that reaches into new memory of
 * the program, which the kernel may have joined with our mapping.
 */
void *ww_heap_map(size_t len, int flags);

#endif
