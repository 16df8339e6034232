/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads the plan of a preload whose system calls fail: WW_FAULT, as in inject.h, or "all:1/N" for every call
 * and error with that probability; WW_FAULT_SEED. Prints at the end of a process how many calls have failed,
 * if any.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"

static bool add_all(const char *one_in)
{
    unsigned long of = strtoul(one_in, NULL, 10);

    for (int call = 0; of && call < NR_FAULT_CALLS; call++) {
        for (int i = 0; i < MAX_FAULT_ERRORS && fault_kinds[call].errors[i]; i++) {
            fault_add(call, fault_kinds[call].errors[i], 0, of, false);
        }
    }
    return of;
}

__attribute__((constructor)) static void begin(void)
{
    const char *plan = getenv("WW_FAULT"), *seed = getenv("WW_FAULT_SEED");
    bool all = plan && !strncmp(plan, "all:1/", 6), good;

    good = fault_plan(all ? NULL : plan, seed ? strtoul(seed, NULL, 10) : 1) && (!all || add_all(plan + 6));
    if (!good) {
        dprintf(2, "WW_FAULT: %s is no plan\n", plan);
        _exit(2);
    }
}

__attribute__((destructor)) static void end(void)
{
    if (fault_hits()) {
        dprintf(2, "WW_FAULT: %lu system calls have failed\n", fault_hits());
    }
}
