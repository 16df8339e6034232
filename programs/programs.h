/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the `writewatch` command share. main.c reads the command line and dispatches to a file
 * for each subcommand. common/survey.c finds out what is here, launch/child.c waits for a command, counters/
 * reads what the preload publishes, bench/ measures (see bench/bench.h). The command stands on the public
 * contract alone: nothing here may include the engine's internal headers; bench/bare.c takes the kernel's own
 * interface from uapi.h.
 */
/*
 * What the files of the `writewatch` command share. main.c reads the command
 * line and dispatches, common/survey.c finds out what is here, probe.c shows it, run.c
 * puts the preload in front of a program (launch/child.c waits for it, counters/summary.c says what it did,
 * over counters/counters.c, which reads what the preload publishes), scan.c shows the pages of a process,
 * bench.c measures (over bench/, see bench/bench.h). The command stands on the public contract alone: nothing
 * here may include the engine's internal headers; bench/bare.c takes the kernel's own interface from uapi.h.
 */
#ifndef WW_PROGRAMS_H
#define WW_PROGRAMS_H

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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
    OPTION_PID,
    OPTION_RANGE,
    OPTION_REQUIRE,
    OPTION_ANY,
    OPTION_EXCLUDE,
    OPTION_RETURN,
    OPTION_MAX_PAGES,
    OPTION_QUICK,
    OPTION_WORKLOAD,
    OPTION_ROUNDS,
    OPTION_PLOT,
    OPTION_STATS,
    OPTION_INTERVAL,
    OPTION_OUTPUT,
    OPTION_SECONDS,
    OPTION_WINE,
};

/* main.c. @command is the subcommand, NULL for the program itself. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
int next_option(const char *command, int argc, char **argv, const struct option *options);
/* Values of options: the number of a process, seconds within bounds. 0 or -EINVAL. */
int parse_pid(const char *text, pid_t *ret);
int parse_seconds(const char *text, double least, double most, double *ret);
int show(const char *text);
int finish_output(int status);

/* ---- common/survey.c ---- */

#define PRELOAD_NAME "libwritewatch-ntdll.so"
#define NR_PLACES 4

/* What the preload takes if none is forced (dlls/ntdll/attach.c). */
#define WINE_BACKEND "uffd"

/* What ww_probe() says, all of it. */
struct backends {
    struct ww_probe probe[8];
    size_t nr;
};

/* Where the preload may be, in the order of preference, and which of it is the one. */
struct preload {
    char place[NR_PLACES][PATH_MAX]; /* "" where there is none */
    const char *path;                /* absolute; NULL: not found */
    char entry[PATH_MAX]; /* what LD_PRELOAD has to hold: the path, or one with $LIB for both word sizes */
};

/* A number the kernel may not tell us. */
struct sysctl {
    bool known;
    long value;
};

/* The directory of this program, without a slash at the end. False: unknown. */
bool own_directory(char *ret, size_t size);
struct sysctl read_sysctl(const char *path);
void find_preload(struct preload *ret);
const char *preload_obstacle(const struct preload *preload);
void probe_backends(struct backends *ret);
const struct ww_probe *find_backend(const struct backends *backends, const char *name);
const char *forced_backend(void);
bool preload_is_disabled(void);
struct ww_probe wine_backend(const struct backends *backends);

/* ---- launch/child.c: one command at a time ---- */

#define CHILD_FOR_EVER UINT64_MAX

/* Starts it; signals that come to us from now on are passed on. 0 or a negative errno: it does not run. */
int child_start(char **command);

/* Waits for its end for at most so long. True: it has ended, with this status, as waitpid(2) gives it. */
bool child_wait(uint64_t limit_ns, int *ret_status);

/* As a shell has it. */
int child_exit_code(int status);

/* Ends this program by the signal that ended the command, or returns the exit code. */
int child_end_as(int status);

/* ---- run.c, for others that run a command ---- */

/* LD_PRELOAD and the backend for what is started from now on; says what is amiss. False: it runs without. */
bool run_prepare(const char *backend, bool verbose);

/* Says so if there is no backend of this name. */
bool check_backend(const char *command, const char *name);

/* Says that a command cannot be run. Returns the exit code for it. */
int run_failed(const char *command, int err);

/* ---- the subcommands ---- */

extern const char bench_help[], doctor_help[], plot_help[], probe_help[], record_help[], run_help[],
    scan_help[], top_help[];
int bench_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int plot_main(int argc, char **argv);
int probe_main(int argc, char **argv);
int record_main(int argc, char **argv);
int run_main(int argc, char **argv);
int scan_main(int argc, char **argv);
int top_main(int argc, char **argv);

#endif
