/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What turns the examples of the manual pages that are no programs into programs: the backend that WW_BACKEND
 * names, memory, and a way to fail. Exit code 77 says that the backend cannot do what the example is about.
 */
#ifndef TESTS_DOCS_FRAME_H
#define TESTS_DOCS_FRAME_H

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <writewatch.h>

#define EXIT_SKIPPED 77

#define require(cond)                                                                                        \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                               \
            exit(EXIT_FAILURE);                                                                              \
        }                                                                                                    \
    } while (0)

static inline char *map(size_t size)
{
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    require(base != MAP_FAILED);
    return base;
}

static inline struct ww_context *open_context(void)
{
    struct ww_context *ctx = NULL;

    require(!ww_open(&ctx, NULL));
    return ctx;
}

/* Whether @nr reported pages are right where @expected were written: a backend that is not exact may report
 * more. */
static inline int is_right(struct ww_context *ctx, ssize_t nr, ssize_t expected)
{
    return ww_backend_caps(ctx) & WW_CAP_EXACT ? nr == expected : nr >= expected;
}

#endif
