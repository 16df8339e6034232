/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch record`: runs a command as `run --stats` does, or looks at one that runs so already, and writes
 * down, interval by interval, what was asked about and what was dirty: a JSON object a line
 * (writewatch(1), RECORDS), for `writewatch plot` and others. A line is written whole or not at all: where
 * the disk is full the record ends with the last whole one.
 */
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "choose.h"
#include "lines.h"
#include "programs.h"
#include "stats.h"

const char record_help[] =
    "usage: writewatch record --output=FILE [OPTION...] [--] COMMAND [ARG...]\n"
    "       writewatch record --output=FILE [OPTION...] --pid=PID\n"
    "\n"
    "Writes down what a program does with its write watches while it runs: how often it\n"
    "asks, what it gets, which parts of its memory are dirty. 'writewatch plot' draws it.\n"
    "\n"
    "  --output=FILE       the record, a JSON object a line\n"
    "  --interval=SECONDS  from 0.01 to 60 (default: 0.1)\n"
    "  --seconds=SECONDS   ends the record, not the command, after so long\n"
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
    size_t nr_files;
    struct recorded {
        struct counters_file file;
        struct sample *before;
        bool introduced;
    } * files;
    struct sample *now;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static double seconds_since(uint64_t began_ns)
{
    return (counters_now() - began_ns) / 1e9;
}

/* ---- what a line has ---- */

static void put(struct json_object *object, const char *name, double value)
{
    json_object_object_add(object, name, json_object_new_double(value));
}

static void write_header(struct recorder *recorder)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "record", json_object_new_string("writewatch"));
    put_number(object, "format", 1);
    json_object_object_add(object, "version", json_object_new_string(ww_version()));
    put_number(object, "parts", COUNTERS_NR_PARTS);
    lines_write(&recorder->lines, object);
}

static void write_process(struct recorder *recorder, const struct sample *sample)
{
    struct json_object *object = json_object_new_object();

    put_number(object, "pid", sample->pid);
    json_object_object_add(object, "name", json_object_new_string(sample->name));
    json_object_object_add(object, "backend", json_object_new_string(sample->backend));
    put_number(object, "page_size", sample->page_size);
    lines_write(&recorder->lines, object);
}

/* What one region was asked since the sample before. NULL: nothing. */
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
    put(object, "t", seconds_since(recorder->began_ns));
    put(object, "seconds", (now->now_ns - before->now_ns) / 1e9);
    put_number(object, "gets", now->call[COUNTERS_GET].nr - before->call[COUNTERS_GET].nr);
    put_number(object, "resets", now->call[COUNTERS_RESET].nr - before->call[COUNTERS_RESET].nr);
    put_number(object, "pages", now->nr_pages - before->nr_pages);
    put_number(object, "time_ns", harvest_time_ns(before, now));
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

static bool is_known(const struct recorder *recorder, const struct counters_file *file)
{
    for (size_t i = 0; i < recorder->nr_files; i++) {
        if (recorder->files[i].file.pid == file->pid &&
            recorder->files[i].file.counters->began_ns == file->counters->began_ns) {
            return true;
        }
    }
    return false;
}

/* Takes the mapping over. */
static void add_file(struct recorder *recorder, const struct counters_file *file)
{
    struct recorded *more = reallocarray(recorder->files, recorder->nr_files + 1, sizeof(*more));
    struct sample *before = calloc(1, sizeof(*before));

    if (!more || !before) {
        recorder->lines.err = -ENOMEM;
        recorder->files = more ? more : recorder->files;
        free(before);
        munmap(file->counters, sizeof(*file->counters));
        return;
    }
    before->now_ns = file->counters->began_ns;
    more[recorder->nr_files++] = (struct recorded){ .file = *file, .before = before };
    recorder->files = more;
}

/* Processes come and go while a command runs. */
static void look_for_files(struct recorder *recorder, const char *folder)
{
    struct counters_file *files = NULL;
    ssize_t nr = counters_open_folder(folder, &files), kept = 0;

    for (ssize_t i = 0; i < nr; i++) {
        if (counters_in_use(&files[i]) && !is_known(recorder, &files[i])) {
            add_file(recorder, &files[i]);
        } else {
            files[kept++] = files[i];
        }
    }
    if (nr >= 0) {
        counters_close(files, kept);
    }
}

static void sample_all(struct recorder *recorder)
{
    for (size_t i = 0; i < recorder->nr_files && !recorder->lines.err; i++) {
        struct recorded *one = &recorder->files[i];
        struct sample *now = recorder->now;

        counters_read(&one->file, now);
        if (!one->introduced) {
            write_process(recorder, now);
            one->introduced = true;
        }
        if (!recorder->lines.err && (now->call[COUNTERS_GET].nr != one->before->call[COUNTERS_GET].nr ||
                                     now->call[COUNTERS_RESET].nr != one->before->call[COUNTERS_RESET].nr ||
                                     now->watched_bytes != one->before->watched_bytes)) {
            write_interval(recorder, one->before, now);
        }
        recorder->now = one->before;
        one->before = now;
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
    recorder->began_ns = counters_now();
    write_header(recorder);
    return recorder->lines.err ? lines_close(&recorder->lines) : 0;
}

/* Returns whether the record is complete, and says so if it is not. */
static bool end(struct recorder *recorder)
{
    const char *path = recorder->lines.path;
    int err = lines_close(&recorder->lines);

    if (err) {
        fprintf(stderr, PROGRAM ": the record in '%s' ends early, with its last whole line: %s\n", path,
                strerror(-err));
    } else if (!recorder->nr_files) {
        fprintf(stderr, PROGRAM ": nothing used write watches, so '%s' is empty but for its head\n", path);
    }
    for (size_t i = 0; i < recorder->nr_files; i++) {
        munmap(recorder->files[i].file.counters, sizeof(struct counters));
        free(recorder->files[i].before);
    }
    free(recorder->files);
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

/* Until the command has ended; what comes after the record is over runs on without it. */
static int record_command(struct recorder *recorder, const struct plan *plan, char **command)
{
    struct counters_folder folder;
    int err = counters_folder_make(&folder), status, code;
    bool complete;

    if (err) {
        lines_drop(&recorder->lines);
        return cannot_begin(recorder->lines.path, err);
    }
    run_prepare(plan->backend, false);
    err = setenv("WW_STATS", folder.path, 1) ? -errno : child_start(command);
    if (err) {
        counters_folder_remove(&folder);
        lines_drop(&recorder->lines);
        return run_failed(command[0], -err);
    }
    while (!child_wait(plan->interval * 1e9, &status)) {
        if (!recorder->lines.err && seconds_since(recorder->began_ns) <= plan->seconds) {
            look_for_files(recorder, folder.path);
            sample_all(recorder);
        }
    }
    if (!recorder->lines.err && seconds_since(recorder->began_ns) <= plan->seconds + plan->interval) {
        look_for_files(recorder, folder.path);
        sample_all(recorder);
    }
    counters_folder_remove(&folder);
    complete = end(recorder);
    code = child_end_as(status);
    return code ? code : complete ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Until it has ended, or ctrl-C. */
static int record_process(struct recorder *recorder, const struct plan *plan,
                          const struct counters_file *file)
{
    const struct sigaction action = { .sa_handler = interrupt };
    struct timespec interval = { .tv_sec = plan->interval,
                                 .tv_nsec = (plan->interval - (long)plan->interval) * 1e9 };

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    add_file(recorder, file);
    if (!recorder->lines.err) {
        counters_read(file, recorder->files[0].before);
    }
    while (!interrupted && !recorder->lines.err && !process_has_ended(file) &&
           seconds_since(recorder->began_ns) < plan->seconds) {
        nanosleep(&interval, NULL);
        sample_all(recorder);
    }
    return end(recorder) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int record(const char *path, const struct plan *plan, char **command)
{
    struct recorder recorder = { .nr_files = 0 };
    struct counters_file file;
    int err;

    if (plan->pid && choose_process("record", plan->pid, &file)) {
        return EXIT_FAILURE;
    }
    err = begin(&recorder, path);
    if (err) {
        free(recorder.now);
        return cannot_begin(path, err);
    }
    return plan->pid ? record_process(&recorder, plan, &file) : record_command(&recorder, plan, command);
}

int record_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, OPTION_OUTPUT },
        { "interval", required_argument, NULL, OPTION_INTERVAL },
        { "seconds", required_argument, NULL, OPTION_SECONDS },
        { "backend", required_argument, NULL, OPTION_BACKEND },
        { "pid", required_argument, NULL, OPTION_PID },
        { "help", no_argument, NULL, OPTION_HELP },
        { 0 },
    };
    struct plan plan = { .interval = 0.1, .seconds = 1e9 };
    const char *path = NULL;
    int option;

    while ((option = next_option("record", argc, argv, options)) != OPTION_END) {
        switch (option) {
        case OPTION_OUTPUT:
            path = optarg;
            break;
        case OPTION_INTERVAL:
            if (parse_seconds(optarg, 0.01, 60, &plan.interval)) {
                return usage_error("record", "'%s' is not a number of seconds from 0.01 to 60", optarg);
            }
            break;
        case OPTION_SECONDS:
            if (parse_seconds(optarg, 0.01, 1e9, &plan.seconds)) {
                return usage_error("record", "'%s' is not a number of seconds", optarg);
            }
            break;
        case OPTION_BACKEND:
            plan.backend = optarg;
            break;
        case OPTION_PID:
            if (parse_pid(optarg, &plan.pid)) {
                return usage_error("record", "'%s' is no number of a process", optarg);
            }
            break;
        case OPTION_HELP:
            return show(record_help);
        default:
            return EXIT_USAGE;
        }
    }
    if (!path || !path[0]) {
        return usage_error("record", "--output=FILE is missing");
    }
    if ((optind < argc) == (plan.pid != 0)) {
        return usage_error("record", plan.pid ? "either --pid or a command" : "no command to run");
    }
    if (plan.backend && !check_backend("record", plan.backend)) {
        return EXIT_USAGE;
    }
    return record(path, &plan, argv + optind);
}
