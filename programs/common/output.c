/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of output (output.h): of statistics and of records. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "output.h"

int output_open(struct output *ret, const char *path)
{
    *ret = (struct output){ .path = path, .fd = open(path, O_WRONLY | O_CLOEXEC) };
    if (ret->fd < 0 && errno == ENOENT) {
        /* Without O_EXCL, which refuses a symbolic link to a file that does not exist. */
        ret->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        ret->is_new = ret->fd >= 0;
    }
    return ret->fd < 0 ? -errno : 0;
}

int output_empty(const struct output *output)
{
    return ftruncate(output->fd, 0) && errno != EINVAL ? -errno : 0;
}

void output_drop(const struct output *output)
{
    char *made = output->is_new ? realpath(output->path, NULL) : NULL;

    close(output->fd);
    if (made) {
        unlink(made);
    }
    free(made);
}
