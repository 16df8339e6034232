/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fault injection: each system call and allocation that the library makes can be made to fail. The
 * library has no code for it: the linker replaces the C library's functions by those of inject.c
 * (--wrap), in the test programs and in a preload that is built for the tests only.
 *
 * A plan says which calls fail: a list of CALL:WHEN:ERROR separated by commas. CALL and ERROR are
 * names of the tables in inject.c. WHEN is a number (that call, counted from 1), a number and "+"
 * (that call and all later ones), or "1/" and a number N (each call with the probability 1/N).
 */
#ifndef WW_TESTS_FAULTS_INJECT_H
#define WW_TESTS_FAULTS_INJECT_H

#include <stdbool.h>
#include <stddef.h>

enum fault_call {
    FAULT_USERFAULTFD,
    FAULT_API,
    FAULT_REGISTER,
    FAULT_UNREGISTER,
    FAULT_WRITEPROTECT,
    FAULT_COPY,
    FAULT_ZEROPAGE,
    FAULT_CONTINUE,
    FAULT_POISON,
    FAULT_SCAN,
    FAULT_OPEN,
    FAULT_READ,
    FAULT_PREAD,
    FAULT_WRITE,
    FAULT_PWRITE,
    FAULT_EPOLL,
    FAULT_EPOLL_WAIT,
    FAULT_MMAP,
    FAULT_MSYNC,
    FAULT_MPROTECT,
    FAULT_MADVISE,
    FAULT_SIGACTION,
    FAULT_THREAD,
    FAULT_MALLOC,
    NR_FAULT_CALLS,
};

#define MAX_FAULT_ERRORS 8

/* The errors that a call can really have, and results that are no error but that the library must handle. */
struct fault_kind {
    const char *call;
    int errors[MAX_FAULT_ERRORS]; /* up to the first 0 */
};

/* PAGEMAP_SCAN ends half way, makes no progress, or fails after it has reset part of the range. The vector
 * holds the pages that it reset. */
#define FAULT_SHORT 1001
#define FAULT_STUCK 1002
#define FAULT_MIDWAY 1003

extern const struct fault_kind fault_kinds[NR_FAULT_CALLS];

/* The name of an errno or of one of the above. */
const char *fault_error_name(int error);

/* Sets the plan, NULL for none, and the counts to 0. False: the plan cannot be parsed. */
bool fault_plan(const char *plan, unsigned long seed);

/* Adds one line to the plan. @nr 0: with the probability 1/@of. */
void fault_add(enum fault_call call, int error, unsigned long nr, unsigned long of, bool later_too);

/* In this thread no call fails between the two. They nest. */
void fault_pause(void);
void fault_resume(void);

/* After fault_stop() no call fails in any thread, until the next plan or fault_start(). */
void fault_stop(void);
void fault_start(void);

/* How many calls have failed, of all or of one kind, and how many were made, since the plan was set. */
unsigned long fault_hits(void);
unsigned long fault_hits_of(enum fault_call call, int error);
unsigned long fault_calls(enum fault_call call);

#endif
