/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of test-waits share: a thread that makes one call, and records its result, its processor
 * time and that it has returned. Tests give a thread SETTLE_MS to arrive where it must wait.
 */
#ifndef WAITS_H
#define WAITS_H

#include <pthread.h>
#include <stdatomic.h>

#include "mprotect-test.h"

#define NR_PAGES 8
#define SETTLE_MS 100
#define HOLD_MS 300

struct call {
    pthread_t thread;
    void (*function)(struct call *);
    char *base;
    ssize_t found;
    long cpu_ms; /* processor time that the thread has used */
    atomic_bool over;
};

void begin(struct call *call, void (*function)(struct call *), char *base);
void end(struct call *call);

/* Calls: store() writes to page 1, fill_pages() fills all pages with 7. */
void store(struct call *call);
void fill_pages(struct call *call);

void sleep_ms(long ms);

/* Waits for the child, which must exit with 0. */
void expect_child(pid_t child);

void add_fill_tests(TCase *tcase);
void add_store_tests(TCase *tcase);

#endif
