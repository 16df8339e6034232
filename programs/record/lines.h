/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file of JSON objects, a line each. */
#ifndef WW_PROGRAMS_LINES_H
#define WW_PROGRAMS_LINES_H

#include <sys/types.h>

#include "../common/output.h"

struct json_object;

struct lines {
    struct output file;
    off_t len; /* of whole lines */
    int err;   /* the first error; nothing is written after it */
};

/* Empties the file, or makes it. 0 or a negative errno. */
int lines_open(struct lines *lines, const char *path);

/* Writes an object as a line, and frees it. */
void lines_write(struct lines *lines, struct json_object *object);

/* Returns the first error. Removes a new file without a line. */
int lines_close(struct lines *lines);

/* Closes the file, and removes it if it is new. */
void lines_drop(struct lines *lines);

#endif
