/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch plot`: draws what `writewatch record` has written: pages and time over the time of the run, and
 * a map of dirty memory over time. record/read.c reads, record/draw.c draws; this file chooses the process.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "programs.h"
#include "record/record.h"

const char plot_help[] =
    "usage: writewatch plot [--output=FOLDER] [--pid=PID] FILE\n"
    "\n"
    "Draws a record of 'writewatch record' with gnuplot: pages.svg, pages and time by the\n"
    "second, and heat.png, which parts of memory were dirty when.\n"
    "\n"
    "  --output=FOLDER  where the pictures go (default: FILE.plot)\n"
    "  --pid=PID        this process, if there are several (default: the busiest)\n"
    "  -h, --help       shows this help\n"
    "\n"
    "Example:\n"
    "  writewatch record --output=game.ww -- wine game.exe && writewatch plot game.ww\n"
    "\n"
    "The exit code is 0; 1 if the file is not a record or has nothing to draw, gnuplot is\n"
    "missing or failed, or these options are wrong.\n";

/* Returns the process that @pid names, or the one with most pages. NULL: there is none. */
static const struct recorded_process *choose(const struct record *record, pid_t pid)
{
    const struct recorded_process *best = NULL;

    for (size_t i = 0; i < record->nr; i++) {
        const struct recorded_process *process = &record->process[i];

        if (process->nr && (pid ? process->pid == pid : !best || process->nr_pages > best->nr_pages)) {
            best = process;
        }
    }
    return best;
}

static int draw(const struct record *record, pid_t pid, const char *path, const char *folder)
{
    const struct recorded_process *process = choose(record, pid);
    int err;

    if (!process) {
        fprintf(stderr, PROGRAM ": '%s' has nothing to draw: no get of %s was recorded\n", path,
                pid ? "that process" : "any process");
        return EXIT_FAILURE;
    }
    err = plot_draw(process, folder);
    switch (err) {
    case 0:
        printf("%s/pages.svg\n%s/heat.png\n", folder, folder);
        return finish_output(EXIT_SUCCESS);
    case -ENOPKG:
        fprintf(stderr, PROGRAM ": cannot plot: gnuplot is not installed\n");
        break;
    case -EIO:
        fprintf(stderr, PROGRAM ": cannot plot: gnuplot failed\n");
        break;
    default:
        fprintf(stderr, PROGRAM ": cannot plot into '%s': %s\n", folder, strerror(-err));
        break;
    }
    return EXIT_FAILURE;
}

static int plot(const char *path, const char *folder, pid_t pid)
{
    struct record record = { .nr = 0 };
    FILE *file = fopen(path, "re");
    size_t line = 0;
    int err, status;

    if (!file) {
        fprintf(stderr, PROGRAM ": cannot read '%s': %s\n", path, strerror(errno));
        return EXIT_FAILURE;
    }
    err = read_record(file, &record, &line);
    fclose(file);
    if (err == -EINVAL) {
        fprintf(stderr, PROGRAM ": '%s' is not a record of '" PROGRAM " record': line %zu\n", path, line);
        status = EXIT_FAILURE;
    } else if (err) {
        fprintf(stderr, PROGRAM ": cannot read '%s': %s\n", path, strerror(-err));
        status = EXIT_FAILURE;
    } else {
        status = draw(&record, pid, path, folder);
    }
    free_record(&record);
    return status;
}

int plot_main(int argc, char **argv)
{
    const char *folder = NULL;
    char *made = NULL;
    pid_t pid = 0;
    const struct option_row options[] = {
        { "output", OPTION_TEXT, .to = &folder },
        { "pid", OPTION_PID, .to = &pid },
        { 0 },
    };
    int status = read_options("plot", plot_help, options, argc, argv);

    if (status != GO_ON) {
        return status;
    }
    if (argc - optind != 1) {
        return usage_error("plot", argc == optind ? "no record to draw" : "more than one record");
    }
    if (!folder && asprintf(&made, "%s.plot", argv[optind]) < 0) {
        return usage_error("plot", "no memory");
    }
    status = plot(argv[optind], folder ? folder : made, pid);
    free(made);
    return status;
}
