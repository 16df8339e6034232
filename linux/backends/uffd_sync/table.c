/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table in which the handler of the uffd-sync backend finds the dirty bit of an address. The handler
 * reads it without a lock, since a published table never changes. A change builds a second table, publishes
 * it in place of the first, and waits until the handler has finished with that.
 * tests/stress/models/uffd-sync.pml is its model.
 */
#include <errno.h>
#include <sys/mman.h>

#include "backends/uffd_sync/uffd_sync.h"
#include "process/heap.h"

struct ww_sync_table *ww_sync_new_table(size_t capacity)
{
    size_t len = sizeof(struct ww_sync_table) + capacity * sizeof(struct ww_sync_entry);
    struct ww_sync_table *table = ww_heap_map(len, 0);

    if (!table) {
        return NULL;
    }
    table->map_len = len;
    table->capacity = capacity;
    return table;
}

/* The index of the first entry that ends after @addr. */
static size_t first_entry_past(const struct ww_sync_table *table, uintptr_t addr)
{
    size_t low = 0, high = table->nr;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (table->entries[mid].end <= addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Prepares the next table for @nr entries. table_lock is held. NULL: no memory, which happens only if @nr
 * exceeds the capacity. */
static struct ww_sync_table *begin_table(struct ww_sync *sync, size_t nr)
{
    struct ww_sync_table *next = sync->spare;

    if (nr > next->capacity) {
        next = ww_sync_new_table(2 * nr);
        if (!next) {
            return NULL;
        }
        munmap(sync->spare, sync->spare->map_len);
        sync->spare = next;
    }
    next->nr = 0;
    return next;
}

/* Publishes the new table. After this returns, the handler no longer uses the old one. */
static void end_table(struct ww_sync *sync)
{
    struct ww_sync_table *old = atomic_load(&sync->table);

    atomic_store(&sync->table, sync->spare);
    ww_sync_synchronize(sync);
    sync->spare = old;
}

static void put_entry(struct ww_sync_table *table, uintptr_t start, uintptr_t end,
                      struct ww_sync_pages *pages)
{
    if (start < end) {
        table->entries[table->nr++] = (struct ww_sync_entry){ .start = start, .end = end, .pages = pages };
    }
}

/* Entries that are already there belong to mappings that are gone: detached regions (detach.h). */
static int add_entry(struct ww_sync *sync, const struct ww_sync_entry *add)
{
    const struct ww_sync_table *old = atomic_load(&sync->table);
    struct ww_sync_table *next = begin_table(sync, old->nr + 2);
    size_t i = 0;

    if (!next) {
        return -ENOMEM;
    }
    for (; i < old->nr && old->entries[i].start < add->start; i++) {
        const struct ww_sync_entry *entry = &old->entries[i];

        put_entry(next, entry->start, entry->end < add->start ? entry->end : add->start, entry->pages);
    }
    put_entry(next, add->start, add->end, add->pages);
    for (i = i ? i - 1 : 0; i < old->nr; i++) {
        const struct ww_sync_entry *entry = &old->entries[i];

        put_entry(next, entry->start > add->end ? entry->start : add->end, entry->end, entry->pages);
    }
    end_table(sync);
    return 0;
}

int ww_sync_table_add(struct ww_sync *sync, const struct ww_sync_entry *entry)
{
    int err;

    ww_lock(&sync->table_lock, WW_RANK_BACKEND);
    err = atomic_load(&sync->hung) ? -EIO : add_entry(sync, entry);
    ww_unlock(&sync->table_lock, WW_RANK_BACKEND);
    return err;
}

/* Locks the table and begins a new one with room for @more entries. NULL: the table stays as it is. */
static struct ww_sync_table *lock_table(struct ww_sync *sync, size_t more,
                                        const struct ww_sync_table **ret_old)
{
    ww_lock(&sync->table_lock, WW_RANK_BACKEND);
    *ret_old = atomic_load(&sync->table);
    return atomic_load(&sync->hung) ? NULL : begin_table(sync, (*ret_old)->nr + more);
}

static void unlock_table(struct ww_sync *sync, const struct ww_sync_table *next)
{
    if (next) {
        end_table(sync);
    }
    ww_unlock(&sync->table_lock, WW_RANK_BACKEND);
}

int ww_sync_table_cut(struct ww_sync *sync, uintptr_t at)
{
    const struct ww_sync_table *old;
    struct ww_sync_table *next = lock_table(sync, 1, &old);

    for (size_t i = 0; next && i < old->nr; i++) {
        const struct ww_sync_entry *entry = &old->entries[i];
        uintptr_t mid = entry->start < at && at < entry->end ? at : entry->start;

        put_entry(next, entry->start, mid, entry->pages);
        put_entry(next, mid, entry->end, entry->pages);
    }
    unlock_table(sync, next);
    return next ? 0 : -ENOMEM;
}

void ww_sync_table_join(struct ww_sync *sync, uintptr_t at)
{
    const struct ww_sync_table *old;
    struct ww_sync_table *next = lock_table(sync, 0, &old);

    for (size_t i = 0; next && i < old->nr; i++) {
        const struct ww_sync_entry *entry = &old->entries[i];

        if (i && entry->start == at && entry[-1].end == at && entry[-1].pages == entry->pages) {
            next->entries[next->nr - 1].end = entry->end;
        } else {
            put_entry(next, entry->start, entry->end, entry->pages);
        }
    }
    unlock_table(sync, next);
}

void ww_sync_table_remove(struct ww_sync *sync, const struct ww_sync_entry *entry)
{
    const struct ww_sync_table *old;
    struct ww_sync_table *next = lock_table(sync, 0, &old);

    for (size_t i = 0; next && i < old->nr; i++) {
        const struct ww_sync_entry *other = &old->entries[i];

        if (other->pages != entry->pages || other->start < entry->start || other->end > entry->end) {
            put_entry(next, other->start, other->end, other->pages);
        }
    }
    unlock_table(sync, next);
}

void ww_sync_untrack(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    const struct ww_sync_table *table = atomic_load(&sync->table);

    for (size_t i = first_entry_past(table, start); i < table->nr && table->entries[i].start < end; i++) {
        ww_sync_unregister(sync, table->entries[i].start, table->entries[i].end);
    }
}

void ww_sync_mark_dirty(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    const struct ww_sync_table *table = atomic_load(&sync->table);

    for (size_t i = first_entry_past(table, start); i < table->nr && table->entries[i].start < end; i++) {
        const struct ww_sync_entry *entry = &table->entries[i];
        uintptr_t from = start > entry->start ? start : entry->start;
        uintptr_t to = end < entry->end ? end : entry->end;

        ww_bits_change(entry->pages->dirty, ww_sync_page_index(entry->pages, from),
                       ww_sync_page_index(entry->pages, to), true);
    }
}
