/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch record`: runs a command as `run --stats` does, or follows one that already runs so, and writes
 * for each interval which regions the program asked about and which pages were dirty: a JSON object a line
 * (writewatch-json(5), RECORDS), for `writewatch plot` and others. If the disk is full, the record ends with
 * its last whole line.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "common/options.h"
#include "common/proc.h"
#include "counters/choose.h"
#include "counters/summary.h"
#include "launch/launch.h"
#include "programs.h"
#include "record/lines.h"
#include "writewatch.h"

const char record_help[] =
    "usage: writewatch record --output=FILE [OPTION...] [--] COMMAND [ARG...]\n"
    "       writewatch record --output=FILE [OPTION...] --pid=PID\n"
    "\n"
    "Records what a program does with its write watches while it runs: how often it\n"
    "asks, what it gets, which parts of its memory are dirty. 'writewatch plot' draws it.\n"
    "\n"
    "  --output=FILE       the record, a JSON object a line\n"
    "  --interval=SECONDS  from 0.01 to 60 (default: 0.1)\n"
    "  --seconds=SECONDS   ends the record, not the command, after this time\n"
    "  --backend=NAME      as for 'writewatch run'\n"
    "  --pid=PID           a program that was started with 'writewatch run --stats'\n"
    "  -h, --help          shows this help\n"
    "\n"
    "Examples:\n"
    "  writewatch record --output=game.ww -- wine game.exe\n"
    "  writewatch plot game.ww\n"
    "\n"
    "The exit code is the command's, or 0 with --pid; 1 if the record is not complete or\n"
    "these options are wrong.\n";

struct recorder {
    struct lines lines;
    uint64_t began_ns;
    struct counters_file *files;
    size_t nr_files, nr_before;
    struct sample **before; /* by file; NULL: the process has not used a write watch yet */
    struct sample *now;
};

/* The interval of checks whether a process still runs. */
#define LOOK_NS 500000000

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static double seconds_since(uint64_t began_ns)
{
    return (now_ns() - began_ns) / 1e9;
}

/* ---- lines ---- */

static void write_header(struct recorder *recorder)
{
    struct json_object *object = json_object_new_object();

    put_text(object, "record", "writewatch");
    put_number(object, "format", 1);
    put_text(object, "version", ww_version());
    put_number(object, "parts", COUNTERS_NR_PARTS);
    lines_write(&recorder->lines, object);
}

static void write_process(struct recorder *recorder, const struct sample *sample)
{
    struct json_object *object = json_object_new_object();

    put_number(object, "pid", sample->pid);
    put_text(object, "name", sample->name);
    put_text(object, "backend", sample->backend);
    put_number(object, "page_size", sample->page_size);
    lines_write(&recorder->lines, object);
}

/* The gets and resets of one region since the sample before. NULL: there were none. */
static struct json_object *region_line(const struct sample *before, const struct region_sample *now)
{
    struct region_sample since;

    region_since(before, now, &since);
    return since.nr_gets || since.nr_resets ? region_json(&since, "dirty") : NULL;
}

static void write_interval(struct recorder *recorder, const struct sample *before, const struct sample *now)
{
    struct json_object *object = json_object_new_object(), *regions = json_object_new_array();

    put_number(object, "pid", now->pid);
    put_real(object, "t", seconds_since(recorder->began_ns));
    put_real(object, "seconds", (now->now_ns - before->now_ns) / 1e9);
    put_number(object, "gets", now->call[COUNTERS_GET].nr - before->call[COUNTERS_GET].nr);
    put_number(object, "resets", now->call[COUNTERS_RESET].nr - before->call[COUNTERS_RESET].nr);
    put_number(object, "pages", now->nr_pages - before->nr_pages);
    put_number(object, "time_ns", query_time_ns(before, now));
    put_number(object, "watched_bytes", now->watched_bytes);
    for (size_t i = 0; i < now->nr_regions; i++) {
        struct json_object *region = region_line(before, &now->region[i]);

        if (region) {
            json_object_array_add(regions, region);
        }
    }
    json_object_object_add(object, "regions", regions);
    lines_write(&recorder->lines, object);
}

/* ---- processes ---- */

/* Writes the line about a process, and returns its first sample. */
static struct sample *introduce(struct recorder *recorder, const struct counters_file *file)
{
    struct sample *before = malloc(sizeof(*before));

    if (!before) {
        recorder->lines.err = -ENOMEM;
        return NULL;
    }
    counters_read(file, before);
    write_process(recorder, before);
    return before;
}

/* Makes an empty place in recorder->before for each new file. */
static int make_room(struct recorder *recorder)
{
    struct sample **more = reallocarray(recorder->before, recorder->nr_files, sizeof(*more));

    if (!more) {
        return -ENOMEM;
    }
    recorder->before = more;
    while (recorder->nr_before < recorder->nr_files) {
        more[recorder->nr_before++] = NULL;
    }
    return 0;
}

/* Looks for new processes of the command. */
static void look_for_files(struct recorder *recorder, const char *folder)
{
    int err = counters_look_into(folder, &recorder->files, &recorder->nr_files);

    if (!err && recorder->nr_files > recorder->nr_before) {
        err = make_room(recorder);
    }
    recorder->lines.err = recorder->lines.err ? recorder->lines.err : err;
}

static void sample_file(struct recorder *recorder, size_t i)
{
    struct sample *now = recorder->now, *before = recorder->before[i];

    counters_read(&recorder->files[i], now);
    if (now->call[COUNTERS_GET].nr != before->call[COUNTERS_GET].nr ||
        now->call[COUNTERS_RESET].nr != before->call[COUNTERS_RESET].nr ||
        now->watched_bytes != before->watched_bytes) {
        write_interval(recorder, before, now);
    }
    recorder->now = before;
    recorder->before[i] = now;
}

static void sample_all(struct recorder *recorder)
{
    for (size_t i = 0; i < recorder->nr_before && !recorder->lines.err; i++) {
        if (!recorder->before[i] && counters_in_use(&recorder->files[i])) {
            recorder->before[i] = introduce(recorder, &recorder->files[i]);
            if (recorder->before[i]) {
                /* The record has run since before this process began. */
                *recorder->before[i] = (struct sample){ .now_ns = recorder->files[i].counters->began_ns };
            }
        }
        if (recorder->before[i] && !recorder->lines.err) {
            sample_file(recorder, i);
        }
    }
}

/* ---- a record ---- */

static int begin(struct recorder *recorder, const char *path)
{
    int err;

    recorder->now = malloc(sizeof(*recorder->now));
    if (!recorder->now) {
        return -ENOMEM;
    }
    err = lines_open(&recorder->lines, path);
    if (err) {
        return err;
    }
    recorder->began_ns = now_ns();
    write_header(recorder);
    return recorder->lines.err ? lines_close(&recorder->lines) : 0;
}

/* Returns whether the record is complete, and prints a message if it is not. */
static bool end(struct recorder *recorder)
{
    const char *path = recorder->lines.file.path;
    int err = lines_close(&recorder->lines);
    bool used = false;

    for (size_t i = 0; i < recorder->nr_before; i++) {
        used |= recorder->before[i] != NULL;
        free(recorder->before[i]);
    }
    if (err) {
        fprintf(stderr, PROGRAM ": the record in '%s' ends early, with its last whole line: %s\n", path,
                strerror(-err));
    } else if (!used) {
        fprintf(stderr, PROGRAM ": nothing used write watches, so '%s' is empty but for its head\n", path);
    }
    counters_close(recorder->files, recorder->nr_files);
    free(recorder->before);
    free(recorder->now);
    return !err;
}

static int cannot_begin(const char *path, int err)
{
    fprintf(stderr, PROGRAM ": cannot record to '%s': %s\n", path, strerror(-err));
    return EXIT_FAILURE;
}

struct plan {
    const char *backend;
    double interval, seconds;
    pid_t pid;
};

/* The time until the next sample; 0: the record is over. */
static uint64_t next_wait_ns(const struct recorder *recorder, const struct plan *plan)
{
    double rest = plan->seconds - seconds_since(recorder->began_ns);

    if (recorder->lines.err || rest <= 0) {
        return 0;
    }
    return (rest < plan->interval ? rest : plan->interval) * 1e9;
}

/* Records until the command has ended. It may run longer than the record. */
static int record_command(struct recorder *recorder, const struct plan *plan, char **command)
{
    struct counters_folder folder = { .lock = -1 };
    int err = counters_folder_make(&folder), status, code;
    bool complete, ended;
    uint64_t wait_ns;

    if (err) {
        lines_drop(&recorder->lines);
        return cannot_begin(recorder->lines.file.path, err);
    }
    run_prepare(plan->backend, false);
    err = setenv("WW_STATS", folder.path, 1) ? -errno : child_start(command);
    if (err) {
        counters_folder_remove(&folder);
        lines_drop(&recorder->lines);
        return run_failed(command[0], -err);
    }
    do {
        wait_ns = next_wait_ns(recorder, plan);
        ended = child_wait(wait_ns ? wait_ns : CHILD_FOR_EVER, &status);
        if (wait_ns) {
            look_for_files(recorder, folder.path);
            sample_all(recorder);
        }
    } while (!ended);
    counters_folder_remove(&folder);
    complete = end(recorder);
    code = child_end_as(status);
    return code ? code : complete ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Waits so long, but not beyond the end of the process or ctrl-C. No signal tells the end of a process that
 * is not our child. */
static void wait_for_process(const struct counters_file *file, uint64_t limit_ns)
{
    const uint64_t last_ns = now_ns() + limit_ns;
    uint64_t at_ns;

    while (!interrupted && !process_has_ended(file) && (at_ns = now_ns()) < last_ns) {
        uint64_t rest_ns = last_ns - at_ns < LOOK_NS ? last_ns - at_ns : LOOK_NS;

        nanosleep(&(struct timespec){ .tv_nsec = rest_ns }, NULL);
    }
}

static int record_process(struct recorder *recorder, const struct plan *plan)
{
    const struct sigaction action = { .sa_handler = interrupt };
    const struct counters_file *file = &recorder->files[0];
    uint64_t wait_ns;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    recorder->lines.err = make_room(recorder);
    if (!recorder->lines.err) {
        recorder->before[0] = introduce(recorder, file);
    }
    while (!interrupted && !process_has_ended(file) && (wait_ns = next_wait_ns(recorder, plan))) {
        wait_for_process(file, wait_ns);
        sample_all(recorder);
    }
    return end(recorder) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int record(const char *path, const struct plan *plan, char **command)
{
    struct recorder recorder = { .nr_files = 0 };
    int err;

    if (plan->pid) {
        recorder.files = malloc(sizeof(*recorder.files));
        if (!recorder.files) {
            return cannot_begin(path, -ENOMEM);
        }
        if (choose_process("record", plan->pid, recorder.files)) {
            free(recorder.files);
            return EXIT_FAILURE;
        }
        recorder.nr_files = 1;
    }
    err = begin(&recorder, path);
    if (err) {
        counters_close(recorder.files, recorder.nr_files);
        free(recorder.now);
        return cannot_begin(path, err);
    }
    return plan->pid ? record_process(&recorder, plan) : record_command(&recorder, plan, command);
}

int record_main(int argc, char **argv)
{
    struct plan plan = { .interval = 0.1, .seconds = 1e9 };
    const char *path = NULL;
    const struct option_row options[] = {
        { "output", OPTION_TEXT, .to = &path },
        { "interval", OPTION_SECONDS, .to = &plan.interval, .least = 0.01, .most = 60 },
        { "seconds", OPTION_DURATION, .to = &plan.seconds, .least = 0.01, .most = 1e9 },
        { "backend", OPTION_TEXT, .to = &plan.backend },
        { "pid", OPTION_PID, .to = &plan.pid },
        { 0 },
    };
    int status = read_options("record", record_help, options, argc, argv);

    if (status != GO_ON) {
        return status;
    }
    if (!path || !path[0]) {
        return usage_error("record", "--output=FILE is missing");
    }
    if ((optind < argc) == (plan.pid != 0)) {
        return usage_error("record", plan.pid ? "either --pid or a command" : "no command to run");
    }
    if (plan.backend) {
        status = check_backend("record", plan.backend);
    }
    return status == GO_ON ? record(path, &plan, argv + optind) : status;
}
