/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What counters look like to people and programs: for run --stats, top and record.
 */
#ifndef WW_PROGRAMS_STATS_H
#define WW_PROGRAMS_STATS_H

#include <stdio.h>

#include "counters.h"

struct json_object;

/* Windows' names, by enum counters_call. */
extern const char *const call_names[COUNTERS_NR_CALLS];

/* "1.5 MB", "230 us": into the text, which is returned. */
const char *bytes_text(uint64_t bytes, char text[16]);
const char *time_text(double ns, char text[16]);

/* The same region in another sample; NULL: it was not there. */
const struct region_sample *find_region(const struct sample *sample, const struct region_sample *region);

/* The summary of a command that ran so long, for people. */
void stats_print(const struct counters_file *files, size_t nr, double seconds, FILE *out);

/* The same into a file, as JSON (writewatch(1)). 0 or a negative errno. */
int stats_write(const struct counters_file *files, size_t nr, double seconds, const char *path);

/* One process, and one region, as JSON. */
struct json_object *sample_json(const struct sample *sample);
struct json_object *region_json(const struct region_sample *region);

#endif
