/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A record in memory, from read.c to draw.c. Numbers have the units of the record. */
#ifndef WW_PROGRAMS_PLOT_H
#define WW_PROGRAMS_PLOT_H

#include <stddef.h>
#include <stdio.h>

#define RECORD_NR_PARTS 64

struct recorded_region {
    double start, end, gets, pages;
    double part[RECORD_NR_PARTS];
};

struct recorded_interval {
    double t, seconds; /* its end, and how long it was */
    double gets, pages, time_ns;
    struct recorded_region *region;
    size_t nr;
};

struct recorded_process {
    double pid, page_size, nr_pages;
    char name[64];
    struct recorded_interval *interval;
    size_t nr;
};

struct record {
    struct recorded_process *process;
    size_t nr;
};

/* read.c: 0 or a negative errno: -EINVAL: line @ret_line does not belong in a record. */
int read_record(FILE *file, struct record *ret, size_t *ret_line);
void free_record(struct record *record);

/* draw.c: draws pages.svg and heat.png into the folder. 0 or a negative errno, as gnuplot_run(). */
int plot_draw(const struct recorded_process *process, const char *folder);

#endif
