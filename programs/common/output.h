/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file that the user names for output, which this program removes if it has made it and has nothing to
 * write. */
#ifndef WW_PROGRAMS_COMMON_OUTPUT_H
#define WW_PROGRAMS_COMMON_OUTPUT_H

#include <stdbool.h>

struct output {
    const char *path;
    int fd;
    bool is_new; /* this program has made the file */
};

/* Opens the file, or makes it. Leaves the content of an existing file as it is. 0 or a negative errno. */
int output_open(struct output *ret, const char *path);

/* Empties a regular file; others have no length. 0 or a negative errno. */
int output_empty(const struct output *output);

/* Closes the file, and removes it if it is new. A symbolic link stays, and the new file that it leads to
 * goes. */
void output_drop(const struct output *output);

#endif
