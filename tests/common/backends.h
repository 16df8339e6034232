/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the suites that run once for each backend share: the backends, the one under test,
 * and a context that is opened and closed around each test.
 */
#ifndef WW_TESTS_UNIT_BACKENDS_H
#define WW_TESTS_UNIT_BACKENDS_H

#include "util.h"

/* The backend in use, and all that work here. */
extern const struct ww_probe *backend;
extern struct ww_probe backends[MAX_BACKENDS];
extern size_t nr_backends;

/* Opened for each test, in its process. */
extern struct ww_context *ctx;

void open_context(void);
void close_context(void);

/* A part of a suite with the context opened and closed around each test, which may take @seconds. */
TCase *new_context_case(Suite *suite, const char *name, double seconds);

/* Calls @run, which returns the number of failures, for each backend that works here. Returns the exit code
 * of the program. */
int run_on_each_backend(int (*run)(void));

/* Whether the backend could be used at the start. */
bool backend_works(const char *name);

/* What ww_probe() says of a backend now. */
struct ww_probe probe_backend(const char *name);

/* The number of kB in a line of /proc/self/status or smaps that begins with @field and a colon; else
 * @otherwise. */
unsigned long kb_after(const char *line, const char *field, unsigned long otherwise);

/* The number of kB after @field in /proc/self/status. */
unsigned long status_kb(const char *field);

/* A provider for ww_fill_on_demand(): its pages hold zeros. */
int put_nothing(void *arg, uintptr_t addr, void *buffer, size_t len);

#endif
