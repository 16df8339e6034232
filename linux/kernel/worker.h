/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads of ours, made in advance. pthread_create() uses malloc(), which nobody may who holds a
 * lock of ours or has signals blocked (heap.c). So threads are made where nothing is held, and
 * sleep until a backend has work for one.
 */
#ifndef WW_LINUX_KERNEL_WORKER_H
#define WW_LINUX_KERNEL_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Virtual size; thread-local storage of the whole program is in it, which under a sanitizer takes most of
 * a megabyte. */
#define WW_STACK_BYTES ((size_t)2 << 20)
/* Where the program's own functions are called. */
#define WW_CALLBACK_STACK_BYTES (sizeof(void *) == 8 ? 4 * WW_STACK_BYTES : WW_STACK_BYTES)

struct ww_worker;

/* The threads of a context. All zero is right: none. */
struct ww_workers {
    _Atomic(struct ww_worker *) all; /* a list that grows until ww_workers_end() */
    bool can_grow;                   /* nothing is held: while a context is opened */
    atomic_bool wanted;              /* one was missing where none could be made */
    atomic_bool refused;             /* none could be made where one was wanted */
};

/* What a thread was given to do. */
struct ww_job {
    struct ww_worker *worker;
    unsigned int state; /* of the worker as long as it is at it */
};

/* ---- these use malloc(): no lock of ours is held ---- */

/* Makes sure that so many threads are idle. 0, -EAGAIN or -ENOMEM. */
int ww_workers_reserve(struct ww_workers *workers, size_t nr, size_t stack_bytes);

/* Makes what was missing before, and says whether it did. Not where all signals are blocked: the caller
 * may hold a lock of a layer above. Hardly any time where nothing was missing. */
bool ww_workers_make_wanted(struct ww_workers *workers);

/* Ends them all; a job that is not over is left alone. In a child of fork there are no threads: not @alive.
 */
void ww_workers_end(struct ww_workers *workers, bool alive);

/* ---- these do not ---- */

/* Has an idle thread run @run(@arg), with all but the synchronous signals blocked. 0, or -EAGAIN: none is
 * idle. If workers->wanted is set then, one may be later. */
int ww_worker_run(struct ww_workers *workers, size_t stack_bytes, void (*run)(void *), void *arg,
                  struct ww_job *ret_job);

bool ww_job_is_over(const struct ww_job *job);
void ww_job_wait(const struct ww_job *job);

/* Whether the calling thread is the job's. */
bool ww_job_is_mine(const struct ww_job *job);

#endif
