/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What counters look like to people and programs: for run --stats, top and record.
 */
#ifndef WW_PROGRAMS_STATS_H
#define WW_PROGRAMS_STATS_H

#include <stdbool.h>
#include <stdio.h>

#include "counters.h"

struct json_object;

/* Windows' names, by enum counters_call. */
extern const char *const call_names[COUNTERS_NR_CALLS];

/* "1.5 MB", "230 us": into the text, which is returned. */
const char *bytes_text(uint64_t bytes, char text[16]);
const char *time_text(double ns, char text[16]);

/* What became of a region since the sample before; all of it if it was not there then. */
void region_since(const struct sample *before, const struct region_sample *now, struct region_sample *ret);

/* The time inside gets and resets between two samples. */
uint64_t harvest_time_ns(const struct sample *before, const struct sample *now);

/* The summary of a command that ran so long, for people. */
void stats_print(const struct counters_file *files, size_t nr, double seconds, FILE *out);

/* The file of run --stats=FILE, open from before the command until after it. */
struct stats_file {
    const char *path;
    int fd;
    bool is_new;
};

/* Changes nothing in a file that is there. 0 or a negative errno. */
int stats_file_open(struct stats_file *file, const char *path);

/* There is nothing to write: what is new is removed. */
void stats_file_drop(struct stats_file *file);

/* The same summary into the file, as JSON (writewatch(1)), and closes it. 0 or a negative errno. */
int stats_write(const struct counters_file *files, size_t nr, double seconds, struct stats_file *file);

/* One process, and one region with its parts under this name, as JSON. */
struct json_object *sample_json(const struct sample *sample);
struct json_object *region_json(const struct region_sample *region, const char *parts_name);

#endif
