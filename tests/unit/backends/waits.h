/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of test-waits share: a thread that makes one call, and tells when it has returned and
 * what it has computed meanwhile. What must not happen takes SETTLE_MS to be believed.
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
    long cpu_ms; /* what the thread has used */
    atomic_bool over;
};

void begin(struct call *call, void (*function)(struct call *), char *base);
void end(struct call *call);

/* Calls: the first writes to page 1, the other fills all pages with 7. */
void store(struct call *call);
void fill_pages(struct call *call);

void sleep_ms(long ms);

/* The child has ended, and well. */
void expect_child(pid_t child);

void add_fill_tests(TCase *tcase);
void add_store_tests(TCase *tcase);

#endif
