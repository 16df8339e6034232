/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chooses the process to look at: the one that --pid names, or the only one that uses write watches among all
 * that this user runs with --stats. If there is none, or more than one, one line says so.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/options.h"
#include "choose.h"

static bool is_running(pid_t pid)
{
    return !kill(pid, 0) || errno != ESRCH;
}

/* Says why a process that --pid names has no counters. */
static int refuse(const char *command, pid_t pid)
{
    if (!is_running(pid)) {
        fprintf(stderr, PROGRAM ": there is no process %d\n", (int)pid);
    } else if (kill(pid, 0)) {
        fprintf(stderr, PROGRAM ": process %d belongs to another user; run '" PROGRAM " %s' as that user\n",
                (int)pid, command);
    } else {
        fprintf(stderr,
                PROGRAM ": process %d publishes nothing; start it with '" PROGRAM
                        " run --stats -- ...', and see "
                        "with --verbose whether the preload attaches\n",
                (int)pid);
    }
    return -ESRCH;
}

static int complain_of_many(const struct counters_file *files, size_t nr)
{
    struct sample *sample = malloc(sizeof(*sample));

    fprintf(stderr, PROGRAM ": several programs use write watches; choose one by --pid:");
    for (size_t i = 0; sample && i < nr; i++) {
        if (is_running(files[i].pid) && counters_in_use(&files[i])) {
            counters_read(&files[i], sample);
            fprintf(stderr, " %d (%s)", (int)sample->pid, sample->name);
        }
    }
    fputc('\n', stderr);
    free(sample);
    return -EINVAL;
}

static int complain_of_none(size_t nr)
{
    if (nr) {
        fprintf(stderr, PROGRAM ": no program that runs with --stats has used write watches yet\n");
    } else {
        fprintf(stderr, PROGRAM ": nothing runs with --stats; start a program with '" PROGRAM
                                " run --stats -- ...'\n");
    }
    return -ENOENT;
}

bool process_has_ended(const struct counters_file *file)
{
    return !is_running(file->pid);
}

int choose_process(const char *command, pid_t pid, struct counters_file *ret)
{
    struct counters_file *files = NULL;
    ssize_t nr = counters_open_all(&files), chosen = -1, running = 0;
    size_t in_use = 0;
    int err = 0;

    if (nr < 0) {
        fprintf(stderr, PROGRAM ": cannot look for programs that run with --stats: %s\n", strerror(-nr));
        return nr;
    }
    for (ssize_t i = 0; i < nr; i++) {
        bool fits = pid ? files[i].pid == pid : counters_in_use(&files[i]);

        if (is_running(files[i].pid)) {
            running++;
            in_use += fits;
            chosen = fits ? i : chosen;
        }
    }
    if (in_use == 1) {
        *ret = files[chosen];
        files[chosen] = files[nr - 1];
        nr--;
    } else {
        err = pid ? refuse(command, pid) : in_use ? complain_of_many(files, nr) : complain_of_none(running);
    }
    counters_close(files, nr);
    return err;
}
