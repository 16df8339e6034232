/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch top`: what a running program does with its write watches, in a terminal (top/screen.c), or one
 * interval of it as JSON. The rates are the difference of two samples (counters/counters.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/options.h"
#include "counters/choose.h"
#include "counters/summary.h"
#include "programs.h"
#include "top/top.h"

const char top_help[] = "usage: writewatch top [--pid=PID] [--interval=SECONDS] [--json]\n"
                        "\n"
                        "Shows what a program that was started with 'writewatch run --stats' does with its\n"
                        "write watches: regions, how often it asks about them, which of their pages are\n"
                        "dirty, and what it costs.\n"
                        "\n"
                        "  --pid=PID           this process (default: the only one that uses write watches)\n"
                        "  --interval=SECONDS  how often, from 0.1 to 60 (default: 1)\n"
                        "  --json              writes one interval as JSON, and ends\n"
                        "  -h, --help          shows this help\n"
                        "\n"
                        "Keys: q quits, p pauses, s sorts by another column, arrows and page keys scroll.\n"
                        "\n"
                        "Examples:\n"
                        "  writewatch run --stats -- wine game.exe &\n"
                        "  writewatch top\n"
                        "  writewatch top --json --interval=10 | jq .rates\n"
                        "\n"
                        "The exit code is 0; 1 if there is no such process or these options are wrong.\n";

static void rate_region(const struct sample *before, const struct region_sample *now, double seconds,
                        struct region_rate *ret)
{
    struct region_sample since;

    region_since(before, now, &since);
    *ret = (struct region_rate){
        .start = now->start,
        .end = now->end,
        .gets = since.nr_gets / seconds,
        .pages = since.nr_pages / seconds,
        .busy = since.time_ns / (seconds * 1e9),
    };
    for (size_t i = 0; i < COUNTERS_NR_PARTS; i++) {
        ret->part[i] = since.part[i] / seconds;
    }
}

double top_rates(const struct sample *before, const struct sample *now, struct rates *ret)
{
    double seconds = (now->now_ns - before->now_ns) / 1e9;

    seconds = seconds > 0 ? seconds : 1;
    ret->gets = (now->call[COUNTERS_GET].nr - before->call[COUNTERS_GET].nr) / seconds;
    ret->resets = (now->call[COUNTERS_RESET].nr - before->call[COUNTERS_RESET].nr) / seconds;
    ret->clean = (now->nr_clean - before->nr_clean) / seconds;
    ret->pages = (now->nr_pages - before->nr_pages) / seconds;
    ret->busy = query_time_ns(before, now) / (seconds * 1e9);
    ret->nr_regions = now->nr_regions;
    for (size_t i = 0; i < now->nr_regions; i++) {
        rate_region(before, &now->region[i], seconds, &ret->region[i]);
    }
    return seconds;
}

/* ---- JSON ---- */

static struct json_object *rates_json(const struct rates *rates, double seconds)
{
    struct json_object *object = json_object_new_object();

    put_real(object, "seconds", seconds);
    put_real(object, "gets_per_s", rates->gets);
    put_real(object, "clean_gets_per_s", rates->clean);
    put_real(object, "resets_per_s", rates->resets);
    put_real(object, "pages_per_s", rates->pages);
    put_real(object, "busy", rates->busy);
    return object;
}

static int print_json(const struct top *top)
{
    struct json_object *object = sample_json(top->now);

    json_object_object_add(object, "rates", rates_json(top->rates, top->seconds));
    print_object(object, stdout);
    return finish_output(EXIT_SUCCESS);
}

/* ---- samples ---- */

void top_next(struct top *top)
{
    struct sample *oldest = top->before;

    top->before = top->now;
    top->now = oldest;
    counters_read(&top->file, top->now);
    top->seconds = top_rates(top->before, top->now, top->rates);
}

static bool make_room(struct top *top)
{
    top->before = malloc(sizeof(*top->before));
    top->now = malloc(sizeof(*top->now));
    top->rates = malloc(sizeof(*top->rates));
    return top->before && top->now && top->rates;
}

static int run(struct top *top, bool json)
{
    struct timespec rest = { .tv_sec = top->interval,
                             .tv_nsec = (top->interval - (long)top->interval) * 1e9 };

    counters_read(&top->file, top->now);
    if (!json) {
        return top_screen(top);
    }
    while (nanosleep(&rest, &rest) && errno == EINTR) {
        ;
    }
    top_next(top);
    return print_json(top);
}

/* ---- options ---- */

int top_main(int argc, char **argv)
{
    struct top top = { .interval = 1 };
    bool json = false;
    pid_t pid = 0;
    const struct option_row options[] = {
        { "pid", OPTION_PID, .to = &pid },
        { "interval", OPTION_SECONDS, .to = &top.interval, .least = 0.1, .most = 60 },
        { "json", OPTION_FLAG, .to = &json },
        { 0 },
    };
    int status = read_options("top", top_help, options, argc, argv);

    if (status != GO_ON) {
        return status;
    }
    if (optind < argc) {
        return usage_error("top", "unexpected '%s'", argv[optind]);
    }
    if (!json && !isatty(STDOUT_FILENO)) {
        return usage_error("top", "standard output is no terminal; --json writes one interval");
    }
    if (choose_process("top", pid, &top.file)) {
        return EXIT_FAILURE;
    }
    status = make_room(&top) ? run(&top, json) : EXIT_FAILURE;
    munmap(top.file.counters, sizeof(*top.file.counters));
    free(top.before);
    free(top.now);
    free(top.rates);
    return status;
}
