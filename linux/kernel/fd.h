/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of ours in a process that is not ours: a program may close all that
 * it did not open, and get their numbers for its own files, or another context of
 * ours gets them. Before a number is used or closed, it is looked at whether it is
 * still what we opened (fd.c).
 */
#ifndef WW_LINUX_KERNEL_FD_H
#define WW_LINUX_KERNEL_FD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ww_fd {
    int fd; /* -1: none */
    dev_t dev;
    ino_t ino;
    int64_t position; /* that the file was given; 0: it takes none */
    int signal;       /* that it was given, 0: none */
    uint32_t turn;    /* of this opening among ours */
};

/* Takes a descriptor over, or, if @fd is negative, none. One that cannot be looked at never counts as ours.
 * Nobody may read or write the file from its position on, which is moved. */
void ww_fd_init(struct ww_fd *ret, int fd);

/* The same with a descriptor that has just been opened, or the negative errno for which there is none: 0, or
 * a negative errno. A descriptor that cannot be looked at is closed. */
int ww_fd_take(struct ww_fd *ret, int fd);

/* open(2) with O_CLOEXEC. A descriptor or a negative errno. */
int ww_open_file(const char *path, int flags);

/* As ww_fd_init(), and the position stays: for files that can only be read from their beginning on. */
void ww_fd_init_in_place(struct ww_fd *ret, int fd);

/* Whether the number still stands for what was taken over: 1, 0, or a negative errno where that is denied. */
int ww_fd_look(const struct ww_fd *fd);

/* Whether it surely does. */
bool ww_fd_is_ours(const struct ww_fd *fd);

/* Closes it if it is ours. */
void ww_fd_close(struct ww_fd *fd);

#endif
