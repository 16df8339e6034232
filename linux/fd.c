/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a descriptor is still the file that we opened (fd.h). Files of one kind
 * without a name share an inode before kernel 5.12: there one userfaultfd looks
 * like the other.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

void ww_fd_init(struct ww_fd *ret, int fd)
{
    struct stat stat;

    *ret = (struct ww_fd){ .fd = -1 };
    if (fd >= 0 && !fstat(fd, &stat)) {
        *ret = (struct ww_fd){ .fd = fd, .dev = stat.st_dev, .ino = stat.st_ino };
    }
}

int ww_fd_take(struct ww_fd *ret, int fd)
{
    int err = 0;

    errno = fd < 0 ? errno : 0;
    ww_fd_init(ret, fd);
    if (ret->fd < 0) {
        err = -errno;
        if (fd >= 0) {
            close(fd);
        }
    }
    return err;
}

bool ww_fd_is_ours(const struct ww_fd *fd)
{
    struct stat stat;

    return fd->fd >= 0 && !fstat(fd->fd, &stat) && stat.st_dev == fd->dev && stat.st_ino == fd->ino;
}

void ww_fd_close(struct ww_fd *fd)
{
    if (ww_fd_is_ours(fd)) {
        close(fd->fd);
    }
    fd->fd = -1;
}
