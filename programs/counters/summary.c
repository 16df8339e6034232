/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the processes of a command have published (counters.h), as text and as JSON: the summary of run
 * --stats, and the parts of it that top and record share.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/json.h"
#include "../common/options.h"
#include "../common/output.h"
#include "summary.h"
#include "writewatch.h"

const char *const call_names[COUNTERS_NR_CALLS] = {
    [COUNTERS_ALLOCATE] = "NtAllocateVirtualMemory",
    [COUNTERS_ALLOCATE_EX] = "NtAllocateVirtualMemoryEx",
    [COUNTERS_FREE] = "NtFreeVirtualMemory",
    [COUNTERS_PROTECT] = "NtProtectVirtualMemory",
    [COUNTERS_GET] = "NtGetWriteWatch",
    [COUNTERS_RESET] = "NtResetWriteWatch",
};

const char *bytes_text(uint64_t bytes, char text[16])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double value = bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 16, value < 10 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

const char *time_text(double ns, char text[16])
{
    static const struct {
        double ns;
        const char *name;
    } units[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" } };
    size_t unit = 0;

    while (unit < 3 && ns < units[unit].ns) {
        unit++;
    }
    snprintf(text, 16, "%.3g %s", ns / units[unit].ns, units[unit].name);
    return text;
}

/* ---- between two samples ---- */

void region_since(const struct sample *before, const struct region_sample *now, struct region_sample *ret)
{
    const struct region_sample *then = NULL;

    for (size_t i = 0; i < before->nr_regions && !then; i++) {
        then = before->region[i].serial == now->serial ? &before->region[i] : NULL;
    }
    *ret = *now;
    if (!then) {
        return;
    }
    ret->nr_gets -= then->nr_gets;
    ret->nr_resets -= then->nr_resets;
    ret->nr_pages -= then->nr_pages;
    ret->time_ns -= then->time_ns;
    for (size_t i = 0; i < COUNTERS_NR_PARTS; i++) {
        ret->part[i] -= then->part[i];
    }
}

uint64_t query_time_ns(const struct sample *before, const struct sample *now)
{
    uint64_t time_ns = 0;

    for (int i = COUNTERS_GET; i <= COUNTERS_RESET; i++) {
        time_ns += now->call[i].time_ns - before->call[i].time_ns;
    }
    return time_ns;
}

/* ---- text ---- */

static void print_call(const struct sample *sample, enum counters_call call, FILE *out)
{
    char all[16], each[16];
    uint64_t nr = sample->call[call].nr;

    if (nr) {
        fprintf(out, "  %-26s %llu calls, %llu failed; %s, %s each\n", call_names[call],
                (unsigned long long)nr, (unsigned long long)sample->call[call].nr_failed,
                time_text(sample->call[call].time_ns, all),
                time_text((double)sample->call[call].time_ns / nr, each));
    }
}

static void print_process(const struct sample *sample, FILE *out)
{
    uint64_t gets = sample->call[COUNTERS_GET].nr;
    uint64_t watches =
        sample->call[COUNTERS_ALLOCATE].nr_passed + sample->call[COUNTERS_ALLOCATE_EX].nr_passed;
    char bytes[16], slowest[16];

    fprintf(out, "%s (pid %d): backend %s, %s calls\n", sample->name, (int)sample->pid, sample->backend,
            sample->convention);
    fprintf(out, "  %-26s %llu in all, %zu%s at the end, %s\n", "watched regions",
            (unsigned long long)sample->nr_watched, sample->nr_regions,
            sample->nr_regions == COUNTERS_NR_REGIONS ? " or more" : "",
            bytes_text(sample->watched_bytes, bytes));
    for (int call = 0; call < COUNTERS_NR_CALLS; call++) {
        print_call(sample, call, out);
    }
    if (gets) {
        fprintf(out, "  %-26s %llu, %.1f a get, at most %llu; %llu gets found none; the slowest took %s\n",
                "pages reported", (unsigned long long)sample->nr_pages, (double)sample->nr_pages / gets,
                (unsigned long long)sample->most_pages, (unsigned long long)sample->nr_clean,
                time_text(sample->slowest_get_ns, slowest));
    }
    fprintf(out, "  %-26s %llu gets, %llu resets, %llu watches\n", "left to Wine",
            (unsigned long long)sample->call[COUNTERS_GET].nr_passed,
            (unsigned long long)sample->call[COUNTERS_RESET].nr_passed, (unsigned long long)watches);
}

void stats_print(const struct counters_file *files, size_t nr, double seconds, FILE *out)
{
    struct sample *sample = malloc(sizeof(*sample));
    size_t used = 0;

    for (size_t i = 0; sample && i < nr; i++) {
        if (counters_in_use(&files[i])) {
            if (!used) {
                fprintf(out, PROGRAM ": statistics of %.1f s\n", seconds);
            }
            counters_read(&files[i], sample);
            print_process(sample, out);
            used++;
        }
    }
    free(sample);
    if (used && nr > used) {
        fprintf(out, "%zu more processes had the preload and used no write watches.\n", nr - used);
    } else if (nr > used) {
        fprintf(out, PROGRAM ": no statistics: none of its %zu processes under Wine used write watches\n",
                nr);
    } else if (!nr) {
        fprintf(out, PROGRAM ": no statistics: the preload has attached to no process; see --verbose\n");
    }
}

/* ---- JSON ---- */

static struct json_object *calls_json(const struct sample *sample)
{
    struct json_object *calls = json_object_new_object();

    for (int i = 0; i < COUNTERS_NR_CALLS; i++) {
        struct json_object *call = json_object_new_object();

        put_number(call, "nr", sample->call[i].nr);
        put_number(call, "failed", sample->call[i].nr_failed);
        put_number(call, "left_to_wine", sample->call[i].nr_passed);
        put_number(call, "time_ns", sample->call[i].time_ns);
        json_object_object_add(calls, call_names[i], call);
    }
    return calls;
}

struct json_object *region_json(const struct region_sample *region, const char *parts_name)
{
    struct json_object *object = json_object_new_object(), *parts = json_object_new_array();

    put_number(object, "start", region->start);
    put_number(object, "end", region->end);
    put_number(object, "gets", region->nr_gets);
    put_number(object, "resets", region->nr_resets);
    put_number(object, "pages", region->nr_pages);
    put_number(object, "time_ns", region->time_ns);
    for (size_t i = 0; i < COUNTERS_NR_PARTS; i++) {
        json_object_array_add(parts, json_object_new_int64(region->part[i]));
    }
    json_object_object_add(object, parts_name, parts);
    return object;
}

struct json_object *sample_json(const struct sample *sample)
{
    struct json_object *object = json_object_new_object(), *regions = json_object_new_array();

    put_number(object, "pid", sample->pid);
    put_text(object, "name", sample->name);
    put_text(object, "backend", sample->backend);
    put_text(object, "convention", sample->convention);
    put_number(object, "page_size", sample->page_size);
    put_number(object, "age_ns", sample->now_ns - sample->began_ns);
    json_object_object_add(object, "calls", calls_json(sample));
    put_number(object, "pages", sample->nr_pages);
    put_number(object, "clean_gets", sample->nr_clean);
    put_number(object, "most_pages", sample->most_pages);
    put_number(object, "slowest_get_ns", sample->slowest_get_ns);
    put_number(object, "regions_total", sample->nr_watched);
    put_number(object, "watched_bytes", sample->watched_bytes);
    for (size_t i = 0; i < sample->nr_regions; i++) {
        json_object_array_add(regions, region_json(&sample->region[i], "parts"));
    }
    json_object_object_add(object, "regions", regions);
    return object;
}

static int write_object(struct output *file, struct json_object *object)
{
    int err = output_empty(file);

    errno = 0;
    if (!err && json_object_to_fd(file->fd, object, JSON_C_TO_STRING_PRETTY)) {
        err = errno ? -errno : -EIO;
    }
    if (close(file->fd) && !err) {
        err = -errno;
    }
    return err;
}

int stats_write(const struct counters_file *files, size_t nr, double seconds, struct output *file)
{
    struct json_object *object = json_object_new_object(), *processes = json_object_new_array();
    struct sample *sample = malloc(sizeof(*sample));
    int err;

    put_text(object, "version", ww_version());
    put_real(object, "seconds", seconds);
    for (size_t i = 0; sample && i < nr; i++) {
        counters_read(&files[i], sample);
        json_object_array_add(processes, sample_json(sample));
    }
    json_object_object_add(object, "processes", processes);
    err = sample ? write_object(file, object) : -ENOMEM;
    free(sample);
    json_object_put(object);
    return err;
}
