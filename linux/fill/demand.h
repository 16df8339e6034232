/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Demand paging: the ranges of a context that have a provider (demand.c), and what a pager, a backend's
 * thread that reads missing faults, must be able to do. Knows neither regions nor userfaultfd.
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

/* A range and the callback that has its content: what one ww_fill_on_demand() made, or what is left of it. */
struct ww_provider {
    RB_ENTRY(ww_provider) entry;
    struct ww_range range;
    uint64_t id; /* of its ww_fill_on_demand(); never used twice */
    ww_fill_fn fill;
    void *arg;
    bool counts_zeros; /* reads no longer make zero pages there, so a zero page counts as written */
};

RB_HEAD(ww_provider_tree, ww_provider);

/* The providers of a context. The lock comes after all others. It is held while pages are installed, but
 * never in a callback. */
struct ww_demand {
    struct ww_context *ctx;
    pthread_mutex_t lock;
    struct ww_provider_tree providers; /* by address, not overlapping */
    struct ww_pager *pagers;
    atomic_uintptr_t lowest, highest; /* all providers lie between; read without the lock */
    uint64_t last_id;
    atomic_uint nr_returns; /* number of callbacks that have returned; a futex */
};

/* What a pager can do with missing pages. Each call wakes the threads that wait for them, and skips pages
 * that exist by now. demand->lock is held. */
struct ww_pager_ops {
    /* Installs content that does not count as written. 0 or a negative errno. */
    int (*install)(struct ww_pager *pager, uintptr_t start, const void *content, size_t len);

    /* Makes accesses to a page end in SIGBUS; does not count as written. The region's lock is held. 0, or
     * the negative errno if it can never be done there. */
    int (*poison)(struct ww_pager *pager, uintptr_t addr);

    /* Does the same by mapping other memory there, if the page can neither be filled nor poisoned. */
    void (*replace)(struct ww_pager *pager, uintptr_t addr);

    /* Only wakes the threads, which fault again if the page is still missing. */
    void (*wake)(struct ww_pager *pager, uintptr_t start, uintptr_t end);
};

/* The most that one callback is asked for. */
#define WW_PAGE_IN_BYTES ((size_t)256 << 10)

/* A thread that handles missing faults; part of a backend's own structure. */
struct ww_pager {
    const struct ww_pager_ops *ops;
    struct ww_demand *demand;
    struct ww_pager *next;
    struct ww_job job;
    struct ww_range busy; /* range of the running callback; empty if none runs */
    void *buffer;         /* WW_PAGE_IN_BYTES, populated, never in watched memory */
    const void *zeros;    /* a page of zeros */
};

void ww_demand_init(struct ww_demand *demand, struct ww_context *ctx);
void ww_demand_destroy(struct ww_demand *demand);

/* -EEXIST (part of the range has a provider), -ENOMEM. */
int ww_demand_add(struct ww_demand *demand, const struct ww_range *range, ww_fill_fn fill, void *arg);

/* Cuts the provider that holds @at in two, so that ww_demand_end() can end one part. 0, -ENOMEM. */
int ww_demand_cut(struct ww_demand *demand, uintptr_t at);

/* Ends the providers within the range: none of their content is installed from now on. */
void ww_demand_end(struct ww_demand *demand, uintptr_t start, uintptr_t end);

/* Waits until no callback runs for the range. The caller holds no lock, and signals are open. */
void ww_demand_wait(struct ww_demand *demand, uintptr_t start, uintptr_t end);

/* The first run of the range that has a provider; false if there is none. The range may be empty. */
bool ww_demand_next(struct ww_demand *demand, uintptr_t start, uintptr_t end, struct ww_range *ret_run);

/* From now on zero pages of the range count as written: those that reads have made are recorded already. */
void ww_demand_count_zeros(struct ww_demand *demand, uintptr_t start, uintptr_t end);

/* The first run of the range in which zero pages count; false if there is none. */
bool ww_demand_next_counting(struct ww_demand *demand, uintptr_t start, uintptr_t end,
                             struct ww_range *ret_run);

/* Whether the calling thread is a pager inside a callback. */
bool ww_demand_in_callback(struct ww_demand *demand);

/* Arms every part of the range that has a provider for missing faults, again or with another tracker. The
 * region's lock is held. 0, or the backend's error. */
int ww_demand_rearm(struct ww_demand *demand, struct ww_region *region, uintptr_t start, uintptr_t end);

/* For pagers: adds one, with the lock held. Without the lock: removes one; and fills the missing pages of
 * a range of at most WW_PAGE_IN_BYTES. */
void ww_demand_add_pager(struct ww_demand *demand, struct ww_pager *pager);
void ww_demand_remove_pager(struct ww_demand *demand, struct ww_pager *pager);
void ww_demand_page_in(struct ww_pager *pager, uintptr_t start, uintptr_t end);

#endif
