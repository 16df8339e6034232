/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A watched region and a model of it: random operations on the one, each answer
 * compared with the other. The model has Windows' two levels, the dirty bit of each page and the
 * latch, and knows contents, protections and which pages exist, so that a page that
 * is damaged shows too. A failure names seed and step, which repeat the run.
 *
 * A page that the kernel is moving to another place at the moment of its reset comes out as written
 * (tests/system/kernels/test-moving.c). Pages may be reported again for that, if the kernel has moved as many
 * meanwhile.
 *
 * Where system calls are made to fail, a call of the library may fail as well, and must then
 * have changed nothing; pages may be reported that were not written until they are reset
 * without a fault; and that is all.
 */
#ifndef WW_TESTS_UNIT_MODEL_H
#define WW_TESTS_UNIT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "writewatch.h"

#define MODEL_PAGES 1600

/* How faults are switched: for the thread that runs the model, and for all. */
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
    const void *tracker;               /* of the region, when it was last looked at */
    unsigned long nr_faults;           /* seen so far */
    unsigned long nr_failed;           /* calls that failed for one */
    bool faulty;                       /* one was met by the call before */
    bool behind;                       /* changes are made behind the library's back */
    bool huge;                         /* and so there may be huge pages */
    bool vague;                        /* one was met since the region is watched */
    unsigned long nr_migrated;         /* pages that the kernel had moved when it began */
    bool dirty[MODEL_PAGES], latched[MODEL_PAGES];
    bool unsure[MODEL_PAGES]; /* may be reported without having been written */
    bool exists[MODEL_PAGES];
    bool undefined[MODEL_PAGES]; /* MADV_FREE: so is what it holds */
    char value[MODEL_PAGES];
    int prot[MODEL_PAGES];
};

/* Watches fresh memory; @flags for ww_watch(). */
struct model *model_new(struct ww_context *ctx, const char *name, unsigned long seed, unsigned int flags);

/* Random operations. */
void model_run(struct model *model, unsigned long nr_steps);

/* Contents are right, and after a reset nothing is reported, and then what is written is. No faults any more.
 */
void model_end(struct model *model);

#endif
