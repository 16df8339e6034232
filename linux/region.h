/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One watched range, and the table of them. The calls on the table are made with table_lock held, for writing
 * where something changes.
 */
#ifndef WW_LINUX_REGION_H
#define WW_LINUX_REGION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <bsd/sys/tree.h>

#include "page_set.h"
#include "writewatch.h"

struct ww_context;
struct ww_tracker;

/* What one ww_watch() made, or what is left of it. */
struct ww_region {
    RB_ENTRY(ww_region) entry;
    struct ww_range range;       /* changes only under table_lock for writing and lock */
    atomic_uint nr_refs;         /* the table's, and one of each thread that waits for the lock or has it */
    uint64_t watch_id;           /* which ww_watch() it comes from; never used twice */
    pthread_mutex_t lock;        /* covers everything below, and the backend's work on the range */
    bool is_gone;                /* it is in no table: who waited for the lock looks again */
    struct ww_page_set reported; /* pages that were reported before: a zero page counts only there */
    struct ww_page_set latch;    /* sticky dirty pages: dirty whatever the page tables say, until a reset */
    bool lost;                   /* part of its mapping was replaced behind our back at some time */
    bool arm_again;    /* it could not be armed for want of memory or a thread, and is tracked by nothing */
    bool markers;      /* armed page by page, holes too: not private anonymous memory */
    bool on_demand;    /* part of it was armed for missing faults at some time */
    bool private_file; /* part of it is a private mapping of a file, or of a device such as /dev/zero */
    size_t page_size;  /* bytes: what the kernel tracks as one; larger than ww_page_size() for hugetlb only */
    struct ww_tracker *tracker;
    void *priv; /* the tracker's */
};

RB_HEAD(ww_region_tree, ww_region);

/* The region that holds @addr, or NULL. */
struct ww_region *ww_region_find(struct ww_context *ctx, uintptr_t addr);

/* The first region that shares a byte with [@start, @end), or NULL. */
struct ww_region *ww_region_first(struct ww_context *ctx, uintptr_t start, uintptr_t end);

/* A region that is in no table yet, and one reference to it. NULL: no memory. */
struct ww_region *ww_region_new(uintptr_t start, uintptr_t end);

/* The caller made sure that nothing overlaps. */
void ww_region_insert(struct ww_context *ctx, struct ww_region *region);

/* Takes the region out of the table and waits until no other thread is at work on it. None begins later. */
void ww_region_remove(struct ww_context *ctx, struct ww_region *region);

/* Cuts the part from @at on off into a region of its own, which is put into the
 * table. 0, -ENOMEM, or -EINVAL: in the middle of a large page. */
int ww_region_split(struct ww_context *ctx, struct ww_region *region, uintptr_t at,
                    struct ww_region **ret_upper);

/* Undoes a split: @upper begins where @region ends, is in no table any more, and is freed. */
void ww_region_join(struct ww_region *region, struct ww_region *upper);

/* Frees a region that is in no table; what tracks it in the kernel is not touched. */
void ww_region_free(struct ww_region *region);

/* Keeps the memory of the region until ww_region_put(), so that table_lock need not be held while the thread
 * waits for the region's lock. Taken under table_lock. */
static inline void ww_region_get(struct ww_region *region)
{
    atomic_fetch_add(&region->nr_refs, 1);
}

void ww_region_put(struct ww_region *region);

#endif
