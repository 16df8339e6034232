/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The model (model.h): reads and writes, queries and the comparison of their answers with the model, and a
 * run of random operations. model-changes.c and model-behind.c have the operations that change the region.
 */
#include "model-ops.h"
#include "watch.h"

/* ---- reads and writes ---- */

static void do_write_run(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    to = to > from + 100 ? from + 100 : to;
    for (size_t i = from; i < to; i++) {
        set_value(model, i, below(model, 3));
    }
}

/* Isolated pages, so that an answer has hundreds of runs. */
static void do_write_scattered(struct model *model)
{
    size_t step = 2 + below(model, 9), nr = below(model, 2) ? 20 : MODEL_PAGES;

    for (size_t i = below(model, MODEL_PAGES); i < MODEL_PAGES && nr; i += step, nr--) {
        set_value(model, i, below(model, 2));
    }
}

static void do_write_straddling(struct model *model)
{
    size_t page = 1 + below(model, MODEL_PAGES - 1), before = 1 + below(model, 7);
    char *addr = addr_of(model, page) - before;
    uint64_t value;

    if (!(model->prot[page - 1] & model->prot[page] & PROT_WRITE)) {
        return;
    }
    memcpy(&value, addr, sizeof(value));
    memcpy(addr, &value, sizeof(value));
    *(volatile char *)addr = *addr;
    *(volatile char *)(addr + 7) = addr[7];
    for (size_t i = page - 1; i <= page; i++) {
        model->dirty[i] = model->exists[i] = true;
    }
}

static void read_range(struct model *model, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if ((model->prot[i] & PROT_READ) && !model->undefined[i]) {
            ck_assert_msg(read_page(model->base, i) == model->value[i],
                          "%s, seed %lu, step %lu: page %zu holds %d, not %d", model->name, model->seed,
                          model->step, i, read_page(model->base, i), model->value[i]);
            model->exists[i] = true;
        }
    }
}

static void do_read(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    read_range(model, from, to);
}

/* ---- answers ---- */

/* Whether the library may report the page although it is not marked. With model->vague, the library may have
 * lost which pages it reported before, and takes a zero page that was only read for one that was written. */
static bool may_be_extra(const struct model *model, size_t page)
{
    return page < MODEL_PAGES && (model->unsure[page] || model->huge || !region_is_exact(model) ||
                                  (model->vague && (!model->value[page] || model->undefined[page])));
}

/* How many pages the kernel may have marked by moving them. */
static size_t nr_moved(const struct model *model)
{
    unsigned long migrated = read_vmstat("pgmigrate_success") - model->nr_migrated;

    printf("%s, seed %lu, step %lu: pages are reported again; %lu were moved by the kernel meanwhile\n",
           model->name, model->seed, model->step, migrated);
    return migrated;
}

/* Checks one page of an answer: it is the next marked page of the model, or one before that, which
 * may_be_extra() allows or the kernel has moved. Returns the page after it. */
static size_t check_page(struct model *model, size_t at, size_t to, uintptr_t addr, bool reset)
{
    size_t first = at, reported = (addr - (uintptr_t)model->base) / page_size();

    while (first < to && !is_marked(model, first)) {
        first++;
    }
    ck_assert_msg(
        reported >= at && reported < to &&
            (reported == first || (reported < first && (may_be_extra(model, reported) || nr_moved(model)))),
        "%s, seed %lu, step %lu: page %zu is reported, the first marked is %zu (dirty %d, latched %d)",
        model->name, model->seed, model->step, reported, first, model->dirty[first < to ? first : 0],
        model->latched[first < to ? first : 0]);
    if (reset) {
        mark_clean(model, reported, reported + 1);
    }
    return reported + 1;
}

/* The answer was complete: no marked page is left. */
static void check_end(struct model *model, size_t at, size_t to)
{
    for (; at < to; at++) {
        ck_assert_msg(!is_marked(model, at),
                      "%s, seed %lu, step %lu: page %zu is missing (dirty %d, latched %d)", model->name,
                      model->seed, model->step, at, model->dirty[at], model->latched[at]);
    }
}

void model_get_pages(struct model *model, size_t from, size_t to, unsigned int flags, size_t capacity)
{
    static void *pages[MODEL_PAGES];
    size_t at = from;
    ssize_t nr;

    CALL(model, nr,
         ww_get_pages(model->ctx, addr_of(model, from), (to - from) * page_size(), flags, pages, capacity));
    if (!worked(model, "ww_get_pages", nr)) {
        return;
    }
    ASSERT(model, nr <= (ssize_t)capacity);
    for (ssize_t i = 0; i < nr; i++) {
        at = check_page(model, at, to, (uintptr_t)pages[i], flags & WW_GET_RESET);
    }
    if (nr < (ssize_t)capacity) {
        check_end(model, at, to);
    }
}

static void do_get_pages(struct model *model)
{
    unsigned int flags = below(model, 2) ? WW_GET_RESET : 0;
    size_t from, to, capacity = below(model, 2) ? MODEL_PAGES : 1 + below(model, 40);

    random_range(model, &from, &to);
    model_get_pages(model, from, to, flags, capacity);
}

static void do_get_ranges(struct model *model)
{
    unsigned int flags = below(model, 2) ? WW_GET_RESET : 0;
    size_t from, to, at, capacity = below(model, 2) ? MODEL_PAGES : 1 + below(model, 40);
    static struct ww_range ranges[MODEL_PAGES];
    ssize_t nr;

    random_range(model, &from, &to);
    CALL(model, nr,
         ww_get_ranges(model->ctx, addr_of(model, from), (to - from) * page_size(), flags, ranges, capacity));
    if (!worked(model, "ww_get_ranges", nr)) {
        return;
    }
    ASSERT(model, nr <= (ssize_t)capacity);
    at = from;
    for (ssize_t i = 0; i < nr; i++) {
        ASSERT(model, ranges[i].end > ranges[i].start);
        for (uintptr_t addr = ranges[i].start; addr < ranges[i].end; addr += page_size()) {
            at = check_page(model, at, to, addr, flags & WW_GET_RESET);
        }
    }
    if (nr < (ssize_t)capacity) {
        check_end(model, at, to);
    }
}

static void count(struct model *model, size_t from, size_t to)
{
    ssize_t nr, written = 0, possible = 0;

    CALL(model, nr, ww_count(model->ctx, addr_of(model, from), (to - from) * page_size()));
    for (size_t i = from; i < to; i++) {
        written += is_marked(model, i);
        possible += is_marked(model, i) || may_be_extra(model, i);
    }
    possible += nr > possible ? (ssize_t)nr_moved(model) : 0;
    if (worked(model, "ww_count", nr)) {
        ck_assert_msg(nr >= written && nr <= possible,
                      "%s, seed %lu, step %lu: %zd pages are reported, at least %zd and at most %zd may be",
                      model->name, model->seed, model->step, nr, written, possible);
    }
}

static void do_count(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    count(model, from, to);
}

/* ---- a run ---- */

struct model *model_new(struct ww_context *ctx, const char *name, unsigned long seed, unsigned int flags)
{
    struct model *model = calloc(1, sizeof(*model));

    ck_assert_ptr_nonnull(model);
    model->ctx = ctx;
    model->name = name;
    model->flags = flags;
    model->random = model->seed = seed;
    model->nr_migrated = read_vmstat("pgmigrate_success");
    model->base = map_pages(MODEL_PAGES);
    ck_assert_int_eq(ww_watch_internal(ctx, model->base, MODEL_PAGES * page_size(), WW_WATCH_FRESH | flags),
                     0);
    for (size_t i = 0; i < MODEL_PAGES; i++) {
        model->prot[i] = PROT_READ | PROT_WRITE;
    }
    return model;
}

void model_run(struct model *model, unsigned long nr_steps)
{
    static void (*const operations[])(struct model *) = {
        do_write_run,  do_write_run,  do_write_run,      do_write_scattered, do_write_straddling,
        do_read,       do_read,       do_get_pages,      do_get_pages,       do_get_pages,
        do_get_ranges, do_count,      model_reset,       model_latch,        model_drop,
        model_protect, model_protect, model_watch_again, model_cut,
    };
    bool can_fill = (ww_backend_caps(model->ctx) & WW_CAP_FILL) && !model->behind;

    for (unsigned long end = model->step + nr_steps; model->step < end; model->step++) {
        operations[below(model, sizeof(operations) / sizeof(operations[0]))](model);
        if (can_fill && !below(model, 20)) {
            model_fill(model);
        }
        if (model->behind && !below(model, 5)) {
            model_change_behind(model);
        }
    }
}

/* A region that went to a less exact tracker stays with it until it is watched anew. */
void model_end(struct model *model)
{
    size_t len = MODEL_PAGES * page_size();

    read_range(model, 0, MODEL_PAGES);
    if (!region_is_exact(model) || model->huge) {
        ASSERT(model, !ww_unwatch(model->ctx, model->base, len));
        ASSERT(model, !ww_watch_internal(model->ctx, model->base, len, model->flags));
        model->vague = model->huge = false;
    }
    ASSERT(model, region_is_exact(model) == is_exact(model->ctx));
    /* In the first reset the library may have to hand the region over to another tracker. */
    ASSERT(model, !ww_reset(model->ctx, model->base, len));
    ASSERT(model, !ww_reset(model->ctx, model->base, len));
    model->faulty = false;
    mark_clean(model, 0, MODEL_PAGES);
    count(model, 0, MODEL_PAGES);
    for (size_t i = below(model, 5); i < MODEL_PAGES; i += 5) {
        set_value(model, i, 3);
    }
    model_get_pages(model, 0, MODEL_PAGES, WW_GET_RESET, MODEL_PAGES);
    count(model, 0, MODEL_PAGES);
    ASSERT(model, !ww_unwatch(model->ctx, model->base, len));
    munmap(model->base, len);
    free(model);
}
