/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions that come again. One that was answered by one scan is noted: its range lies
 * in one region, and the kernel's bits were all there was to say. When the same question comes
 * again, the kernel is asked without a lock, without blocking signals and without
 * looking at the region.
 *
 * Nothing is reset without the lock. The ioctl changes whatever is registered at its
 * addresses when it runs, and a thread may be held up before it for as long as it takes to
 * give the memory to another context, or to another user of userfaultfd: whose bits it
 * would clear then.
 *
 * Where memory is dense and nothing is to be reset, what the kernel says is the answer:
 * nothing about a page is to be remembered that is not known already. Otherwise only
 * "nothing" is, of which there is nothing to reset. Anything that is found is left to the ordinary
 * way (get.c), and that question is not asked like this again before an answer was
 * "nothing", so that memory which is written between all questions is not walked twice.
 *
 * A note is good as long as its region's epoch is the one it was made in, before
 * the kernel is asked and after. An epoch ends before anything but an answer happens
 * to a region: before the kernel's bits are moved into the latch, for one. So the
 * answer is one that the ordinary way would have given at the moment between. If the epoch
 * has ended meanwhile, the ordinary way answers. tests/stress/models/lockless.pml checks this.
 *
 * Nothing that a note names is ever freed but by ww_close(): notes lie in tables that
 * stay, and trackers stay as well.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/* Where an ordinary answer takes far longer than what is saved, asking twice only costs. */
#define MAX_LOOK_BYTES ((uintptr_t)16 << 20)

/* Two to four places a region: with as many in a set, few of the notes find no room. */
#define NR_WAYS 4
#define MIN_SETS 32
#define KEEP 32

/* Read without a lock: good only if sequence is the same before and after, and even. */
struct note {
    atomic_uint sequence;
    atomic_uint epoch_at;
    atomic_bool dense;
    atomic_uint nr_runs; /* found the last time; only a hint */
    atomic_uintptr_t start, end;
    _Atomic(struct ww_tracker *) tracker;
    _Atomic uint64_t epoch;
};

struct ww_lockless_table {
    struct ww_lockless_table *older; /* a thread may still look at it */
    size_t map_len;
    size_t nr_sets; /* a power of 2 */
    struct note notes[];
};

/* ---- tables ---- */

void ww_lockless_grow(struct ww_lockless *quiet, size_t nr_regions)
{
    struct ww_lockless_table *older = atomic_load(&quiet->table), *table;
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

void ww_lockless_destroy(struct ww_lockless *quiet)
{
    struct ww_lockless_table *table = atomic_load(&quiet->table), *older;

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
static struct note *set_of(struct ww_lockless_table *table, uintptr_t start)
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

/* A copy of the note if it is about this question. */
static bool read_note(struct note *note, const struct ww_range *range, struct ww_cached_query *ret)
{
    unsigned int sequence = atomic_load(&note->sequence);

    if ((sequence & 1) || atomic_load(&note->start) != range->start ||
        atomic_load(&note->end) != range->end) {
        return false;
    }
    *ret = (struct ww_cached_query){
        .tracker = atomic_load(&note->tracker),
        .epoch_at = atomic_load(&note->epoch_at),
        .epoch = atomic_load(&note->epoch),
        .dense = atomic_load(&note->dense),
        .expected_runs = atomic_load(&note->nr_runs),
        .note = note,
    };
    return atomic_load(&note->sequence) == sequence;
}

static bool is_good(struct ww_context *ctx, const struct ww_cached_query *question)
{
    return atomic_load(&ctx->lockless.epochs[question->epoch_at]) == question->epoch;
}

/* Whether there is a note about this question that is good now. */
static bool find_note(struct ww_context *ctx, const struct ww_range *range, struct ww_cached_query *ret)
{
    struct ww_lockless_table *table = atomic_load(&ctx->lockless.table);

    for (int i = 0; table && i < NR_WAYS; i++) {
        struct note *note = set_of(table, range->start) + i;

        if (read_note(note, range, ret) && is_good(ctx, ret)) {
            return true;
        }
    }
    return false;
}

bool ww_lockless_knows(struct ww_context *ctx, uintptr_t start, uintptr_t end)
{
    struct ww_range range = { .start = start, .end = end };
    struct ww_cached_query question;

    return ww_is_alive(ctx) && find_note(ctx, &range, &question);
}

/* ---- asking ---- */

/* Only a hint: whose note it is by now does not matter. */
static void expect_runs(struct note *note, unsigned int nr_runs)
{
    if (atomic_load_explicit(&note->nr_runs, memory_order_relaxed) != nr_runs) {
        atomic_store_explicit(&note->nr_runs, nr_runs, memory_order_relaxed);
    }
}

bool ww_lockless_begin(struct ww_context *ctx, const struct ww_range *range, bool reset,
                       struct ww_cached_query *ret)
{
    if (!find_note(ctx, range, ret) || ret->tracker->backend->scan_lockless == ww_no_scan_lockless) {
        return false;
    }
    ret->only_nothing = reset || !ret->dense;
    return !ret->only_nothing || (!ret->expected_runs && range->end - range->start <= MAX_LOOK_BYTES);
}

/* The kernel allocates as much as the vector is long, at each call: so the first is no longer than the last
 * answer needed. */
static struct ww_scan scan_for(const struct ww_cached_query *question, const struct ww_scan *want)
{
    struct ww_scan scan = *want;

    scan.dense = question->dense;
    scan.reset = false;
    if (question->only_nothing) {
        scan.max_pages = scan.max_runs = 1;
    } else if (!question->nr_runs && scan.max_runs > (size_t)question->expected_runs + 1) {
        scan.max_runs = (size_t)question->expected_runs + 1;
    }
    return scan;
}

ssize_t ww_lockless_step(struct ww_context *ctx, struct ww_cached_query *question, const struct ww_scan *want,
                         struct ww_scratch *scratch, uintptr_t *ret_next)
{
    struct ww_scan scan = scan_for(question, want);
    uintptr_t next = scan.start;
    ssize_t nr = question->tracker->backend->scan_lockless(question->tracker, &scan, scratch->vec, &next);
    bool answered = nr >= 0 && (!question->only_nothing || (!nr && next >= scan.end));

    /* The vector is all zero again. */
    ww_scratch_take(scratch, nr > 0 ? nr : 0);
    if (!answered || !is_good(ctx, question)) {
        expect_runs(question->note, 1);
        return -EAGAIN;
    }
    question->nr_runs += nr;
    expect_runs(question->note, question->nr_runs);
    *ret_next = next;
    return nr;
}

/* ---- noting ---- */

static unsigned int epoch_of(const struct ww_region *region)
{
    return region->watch_id % WW_NR_EPOCHS;
}

static bool is_void(struct ww_context *ctx, struct note *note)
{
    return !atomic_load(&note->end) ||
           atomic_load(&ctx->lockless.epochs[atomic_load(&note->epoch_at)]) != atomic_load(&note->epoch);
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
        unsigned int nr = atomic_fetch_add_explicit(&ctx->lockless.nr_crowded, 1, memory_order_relaxed);

        chosen = nr % KEEP ? NULL : &set[nr / KEEP % NR_WAYS];
    }
    return chosen;
}

void ww_lockless_remember(struct ww_context *ctx, const struct ww_region *region, const struct ww_scan *scan,
                          size_t nr_runs)
{
    struct ww_lockless_table *table = atomic_load(&ctx->lockless.table);
    bool dense = scan->dense && (!region->lost || region->markers);
    unsigned int epoch_at = epoch_of(region);
    struct note *note;

    if (!table) {
        return;
    }
    note = choose_note(ctx, set_of(table, scan->start), scan);
    if (note && begin_change(note)) {
        put(&note->start, scan->start);
        put(&note->end, scan->end);
        put(&note->dense, dense);
        put(&note->nr_runs, nr_runs);
        put(&note->tracker, region->tracker);
        put(&note->epoch_at, epoch_at);
        put(&note->epoch, atomic_load(&ctx->lockless.epochs[epoch_at]));
        end_change(note);
    }
}

void ww_epoch_end(struct ww_context *ctx, const struct ww_region *region)
{
    atomic_fetch_add(&ctx->lockless.epochs[epoch_of(region)], 1);
}
