/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running a command with the preload: prepare.c puts it in front, child.c runs the command and waits for it,
 * spawn.c executes it. */
#ifndef WW_PROGRAMS_LAUNCH_H
#define WW_PROGRAMS_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- prepare.c ---- */

/* Sets LD_PRELOAD and the backend for programs that start from now on. Warns if it cannot. From now on
 * SIGPIPE is ignored: messages that nobody reads end neither this program nor the command's chance to run. */
void run_prepare(const char *backend, bool verbose);

/* Sets SIGPIPE to what it was, where the command is about to be executed. */
void restore_sigpipe(void);

/* Returns GO_ON, or prints a message if there is no backend of this name. */
int check_backend(const char *command, const char *name);

/* Prints that a command cannot be run. Returns the exit code for it. */
int run_failed(const char *command, int err);

/* ---- spawn.c ---- */

/* Executes a command in a child, which calls @prepare before. 0 or a negative errno, of execvp(3) too. */
int spawn_command(char *const command[], void (*prepare)(const void *arg), const void *arg, pid_t *ret);

/* ---- child.c: one command at a time ---- */

#define CHILD_FOR_EVER UINT64_MAX

/* Starts the command, and passes signals on to it from then on. 0 or a negative errno. */
int child_start(char **command);

/* Waits for its end, at most so long. True: it has ended with this status, as of waitpid(2). */
bool child_wait(uint64_t limit_ns, int *ret_status);

/* The exit code that a shell reports for a status. */
int child_exit_code(int status);

/* Ends this program by the signal that ended the command, or returns the exit code. */
int child_end_as(int status);

#endif
