/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benchmark's results in text: a line for each figure and each ratio for programs, and a table with a
 * column for each peer for people. Figures without a peer are left out.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "../common/proc.h"
#include "bench.h"

static void print_figure(const struct bench_results *results, const struct bench_figure *figure, size_t peer,
                         FILE *out)
{
    struct bench_summary all = bench_summarize(figure->sample[peer], results->nr_rounds);
    const char *unit = figure->unit;

    if (!all.n) {
        return;
    }
    fprintf(out, "bench workload=%s peer=%s kernel=%s page=%ld pages=%zu n=%zu", figure->name,
            results->peers.peer[peer].name, kernel_release(), sysconf(_SC_PAGESIZE), figure->pages, all.n);
    fprintf(out, " min_%s=%.2f median_%s=%.2f max_%s=%.2f", unit, all.min, unit, all.median, unit, all.max);
    if (figure->pages) {
        fprintf(out, " ns_per_page=%.2f", all.median * 1000 / figure->pages);
    }
    fputc('\n', out);
}

void bench_print_lines(const struct bench_results *results, FILE *out)
{
    for (size_t i = 0; i < results->nr_figures; i++) {
        const struct bench_figure *figure = &results->figure[i];

        for (size_t peer = 0; peer < results->peers.nr; peer++) {
            print_figure(results, figure, peer, out);
        }
        for (size_t peer = 1; peer < results->peers.nr; peer++) {
            struct bench_summary ratio = bench_ratio(results, figure, peer, 0);

            if (ratio.n) {
                fprintf(out, "ratio workload=%s peer=%s to=%s median=%.4g q1=%.4g q3=%.4g n=%zu\n",
                        figure->name, results->peers.peer[peer].name, results->peers.peer[0].name,
                        ratio.median, ratio.q1, ratio.q3, ratio.n);
            }
        }
    }
}

void bench_print_notes(const struct bench_results *results, FILE *out, const char *before)
{
    for (size_t i = 0; i < results->nr_notes; i++) {
        fprintf(out, "%s%s\n", before, results->notes[i]);
    }
}

void bench_humanize(double value, const char *unit, char ret_text[32])
{
    const size_t size = 32;
    static const struct {
        const char *unit, *as;
        double factor;
    } scales[] = {
        { "us", "s", 1e6 },
        { "us", "ms", 1e3 },
        { "us", "us", 1 },
        { "us", "ns", 1e-3 },
        { "kb", "GB", 1 << 20 },
        { "kb", "MB", 1 << 10 },
        { "kb", "kB", 1 },
        { "writes_per_s", "M/s", 1e6 },
        { "writes_per_s", "k/s", 1e3 },
    };
    size_t nr = sizeof(scales) / sizeof(scales[0]), at = nr;

    /* Takes the first unit that leaves a digit before the point, or the smallest one. */
    for (size_t i = 0; i < nr; i++) {
        if (!strcmp(scales[i].unit, unit)) {
            at = i;
            if (fabs(value) >= 0.9995 * scales[i].factor) {
                break;
            }
        }
    }
    if (at == nr) {
        snprintf(ret_text, size, "%.3g %s", value, unit);
        return;
    }
    value /= scales[at].factor;
    snprintf(ret_text, size, "%.*f %s",
             fabs(value) >= 99.95   ? 0
             : fabs(value) >= 9.995 ? 1
                                    : 2,
             value, scales[at].as);
}

void bench_print_table(const struct bench_results *results, FILE *out)
{
    const char *workload = "";

    fprintf(out, "%-43s", "medians; in brackets ratios to the first");
    for (size_t peer = 0; peer < results->peers.nr; peer++) {
        fprintf(out, " %17s", results->peers.peer[peer].name);
    }
    fputc('\n', out);
    for (size_t i = 0; i < results->nr_figures; i++) {
        const struct bench_figure *figure = &results->figure[i];

        if (strcmp(workload, figure->workload)) {
            workload = figure->workload;
            fprintf(out, "%s\n", workload);
        }
        fprintf(out, "  %-41s", figure->name);
        for (size_t peer = 0; peer < results->peers.nr; peer++) {
            struct bench_summary all = bench_summarize(figure->sample[peer], results->nr_rounds);
            struct bench_summary ratio = bench_ratio(results, figure, peer, 0);
            char text[32] = "-", in_brackets[16] = "";

            if (all.n) {
                bench_humanize(all.median, figure->unit, text);
            }
            if (peer && ratio.n) {
                snprintf(in_brackets, sizeof(in_brackets), "(%.3g)", ratio.median);
            }
            fprintf(out, " %9s %-7s", text, in_brackets);
        }
        fputc('\n', out);
    }
}
