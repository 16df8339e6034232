/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line of `writewatch`, in this process: argv is the input, split at each
 * newline. Wrapped functions execute, open and measure nothing; they record what the
 * command would do, and compare it with the command line.
 *
 * Exit codes must be those of writewatch(1), a usage error must name --help, and
 * numbers must be those on the command line.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define main writewatch_main
int writewatch_main(int argc, char **argv);
#include "../../../programs/main.c"
#undef main

#include "bench/bench.h"
#include "counters/choose.h"
#include "doctor/capture.h"
#include "fuzz.h"
#include "pagemap/pagemap.h"
#include "record/lines.h"
#include "writewatch-pagemap.h"

#define MAX_ARGS 24

static char *args[MAX_ARGS + 2];
static int nr_args;

/* What the command would have done. */
static struct {
    char **executed;
    bool opened, measured, finished;
    unsigned int nr_scans;
    struct ww_pagemap_scan last_scan;
} came;

static int exec_error; /* with which execvp() fails */

/* ---- what is on the command line ---- */

/* Whether an argument is this number, or an option with this number after a '='. Leading zeros do not matter.
 */
static bool is_number(const char *arg, uint64_t number)
{
    const char *equals = strchr(arg, '=');
    char digits[32];

    arg = equals && arg[0] == '-' ? equals + 1 : arg;
    while (arg[0] == '0' && arg[1]) {
        arg++;
    }
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    return !strcmp(arg, digits);
}

static bool stands_there(uint64_t number)
{
    for (int i = 1; i < nr_args; i++) {
        if (is_number(args[i], number)) {
            return true;
        }
    }
    return false;
}

static bool is_argument(const char *text)
{
    for (int i = 1; i < nr_args; i++) {
        if (args[i] == text) {
            return true;
        }
    }
    return false;
}

/* Whether @text is an argument or an option's value on the command line. */
static bool is_value(const char *text)
{
    for (int i = 1; i < nr_args; i++) {
        const char *equals = strchr(args[i], '=');

        if (args[i] == text || (equals && equals + 1 == text)) {
            return true;
        }
    }
    return false;
}

/* ---- wrapped functions ---- */

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
int __wrap_lines_open(struct lines *lines, const char *path);
int __wrap_capture(char *const command[], unsigned int seconds, char *ret, size_t size);
int __wrap_child_start(char **command);
int __wrap_counters_folder_make(struct counters_folder *ret);
int __wrap_choose_process(const char *command, pid_t pid, struct counters_file *ret);

int __wrap_execvp(const char *file, char *const *argv);
int __real_fclose(FILE *stream);
int __wrap_fclose(FILE *stream);
ssize_t __real_ww_probe(struct ww_probe *ret_probes, size_t capacity);
ssize_t __wrap_ww_probe(struct ww_probe *ret_probes, size_t capacity);
int __wrap_ww_pagemap_try(struct ww_pagemap **ret_pagemap, pid_t pid, struct ww_failure *failure);
int __real_ww_pagemap_try(struct ww_pagemap **ret_pagemap, pid_t pid, struct ww_failure *failure);
ssize_t __wrap_ww_pagemap_scan(struct ww_pagemap *pagemap, struct ww_pagemap_scan *scan,
                               struct ww_page_region *vec, size_t vec_len);
int __wrap_bench_run_all(const struct bench_plan *plan, struct bench_results *results);
int __wrap_bench_plot(const struct bench_results *results, const char *folder);

/* Must be called with the rest of the command line. */
int __wrap_execvp(const char *file, char *const *argv)
{
    must(!came.executed && is_argument(file) && argv[0] == file && !strcmp(args[1], "run"), "executed '%s'",
         file);
    came.executed = (char **)argv;
    errno = exec_error;
    return -1;
}

/* Records whether the command closed its output. */
int __wrap_fclose(FILE *stream)
{
    came.finished |= stream == stdout;
    return __real_fclose(stream);
}

/* Probes once, because probing takes a while and always gives the same. */
ssize_t __wrap_ww_probe(struct ww_probe *ret_probes, size_t capacity)
{
    static struct ww_probe probes[8];
    static ssize_t nr;

    if (!nr) {
        nr = __real_ww_probe(probes, 8);
    }
    for (ssize_t i = 0; i < nr && (size_t)i < capacity; i++) {
        ret_probes[i] = probes[i];
    }
    return nr;
}

/* This process stands for all with an odd process ID; the others do not exist. */
int __wrap_ww_pagemap_try(struct ww_pagemap **ret_pagemap, pid_t pid, struct ww_failure *failure)
{
    must(!came.opened && pid > 0 && stands_there(pid), "process %d", (int)pid);
    came.opened = true;
    return pid & 1 ? __real_ww_pagemap_try(ret_pagemap, 0, failure)
                   : ww_fail(failure, WW_STEP_PROC_PAGEMAP, -ESRCH);
}

ssize_t __wrap_ww_pagemap_scan(struct ww_pagemap *pagemap, struct ww_pagemap_scan *scan,
                               struct ww_page_region *vec, size_t vec_len)
{
    uint64_t masks = scan->category_mask | scan->category_anyof_mask | scan->return_mask;

    must(came.opened && !scan->flags, "it write-protects");
    must(scan->start < scan->end && scan->start % 4096 == 0, "%#llx-%#llx", (unsigned long long)scan->start,
         (unsigned long long)scan->end);
    must(!(masks & ~ww_pagemap_categories(pagemap)), "categories that cannot be told: %#llx",
         (unsigned long long)masks);
    must(!scan->max_pages || came.nr_scans || stands_there(scan->max_pages), "%llu pages",
         (unsigned long long)scan->max_pages);
    must(!(scan->category_inverted & scan->category_anyof_mask), "asked for and excluded");
    came.nr_scans++;
    came.last_scan = *scan;
    memset(vec, 0, 2 * sizeof(*vec));
    must(vec_len >= 2, "room for %zu regions", vec_len);
    scan->walk_end = scan->end;
    if (scan->max_pages == 1 || scan->end - scan->start < 3 * 4096) {
        return 0;
    }
    vec[0] = (struct ww_page_region){ scan->start, scan->start + 4096, scan->return_mask };
    return 1;
}

int __wrap_bench_run_all(const struct bench_plan *plan, struct bench_results *results)
{
    bool quick = plan->quick;

    must(!came.measured && !strcmp(args[1], "bench"), "measured");
    must(results->nr_rounds == 9 || (quick && results->nr_rounds == 3) || stands_there(results->nr_rounds),
         "%zu rounds", results->nr_rounds);
    must(results->nr_rounds >= 1 && results->nr_rounds <= 99, "%zu rounds", results->nr_rounds);
    for (size_t i = 0; i < plan->nr_patterns; i++) {
        must(plan->patterns[i][0], "an empty pattern");
    }
    came.measured = true;
    return -EINTR;
}

int __wrap_bench_plot(const struct bench_results *results, const char *folder)
{
    (void)results;
    must(is_argument(folder) || strchr(folder, '/'), "'%s'", folder);
    return 0;
}

/* Does not open a file that the command line names; opens all others. */
FILE *__wrap_fopen(const char *path, const char *mode)
{
    if (is_value(path)) {
        came.opened = true;
        errno = ENOENT;
        return NULL;
    }
    return __real_fopen(path, mode);
}

/* Does not write a file that the command line names. */
int __wrap_lines_open(struct lines *lines, const char *path)
{
    must(!came.opened && !strcmp(args[1], "record") && is_value(path), "record to '%s'", path);
    lines->file.path = path;
    came.opened = true;
    return -EROFS;
}

/* Wine is not installed. */
int __wrap_capture(char *const command[], unsigned int seconds, char *ret, size_t size)
{
    must(!strcmp(args[1], "doctor") && seconds && size, "'%s' is run", command[0]);
    must(!strcmp(command[0], "wine") || is_value(command[0]), "'%s' is run", command[0]);
    ret[0] = '\0';
    return -ENOENT;
}

int __wrap_child_start(char **command)
{
    must(false, "'%s' is started", command[0]);
    return -ENOENT;
}

/* No folder for statistics can be made; the command must be executed nevertheless. */
int __wrap_counters_folder_make(struct counters_folder *ret)
{
    (void)ret;
    must(!strcmp(args[1], "run"), "a folder");
    return -EROFS;
}

int __wrap_choose_process(const char *command, pid_t pid, struct counters_file *ret)
{
    (void)ret;
    must(!came.opened && (!pid || stands_there(pid)), "process %d", (int)pid);
    must(!strcmp(command, args[1]), "for '%s'", command);
    came.opened = true;
    fprintf(stderr, PROGRAM ": no such process\n");
    return -ESRCH;
}

/* ---- one input ---- */

static bool is_documented(const char *command, int status)
{
    if (!strcmp(command, "run")) {
        return status == (came.executed ? exec_error == ENOENT ? 127 : 126 : 1) ||
               (!came.executed && !status);
    }
    if (!strcmp(command, "scan") || !strcmp(command, "probe") || !strcmp(command, "bench")) {
        return status == 0 || status == 1 || status == 77;
    }
    return status == 0 || status == 1;
}

static int split(const uint8_t *data, size_t size, char *buffer)
{
    int nr = 1;
    char *at = buffer;

    memcpy(buffer, data, size);
    buffer[size] = '\0';
    args[0] = (char *)"writewatch";
    while (nr <= MAX_ARGS) {
        args[nr++] = at;
        at = strchr(at, '\n');
        if (!at) {
            break;
        }
        *at++ = '\0';
    }
    args[nr] = NULL;
    return nr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *buffer = malloc(size + 1), *out, *err;
    FILE *own_stdout = stdout, *own_stderr = stderr;
    size_t out_size, err_size;
    int status;

    memset(&came, 0, sizeof(came));
    exec_error = size % 2 ? ENOENT : EACCES;
    nr_args = split(data, size, buffer);
    /* An earlier input's command has set them for the command that it would have become. */
    unsetenv("WW_BACKEND");
    unsetenv("WW_DEBUG");
    unsetenv("LD_PRELOAD");
    unsetenv("WW_STATS");
    stdout = open_memstream(&out, &out_size);
    stderr = open_memstream(&err, &err_size);
    optind = 0;
    status = writewatch_main(nr_args, args);
    if (!came.finished) {
        fclose(stdout);
        must(!out_size || status == 1, "output that is not finished");
    }
    fclose(stderr);
    stdout = own_stdout;
    stderr = own_stderr;
    must(is_documented(args[1], status), "'%s' ends with %d", args[1], status);
    must(status != 1 || err_size || (!strcmp(args[1], "doctor") && out_size), "'%s' fails without a word",
         args[1]);
    must(status != 1 || came.executed || came.opened || came.measured || !strcmp(args[1], "doctor") ||
             strstr(err, "--help'"),
         "no word about help: %s", err);
    /* The fuzzer opens files as well, which __wrap_fopen() must not refuse. */
    nr_args = 0;
    free(out);
    free(err);
    free(buffer);
    return 0;
}
