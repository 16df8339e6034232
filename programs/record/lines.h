/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file of JSON objects, a line each. */
#ifndef WW_PROGRAMS_LINES_H
#define WW_PROGRAMS_LINES_H

#include <sys/types.h>

struct json_object;

struct lines {
    const char *path;
    int fd;
    off_t len; /* of whole lines */
    int err;   /* the first error; nothing is written after it */
};

/* Empties the file, or makes it. 0 or a negative errno. */
int lines_open(struct lines *lines, const char *path);

/* Writes an object as a line, and frees it. */
void lines_write(struct lines *lines, struct json_object *object);

/* Returns the first error. Removes a file without a line, but not a device. */
int lines_close(struct lines *lines);

/* Closes and removes the file. */
void lines_drop(struct lines *lines);

#endif
