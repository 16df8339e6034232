/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sparse set of the pages of one region: what the page tables cannot hold
 * (the latch, and which pages were ever reported).
 *
 * No operation fails. Where memory runs out the set grows to a superset of what
 * it should hold, which its users take as "report more".
 *
 * Not CRoaring: Debian 12 has it as a shared library only, and the preload must
 * need nothing but libc. Not thread-safe: the region's lock covers it.
 */
#ifndef WW_LINUX_PAGE_SET_H
#define WW_LINUX_PAGE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ww_leaf;

struct ww_pageset {
    uintptr_t base;          /* address of page 0 */
    size_t nr_pages;         /* pages base .. base + nr_pages - 1 can be members */
    size_t nr_set;           /* members */
    struct ww_leaf **leaves; /* one pointer per 4096 pages; NULL until something is set */
    bool all;                /* memory ran out: every page is a member */
};

/* An empty set for the pages from @base (an address) on. Allocates nothing. */
void ww_pageset_init(struct ww_pageset *set, uintptr_t base, size_t nr_pages);

/* Frees what the set holds; it is empty then. */
void ww_pageset_destroy(struct ww_pageset *set);

/* Adds, or removes, the pages of [@start, @end), addresses of page boundaries inside the set. */
void ww_pageset_add(struct ww_pageset *set, uintptr_t start, uintptr_t end);
void ww_pageset_remove(struct ww_pageset *set, uintptr_t start, uintptr_t end);

/* Adds every member of @from, which covers the same pages or a part of them. */
void ww_pageset_merge(struct ww_pageset *set, const struct ww_pageset *from);

/* The first run of members in [@pos, @end): false if there is none. The run is cut at @end. */
bool ww_pageset_next(const struct ww_pageset *set, uintptr_t pos, uintptr_t end, uintptr_t *ret_start,
                     uintptr_t *ret_end);

/* The end of the run of whole leaves (16 MB each; the last one of a set may be
 * shorter) from @pos on, all of whose pages are members; @pos if there is none. */
uintptr_t ww_pageset_full_run(const struct ww_pageset *set, uintptr_t pos, uintptr_t end);

/* How far from @pos, up to @end, one can go and meet at most about @max_pages
 * members, without entering a run of two full leaves: a bound on how much populated
 * memory a walk will visit. Always more than @pos. Costs one look per 4096 pages. */
uintptr_t ww_pageset_span(const struct ww_pageset *set, uintptr_t pos, uintptr_t end, size_t max_pages);

/* Moves the members from @at on into @upper, which this call initialises. */
void ww_pageset_split(struct ww_pageset *set, uintptr_t at, struct ww_pageset *upper);

/* Undoes a split: @upper begins where @set ends, and is empty then. */
void ww_pageset_join(struct ww_pageset *set, struct ww_pageset *upper);

static inline bool ww_pageset_empty(const struct ww_pageset *set)
{
    return !set->nr_set && !set->all;
}

#endif
