/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tests/bench/native adds to the benchmark's core (programs/bench/bench.h): peers
 * that only developers need, and the comparison with committed bounds.
 */
#ifndef WW_TESTS_BENCH_PEERS_H
#define WW_TESTS_BENCH_PEERS_H

#include "../../programs/bench/bench.h"

/* marker.c */
extern const struct bench_peer marker_peer;

/* command.c: runs a workload by the peer's command. */
int command_run(const struct bench_peer *peer, const struct bench_workload *workload, struct bench_run *run);

/* bounds.c: a line "FIGURE PEER TO MAX_RATIO [free-arming]" each, '#' begins a comment, '##' a heading. */
struct bound {
    char heading[200]; /* the line "## TEXT" before it, or empty */
    char figure[FIGURE_NAME];
    char peer[32], to[32];
    double max_ratio;
    bool needs_free_arming; /* only where the peer has WW_CAP_FREE_ARMING */
};

#define MAX_BOUNDS 100

struct bounds {
    struct bound bound[MAX_BOUNDS];
    size_t nr;
};

/* 0 or a negative errno; @ret_line is the line that is wrong, where -EINVAL is returned. */
int bounds_read(const char *path, struct bounds *ret, size_t *ret_line);

/* Prints a line for each bound. Returns how many are exceeded, or could not be measured although both peers
 * took part. */
size_t bounds_check(const struct bounds *bounds, struct bench_results *results, FILE *out);

/* report.c: docs/evidence/BENCHMARKS.md. @targets are bounds that it shows beside the measured ratios. */
void report_print(const struct bench_results *results, const struct bounds *targets, FILE *out);

#endif
