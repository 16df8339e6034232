/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our threads, made in advance. pthread_create() calls malloc(), which is forbidden while a lock of ours is
 * held or signals are blocked (heap.c). So the library makes threads where it holds nothing, and they sleep
 * until a backend has work for them.
 */
#ifndef WW_LINUX_KERNEL_WORKER_H
#define WW_LINUX_KERNEL_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "kernel/refusal.h"

/* Virtual size. It includes the thread-local storage of the whole program, which takes most of a megabyte
 * under a sanitizer. */
#define WW_STACK_BYTES ((size_t)2 << 20)
/* For threads that call the program's own functions. */
#define WW_CALLBACK_STACK_BYTES (sizeof(void *) == 8 ? 4 * WW_STACK_BYTES : WW_STACK_BYTES)

struct ww_worker;

/* The threads of a context. All zero: none. */
struct ww_workers {
    _Atomic(struct ww_worker *) all; /* a list that grows until ww_workers_end() */
    bool can_grow;                   /* no lock is held: while a context is opened */
    atomic_bool wanted;              /* a thread was missing when none could be made */
    atomic_bool refused;             /* a wanted thread could not be made */
};

/* A job given to a worker. */
struct ww_job {
    struct ww_worker *worker;
    unsigned int state; /* the worker's state while it runs the job */
};

/* ---- these call malloc(), so no lock of ours may be held ---- */

/* Makes sure that @nr threads are idle. 0, or a negative errno with its step in *failure. */
int ww_workers_reserve(struct ww_workers *workers, size_t nr, size_t stack_bytes, struct ww_failure *failure);

/* Makes the threads that were missing earlier, and returns whether it tried. Does nothing if all signals
 * are blocked: the caller may then hold a lock of a layer above. Costs next to nothing if no thread was
 * missing. */
bool ww_workers_make_wanted(struct ww_workers *workers);

/* Ends all threads, and detaches those whose job is not over. A child of fork has no threads: then @alive
 * is false. */
void ww_workers_end(struct ww_workers *workers, bool alive);

/* ---- these do not ---- */

/* Lets an idle thread run @run(@arg), with all asynchronous signals blocked. 0, or -EAGAIN (no thread is
 * idle). If that sets workers->wanted, one may be idle later. */
int ww_worker_run(struct ww_workers *workers, size_t stack_bytes, void (*run)(void *), void *arg,
                  struct ww_job *ret_job);

bool ww_job_is_over(const struct ww_job *job);
void ww_job_wait(const struct ww_job *job);

/* Whether the calling thread runs the job. */
bool ww_job_is_mine(const struct ww_job *job);

#endif
