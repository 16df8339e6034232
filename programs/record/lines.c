/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes a file of JSON objects, a line each. A line is written whole or not at all, also where the disk is
 * full.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"

int lines_open(struct lines *lines, const char *path)
{
    int err;

    *lines = (struct lines){ .len = 0 };
    err = output_open(&lines->file, path);
    if (!err) {
        err = output_empty(&lines->file);
    }
    return err;
}

/* If a line does not fit, removes its beginning again. */
static void write_whole(struct lines *lines, const char *line, size_t len)
{
    size_t done = 0;

    while (!lines->err && done < len) {
        ssize_t nr = write(lines->file.fd, line + done, len - done);

        if (nr >= 0) {
            done += nr;
        } else if (errno != EINTR) {
            lines->err = -errno;
        }
    }
    if (!lines->err) {
        lines->len += len;
    } else if (ftruncate(lines->file.fd, lines->len)) {
        /* lines->err says that the file is not whole. */
    }
}

void lines_write(struct lines *lines, struct json_object *object)
{
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    char *line = NULL;

    if (!text || asprintf(&line, "%s\n", text) < 0) {
        line = NULL;
        lines->err = lines->err ? lines->err : -ENOMEM;
    } else {
        write_whole(lines, line, strlen(line));
    }
    free(line);
    json_object_put(object);
}

int lines_close(struct lines *lines)
{
    if (!lines->len) {
        output_drop(&lines->file);
    } else if (close(lines->file.fd) && !lines->err) {
        lines->err = -errno;
    }
    return lines->err;
}

void lines_drop(struct lines *lines)
{
    output_drop(&lines->file);
}
