/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A counter for each 2 MB of the address space (a granule): how many pages in it are watched, or are about to
 * be. It is above 0 from before such a page is in the table of regions until after it has left. So a change
 * that finds 0 concerns no watched memory. Pages are added and subtracted in pieces of any size, so a watch
 * may end in parts, and a second watch beside it stays counted.
 *
 * The counters lie in blocks of four pages for 4 GB each. A block is made for the first watch in it, and
 * stays. A piece that covers a whole block counts once for the block, since games and collectors reserve
 * hundreds of GB. What is subtracted in smaller pieces afterwards leaves counters below 0 for ever, and only
 * the sum of both tells. So both have 64 bits, which no number of watches exhausts. The two may be read one
 * after the other: while a page is watched, no watch of the whole block around it can begin or end.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "filter.h"
#include "process/heap.h"

#define PAGE_SHIFT 12
#define GRANULE_SHIFT 21
#define BLOCK_SHIFT 32
#define GRANULES_PER_BLOCK (1u << (BLOCK_SHIFT - GRANULE_SHIFT))
/* 47 bits: all that Windows gives to programs on x86_64. */
#define NR_BLOCKS (sizeof(void *) == 8 ? 1u << (47 - BLOCK_SHIFT) : 1u)

struct block {
    _Atomic(int64_t) nr_pages[GRANULES_PER_BLOCK];
};

static _Atomic(struct block *) blocks[NR_BLOCKS];
static _Atomic(int64_t) nr_whole[NR_BLOCKS]; /* watches of all of the block */

static size_t block_of(uintptr_t addr)
{
    return (uint64_t)addr >> BLOCK_SHIFT;
}

static size_t granule_of(uintptr_t addr)
{
    return (addr >> GRANULE_SHIFT) % GRANULES_PER_BLOCK;
}

#define BLOCK_BYTES (UINT64_C(1) << BLOCK_SHIFT)
#define GRANULE_BYTES ((uintptr_t)1 << GRANULE_SHIFT)
#define PAGES_PER_GRANULE (1 << (GRANULE_SHIFT - PAGE_SHIFT))

/* Adds or subtracts a range, whose blocks exist. */
static void count(uintptr_t start, uintptr_t end, int sign)
{
    while (start < end) {
        size_t block = block_of(start);
        uintptr_t left = GRANULE_BYTES - start % GRANULE_BYTES;

        if (!(start % BLOCK_BYTES) && end - start >= BLOCK_BYTES) {
            atomic_fetch_add(&nr_whole[block], sign);
            start += (uintptr_t)BLOCK_BYTES;
            continue;
        }
        left = left < end - start ? left : end - start;
        atomic_fetch_add(&atomic_load(&blocks[block])->nr_pages[granule_of(start)],
                         sign * (int64_t)(left >> PAGE_SHIFT));
        start += left;
    }
}

/* Makes the blocks of a range that do not exist yet, in one mapping. */
static int make_blocks(size_t first, size_t last)
{
    struct block *block, *none;

    while (first <= last && atomic_load(&blocks[first])) {
        first++;
    }
    if (first > last) {
        return 0;
    }
    block = ww_heap_map((last - first + 1) * sizeof(*block), 0);
    if (!block) {
        return -ENOMEM;
    }
    for (; first <= last; first++, block++) {
        none = NULL;
        if (!atomic_compare_exchange_strong(&blocks[first], &none, block)) {
            munmap(block, sizeof(*block));
        }
    }
    return 0;
}

int filter_add(uintptr_t start, uintptr_t end)
{
    if (block_of(end - 1) >= NR_BLOCKS) {
        return -ENOMEM;
    }
    if (make_blocks(block_of(start), block_of(end - 1))) {
        return -ENOMEM;
    }
    count(start, end, 1);
    return 0;
}

void filter_remove(uintptr_t start, uintptr_t end)
{
    count(start, end, -1);
}

bool filter_may_match(uintptr_t start, uintptr_t end)
{
    size_t last = block_of(end - 1) < NR_BLOCKS ? block_of(end - 1) : NR_BLOCKS - 1;

    for (size_t nr = block_of(start); nr <= last; nr++) {
        int64_t whole = atomic_load(&nr_whole[nr]) * PAGES_PER_GRANULE;
        struct block *block = atomic_load(&blocks[nr]);
        size_t from = nr == block_of(start) ? granule_of(start) : 0;
        size_t to = nr == block_of(end - 1) ? granule_of(end - 1) : GRANULES_PER_BLOCK - 1;

        for (; block && from <= to; from++) {
            if (whole + atomic_load(&block->nr_pages[from]) > 0) {
                return true;
            }
        }
    }
    return false;
}
