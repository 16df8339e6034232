/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for allocations made while signals are blocked or one of our locks is held. malloc() cannot serve: a
 * collector may have suspended a thread that holds malloc()'s lock. A thread that waited for it with signals
 * blocked could not be suspended, and the collector itself could not ask which pages were written.
 *
 * Small blocks come from chunks. Each chunk has a word that says which of its blocks are used, and one atomic
 * operation changes it. So there is no lock and no intermediate state: a thread may be suspended anywhere,
 * and a child of fork can go on. Chunks are never freed. Large blocks are mappings of their own.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "process/heap.h"

/* Large enough for a leaf of a page set, a region, and the directories of all but huge ones. */
#define BLOCK_BYTES ((size_t)576)
#define NR_BLOCKS 64

struct chunk {
    struct chunk *next;
    _Atomic uint64_t used; /* a bit for each block; the first block is this struct */
};

/* Stands before each block. */
struct header {
    size_t map_len; /* length if the block is a mapping of its own; else 0 */
    struct chunk *chunk;
} __attribute__((aligned(16)));

static _Atomic(struct chunk *) chunks;
/* The chunk where a block was last freed: it most often has a free one. */
static _Atomic(struct chunk *) recent;

/* MAP_STACK forbids huge pages since Linux 6.7, whatever the memory is for, and takes no second call. */
void *ww_heap_map(size_t len, int flags)
{
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK | flags, -1, 0);

    return base == MAP_FAILED ? NULL : base;
}

static void *large_block(size_t len)
{
    struct header *header = ww_heap_map(len, 0);

    if (!header) {
        return NULL;
    }
    header->map_len = len;
    return header + 1;
}

/* NULL: all blocks are used. */
static struct header *take_block(struct chunk *chunk)
{
    uint64_t used = atomic_load(&chunk->used);

    while (~used) {
        int at = __builtin_ctzll(~used);

        if (atomic_compare_exchange_weak(&chunk->used, &used, used | UINT64_C(1) << at)) {
            return (struct header *)((char *)chunk + at * BLOCK_BYTES);
        }
    }
    return NULL;
}

/* Adds a chunk and takes its first free block for the caller. */
static struct chunk *add_chunk(struct header **ret_header)
{
    struct chunk *chunk = ww_heap_map(NR_BLOCKS * BLOCK_BYTES, 0);

    if (!chunk) {
        return NULL;
    }
    atomic_init(&chunk->used, 3);
    chunk->next = atomic_load(&chunks);
    while (!atomic_compare_exchange_weak(&chunks, &chunk->next, chunk)) {
        ;
    }
    *ret_header = (struct header *)((char *)chunk + BLOCK_BYTES);
    return chunk;
}

static struct header *small_block(void)
{
    struct chunk *chunk = atomic_load(&recent);
    struct header *header = chunk ? take_block(chunk) : NULL;

    for (struct chunk *next = atomic_load(&chunks); !header && next; next = chunk->next) {
        chunk = next;
        header = take_block(chunk);
    }
    if (!header) {
        chunk = add_chunk(&header);
    }
    if (header) {
        *header = (struct header){ .chunk = chunk };
    }
    return header;
}

void *ww_heap_alloc(size_t size)
{
    struct header *header;

    if (size > SIZE_MAX - sizeof(*header)) {
        return NULL;
    }
    if (size > BLOCK_BYTES - sizeof(*header)) {
        return large_block(size + sizeof(*header));
    }
    header = small_block();
    return header ? memset(header + 1, 0, BLOCK_BYTES - sizeof(*header)) : NULL;
}

void ww_heap_free(void *block)
{
    struct header *header;
    size_t at;

    if (!block) {
        return;
    }
    header = (struct header *)block - 1;
    if (header->map_len) {
        munmap(header, header->map_len);
        return;
    }
    at = ((char *)header - (char *)header->chunk) / BLOCK_BYTES;
    atomic_store(&recent, header->chunk);
    atomic_fetch_and(&header->chunk->used, ~(UINT64_C(1) << at));
}
