/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starts a command while this program stays, passes signals on to it, waits for it, and ends as it ended: a
 * shell that looks at our exit code finds the command's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/proc.h"
#include "launch.h"

/* 0: no command runs. It is not reaped before this is 0: its number may be another process's from then on. */
static volatile pid_t child;
static sigset_t child_signal;

static void pass_on(int number)
{
    int saved = errno;

    if (child > 0) {
        kill(child, number);
    }
    errno = saved;
}

/*
 * What this program does with signals while the command runs. An ignored signal stays ignored, except
 * SIGCHLD, without which waitpid() fails.
 *
 * A signal that is passed on reaches the command twice if it went to the whole process group, as timeout(1)
 * and a shell at a hang-up send it: nothing tells the receiver whether it got it alone. The kernel's own
 * SIGHUP is passed on as well, because at a hang-up it goes to the leader of a session alone, which under
 * `xterm -e` is this program.
 */
static struct {
    int number;
    void (*handler)(int);
    struct sigaction before; /* what the command must find */
} signals[] = {
    /* The terminal sends these to the command as well, and the command decides whether to end. */
    { .number = SIGINT, .handler = SIG_IGN },  { .number = SIGQUIT, .handler = SIG_IGN },
    { .number = SIGTERM, .handler = pass_on }, { .number = SIGHUP, .handler = pass_on },
    { .number = SIGUSR1, .handler = pass_on }, { .number = SIGUSR2, .handler = pass_on },
    { .number = SIGCHLD, .handler = SIG_DFL },
};

#define NR_SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* Blocks all of the signals, so that none is lost before there is a command to pass it on to. */
static void set_signals(sigset_t *ret_before)
{
    sigset_t block;

    sigemptyset(&block);
    for (size_t i = 0; i < NR_SIGNALS; i++) {
        sigaddset(&block, signals[i].number);
    }
    sigprocmask(SIG_BLOCK, &block, ret_before);
    for (size_t i = 0; i < NR_SIGNALS; i++) {
        const struct sigaction action = { .sa_handler = signals[i].handler, .sa_flags = SA_RESTART };

        sigaction(signals[i].number, NULL, &signals[i].before);
        if (signals[i].before.sa_handler != SIG_IGN || signals[i].number == SIGCHLD) {
            sigaction(signals[i].number, &action, NULL);
        }
    }
}

/* Gives the command its signals as they were. */
static void restore_signals(const void *mask)
{
    for (size_t i = 0; i < NR_SIGNALS; i++) {
        sigaction(signals[i].number, &signals[i].before, NULL);
    }
    restore_sigpipe();
    sigprocmask(SIG_SETMASK, mask, NULL);
}

int child_start(char **command)
{
    sigset_t mask, own;
    pid_t pid;
    int err;

    set_signals(&mask);
    err = spawn_command(command, restore_signals, &mask, &pid);
    if (!err) {
        child = pid;
    }
    /* SIGCHLD stays blocked for child_wait(). */
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    own = mask;
    sigaddset(&own, SIGCHLD);
    sigprocmask(SIG_SETMASK, &own, NULL);
    return err;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = { .si_pid = 0 };

    return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
}

bool child_wait(uint64_t limit_ns, int *ret_status)
{
    const uint64_t began_ns = now_ns();
    const pid_t pid = child;
    uint64_t past_ns = 0;

    /* SIGCHLD is blocked, so it is not missed between the two calls. */
    while (!has_ended(pid)) {
        struct timespec rest;

        if (past_ns >= limit_ns) {
            return false;
        }
        rest.tv_sec = (limit_ns - past_ns) / 1000000000;
        rest.tv_nsec = (limit_ns - past_ns) % 1000000000;
        sigtimedwait(&child_signal, NULL, limit_ns == CHILD_FOR_EVER ? NULL : &rest);
        past_ns = now_ns() - began_ns;
    }
    child = 0;
    waitpid(pid, ret_status, 0);
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
