/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that wait for work (worker.h). Each has a word with its state and a count of its jobs. Every change
 * of it is one atomic operation, and a thread that waits for a worker sleeps in a futex. So a thread may give
 * a job, and wait for its end, while it holds any lock.
 *
 * A worker blocks all asynchronous signals before it does anything else. Its maker cannot do that for it:
 * pthread_create() would then call malloc() with signals blocked.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/advice.h"
#include "kernel/facts.h"
#include "kernel/refusal.h"
#include "kernel/worker.h"
#include "process/heap.h"
#include "process/signal.h"

/* The low bits of a state; the higher bits count jobs. */
enum { IDLE, CLAIMED, BUSY, DETACHED, LEAVING, NR_STATES = 8 };

struct ww_worker {
    struct ww_worker *next;
    pthread_t thread;
    /* A mapping of its own. glibc might reuse a former stack of the program's, which may be watched. */
    void *stack;
    size_t stack_bytes;
    atomic_uint state; /* a futex */
    void (*run)(void *);
    void *arg;
};

static void sleep_while(struct ww_worker *worker, unsigned int state)
{
    syscall(SYS_futex, &worker->state, FUTEX_WAIT_PRIVATE, state, NULL, NULL, 0);
}

static void set_state(struct ww_worker *worker, unsigned int state)
{
    atomic_store(&worker->state, state);
    syscall(SYS_futex, &worker->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Runs the job. False: the job was detached meanwhile, and the thread ends. */
static bool run_job(struct ww_worker *worker, unsigned int state)
{
    worker->run(worker->arg);
    prctl(PR_SET_NAME, "ww-idle");
    if (state % NR_STATES == DETACHED ||
        !atomic_compare_exchange_strong(&worker->state, &state, state - BUSY + IDLE)) {
        return false;
    }
    syscall(SYS_futex, &worker->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    return true;
}

static void *worker_main(void *arg)
{
    struct ww_worker *worker = arg;
    bool goes_on = true;
    struct ww_signals before;

    ww_block_signals(&before);
    prctl(PR_SET_NAME, "ww-idle");
    while (goes_on) {
        unsigned int state = atomic_load(&worker->state);

        /* Runs a detached job too: it may have been given just before. */
        if (state % NR_STATES == BUSY || state % NR_STATES == DETACHED) {
            goes_on = run_job(worker, state);
        } else if (state % NR_STATES == LEAVING) {
            goes_on = false;
        } else {
            sleep_while(worker, state);
        }
    }
    return NULL;
}

static void free_worker(struct ww_worker *worker)
{
    munmap(worker->stack, worker->stack_bytes);
    ww_heap_free(worker);
}

static struct ww_worker *new_worker(size_t stack_bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    struct ww_worker *worker = ww_heap_alloc(sizeof(*worker));
    size_t guard = ww_page_size();

    if (!worker) {
        return NULL;
    }
    worker->stack_bytes = stack_bytes;
    worker->stack = mmap(NULL, stack_bytes, PROT_NONE, flags, -1, 0);
    if (worker->stack == MAP_FAILED) {
        ww_heap_free(worker);
        return NULL;
    }
    /* A stack overflow ends in a fault. Avoids mprotect(2), since a seccomp filter may kill a process that
     * calls it. */
    if (mmap((char *)worker->stack + guard, stack_bytes - guard, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
             -1, 0) == MAP_FAILED) {
        free_worker(worker);
        return NULL;
    }
    /* Where mlockall(2) has MCL_FUTURE, the kernel has brought in and locked all of it. */
    if (!munlock(worker->stack, stack_bytes)) {
        ww_drop_pages((char *)worker->stack + guard, stack_bytes - guard);
    }
    return worker;
}

static int start_thread(struct ww_worker *worker)
{
    size_t guard = ww_page_size();
    pthread_attr_t attr;
    int err;

    pthread_attr_init(&attr);
    err = pthread_attr_setstack(&attr, (char *)worker->stack + guard, worker->stack_bytes - guard);
    if (!err) {
        err = pthread_create(&worker->thread, &attr, worker_main, worker);
    }
    pthread_attr_destroy(&attr);
    return -err;
}

static int add_worker(struct ww_workers *workers, size_t stack_bytes, struct ww_failure *failure)
{
    struct ww_worker *worker = new_worker(stack_bytes);
    int err;

    if (!worker) {
        return ww_fail_memory(failure);
    }
    err = ww_fail(failure, WW_STEP_THREAD, start_thread(worker));
    if (err) {
        free_worker(worker);
        return err;
    }
    worker->next = atomic_load(&workers->all);
    while (!atomic_compare_exchange_weak(&workers->all, &worker->next, worker)) {
        ;
    }
    return 0;
}

/* Whether the process lives on after what a new thread takes: a seccomp filter may end it. */
static bool may_make_threads(struct ww_failure *failure)
{
    uint64_t barred;
    struct ww_signals saved;
    int err;

    ww_block_signals(&saved);
    err = ww_dry_run(WW_STEP_BIT(WW_STEP_THREAD), 0, &barred, failure);
    ww_restore_signals(&saved);
    return !err;
}

int ww_workers_reserve(struct ww_workers *workers, size_t nr, size_t stack_bytes, struct ww_failure *failure)
{
    struct ww_worker *worker = atomic_load(&workers->all);
    int err = 0;

    for (; worker && nr; worker = worker->next) {
        nr -= atomic_load(&worker->state) % NR_STATES == IDLE && worker->stack_bytes >= stack_bytes;
    }
    if (nr && !may_make_threads(failure)) {
        return -EAGAIN;
    }
    for (; nr && !err; nr--) {
        err = add_worker(workers, stack_bytes, failure);
    }
    return err;
}

static bool are_signals_blocked(void)
{
    sigset_t blocked;

    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return sigismember(&blocked, SIGUSR1) && sigismember(&blocked, SIGALRM) && sigismember(&blocked, SIGTERM);
}

/* Opening a backend takes two workers at most. */
bool ww_workers_make_wanted(struct ww_workers *workers)
{
    struct ww_failure unused;

    if (!atomic_load_explicit(&workers->wanted, memory_order_relaxed) || are_signals_blocked() ||
        !atomic_exchange(&workers->wanted, false)) {
        return false;
    }
    if (ww_workers_reserve(workers, 2, WW_CALLBACK_STACK_BYTES, &unused)) {
        atomic_store(&workers->refused, true);
    }
    return true;
}

int ww_worker_run(struct ww_workers *workers, size_t stack_bytes, void (*run)(void *), void *arg,
                  struct ww_job *ret_job)
{
    for (struct ww_worker *worker = atomic_load(&workers->all); worker; worker = worker->next) {
        unsigned int state = atomic_load(&worker->state), job = state + NR_STATES;

        if (state % NR_STATES == IDLE && worker->stack_bytes >= stack_bytes &&
            atomic_compare_exchange_strong(&worker->state, &state, job + CLAIMED)) {
            worker->run = run;
            worker->arg = arg;
            *ret_job = (struct ww_job){ .worker = worker, .state = job + BUSY };
            set_state(worker, job + BUSY);
            return 0;
        }
    }
    if (!atomic_exchange(&workers->refused, false)) {
        atomic_store(&workers->wanted, true);
    }
    return -EAGAIN;
}

bool ww_job_is_over(const struct ww_job *job)
{
    return atomic_load(&job->worker->state) != job->state;
}

void ww_job_wait(const struct ww_job *job)
{
    while (!ww_job_is_over(job)) {
        sleep_while(job->worker, job->state);
    }
}

bool ww_job_is_mine(const struct ww_job *job)
{
    return pthread_equal(job->worker->thread, pthread_self());
}

/* A worker that may never finish its job keeps its memory. */
static void end_worker(struct ww_worker *worker)
{
    unsigned int state = atomic_load(&worker->state);

    if (state % NR_STATES == BUSY &&
        atomic_compare_exchange_strong(&worker->state, &state, state - BUSY + DETACHED)) {
        pthread_detach(worker->thread);
        return;
    }
    set_state(worker, LEAVING);
    pthread_join(worker->thread, NULL);
    free_worker(worker);
}

void ww_workers_end(struct ww_workers *workers, bool alive)
{
    struct ww_worker *worker = atomic_exchange(&workers->all, NULL), *next;

    for (; worker; worker = next) {
        next = worker->next;
        if (alive) {
            end_worker(worker);
        } else {
            ww_heap_free(worker); /* fork may have been called on its stack */
        }
    }
}
