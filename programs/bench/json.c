/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benchmark's results as one JSON object. writewatch-json(5) documents its names, which do not change.
 */
#include <unistd.h>

#include "../common/json.h"
#include "../common/proc.h"
#include "bench.h"

/* Writes six digits. */
static void add_number(struct json_object *object, const char *name, double value)
{
    char text[32];

    snprintf(text, sizeof(text), "%.6g", value);
    json_object_object_add(object, name, json_object_new_double_s(value, text));
}

static void add_summary(struct json_object *object, const struct bench_summary *all)
{
    put_number(object, "n", all->n);
    add_number(object, "min", all->min);
    add_number(object, "q1", all->q1);
    add_number(object, "median", all->median);
    add_number(object, "q3", all->q3);
    add_number(object, "max", all->max);
}

static struct json_object *figure_to_json(const struct bench_results *results,
                                          const struct bench_figure *figure, size_t peer)
{
    struct json_object *object = json_object_new_object(), *ratio;
    struct bench_summary all = bench_summarize(figure->sample[peer], results->nr_rounds);
    struct bench_summary to_first = bench_ratio(results, figure, peer, 0);

    put_text(object, "workload", figure->workload);
    put_text(object, "figure", figure->name);
    put_text(object, "peer", results->peers.peer[peer].name);
    put_text(object, "unit", figure->unit);
    put_number(object, "pages", figure->pages);
    add_summary(object, &all);
    if (peer && to_first.n) {
        ratio = json_object_new_object();
        put_text(ratio, "to", results->peers.peer[0].name);
        add_summary(ratio, &to_first);
        json_object_object_add(object, "ratio", ratio);
    } else {
        json_object_object_add(object, "ratio", NULL);
    }
    return object;
}

void bench_print_json(const struct bench_results *results, FILE *out)
{
    struct json_object *object = json_object_new_object(), *peers = json_object_new_array();
    struct json_object *figures = json_object_new_array(), *notes = json_object_new_array();

    put_text(object, "version", ww_version());
    put_text(object, "kernel", kernel_release());
    put_number(object, "page_size", sysconf(_SC_PAGESIZE));
    put_number(object, "rounds", results->nr_rounds);
    for (size_t peer = 0; peer < results->peers.nr; peer++) {
        json_object_array_add(peers, json_object_new_string(results->peers.peer[peer].name));
    }
    json_object_object_add(object, "peers", peers);
    for (size_t i = 0; i < results->nr_figures; i++) {
        for (size_t peer = 0; peer < results->peers.nr; peer++) {
            if (bench_summarize(results->figure[i].sample[peer], results->nr_rounds).n) {
                json_object_array_add(figures, figure_to_json(results, &results->figure[i], peer));
            }
        }
    }
    json_object_object_add(object, "figures", figures);
    for (size_t i = 0; i < results->nr_notes; i++) {
        json_object_array_add(notes, json_object_new_string(results->notes[i]));
    }
    json_object_object_add(object, "notes", notes);
    put_number(object, "nr_wrong", results->nr_wrong);
    print_object(object, out);
}
