/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Executes a command in a child as execvp(3) does it: `run` without --stats calls that itself, and the
 * command must not notice the difference. posix_spawnp(3) refuses scripts without "#!".
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"

/* Waits until the command is executed, which closes the pipe, or its error comes. */
static int read_error(int fd)
{
    int err = 0;

    while (read(fd, &err, sizeof(err)) < 0 && errno == EINTR) {
        ;
    }
    return err;
}

int spawn_command(char *const command[], void (*prepare)(const void *arg), const void *arg, pid_t *ret)
{
    int ends[2], err;

    if (pipe2(ends, O_CLOEXEC)) {
        return -errno;
    }
    *ret = fork();
    if (!*ret) {
        prepare(arg);
        execvp(command[0], command);
        err = errno;
        _exit(write(ends[1], &err, sizeof(err)) != sizeof(err));
    }
    err = *ret < 0 ? errno : 0;
    close(ends[1]);
    if (!err) {
        err = read_error(ends[0]);
        while (err && waitpid(*ret, NULL, 0) < 0 && errno == EINTR) {
            ;
        }
    }
    close(ends[0]);
    return -err;
}
