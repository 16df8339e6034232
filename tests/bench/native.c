/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tracking writes costs: the benchmark's core (programs/bench/bench.h) with these peers: every backend
 * of the library that works here, the bare ioctl, Wine's method (marker.c), and other programs (command.c).
 * Prints a line for each figure,
 *   bench workload=get_reset_64m_1pct_scattered peer=uffd kernel=6.18 page=4096 pages=164 n=9 min_us=
 *   median_us= max_us= ns_per_page=
 * and a line for each ratio to the first peer,
 *   ratio workload=get_reset_64m_1pct_scattered peer=mprotect to=uffd median= q1= q3= n=9
 * With --bounds only the peers that the file names take part, and only the ratios that it names are compared
 * with it and printed.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

#define EXIT_SKIPPED 77
#define EXIT_BAD_OPTIONS 2
#define LIMIT_S 30

struct request {
    struct bench_plan plan;
    const char *pattern[16];
    size_t nr_rounds;
    const char *bounds_path;
    struct bounds bounds;
    struct bench_peer command[MAX_PEERS];
    size_t nr_commands;
    bool only_commands, table;
    const char *targets_path, *report_path, *plot_folder;
    struct bounds targets;
};

/* Workloads that only other programs have. */
static const struct bench_workload extra[] = {
    { "unwatched", "a Windows program's calls on memory that is not watched", 0, NULL, NULL },
    { "ordinary", "a Windows program that has no use for write watches", 0, NULL, NULL },
    { "startup", "programs from start to end, a Wine prefix that is brought up to date", 0, NULL, NULL },
};

static bool is_named(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->bounds.nr; i++) {
        if (!strcmp(request->bounds.bound[i].peer, name) || !strcmp(request->bounds.bound[i].to, name)) {
            return true;
        }
    }
    return !request->bounds_path;
}

static void add_native_peers(const struct request *request, struct bench_peers *peers)
{
    struct ww_probe probe[16];
    size_t capacity = sizeof(probe) / sizeof(probe[0]);
    ssize_t nr = ww_probe(probe, capacity);
    const char *reason;

    for (ssize_t i = 0; i < nr && i < (ssize_t)capacity; i++) {
        if (is_named(request, probe[i].name) && bench_add_backend(peers, probe[i].name, &reason)) {
            printf("note peer=%s left out: %s\n", probe[i].name, reason);
        }
    }
    if (is_named(request, "bare") && bench_add_bare(peers, &reason)) {
        printf("note peer=bare left out: %s\n", reason);
    }
    if (is_named(request, marker_peer.name) && bench_add_peer(peers, &marker_peer, &reason)) {
        printf("note peer=%s left out: %s\n", marker_peer.name, reason);
    }
}

static void add_peers(const struct request *request, struct bench_peers *peers)
{
    const char *reason;

    if (!request->only_commands) {
        add_native_peers(request, peers);
    }
    for (size_t i = 0; i < request->nr_commands; i++) {
        if (bench_add_peer(peers, &request->command[i], &reason)) {
            printf("note peer=%s left out: %s\n", request->command[i].name, reason);
        }
    }
}

static int usage(void)
{
    fprintf(stderr,
            "usage: native [--quick] [--rounds=N] [--limit=SECONDS] [--workload=PATTERN...] [--bounds=FILE]\n"
            "              [--command=NAME=COMMAND... [--only-commands]] [--table]\n"
            "              [--targets=FILE --report=FILE] [--plot=FOLDER]\nworkloads:");
    for (size_t i = 0; i < bench_nr_workloads; i++) {
        fprintf(stderr, " %s", bench_workloads[i].name);
    }
    for (size_t i = 0; i < sizeof(extra) / sizeof(extra[0]); i++) {
        fprintf(stderr, " %s", extra[i].name);
    }
    fprintf(stderr, "\n");
    return EXIT_BAD_OPTIONS;
}

/* NAME=COMMAND */
static int add_command(struct request *request, char *text)
{
    char *command = strchr(text, '=');

    if (!command || request->nr_commands == MAX_PEERS) {
        return usage();
    }
    *command++ = '\0';
    request->command[request->nr_commands++] = (struct bench_peer){
        .name = text,
        .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_FREE_ARMING | WW_CAP_EXACT,
        .run = command_run,
        .command = command,
    };
    return 0;
}

static int read_options(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {
        { "quick", no_argument, NULL, 'q' },         { "rounds", required_argument, NULL, 'r' },
        { "limit", required_argument, NULL, 'l' },   { "workload", required_argument, NULL, 'w' },
        { "bounds", required_argument, NULL, 'b' },  { "command", required_argument, NULL, 'c' },
        { "only-commands", no_argument, NULL, 'o' }, { "table", no_argument, NULL, 't' },
        { "targets", required_argument, NULL, 'g' }, { "report", required_argument, NULL, 'm' },
        { "plot", required_argument, NULL, 'p' },    { 0 },
    };
    size_t most = sizeof(request->pattern) / sizeof(request->pattern[0]);
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'q') {
            request->plan.quick = true;
        } else if (option == 'r' && atoi(optarg) >= 1 && atoi(optarg) <= MAX_ROUNDS) {
            request->nr_rounds = atoi(optarg);
        } else if (option == 'l' && atoi(optarg) >= 1) {
            request->plan.limit_s = atoi(optarg);
        } else if (option == 'w' && request->plan.nr_patterns < most) {
            request->pattern[request->plan.nr_patterns++] = optarg;
        } else if (option == 'b') {
            request->bounds_path = optarg;
        } else if (option == 'o') {
            request->only_commands = true;
        } else if (option == 't') {
            request->table = true;
        } else if (option == 'g') {
            request->targets_path = optarg;
        } else if (option == 'm') {
            request->report_path = optarg;
        } else if (option == 'p') {
            request->plot_folder = optarg;
        } else if (option == 'c' && !add_command(request, optarg)) {
            continue;
        } else {
            return usage();
        }
    }
    return optind < argc ? usage() : 0;
}

static int read_bounds(const char *path, struct bounds *ret)
{
    size_t line = 0;
    int err = path ? bounds_read(path, ret, &line) : 0;

    if (err) {
        fprintf(stderr, "native: %s, line %zu: %s\n", path, line,
                err == -EINVAL ? "not 'FIGURE PEER TO MAX_RATIO [free-arming]'" : strerror(-err));
        return EXIT_BAD_OPTIONS;
    }
    return 0;
}

/* Replaces the report in one step, so that a run that fails leaves the old one. */
static int report(const struct request *request, const struct bench_results *results)
{
    char path[4096];
    FILE *file;
    int err = 0;

    snprintf(path, sizeof(path), "%s.new", request->report_path);
    file = fopen(path, "we");
    if (file) {
        report_print(results, &request->targets, file);
        err = fclose(file) || rename(path, request->report_path) ? errno : 0;
    } else {
        err = errno;
    }
    if (err) {
        fprintf(stderr, "native: %s cannot be written: %s\n", request->report_path, strerror(err));
    }
    return -err;
}

static int measure(const struct request *request, struct bench_results *results)
{
    int err = bench_run_all(&request->plan, results);
    size_t nr_broken = 0;

    if (err) {
        fprintf(stderr, "native: cannot measure: %s\n", strerror(-err));
        return EXIT_FAILURE;
    }
    if (request->bounds_path) {
        nr_broken = bounds_check(&request->bounds, results, stdout);
    } else if (request->table) {
        bench_print_table(results, stdout);
    } else {
        bench_print_lines(results, stdout);
    }
    bench_print_notes(results, stdout, "note ");
    if (request->plot_folder) {
        err = bench_plot(results, request->plot_folder);
    }
    if (err) {
        fprintf(stderr, "native: no pictures in %s: %s\n", request->plot_folder, strerror(-err));
    } else if (request->report_path) {
        err = report(request, results);
    }
    return err || results->nr_wrong || nr_broken ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct request request = {
        .plan = { .extra = extra, .nr_extra = sizeof(extra) / sizeof(extra[0]), .limit_s = LIMIT_S },
        .nr_rounds = 9,
    };
    static struct bench_peers peers;
    struct bench_results *results;
    int status = read_options(argc, argv, &request);

    request.plan.patterns = request.pattern;
    request.plan.progress = stderr;
    if (!status) {
        status = read_bounds(request.bounds_path, &request.bounds);
    }
    if (!status) {
        status = read_bounds(request.targets_path, &request.targets);
    }
    if (status) {
        return status;
    }
    add_peers(&request, &peers);
    if (!peers.nr) {
        puts("skipped: no backend works here");
        return EXIT_SKIPPED;
    }
    results = bench_results_new(&peers, request.nr_rounds);
    status = results ? measure(&request, results) : EXIT_FAILURE;
    bench_results_free(results);
    return fclose(stdout) ? EXIT_FAILURE : status;
}
