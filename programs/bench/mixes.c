/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workloads that resemble programs: many small regions, a generational collector that finds its
 * old-to-young pointers by dirty pages, and a texture cache that polls every buffer in each frame. They are
 * random, but the same for all peers of a round.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static void *must_have(struct bench_run *run, void *memory)
{
    if (!memory) {
        bench_unable(run, "no memory");
    }
    return memory;
}

/* ---- many small regions ---- */

void bench_regions(struct bench_run *run)
{
    size_t nr = run->quick ? 100 : 10000, len = 64 * KB;
    struct bench_area *area = must_have(run, calloc(nr, sizeof(*area)));
    double start, us;

    bench_reserve_pages(run, len / run->page + 1);
    start = bench_now_us();
    for (size_t i = 0; i < nr; i++) {
        area[i] = bench_allocate(run, len);
    }
    bench_emit(run, 0, (bench_now_us() - start) / nr, "allocate_one_of_%zu_64k", nr);
    for (size_t i = 0; i < nr; i++) {
        bench_make_dense(run, &area[i]);
    }
    /* The first poll and a later one: a peer may cache what it was asked. */
    for (int round = 0; round < 3; round++) {
        us = 0;
        for (size_t i = 0; i < nr; i++) {
            us += bench_get(run, &area[i], true, 0, 1);
        }
        if (round != 1) {
            bench_emit(run, len / run->page, us / nr,
                       round ? "poll_one_of_%zu_64k" : "first_poll_one_of_%zu_64k", nr);
        }
    }
    start = bench_now_us();
    for (size_t i = 0; i < nr; i++) {
        bench_release(run, &area[i]);
    }
    bench_emit(run, 0, (bench_now_us() - start) / nr, "release_one_of_%zu_64k", nr);
    free(area);
}

/* ---- a generational collector ---- */

#define OBJECT ((size_t)64)

struct heap {
    struct bench_area old; /* watched; the pages below used exist */
    char *nursery;
    size_t nursery_len;
    size_t used;            /* bytes of old */
    unsigned int *dirty_in; /* by page of old: the cycle that wrote it last */
    unsigned int cycle;
    size_t nr_dirty; /* pages in this cycle */
    uint64_t random;
    double total_us, pause_us;
    uint64_t sum; /* of what the pauses read, so that they do */
};

static void touch(struct bench_run *run, struct heap *heap, size_t offset)
{
    size_t page = offset / run->page;

    heap->old.base[offset] = 1 + (heap->cycle & 63);
    if (heap->dirty_in[page] != heap->cycle) {
        heap->dirty_in[page] = heap->cycle;
        heap->nr_dirty++;
    }
}

/* New objects fill the nursery; old ones change at random; a twentieth of the new survives. */
static void mutate(struct bench_run *run, struct heap *heap)
{
    size_t nr_mutations = run->quick ? 50 : 2000, survivors = heap->nursery_len / 20 / OBJECT;

    memset(heap->nursery, 1 + (heap->cycle & 63), heap->nursery_len);
    for (size_t i = 0; i < nr_mutations; i++) {
        touch(run, heap, bench_random(&heap->random) % (heap->used / OBJECT) * OBJECT);
    }
    for (size_t i = 0; i < survivors && heap->used + OBJECT <= heap->old.len; i++) {
        touch(run, heap, heap->used);
        heap->used += OBJECT;
    }
}

/* Stops the world: gets the dirty pages, and reads their words that might be pointers. */
static ssize_t pause_world(struct bench_run *run, struct heap *heap)
{
    double start = bench_now_us();
    ssize_t nr =
        bench_must(run, "get", run->peer->ops->get(run->state, &heap->old, true, run->pages, run->capacity));

    for (ssize_t i = 0; i < nr; i++) {
        const volatile uint64_t *words = run->pages[i];

        for (size_t j = 0; j < run->page / sizeof(*words); j += OBJECT / sizeof(*words)) {
            heap->sum += words[j];
        }
    }
    heap->pause_us += bench_now_us() - start;
    return nr;
}

static void check_pause(struct bench_run *run, const struct heap *heap, ssize_t nr)
{
    size_t nr_right = 0;

    for (ssize_t i = 0; i < nr; i++) {
        nr_right += heap->dirty_in[((char *)run->pages[i] - heap->old.base) / run->page] == heap->cycle;
    }
    if (nr_right != heap->nr_dirty || ((run->peer->caps & WW_CAP_EXACT) && (size_t)nr != nr_right)) {
        bench_wrong(run, "%zd pages are reported, %zu of them correct, where %zu were written", nr, nr_right,
                    heap->nr_dirty);
    }
}

void bench_gc(struct bench_run *run)
{
    size_t len = run->quick ? 2 * MB : 64 * MB, nr = len / run->page;
    unsigned int nr_cycles = run->quick ? 4 : 40;
    struct heap heap = {
        .old = bench_allocate(run, len),
        .nursery_len = run->quick ? 256 * KB : 4 * MB,
        .used = len / 2,
        .dirty_in = must_have(run, calloc(nr, sizeof(*heap.dirty_in))),
        .random = run->seed,
    };
    char size[16];
    double start;

    heap.nursery = must_have(run, malloc(heap.nursery_len));
    bench_reserve_pages(run, nr + 1);
    bench_write(run, &heap.old, nr / 2, 1);
    bench_get(run, &heap.old, true, nr / 2, 1);
    for (heap.cycle = 1; heap.cycle <= nr_cycles; heap.cycle++) {
        ssize_t found;

        heap.nr_dirty = 0;
        start = bench_now_us();
        mutate(run, &heap);
        found = pause_world(run, &heap);
        heap.total_us += bench_now_us() - start;
        check_pause(run, &heap, found);
    }
    bench_size_name(len, size);
    bench_emit(run, 0, heap.total_us / nr_cycles, "gc_%s_cycle", size);
    bench_emit(run, 0, heap.pause_us / nr_cycles, "gc_%s_pause", size);
    bench_release(run, &heap.old);
    free(heap.nursery);
    free(heap.dirty_in);
}

/* ---- a texture cache ---- */

#define DIRTY_PAGES 4

/* Half of the buffers are of the smallest size, a quarter twice as large, and so on up to 16 times. */
static size_t texture_bytes(size_t i, size_t smallest)
{
    size_t factor = 1;

    for (; (i & 1) && factor < 16; i >>= 1) {
        factor *= 2;
    }
    return smallest * factor;
}

/* Draws into some buffers, and polls all. Returns the time of the polls. */
static double frame(struct bench_run *run, const struct bench_area *texture, size_t nr, size_t nr_drawn,
                    uint64_t *random)
{
    bool *drawn = must_have(run, calloc(nr, sizeof(*drawn)));
    double us = 0;

    for (size_t i = 0; i < nr_drawn; i++) {
        size_t which = bench_random(random) % nr;

        drawn[which] = true;
        bench_write(run, &texture[which], DIRTY_PAGES, texture[which].len / run->page / DIRTY_PAGES);
    }
    for (size_t i = 0; i < nr; i++) {
        us += bench_get(run, &texture[i], true, drawn[i] ? DIRTY_PAGES : 0,
                        texture[i].len / run->page / DIRTY_PAGES);
    }
    free(drawn);
    return us;
}

void bench_textures(struct bench_run *run)
{
    size_t nr = run->quick ? 60 : 1000, smallest = run->quick ? 32 * KB : 256 * KB;
    size_t nr_frames = run->quick ? 3 : 10;
    struct bench_area *texture = must_have(run, calloc(nr, sizeof(*texture)));
    uint64_t random = run->seed;
    double us = 0;

    bench_reserve_pages(run, 16 * smallest / run->page + 1);
    for (size_t i = 0; i < nr; i++) {
        texture[i] = bench_allocate(run, texture_bytes(i, smallest));
        bench_make_dense(run, &texture[i]);
    }
    for (size_t i = 0; i < nr_frames; i++) {
        us += frame(run, texture, nr, nr / 50, &random);
    }
    bench_emit(run, 0, us / nr_frames, "texture_frame_%zu_buffers", nr);
    for (size_t i = 0; i < nr; i++) {
        bench_release(run, &texture[i]);
    }
    free(texture);
}
