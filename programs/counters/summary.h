/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counters as text and as JSON, for run --stats, top and record. */
#ifndef WW_PROGRAMS_STATS_H
#define WW_PROGRAMS_STATS_H

#include <stdio.h>

#include "counters.h"

struct json_object;
struct output;

/* Windows' names, by enum counters_call. */
extern const char *const call_names[COUNTERS_NR_CALLS];

/* Write "1.5 MB" or "230 us" into @text, and return it. */
const char *bytes_text(uint64_t bytes, char text[16]);
const char *time_text(double ns, char text[16]);

/* What happened to a region since the sample before, or since it was made. */
void region_since(const struct sample *before, const struct region_sample *now, struct region_sample *ret);

/* The time inside gets and resets between two samples. */
uint64_t query_time_ns(const struct sample *before, const struct sample *now);

/* Prints the summary of a command that ran so long. */
void stats_print(const struct counters_file *files, size_t nr, double seconds, FILE *out);

/* Writes the same summary as JSON (writewatch-json(5)), and closes the file. 0 or a negative errno. */
int stats_write(const struct counters_file *files, size_t nr, double seconds, struct output *file);

/* One process, and one region with its parts under this name, as JSON. */
struct json_object *sample_json(const struct sample *sample);
struct json_object *region_json(const struct region_sample *region, const char *parts_name);

#endif
