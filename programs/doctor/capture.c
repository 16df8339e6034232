/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a program in a process group of its own and reads its output until it ends. Does not wait for what the
 * program leaves behind, such as a server that holds the outputs open.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../launch/launch.h"
#include "capture.h"

#define TICK_MS 50

/* A process group of its own, so that the time limit ends what the program has started, too. */
static void redirect(const void *output)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    dup2(nothing, STDIN_FILENO);
    dup2(*(const int *)output, STDOUT_FILENO);
    dup2(*(const int *)output, STDERR_FILENO);
}

/* Reads all that is there, and discards what does not fit. */
static void drain(int fd, char *ret, size_t size, size_t *len)
{
    char rest[512] = "";
    ssize_t nr;

    do {
        size_t room = size - 1 - *len;

        nr = read(fd, room ? ret + *len : rest, room ? room : sizeof(rest));
        *len += nr > 0 && room ? nr : 0;
    } while (nr > 0);
    ret[*len] = '\0';
}

static int wait_for_end(pid_t pid, int fd, unsigned int seconds, char *ret, size_t size)
{
    struct pollfd event = { .fd = fd, .events = POLLIN };
    time_t last = time(NULL) + seconds;
    size_t len = 0;
    int status;
    pid_t ended;

    do {
        poll(&event, 1, TICK_MS);
        if (event.revents & POLLHUP) {
            /* All outputs are closed, so poll() no longer waits. */
            nanosleep(&(struct timespec){ .tv_nsec = TICK_MS * 1000000 }, NULL);
        }
        drain(fd, ret, size, &len);
        ended = waitpid(pid, &status, WNOHANG);
    } while (!ended && time(NULL) <= last);
    if (!ended) {
        kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
        return CAPTURE_TIMED_OUT;
    }
    drain(fd, ret, size, &len);
    return child_exit_code(status);
}

int capture(char *const command[], unsigned int seconds, char *ret, size_t size)
{
    int ends[2], status;
    pid_t pid;

    ret[0] = '\0';
    signal(SIGCHLD, SIG_DFL); /* where it is ignored, waitpid() fails */
    if (pipe2(ends, O_CLOEXEC)) {
        return -errno;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    status = spawn_command(command, redirect, &ends[1], &pid);
    close(ends[1]);
    if (!status) {
        status = wait_for_end(pid, ends[0], seconds, ret, size);
    }
    close(ends[0]);
    return status;
}
