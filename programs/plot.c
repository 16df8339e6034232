/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch plot`: draws what `writewatch record` has written down: pages and time over the time of the
 * run, and a map of which memory was dirty when. Reading is here, drawing in record/draw.c.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/record.h"
#include "programs.h"

const char plot_help[] =
    "usage: writewatch plot [--output=FOLDER] [--pid=PID] FILE\n"
    "\n"
    "Draws a record of 'writewatch record' with gnuplot: pages.svg, pages and time by the\n"
    "second, and heat.png, which parts of memory were dirty when.\n"
    "\n"
    "  --output=FOLDER  where the pictures go (default: FILE.plot)\n"
    "  --pid=PID        of several processes this one (default: the busiest)\n"
    "  -h, --help       shows this help\n"
    "\n"
    "Example:\n"
    "  writewatch record --output=game.ww -- wine game.exe && writewatch plot game.ww\n"
    "\n"
    "The exit code is 0; 1 if the file is no record or has nothing to draw, gnuplot is\n"
    "missing or failed, or these options are wrong.\n";

/* ---- reading ---- */

static bool get_number(struct json_object *object, const char *name, double *ret)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, name, &value) ||
        (!json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_double))) {
        return false;
    }
    *ret = json_object_get_double(value);
    return true;
}

static struct recorded_process *find_process(struct record *record, double pid, const char *name)
{
    struct recorded_process *more;

    for (size_t i = 0; i < record->nr; i++) {
        if (record->process[i].pid == pid) {
            return &record->process[i];
        }
    }
    more = reallocarray(record->process, record->nr + 1, sizeof(*more));
    if (!more) {
        return NULL;
    }
    record->process = more;
    more[record->nr] = (struct recorded_process){ .pid = pid, .page_size = 4096 };
    snprintf(more[record->nr].name, sizeof(more[0].name), "%s", name ? name : "?");
    return &more[record->nr++];
}

static bool read_region(struct json_object *object, struct recorded_region *ret)
{
    struct json_object *dirty, *part;

    if (!get_number(object, "start", &ret->start) || !get_number(object, "end", &ret->end) ||
        !get_number(object, "gets", &ret->gets) || !get_number(object, "pages", &ret->pages) ||
        ret->end <= ret->start || !json_object_object_get_ex(object, "dirty", &dirty) ||
        !json_object_is_type(dirty, json_type_array)) {
        return false;
    }
    for (size_t i = 0; i < RECORD_NR_PARTS; i++) {
        part = json_object_array_get_idx(dirty, i);
        ret->part[i] = part ? json_object_get_double(part) : 0;
    }
    return true;
}

static int read_regions(struct json_object *array, struct recorded_interval *interval)
{
    size_t nr = json_object_array_length(array);

    interval->region = calloc(nr ? nr : 1, sizeof(*interval->region));
    if (!interval->region) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < nr; i++) {
        if (!read_region(json_object_array_get_idx(array, i), &interval->region[i])) {
            return -EINVAL;
        }
        interval->nr++;
    }
    return 0;
}

static int read_interval(struct json_object *object, struct recorded_process *process)
{
    struct recorded_interval *more, *interval;
    struct json_object *regions;

    more = reallocarray(process->interval, process->nr + 1, sizeof(*more));
    if (!more) {
        return -ENOMEM;
    }
    process->interval = more;
    interval = &more[process->nr++];
    *interval = (struct recorded_interval){ .nr = 0 };
    if (!get_number(object, "t", &interval->t) || !get_number(object, "seconds", &interval->seconds) ||
        !get_number(object, "gets", &interval->gets) || !get_number(object, "pages", &interval->pages) ||
        !get_number(object, "time_ns", &interval->time_ns) || !(interval->seconds > 0) ||
        !json_object_object_get_ex(object, "regions", &regions) ||
        !json_object_is_type(regions, json_type_array)) {
        return -EINVAL;
    }
    process->nr_pages += interval->pages;
    return read_regions(regions, interval);
}

/* One line but the first. Lines of kinds that are not known belong to a later version, and are passed over.
 */
static int read_line(struct record *record, struct json_object *object)
{
    struct recorded_process *process;
    struct json_object *name = NULL;
    double pid, any;

    if (!get_number(object, "pid", &pid)) {
        return 0;
    }
    json_object_object_get_ex(object, "name", &name);
    process = find_process(record, pid, name ? json_object_get_string(name) : NULL);
    if (!process) {
        return -ENOMEM;
    }
    get_number(object, "page_size", &process->page_size);
    return get_number(object, "t", &any) ? read_interval(object, process) : 0;
}

static bool is_header(struct json_object *object)
{
    struct json_object *kind;
    double format, parts;

    return json_object_object_get_ex(object, "record", &kind) &&
           json_object_is_type(kind, json_type_string) && !strcmp(json_object_get_string(kind), PROGRAM) &&
           get_number(object, "format", &format) && format == 1 && get_number(object, "parts", &parts) &&
           parts == RECORD_NR_PARTS;
}

static int read_record(FILE *file, struct record *record, size_t *ret_line)
{
    char *line = NULL;
    size_t size = 0;
    int err = 0;

    errno = 0;
    for (*ret_line = 1; !err && getline(&line, &size, file) >= 0; ++*ret_line) {
        struct json_object *object = json_tokener_parse(line);

        if (!json_object_is_type(object, json_type_object) || (*ret_line == 1 && !is_header(object))) {
            err = -EINVAL;
        } else if (*ret_line > 1) {
            err = read_line(record, object);
        }
        json_object_put(object);
    }
    --*ret_line;
    free(line);
    if (!err && ferror(file)) {
        err = errno ? -errno : -EIO;
    }
    return err ? err : *ret_line ? 0 : -EINVAL;
}

static void free_record(struct record *record)
{
    for (size_t i = 0; i < record->nr; i++) {
        for (size_t k = 0; k < record->process[i].nr; k++) {
            free(record->process[i].interval[k].region);
        }
        free(record->process[i].interval);
    }
    free(record->process);
}

/* ---- the command ---- */

/* The one with most pages, or the one that was named. NULL: there is none. */
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
        fprintf(stderr, PROGRAM ": '%s' has nothing to draw: no harvest of %s was recorded\n", path,
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
        fprintf(stderr, PROGRAM ": '%s' is no record of '" PROGRAM " record': line %zu\n", path, line);
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
    static const struct option options[] = {
        { "output", required_argument, NULL, OPTION_OUTPUT },
        { "pid", required_argument, NULL, OPTION_PID },
        { "help", no_argument, NULL, OPTION_HELP },
        { 0 },
    };
    const char *folder = NULL;
    char *made = NULL;
    pid_t pid = 0;
    int option, status;

    while ((option = next_option("plot", argc, argv, options)) != OPTION_END) {
        switch (option) {
        case OPTION_OUTPUT:
            folder = optarg;
            break;
        case OPTION_PID:
            if (parse_pid(optarg, &pid)) {
                return usage_error("plot", "'%s' is no number of a process", optarg);
            }
            break;
        case OPTION_HELP:
            return show(plot_help);
        default:
            return EXIT_USAGE;
        }
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
