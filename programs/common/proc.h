/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers that the kernel tells: the clock, its release, what stands in /proc. */
#ifndef WW_PROGRAMS_COMMON_PROC_H
#define WW_PROGRAMS_COMMON_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A number the kernel may not tell us. */
struct sysctl {
    bool known;
    long value;
};

struct sysctl read_sysctl(const char *path);

/* A number of /proc/PID/status; negative: not known. */
long read_status(pid_t pid, const char *field);

/* As uname(2) has it, or "unknown". */
const char *kernel_release(void);

/* CLOCK_MONOTONIC in nanoseconds, by which the preload tells the time as well. */
uint64_t now_ns(void);

#endif
