/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of the engine without any memory to watch: page sets, the region table,
 * and cached queries, compared with models that are arrays with an element a page. The
 * backend "none" touches no mapping, so regions can lie anywhere.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "context.h"

/* ---- memory that runs out ---- */

static bool short_of_memory;
static unsigned int nr_allocs;

void *__real_ww_heap_alloc(size_t size);
void *__wrap_ww_heap_alloc(size_t size);

void *__wrap_ww_heap_alloc(size_t size)
{
    return short_of_memory && ++nr_allocs % 3 == 0 ? NULL : __real_ww_heap_alloc(size);
}

/* ---- page sets ---- */

#define BASE ((uintptr_t)1 << 32)
#define MAX_PAGES (4096 * 5 + 100) /* some leaves and part of one */
#define LEAF 4096

/* A set and the members that it must have. After memory ran out it may have more (!exact). */
struct modelled {
    struct ww_page_set set;
    bool member[MAX_PAGES];
    size_t from; /* the set's first page in member */
    bool exact;
};

static uintptr_t addr_of(size_t page)
{
    return BASE + (page << ww_page_shift);
}

static size_t pages_of(const struct modelled *m)
{
    return m->set.nr_pages;
}

/* A range of pages of the set, often up to a leaf's end, where the code takes another path. */
static void take_range(struct input *input, const struct modelled *m, size_t *ret_from, size_t *ret_to)
{
    size_t first = take_below(input, pages_of(m) + 1), second = take_below(input, pages_of(m) + 1);

    if (second & 1) {
        second = (second / LEAF + 1) * LEAF < pages_of(m) ? (second / LEAF + 1) * LEAF : pages_of(m);
    }
    *ret_from = m->from + (first < second ? first : second);
    *ret_to = m->from + (first < second ? second : first);
}

static void check_next(const struct modelled *m, size_t from, size_t to)
{
    uintptr_t start = 0, end = 0;
    size_t first = from, stop;
    bool found = ww_page_set_next(&m->set, addr_of(from), addr_of(to), &start, &end);

    while (first < to && !m->member[first]) {
        first++;
    }
    for (stop = first; stop < to && m->member[stop]; stop++) {
        ;
    }
    if (!m->exact) {
        must(first == to || (found && start <= addr_of(first)), "page %zu is lost", first);
        return;
    }
    must(found == (first < to), "a run in %zu-%zu is %s", from, to, found ? "made up" : "missing");
    must(!found || (start == addr_of(first) && end == addr_of(stop)), "run %zu-%zu is %#zx-%#zx", first, stop,
         (size_t)start, (size_t)end);
}

/* All pages of the run must be members. */
static void check_full_run(const struct modelled *m, size_t from, size_t to)
{
    uintptr_t end = ww_page_set_full_run(&m->set, addr_of(from), addr_of(to));
    size_t stop = (end - BASE) >> ww_page_shift;

    must(end >= addr_of(from) && end <= addr_of(to), "%#zx is outside", (size_t)end);
    for (size_t i = from; i < stop && m->exact; i++) {
        must(m->member[i], "page %zu is no member", i);
    }
}

/* The span must make progress, end in the range, and have about as many members as asked for: it counts whole
 * leaves. */
static void check_span(const struct modelled *m, size_t from, size_t to, size_t max_pages)
{
    uintptr_t end = ww_page_set_span(&m->set, addr_of(from), addr_of(to), max_pages);
    size_t members = 0;

    must(end > addr_of(from) && end <= addr_of(to), "%#zx from %zu", (size_t)end, from);
    for (size_t i = from; i < (end - BASE) >> ww_page_shift && m->exact; i++) {
        members += m->member[i];
    }
    must(members <= max_pages + 2 * LEAF, "%zu members for %zu", members, max_pages);
}

/* Compares every page, one run after the other. */
static void check_all(const struct modelled *m)
{
    uintptr_t pos = addr_of(m->from), end = addr_of(m->from + pages_of(m)), start, stop;
    size_t nr = 0, expected = 0, at = m->from;

    while (ww_page_set_next(&m->set, pos, end, &start, &stop)) {
        must(start >= pos && stop > start && stop <= end, "run %#zx-%#zx", (size_t)start, (size_t)stop);
        for (; at < (start - BASE) >> ww_page_shift; at++) {
            must(!m->member[at], "page %zu is lost", at);
        }
        for (; at < (stop - BASE) >> ww_page_shift; at++) {
            must(m->member[at] || !m->exact, "page %zu is made up", at);
            nr++;
        }
        pos = stop;
    }
    for (; at < m->from + pages_of(m); at++) {
        must(!m->member[at], "page %zu is lost", at);
    }
    for (size_t i = m->from; i < m->from + pages_of(m); i++) {
        expected += m->member[i];
    }
    must(!m->exact || (m->set.nr_set == expected && nr == expected), "%zu members, %zu counted, %zu found",
         expected, m->set.nr_set, nr);
    must(ww_page_set_empty(&m->set) == (nr == 0), "emptiness");
}

static void split_and_join(struct input *input, struct modelled *m)
{
    size_t at = m->from + take_below(input, pages_of(m) + 1), nr = pages_of(m);
    struct modelled *upper = malloc(sizeof(*upper));

    *upper = *m;
    ww_page_set_split(&m->set, addr_of(at), &upper->set);
    upper->from = at;
    must(m->set.nr_pages + upper->set.nr_pages == nr, "%zu pages", nr);
    check_all(m);
    check_all(upper);
    ww_page_set_join(&m->set, &upper->set);
    must(m->set.nr_pages == nr && ww_page_set_empty(&upper->set), "joined");
    ww_page_set_destroy(&upper->set);
    free(upper);
}

static void merge(struct input *input, struct modelled *m)
{
    struct modelled *from = calloc(1, sizeof(*from));
    size_t first, stop;

    if (!from) {
        return;
    }
    take_range(input, m, &first, &stop);
    from->from = first;
    from->exact = m->exact;
    ww_page_set_init(&from->set, addr_of(first), stop - first);
    for (int i = 0; i < 2 && stop > first; i++) {
        size_t a, b;

        take_range(input, from, &a, &b);
        ww_page_set_add(&from->set, addr_of(a), addr_of(b));
        memset(from->member + a, true, b - a);
        memset(m->member + a, true, b - a);
    }
    ww_page_set_merge(&m->set, &from->set);
    ww_page_set_destroy(&from->set);
    free(from);
}

static void page_set(struct input *input)
{
    static struct modelled m;
    size_t from, to;

    short_of_memory = false;
    memset(&m, 0, sizeof(m));
    m.exact = !take_bool(input);
    ww_page_set_init(&m.set, BASE, 1 + take_below(input, MAX_PAGES));
    short_of_memory = !m.exact;
    for (int nr = 0; input->left && nr < 200; nr++) {
        unsigned int operation = take(input, 1) % 8;

        take_range(input, &m, &from, &to);
        switch (operation) {
        case 0:
        case 1:
            ww_page_set_add(&m.set, addr_of(from), addr_of(to));
            memset(m.member + from, true, to - from);
            break;
        case 2:
            ww_page_set_remove(&m.set, addr_of(from), addr_of(to));
            memset(m.member + from, false, to - from);
            break;
        case 3:
            check_next(&m, from, to);
            break;
        case 4:
            check_full_run(&m, from, to);
            break;
        case 5:
            if (from < to) {
                check_span(&m, from, to, 1 + take_below(input, 2 * LEAF));
            }
            break;
        case 6:
            split_and_join(input, &m);
            break;
        case 7:
            merge(input, &m);
            break;
        }
    }
    check_all(&m);
    ww_page_set_destroy(&m.set);
    short_of_memory = false;
}

/* ---- the region table, and cached queries ---- */

#define NR_SLOTS 64

static struct ww_context *ctx;
static struct ww_region *slots[NR_SLOTS]; /* the region that each page is in */

static void check_region(const struct ww_region *region, size_t slot)
{
    must(region == slots[slot], "slot %zu is in another region", slot);
    must(!region || (region->range.start <= addr_of(slot) && addr_of(slot) < region->range.end), "slot %zu",
         slot);
}

static void check_table(void)
{
    size_t nr = 0;

    for (size_t i = 0; i < NR_SLOTS; i++) {
        check_region(ww_region_find(ctx, addr_of(i)), i);
        check_region(ww_region_find(ctx, addr_of(i + 1) - 1), i);
        nr += slots[i] && (!i || slots[i] != slots[i - 1]);
    }
    must(atomic_load(&ctx->nr_regions) == nr, "%zu regions", nr);
    must(!ww_region_find(ctx, BASE - 1) && !ww_region_find(ctx, addr_of(NR_SLOTS)), "beyond the table");
}

static void set_slots(const struct ww_region *range_of, struct ww_region *value)
{
    size_t from = (range_of->range.start - BASE) >> ww_page_shift;
    size_t to = (range_of->range.end - BASE) >> ww_page_shift;

    for (size_t i = from; i < to; i++) {
        slots[i] = value;
    }
}

static void insert(size_t from, size_t to)
{
    struct ww_region *region;

    for (size_t i = from; i < to; i++) {
        if (slots[i]) {
            return;
        }
    }
    region = from < to ? ww_region_new(addr_of(from), addr_of(to)) : NULL;
    if (region) {
        region->watch_id = ++ctx->last_watch_id;
        region->tracker = atomic_load(&ctx->tracker);
        ww_region_insert(ctx, region);
        ww_lockless_grow(&ctx->lockless, atomic_load(&ctx->nr_regions));
        set_slots(region, region);
    }
}

static void remove_region(struct ww_region *region)
{
    ww_region_remove(ctx, region);
    set_slots(region, NULL);
    ww_region_free(region);
}

/* Splits a region: latched pages must stay latched in the region that they are in then. */
static void split(size_t at, bool undo)
{
    struct ww_region *region = slots[at], *upper;
    size_t below = at ? at - 1 : 0, nr;
    uintptr_t start, end;

    if (!region || region->range.start == addr_of(at)) {
        return;
    }
    must(ww_region_split(ctx, region, addr_of(at) + 1, &upper) == -EINVAL, "cut inside a page");
    pthread_mutex_lock(&region->lock);
    ww_page_set_add(&region->latch, addr_of(below), addr_of(at + 1));
    nr = region->latch.nr_set;
    pthread_mutex_unlock(&region->lock);
    must(!ww_region_split(ctx, region, addr_of(at), &upper), "split");
    must(upper->watch_id == region->watch_id && region->range.end == addr_of(at), "halves");
    must(region->latch.nr_set + upper->latch.nr_set == nr, "latched pages of the halves");
    must(ww_page_set_next(&upper->latch, addr_of(at), addr_of(at + 1), &start, &end), "page %zu is latched",
         at);
    must(upper->latch.nr_set < nr, "page %zu is latched", below);
    if (undo) {
        ww_region_remove(ctx, upper);
        ww_region_join(region, upper);
        must(region->latch.nr_set == nr, "latched pages of the whole");
    } else {
        set_slots(upper, upper);
    }
}

static bool in_one_region(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (!slots[i] || slots[i] != slots[from]) {
            return false;
        }
    }
    return from < to;
}

/* Caches a query, which must be valid until its region changes, and no longer. */
static void note(size_t from, size_t to, size_t nr_runs)
{
    const struct ww_range range = { .start = addr_of(from), .end = addr_of(to) };

    if (in_one_region(from, to)) {
        ww_lockless_remember(ctx, slots[from], &range, nr_runs & 1, nr_runs);
    }
}

static void find_first(size_t from, size_t to)
{
    struct ww_region *found = ww_region_first(ctx, addr_of(from), addr_of(to));

    for (size_t i = from; i < to; i++) {
        if (slots[i]) {
            must(found == slots[i], "slot %zu is first", i);
            return;
        }
    }
    must(!found, "nothing is in %zu-%zu", from, to);
}

static void region_table(struct input *input)
{
    for (int nr = 0; input->left && nr < 300; nr++) {
        unsigned int operation = take(input, 1) % 7;
        size_t first = take_below(input, NR_SLOTS), second = take_below(input, NR_SLOTS);
        size_t from = first < second ? first : second, to = (first < second ? second : first) + 1;

        switch (operation) {
        case 0:
            insert(from, to);
            break;
        case 1:
            if (slots[first]) {
                remove_region(slots[first]);
            }
            break;
        case 2:
            split(first, second & 1);
            break;
        case 3:
            find_first(from, to);
            break;
        case 4:
            note(from, to, second);
            break;
        case 5:
            if (slots[first]) {
                ww_epoch_end(&ctx->epochs, slots[first]);
                must(!ww_lockless_knows(ctx, slots[first]->range.start, slots[first]->range.end), "void");
            }
            break;
        case 6:
            check_table();
            break;
        }
        must(!ww_lockless_knows(ctx, addr_of(from), addr_of(to)) || in_one_region(from, to),
             "%zu-%zu is said to be in one region", from, to);
    }
    check_table();
    for (size_t i = 0; i < NR_SLOTS; i++) {
        if (slots[i]) {
            remove_region(slots[i]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .at = data, .left = size };
    bool table = take_bool(&input);

    must(!ww_open(&ctx, "none"), "ww_open");
    if (table) {
        region_table(&input);
    } else {
        page_set(&input);
    }
    ww_close(ctx);
    return 0;
}
