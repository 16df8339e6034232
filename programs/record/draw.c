/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Draws a record: pages and time by the second as curves, and a heat map. In the map each of the busiest
 * regions is a band of rows, from its first address at the bottom to its last, and a column is an interval of
 * time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../common/gnuplot.h"
#include "record.h"

#define MAX_BANDS 12
#define MAX_COLUMNS 300

/* ---- bands ---- */

struct band {
    double start, end, pages;
};

static int by_pages(const void *a, const void *b)
{
    const struct band *x = a, *y = b;

    return x->pages < y->pages ? 1 : x->pages > y->pages ? -1 : 0;
}

static int by_start(const void *a, const void *b)
{
    const struct band *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static struct band *find_band(struct band *bands, size_t nr, const struct recorded_region *region)
{
    for (size_t i = 0; i < nr; i++) {
        if (bands[i].start == region->start && bands[i].end == region->end) {
            return &bands[i];
        }
    }
    return NULL;
}

/* Finds the busiest regions, by address. Returns how many; the caller frees *ret. */
static size_t find_bands(const struct recorded_process *process, struct band **ret)
{
    struct band *bands = NULL, *band;
    size_t nr = 0, capacity = 0;

    for (size_t i = 0; i < process->nr; i++) {
        for (size_t k = 0; k < process->interval[i].nr; k++) {
            const struct recorded_region *region = &process->interval[i].region[k];

            band = find_band(bands, nr, region);
            if (!band && nr == capacity) {
                struct band *more = reallocarray(bands, capacity + 64, sizeof(*more));

                if (!more) {
                    continue;
                }
                bands = more;
                capacity += 64;
            }
            if (!band) {
                band = &bands[nr++];
                *band = (struct band){ .start = region->start, .end = region->end };
            }
            band->pages += region->pages;
        }
    }
    if (nr) {
        qsort(bands, nr, sizeof(*bands), by_pages);
        nr = nr > MAX_BANDS ? MAX_BANDS : nr;
        qsort(bands, nr, sizeof(*bands), by_start);
    }
    *ret = bands;
    return nr;
}

/* ---- the heat map ---- */

/* The value of a cell is the number of pages reported, divided by the number of pages in the ranges of the
 * gets. */
struct map {
    double *dirty, *asked;
    size_t columns, rows;
    double first, width; /* of the time axis */
};

static void add_region(struct map *map, size_t column, size_t band, const struct recorded_region *region,
                       double page_size)
{
    double pages_per_part = (region->end - region->start) / page_size / RECORD_NR_PARTS;

    for (size_t i = 0; i < RECORD_NR_PARTS; i++) {
        size_t cell = (band * RECORD_NR_PARTS + i) * map->columns + column;

        map->dirty[cell] += region->part[i];
        map->asked[cell] += region->gets * pages_per_part;
    }
}

static int fill_map(const struct recorded_process *process, struct band *bands, size_t nr_bands,
                    struct map *map)
{
    const struct recorded_interval *last = &process->interval[process->nr - 1];

    map->first = process->interval[0].t - process->interval[0].seconds;
    map->width = last->t - map->first > 0 ? last->t - map->first : 1;
    map->columns = process->nr < MAX_COLUMNS ? process->nr : MAX_COLUMNS;
    map->rows = nr_bands * RECORD_NR_PARTS;
    map->dirty = calloc(map->columns * map->rows, sizeof(double));
    map->asked = calloc(map->columns * map->rows, sizeof(double));
    if (!map->dirty || !map->asked) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < process->nr; i++) {
        const struct recorded_interval *interval = &process->interval[i];
        double at = (interval->t - interval->seconds / 2 - map->first) / map->width * map->columns;
        size_t column = at < 0 ? 0 : at >= map->columns ? map->columns - 1 : (size_t)at;

        for (size_t k = 0; k < interval->nr; k++) {
            const struct band *band = find_band(bands, nr_bands, &interval->region[k]);

            if (band) {
                add_region(map, column, band - bands, &interval->region[k], process->page_size);
            }
        }
    }
    return 0;
}

static void write_map(FILE *script, const struct map *map)
{
    fprintf(script, "$map << END\n");
    for (size_t row = 0; row < map->rows; row++) {
        for (size_t column = 0; column < map->columns; column++) {
            size_t cell = row * map->columns + column;
            double share = map->asked[cell] > 0 ? map->dirty[cell] / map->asked[cell] : 0;

            fprintf(script, map->asked[cell] > 0 ? "%.4g " : "-1 ", share > 1 ? 100 : share * 100);
        }
        fprintf(script, "\n");
    }
    fprintf(script, "END\n");
}

static const char *size_text(double bytes, char text[32])
{
    snprintf(text, 32, bytes >= 1 << 20 ? "%.0f MB" : "%.0f kB",
             bytes >= 1 << 20 ? bytes / (1 << 20) : bytes / 1024);
    return text;
}

static void write_heat(FILE *script, const struct recorded_process *process, const struct band *bands,
                       size_t nr_bands, const struct map *map)
{
    char text[32];

    write_map(script, map);
    fprintf(script,
            "set terminal pngcairo size 900,%zu font 'sans,10'\nset output 'heat.png'\n"
            "unset key\nset title 'Dirty pages of %s by address, %% of those asked about' noenhanced\n"
            "set xlabel 'seconds'\nset ylabel ''\nset xrange [%g:%g]\nset yrange [-0.5:%g]\n"
            "set palette defined (-1 '#eeeeee', -0.5 '#ffffff', 1 '#d0e4f5', 10 '#4a98c9', 50 '#fd8d3c', 100 "
            "'#b10026')\n"
            "set cbrange [-1:100]\nset cblabel ''\nset tics nomirror out\nset grid noxtics\n",
            200 + nr_bands * 64, process->name, map->first, map->first + map->width, map->rows - 0.5);
    fprintf(script, "set ytics (");
    for (size_t i = 0; i < nr_bands; i++) {
        fprintf(script, "%s'%llx, %s' %g", i ? ", " : "", (unsigned long long)bands[i].start,
                size_text(bands[i].end - bands[i].start, text), (i + 0.5) * RECORD_NR_PARTS);
    }
    fprintf(script, ")\n");
    for (size_t i = 1; i < nr_bands; i++) {
        fprintf(script,
                "set arrow from graph 0, first %g to graph 1, first %g nohead lc rgb '#888888' front\n",
                i * RECORD_NR_PARTS - 0.5, i * RECORD_NR_PARTS - 0.5);
    }
    fprintf(script, "plot $map matrix using (%g + ($1 + 0.5) * %g):2:3 with image\nunset output\n",
            map->first, map->width / map->columns);
}

/* ---- curves ---- */

static void write_pages(FILE *script, const struct recorded_process *process)
{
    fprintf(script, "$pages << END\n");
    for (size_t i = 0; i < process->nr; i++) {
        const struct recorded_interval *interval = &process->interval[i];

        fprintf(script, "%g %g %g %g\n", interval->t, interval->pages / interval->seconds,
                interval->gets / interval->seconds, 100 * interval->time_ns / (interval->seconds * 1e9));
    }
    fprintf(script,
            "END\nset terminal svg size 820,500 dynamic font 'sans-serif,14' background rgb 'white'\n"
            "set output 'pages.svg'\n"
            "set title 'Write watches of %s' noenhanced\nset xlabel 'seconds'\nset ylabel 'by the second'\n"
            "set y2label '%% of the time, threads added'\nset ytics nomirror\nset y2tics\n"
            "set logscale y\nset format y '%%g'\nset y2range [0:*]\nset grid xtics ytics lc rgb '#dddddd'\n"
            "set key outside bottom center horizontal\nset autoscale xfix\nset style data lines\n"
            "plot $pages using 1:2 title 'pages' lw 2, '' using 1:3 title 'gets' lw 2, "
            "'' using 1:4 axes x1y2 title 'time' lw 1\n"
            "unset output\nreset\n",
            process->name);
}

/* The script has the name in single quotes. */
static void take_quotes_out(char *name)
{
    for (; *name; name++) {
        if (*name == '\'' || *name == '\\' || *name < ' ') {
            *name = '_';
        }
    }
}

int plot_draw(const struct recorded_process *process, const char *folder)
{
    struct recorded_process named = *process;
    struct map map = { .rows = 0 };
    FILE *script = tmpfile();
    struct band *bands = NULL;
    size_t nr_bands;
    int err = 0;

    if (!script) {
        return -errno;
    }
    nr_bands = find_bands(process, &bands);
    take_quotes_out(named.name);
    write_pages(script, &named);
    if (nr_bands) {
        err = fill_map(&named, bands, nr_bands, &map);
    }
    if (!err && nr_bands) {
        write_heat(script, &named, bands, nr_bands, &map);
    }
    if (!err) {
        err = gnuplot_run(script, folder);
    }
    fclose(script);
    free(map.dirty);
    free(map.asked);
    free(bands);
    return err;
}
