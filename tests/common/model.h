/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A watched region and a model of it. Random operations change both, and each answer of the library is
 * compared with the model. The model has Windows' two levels, the dirty bit of each page and the latch, and
 * knows contents, protections and which pages exist, so that it finds damaged contents too. A failure names
 * seed and step, which repeat the run.
 *
 * A page that the kernel is moving to another place at the moment of its reset comes out as written
 * (tests/system/kernels/test-moving.c). So a clean page may be reported if the kernel has moved pages since
 * the model began.
 *
 * Where the test makes system calls fail, a call of the library may fail as well, and must then have changed
 * nothing (ww_protect(): at most a part of its range). Until a reset that meets no fault, the library may
 * also report pages that were not written.
 */
#ifndef WW_TESTS_UNIT_MODEL_H
#define WW_TESTS_UNIT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "writewatch.h"

#define MODEL_PAGES 1600

/* Switches faults on and off: resume and pause for the calling thread, start and stop for all threads. nr
 * counts the faults so far. */
struct model_faults {
    void (*resume)(void), (*pause)(void);
    void (*start)(void), (*stop)(void);
    unsigned long (*nr)(void);
};

struct model {
    struct ww_context *ctx;
    const char *name; /* for messages */
    char *base;
    unsigned int flags; /* of ww_watch() */
    uint64_t random;
    unsigned long seed, step;
    const struct model_faults *faults; /* NULL: nothing may fail */
    const void *tracker;               /* the region's after the last call */
    unsigned long nr_faults;           /* up to the last call */
    unsigned long nr_failed;           /* calls that failed because of a fault */
    bool faulty;                       /* the last call met a fault or a new tracker */
    bool behind;                       /* make changes that the library is not told of */
    bool huge;                         /* one of them asked for huge pages */
    bool vague;                        /* zero pages that were only read may be reported */
    unsigned long nr_migrated;         /* pages that the kernel had moved when the model began */
    bool dirty[MODEL_PAGES], latched[MODEL_PAGES];
    bool unsure[MODEL_PAGES]; /* may be reported without having been written */
    bool exists[MODEL_PAGES];
    bool undefined[MODEL_PAGES]; /* what it holds, after MADV_FREE */
    char value[MODEL_PAGES];
    int prot[MODEL_PAGES];
};

/* Watches fresh memory; @flags for ww_watch(). */
struct model *model_new(struct ww_context *ctx, const char *name, unsigned long seed, unsigned int flags);

/* Random operations. */
void model_run(struct model *model, unsigned long nr_steps);

/* Checks contents, that a reset leaves nothing to report, and that new writes are reported; frees the model.
 * Nothing fails any more. */
void model_end(struct model *model);

#endif
