/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System calls that touch neither errno nor any other thread-local storage. The SIGSEGV handler of the
 * mprotect backend needs them, since Windows code runs with other segment registers. They return a negative
 * errno. They are no cancellation points either: pthread_cancel() cannot end a thread here that holds a lock
 * of ours.
 */
#ifndef WW_LINUX_PROCESS_RAW_H
#define WW_LINUX_PROCESS_RAW_H

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* For functions that the handler calls. */
#define IN_HANDLER __attribute__((no_stack_protector))

#if defined(__x86_64__)
IN_HANDLER static inline long raw_syscall(long nr, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__i386__)
IN_HANDLER static inline long raw_syscall(long nr, long a, long b, long c, long d)
{
    long ret;

    /* ebx may be the PIC register. */
    __asm__ volatile("xchgl %%ebx, %%edi; int $0x80; xchgl %%ebx, %%edi"
                     : "=a"(ret)
                     : "0"(nr), "D"(a), "c"(b), "d"(c), "S"(d)
                     : "memory");
    return ret;
}
#else
static inline long raw_syscall(long nr, long a, long b, long c, long d)
{
    int saved = errno;
    long ret = syscall(nr, a, b, c, d);

    ret = ret == -1 ? -errno : ret;
    errno = saved;
    return ret;
}
#endif

/* Sleeps 1 ms before a call is repeated that the kernel refuses for the moment. The thread in the way may
 * need this processor, and sched_yield() does not give it to a thread of lower priority. */
static inline void ww_wait_moment(void)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    raw_syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&moment, 0);
}

#endif
