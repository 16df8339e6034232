/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by softdirty.c, which knows to which region the bits belong, and dirty_bits.c, which reads and
 * clears them in the kernel's files. The owner's lock (softdirty.c) covers every call except opening and
 * closing.
 */
#ifndef WW_LINUX_BACKENDS_SOFTDIRTY_SOFTDIRTY_H
#define WW_LINUX_BACKENDS_SOFTDIRTY_SOFTDIRTY_H

#include "kernel/fd.h"
#include "kernel/refusal.h"
#include "page_set.h"

struct softdirty {
    struct ww_fd pagemap;
    struct ww_fd clear_refs;
    struct ww_fd maps;
    bool scans;     /* PAGEMAP_SCAN exists and knows PAGE_IS_SOFT_DIRTY */
    uint64_t guard; /* PAGE_IS_GUARD, or 0 if PAGEMAP_SCAN does not know it */
};

/* Call once a process, with no lock held: a child of fork begins with no regions. */
void ww_softdirty_follow_forks(void);

/* 0, or a negative errno with its step in *failure. Keeps the files open, so that they outlive
 * PR_SET_DUMPABLE. */
int ww_softdirty_open(struct softdirty *sd, struct ww_failure *failure);

/* Adds the pages of [@start, @end) that exist and are soft-dirty to @into, and sets *ret_found if there
 * are any. 0 or a negative errno. */
int ww_softdirty_read(const struct softdirty *sd, uintptr_t start, uintptr_t end, struct ww_page_set *into,
                      bool *ret_found);

/* Adds the pages of [@start, @end) where something else is mapped than private anonymous memory to @into. 0
 * or a negative errno. */
int ww_softdirty_find_others(const struct softdirty *sd, uintptr_t start, uintptr_t end,
                             struct ww_page_set *into);

/* Clears the bits of the whole process. 0 or a negative errno. */
int ww_softdirty_clear(const struct softdirty *sd);

/* 0: the descriptors are ours; -EBADF: one is not; or the negative errno of a sandbox that denies the look.
 */
int ww_softdirty_look(const struct softdirty *sd);

void ww_softdirty_close(struct softdirty *sd);

#endif
