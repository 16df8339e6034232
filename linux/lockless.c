/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fast path. A query that one scan has answered is cached: its range lies in one region, and the kernel's
 * bits were all there was to say. When the same query comes again, this file asks the kernel without a lock,
 * without blocking signals and without looking at the region. Removing the fast path is removing this file,
 * its header and its calls in get.c.
 *
 * A lockless scan never resets. The ioctl changes whatever is registered at its addresses when it runs, and
 * the thread may be preempted before it for as long as it takes to give the memory to another context, or to
 * another user of userfaultfd. A reset would clear their bits.
 *
 * Where memory is dense and the query does not reset, the kernel's answer is the answer: there is nothing to
 * remember about a page that is not known already. In all other cases only "nothing" counts, because then
 * there is nothing to reset. The slow path (get.c) answers when a scan finds something, and the query stays
 * on the slow path until one answer is "nothing", so that memory which is written between all queries is not
 * walked twice.
 *
 * A cached query is valid as long as its region's epoch is the one it was cached in, both before and after
 * the kernel is asked. An epoch ends before anything but an answer happens to a region: before the kernel's
 * bits are moved into the latch, for one. So the answer is one that the slow path would have given at a
 * moment between the two checks. tests/stress/models/lockless.pml checks this.
 *
 * Only ww_close() frees what an entry points to: tables stay when larger ones replace them, and so do
 * trackers.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "context.h"
#include "process/heap.h"

/* Above this size the slow path takes far longer than what the fast path saves. */
#define MAX_LOOK_BYTES ((uintptr_t)16 << 20)

/* Two to four entries a region, in sets of four: few queries find no room. */
#define NR_WAYS 4
#define MIN_SETS 32
/* A full set gives an entry up for every so many queries that find no room. */
#define EVICT_INTERVAL 32

/* Read without a lock: good only if sequence is the same before and after, and even. */
struct entry {
    atomic_uint sequence;
    atomic_uint epoch_at;
    atomic_bool dense;
    atomic_uint nr_runs; /* found the last time; only a hint */
    atomic_uintptr_t start, end;
    _Atomic(struct ww_tracker *) tracker;
    _Atomic uint64_t epoch;
};

struct ww_lockless_table {
    struct ww_lockless_table *older; /* a thread may still read it */
    size_t map_len;
    size_t nr_sets; /* a power of 2 */
    struct entry entries[];
};

/* ---- tables ---- */

void ww_lockless_grow(struct ww_lockless *lockless, size_t nr_regions)
{
    struct ww_lockless_table *older = atomic_load(&lockless->table), *table;
    size_t nr_sets = older ? older->nr_sets : MIN_SETS, len;

    while (nr_sets * 2 < nr_regions) {
        nr_sets *= 2;
    }
    if (older && nr_sets == older->nr_sets) {
        return;
    }
    len = sizeof(*table) + nr_sets * NR_WAYS * sizeof(table->entries[0]);
    table = ww_heap_map(len, 0);
    if (!table) {
        return;
    }
    table->older = older;
    table->map_len = len;
    table->nr_sets = nr_sets;
    atomic_store(&lockless->table, table);
}

void ww_lockless_destroy(struct ww_lockless *lockless)
{
    struct ww_lockless_table *table = atomic_load(&lockless->table), *older;

    for (; table; table = older) {
        older = table->older;
        munmap(table, table->map_len);
    }
}

/* Regions lie at regular distances; one multiplication would keep that. */
static uint64_t spread(uintptr_t start)
{
    uint64_t bits = (start >> ww_page_shift) * UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ bits >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return bits ^ bits >> 32;
}

/* Where queries that begin at @start are cached. */
static struct entry *set_of(struct ww_lockless_table *table, uintptr_t start)
{
    return &table->entries[(spread(start) & (table->nr_sets - 1)) * NR_WAYS];
}

/* ---- entries ---- */

/* False: another thread is writing the entry. */
static bool begin_change(struct entry *entry)
{
    unsigned int sequence = atomic_load(&entry->sequence);

    return !(sequence & 1) && atomic_compare_exchange_strong(&entry->sequence, &sequence, sequence + 1);
}

/* Enough for whoever reads the new value to see that the sequence is odd, and cheaper than atomic_store():
 * every answer of the slow path writes an entry. */
#define put(field, value) atomic_store_explicit(field, value, memory_order_release)

static void end_change(struct entry *entry)
{
    atomic_fetch_add(&entry->sequence, 1);
}

/* A copy of the entry if it is about this range. */
static bool read_entry(struct entry *entry, const struct ww_range *range, struct ww_cached_query *ret)
{
    unsigned int sequence = atomic_load(&entry->sequence);

    if ((sequence & 1) || atomic_load(&entry->start) != range->start ||
        atomic_load(&entry->end) != range->end) {
        return false;
    }
    *ret = (struct ww_cached_query){
        .tracker = atomic_load(&entry->tracker),
        .epoch_at = atomic_load(&entry->epoch_at),
        .epoch = atomic_load(&entry->epoch),
        .dense = atomic_load(&entry->dense),
        .expected_runs = atomic_load(&entry->nr_runs),
        .entry = entry,
    };
    return atomic_load(&entry->sequence) == sequence;
}

static bool is_valid(struct ww_context *ctx, const struct ww_cached_query *query)
{
    return atomic_load(&ctx->epochs.numbers[query->epoch_at]) == query->epoch;
}

/* Whether a valid entry is about this range. */
static bool find_entry(struct ww_context *ctx, const struct ww_range *range, struct ww_cached_query *ret)
{
    struct ww_lockless_table *table = atomic_load(&ctx->lockless.table);

    for (int i = 0; table && i < NR_WAYS; i++) {
        struct entry *entry = set_of(table, range->start) + i;

        if (read_entry(entry, range, ret) && is_valid(ctx, ret)) {
            return true;
        }
    }
    return false;
}

bool ww_lockless_knows(struct ww_context *ctx, uintptr_t start, uintptr_t end)
{
    struct ww_range range = { .start = start, .end = end };
    struct ww_cached_query query;

    return ww_is_alive(ctx) && find_entry(ctx, &range, &query);
}

/* ---- lookups ---- */

/* Only a hint: another query may own the entry by now. */
static void expect_runs(struct entry *entry, unsigned int nr_runs)
{
    if (atomic_load_explicit(&entry->nr_runs, memory_order_relaxed) != nr_runs) {
        atomic_store_explicit(&entry->nr_runs, nr_runs, memory_order_relaxed);
    }
}

bool ww_lockless_begin(struct ww_context *ctx, const struct ww_range *range, bool reset,
                       struct ww_cached_query *ret)
{
    if (!find_entry(ctx, range, ret) || !ret->tracker->backend->scan_lockless) {
        return false;
    }
    ret->only_nothing = reset || !ret->dense;
    return !ret->only_nothing || (!ret->expected_runs && range->end - range->start <= MAX_LOOK_BYTES);
}

/* The kernel allocates as much as the vector is long, at each call: so the first is no longer than the last
 * answer needed. */
static struct ww_scan scan_for(const struct ww_cached_query *query, const struct ww_scan *want)
{
    struct ww_scan scan = *want;

    scan.dense = query->dense;
    scan.reset = false;
    if (query->only_nothing) {
        scan.max_pages = scan.max_runs = 1;
    } else if (!query->nr_runs && scan.max_runs > (size_t)query->expected_runs + 1) {
        scan.max_runs = (size_t)query->expected_runs + 1;
    }
    return scan;
}

ssize_t ww_lockless_step(struct ww_context *ctx, struct ww_cached_query *query, const struct ww_scan *want,
                         struct ww_scratch *scratch, uintptr_t *ret_next)
{
    struct ww_scan scan = scan_for(query, want);
    uintptr_t next = scan.start;
    ssize_t nr = query->tracker->backend->scan_lockless(query->tracker, &scan, scratch->vec, &next);
    bool answered = nr >= 0 && (!query->only_nothing || (!nr && next >= scan.end));

    /* The vector is all zero again. */
    ww_scratch_take(scratch, nr > 0 ? nr : 0);
    if (!answered || !is_valid(ctx, query)) {
        expect_runs(query->entry, 1);
        return -EAGAIN;
    }
    query->nr_runs += nr;
    expect_runs(query->entry, query->nr_runs);
    *ret_next = next;
    return nr;
}

/* ---- insertions ---- */

static bool is_expired(struct ww_context *ctx, struct entry *entry)
{
    return !atomic_load(&entry->end) ||
           atomic_load(&ctx->epochs.numbers[atomic_load(&entry->epoch_at)]) != atomic_load(&entry->epoch);
}

/* The entry to write to: the one about this range, else one that has expired. Where there is none, this
 * evicts a valid entry only now and then: queries that take turns would evict each other before any is used.
 */
static struct entry *choose_entry(struct ww_context *ctx, struct entry *set, const struct ww_range *range)
{
    struct entry *chosen = NULL;

    for (int i = 0; i < NR_WAYS; i++) {
        if (atomic_load(&set[i].start) == range->start && atomic_load(&set[i].end) == range->end) {
            return &set[i];
        }
        if (is_expired(ctx, &set[i])) {
            chosen = &set[i];
        }
    }
    if (!chosen) {
        unsigned int nr = atomic_fetch_add_explicit(&ctx->lockless.nr_crowded, 1, memory_order_relaxed);

        chosen = nr % EVICT_INTERVAL ? NULL : &set[nr / EVICT_INTERVAL % NR_WAYS];
    }
    return chosen;
}

void ww_lockless_remember(struct ww_context *ctx, const struct ww_region *region,
                          const struct ww_range *range, bool dense, size_t nr_runs)
{
    struct ww_lockless_table *table = atomic_load(&ctx->lockless.table);
    unsigned int epoch_at = ww_epoch_index(region);
    struct entry *entry;

    if (!table) {
        return;
    }
    entry = choose_entry(ctx, set_of(table, range->start), range);
    if (entry && begin_change(entry)) {
        put(&entry->start, range->start);
        put(&entry->end, range->end);
        put(&entry->dense, dense && (!region->lost || region->markers));
        put(&entry->nr_runs, nr_runs);
        put(&entry->tracker, region->tracker);
        put(&entry->epoch_at, epoch_at);
        put(&entry->epoch, atomic_load(&ctx->epochs.numbers[epoch_at]));
        end_change(entry);
    }
}
