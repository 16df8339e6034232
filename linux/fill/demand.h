/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where missing pages get their content from: the ranges of a context that are
 * filled on demand (demand.c), and what a backend's thread that is told of missing
 * pages must be able to do with them. Knows neither regions nor userfaultfd.
 */
#ifndef WW_LINUX_FILL_DEMAND_H
#define WW_LINUX_FILL_DEMAND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <bsd/sys/tree.h>

#include "kernel/worker.h"
#include "writewatch.h"

struct ww_context;
struct ww_region;
struct ww_pager;

/* A range and where its content comes from: what one ww_fill_on_demand() made, or what is left of it. */
struct ww_provider {
    RB_ENTRY(ww_provider) entry;
    struct ww_range range;
    uint64_t id; /* which ww_fill_on_demand() it comes from; never used twice */
    ww_fill_fn fill;
    void *arg;
    bool counts_zeros; /* no read makes a zero page there any more, so that zero pages count as written */
};

RB_HEAD(ww_provider_tree, ww_provider);

/* The providers of a context. The lock comes after all others, and is held while pages
 * are installed, but never in a callback. */
struct ww_demand {
    struct ww_context *ctx;
    pthread_mutex_t lock;
    struct ww_provider_tree providers; /* by address, not overlapping */
    struct ww_pager *pagers;
    atomic_size_t nr_providers;
    atomic_uintptr_t lowest, highest; /* all that there ever were lie between */
    uint64_t last_id;
    atomic_uint nr_returns; /* of callbacks; a futex */
};

/* What a pager can do with missing pages. Each wakes whoever waits for them, and passes
 * over pages that exist by now. demand->lock is held. */
struct ww_pager_ops {
    /* Puts content there, not counted as written. 0 or a negative errno. */
    int (*install)(struct ww_pager *pager, uintptr_t start, const void *content, size_t len);

    /* Makes accesses to a page end in SIGBUS, not counted as written. The lock of the region is held. 0, or
     * the negative errno for which it can never be done there. */
    int (*poison)(struct ww_pager *pager, uintptr_t addr);

    /* The same where neither of these can be done, by other memory in its place. */
    void (*bury)(struct ww_pager *pager, uintptr_t addr);
};

/* A callback is asked for at most this much at once. */
#define WW_PAGE_IN_BYTES ((size_t)256 << 10)

/* A thread that is told of missing pages; part of a backend's own structure. */
struct ww_pager {
    const struct ww_pager_ops *ops;
    struct ww_demand *demand;
    struct ww_pager *next;
    struct ww_job job;
    struct ww_range busy; /* what a callback is at work on; empty where none is */
    void *buffer;         /* WW_PAGE_IN_BYTES, present, never in watched memory */
    const void *zeros;    /* a page of them */
};

void ww_demand_init(struct ww_demand *demand, struct ww_context *ctx);
void ww_demand_destroy(struct ww_demand *demand);

/* -EEXIST (part of the range has a provider), -ENOMEM. */
int ww_demand_add(struct ww_demand *demand, const struct ww_range *range, ww_fill_fn fill, void *arg);

/* Cuts the provider that holds @at in two, so that ww_demand_end() can take one of them. 0, -ENOMEM. */
int ww_demand_cut(struct ww_demand *demand, uintptr_t at);

/* Ends the providers within the range: nothing of them is installed from now on. */
void ww_demand_end(struct ww_demand *demand, uintptr_t start, uintptr_t end);

/* Waits until no callback is at work on the range. No lock is held, signals are open. */
void ww_demand_wait(struct ww_demand *demand, uintptr_t start, uintptr_t end);

/* The first run of the range, which may be empty, that has a provider: false if there is none. */
bool ww_demand_next(struct ww_demand *demand, uintptr_t start, uintptr_t end, struct ww_range *ret_run);

/* From now on zero pages of the range count as written: those that reads have made are known. */
void ww_demand_count_zeros(struct ww_demand *demand, uintptr_t start, uintptr_t end);

/* The first run of the range in which they do: false if there is none. */
bool ww_demand_next_counting(struct ww_demand *demand, uintptr_t start, uintptr_t end,
                             struct ww_range *ret_run);

/* Whether the calling thread is a pager's, inside a callback. */
bool ww_demand_in_callback(struct ww_demand *demand);

/* Has the backend serve every part of the range that has a provider, again or by another
 * tracker. The region's lock is held. 0, or the backend's error. */
int ww_demand_rearm(struct ww_demand *demand, struct ww_region *region, uintptr_t start, uintptr_t end);

/* For pagers: adds one, with the lock held; takes it away, and has the missing pages of a range
 * filled, which has at most WW_PAGE_IN_BYTES, without. */
void ww_demand_add_pager(struct ww_demand *demand, struct ww_pager *pager);
void ww_demand_remove_pager(struct ww_demand *demand, struct ww_pager *pager);
void ww_demand_page_in(struct ww_pager *pager, uintptr_t start, uintptr_t end);

#endif
