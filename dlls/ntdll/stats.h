/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters of the NT calls for `writewatch run --stats`, `top` and `record`, kept only if WW_STATS is set.
 * Every function takes NULL if it is not. They take no lock, allocate nothing and make no system call but for
 * the clock, so they are safe in every call of Windows.
 */
#ifndef WW_DLLS_NTDLL_STATS_H
#define WW_DLLS_NTDLL_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "counters.h"

/* Makes the file of this process in @folder, and replaces the one of an earlier program in this process. NULL
 * with errno set: there is no file, and nothing is counted. */
struct counters *stats_open(const char *folder, const char *backend, const char *convention);

/* A range is watched from now on. */
void stats_watched(struct counters *counters, uintptr_t start, uintptr_t end);

/* How many were until now. */
uint64_t stats_nr_watched(struct counters *counters);

/* A range is no longer watched. Regions after the first @nr_watched stay: their memory was allocated when
 * this one was released already. */
void stats_ended(struct counters *counters, uintptr_t start, uintptr_t end, uint64_t nr_watched);

/* A get has reported these pages, ascending, of one region; a reset has reset part of one. */
void stats_got(struct counters *counters, uintptr_t addr, void *const *pages, size_t nr, uint64_t time_ns);
void stats_reset(struct counters *counters, uintptr_t addr, uint64_t time_ns);

/* A call has ended. */
void stats_called(struct counters *counters, enum counters_call call, bool failed, uint64_t time_ns);

/* A call, or a watch that it asks for, was left to Wine. */
void stats_passed(struct counters *counters, enum counters_call call);

/* Nanoseconds; 0 if nothing is counted. */
static inline uint64_t stats_now(const struct counters *counters)
{
    struct timespec now;

    if (__builtin_expect(!counters, 1)) {
        return 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

#endif
