/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes a file of JSON objects, a line each. A line is written whole or not at all, also where the disk is
 * full.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lines.h"

int lines_open(struct lines *lines, const char *path)
{
    *lines = (struct lines){ .path = path };
    lines->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return lines->fd < 0 ? -errno : 0;
}

/* If a line does not fit, removes its beginning again. */
static void write_whole(struct lines *lines, const char *line, size_t len)
{
    size_t done = 0;

    while (!lines->err && done < len) {
        ssize_t nr = write(lines->fd, line + done, len - done);

        if (nr >= 0) {
            done += nr;
        } else if (errno != EINTR) {
            lines->err = -errno;
        }
    }
    if (!lines->err) {
        lines->len += len;
    } else if (ftruncate(lines->fd, lines->len)) {
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

static void remove_file(const char *path)
{
    struct stat stat;

    if (!lstat(path, &stat) && S_ISREG(stat.st_mode)) {
        unlink(path);
    }
}

int lines_close(struct lines *lines)
{
    if (close(lines->fd) && !lines->err) {
        lines->err = -errno;
    }
    if (!lines->len) {
        remove_file(lines->path);
    }
    return lines->err;
}

void lines_drop(struct lines *lines)
{
    close(lines->fd);
    remove_file(lines->path);
}
