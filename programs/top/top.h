/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `writewatch top` shows: rates out of two samples. top.c makes them, screen.c draws them. */
#ifndef WW_PROGRAMS_TOP_H
#define WW_PROGRAMS_TOP_H

#include "../counters/counters.h"

/* Everything by the second; busy is the time inside calls, waits included, summed over threads. */
struct region_rate {
    uint64_t start, end;
    double gets, pages, busy;
    double part[COUNTERS_NR_PARTS];
};

struct rates {
    double gets, clean, resets, pages, busy;
    size_t nr_regions;
    struct region_rate region[COUNTERS_NR_REGIONS];
};

struct top {
    struct counters_file file;
    struct sample *before, *now;
    struct rates *rates;
    double interval, seconds; /* as wanted, and as measured */
};

/* Returns the seconds between the two. */
double top_rates(const struct sample *before, const struct sample *now, struct rates *ret);

/* Takes the next sample. */
void top_next(struct top *top);

/* screen.c: shows rates until a key or the end of the process ends it. Returns an exit code. */
int top_screen(struct top *top);

#endif
