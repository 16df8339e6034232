/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a descriptor is still the file that we opened (fd.h). Device and inode do
 * not tell: each open of /proc/self/pagemap has the same ones, and so have all files
 * without a name of most kinds. What tells belongs to the open file description, which
 * a dup() shares and another open() does not; one of
 *
 *   position   /proc/PID/pagemap, mem and kpageflags are read by pread() and ioctl()s, and
 *              the position is free: it becomes a number that no file has and no other
 *              description of ours, also of another copy of the library in the process
 *   inode      each userfaultfd has its own since 5.12, and the kernel gives no number of
 *              an inode twice before 2^32 more are gone
 *   signal     where there is neither (epoll, clear_refs, an older userfaultfd): device,
 *              inode, and the signal of F_SETSIG, which nobody sets on files that send
 *              none. There are 64 of them, so each number also keeps the turn of the last
 *              opening of ours that got it, which an earlier one is not
 *
 * kcmp() would tell as well, and is denied in many containers.
 *
 * What cannot be excluded: between the look and what follows, another thread of the program
 * closes the number and opens a file of its own by it. There is no call that does both.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/fd.h"

#define NR_SIGNALS 64   /* 1 to 64 */
#define NR_NUMBERS 1024 /* whose turns are kept */

static atomic_uint nr_turns;
static atomic_uint last_turn[NR_NUMBERS];

/* The turn is in it, and where this copy of the library lies: 2^62 and more, which is beyond any file's end.
 */
static int64_t secret_position(uint32_t turn)
{
    uint64_t place = (uintptr_t)&nr_turns * UINT64_C(0x9e3779b97f4a7c15);

    return INT64_C(1) << 62 | (int64_t)((place >> 32 & 0x3fffffff) << 32) | turn;
}

static bool take_position(struct ww_fd *fd)
{
    int64_t position = secret_position(fd->turn);

    if (lseek64(fd->fd, position, SEEK_SET) != position || lseek64(fd->fd, 0, SEEK_CUR) != position) {
        return false;
    }
    fd->position = position;
    return true;
}

/* Whether no other file has its inode: files of one kind without a name share one with an eventfd, or
 * have their own. If that cannot be asked, they share. */
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
    int signal = 1 + fd->turn % NR_SIGNALS;

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
    ret->turn = atomic_fetch_add(&nr_turns, 1) + 1;
    if (fd < NR_NUMBERS) {
        atomic_store(&last_turn[fd], ret->turn);
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

int ww_fd_take(struct ww_fd *ret, int fd)
{
    int err = 0;

    errno = 0;
    ww_fd_init(ret, fd);
    if (ret->fd < 0) {
        err = fd < 0 ? fd : -errno;
        if (fd >= 0) {
            close(fd);
        }
    }
    return err;
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

    if (fd->fd < 0 || (fd->fd < NR_NUMBERS && atomic_load(&last_turn[fd->fd]) != fd->turn)) {
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
