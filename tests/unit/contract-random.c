/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, part six: 20,000 random operations (WW_TEST_STEPS) on one region
 * against a model of two levels, the dirty bit of each page and the latch. The
 * model also knows contents and protections, so that a page that is damaged shows
 * too. A failure names seed and step, which repeat the run.
 */
#include <errno.h>

#include "contract.h"

#define NR_PAGES 1600
#define NR_STEPS 20000
#define NR_SEEDS 3

struct model {
    char *base;
    uint64_t random;
    unsigned long seed, step;
    bool dirty[NR_PAGES], latched[NR_PAGES];
    char value[NR_PAGES];
    int prot[NR_PAGES];
};

#define ASSERT(model, cond)                                                                                  \
    ck_assert_msg(cond, "%s, seed %lu, step %lu: %s", backend->name, (model)->seed, (model)->step, #cond)

static size_t below(struct model *model, size_t limit)
{
    return random_below(&model->random, limit);
}

static char *addr_of(const struct model *model, size_t page)
{
    return model->base + page * page_size();
}

/* Mostly short, now and then long, sometimes everything. */
static void random_range(struct model *model, size_t *ret_from, size_t *ret_to)
{
    static const size_t longest[] = { 4, 16, 16, 60, 200, NR_PAGES };
    size_t from = below(model, NR_PAGES), len = 1 + below(model, longest[below(model, 6)]);

    if (!below(model, 12)) {
        from = 0;
        len = NR_PAGES;
    }
    *ret_from = from;
    *ret_to = len < NR_PAGES - from ? from + len : NR_PAGES;
}

static bool is_marked(const struct model *model, size_t page)
{
    return model->dirty[page] || model->latched[page];
}

static void mark_clean(struct model *model, size_t from, size_t to)
{
    memset(model->dirty + from, 0, to - from);
    memset(model->latched + from, 0, to - from);
}

static void set_value(struct model *model, size_t page, char value)
{
    if (model->prot[page] & PROT_WRITE) {
        write_page(model->base, page, value);
        model->value[page] = value;
        model->dirty[page] = true;
    }
}

/* ---- operations ---- */

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
    size_t step = 2 + below(model, 9), nr = below(model, 2) ? 20 : NR_PAGES;

    for (size_t i = below(model, NR_PAGES); i < NR_PAGES && nr; i += step, nr--) {
        set_value(model, i, below(model, 2));
    }
}

static void do_write_straddling(struct model *model)
{
    size_t page = 1 + below(model, NR_PAGES - 1), before = 1 + below(model, 7);
    char *addr = addr_of(model, page) - before;
    uint64_t value;

    if (!(model->prot[page - 1] & model->prot[page] & PROT_WRITE)) {
        return;
    }
    memcpy(&value, addr, sizeof(value));
    memcpy(addr, &value, sizeof(value));
    *(volatile char *)addr = *addr;
    *(volatile char *)(addr + 7) = addr[7];
    model->dirty[page - 1] = model->dirty[page] = true;
}

static void do_read(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    for (size_t i = from; i < to; i++) {
        ASSERT(model, !(model->prot[i] & PROT_READ) || read_page(model->base, i) == model->value[i]);
    }
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
        reported >= at && reported < to && (reported == first || (reported < first && !is_exact(ctx))),
        "%s, seed %lu, step %lu: page %zu is reported, the first marked is %zu (dirty %d, latched %d)",
        backend->name, model->seed, model->step, reported, first, model->dirty[first < to ? first : 0],
        model->latched[first < to ? first : 0]);
    at = reported;
    if (reset) {
        mark_clean(model, at, at + 1);
    }
    return at + 1;
}

static void check_end(struct model *model, size_t at, size_t to)
{
    for (; at < to; at++) {
        ck_assert_msg(!is_marked(model, at),
                      "%s, seed %lu, step %lu: page %zu is missing (dirty %d, latched %d)", backend->name,
                      model->seed, model->step, at, model->dirty[at], model->latched[at]);
    }
}

static void do_get_pages(struct model *model)
{
    unsigned int flags = below(model, 2) ? WW_GET_RESET : 0;
    size_t from, to, at, capacity = below(model, 2) ? NR_PAGES : 1 + below(model, 40);
    static void *pages[NR_PAGES];
    ssize_t nr;

    random_range(model, &from, &to);
    nr = ww_get_pages(ctx, addr_of(model, from), (to - from) * page_size(), flags, pages, capacity);
    ASSERT(model, nr >= 0 && nr <= (ssize_t)capacity);
    at = from;
    for (ssize_t i = 0; i < nr; i++) {
        at = check_page(model, at, to, (uintptr_t)pages[i], flags & WW_GET_RESET);
    }
    if (nr < (ssize_t)capacity) {
        check_end(model, at, to);
    }
}

static void do_get_ranges(struct model *model)
{
    unsigned int flags = below(model, 2) ? WW_GET_RESET : 0;
    size_t from, to, at, capacity = below(model, 2) ? NR_PAGES : 1 + below(model, 40);
    static struct ww_range ranges[NR_PAGES];
    ssize_t nr;

    random_range(model, &from, &to);
    nr = ww_get_ranges(ctx, addr_of(model, from), (to - from) * page_size(), flags, ranges, capacity);
    ASSERT(model, nr >= 0 && nr <= (ssize_t)capacity);
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

static void do_count(struct model *model)
{
    size_t from, to, nr = 0;

    random_range(model, &from, &to);
    for (size_t i = from; i < to; i++) {
        nr += is_marked(model, i);
    }
    expect_number(ctx, ww_count(ctx, addr_of(model, from), (to - from) * page_size()), nr, to - from);
}

static void do_reset(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    ASSERT(model, ww_reset(ctx, addr_of(model, from), (to - from) * page_size()) == 0);
    mark_clean(model, from, to);
}

static void do_latch(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    ASSERT(model, ww_latch(ctx, addr_of(model, from), (to - from) * page_size()) == 0);
    for (size_t i = from; i < to; i++) {
        model->latched[i] |= model->dirty[i];
    }
}

/* Pages dropped in place keep their protection; a new mapping starts out writable. */
static void do_drop(struct model *model)
{
    size_t from, to;
    bool remap = !below(model, 4);

    random_range(model, &from, &to);
    for (size_t i = from; i < to; i++) {
        remap &= model->prot[i] == (PROT_READ | PROT_WRITE);
    }
    if (remap) {
        remap_pages(addr_of(model, from), to - from);
    } else {
        ASSERT(model, madvise(addr_of(model, from), (to - from) * page_size(), MADV_DONTNEED) == 0);
    }
    ASSERT(model, ww_discard(ctx, addr_of(model, from), (to - from) * page_size()) == 0);
    memset(model->dirty + from, 0, to - from);
    memset(model->value + from, 0, to - from);
}

static void do_protect(struct model *model)
{
    static const int protections[] = {
        PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
    };
    int prot = protections[below(model, 5)];
    size_t from, to;

    random_range(model, &from, &to);
    if (prot != (PROT_READ | PROT_WRITE) && to - from > 100) {
        to = from + 100;
    }
    ASSERT(model, ww_protect(ctx, addr_of(model, from), (to - from) * page_size(), prot) == 0);
    for (size_t i = from; i < to; i++) {
        model->prot[i] = prot;
    }
}

static void do_watch_again(struct model *model)
{
    if (below(model, 8)) {
        return;
    }
    ASSERT(model, ww_unwatch(ctx, model->base, NR_PAGES * page_size()) == 0);
    ASSERT(model, ww_count(ctx, model->base, 1) == -ENOENT);
    for (size_t i = below(model, 20); i < NR_PAGES; i += 20) {
        set_value(model, i, 1);
    }
    ASSERT(model, ww_watch(ctx, model->base, NR_PAGES * page_size(), 0) == 0);
    mark_clean(model, 0, NR_PAGES);
}

START_TEST(random_operations_equal_the_model)
{
    static void (*const operations[])(struct model *) = {
        do_write_run, do_write_run, do_write_run, do_write_scattered, do_write_straddling, do_read,
        do_read,      do_get_pages, do_get_pages, do_get_pages,       do_get_ranges,       do_count,
        do_reset,     do_latch,     do_drop,      do_protect,         do_protect,          do_watch_again,
    };
    struct model *model = calloc(1, sizeof(*model));
    const char *wanted = getenv("WW_TEST_STEPS");
    unsigned long nr_steps = wanted && atol(wanted) > 0 ? (unsigned long)atol(wanted) : NR_STEPS;

    model->base = watch_pages(NR_PAGES);
    model->random = model->seed = _i + 1;
    for (size_t i = 0; i < NR_PAGES; i++) {
        model->prot[i] = PROT_READ | PROT_WRITE;
    }
    for (model->step = 0; model->step < nr_steps; model->step++) {
        operations[below(model, sizeof(operations) / sizeof(operations[0]))](model);
    }
    do_read(model);
    ASSERT(model, ww_reset(ctx, model->base, NR_PAGES * page_size()) == 0);
    expect_number(ctx, ww_count(ctx, model->base, NR_PAGES * page_size()), 0, NR_PAGES);
}
END_TEST

void add_random_cases(Suite *suite)
{
    tcase_add_loop_test(new_case(suite, "random"), random_operations_equal_the_model, 0, NR_SEEDS);
}
