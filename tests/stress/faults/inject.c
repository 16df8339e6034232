/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The functions that replace the C library's, and the plan that they follow. Each counts the call, looks
 * into the plan, and either fails or makes the call. They run in every thread of the library and take no
 * lock: counts and random numbers are atomic.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject.h"
#include "kernel/uapi.h"

const struct fault_kind fault_kinds[NR_FAULT_CALLS] = {
    [FAULT_USERFAULTFD] = { "userfaultfd", { EPERM, ENOSYS, EMFILE, ENFILE, ENOMEM } },
    [FAULT_API] = { "api", { EINVAL, EPERM } },
    [FAULT_REGISTER] = { "register", { ENOMEM, EINVAL, EPERM, EBUSY } },
    [FAULT_UNREGISTER] = { "unregister", { ENOMEM, EINVAL } },
    [FAULT_WRITEPROTECT] = { "writeprotect", { EAGAIN, EINTR, ENOENT, ENOMEM, EPERM } },
    [FAULT_COPY] = { "copy", { EAGAIN, ENOENT, ENOMEM, ENOSPC } },
    [FAULT_ZEROPAGE] = { "zeropage", { EAGAIN, ENOMEM } },
    [FAULT_CONTINUE] = { "continue", { EINTR, ENOENT, EPERM } },
    [FAULT_POISON] = { "poison", { EAGAIN, EINTR, ENOMEM } },
    [FAULT_SCAN] = { "scan",
                     { EPERM, EINTR, ENOMEM, EFAULT, ENOTTY, FAULT_SHORT, FAULT_STUCK, FAULT_MIDWAY } },
    [FAULT_OPEN] = { "open", { EACCES, ENOENT, EMFILE, ENFILE, ENOMEM } },
    [FAULT_READ] = { "read", { EINTR, EAGAIN } },
    [FAULT_PREAD] = { "pread", { EINTR, EIO } },
    [FAULT_WRITE] = { "write", { EINTR, EACCES } },
    [FAULT_PWRITE] = { "pwrite", { EINTR, EIO } },
    [FAULT_EPOLL] = { "epoll", { EMFILE, ENFILE, ENOMEM } },
    [FAULT_EPOLL_WAIT] = { "epoll_wait", { EINTR } },
    [FAULT_MMAP] = { "mmap", { ENOMEM } },
    [FAULT_MSYNC] = { "msync", { ENOMEM } },
    [FAULT_MPROTECT] = { "mprotect", { ENOMEM, EACCES } },
    /* Not ENOMEM, which means that there are holes: the library goes on then, and huge pages would stay. */
    [FAULT_MADVISE] = { "madvise", { EAGAIN } },
    [FAULT_SIGACTION] = { "sigaction", { EINVAL } },
    [FAULT_THREAD] = { "thread", { EAGAIN, EPERM } },
    [FAULT_MALLOC] = { "malloc", { ENOMEM } },
};

static const struct {
    int error;
    const char *name;
} error_names[] = {
    { EPERM, "EPERM" },       { ENOENT, "ENOENT" },       { EINTR, "EINTR" },   { EIO, "EIO" },
    { EAGAIN, "EAGAIN" },     { ENOMEM, "ENOMEM" },       { EACCES, "EACCES" }, { EFAULT, "EFAULT" },
    { EBUSY, "EBUSY" },       { EINVAL, "EINVAL" },       { ENFILE, "ENFILE" }, { EMFILE, "EMFILE" },
    { ENOTTY, "ENOTTY" },     { ENOSPC, "ENOSPC" },       { ENOSYS, "ENOSYS" }, { FAULT_SHORT, "SHORT" },
    { FAULT_STUCK, "STUCK" }, { FAULT_MIDWAY, "MIDWAY" },
};
#define NR_ERROR_NAMES (sizeof(error_names) / sizeof(error_names[0]))

const char *fault_error_name(int error)
{
    for (size_t i = 0; i < NR_ERROR_NAMES; i++) {
        if (error_names[i].error == error) {
            return error_names[i].name;
        }
    }
    return "?";
}

/* ---- the plan ---- */

struct line {
    enum fault_call call;
    int error;
    unsigned long nr, of; /* see fault_add() */
    bool later_too;
    atomic_ulong hits;
};

#define MAX_LINES 128

static struct line lines[MAX_LINES];
static atomic_size_t nr_lines;
static atomic_ulong calls[NR_FAULT_CALLS], hits;
static _Atomic uint64_t random_state;
static atomic_bool stopped;
static __thread unsigned int paused;

void fault_pause(void)
{
    paused++;
}

void fault_resume(void)
{
    paused--;
}

void fault_stop(void)
{
    atomic_store(&stopped, true);
}

void fault_start(void)
{
    atomic_store(&stopped, false);
}

unsigned long fault_hits(void)
{
    return atomic_load(&hits);
}

unsigned long fault_calls(enum fault_call call)
{
    return atomic_load(&calls[call]);
}

unsigned long fault_hits_of(enum fault_call call, int error)
{
    unsigned long nr = 0;

    for (size_t i = 0; i < atomic_load(&nr_lines); i++) {
        nr += lines[i].call == call && lines[i].error == error ? atomic_load(&lines[i].hits) : 0;
    }
    return nr;
}

void fault_add(enum fault_call call, int error, unsigned long nr, unsigned long of, bool later_too)
{
    size_t at = atomic_load(&nr_lines);

    if (at < MAX_LINES) {
        lines[at].call = call;
        lines[at].error = error;
        lines[at].nr = nr;
        lines[at].of = of;
        lines[at].later_too = later_too;
        atomic_store(&lines[at].hits, 0);
        atomic_store(&nr_lines, at + 1);
    }
}

static bool find_call(const char *name, size_t len, enum fault_call *ret)
{
    for (int i = 0; i < NR_FAULT_CALLS; i++) {
        if (strlen(fault_kinds[i].call) == len && !memcmp(fault_kinds[i].call, name, len)) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool find_error(const char *name, size_t len, int *ret)
{
    for (size_t i = 0; i < NR_ERROR_NAMES; i++) {
        if (strlen(error_names[i].name) == len && !memcmp(error_names[i].name, name, len)) {
            *ret = error_names[i].error;
            return true;
        }
    }
    return false;
}

/* "call:3:EPERM", "call:3+:EPERM" or "call:1/50:EPERM". */
static bool add_line(const char *text, size_t len)
{
    const char *first = memchr(text, ':', len);
    const char *second = first ? memchr(first + 1, ':', text + len - first - 1) : NULL;
    enum fault_call call;
    unsigned long nr, of = 0;
    char *end;
    int error;

    if (!second || !find_call(text, first - text, &call) ||
        !find_error(second + 1, text + len - second - 1, &error)) {
        return false;
    }
    nr = strtoul(first + 1, &end, 10);
    if (*end == '/') {
        of = strtoul(end + 1, &end, 10);
        nr = 0;
    }
    if ((!nr && !of) || (end != second && !(*end == '+' && nr && end + 1 == second))) {
        return false;
    }
    fault_add(call, error, nr, of, *end == '+');
    return true;
}

bool fault_plan(const char *plan, unsigned long seed)
{
    atomic_store(&nr_lines, 0);
    atomic_store(&hits, 0);
    atomic_store(&stopped, false);
    atomic_store(&random_state, seed);
    for (int i = 0; i < NR_FAULT_CALLS; i++) {
        atomic_store(&calls[i], 0);
    }
    while (plan && *plan) {
        size_t len = strcspn(plan, ",");

        if (!add_line(plan, len)) {
            return false;
        }
        plan += len + (plan[len] == ',');
    }
    return true;
}

/* splitmix64, shared by all threads. */
static uint64_t next_random(void)
{
    uint64_t mix = atomic_fetch_add(&random_state, UINT64_C(0x9e3779b97f4a7c15));

    mix = (mix ^ (mix >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mix = (mix ^ (mix >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mix ^ (mix >> 31);
}

static bool is_due(const struct line *line, unsigned long nr)
{
    if (!line->nr) {
        return next_random() % line->of == 0;
    }
    return nr == line->nr || (line->later_too && nr > line->nr);
}

/* The error with which this call must fail, or 0. */
static int fault(enum fault_call call)
{
    unsigned long nr;

    if (paused || atomic_load(&stopped)) {
        return 0;
    }
    nr = atomic_fetch_add(&calls[call], 1) + 1;
    for (size_t i = 0; i < atomic_load(&nr_lines); i++) {
        if (lines[i].call == call && is_due(&lines[i], nr)) {
            atomic_fetch_add(&lines[i].hits, 1);
            atomic_fetch_add(&hits, 1);
            return lines[i].error;
        }
    }
    return 0;
}

/* ---- replacements of the C library's functions ---- */

#define FAIL(call, value)                                                                                    \
    do {                                                                                                     \
        int error = fault(call);                                                                             \
        if (error) {                                                                                         \
            errno = error;                                                                                   \
            return value;                                                                                    \
        }                                                                                                    \
    } while (0)

#define DECLARE(type, name, ...)                                                                             \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__)

static const struct {
    unsigned long request;
    enum fault_call call;
} requests[] = {
    { UFFDIO_API, FAULT_API },
    { UFFDIO_REGISTER, FAULT_REGISTER },
    { UFFDIO_UNREGISTER, FAULT_UNREGISTER },
    { UFFDIO_WRITEPROTECT, FAULT_WRITEPROTECT },
    { UFFDIO_COPY, FAULT_COPY },
    { UFFDIO_ZEROPAGE, FAULT_ZEROPAGE },
    { UFFDIO_CONTINUE, FAULT_CONTINUE },
    { UFFDIO_POISON, FAULT_POISON },
    { PAGEMAP_SCAN, FAULT_SCAN },
};

int __real_ioctl(int fd, unsigned long request, void *arg);

static int scan_in_part(int fd, struct pm_scan_arg *arg, int error)
{
    uint64_t page = sysconf(_SC_PAGESIZE), end = arg->end;
    int nr;

    if (error == FAULT_STUCK) {
        arg->walk_end = arg->start;
        return 0;
    }
    arg->end = arg->start + ((end - arg->start) / page / 2 + 1) * page;
    nr = __real_ioctl(fd, PAGEMAP_SCAN, arg);
    arg->end = end;
    if (error == FAULT_MIDWAY && nr >= 0) {
        arg->walk_end = 0;
        errno = EPERM;
        return -1;
    }
    return nr;
}

DECLARE(int, ioctl, int fd, unsigned long request, void *arg)
{
    int error = 0;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (requests[i].request == request) {
            error = fault(requests[i].call);
        }
    }
    if (error == FAULT_SHORT || error == FAULT_STUCK || error == FAULT_MIDWAY) {
        return scan_in_part(fd, arg, error);
    }
    if (error) {
        errno = error;
        return -1;
    }
    return __real_ioctl(fd, request, arg);
}

DECLARE(long, syscall, long nr, long a, long b, long c, long d, long e, long f)
{
    if (nr == SYS_userfaultfd) {
        FAIL(FAULT_USERFAULTFD, -1);
    }
    return __real_syscall(nr, a, b, c, d, e, f);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list args;

    if (flags & O_CREAT) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    FAIL(FAULT_OPEN, -1);
    return __real_open(path, flags, mode);
}

DECLARE(ssize_t, read, int fd, void *buffer, size_t len)
{
    FAIL(FAULT_READ, -1);
    return __real_read(fd, buffer, len);
}

DECLARE(ssize_t, pread, int fd, void *buffer, size_t len, off_t offset)
{
    FAIL(FAULT_PREAD, -1);
    return __real_pread(fd, buffer, len, offset);
}

DECLARE(ssize_t, pread64, int fd, void *buffer, size_t len, off64_t offset)
{
    FAIL(FAULT_PREAD, -1);
    return __real_pread64(fd, buffer, len, offset);
}

DECLARE(ssize_t, write, int fd, const void *buffer, size_t len)
{
    FAIL(FAULT_WRITE, -1);
    return __real_write(fd, buffer, len);
}

DECLARE(ssize_t, pwrite64, int fd, const void *buffer, size_t len, off64_t offset)
{
    FAIL(FAULT_PWRITE, -1);
    return __real_pwrite64(fd, buffer, len, offset);
}

DECLARE(int, epoll_create1, int flags)
{
    FAIL(FAULT_EPOLL, -1);
    return __real_epoll_create1(flags);
}

DECLARE(int, epoll_wait, int fd, struct epoll_event *events, int nr, int timeout)
{
    FAIL(FAULT_EPOLL_WAIT, -1);
    return __real_epoll_wait(fd, events, nr, timeout);
}

DECLARE(void *, mmap, void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    FAIL(FAULT_MMAP, MAP_FAILED);
    return __real_mmap(addr, len, prot, flags, fd, offset);
}

DECLARE(int, msync, void *addr, size_t len, int flags)
{
    FAIL(FAULT_MSYNC, -1);
    return __real_msync(addr, len, flags);
}

DECLARE(int, mprotect, void *addr, size_t len, int prot)
{
    FAIL(FAULT_MPROTECT, -1);
    return __real_mprotect(addr, len, prot);
}

DECLARE(int, madvise, void *addr, size_t len, int advice)
{
    FAIL(FAULT_MADVISE, -1);
    return __real_madvise(addr, len, advice);
}

DECLARE(int, sigaction, int sig, const struct sigaction *action, struct sigaction *old)
{
    FAIL(FAULT_SIGACTION, -1);
    return __real_sigaction(sig, action, old);
}

DECLARE(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    int error = fault(FAULT_THREAD);

    return error ? error : __real_pthread_create(thread, attr, start, arg);
}

DECLARE(void *, malloc, size_t len)
{
    FAIL(FAULT_MALLOC, NULL);
    return __real_malloc(len);
}

DECLARE(void *, calloc, size_t nr, size_t len)
{
    FAIL(FAULT_MALLOC, NULL);
    return __real_calloc(nr, len);
}

DECLARE(void *, realloc, void *old, size_t len)
{
    FAIL(FAULT_MALLOC, NULL);
    return __real_realloc(old, len);
}

DECLARE(void *, ww_heap_alloc, size_t len)
{
    FAIL(FAULT_MALLOC, NULL);
    return __real_ww_heap_alloc(len);
}
