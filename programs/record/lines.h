/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file of whole lines; see lines.c. */
#ifndef WW_PROGRAMS_LINES_H
#define WW_PROGRAMS_LINES_H

#include <sys/types.h>

struct json_object;

struct lines {
    const char *path;
    int fd;
    off_t len; /* of whole lines */
    int err;   /* the first that went wrong: nothing is written after it */
};

/* 0 or a negative errno. What was in the file is gone. */
int lines_open(struct lines *lines, const char *path);

/* Writes an object on a line of its own, and frees it. */
void lines_write(struct lines *lines, struct json_object *object);

/* Returns the first error. A file without a line is removed; a device stays. */
int lines_close(struct lines *lines);

/* Closes and removes it. */
void lines_drop(struct lines *lines);

#endif
