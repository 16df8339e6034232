/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benchmark's results as SVG files by gnuplot, a line for each peer, from the figures that are points of
 * a curve (dense.c). The script has the numbers in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../common/gnuplot.h"
#include "../common/proc.h"
#include "bench.h"

static const struct plot {
    const char *file, *title, *x_label;
    const char *operation; /* how a figure's name begins */
    const char *layout;    /* how it ends, if its fraction leaves a choice */
    double fraction;       /* points of this one, by size; negative: all but 0, of the medium region */
} plots[] = {
    { "dirty-fraction-scattered.svg", "get + reset by dirty fraction, dirty pages scattered",
      "dirty pages (%)", "get_reset_", "scattered", -1 },
    { "dirty-fraction-contiguous.svg", "get + reset by dirty fraction, dirty pages contiguous",
      "dirty pages (%)", "get_reset_", "contiguous", -1 },
    { "region-size-dirty.svg", "get + reset by size of the region, 1 % dirty and scattered", "region (MB)",
      "get_reset_", "scattered", 1 },
    { "region-size-clean.svg", "get of a clean region by its size", "region (MB)", "get_", "0pct", 0 },
};

static bool ends_in(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);

    return len >= end_len && !strcmp(name + len - end_len, end);
}

/* Whether the figure is a point of the plot; sets its place on the x axis. */
static bool is_point(const struct plot *plot, const struct bench_figure *figure, double *ret_x)
{
    bool right_operation =
        !strncmp(figure->name, plot->operation, strlen(plot->operation)) &&
        !(strcmp(plot->operation, "get_reset_") && !strncmp(figure->name, "get_reset_", 10));

    if (!right_operation || figure->fraction < 0 || !figure->len) {
        return false;
    }
    if (plot->fraction >= 0) {
        *ret_x = (double)figure->len / MB;
        return figure->fraction == plot->fraction && ends_in(figure->name, plot->layout);
    }
    *ret_x = figure->fraction;
    return !strcmp(figure->workload, "dense_medium") && figure->fraction > 0 &&
           (figure->fraction == 100 || ends_in(figure->name, plot->layout));
}

/* The size of the region in the curves by dirty fraction. */
static size_t medium_bytes(const struct bench_results *results)
{
    for (size_t i = 0; i < results->nr_figures; i++) {
        if (!strcmp(results->figure[i].workload, "dense_medium")) {
            return results->figure[i].len;
        }
    }
    return 0;
}

/* Writes a block of points. Returns how many. */
static size_t write_points(const struct bench_results *results, const struct plot *plot, size_t peer,
                           FILE *script)
{
    size_t nr = 0;
    double x;

    fprintf(script, "$peer%zu << END\n", peer);
    for (size_t i = 0; i < results->nr_figures; i++) {
        const struct bench_figure *figure = &results->figure[i];
        struct bench_summary all = bench_summarize(figure->sample[peer], results->nr_rounds);

        if (is_point(plot, figure, &x) && all.n && all.q1 > 0) {
            fprintf(script, "%g %g %g %g\n", x, all.median, all.q1, all.q3);
            nr++;
        }
    }
    fprintf(script, "END\n");
    return nr;
}

/* Returns whether there is anything to draw. */
static bool write_plot(const struct bench_results *results, const struct plot *plot, FILE *script)
{
    const char *separator = "plot ";
    size_t nr[MAX_PEERS], sum = 0;
    char size[16];

    for (size_t peer = 0; peer < results->peers.nr; peer++) {
        nr[peer] = write_points(results, plot, peer, script);
        sum += nr[peer];
    }
    if (!sum) {
        return false;
    }
    fprintf(script,
            "set terminal svg size 820,500 dynamic font 'sans-serif,14' background rgb 'white'\n"
            "set output '%s'\n"
            "set title \"%s%s%s\\nLinux %s; median and quartiles of %zu rounds\" noenhanced\n"
            "set xlabel '%s'\nset ylabel 'time (us)'\n"
            "set logscale xy\nset grid xtics ytics lc rgb '#dddddd'\nset format '%%g'\n"
            "set key outside right noenhanced\nset style data yerrorlines\n"
            "set border 3\nset tics nomirror\nset xrange [*:*] extend\n"
            "set linetype 9 lc rgb '#a6761d'\nset linetype 10 lc rgb '#7f7f7f'\n"
            "set linetype 11 lc rgb '#f781bf'\nset linetype 12 lc rgb '#a6d854'\n",
            plot->file, plot->title, plot->fraction < 0 ? ", region of " : "",
            plot->fraction < 0 ? bench_size_name(medium_bytes(results), size) : "", kernel_release(),
            results->nr_rounds, plot->x_label);
    for (size_t peer = 0; peer < results->peers.nr; peer++) {
        if (nr[peer]) {
            fprintf(script, "%s$peer%zu using 1:2:3:4 title '%s' lw 2 lt %zu pt %zu ps 0.7", separator, peer,
                    results->peers.peer[peer].name, peer + 1, 4 + peer);
            separator = ", ";
        }
    }
    fprintf(script, "\nunset output\n");
    return true;
}

int bench_plot(const struct bench_results *results, const char *folder)
{
    FILE *script;
    bool any = false;
    int err;

    script = tmpfile();
    if (!script) {
        return -errno;
    }
    for (size_t i = 0; i < sizeof(plots) / sizeof(plots[0]); i++) {
        any |= write_plot(results, &plots[i], script);
    }
    err = any ? gnuplot_run(script, folder) : -ENODATA;
    fclose(script);
    return err;
}
