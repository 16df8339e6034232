/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch run`: becomes the command, with the preload in front of LD_PRELOAD (launch/prepare.c). With
 * --stats the command is a child, and in the end a summary says what it did with its write watches. The
 * command runs in any case, unless an option asks for something that is not available.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/options.h"
#include "common/output.h"
#include "common/proc.h"
#include "counters/counters.h"
#include "counters/summary.h"
#include "launch/launch.h"
#include "programs.h"

const char run_help[] =
    "usage: writewatch run [OPTION...] [--] COMMAND [ARG...]\n"
    "\n"
    "Runs COMMAND with the writewatch preload, which gives programs under Wine write\n"
    "watches that the kernel tracks. In other programs it does nothing.\n"
    "\n"
    "  --backend=NAME  uses this backend only (default: uffd; where it does not work,\n"
    "                  Wine's own write watches stay)\n"
    "  --stats[=FILE]  prints to stderr at the end what was watched and what it cost,\n"
    "                  or writes it to FILE as JSON; meanwhile 'writewatch top' shows it\n"
    "  --verbose       the preload prints to stderr what it did\n"
    "  -h, --help      shows this help\n"
    "\n"
    "Options after COMMAND belong to the command.\n"
    "\n"
    "Examples:\n"
    "  writewatch run -- wine game.exe\n"
    "  writewatch run --stats -- wine game.exe\n"
    "  writewatch run -- %command%       # launch option in Steam\n"
    "\n"
    "The exit code is the command's; 127 if it was not found, 126 if it cannot be\n"
    "executed, 1 if these options are wrong or FILE cannot be written.\n";

static int execute(char **command)
{
    restore_sigpipe();
    execvp(command[0], command);
    return run_failed(command[0], errno);
}

/* ---- with statistics ---- */

/* Writes what the processes in the folder have done to the file, or for people to standard error. */
static void tell(const struct counters_folder *folder, double seconds, struct output *file)
{
    struct counters_file *files = NULL;
    size_t nr = 0;
    int err = counters_look_into(folder->path, &files, &nr);

    if (!err && file) {
        err = stats_write(files, nr, seconds, file);
    } else if (!err) {
        stats_print(files, nr, seconds, stderr);
    } else if (file) {
        output_drop(file);
    }
    if (err) {
        fprintf(stderr, PROGRAM ": no statistics%s%s: %s\n", file ? " in " : "", file ? file->path : "",
                strerror(-err));
    }
    counters_close(files, nr);
}

/* Runs the command as a child, and prints the summary when it has ended. */
static int execute_and_tell(char **command, struct output *file)
{
    struct counters_folder folder = { .lock = -1 };
    uint64_t began = now_ns();
    int err = counters_folder_make(&folder), status;

    if (err) {
        fprintf(stderr, PROGRAM ": no statistics: no folder for them: %s\n", strerror(-err));
        if (file) {
            output_drop(file);
        }
        return execute(command);
    }
    err = setenv("WW_STATS", folder.path, 1) ? -errno : child_start(command);
    if (!err) {
        child_wait(CHILD_FOR_EVER, &status);
        tell(&folder, (now_ns() - began) / 1e9, file);
    } else if (file) {
        output_drop(file);
    }
    counters_folder_remove(&folder);
    return err ? run_failed(command[0], -err) : child_end_as(status);
}

/* What the command line asks for. */
struct request {
    const char *backend;
    bool verbose, stats;
    const char *stats_path; /* NULL: for people, on standard error */
};

static int take_stats(const struct option_row *row, const char *text)
{
    struct request *request = row->to;

    request->stats = true;
    request->stats_path = text;
    return GO_ON;
}

int run_main(int argc, char **argv)
{
    struct request request = { .stats = false };
    const struct option_row options[] = {
        { "backend", OPTION_TEXT, .to = &request.backend },
        { "stats", OPTION_OTHER_OR_NOTHING, .to = &request, .take = take_stats },
        { "verbose", OPTION_FLAG, .to = &request.verbose },
        { 0 },
    };
    struct output file;
    int status = read_options("run", run_help, options, argc, argv), err;

    if (status == GO_ON && request.backend) {
        status = check_backend("run", request.backend);
    }
    if (status != GO_ON) {
        return status;
    }
    if (optind >= argc) {
        return usage_error("run", "no command to run");
    }
    if (request.stats_path && !request.stats_path[0]) {
        return usage_error("run", "--stats= needs the name of a file");
    }
    /* If the file cannot be written, the user should learn it before the command has run for hours. */
    err = request.stats_path ? output_open(&file, request.stats_path) : 0;
    if (err) {
        fprintf(stderr, PROGRAM ": cannot write statistics to '%s': %s\n", request.stats_path,
                strerror(-err));
        return EXIT_USAGE;
    }
    run_prepare(request.backend, request.verbose);
    return request.stats ? execute_and_tell(argv + optind, request.stats_path ? &file : NULL)
                         : execute(argv + optind);
}
