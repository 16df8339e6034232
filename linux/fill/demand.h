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
struct ww_server;

/* A range and where its content comes from: what one ww_fill_on_demand() made, or what is left of it. */
struct ww_source {
    RB_ENTRY(ww_source) entry;
    struct ww_range range;
    uint64_t id; /* which ww_fill_on_demand() it comes from; never used twice */
    ww_fill_fn fill;
    void *arg;
};

RB_HEAD(ww_source_tree, ww_source);

/* The sources of a context. The lock comes after all others, and is held while pages
 * are installed, but never in a callback. */
struct ww_supply {
    struct ww_context *ctx;
    pthread_mutex_t lock;
    struct ww_source_tree sources; /* by address, not overlapping */
    struct ww_server *servers;
    uint64_t last_id;
    atomic_uint nr_returns; /* of callbacks; a futex */
};

/* What a server can do with missing pages. Each wakes whoever waits for them, and passes
 * over pages that exist by now. supply->lock is held. */
struct ww_server_ops {
    /* Puts content there, not counted as written. 0 or a negative errno. */
    int (*install)(struct ww_server *server, uintptr_t start, const void *content, size_t len);

    /* Makes accesses to a page end in SIGBUS, not counted as written. The lock of the region is held. 0, or
     * the negative errno for which it can never be done there. */
    int (*poison)(struct ww_server *server, uintptr_t addr);

    /* The same where neither of these can be done, by other memory in its place. */
    void (*bury)(struct ww_server *server, uintptr_t addr);
};

/* A callback is asked for at most this much at once. */
#define WW_SERVE_BYTES ((size_t)256 << 10)

/* A thread that is told of missing pages; part of a backend's own structure. */
struct ww_server {
    const struct ww_server_ops *ops;
    struct ww_supply *supply;
    struct ww_server *next;
    struct ww_job job;
    struct ww_range busy; /* what a callback is at work on; empty where none is */
    void *buffer;         /* WW_SERVE_BYTES, present, never in watched memory */
    const void *zeros;    /* a page of them */
};

void ww_supply_init(struct ww_supply *supply, struct ww_context *ctx);
void ww_supply_destroy(struct ww_supply *supply);

/* -EEXIST (part of the range has a source), -ENOMEM. */
int ww_supply_add(struct ww_supply *supply, const struct ww_range *range, ww_fill_fn fill, void *arg);

/* Cuts the source that holds @at in two, so that ww_supply_end() can take one of them. 0, -ENOMEM. */
int ww_supply_cut(struct ww_supply *supply, uintptr_t at);

/* Ends the sources within the range: nothing of them is installed from now on. */
void ww_supply_end(struct ww_supply *supply, uintptr_t start, uintptr_t end);

/* Waits until no callback is at work on the range. No lock is held, signals are open. */
void ww_supply_wait(struct ww_supply *supply, uintptr_t start, uintptr_t end);

/* The first run of the range, which may be empty, that has a source: false if there is none. */
bool ww_supply_next(struct ww_supply *supply, uintptr_t start, uintptr_t end, struct ww_range *ret_run);

/* Whether the calling thread is a server's, inside a callback. */
bool ww_supply_inside(struct ww_supply *supply);

/* Has the backend serve every part of the range that has a source, again or by another
 * tracker. The region's lock is held. 0, or the backend's error. */
int ww_supply_renew(struct ww_supply *supply, struct ww_region *region, uintptr_t start, uintptr_t end);

/* For servers: adds one, with the lock held; takes it away, and has the missing pages of a range
 * filled, which has at most WW_SERVE_BYTES, without. */
void ww_supply_add_server(struct ww_supply *supply, struct ww_server *server);
void ww_supply_remove_server(struct ww_supply *supply, struct ww_server *server);
void ww_supply_serve(struct ww_server *server, uintptr_t start, uintptr_t end);

/* The entry of a backend that is never told of missing pages: -EOPNOTSUPP. */
int ww_no_supply(struct ww_region *region, uintptr_t start, uintptr_t end, struct ww_supply *supply);

#endif
