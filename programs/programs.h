/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the `writewatch` command share. main.c reads the command
 * line and dispatches, probe.c knows what works here, run.c puts the preload in
 * front of a program. The command stands on the public contract alone: nothing
 * here may include the engine's internal headers.
 */
#ifndef WW_PROGRAMS_H
#define WW_PROGRAMS_H

#include <getopt.h>
#include <limits.h>
#include <stddef.h>

#include "writewatch.h"

#define PROGRAM "writewatch"

/* Exit codes; those of run are env(1)'s where the command cannot be executed. */
enum exit_code {
    EXIT_USAGE = 1,
    EXIT_UNUSABLE = 77, /* as "skipped" for test programs */
    EXIT_CANNOT_EXECUTE = 126,
    EXIT_NOT_FOUND = 127,
};

/* Values of long options; beyond the characters, see next_option(). */
enum option_value {
    OPTION_END = -1,
    OPTION_BAD = -2, /* the message is out already */
    OPTION_HELP = 256,
    OPTION_VERSION,
    OPTION_BACKEND,
    OPTION_VERBOSE,
    OPTION_JSON,
};

/* main.c. @command is the subcommand, NULL for the program itself. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
int next_option(const char *command, int argc, char **argv, const struct option *options);
int show(const char *text);
int finish_output(int status);

/* What ww_probe() says, all of it. */
struct backends {
    struct ww_probe probe[8];
    size_t nr;
};

/* probe.c */
extern const char probe_help[];
int probe_main(int argc, char **argv);
void probe_backends(struct backends *ret);
const struct ww_probe *find_backend(const struct backends *backends, const char *name);
struct ww_probe wine_backend(const struct backends *backends);

/* Where the preload may be, in the order of preference, and which of it is the one. */
struct preload {
    char place[3][PATH_MAX]; /* "" where there is none */
    const char *path;        /* absolute; NULL: not found */
};

/* run.c */
extern const char run_help[];
int run_main(int argc, char **argv);
void find_preload(struct preload *ret);
const char *preload_obstacle(const struct preload *preload);

#endif
