/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sparse set of the pages of one region: what the page tables cannot hold
 * (region->latch, region->reported).
 *
 * No operation fails. When memory runs out, the set becomes a superset of what
 * it should hold: its users then report more.
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

struct ww_page_set {
    uintptr_t base;          /* address of page 0 */
    size_t nr_pages;         /* pages base .. base + nr_pages - 1 can be members */
    size_t nr_set;           /* members */
    struct ww_leaf **leaves; /* one pointer per 4096 pages; NULL until something is set */
    bool all;                /* memory ran out: every page is a member */
};

/* An empty set for the pages from @base (an address) on. Allocates nothing. */
void ww_page_set_init(struct ww_page_set *set, uintptr_t base, size_t nr_pages);

/* Frees what the set holds; it is empty then. */
void ww_page_set_destroy(struct ww_page_set *set);

/* Adds, or removes, the pages of [@start, @end), addresses of page boundaries inside the set. */
void ww_page_set_add(struct ww_page_set *set, uintptr_t start, uintptr_t end);
void ww_page_set_remove(struct ww_page_set *set, uintptr_t start, uintptr_t end);

/* Adds every member of @from, which covers the same pages or a part of them. */
void ww_page_set_merge(struct ww_page_set *set, const struct ww_page_set *from);

/* The first run of members in [@pos, @end): false if there is none. The run is cut at @end. */
bool ww_page_set_next(const struct ww_page_set *set, uintptr_t pos, uintptr_t end, uintptr_t *ret_start,
                      uintptr_t *ret_end);

/* The end of the run of whole leaves (16 MB each; the last one of a set may be
 * shorter) from @pos on, all of whose pages are members; @pos if there is none. */
uintptr_t ww_page_set_full_run(const struct ww_page_set *set, uintptr_t pos, uintptr_t end);

/* The end of a span from @pos, at most @end, that has about @max_pages
 * members and does not enter a run of two full leaves: it bounds how much populated
 * memory a walk visits. Always beyond @pos. O(pages / 4096). */
uintptr_t ww_page_set_span(const struct ww_page_set *set, uintptr_t pos, uintptr_t end, size_t max_pages);

/* Moves the members from @at on into @upper, which this call initialises. */
void ww_page_set_split(struct ww_page_set *set, uintptr_t at, struct ww_page_set *upper);

/* Undoes a split: @upper begins where @set ends, and is empty then. */
void ww_page_set_join(struct ww_page_set *set, struct ww_page_set *upper);

static inline bool ww_page_set_empty(const struct ww_page_set *set)
{
    return !set->nr_set && !set->all;
}

#endif
