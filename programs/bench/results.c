/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benchmark's results: samples by figure, peer and round, their quartiles, and ratios of two peers. A
 * ratio is the median over the rounds, in each of which both peers ran one after the other, so that a slow
 * moment of the machine slows both. Knows neither workloads nor peers beyond their number.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct bench_results *bench_results_new(const struct bench_peers *peers, size_t nr_rounds)
{
    struct bench_results *results = calloc(1, sizeof(*results));

    if (results) {
        results->peers = *peers;
        results->nr_rounds = nr_rounds;
    }
    return results;
}

void bench_results_free(struct bench_results *results)
{
    if (results) {
        free(results->notes);
        free(results);
    }
}

struct bench_figure *bench_figure_find(struct bench_results *results, const char *name)
{
    for (size_t i = 0; i < results->nr_figures; i++) {
        if (!strcmp(results->figure[i].name, name)) {
            return &results->figure[i];
        }
    }
    return NULL;
}

/* Finds the figure of this name, or adds it without samples. NULL: there are too many. */
struct bench_figure *bench_figure_get(struct bench_results *results, const char *name, const char *unit)
{
    struct bench_figure *figure = bench_figure_find(results, name);

    if (figure || results->nr_figures == MAX_FIGURES) {
        return figure;
    }
    figure = &results->figure[results->nr_figures++];
    snprintf(figure->name, sizeof(figure->name), "%s", name);
    snprintf(figure->unit, sizeof(figure->unit), "%s", unit);
    for (size_t peer = 0; peer < MAX_PEERS; peer++) {
        for (size_t round = 0; round < MAX_ROUNDS; round++) {
            figure->sample[peer][round] = NAN;
        }
    }
    return figure;
}

void bench_note(struct bench_results *results, const char *format, ...)
{
    void *notes = realloc(results->notes, (results->nr_notes + 1) * sizeof(*results->notes));
    va_list args;

    if (!notes) {
        return;
    }
    results->notes = notes;
    va_start(args, format);
    vsnprintf(results->notes[results->nr_notes++], sizeof(*results->notes), format, args);
    va_end(args);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Interpolates between the two neighbours. */
static double quantile(const double *sorted, size_t nr, double part)
{
    double place = part * (nr - 1);
    size_t below = place;

    return below + 1 < nr ? sorted[below] + (place - below) * (sorted[below + 1] - sorted[below])
                          : sorted[nr - 1];
}

/* Skips NANs. Takes at most MAX_ROUNDS values. */
struct bench_summary bench_summarize(const double *values, size_t nr)
{
    double sorted[MAX_ROUNDS];
    size_t n = 0;

    for (size_t i = 0; i < nr && i < MAX_ROUNDS; i++) {
        if (!isnan(values[i])) {
            sorted[n++] = values[i];
        }
    }
    if (!n) {
        return (struct bench_summary){ .n = 0 };
    }
    qsort(sorted, n, sizeof(sorted[0]), compare);
    return (struct bench_summary){
        .n = n,
        .min = sorted[0],
        .q1 = quantile(sorted, n, 0.25),
        .median = quantile(sorted, n, 0.5),
        .q3 = quantile(sorted, n, 0.75),
        .max = sorted[n - 1],
    };
}

/* Takes the rounds in which both peers were measured. */
struct bench_summary bench_ratio(const struct bench_results *results, const struct bench_figure *figure,
                                 size_t peer, size_t to)
{
    double ratio[MAX_ROUNDS];

    for (size_t round = 0; round < results->nr_rounds; round++) {
        double above = figure->sample[peer][round], below = figure->sample[to][round];

        ratio[round] = below > 0 ? above / below : NAN;
    }
    return bench_summarize(ratio, results->nr_rounds);
}
