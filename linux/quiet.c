/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Polling memory that nobody writes to. A question that was answered by one scan is
 * noted: its range lies in one region. If the scan found nothing, the way in which it
 * was asked is noted too. When the same question comes again, the kernel is asked in
 * the same way, without a lock, without blocking signals and without looking at the
 * region: if it finds nothing again, that is the answer. Whatever it finds is left to
 * the ordinary way (watch.c), since only there it can be reset, and the range is called
 * quiet no more, so that memory that is written between all questions is not walked
 * twice.
 *
 * A note is good as long as its region's epoch is the one it was made in, before
 * the kernel is asked and after. An epoch ends before anything but an answer happens
 * to a region: before the kernel's bits are moved into the latch, for one. So an
 * empty answer is one that the ordinary way would have given at the moment between.
 * Nothing that a note names is ever freed but by ww_close(): notes lie in tables that
 * stay, and trackers stay as well.
 */
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/* Where an ordinary answer takes far longer than what is saved, a note only costs. */
#define MAX_BYTES ((uintptr_t)16 << 20)

/* Two to four places a region: with as many in a set, few of the notes find no room. */
#define NR_WAYS 4
#define MIN_SETS 32
#define KEEP 32

/* Read without a lock: good only if sequence is the same before and after, and even. */
struct note {
    atomic_uint sequence;
    atomic_uint epoch_at;
    atomic_bool quiet, dense;
    atomic_uintptr_t start, end;
    _Atomic(struct ww_tracker *) tracker;
    _Atomic uint64_t epoch;
};

struct ww_quiet_table {
    struct ww_quiet_table *older; /* a thread may still look at it */
    size_t map_len;
    size_t nr_sets; /* a power of 2 */
    struct note notes[];
};

/* ---- tables ---- */

void ww_quiet_grow(struct ww_quiet *quiet, size_t nr_regions)
{
    struct ww_quiet_table *older = atomic_load(&quiet->table), *table;
    size_t nr_sets = older ? older->nr_sets : MIN_SETS, len;

    while (nr_sets * 2 < nr_regions) {
        nr_sets *= 2;
    }
    if (older && nr_sets == older->nr_sets) {
        return;
    }
    len = sizeof(*table) + nr_sets * NR_WAYS * sizeof(table->notes[0]);
    table = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        return;
    }
    table->older = older;
    table->map_len = len;
    table->nr_sets = nr_sets;
    atomic_store(&quiet->table, table);
}

void ww_quiet_destroy(struct ww_quiet *quiet)
{
    struct ww_quiet_table *table = atomic_load(&quiet->table), *older;

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

/* Where notes about questions that begin at @start are. */
static struct note *set_of(struct ww_quiet_table *table, uintptr_t start)
{
    return &table->notes[(spread(start) & (table->nr_sets - 1)) * NR_WAYS];
}

/* ---- notes ---- */

/* False: another thread is at work on the note. */
static bool begin_change(struct note *note)
{
    unsigned int sequence = atomic_load(&note->sequence);

    return !(sequence & 1) && atomic_compare_exchange_strong(&note->sequence, &sequence, sequence + 1);
}

/* Enough for whoever reads the new value to see that the sequence is odd, and cheaper than atomic_store():
 * every ordinary answer writes a note. */
#define put(field, value) atomic_store_explicit(field, value, memory_order_release)

static void end_change(struct note *note)
{
    atomic_fetch_add(&note->sequence, 1);
}

/* What a note says. */
struct saying {
    bool quiet;
    struct ww_scan scan;
    struct ww_tracker *tracker;
    unsigned int epoch_at;
    uint64_t epoch;
};

/* A copy of the note if it is about this question. */
static bool read_note(struct note *note, const struct ww_range *range, struct saying *ret)
{
    unsigned int sequence = atomic_load(&note->sequence);

    if ((sequence & 1) || atomic_load(&note->start) != range->start ||
        atomic_load(&note->end) != range->end) {
        return false;
    }
    *ret = (struct saying){
        .quiet = atomic_load(&note->quiet),
        .scan = { .start = range->start,
                  .end = range->end,
                  .max_pages = 1,
                  .max_runs = 1,
                  .dense = atomic_load(&note->dense) },
        .tracker = atomic_load(&note->tracker),
        .epoch_at = atomic_load(&note->epoch_at),
        .epoch = atomic_load(&note->epoch),
    };
    return atomic_load(&note->sequence) == sequence;
}

static bool is_good(struct ww_context *ctx, const struct saying *saying)
{
    return atomic_load(&ctx->quiet.epochs[saying->epoch_at]) == saying->epoch;
}

/* The note about this question, if there is one that is good now. */
static struct note *find_note(struct ww_context *ctx, const struct ww_range *range, struct saying *ret)
{
    struct ww_quiet_table *table = atomic_load(&ctx->quiet.table);

    for (int i = 0; table && i < NR_WAYS; i++) {
        struct note *note = set_of(table, range->start) + i;

        if (read_note(note, range, ret) && is_good(ctx, ret)) {
            return note;
        }
    }
    return NULL;
}

static void end_quiet(struct note *note, const struct ww_range *range)
{
    if (begin_change(note)) {
        if (atomic_load(&note->start) == range->start && atomic_load(&note->end) == range->end) {
            atomic_store(&note->quiet, false);
        }
        end_change(note);
    }
}

bool ww_quiet_still(struct ww_context *ctx, const struct ww_range *range)
{
    struct saying saying;
    struct note *note = find_note(ctx, range, &saying);

    if (!note || !saying.quiet) {
        return false;
    }
    if (saying.tracker->backend->glance(saying.tracker, &saying.scan) && is_good(ctx, &saying)) {
        return true;
    }
    end_quiet(note, range);
    return false;
}

bool ww_quiet_knows(struct ww_context *ctx, uintptr_t start, uintptr_t end)
{
    struct ww_range range = { .start = start, .end = end };
    struct saying saying;

    return ww_is_alive(ctx) && find_note(ctx, &range, &saying);
}

static unsigned int epoch_of(const struct ww_region *region)
{
    return region->watch_id % WW_QUIET_EPOCHS;
}

static bool is_void(struct ww_context *ctx, struct note *note)
{
    return !atomic_load(&note->end) ||
           atomic_load(&ctx->quiet.epochs[atomic_load(&note->epoch_at)]) != atomic_load(&note->epoch);
}

/* The note to write to: one about this question, else one that is void. Where there is none, one is taken
 * from another question only now and then: what is asked in turn would push out all notes before they serve.
 */
static struct note *choose_note(struct ww_context *ctx, struct note *set, const struct ww_scan *scan)
{
    struct note *chosen = NULL;

    for (int i = 0; i < NR_WAYS; i++) {
        if (atomic_load(&set[i].start) == scan->start && atomic_load(&set[i].end) == scan->end) {
            return &set[i];
        }
        if (is_void(ctx, &set[i])) {
            chosen = &set[i];
        }
    }
    if (!chosen) {
        unsigned int nr = atomic_fetch_add_explicit(&ctx->quiet.nr_crowded, 1, memory_order_relaxed);

        chosen = nr % KEEP ? NULL : &set[nr / KEEP % NR_WAYS];
    }
    return chosen;
}

void ww_quiet_note(struct ww_context *ctx, const struct ww_region *region, const struct ww_scan *scan,
                   bool nothing)
{
    struct ww_quiet_table *table = atomic_load(&ctx->quiet.table);
    bool can_glance = region->tracker->backend->glance != ww_no_glance;
    unsigned int epoch_at = epoch_of(region);
    struct note *note;

    if (!table) {
        return;
    }
    note = choose_note(ctx, set_of(table, scan->start), scan);
    if (note && begin_change(note)) {
        put(&note->start, scan->start);
        put(&note->end, scan->end);
        put(&note->quiet, can_glance && nothing && scan->end - scan->start <= MAX_BYTES);
        put(&note->dense, scan->dense);
        put(&note->tracker, region->tracker);
        put(&note->epoch_at, epoch_at);
        put(&note->epoch, atomic_load(&ctx->quiet.epochs[epoch_at]));
        end_change(note);
    }
}

void ww_quiet_end(struct ww_context *ctx, const struct ww_region *region)
{
    atomic_fetch_add(&ctx->quiet.epochs[epoch_of(region)], 1);
}
