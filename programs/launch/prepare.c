/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts the preload in front of LD_PRELOAD for a command that is about to run. If something prevents that, one
 * line says so, and the command runs without it. The preload decides inside the program whether it steps in.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/options.h"
#include "../common/survey.h"
#include "launch.h"

/* An answer takes a few milliseconds. */
#define ASK_MS 20000

static void warn_without(const char *problem)
{
    fprintf(stderr, PROGRAM ": %s; running without it\n", problem);
}

static void warn_not_found(const struct preload *preload)
{
    const char *comma = "";

    fprintf(stderr, PROGRAM ": " PRELOAD_NAME " not found (looked in ");
    for (size_t i = 0; i < NR_PLACES; i++) {
        const char *place = preload->place[i];

        if (place[0]) {
            fprintf(stderr, "%s%.*s", comma, (int)(strrchr(place, '/') - place), place);
            comma = ", ";
        }
    }
    fprintf(stderr, "); running without it\n");
}

/* Puts the preload in front of the present value of LD_PRELOAD. False: LD_PRELOAD is unchanged. */
static bool add_preload(void)
{
    const char *present = getenv("LD_PRELOAD"), *obstacle;
    struct preload preload;
    char *value;
    int len, err;

    find_preload(&preload);
    if (!preload.path) {
        warn_not_found(&preload);
        return false;
    }
    obstacle = preload_obstacle(&preload);
    if (obstacle) {
        fprintf(stderr, PROGRAM ": '%s': %s; running without it\n", preload.path, obstacle);
        return false;
    }
    present = present ? present : "";
    len = asprintf(&value, "%s%s%s", preload.entry, present[0] ? ":" : "", present);
    if (len < 0) {
        warn_without("no memory to set LD_PRELOAD");
        return false;
    }
    err = setenv("LD_PRELOAD", value, 1);
    free(value);
    if (err) {
        warn_without("no memory to set LD_PRELOAD");
    }
    return !err;
}

/* Warns if the preload will leave write watches to Wine. */
static void warn_if_unusable(const struct backends *backends)
{
    struct ww_probe wine = wine_backend(backends);

    if (wine.error) {
        fprintf(stderr, PROGRAM ": write watches stay with Wine: %s%s%s%s\n", wine.reason,
                wine.remedy ? " (" : "", wine.remedy ? wine.remedy : "", wine.remedy ? ")" : "");
    }
}

#define ANSWER_BYTES 128

/*
 * Runs @ask in a child with a time limit: a seccomp filter may kill whatever probes a backend, and the
 * command must run all the same. Returns its answer, or "" if there was none.
 */
static void in_child(void (*ask)(const void *arg, char *ret_answer), const void *arg,
                     char ret_answer[ANSWER_BYTES])
{
    struct pollfd end;
    int fds[2];
    pid_t child;

    memset(ret_answer, 0, ANSWER_BYTES);
    if (pipe2(fds, O_CLOEXEC)) {
        return;
    }
    child = fork();
    if (!child) {
        ask(arg, ret_answer);
        _exit(write(fds[1], ret_answer, ANSWER_BYTES) != ANSWER_BYTES);
    }
    close(fds[1]);
    end = (struct pollfd){ .fd = fds[0], .events = POLLIN };
    while (child > 0 && poll(&end, 1, ASK_MS) < 0 && errno == EINTR) {
        ;
    }
    if (child > 0) {
        if (!end.revents) {
            kill(child, SIGKILL);
        }
        if (read(fds[0], ret_answer, ANSWER_BYTES) != ANSWER_BYTES) {
            ret_answer[0] = '\0';
        }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
            ;
        }
    }
    close(fds[0]);
}

static void warn_of_backends(const void *arg, char *ret_answer)
{
    struct backends backends;

    (void)arg;
    (void)ret_answer;
    probe_backends(&backends);
    warn_if_unusable(&backends);
}

static struct sigaction pipe_before;

void restore_sigpipe(void)
{
    sigaction(SIGPIPE, &pipe_before, NULL);
}

void run_prepare(const char *backend, bool verbose)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    char nothing[ANSWER_BYTES];

    sigaction(SIGPIPE, &ignore, &pipe_before);
    if ((backend && setenv("WW_BACKEND", backend, 1)) || (verbose && setenv("WW_DEBUG", "1", 1))) {
        warn_without("no memory to set the preload's options");
    } else if (add_preload() && (verbose || !preload_is_disabled())) {
        in_child(warn_of_backends, NULL, nothing);
    }
}

int run_failed(const char *command, int err)
{
    fprintf(stderr, PROGRAM ": cannot run '%s': %s\n", command, strerror(err));
    return err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

/* Answers with the names of all backends, unless @name is one of them. */
static void look_for_backend(const void *name, char *ret_answer)
{
    struct backends backends;

    probe_backends(&backends);
    if (find_backend(&backends, name)) {
        return;
    }
    for (size_t i = 0; i < backends.nr; i++) {
        append_name(ret_answer, ANSWER_BYTES, ", ", backends.probe[i].name);
    }
}

int check_backend(const char *command, const char *name)
{
    char names[ANSWER_BYTES];

    in_child(look_for_backend, name, names);
    return names[0] ? usage_error(command, "unknown backend '%s'; there are: %s", name, names) : GO_ON;
}
