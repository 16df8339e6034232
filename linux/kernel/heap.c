/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for what is allocated while signals are blocked or a lock of ours is
 * held. That of malloc() will not do: a collector may have suspended a thread that
 * holds malloc()'s lock, and whoever waited for it with signals blocked could not be
 * suspended in turn, nor could the collector itself ask which pages were written.
 *
 * Small blocks come from chunks, each with a word that says which of its blocks are
 * used, changed by one atomic operation. So there is no lock and no state in between:
 * a thread may be suspended anywhere here, and a child of fork can go on. Chunks stay.
 * Large blocks are mappings of their own.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/heap.h"

/* A page set's leaf fits, and so do regions and the directories of all but huge ones. */
#define BLOCK_BYTES ((size_t)576)
#define NR_BLOCKS 64

struct chunk {
    struct chunk *next;
    _Atomic uint64_t used; /* a bit for each block; the first is this */
};

/* In front of each block. */
struct header {
    size_t map_len; /* of a block that is a mapping of its own; else 0 */
    struct chunk *chunk;
} __attribute__((aligned(16)));

static _Atomic(struct chunk *) chunks;
/* Where a block was freed last: most often there is one to be had. */
static _Atomic(struct chunk *) recent;

static void *map(size_t len)
{
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return base == MAP_FAILED ? NULL : base;
}

static void *large_block(size_t len)
{
    struct header *header = map(len);

    if (!header) {
        return NULL;
    }
    header->map_len = len;
    return header + 1;
}

/* NULL: all are used. */
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

/* One chunk more, whose first free block is the caller's. */
static struct chunk *add_chunk(struct header **ret_header)
{
    struct chunk *chunk = map(NR_BLOCKS * BLOCK_BYTES);

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
