/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a descriptor still refers to the file that we opened (fd.h). Device and inode are not enough: every
 * open of /proc/self/pagemap has the same ones, and so have most kinds of anonymous files. A mark must belong
 * to the open file description, which dup() shares and another open() does not. There are three:
 *
 *   position   We read /proc/PID/pagemap, mem and kpageflags by pread() and ioctl(), so their
 *              file position is free. It gets a number that no other file has, and no other
 *              description of ours either, not even of another copy of the library.
 *   inode      Each userfaultfd has an inode of its own since 5.12. The kernel reuses an
 *              inode number only after 2^32 more.
 *   signal     Files with neither (epoll, clear_refs, an older userfaultfd) are compared by
 *              device, inode, and the signal of F_SETSIG, which nobody sets on files that
 *              send none. There are only 64 signals. So for each descriptor number we also
 *              record the serial of our latest opening: an earlier one cannot be ours.
 *
 * kcmp() would also tell, but many containers deny it.
 *
 * One race remains: between the check and the use, another thread of the program may close the number and
 * open a file of its own under it. No system call does both.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/fd.h"

#define NR_SIGNALS 64   /* 1 to 64 */
#define NR_NUMBERS 1024 /* descriptor numbers whose latest serial is recorded */

static atomic_uint nr_serials;
static atomic_uint last_serial[NR_NUMBERS];

/* Contains the serial, and the address at which this copy of the library lies. At least 2^62, which is
 * beyond the end of any file. */
static int64_t secret_position(uint32_t serial)
{
    uint64_t place = (uintptr_t)&nr_serials * UINT64_C(0x9e3779b97f4a7c15);

    return INT64_C(1) << 62 | (int64_t)((place >> 32 & 0x3fffffff) << 32) | serial;
}

static bool take_position(struct ww_fd *fd)
{
    int64_t position = secret_position(fd->serial);

    if (lseek64(fd->fd, position, SEEK_SET) != position || lseek64(fd->fd, 0, SEEK_CUR) != position) {
        return false;
    }
    fd->position = position;
    return true;
}

/* Whether the file has an inode of its own. Anonymous files of one kind either share one inode with an
 * eventfd or have one each. If no eventfd can be opened, the answer is no. */
static bool has_own_inode(const struct stat *stat)
{
    struct stat other;
    int fd;
    bool own;

    if (stat->st_mode & S_IFMT) {
        return false;
    }
    fd = eventfd(0, EFD_CLOEXEC);
    own = fd >= 0 && !fstat(fd, &other) && (other.st_ino != stat->st_ino || other.st_dev != stat->st_dev);
    if (fd >= 0) {
        close(fd);
    }
    return own;
}

static void take_signal(struct ww_fd *fd)
{
    int signal = 1 + fd->serial % NR_SIGNALS;

    if (!fcntl(fd->fd, F_SETSIG, signal)) {
        fd->signal = signal;
    }
}

static void take_over(struct ww_fd *ret, int fd, bool may_move)
{
    struct stat stat;

    *ret = (struct ww_fd){ .fd = -1 };
    if (fd < 0 || fstat(fd, &stat)) {
        return;
    }
    *ret = (struct ww_fd){ .fd = fd, .dev = stat.st_dev, .ino = stat.st_ino };
    ret->serial = atomic_fetch_add(&nr_serials, 1) + 1;
    if (fd < NR_NUMBERS) {
        atomic_store(&last_serial[fd], ret->serial);
    }
    if (!(may_move && S_ISREG(stat.st_mode) && take_position(ret)) && !has_own_inode(&stat)) {
        take_signal(ret);
    }
}

void ww_fd_init(struct ww_fd *ret, int fd)
{
    take_over(ret, fd, true);
}

void ww_fd_init_in_place(struct ww_fd *ret, int fd)
{
    take_over(ret, fd, false);
}

int ww_open_file(const char *path, int flags)
{
    int fd;

    do {
        /* With a mode, so that no fortified function takes its place, which musl does not have. */
        fd = open(path, flags | O_CLOEXEC, 0);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int take(struct ww_fd *ret, int fd, bool may_move)
{
    int err = 0;

    errno = 0;
    take_over(ret, fd, may_move);
    if (ret->fd < 0) {
        err = fd < 0 ? fd : -errno;
        if (fd >= 0) {
            close(fd);
        }
    }
    return err;
}

int ww_fd_take(struct ww_fd *ret, int fd)
{
    return take(ret, fd, true);
}

int ww_fd_take_in_place(struct ww_fd *ret, int fd)
{
    return take(ret, fd, false);
}

static int look_at_inode(const struct ww_fd *fd)
{
    struct stat stat;

    if (fstat(fd->fd, &stat)) {
        return errno == EBADF ? 0 : -errno;
    }
    return stat.st_dev == fd->dev && stat.st_ino == fd->ino;
}

static int look_at_signal(const struct ww_fd *fd)
{
    int signal = fcntl(fd->fd, F_GETSIG);

    return signal < 0 ? errno == EBADF ? 0 : -errno : signal == fd->signal;
}

int ww_fd_look(const struct ww_fd *fd)
{
    int result;

    if (fd->fd < 0 || (fd->fd < NR_NUMBERS && atomic_load(&last_serial[fd->fd]) != fd->serial)) {
        return 0;
    }
    if (fd->position) {
        off64_t position = lseek64(fd->fd, 0, SEEK_CUR);

        return position < 0 && errno != EBADF && errno != ESPIPE ? -errno : position == fd->position;
    }
    result = look_at_inode(fd);
    return result > 0 && fd->signal ? look_at_signal(fd) : result;
}

bool ww_fd_is_ours(const struct ww_fd *fd)
{
    return ww_fd_look(fd) > 0;
}

void ww_fd_close(struct ww_fd *fd)
{
    if (ww_fd_is_ours(fd)) {
        close(fd->fd);
    }
    fd->fd = -1;
}

bool ww_fd_replace(int fd, struct ww_fd *ret_other)
{
    int other = eventfd(0, EFD_CLOEXEC);
    bool replaced = dup3(other, fd, O_CLOEXEC) >= 0;

    if (replaced) {
        ww_fd_init(ret_other, fd);
    } else {
        close(fd);
    }
    if (other >= 0) {
        close(other);
    }
    return replaced;
}
