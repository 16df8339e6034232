/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file in which the preload publishes what it does (stats.c), and which the command reads
 * (programs/counters/counters.c). Each process has one, in the folder that WW_STATS names. Both map it. A
 * reader may see some counters before and others after a change. Each of them is whole, and only grows unless
 * its comment says otherwise. 32-bit and 64-bit programs have the same layout.
 */
#ifndef WW_DLLS_NTDLL_COUNTERS_H
#define WW_DLLS_NTDLL_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define COUNTERS_MAGIC UINT64_C(0x73746e756f437757) /* "WwCounts" */
#define COUNTERS_VERSION 1                          /* another layout is another version */

/* Regions with counters of their own. Further ones are in the sums alone. */
#define COUNTERS_NR_REGIONS 256
/* Parts of equal size into which a region is divided, for its pages. */
#define COUNTERS_NR_PARTS 64

/* In the order of enum nt_call. */
enum counters_call {
    COUNTERS_ALLOCATE,
    COUNTERS_ALLOCATE_EX,
    COUNTERS_FREE,
    COUNTERS_PROTECT,
    COUNTERS_GET,
    COUNTERS_RESET,
    COUNTERS_NR_CALLS,
};

/* Calls of Windows code. Their time is in nanoseconds and includes Wine's part. */
struct counters_of_call {
    _Atomic uint64_t nr;
    _Atomic uint64_t nr_failed; /* with a status that is not 0 */
    _Atomic uint64_t nr_passed; /* get, reset: about memory that is Wine's; else watches left to Wine */
    _Atomic uint64_t time_ns;
};

/* One watched region. When a slot gets another region, serial changes, and all other counters begin at 0. */
struct counters_of_region {
    _Atomic uint64_t start; /* address; 0: the slot is free, 1: it is being filled */
    _Atomic uint64_t end;
    _Atomic uint64_t serial;
    _Atomic uint64_t nr_gets;
    _Atomic uint64_t nr_resets;               /* calls of ResetWriteWatch */
    _Atomic uint64_t nr_pages;                /* reported by gets */
    _Atomic uint64_t time_ns;                 /* of gets and resets */
    _Atomic uint32_t part[COUNTERS_NR_PARTS]; /* pages reported in each part; wraps around */
};

struct counters {
    _Atomic uint64_t magic; /* set last */
    uint32_t version;
    uint32_t size; /* of this structure, in bytes */
    uint32_t pid;
    uint32_t page_size;
    uint64_t began_ns; /* CLOCK_MONOTONIC */
    char backend[16];
    char convention[16];
    char command[224]; /* words, each with a 0 byte at its end; cut off if too long */
    struct counters_of_call call[COUNTERS_NR_CALLS];
    _Atomic uint64_t nr_pages;      /* reported by all gets */
    _Atomic uint64_t nr_clean;      /* gets that reported none */
    _Atomic uint64_t nr_watched;    /* regions since the start */
    _Atomic uint64_t watched_bytes; /* now; goes down, too */
    _Atomic uint64_t most_pages;    /* one get has reported */
    _Atomic uint64_t slowest_get_ns;
    struct counters_of_region region[COUNTERS_NR_REGIONS];
};

_Static_assert(sizeof(struct counters_of_region) == 7 * 8 + 4 * COUNTERS_NR_PARTS, "the same on i386");
_Static_assert(offsetof(struct counters, call) == 8 + 4 * 4 + 8 + 256, "the same on i386");
_Static_assert(offsetof(struct counters, region) ==
                   offsetof(struct counters, call) + COUNTERS_NR_CALLS * 32 + 6 * 8,
               "the same on i386");

#endif
