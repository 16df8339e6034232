/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our descriptors in a program that is not ours. The program may close every descriptor that it did not open,
 * and reuse the number for a file of its own or for another context of ours. So before we use or close a
 * number, we check that it still refers to what we opened (fd.c).
 */
#ifndef WW_LINUX_KERNEL_FD_H
#define WW_LINUX_KERNEL_FD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* How often a thread that sleeps in a descriptor checks that the program has not closed it. */
#define WW_FD_RECHECK_MS 200

struct ww_fd {
    int fd; /* -1: none */
    dev_t dev;
    ino_t ino;
    int64_t position; /* file position that it was given; 0: none */
    int signal;       /* signal that it was given (F_SETSIG); 0: none */
    uint32_t serial;  /* counts our openings */
};

/* Takes over a descriptor; a negative @fd means none. If fstat() fails, the descriptor is treated as not
 * ours. Moves the file position, so nobody may read or write from the position on. */
void ww_fd_init(struct ww_fd *ret, int fd);

/* The same for a descriptor that was just opened; @fd may also be the negative errno of a failed open.
 * Returns 0 or a negative errno. If fstat() fails, closes the descriptor. */
int ww_fd_take(struct ww_fd *ret, int fd);

/* The same, and leaves the position: for files that can only be read from their beginning. */
int ww_fd_take_in_place(struct ww_fd *ret, int fd);

/* open(2) with O_CLOEXEC. A descriptor or a negative errno. */
int ww_open_file(const char *path, int flags);

/* As ww_fd_init(), and leaves the position. */
void ww_fd_init_in_place(struct ww_fd *ret, int fd);

/* Whether the number still refers to what was taken over: 1, 0, or a negative errno if a sandbox denies
 * the check. */
int ww_fd_look(const struct ww_fd *fd);

/* Whether it certainly does. */
bool ww_fd_is_ours(const struct ww_fd *fd);

/* Closes the descriptor if it is ours. */
void ww_fd_close(struct ww_fd *fd);

/* Closes the file of a descriptor whose number other threads go on to use. Another file of ours takes the
 * number, so that they use no foreign file by it: true, and *@ret_other is that. False: there is none, and
 * the number is free. */
bool ww_fd_replace(int fd, struct ww_fd *ret_other);

#endif
