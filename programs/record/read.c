/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads a record line by line. The file may come from another program, so types and ranges are checked. A
 * later version may have lines of other kinds, which are skipped.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "../common/options.h"
#include "record.h"

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

/* Reads any line but the first. */
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

int read_record(FILE *file, struct record *record, size_t *ret_line)
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

void free_record(struct record *record)
{
    for (size_t i = 0; i < record->nr; i++) {
        for (size_t k = 0; k < record->process[i].nr; k++) {
            free(record->process[i].interval[k].region);
        }
        free(record->process[i].interval);
    }
    free(record->process);
}
