/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads single values from the kernel: the clock, its release, numbers in /proc. */
#ifndef WW_PROGRAMS_COMMON_PROC_H
#define WW_PROGRAMS_COMMON_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A number that this process may not be able to read. */
struct sysctl {
    bool known;
    long value;
};

struct sysctl read_sysctl(const char *path);

/* A number of /proc/PID/status; negative: not known. */
long read_status(pid_t pid, const char *field);

/* As uname(2) returns it, or "unknown". */
const char *kernel_release(void);

/* CLOCK_MONOTONIC in nanoseconds, which the preload uses as well. */
uint64_t now_ns(void);

#endif
