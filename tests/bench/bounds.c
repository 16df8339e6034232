/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads committed bounds and compares a run with them. It compares only ratios within one
 * run, never times, so that a bound holds on any machine. A bound that could not be
 * measured although both peers took part counts as broken.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "peers.h"

#define LINE_BYTES 300

/* Returns 1 for a bound, 0 for a comment or an empty line, -EINVAL for anything else. */
static int read_line(char *line, struct bound *ret)
{
    struct bound bound = { .needs_free_arming = false };
    char word[16] = "", rest;
    int nr;

    line[strcspn(line, "#\n")] = '\0';
    if (!line[strspn(line, " \t")]) {
        return 0;
    }
    nr = sscanf(line, "%63s %31s %31s %lf %15s %c", bound.figure, bound.peer, bound.to, &bound.max_ratio,
                word, &rest);
    bound.needs_free_arming = nr == 5 && !strcmp(word, "free-arming");
    if (nr != 4 + bound.needs_free_arming || !(bound.max_ratio > 0)) {
        return -EINVAL;
    }
    *ret = bound;
    return 1;
}

int bounds_read(const char *path, struct bounds *ret, size_t *ret_line)
{
    FILE *file = fopen(path, "re");
    struct bounds bounds = { .nr = 0 };
    char line[LINE_BYTES], heading[sizeof(bounds.bound[0].heading)] = "";
    int err = 0;

    if (!file) {
        return -errno;
    }
    for (size_t nr = 1; err >= 0 && fgets(line, sizeof(line), file); nr++) {
        struct bound bound;

        if (!strncmp(line, "## ", 3)) {
            snprintf(heading, sizeof(heading), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
        }
        err = read_line(line, &bound);
        if (err > 0 && bounds.nr == MAX_BOUNDS) {
            err = -ENOSPC;
        }
        if (err > 0) {
            memcpy(bound.heading, heading, sizeof(heading));
            heading[0] = '\0';
            bounds.bound[bounds.nr++] = bound;
        }
        *ret_line = nr;
    }
    if (err >= 0 && ferror(file)) {
        err = -EIO;
    }
    fclose(file);
    if (err < 0) {
        return err;
    }
    *ret = bounds;
    return 0;
}

static void print_skipped(const struct bound *bound, FILE *out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void print_skipped(const struct bound *bound, FILE *out, const char *format, ...)
{
    va_list arguments;

    fprintf(out, "bound workload=%s peer=%s to=%s skipped: ", bound->figure, bound->peer, bound->to);
    va_start(arguments, format);
    vfprintf(out, format, arguments);
    va_end(arguments);
    fputc('\n', out);
}

/* The ratio of the kernel's call alone (peer bare), below which no peer that makes the call can be; or 0. */
static double ratio_of_bare(const struct bound *bound, const struct bench_figure *figure,
                            struct bench_results *results)
{
    const struct bench_peer *bare = bench_find_peer(&results->peers, "bare");
    const struct bench_peer *to = bench_find_peer(&results->peers, bound->to);

    return bare && bare != to
               ? bench_ratio(results, figure, bare - results->peers.peer, to - results->peers.peer).median
               : 0;
}

/* Prints a line about the bound. Returns whether it is kept. */
static bool check(const struct bound *bound, struct bench_results *results, FILE *out)
{
    const struct bench_figure *figure = bench_figure_find(results, bound->figure);
    const struct bench_peer *peer = bench_find_peer(&results->peers, bound->peer);
    const struct bench_peer *to = bench_find_peer(&results->peers, bound->to);
    struct bench_summary ratio = { .n = 0 };
    double bare_ratio;

    if (!peer || !to) {
        print_skipped(bound, out, "%s does not work here", peer ? bound->to : bound->peer);
        return true;
    }
    if (bound->needs_free_arming && !(peer->caps & WW_CAP_FREE_ARMING)) {
        print_skipped(bound, out, "%s arms page by page in this kernel (no WW_CAP_FREE_ARMING)", bound->peer);
        return true;
    }
    if (figure) {
        ratio = bench_ratio(results, figure, peer - results->peers.peer, to - results->peers.peer);
    }
    if (!ratio.n) {
        fprintf(out, "bound workload=%s peer=%s to=%s NOT MEASURED\n", bound->figure, bound->peer, bound->to);
        return false;
    }
    bare_ratio = ratio.median > bound->max_ratio ? ratio_of_bare(bound, figure, results) : 0;
    if (bare_ratio > bound->max_ratio) {
        print_skipped(bound, out,
                      "median=%.4g, and %.4g of the kernel's call alone: max=%g cannot be had here",
                      ratio.median, bare_ratio, bound->max_ratio);
        return true;
    }
    fprintf(out, "bound workload=%s peer=%s to=%s median=%.4g q1=%.4g q3=%.4g n=%zu max=%g %s\n",
            bound->figure, bound->peer, bound->to, ratio.median, ratio.q1, ratio.q3, ratio.n,
            bound->max_ratio, ratio.median <= bound->max_ratio ? "ok" : "OVER");
    return ratio.median <= bound->max_ratio;
}

size_t bounds_check(const struct bounds *bounds, struct bench_results *results, FILE *out)
{
    size_t nr_broken = 0;

    for (size_t i = 0; i < bounds->nr; i++) {
        nr_broken += !check(&bounds->bound[i], results, out);
    }
    return nr_broken;
}
