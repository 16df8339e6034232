/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A seccomp filter may kill a program that makes a forbidden call, and the library must not be the reason. So
 * where a filter is in force, a child makes the calls first, with arguments that do nothing. That is enough:
 * a filter sees numbers, but not the memory that pointers lead to.
 *
 * The child is a copy of the process and shares only one page with it. clone(2) makes it with no exit signal:
 * the program gets no SIGCHLD, its own waitpid() does not find the child, and no pthread_atfork() handlers
 * run, as they would under fork(3). The child makes bare system calls only, since other threads may have held
 * any lock of libc's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/refusal.h"
#include "kernel/uapi.h"

#define SECCOMP_FILTER 2 /* SECCOMP_MODE_FILTER */

/* How long a step may take if the filter forwards it to another process (SECCOMP_RET_USER_NOTIF): first
 * short waits, then long ones. The parent counts waits instead of time, since a machine that was suspended
 * would have used up all the time at once. */
#define NR_SHORT_WAITS 200
#define NR_LONG_WAITS 200
#define SHORT_WAIT_NS 100000
#define LONG_WAIT_NS 10000000

/* What earlier children found, as bits of steps. It stays true, since a filter cannot be removed. */
static _Atomic uint64_t all_fatal, all_hanging;

/* What the child reports. */
struct progress {
    atomic_int at; /* the step that it is taking; WW_NR_STEPS: it has taken all */
};

struct fds {
    int uffd, pagemap;
};

static int raw_open(const char *path, int flags)
{
#if defined(SYS_open) && !defined(__GLIBC__)
    syscall(SYS_open, path, flags | O_CLOEXEC);
#endif
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC);
}

static void open_uffds(struct fds *fds)
{
    static const int modes[] = { 0, UFFD_USER_MODE_ONLY };

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | modes[i]);

        fds->uffd = fd < 0 ? fds->uffd : fd;
    }
}

static void open_by_device(struct fds *fds)
{
    int device = raw_open("/dev/userfaultfd", O_RDWR);
    int fd = syscall(SYS_ioctl, device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);

    fds->uffd = fd < 0 ? fds->uffd : fd;
}

static void request(int fd, unsigned long number)
{
    syscall(SYS_ioctl, fd, number, NULL);
}

/* Starts no thread: these flags are invalid, so an unfiltered call fails with EINVAL. A thread's stack is
 * unlocked. */
static void try_thread(void)
{
    syscall(SYS_munlock, NULL, 0);
#ifdef SYS_clone3
    syscall(SYS_clone3, NULL, 0);
#endif
    syscall(SYS_clone, CLONE_THREAD, NULL, NULL, NULL, NULL);
}

static void try_stat(void)
{
#ifdef SYS_fstat
    syscall(SYS_fstat, -1, NULL);
#endif
#ifdef SYS_newfstatat
    syscall(SYS_newfstatat, -1, "", NULL, AT_EMPTY_PATH);
#endif
#ifdef SYS_fstat64
    syscall(SYS_fstat64, -1, NULL);
#endif
#ifdef SYS_fstatat64
    syscall(SYS_fstatat64, -1, "", NULL, AT_EMPTY_PATH);
#endif
#ifdef SYS_statx
    syscall(SYS_statx, -1, "", AT_EMPTY_PATH, 0, NULL);
#endif
}

/* A filter may look at the advice. */
static void try_advice(void)
{
    static const int advice[] = { MADV_NOHUGEPAGE, MADV_UNMERGEABLE, MADV_DONTNEED, MADV_WIPEONFORK };

    for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
        syscall(SYS_madvise, NULL, 0, advice[i]);
    }
}

static const struct {
    enum ww_step step;
    unsigned long number;
} requests[] = {
    { WW_STEP_API_ASYNC, UFFDIO_API },     { WW_STEP_API_WP, UFFDIO_API },
    { WW_STEP_REGISTER, UFFDIO_REGISTER }, { WW_STEP_WRITEPROTECT, UFFDIO_WRITEPROTECT },
    { WW_STEP_COPY, UFFDIO_COPY },         { WW_STEP_ZEROPAGE, UFFDIO_ZEROPAGE },
    { WW_STEP_POISON, UFFDIO_POISON },     { WW_STEP_CONTINUE, UFFDIO_CONTINUE },
    { WW_STEP_WAKE, UFFDIO_WAKE },         { WW_STEP_UNREGISTER, UFFDIO_UNREGISTER },
    { WW_STEP_SCAN, PAGEMAP_SCAN },
};

static void take_step(enum ww_step step, struct fds *fds)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (requests[i].step == step) {
            request(step == WW_STEP_SCAN ? fds->pagemap : fds->uffd, requests[i].number);
        }
    }
    switch (step) {
    case WW_STEP_FSTAT:
        try_stat();
        break;
    case WW_STEP_USERFAULTFD:
        open_uffds(fds);
        break;
    case WW_STEP_DEVICE:
        open_by_device(fds);
        break;
    case WW_STEP_PAGEMAP:
        fds->pagemap = raw_open("/proc/self/pagemap", O_RDONLY);
        break;
    case WW_STEP_PREAD:
        syscall(SYS_pread64, fds->pagemap, NULL, 0, 0);
        break;
    case WW_STEP_PWRITE:
        raw_open("/proc/self/mem", O_RDWR);
        syscall(SYS_pwrite64, -1, NULL, 0, 0);
        break;
    case WW_STEP_CLEAR_REFS:
        raw_open("/proc/self/clear_refs", O_WRONLY);
        break;
    case WW_STEP_MAPS:
        raw_open("/proc/self/maps", O_RDONLY);
        break;
    case WW_STEP_MADVISE:
        try_advice();
        break;
    case WW_STEP_MPROTECT:
        syscall(SYS_mprotect, NULL, 0, PROT_READ);
        break;
    case WW_STEP_SIGACTION:
        syscall(SYS_rt_sigaction, 0, NULL, NULL, 8);
        break;
    case WW_STEP_EPOLL:
        syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
        break;
    case WW_STEP_EPOLL_CTL:
        syscall(SYS_epoll_ctl, -1, EPOLL_CTL_ADD, -1, NULL);
        break;
    case WW_STEP_THREAD:
        try_thread();
        break;
    default:
        break;
    }
}

/* Runs in the child. It resets SIGSYS, whose handler would be the program's own, and turns off core dumps. */
static _Noreturn void take_all_steps(uint64_t steps, struct progress *progress)
{
    static const unsigned long default_action[16];
    struct fds fds = { .uffd = -1, .pagemap = -1 };

    atomic_store(&progress->at, WW_STEP_SIGACTION);
    syscall(SYS_rt_sigaction, SIGSYS, default_action, NULL, 8);
    atomic_store(&progress->at, WW_STEP_CLONE);
    syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    for (int step = 0; step < WW_NR_STEPS; step++) {
        if (steps & WW_STEP_BIT(step)) {
            atomic_store(&progress->at, step);
            take_step(step, &fds);
        }
    }
    atomic_store(&progress->at, WW_NR_STEPS);
    for (;;) {
        syscall(SYS_exit_group, 0);
    }
}

/* True also for ECHILD: a thread that waits for any child may have reaped this one. */
static bool has_ended(pid_t child, int flags)
{
    pid_t ended;

    do {
        ended = waitpid(child, NULL, __WALL | flags);
    } while (ended < 0 && errno == EINTR);
    return ended == child || (ended < 0 && errno == ECHILD);
}

/* False: the parent had to kill the child. */
static bool wait_for(pid_t child)
{
    struct timespec moment = { .tv_nsec = SHORT_WAIT_NS };

    for (int i = 0; i < NR_SHORT_WAITS + NR_LONG_WAITS; i++) {
        if (has_ended(child, WNOHANG)) {
            return true;
        }
        moment.tv_nsec = i < NR_SHORT_WAITS ? SHORT_WAIT_NS : LONG_WAIT_NS;
        nanosleep(&moment, NULL);
    }
    kill(child, SIGKILL);
    has_ended(child, 0);
    return false;
}

static int refuse(struct ww_failure *failure, enum ww_step step, enum ww_outcome outcome)
{
    *failure = (struct ww_failure){ .step = step, .error = -EPERM, .outcome = outcome };
    return -EPERM;
}

/* Runs one child. 0, or the negative errno of the step at which it died. */
static int run_child(uint64_t steps, struct progress *progress, struct ww_failure *failure)
{
    long child;
    bool ended;
    int at;

    atomic_store(&progress->at, WW_STEP_CLONE);
    child = syscall(SYS_clone, CLONE_UNTRACED, NULL, NULL, NULL, NULL);
    if (child < 0) {
        return ww_fail(failure, WW_STEP_CLONE, -errno);
    }
    if (!child) {
        take_all_steps(steps, progress);
    }
    ended = wait_for(child);
    at = atomic_load(&progress->at);
    if (at == WW_NR_STEPS) {
        return 0;
    }
    atomic_fetch_or(ended ? &all_fatal : &all_hanging, WW_STEP_BIT(at));
    return refuse(failure, at, ended ? WW_OUTCOME_END : WW_OUTCOME_HANG);
}

/* The same, with the page that parent and child share. */
static int run_child_in_memory(uint64_t steps, struct ww_failure *failure)
{
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int err;

    if (progress == MAP_FAILED) {
        return ww_fail_memory(failure);
    }
    err = run_child(steps, progress, failure);
    munmap(progress, sizeof(*progress));
    return err;
}

int ww_dry_run(uint64_t steps, uint64_t dispensable, uint64_t *ret_barred, struct ww_failure *ret_failure)
{
    /* The child may die before the first step. */
    uint64_t known = steps | WW_STEP_BIT(WW_STEP_CLONE) | WW_STEP_BIT(WW_STEP_SIGACTION), fatal, hanging;
    int err;

    *ret_barred = 0;
    if (!steps || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_FILTER) {
        return 0;
    }
    do {
        hanging = atomic_load(&all_hanging) & known;
        fatal = atomic_load(&all_fatal) & known & ~dispensable;
        if (hanging) {
            return refuse(ret_failure, __builtin_ctzll(hanging), WW_OUTCOME_HANG);
        }
        if (fatal) {
            return refuse(ret_failure, __builtin_ctzll(fatal), WW_OUTCOME_END);
        }
        *ret_barred = atomic_load(&all_fatal) & dispensable;
        err = run_child_in_memory(steps & ~*ret_barred, ret_failure);
    } while (err && ret_failure->outcome == WW_OUTCOME_END);
    return err;
}
