/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workloads on one region, all of which is written: first writes, gets by dirty fraction, decommit
 * and commit, protections. Each operation is a figure, named by operation, size, dirty fraction and layout.
 */
#include "bench.h"

/* ---- first writes ---- */

static void first_write(struct bench_run *run, size_t len, size_t stride)
{
    struct bench_area area = bench_allocate(run, len);
    size_t nr = (len / run->page + stride - 1) / stride;
    const char *layout = stride == 1 ? "contiguous" : "every_tenth";
    char size[16];
    double start;

    bench_size_name(len, size);
    bench_reserve_pages(run, len / run->page + 1);
    start = bench_now_us();
    bench_write(run, &area, nr, stride);
    bench_emit(run, nr, bench_now_us() - start, "first_write_fresh_%s_%s", size, layout);
    bench_get(run, &area, true, nr, stride);
    start = bench_now_us();
    bench_write(run, &area, nr, stride);
    bench_emit(run, nr, bench_now_us() - start, "first_write_armed_%s_%s", size, layout);
    bench_get(run, &area, false, nr, stride);
    bench_release(run, &area);
}

void bench_first_write(struct bench_run *run)
{
    first_write(run, run->quick ? MB : 64 * MB, 1);
    first_write(run, run->quick ? MB : 64 * MB, 10);
}

/* ---- get, get + reset, reset ---- */

static const struct fraction {
    const char *name;
    double percent;
    size_t one_in; /* one page in this many; 0: none */
    bool scattered;
} fractions[] = {
    { "0pct", 0, 0, false },
    { "0.1pct_contiguous", 0.1, 1000, false },
    { "0.1pct_scattered", 0.1, 1000, true },
    { "1pct_contiguous", 1, 100, false },
    { "1pct_scattered", 1, 100, true },
    { "10pct_contiguous", 10, 10, false },
    { "10pct_scattered", 10, 10, true },
    { "100pct_contiguous", 100, 1, false },
};

/* Times @repeat operations, each with the same dirty pages; unless @repeat is 1, the first run warms up and
 * is not counted. */
static void dense_point(struct bench_run *run, const struct bench_area *area, const struct fraction *fraction,
                        size_t repeat)
{
    size_t all = area->len / run->page;
    size_t nr = !fraction->one_in ? 0 : (all + fraction->one_in - 1) / fraction->one_in;
    size_t stride = fraction->scattered ? fraction->one_in : 1;
    double get = 0, get_reset = 0, reset = 0, start;
    struct bench_sample sample = { .unit = "us", .fraction = fraction->percent, .len = area->len };
    char size[16];

    for (size_t i = repeat > 1 ? 0 : 1; i <= repeat; i++) {
        if (i == 1) {
            get = get_reset = reset = 0;
        }
        bench_write(run, area, nr, stride);
        get += bench_get(run, area, false, nr, stride);
        get_reset += bench_get(run, area, true, nr, stride);
        bench_write(run, area, nr, stride);
        start = bench_now_us();
        bench_must(run, "reset", run->peer->ops->reset(run->state, area));
        reset += bench_now_us() - start;
        if (i == repeat) {
            bench_get(run, area, false, 0, 1);
        }
    }
    bench_size_name(area->len, size);
    sample.pages = nr ? nr : all;
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = { "get", "get_reset", "reset" };
        const double sums[] = { get, get_reset, reset };

        snprintf(sample.name, sizeof(sample.name), "%s_%s_%s", names[i], size, fraction->name);
        sample.value = sums[i] / repeat;
        bench_emit_sample(run, &sample);
    }
}

static void dense(struct bench_run *run, size_t len, size_t repeat)
{
    struct bench_area area = bench_allocate(run, len);

    bench_reserve_pages(run, len / run->page + 1);
    bench_make_dense(run, &area);
    for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++) {
        dense_point(run, &area, &fractions[i], repeat);
    }
    bench_release(run, &area);
}

void bench_dense_small(struct bench_run *run)
{
    dense(run, MB, run->quick ? 4 : 50);
}

void bench_dense_medium(struct bench_run *run)
{
    dense(run, run->quick ? 4 * MB : 64 * MB, run->quick ? 2 : 4);
}

void bench_dense_large(struct bench_run *run)
{
    dense(run, run->quick ? 8 * MB : GB, 1);
}

/* ---- more isolated pages than there are mappings ---- */

void bench_isolated(struct bench_run *run)
{
    size_t len = run->quick ? 2 * MB : GB, nr = len / run->page / 2;
    struct bench_area area = bench_allocate(run, len);
    double start;
    char size[16];

    bench_size_name(len, size);
    bench_reserve_pages(run, len / run->page + 1);
    bench_write(run, &area, nr, 2);
    bench_emit(run, nr, bench_get(run, &area, true, nr, 2), "get_reset_%s_every_other", size);
    start = bench_now_us();
    bench_write(run, &area, nr, 2);
    bench_emit(run, nr, bench_now_us() - start, "first_write_armed_%s_every_other", size);
    bench_get(run, &area, true, nr, 2);
    bench_release(run, &area);
}

/* ---- allocate, decommit, commit again ---- */

/* Returns the time since *mark, and sets that to now. */
static double lap(double *mark)
{
    double now = bench_now_us(), us = now - *mark;

    *mark = now;
    return us;
}

/* The total leaves out the gets that only check an answer. */
void bench_cycle(struct bench_run *run)
{
    size_t len = run->quick ? 2 * MB : 64 * MB, nr = len / run->page;
    const struct bench_ops *ops = run->peer->ops;
    struct bench_area area;
    double allocate, write, decommit, collect, release, mark;
    char size[16];

    bench_reserve_pages(run, nr + 1);
    mark = bench_now_us();
    area = bench_allocate(run, len);
    allocate = lap(&mark);
    bench_write(run, &area, nr, 1);
    write = lap(&mark);
    collect = bench_get(run, &area, true, nr, 1);
    mark = bench_now_us();
    bench_write(run, &area, nr, 1);
    write += lap(&mark);
    bench_must(run, "decommit", ops->decommit(run->state, &area));
    decommit = lap(&mark);
    bench_get(run, &area, false, 0, 1);
    mark = bench_now_us();
    bench_write(run, &area, nr / 2, 2);
    write += lap(&mark);
    collect += bench_get(run, &area, true, nr / 2, 2);
    mark = bench_now_us();
    bench_release(run, &area);
    release = lap(&mark);

    bench_size_name(len, size);
    bench_emit(run, 0, allocate, "allocate_%s", size);
    bench_emit(run, nr, decommit, "decommit_%s", size);
    bench_emit(run, 0, release, "release_%s", size);
    bench_emit(run, 0, allocate + write + collect + decommit + release, "cycle_%s", size);
}

/* ---- protections ---- */

void bench_protect(struct bench_run *run)
{
    size_t len = run->quick ? 2 * MB : 64 * MB, nr = (len / run->page + 9) / 10;
    struct bench_area area = bench_allocate(run, len);
    const struct bench_ops *ops = run->peer->ops;
    double start;
    char size[16];

    bench_reserve_pages(run, len / run->page + 1);
    bench_make_dense(run, &area);
    bench_write(run, &area, nr, 10);
    start = bench_now_us();
    bench_must(run, "protect", ops->protect(run->state, &area, false));
    bench_must(run, "protect", ops->protect(run->state, &area, true));
    bench_emit(run, nr, bench_now_us() - start, "protect_and_back_%s_10pct_scattered",
               bench_size_name(len, size));
    bench_get(run, &area, true, nr, 10);
    bench_write(run, &area, nr, 1);
    bench_get(run, &area, true, nr, 1);
    bench_release(run, &area);
}
