/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/mman.h>

#include "process/heap.h"
#include "scratch.h"

struct ww_scratch *ww_scratch_get(struct ww_scratch_pool *pool)
{
    struct ww_scratch *scratch;

    for (int i = 0; i < WW_NR_SPARE_SCRATCH; i++) {
        scratch = atomic_exchange(&pool->spare[i], NULL);
        if (scratch) {
            return scratch;
        }
    }
    return ww_heap_map(sizeof(*scratch), MAP_POPULATE);
}

void ww_scratch_put(struct ww_scratch_pool *pool, struct ww_scratch *scratch)
{
    for (int i = 0; i < WW_NR_SPARE_SCRATCH; i++) {
        struct ww_scratch *empty = NULL;

        if (atomic_compare_exchange_strong(&pool->spare[i], &empty, scratch)) {
            return;
        }
    }
    munmap(scratch, sizeof(*scratch));
}

void ww_scratch_destroy(struct ww_scratch_pool *pool)
{
    for (int i = 0; i < WW_NR_SPARE_SCRATCH; i++) {
        struct ww_scratch *scratch = atomic_load(&pool->spare[i]);

        if (scratch) {
            munmap(scratch, sizeof(*scratch));
        }
    }
}

size_t ww_scratch_take(struct ww_scratch *scratch, size_t nr)
{
    struct page_region *vec = scratch->vec;

    for (size_t i = 0; i < nr; i++) {
        scratch->out[i] = (struct ww_range){ .start = vec[i].start, .end = vec[i].end };
        vec[i] = (struct page_region){ .start = 0 };
    }
    return nr;
}
