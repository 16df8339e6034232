/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch bench`: its options, the choice of peers, and the output. The core (bench/bench.h) measures; it
 * also serves tests/bench/native, which adds peers that are of no use to users.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "common/options.h"
#include "common/survey.h"
#include "programs.h"

const char bench_help[] =
    "usage: writewatch bench [--quick] [--backend=NAME...] [--workload=PATTERN...] [--rounds=N]\n"
    "                        [--json] [--plot=FOLDER]\n"
    "\n"
    "Measures what each method of tracking writes costs on this machine, all of them in turn,\n"
    "round after round, and checks every answer. Takes many minutes; --quick takes seconds.\n"
    "\n"
    "  --quick             small regions and 3 rounds: to see that it works, not what it costs\n"
    "  --backend=NAME      only this backend, or 'bare', the kernel's PAGEMAP_SCAN in a loop;\n"
    "                      may be given several times, and ratios are to the first\n"
    "  --workload=PATTERN  only workloads whose names match, as 'dense_*'; several times too\n"
    "  --rounds=N          rounds, 1 to 99 (default: 9)\n"
    "  --json              the results as JSON, see writewatch-json(5)\n"
    "  --plot=FOLDER       draws cost by dirty fraction and by size of the region, as SVG, with\n"
    "                      gnuplot\n"
    "  -h, --help          shows this help\n"
    "\n"
    "Progress goes to standard error. The exit code is 0, 77 if none of the backends works\n"
    "here, 1 if an answer or these options are wrong, or the output cannot be written.\n";

#define LIMIT_S 30
#define QUICK_LIMIT_S 10
#define NR_ROUNDS 9
#define QUICK_ROUNDS 3

struct request {
    const char *backend[MAX_PEERS];
    size_t nr_backends;
    const char *pattern[16];
    size_t nr_patterns;
    uint64_t nr_rounds; /* 0: not given */
    bool quick, json;
    const char *plot; /* a folder, or NULL */
};

static int take_backend(const struct option_row *row, const char *name)
{
    struct request *request = row->to;
    struct backends backends;
    char names[200] = "";

    probe_backends(&backends);
    if (strcmp(name, "bare") && !find_backend(&backends, name)) {
        for (size_t i = 0; i < backends.nr; i++) {
            append_name(names, sizeof(names), ", ", backends.probe[i].name);
        }
        append_name(names, sizeof(names), ", ", "bare");
        return usage_error("bench", "unknown backend '%s'; there are: %s", name, names);
    }
    for (size_t i = 0; i < request->nr_backends; i++) {
        if (!strcmp(request->backend[i], name)) {
            return usage_error("bench", "backend '%s' was given twice", name);
        }
    }
    request->backend[request->nr_backends++] = name; /* there are fewer names than places */
    return GO_ON;
}

static int take_pattern(const struct option_row *row, const char *pattern)
{
    struct request *request = row->to;
    const struct bench_plan plan = { .patterns = &pattern, .nr_patterns = 1 };
    char names[300] = "";

    for (size_t i = 0; i < bench_nr_workloads; i++) {
        if (bench_is_wanted(&plan, &bench_workloads[i])) {
            if (request->nr_patterns == sizeof(request->pattern) / sizeof(request->pattern[0])) {
                return usage_error("bench", "too many workloads are named");
            }
            request->pattern[request->nr_patterns++] = pattern;
            return GO_ON;
        }
    }
    for (size_t i = 0; i < bench_nr_workloads; i++) {
        append_name(names, sizeof(names), ", ", bench_workloads[i].name);
    }
    return usage_error("bench", "no workload matches '%s'; there are: %s", pattern, names);
}

/* Adds the named backends, each of which must work, or else all that work. */
static int add_peers(const struct request *request, struct bench_peers *peers)
{
    struct backends backends;
    size_t nr;

    probe_backends(&backends);
    nr = request->nr_backends ? request->nr_backends : backends.nr + 1;
    for (size_t i = 0; i < nr; i++) {
        const char *name = request->nr_backends ? request->backend[i]
                           : i < backends.nr    ? backends.probe[i].name
                                                : "bare";
        const char *reason = "";
        int err =
            strcmp(name, "bare") ? bench_add_backend(peers, name, &reason) : bench_add_bare(peers, &reason);

        if (err) {
            fprintf(stderr, PROGRAM ": %s is left out: %s\n", name, reason);
        }
        if (err && request->nr_backends) {
            return EXIT_UNUSABLE;
        }
    }
    return peers->nr ? 0 : EXIT_UNUSABLE;
}

static int plot(const struct bench_results *results, const char *folder)
{
    int err = bench_plot(results, folder);

    switch (err) {
    case 0:
        return EXIT_SUCCESS;
    case -ENOPKG:
        fprintf(stderr, PROGRAM ": gnuplot was not found (Debian: gnuplot-nox)\n");
        return EXIT_FAILURE;
    case -ENODATA:
        fprintf(stderr, PROGRAM ": nothing to plot: no workload dense_* was measured\n");
        return EXIT_FAILURE;
    case -EIO:
        fprintf(stderr, PROGRAM ": gnuplot failed\n");
        return EXIT_FAILURE;
    default:
        fprintf(stderr, PROGRAM ": cannot plot into '%s': %s\n", folder, strerror(-err));
        return EXIT_FAILURE;
    }
}

static int print(const struct request *request, const struct bench_results *results)
{
    int status = results->nr_wrong ? EXIT_FAILURE : EXIT_SUCCESS;

    if (request->json) {
        bench_print_json(results, stdout);
    } else {
        bench_print_table(results, stdout);
    }
    bench_print_notes(results, stderr, PROGRAM ": ");
    if (request->plot && plot(results, request->plot)) {
        status = EXIT_FAILURE;
    }
    return status;
}

static int measure(const struct request *request)
{
    const struct bench_plan plan = {
        .quick = request->quick,
        .limit_s = request->quick ? QUICK_LIMIT_S : LIMIT_S,
        .patterns = request->pattern,
        .nr_patterns = request->nr_patterns,
        .progress = stderr,
    };
    size_t nr_rounds = request->nr_rounds ? request->nr_rounds : request->quick ? QUICK_ROUNDS : NR_ROUNDS;
    struct bench_peers peers = { .nr = 0 };
    struct bench_results *results;
    int status = add_peers(request, &peers), err;

    if (status) {
        return status;
    }
    results = bench_results_new(&peers, nr_rounds);
    err = results ? bench_run_all(&plan, results) : -ENOMEM;
    if (err) {
        fprintf(stderr, PROGRAM ": cannot measure: %s\n", strerror(-err));
        status = EXIT_FAILURE;
    } else {
        status = finish_output(print(request, results));
    }
    bench_results_free(results);
    return status;
}

int bench_main(int argc, char **argv)
{
    struct request request = { .nr_rounds = 0 };
    const struct option_row options[] = {
        { "quick", OPTION_FLAG, .to = &request.quick },
        { "backend", OPTION_OTHER, .to = &request, .take = take_backend },
        { "workload", OPTION_OTHER, .to = &request, .take = take_pattern },
        { "rounds", OPTION_ROUNDS, .to = &request.nr_rounds, .least = 1, .most = MAX_ROUNDS },
        { "json", OPTION_FLAG, .to = &request.json },
        { "plot", OPTION_TEXT, .to = &request.plot },
        { 0 },
    };
    int status = read_options("bench", bench_help, options, argc, argv);

    if (status == GO_ON && optind < argc) {
        status = usage_error("bench", "bench takes no '%s'", argv[optind]);
    }
    return status == GO_ON ? measure(&request) : status;
}
