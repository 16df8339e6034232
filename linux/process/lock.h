/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our locks, each taken with its rank. A thread takes them in ascending order, one of a rank at a time, and
 * keeps all asynchronous signals blocked from before the first lock until after the last unlock. A build with
 * --enable-debug aborts the program at a violation (lock.c); other builds do not check.
 */
#ifndef WW_LINUX_PROCESS_LOCK_H
#define WW_LINUX_PROCESS_LOCK_H

#include <pthread.h>

enum ww_rank {
    WW_RANK_TABLE,   /* ww_context.table_lock */
    WW_RANK_REGION,  /* ww_region.lock */
    WW_RANK_TRACKER, /* ww_context.tracker_lock */
    WW_RANK_ORPHANS, /* while mprotect.c ends orphaned maps of earlier watches */
    WW_RANK_BACKEND, /* a lock inside a backend */
    WW_RANK_GRACE,   /* mprotect backend: one grace period at a time */
    WW_RANK_DEMAND,  /* ww_demand.lock */
};

#ifdef WW_DEBUG_LOCKS
void ww_rank_enter(enum ww_rank rank);
void ww_rank_leave(enum ww_rank rank);
#else
static inline void ww_rank_enter(enum ww_rank rank)
{
    (void)rank;
}

static inline void ww_rank_leave(enum ww_rank rank)
{
    (void)rank;
}
#endif

static inline void ww_lock(pthread_mutex_t *lock, enum ww_rank rank)
{
    ww_rank_enter(rank);
    pthread_mutex_lock(lock);
}

static inline void ww_unlock(pthread_mutex_t *lock, enum ww_rank rank)
{
    pthread_mutex_unlock(lock);
    ww_rank_leave(rank);
}

static inline void ww_lock_read(pthread_rwlock_t *lock, enum ww_rank rank)
{
    ww_rank_enter(rank);
    pthread_rwlock_rdlock(lock);
}

static inline void ww_lock_write(pthread_rwlock_t *lock, enum ww_rank rank)
{
    ww_rank_enter(rank);
    pthread_rwlock_wrlock(lock);
}

static inline void ww_unlock_rw(pthread_rwlock_t *lock, enum ww_rank rank)
{
    pthread_rwlock_unlock(lock);
    ww_rank_leave(rank);
}

#endif
