/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starts a command while this program stays, passes signals on to it, waits for it, and ends as it ended: a
 * shell that looks at our exit code finds the command's.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/proc.h"
#include "launch.h"

extern char **environ;

static volatile pid_t child;
static sigset_t child_signal;

/* The terminal sends these to the command as well, and the command decides whether to end. */
static const int left_alone[] = { SIGINT, SIGQUIT };
/* Only this program receives these. */
static const int passed_on[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static void pass_on(int number)
{
    int saved = errno;

    if (child > 0) {
        kill(child, number);
    }
    errno = saved;
}

/* Sets our signals, and collects what the command must find as it was: signals to reset, and the mask. An
 * ignored signal stays ignored, except SIGCHLD, without which waitpid() fails. Blocks SIGCHLD for
 * child_wait(). */
static void set_signals(sigset_t *ret_default, sigset_t *ret_mask)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN },
                     pass = { .sa_handler = pass_on, .sa_flags = SA_RESTART }, old;

    sigemptyset(ret_default);
    for (size_t i = 0; i < NR(left_alone); i++) {
        sigaction(left_alone[i], &ignore, &old);
        if (old.sa_handler != SIG_IGN) {
            sigaddset(ret_default, left_alone[i]);
        }
    }
    for (size_t i = 0; i < NR(passed_on); i++) {
        sigaction(passed_on[i], NULL, &old);
        if (old.sa_handler != SIG_IGN) {
            sigaction(passed_on[i], &pass, NULL);
            sigaddset(ret_default, passed_on[i]);
        }
    }
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_signal, ret_mask);
}

int child_start(char **command)
{
    posix_spawnattr_t attr;
    sigset_t signals, mask;
    pid_t pid;
    int err;

    set_signals(&signals, &mask);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &signals);
    posix_spawnattr_setsigmask(&attr, &mask);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    err = posix_spawnp(&pid, command[0], NULL, &attr, command, environ);
    posix_spawnattr_destroy(&attr);
    if (!err) {
        child = pid;
    }
    return -err;
}

bool child_wait(uint64_t limit_ns, int *ret_status)
{
    const uint64_t began_ns = now_ns();
    uint64_t past_ns = 0;

    /* SIGCHLD is blocked, so it is not missed between the two calls. */
    while (!waitpid(child, ret_status, WNOHANG)) {
        struct timespec rest;

        if (past_ns >= limit_ns) {
            return false;
        }
        rest.tv_sec = (limit_ns - past_ns) / 1000000000;
        rest.tv_nsec = (limit_ns - past_ns) % 1000000000;
        sigtimedwait(&child_signal, NULL, limit_ns == CHILD_FOR_EVER ? NULL : &rest);
        past_ns = now_ns() - began_ns;
    }
    return true;
}

int child_exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_end_as(int status)
{
    const struct rlimit no_core = { .rlim_cur = 0 };

    if (WIFSIGNALED(status)) {
        /* The core file, if any, is the command's. */
        setrlimit(RLIMIT_CORE, &no_core);
        fflush(NULL);
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return child_exit_code(status);
}
