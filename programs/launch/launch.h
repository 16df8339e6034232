/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running a command with the preload: prepare.c puts it in front, child.c runs the command and waits for it.
 */
#ifndef WW_PROGRAMS_LAUNCH_H
#define WW_PROGRAMS_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

/* ---- prepare.c ---- */

/* LD_PRELOAD and the backend for what is started from now on; says why if it runs without them. */
void run_prepare(const char *backend, bool verbose);

/* Returns GO_ON, or says that there is no backend of this name. */
int check_backend(const char *command, const char *name);

/* Says that a command cannot be run. Returns the exit code for it. */
int run_failed(const char *command, int err);

/* ---- child.c: one command at a time ---- */

#define CHILD_FOR_EVER UINT64_MAX

/* Starts it; signals that come to us from now on are passed on. 0 or a negative errno: it does not run. */
int child_start(char **command);

/* Waits for its end for at most so long. True: it has ended, with this status, as waitpid(2) gives it. */
bool child_wait(uint64_t limit_ns, int *ret_status);

/* As a shell has it. */
int child_exit_code(int status);

/* Ends this program by the signal that ended the command, or returns the exit code. */
int child_end_as(int status);

#endif
