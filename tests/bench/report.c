/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints a full run as docs/evidence/BENCHMARKS.md: the targets with the measured ratios, then all
 * figures, in a table for native peers and one for Windows programs.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../programs/common/proc.h"
#include "peers.h"

static void print_head(const struct bench_results *results, FILE *out)
{
    FILE *cpuinfo = fopen("/proc/cpuinfo", "re");
    char line[256], cpu[200] = "an unknown processor", date[32];
    time_t now = time(NULL);

    while (cpuinfo && fgets(line, sizeof(line), cpuinfo)) {
        if (sscanf(line, "model name : %199[^\n]", cpu) == 1) {
            break;
        }
    }
    if (cpuinfo) {
        fclose(cpuinfo);
    }
    strftime(date, sizeof(date), "%Y-%m-%d", gmtime(&now));
    fprintf(
        out,
        "# Benchmarks\n\n"
        "Made by `make benchmarks` on %s: Linux %s, %ld processors (%s), pages of %ld bytes, %zu rounds.\n"
        "In a round each peer runs each workload once, in turn, in a process of its own; every answer is\n"
        "checked. Machines differ: read the ratios. What the times consist of, and why some targets are\n"
        "missed: [PERFORMANCE.md](PERFORMANCE.md).\n\n"
        "| peer | what it is |\n|---|---|\n"
        "| uffd, uffd-sync, mprotect | the library's backends |\n"
        "| bare | PAGEMAP_SCAN in a loop and the stores into the array: no peer can take less; right only "
        "for these workloads |\n"
        "| marker | the way of Wine 10.7 and later, without Wine: all of a reservation is armed up front |\n"
        "| wine-X, wine-X-shim | a Windows program under that Wine, stock and with `writewatch run` |\n",
        date, kernel_release(), sysconf(_SC_NPROCESSORS_ONLN), cpu, sysconf(_SC_PAGESIZE),
        results->nr_rounds);
}

/* ---- targets ---- */

static void print_target(const struct bound *target, const struct bench_results *results, FILE *out)
{
    const struct bench_figure *figure = bench_figure_find((struct bench_results *)results, target->figure);
    const struct bench_peer *peer = bench_find_peer(&results->peers, target->peer);
    const struct bench_peer *to = bench_find_peer(&results->peers, target->to);
    struct bench_summary ratio = { .n = 0 };

    if (target->heading[0]) {
        fprintf(out, "| **%s** | | | | |\n", target->heading);
    }
    fprintf(out, "| %s | %s / %s | ", target->figure, target->peer, target->to);
    if (figure && peer && to) {
        ratio = bench_ratio(results, figure, peer - results->peers.peer, to - results->peers.peer);
    }
    if (!ratio.n) {
        fprintf(out, "not measured | %g | |\n", target->max_ratio);
        return;
    }
    fprintf(out, "%.3g (%.3g-%.3g) | %g | %s |\n", ratio.median, ratio.q1, ratio.q3, target->max_ratio,
            ratio.median <= target->max_ratio ? "met" : "**missed**");
}

static void print_targets(const struct bounds *targets, const struct bench_results *results, FILE *out)
{
    fprintf(
        out,
        "\n## Targets\n\n"
        "Ratios of two peers in the same round: the median of all rounds, and the quartiles. A target is\n"
        "the most that the median may be.\n\n"
        "| figure | ratio of | measured | target | |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < targets->nr; i++) {
        print_target(&targets->bound[i], results, out);
    }
}

/* ---- all figures ---- */

/* The peer to which this one's ratios are: wine-X for wine-X-shim, itself for another command, and the first
 * peer for native ones. */
static size_t base_of(const struct bench_results *results, size_t peer)
{
    const struct bench_peer *all = results->peers.peer;
    size_t first = 0;

    for (size_t i = 0; all[peer].command && i < results->peers.nr; i++) {
        size_t len = strlen(all[i].name);

        if (!strncmp(all[i].name, all[peer].name, len) && !strcmp(all[peer].name + len, "-shim")) {
            return i;
        }
    }
    return all[peer].command ? peer : first;
}

static void print_cell(const struct bench_results *results, const struct bench_figure *figure, size_t peer,
                       FILE *out)
{
    struct bench_summary all = bench_summarize(figure->sample[peer], results->nr_rounds);
    size_t base = base_of(results, peer);
    char text[32];

    if (!all.n) {
        fprintf(out, " - |");
        return;
    }
    bench_humanize(all.median, figure->unit, text);
    fprintf(out, " %s", text);
    if (base != peer) {
        struct bench_summary ratio = bench_ratio(results, figure, peer, base);

        if (ratio.n) {
            fprintf(out, " (%.3g)", ratio.median);
        }
    }
    fprintf(out, " |");
}

static void print_figures(const struct bench_results *results, bool commands, FILE *out)
{
    bool any = false;

    fprintf(out, "| |");
    for (size_t peer = 0; peer < results->peers.nr; peer++) {
        if (!!results->peers.peer[peer].command == commands) {
            fprintf(out, " %s |", results->peers.peer[peer].name);
        }
    }
    fprintf(out, "\n|---|");
    for (size_t peer = 0; peer < results->peers.nr; peer++) {
        if (!!results->peers.peer[peer].command == commands) {
            fprintf(out, "---|");
        }
    }
    fprintf(out, "\n");
    for (size_t i = 0; i < results->nr_figures; i++) {
        any = false;
        for (size_t peer = 0; peer < results->peers.nr; peer++) {
            any |= !!results->peers.peer[peer].command == commands &&
                   bench_summarize(results->figure[i].sample[peer], results->nr_rounds).n;
        }
        if (!any) {
            continue;
        }
        fprintf(out, "| %s |", results->figure[i].name);
        for (size_t peer = 0; peer < results->peers.nr; peer++) {
            if (!!results->peers.peer[peer].command == commands) {
                print_cell(results, &results->figure[i], peer, out);
            }
        }
        fprintf(out, "\n");
    }
}

void report_print(const struct bench_results *results, const struct bounds *targets, FILE *out)
{
    bool has_commands = false;

    for (size_t peer = 0; peer < results->peers.nr; peer++) {
        has_commands |= results->peers.peer[peer].command != NULL;
    }
    print_head(results, out);
    print_targets(targets, results, out);
    fprintf(out, "\n## Without Wine\n\nMedians; in brackets the median ratio to %s.\n\n",
            results->peers.peer[0].name);
    print_figures(results, false, out);
    if (has_commands) {
        fprintf(out,
                "\n## Windows programs\n\nMedians; in brackets the median ratio to the same Wine without the "
                "shim.\n\n");
        print_figures(results, true, out);
    }
    if (results->nr_notes) {
        fprintf(out, "\n## Notes\n\n");
        bench_print_notes(results, out, "* ");
    }
}
