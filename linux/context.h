/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The context: what one ww_open() made, and all that its watches share.
 *
 * Lock order, outermost first:
 *
 *   drain_lock of dlls/ntdll/remote.c (preload), or ww_win32.lock (library); never both
 *   ww_context.table_lock
 *   ww_region.lock, one
 *   ww_context.tracker_lock
 *   a lock that a backend keeps to itself, then that of the mprotect backend's grace period
 *   ww_demand.lock
 *
 * A layer above may take locks of its own between ww_hold_to_change() and ww_hold_end() (hold.h), as Wine
 * takes its virtual_mutex, and must not take ours there. Wine also takes virtual_mutex under drain_lock: that
 * cannot deadlock, because the mapping calls that run under virtual_mutex only queue what they change.
 *
 * All asynchronous signals are blocked while any of these locks is held. The caller's memory is never touched
 * under a lock. process/lock.h has the ranks, which a build with --enable-debug asserts.
 */
#ifndef WW_LINUX_CONTEXT_H
#define WW_LINUX_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api.h"
#include "backend.h"
#include "epoch.h"
#include "fill/demand.h"
#include "kernel/worker.h"
#include "lockless.h"
#include "process/lock.h"
#include "process/signal.h"
#include "region.h"
#include "scratch.h"
#include "writewatch.h"

struct ww_context {
    /* What new regions get; the ones before it that have failed follow in ->next. */
    _Atomic(struct ww_tracker *) tracker;
    pthread_mutex_t tracker_lock; /* held while a tracker is replaced */
    bool named;                   /* the caller asked for this backend and no other */
    uint32_t required;            /* capabilities that only the fallback may lack */
    struct ww_tracker fallback;   /* of the backend that cannot fail */
    const unsigned int *alive;    /* a page that fork wipes: 1 where the context was opened */
    pid_t pid;                    /* that process, if the kernel wipes no pages; else 0 */
    pthread_rwlock_t table_lock;
    struct ww_region_tree regions; /* by address, not overlapping */
    atomic_size_t nr_regions;
    uint64_t last_watch_id;
    struct ww_epochs epochs;
    struct ww_lockless lockless;
    struct ww_demand demand;
    struct ww_workers workers;
    struct ww_scratch_pool scratch;
};

/* Whether this process is the one that opened the context, not a fork of it. */
static inline bool ww_is_alive(const struct ww_context *ctx)
{
    return __atomic_load_n(ctx->alive, __ATOMIC_RELAXED) == 1 &&
           (!ctx->pid || ctx->pid == syscall(SYS_getpid));
}

/* Blocks signals and begins a call that takes locks. 0, or -ECHILD with signals as they were: a handler may
 * have forked until now. ww_restore_signals() ends the call. */
static inline int ww_enter(const struct ww_context *ctx, struct ww_signals *ret_saved)
{
    ww_block_signals(ret_saved);
    if (ww_is_alive(ctx)) {
        return 0;
    }
    ww_restore_signals(ret_saved);
    return -ECHILD;
}

/* A range of whole pages, as watch and unwatch take it. 0, -EINVAL, -ECHILD. */
int ww_range_exact(const struct ww_context *ctx, const void *addr, size_t len, struct ww_range *ret);

/* A range rounded out to pages, as the calls about written pages take it. 0, -EINVAL, -ECHILD. */
int ww_range_rounded(const struct ww_context *ctx, const void *addr, size_t len, struct ww_range *ret);

#endif
