/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The operations of the model (model.h) and what it expects of their answers.
 */
#include <errno.h>

#include "internal.h"
#include "model.h"
#include "util.h"

#define ASSERT(model, cond)                                                                                  \
    ck_assert_msg(cond, "%s, seed %lu, step %lu: %s", (model)->name, (model)->seed, (model)->step, #cond)

static size_t below(struct model *model, size_t limit)
{
    return random_below(&model->random, limit);
}

static char *addr_of(const struct model *model, size_t page)
{
    return model->base + page * page_size();
}

static const struct ww_region *region_of(const struct model *model)
{
    return ww_region_find(model->ctx, (uintptr_t)model->base);
}

/* Whether what tracks the region now reports nothing but what was written. */
static bool region_is_exact(const struct model *model)
{
    return region_of(model)->tracker->caps & WW_CAP_EXACT;
}

/* After faults, a mapping may be one that is not tracked at the moment, or of which nobody knows what it is,
 * or be tracked in a way that cannot fill. */
static bool cannot_fill(const struct model *model, size_t page, int err)
{
    const struct ww_region *region = region_of(model);

    return (model->unsure[page] && (err == -ENOENT || err == -EOPNOTSUPP)) ||
           (err == -EINVAL && region->markers) ||
           (err == -EOPNOTSUPP && !(region->tracker->caps & WW_CAP_FILL));
}

/* ---- calls that may fail ---- */

static void begin_call(struct model *model)
{
    if (model->faults) {
        model->faults->resume();
    }
}

/* After a fault, whatever is reported may be more than was written. */
static void end_call(struct model *model)
{
    const struct ww_region *region = region_of(model);
    unsigned long nr;

    if (!model->faults) {
        return;
    }
    model->faults->pause();
    nr = model->faults->nr();
    /* That a tracker does not work any more may be found out later. */
    model->faulty = nr != model->nr_faults;
    if (region && region->tracker != model->tracker) {
        model->faulty = true;
        model->tracker = region->tracker;
    }
    model->nr_faults = nr;
    if (model->faulty) {
        memset(model->unsure, true, sizeof(model->unsure));
        model->vague = true;
    }
}

/* A call of the library, in which system calls may fail. */
#define CALL(model, ret, call)                                                                               \
    do {                                                                                                     \
        begin_call(model);                                                                                   \
        (ret) = (call);                                                                                      \
        end_call(model);                                                                                     \
    } while (0)

/* True: it worked. It may fail for a fault, and for nothing else. */
static bool worked(struct model *model, const char *what, ssize_t ret)
{
    ck_assert_msg(ret >= 0 || model->faulty, "%s, seed %lu, step %lu: %s: %s", model->name, model->seed,
                  model->step, what, strerror(-ret));
    model->nr_failed += ret < 0;
    return ret >= 0;
}

/* For a call that is made once more after it has failed. */
static void stop_faults(struct model *model)
{
    model->faults->stop();
    model->faulty = false;
}

/* ---- what is known ---- */

static bool is_marked(const struct model *model, size_t page)
{
    return model->dirty[page] || model->latched[page];
}

static void mark_clean(struct model *model, size_t from, size_t to)
{
    memset(model->dirty + from, 0, to - from);
    memset(model->latched + from, 0, to - from);
    if (!model->faulty) {
        memset(model->unsure + from, 0, to - from);
    }
}

static void set_value(struct model *model, size_t page, char value)
{
    if (model->prot[page] & PROT_WRITE) {
        write_page(model->base, page, value);
        model->value[page] = value;
        model->dirty[page] = model->exists[page] = true;
    }
}

/* Mostly short, now and then long, sometimes everything. */
static void random_range(struct model *model, size_t *ret_from, size_t *ret_to)
{
    static const size_t longest[] = { 4, 16, 16, 60, 200, MODEL_PAGES };
    size_t from = below(model, MODEL_PAGES), len = 1 + below(model, longest[below(model, 6)]);

    if (!below(model, 12)) {
        from = 0;
        len = MODEL_PAGES;
    }
    *ret_from = from;
    *ret_to = len < MODEL_PAGES - from ? from + len : MODEL_PAGES;
}

/* ---- the program's own steps ---- */

static void do_write_run(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    to = to > from + 100 ? from + 100 : to;
    for (size_t i = from; i < to; i++) {
        set_value(model, i, below(model, 3));
    }
}

/* Isolated pages, so that runs come by the hundred. */
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
        if (model->prot[i] & PROT_READ) {
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

/* Whether a page may be reported that is not marked. Where memory was short, nobody knows which pages were
 * reported before, and a zero page that was only read is taken for one that was written. */
static bool may_be_extra(const struct model *model, size_t page)
{
    return page < MODEL_PAGES &&
           (model->unsure[page] || !region_is_exact(model) || (model->vague && !model->value[page]));
}

/* The pages of an answer, one by one, are the first marked ones of the model; others
 * may come between them where the backend is not exact. */
static size_t check_page(struct model *model, size_t at, size_t to, uintptr_t addr, bool reset)
{
    size_t first = at, reported = (addr - (uintptr_t)model->base) / page_size();

    while (first < to && !is_marked(model, first)) {
        first++;
    }
    ck_assert_msg(
        reported >= at && reported < to &&
            (reported == first || (reported < first && may_be_extra(model, reported))),
        "%s, seed %lu, step %lu: page %zu is reported, the first marked is %zu (dirty %d, latched %d)",
        model->name, model->seed, model->step, reported, first, model->dirty[first < to ? first : 0],
        model->latched[first < to ? first : 0]);
    if (reset) {
        mark_clean(model, reported, reported + 1);
    }
    return reported + 1;
}

/* The answer was complete: nothing is left behind it. */
static void check_end(struct model *model, size_t at, size_t to)
{
    for (; at < to; at++) {
        ck_assert_msg(!is_marked(model, at),
                      "%s, seed %lu, step %lu: page %zu is missing (dirty %d, latched %d)", model->name,
                      model->seed, model->step, at, model->dirty[at], model->latched[at]);
    }
}

static void get_pages(struct model *model, size_t from, size_t to, unsigned int flags, size_t capacity)
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
    get_pages(model, from, to, flags, capacity);
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

/* ---- changes ---- */

static void do_reset(struct model *model)
{
    size_t from, to;
    int err;

    random_range(model, &from, &to);
    CALL(model, err, ww_reset(model->ctx, addr_of(model, from), (to - from) * page_size()));
    if (worked(model, "ww_reset", err)) {
        mark_clean(model, from, to);
    }
}

static void do_latch(struct model *model)
{
    size_t from, to;
    int err;

    random_range(model, &from, &to);
    CALL(model, err, ww_latch(model->ctx, addr_of(model, from), (to - from) * page_size()));
    for (size_t i = from; worked(model, "ww_latch", err) && i < to; i++) {
        model->latched[i] |= model->dirty[i];
    }
}

/* Pages dropped in place keep their protection; a new mapping starts out writable. */
static void drop(struct model *model, size_t from, size_t to)
{
    bool remap = !below(model, 4);
    int err;

    for (size_t i = from; i < to; i++) {
        remap &= model->prot[i] == (PROT_READ | PROT_WRITE);
    }
    if (remap) {
        remap_pages(addr_of(model, from), to - from);
    } else {
        ASSERT(model, madvise(addr_of(model, from), (to - from) * page_size(), MADV_DONTNEED) == 0);
    }
    CALL(model, err, ww_discard(model->ctx, addr_of(model, from), (to - from) * page_size()));
    worked(model, "ww_discard", err);
    memset(model->dirty + from, 0, to - from);
    memset(model->exists + from, 0, to - from);
    memset(model->value + from, 0, to - from);
}

static void do_drop(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    drop(model, from, to);
}

/* Content for pages that do not exist, up to the first that does. It is in no answer. */
static void do_fill(struct model *model)
{
    static char content[64 << 12];
    size_t from, to, first, page = page_size();
    char value = 1 + below(model, 100);
    ssize_t len;

    random_range(model, &from, &to);
    to = to > from + 60 ? from + 60 : to;
    if (!below(model, 2)) {
        drop(model, from, to);
    }
    for (first = from; first < to && !model->exists[first]; first++) {
        ;
    }
    memset(content, value, sizeof(content));
    CALL(model, len, ww_fill(model->ctx, addr_of(model, from), content, (to - from) * page));
    if ((first == from && len == -EEXIST) || cannot_fill(model, from, len)) {
        return;
    }
    if (worked(model, "ww_fill", len)) {
        size_t filled = len / page;
        bool less = filled < first - from && (model->faulty || model->unsure[from + filled]);

        ck_assert_msg(
            len % page == 0 && (filled == first - from || less),
            "%s, seed %lu, step %lu: filled %zd bytes from page %zu on, the first that exists is %zu",
            model->name, model->seed, model->step, len, from, first);
        memset(model->value + from, value, len / page);
        memset(model->exists + from, true, len / page);
    }
}

static void do_protect(struct model *model)
{
    static const int protections[] = {
        PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
    };
    int prot = protections[below(model, 5)], err;
    size_t from, to;

    random_range(model, &from, &to);
    if (prot != (PROT_READ | PROT_WRITE) && to - from > 100) {
        to = from + 100;
    }
    CALL(model, err, ww_protect(model->ctx, addr_of(model, from), (to - from) * page_size(), prot));
    if (!worked(model, "ww_protect", err)) {
        /* It may have been done in part. */
        stop_faults(model);
        ASSERT(model, !ww_protect(model->ctx, addr_of(model, from), (to - from) * page_size(), prot));
        model->faults->start();
    }
    for (size_t i = from; i < to; i++) {
        model->prot[i] = prot;
    }
}

static void watch_again(struct model *model)
{
    size_t len = MODEL_PAGES * page_size();
    int err;

    CALL(model, err, ww_watch(model->ctx, model->base, len, model->flags));
    if (!worked(model, "ww_watch", err)) {
        ASSERT(model, ww_count(model->ctx, model->base, 1) == -ENOENT);
        for (size_t i = below(model, 20); i < MODEL_PAGES; i += 20) {
            set_value(model, i, 2);
        }
        stop_faults(model);
        err = ww_watch(model->ctx, model->base, len, model->flags);
        if (err == -EBUSY) {
            /* A descriptor that was replaced since has it still: it could not be told to let go. */
            ASSERT(model, atomic_load(&model->ctx->tracker)->next);
            remap_pages(model->base, MODEL_PAGES);
            memset(model->value, 0, sizeof(model->value));
            memset(model->exists, false, sizeof(model->exists));
            for (size_t i = 0; i < MODEL_PAGES; i++) {
                model->prot[i] = PROT_READ | PROT_WRITE;
            }
            err = ww_watch(model->ctx, model->base, len, model->flags);
        }
        ASSERT(model, !err);
        model->faults->start();
    }
    model->vague = model->faulty;
    mark_clean(model, 0, MODEL_PAGES);
}

static void do_watch_again(struct model *model)
{
    int err;

    if (below(model, 8)) {
        return;
    }
    CALL(model, err, ww_unwatch(model->ctx, model->base, MODEL_PAGES * page_size()));
    if (worked(model, "ww_unwatch", err)) {
        ASSERT(model, ww_count(model->ctx, model->base, 1) == -ENOENT);
        for (size_t i = below(model, 20); i < MODEL_PAGES; i += 20) {
            set_value(model, i, 1);
        }
        watch_again(model);
    }
}

/* A part in the middle is watched no more, and the rest goes on as two regions. */
static void do_cut(struct model *model)
{
    size_t page = page_size(), from = 1 + below(model, MODEL_PAGES - 2), to;
    int err;

    if (below(model, 4)) {
        return;
    }
    to = from + 1 + below(model, MODEL_PAGES - from - 1);
    CALL(model, err, ww_unwatch(model->ctx, addr_of(model, from), (to - from) * page));
    if (!worked(model, "ww_unwatch", err)) {
        return;
    }
    ASSERT(model, ww_count(model->ctx, addr_of(model, from), page) == -ENOENT);
    ASSERT(model, ww_count(model->ctx, addr_of(model, from - 1), 2 * page) == -ENOENT);
    get_pages(model, 0, from, 0, MODEL_PAGES);
    get_pages(model, to, MODEL_PAGES, below(model, 2) ? WW_GET_RESET : 0, MODEL_PAGES);
    set_value(model, from, 1);
    CALL(model, err, ww_unwatch(model->ctx, model->base, MODEL_PAGES * page));
    if (!worked(model, "ww_unwatch", err)) {
        stop_faults(model);
        ASSERT(model, !ww_unwatch(model->ctx, model->base, MODEL_PAGES * page));
        model->faults->start();
    }
    watch_again(model);
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
    model->base = map_pages(MODEL_PAGES);
    ck_assert_int_eq(ww_watch(ctx, model->base, MODEL_PAGES * page_size(), WW_WATCH_FRESH | flags), 0);
    for (size_t i = 0; i < MODEL_PAGES; i++) {
        model->prot[i] = PROT_READ | PROT_WRITE;
    }
    return model;
}

void model_run(struct model *model, unsigned long nr_steps)
{
    static void (*const operations[])(struct model *) = {
        do_write_run, do_write_run, do_write_run, do_write_scattered, do_write_straddling, do_read,
        do_read,      do_get_pages, do_get_pages, do_get_pages,       do_get_ranges,       do_count,
        do_reset,     do_latch,     do_drop,      do_protect,         do_protect,          do_watch_again,
        do_cut,
    };
    bool can_fill = ww_backend_caps(model->ctx) & WW_CAP_FILL;

    for (unsigned long end = model->step + nr_steps; model->step < end; model->step++) {
        operations[below(model, sizeof(operations) / sizeof(operations[0]))](model);
        if (can_fill && !below(model, 20)) {
            do_fill(model);
        }
    }
}

/* A region that was given up stays so until it is watched anew. */
void model_end(struct model *model)
{
    size_t len = MODEL_PAGES * page_size();

    read_range(model, 0, MODEL_PAGES);
    if (!region_is_exact(model)) {
        ASSERT(model, !ww_unwatch(model->ctx, model->base, len));
        ASSERT(model, !ww_watch(model->ctx, model->base, len, model->flags));
        model->vague = false;
    }
    ASSERT(model, region_is_exact(model) == is_exact(model->ctx));
    /* The first may have to give the region to another tracker. */
    ASSERT(model, !ww_reset(model->ctx, model->base, len));
    ASSERT(model, !ww_reset(model->ctx, model->base, len));
    model->faulty = false;
    mark_clean(model, 0, MODEL_PAGES);
    count(model, 0, MODEL_PAGES);
    for (size_t i = below(model, 5); i < MODEL_PAGES; i += 5) {
        set_value(model, i, 3);
    }
    get_pages(model, 0, MODEL_PAGES, WW_GET_RESET, MODEL_PAGES);
    count(model, 0, MODEL_PAGES);
    ASSERT(model, !ww_unwatch(model->ctx, model->base, len));
    munmap(model->base, len);
    free(model);
}
