/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A number for each 2 MB of the address space: of the pages in it that are watched, or are about to be. It is
 * above 0 from before such a page is in the table of regions until after it has left, so whoever finds 0 has
 * changed no watched memory. Pages are added and taken off one by one, whatever the pieces: what a part of a
 * watch leaves behind stays counted, and so does a second watch beside it.
 *
 * The numbers lie in blocks of one page for 4 GB each. A block is made when the first watch is, and stays.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "near.h"

#define PAGE_SHIFT 12
#define GRANULE_SHIFT 21
#define BLOCK_SHIFT 32
#define GRANULES_PER_BLOCK (1u << (BLOCK_SHIFT - GRANULE_SHIFT))
/* 47 bits: all that Windows gives to programs on x86_64. */
#define NR_BLOCKS (sizeof(void *) == 8 ? 1u << (47 - BLOCK_SHIFT) : 1u)

struct block {
    /* At most 512 pages, and as many again while a watch replaces one that nobody ended. */
    _Atomic(uint16_t) nr_pages[GRANULES_PER_BLOCK];
};

static _Atomic(struct block *) blocks[NR_BLOCKS];

static size_t block_of(uintptr_t addr)
{
    return (uint64_t)addr >> BLOCK_SHIFT;
}

static size_t granule_of(uintptr_t addr)
{
    return (addr >> GRANULE_SHIFT) % GRANULES_PER_BLOCK;
}

/* The end of the piece of a range that lies in one granule. */
static uintptr_t piece_end(uintptr_t start, uintptr_t end)
{
    uintptr_t last = start | (((uintptr_t)1 << GRANULE_SHIFT) - 1);

    return last < end - 1 ? last + 1 : end;
}

static int make_block(size_t nr)
{
    struct block *block, *none = NULL;

    if (atomic_load(&blocks[nr])) {
        return 0;
    }
    block = mmap(NULL, sizeof(*block), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) {
        return -ENOMEM;
    }
    if (!atomic_compare_exchange_strong(&blocks[nr], &none, block)) {
        munmap(block, sizeof(*block));
    }
    return 0;
}

int near_add(uintptr_t start, uintptr_t end)
{
    if (block_of(end - 1) >= NR_BLOCKS) {
        return -ENOMEM;
    }
    for (size_t nr = block_of(start); nr <= block_of(end - 1); nr++) {
        if (make_block(nr)) {
            return -ENOMEM;
        }
    }
    for (uintptr_t next; start < end; start = next) {
        next = piece_end(start, end);
        atomic_fetch_add(&blocks[block_of(start)]->nr_pages[granule_of(start)],
                         (uint16_t)((next - start) >> PAGE_SHIFT));
    }
    return 0;
}

void near_remove(uintptr_t start, uintptr_t end)
{
    for (uintptr_t next; start < end; start = next) {
        next = piece_end(start, end);
        atomic_fetch_sub(&blocks[block_of(start)]->nr_pages[granule_of(start)],
                         (uint16_t)((next - start) >> PAGE_SHIFT));
    }
}

bool near_watch(uintptr_t start, uintptr_t end)
{
    size_t last = block_of(end - 1) < NR_BLOCKS ? block_of(end - 1) : NR_BLOCKS - 1;

    for (size_t nr = block_of(start); nr <= last; nr++) {
        struct block *block = atomic_load(&blocks[nr]);
        size_t from = nr == block_of(start) ? granule_of(start) : 0;
        size_t to = nr == block_of(end - 1) ? granule_of(end - 1) : GRANULES_PER_BLOCK - 1;

        for (; block && from <= to; from++) {
            if (atomic_load(&block->nr_pages[from])) {
                return true;
            }
        }
    }
    return false;
}
