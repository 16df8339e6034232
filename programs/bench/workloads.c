/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of workloads, and what they share: memory, writes, checked answers, and samples for the parent.
 * All of it runs in a child of rounds.c, which ends early by ending the process.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include "bench.h"

#define LOSES "it loses writes of running threads"
#define COSTS_TABLES "it has to arm every page, which would take gigabytes of page tables"

const struct bench_workload bench_workloads[] = {
    { "first_write", "one write to each of the pages, fresh and after a reset", 0, NULL, bench_first_write },
    { "dense_small", "get, get + reset, reset by how much is dirty, of a small region", 0, NULL,
      bench_dense_small },
    { "dense_medium", "the same of a medium region", 0, NULL, bench_dense_medium },
    { "dense_large", "the same of a large region", 0, NULL, bench_dense_large },
    { "sparse", "a large reservation, of which next to nothing is written", 0, NULL, bench_sparse },
    { "sparse_huge", "the same of a huge one", WW_CAP_FREE_ARMING, COSTS_TABLES, bench_sparse_huge },
    { "isolated", "every other page of a region is written, which no two pages share", 0, NULL,
      bench_isolated },
    { "cycle", "allocate, write, decommit, commit again, release", 0, NULL, bench_cycle },
    { "protect", "read-only and back, a tenth of the pages dirty", 0, NULL, bench_protect },
    { "writers", "1, 2, 4 threads write while another collects", WW_CAP_ATOMIC_RESET, LOSES, bench_writers },
    { "pollers", "1, 2, 4 threads poll regions of their own", 0, NULL, bench_pollers },
    { "regions", "many regions of 64 KB, a poll each", 0, NULL, bench_regions },
    { "gc", "a generational collector: allocate, mutate old objects, collect", 0, NULL, bench_gc },
    { "textures", "buffers polled each frame, few of them dirty", 0, NULL, bench_textures },
};
const size_t bench_nr_workloads = sizeof(bench_workloads) / sizeof(bench_workloads[0]);

#define TRIAL_PAGES 64

/* Writes and resets all pages, then writes one again. */
static void trial(struct bench_run *run)
{
    struct bench_area area = bench_allocate(run, TRIAL_PAGES * run->page);
    ssize_t nr;

    bench_reserve_pages(run, TRIAL_PAGES + 1);
    bench_write(run, &area, TRIAL_PAGES, 1);
    bench_must(run, "reset", run->peer->ops->reset(run->state, &area));
    bench_write(run, &area, 1, 1);
    nr = bench_must(run, "get", run->peer->ops->get(run->state, &area, false, run->pages, TRIAL_PAGES));
    if (nr == TRIAL_PAGES) {
        bench_unable(run, "it reports every page, written or not");
    }
    if (!nr || ((run->peer->caps & WW_CAP_EXACT) && nr != 1)) {
        bench_wrong(run, "%zd pages are reported where one was written", nr);
    }
}

const struct bench_workload bench_trial = { .name = "trial", .run = trial };

/* xorshift64*; the state is never 0. */
uint64_t bench_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

void bench_remark(struct bench_run *run, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(run->report->message, sizeof(run->report->message), format, args);
    va_end(args);
}

ssize_t bench_must(struct bench_run *run, const char *what, ssize_t result)
{
    if (result == -EOPNOTSUPP || result == -ENOMEM) {
        bench_unable(run, "%s: %s", what, strerror(-result));
    }
    if (result < 0) {
        bench_wrong(run, "%s fails: %s", what, strerror(-result));
    }
    return result;
}

void bench_reserve_pages(struct bench_run *run, size_t nr)
{
    if (nr <= run->capacity) {
        return;
    }
    free(run->pages);
    run->pages = malloc(nr * sizeof(*run->pages));
    if (!run->pages) {
        bench_unable(run, "no memory for %zu addresses", nr);
    }
    memset(run->pages, 0xff, nr * sizeof(*run->pages));
    run->capacity = nr;
}

const char *bench_size_name(size_t len, char ret_name[16])
{
    static const char units[] = "bkmgt";
    size_t unit = 0;

    while (len >= 1024 && len % 1024 == 0 && unit + 2 < sizeof(units)) {
        len /= 1024;
        unit++;
    }
    snprintf(ret_name, 16, "%zu%c", len, units[unit]);
    return ret_name;
}

struct bench_area bench_allocate(struct bench_run *run, size_t len)
{
    struct bench_area area = { .len = len };

    bench_must(run, "allocate", run->peer->ops->allocate(run->state, len, false, &area));
    return area;
}

void bench_release(struct bench_run *run, const struct bench_area *area)
{
    bench_must(run, "release", run->peer->ops->release(run->state, area));
}

/* Writes no zero: the kernel may merge pages of zeros. */
void bench_write(const struct bench_run *run, const struct bench_area *area, size_t nr, size_t stride)
{
    volatile char *base = area->base;

    for (size_t i = 0; i < nr; i++) {
        base[i * stride * run->page] = 1 + (i & 63);
    }
}

/* Each isolated dirty page takes two mappings of a peer that changes protections. Near vm.max_map_count the
 * contract lets such a peer report whole runs. */
static bool is_near_limit(const struct bench_run *run, size_t nr, size_t stride)
{
    return (run->peer->caps & WW_CAP_OWNS_PROT) && stride > 1 && 2 * nr > bench_max_map_count() / 2;
}

/* Compares every answer of an exact peer page by page; the others may report more, never less. */
static void check(struct bench_run *run, const struct bench_area *area, ssize_t found, size_t nr,
                  size_t stride)
{
    if (!(run->peer->caps & WW_CAP_EXACT)) {
        if ((size_t)found < nr) {
            bench_wrong(run, "%zd pages are reported where %zu were written", found, nr);
        }
        return;
    }
    if ((size_t)found > nr && is_near_limit(run, nr, stride)) {
        bench_remark(run, "near vm.max_map_count it reports %zd pages where %zu were written", found, nr);
        return;
    }
    if ((size_t)found != nr) {
        bench_wrong(run, "%zd pages are reported where %zu were written", found, nr);
    }
    for (size_t i = 0; i < nr; i++) {
        if (run->pages[i] != area->base + i * stride * run->page) {
            bench_wrong(run, "page %zu of the answer is %p instead of %p", i, run->pages[i],
                        (void *)(area->base + i * stride * run->page));
        }
    }
}

double bench_get(struct bench_run *run, const struct bench_area *area, bool reset, size_t nr, size_t stride)
{
    double start = bench_now_us(), us;
    ssize_t found = run->peer->ops->get(run->state, area, reset, run->pages, run->capacity);

    us = bench_now_us() - start;
    check(run, area, bench_must(run, "get", found), nr, stride);
    return us;
}

void bench_make_dense(struct bench_run *run, struct bench_area *area)
{
    size_t nr = area->len / run->page;

    bench_write(run, area, nr, 1);
    bench_get(run, area, true, nr, 1);
    area->dense = true;
}

void bench_emit_sample(struct bench_run *run, const struct bench_sample *sample)
{
    size_t nr = run->report->nr_samples;

    if (nr == MAX_SAMPLES) {
        bench_wrong(run, "a workload has more than %d figures", MAX_SAMPLES);
    }
    run->report->sample[nr] = *sample;
    __atomic_store_n(&run->report->nr_samples, nr + 1, __ATOMIC_RELEASE);
    if (run->on_sample) {
        run->on_sample(sample);
    }
}

void bench_emit(struct bench_run *run, size_t pages, double value, const char *format, ...)
{
    struct bench_sample sample = { .unit = "us", .pages = pages, .fraction = -1, .value = value };
    va_list args;

    va_start(args, format);
    vsnprintf(sample.name, sizeof(sample.name), format, args);
    va_end(args);
    bench_emit_sample(run, &sample);
}
