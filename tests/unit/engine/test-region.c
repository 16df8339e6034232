/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The region table under random watches, unwatches, cuts and detached parts (detach.c), against an oracle
 * that knows for each page which region owns it and whether it is dirty or latched; and allocations that fail
 * in the middle of a cut. What the rest of a region reports must survive every cut and every join.
 *
 * Link with -Wl,--wrap=ww_heap_alloc: the wrapper makes allocations fail.
 */
#include <errno.h>

#include "change.h"
#include "util.h"

#define NR_PAGES 320
#define NR_STEPS 10000
#define NR_SEEDS 4

static const struct ww_probe *backend;
static struct ww_context *ctx;

void *__real_ww_heap_alloc(size_t size);
void *__wrap_ww_heap_alloc(size_t size);

/* Allocations that still succeed; below 0: all do. */
static long allocations_left = -1;

void *__wrap_ww_heap_alloc(size_t size)
{
    if (allocations_left == 0) {
        return NULL;
    }
    if (allocations_left > 0) {
        allocations_left--;
    }
    return __real_ww_heap_alloc(size);
}

/* ---- the oracle ---- */

struct model {
    char *base;
    uint64_t random;
    unsigned long seed, step;
    unsigned int last_owner;
    unsigned int owner[NR_PAGES]; /* 0: no region */
    bool dirty[NR_PAGES], latched[NR_PAGES];
};

#define ASSERT(model, cond)                                                                                  \
    ck_assert_msg(cond, "%s, seed %lu, step %lu: %s", backend->name, (model)->seed, (model)->step, #cond)

static void random_range(struct model *model, size_t longest, size_t *ret_from, size_t *ret_to)
{
    size_t from = random_below(&model->random, NR_PAGES), len = 1 + random_below(&model->random, longest);

    *ret_from = from;
    *ret_to = len < NR_PAGES - from ? from + len : NR_PAGES;
}

static char *addr_of(const struct model *model, size_t page)
{
    return model->base + page * page_size();
}

static size_t region_end(const struct model *model, size_t page)
{
    unsigned int owner = model->owner[page];

    while (page < NR_PAGES && model->owner[page] == owner) {
        page++;
    }
    return page;
}

static size_t region_start(const struct model *model, size_t page)
{
    while (page > 0 && model->owner[page - 1] == model->owner[page]) {
        page--;
    }
    return page;
}

static bool any_owned(const struct model *model, size_t from, size_t to)
{
    while (from < to && !model->owner[from]) {
        from++;
    }
    return from < to;
}

/* Gives [from, to) a new owner, or none. If that cuts a region, its upper part gets an owner of its own. */
static void set_owner(struct model *model, size_t from, size_t to, unsigned int owner)
{
    bool cut = from > 0 && to < NR_PAGES && model->owner[to] && model->owner[from - 1] == model->owner[to];
    size_t end = to < NR_PAGES ? region_end(model, to) : to;

    for (size_t i = from; i < to; i++) {
        model->owner[i] = owner;
    }
    if (cut) {
        model->last_owner++;
        for (size_t i = to; i < end; i++) {
            model->owner[i] = model->last_owner;
        }
    }
}

static void set_flags(bool *flags, size_t from, size_t to, bool value)
{
    memset(flags + from, value, to - from);
}

/* A random part of a random region. False if there is none at the chosen page. */
static bool random_part(struct model *model, size_t *ret_from, size_t *ret_to)
{
    size_t page = random_below(&model->random, NR_PAGES), end;

    if (!model->owner[page]) {
        return false;
    }
    end = region_end(model, page);
    *ret_from = page;
    *ret_to = page + 1 + random_below(&model->random, end - page);
    return true;
}

/* ---- comparison ---- */

static void check_find(const struct model *model, size_t page)
{
    struct ww_range range = { 1, 2 };
    int err = ww_find(ctx, addr_of(model, page) + page % page_size(), &range);

    if (!model->owner[page]) {
        ASSERT(model, err == -ENOENT && range.start == 1 && range.end == 2);
        return;
    }
    ASSERT(model, err == 0);
    ASSERT(model, range.start == (uintptr_t)addr_of(model, region_start(model, page)));
    ASSERT(model, range.end == (uintptr_t)addr_of(model, region_end(model, page)));
}

static void check_part(struct model *model, size_t from, size_t to, unsigned int flags)
{
    void *pages[NR_PAGES];
    ssize_t nr = ww_get_pages(ctx, addr_of(model, from), (to - from) * page_size(), flags, pages, NR_PAGES);
    ssize_t at = 0;

    ASSERT(model, nr >= 0);
    for (size_t i = from; i < to; i++) {
        bool found = at < nr && pages[at] == addr_of(model, i);

        ck_assert_msg(found == (model->dirty[i] || model->latched[i]) || (found && !is_exact(ctx)),
                      "%s, seed %lu, step %lu: page %zu: reported %d, dirty %d, latched %d", backend->name,
                      model->seed, model->step, i, found, model->dirty[i], model->latched[i]);
        at += found;
    }
    ASSERT(model, at == nr);
    if (flags & WW_GET_RESET) {
        set_flags(model->dirty, from, to, false);
        set_flags(model->latched, from, to, false);
    }
}

static void check_all(struct model *model)
{
    for (size_t page = 0; page < NR_PAGES; page = region_end(model, page)) {
        check_find(model, page);
        if (model->owner[page]) {
            check_part(model, page, region_end(model, page), 0);
        }
    }
}

/* ---- operations ---- */

static void do_watch(struct model *model)
{
    size_t from, to;
    int err;

    random_range(model, 40, &from, &to);
    err = ww_watch(ctx, addr_of(model, from), (to - from) * page_size(), 0);
    if (any_owned(model, from, to)) {
        ASSERT(model, err == -EEXIST);
        return;
    }
    ASSERT(model, err == 0);
    set_owner(model, from, to, ++model->last_owner);
    set_flags(model->dirty, from, to, false);
    set_flags(model->latched, from, to, false);
}

static void do_unwatch(struct model *model)
{
    size_t from, to;

    random_range(model, random_below(&model->random, 8) ? 24 : NR_PAGES, &from, &to);
    ASSERT(model, ww_unwatch(ctx, addr_of(model, from), (to - from) * page_size()) == 0);
    set_owner(model, from, to, 0);
}

/* Other code has replaced the memory. */
static void do_forget(struct model *model)
{
    size_t from, to;

    random_range(model, 24, &from, &to);
    remap_pages(addr_of(model, from), to - from);
    ASSERT(model, ww_forget(ctx, (uintptr_t)addr_of(model, from), (uintptr_t)addr_of(model, to), NULL) == 0);
    set_owner(model, from, to, 0);
}

static void do_write(struct model *model)
{
    size_t from, to;

    random_range(model, 12, &from, &to);
    for (size_t i = from; i < to; i++) {
        write_page(model->base, i, random_below(&model->random, 2));
        model->dirty[i] = true;
    }
}

static void do_drop(struct model *model)
{
    size_t from, to;

    if (!random_part(model, &from, &to)) {
        return;
    }
    ASSERT(model, madvise(addr_of(model, from), (to - from) * page_size(), MADV_DONTNEED) == 0);
    ASSERT(model, ww_discard(ctx, addr_of(model, from), (to - from) * page_size()) == 0);
    set_flags(model->dirty, from, to, false);
    ASSERT(model, read_page(model->base, from) == 0);
}

static void do_latch(struct model *model)
{
    size_t from, to;

    if (!random_part(model, &from, &to)) {
        return;
    }
    ASSERT(model, ww_latch(ctx, addr_of(model, from), (to - from) * page_size()) == 0);
    for (size_t i = from; i < to; i++) {
        model->latched[i] |= model->dirty[i];
    }
}

static void do_get(struct model *model)
{
    size_t from, to;
    void *page = model;

    if (random_part(model, &from, &to)) {
        check_part(model, from, to, random_below(&model->random, 2) ? WW_GET_RESET : 0);
        return;
    }
    random_range(model, 40, &from, &to);
    if (!model->owner[from] || to > region_end(model, from)) {
        ASSERT(model, ww_get_pages(ctx, addr_of(model, from), (to - from) * page_size(), WW_GET_RESET, &page,
                                   1) == -ENOENT);
        ASSERT(model, page == (void *)model);
    }
}

/* Detaches a part of a region, as for a release; then the release happens, or fails. */
static void do_detach(struct model *model)
{
    struct model before = *model;
    struct ww_detached detached;
    size_t from, to;

    random_range(model, 24, &from, &to);
    if (backend->caps & WW_CAP_OWNS_PROT) {
        ASSERT(model, ww_detach(ctx, (uintptr_t)addr_of(model, from), (uintptr_t)addr_of(model, to),
                                &detached) == -EOPNOTSUPP);
        ww_detached_restore(ctx, &detached);
        return;
    }
    if (!model->owner[from] || to > region_end(model, from)) {
        ASSERT(model, ww_detach(ctx, (uintptr_t)addr_of(model, from), (uintptr_t)addr_of(model, to),
                                &detached) == -ENOENT);
        ASSERT(model, !detached.region);
        ww_detached_free(&detached);
        ww_detached_restore(ctx, &detached);
        return;
    }
    ASSERT(model,
           ww_detach(ctx, (uintptr_t)addr_of(model, from), (uintptr_t)addr_of(model, to), &detached) == 0);
    set_owner(model, from, to, 0);
    if (!random_below(&model->random, 4)) {
        check_all(model);
    }
    if (random_below(&model->random, 2)) {
        ww_detached_restore(ctx, &detached);
        memcpy(model->owner, before.owner, sizeof(model->owner));
        check_part(model, region_start(model, from), region_end(model, from), 0);
    } else {
        remap_pages(addr_of(model, from), to - from);
        ww_detached_free(&detached);
        set_flags(model->dirty, from, to, false);
    }
    check_find(model, from);
}

static void do_something(struct model *model)
{
    static void (*const operations[])(struct model *) = {
        do_watch, do_watch, do_watch, do_watch, do_unwatch, do_forget, do_write,  do_write,
        do_write, do_drop,  do_latch, do_get,   do_get,     do_detach, do_detach,
    };

    operations[random_below(&model->random, sizeof(operations) / sizeof(operations[0]))](model);
}

/* ---- tests ---- */

static void open_context(void)
{
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
}

static void close_context(void)
{
    ww_close(ctx);
}

START_TEST(random_operations_equal_the_oracle)
{
    struct model model = { .base = map_pages(NR_PAGES), .random = _i + 1, .seed = _i + 1 };

    for (model.step = 0; model.step < NR_STEPS; model.step++) {
        do_something(&model);
        check_find(&model, random_below(&model.random, NR_PAGES));
        if (model.step % 25 == 0) {
            check_all(&model);
        }
    }
    check_all(&model);
}
END_TEST

START_TEST(touching_regions_stay_apart)
{
    size_t page = page_size();
    char *base = map_pages(12);
    struct ww_range range;
    void *pages[12];

    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(ww_watch(ctx, base + i * 4 * page, 4 * page, WW_WATCH_FRESH), 0);
    }
    write_map(base, "...##..#....");
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(ww_find(ctx, base + i * 4 * page, &range), 0);
        ck_assert_uint_eq(range.start, (uintptr_t)base + i * 4 * page);
        ck_assert_uint_eq(range.end, (uintptr_t)base + (i + 1) * 4 * page);
    }
    ck_assert_int_eq(ww_get_pages(ctx, base + 3 * page, 2 * page, 0, pages, 12), -ENOENT);
    expect_map(ctx, base, "...#");
    expect_map(ctx, base + 4 * page, "#..#");
    /* Covers the end of the first region, all of the second and the start of the third. */
    ck_assert_int_eq(ww_unwatch(ctx, base + 3 * page, 6 * page), 0);
    expect_map(ctx, base, "...");
    ck_assert_int_eq(ww_find(ctx, base + 3 * page, &range), -ENOENT);
    ck_assert_int_eq(ww_find(ctx, base + 8 * page, &range), -ENOENT);
    expect_map(ctx, base + 9 * page, "...");
    ck_assert_int_eq(ww_find(ctx, base + 9 * page, &range), 0);
    ck_assert_uint_eq(range.end, (uintptr_t)base + 12 * page);
}
END_TEST

/* The first allocation fails, then the second, and so on: the cut happens whole or not at all, and loses no
 * page. */
START_TEST(a_cut_without_memory_changes_nothing)
{
    static const char map[] = "#.##....#..#";
    size_t page = page_size(), nr_failed = 0;
    struct ww_range range;
    void *pages[12];

    for (long allowed = 0; allowed < 16; allowed++) {
        char *base = map_pages(12);
        int err;

        ck_assert_int_eq(ww_watch(ctx, base, 12 * page, WW_WATCH_FRESH), 0);
        write_map(base, map);
        ck_assert_int_eq(ww_latch(ctx, base, 2 * page), 0);
        allocations_left = allowed;
        err = ww_unwatch(ctx, base + 4 * page, 4 * page);
        allocations_left = -1;
        ck_assert_msg(err == 0 || err == -ENOMEM, "ww_unwatch: %d", err);
        nr_failed += err != 0;
        ck_assert_int_eq(ww_find(ctx, base, &range), 0);
        ck_assert_uint_eq(range.start, (uintptr_t)base);
        ck_assert_uint_eq(range.end, (uintptr_t)base + (err ? 12 : 4) * page);
        ck_assert_int_eq(ww_find(ctx, base + 4 * page, &range), err ? 0 : -ENOENT);
        ck_assert_int_eq(ww_find(ctx, base + 8 * page, &range), 0);
        ck_assert_uint_eq(range.end, (uintptr_t)base + 12 * page);
        /* A set that gets no memory may report more, but no page may be missing. */
        expect_map(ctx, base, err ? "#?##????#??#" : "#?##");
        if (!err) {
            expect_map(ctx, base + 8 * page, "#??#");
        }
        /* After a reset of the whole region the set is exact again. */
        ck_assert_int_ge(ww_get_pages(ctx, base, (err ? 12 : 4) * page, WW_GET_RESET, pages, 12), 3);
        expect_map(ctx, base, "....");
    }
    ck_assert_uint_ge(nr_failed, 2);
    ck_assert_uint_lt(nr_failed, 16);
}
END_TEST

START_TEST(a_detach_without_memory_changes_nothing)
{
    size_t page = page_size(), nr_failed = 0;
    struct ww_range range;

    for (long allowed = 0; allowed < 16; allowed++) {
        char *base = map_pages(12);
        struct ww_detached detached;
        int err;

        ck_assert_int_eq(ww_watch(ctx, base, 12 * page, WW_WATCH_FRESH), 0);
        write_map(base, "#.##....#..#");
        ck_assert_int_eq(ww_latch(ctx, base, 12 * page), 0);
        allocations_left = allowed;
        err = ww_detach(ctx, (uintptr_t)base + 4 * page, (uintptr_t)base + 8 * page, &detached);
        allocations_left = -1;
        ck_assert_msg(err == 0 || err == -ENOMEM, "ww_detach: %d", err);
        nr_failed += err != 0;
        ck_assert_int_eq(detached.region == NULL, err != 0);
        ww_detached_restore(ctx, &detached);
        ck_assert_int_eq(ww_find(ctx, base + 5 * page, &range), 0);
        ck_assert_uint_eq(range.start, (uintptr_t)base);
        ck_assert_uint_eq(range.end, (uintptr_t)base + 12 * page);
        expect_map(ctx, base, "#?##????#??#");
    }
    ck_assert_uint_ge(nr_failed, 2);
    ck_assert_uint_lt(nr_failed, 16);
}
END_TEST

/* Before a detached part is restored, its neighbour may have been unwatched, and a new watch may be there. */
START_TEST(a_detached_part_is_not_joined_to_strangers)
{
    size_t page = page_size();
    char *base = map_pages(12);
    struct ww_detached detached;
    struct ww_range range;

    ck_assert_int_eq(ww_watch(ctx, base, 12 * page, WW_WATCH_FRESH), 0);
    ck_assert_int_eq(ww_detach(ctx, (uintptr_t)base + 4 * page, (uintptr_t)base + 8 * page, &detached), 0);
    ck_assert_int_eq(ww_unwatch(ctx, base + 8 * page, 4 * page), 0);
    ck_assert_int_eq(ww_watch(ctx, base + 8 * page, 4 * page, WW_WATCH_FRESH), 0);
    ww_detached_restore(ctx, &detached);
    ck_assert_int_eq(ww_find(ctx, base, &range), 0);
    ck_assert_uint_eq(range.end, (uintptr_t)base + 8 * page);
    ck_assert_int_eq(ww_find(ctx, base + 8 * page, &range), 0);
    ck_assert_uint_eq(range.start, (uintptr_t)base + 8 * page);
}
END_TEST

/* A set that once got no memory holds every page; a loop of gets must still come to an end. */
START_TEST(latch_without_memory_drains)
{
    size_t page = page_size(), nr = 8192;
    char *base = map_pages(nr);
    void *pages[16];
    int rounds = 0;

    ck_assert_int_eq(ww_watch(ctx, base, nr * page, WW_WATCH_FRESH), 0);
    write_page(base, 5, 1);
    allocations_left = 0;
    ck_assert_int_eq(ww_latch(ctx, base, nr * page), 0);
    allocations_left = -1;
    while (ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, 16) == 16) {
        ck_assert_int_le(++rounds, (int)nr / 16);
    }
    ck_assert_int_eq(ww_count(ctx, base, nr * page), 0);
}
END_TEST

/* While a part is detached, its addresses can be mapped and watched anew. */
START_TEST(a_detached_part_leaves_its_addresses_to_others)
{
    size_t page = page_size();
    char *base = map_pages(12);
    struct ww_detached detached;

    ck_assert_int_eq(ww_watch(ctx, base, 12 * page, WW_WATCH_FRESH), 0);
    write_map(base, "############");
    ck_assert_int_eq(ww_detach(ctx, (uintptr_t)base + 4 * page, (uintptr_t)base + 8 * page, &detached), 0);
    remap_pages(base + 4 * page, 4);
    ck_assert_int_eq(ww_watch(ctx, base + 4 * page, 4 * page, WW_WATCH_FRESH), 0);
    write_page(base, 5, 1);
    ww_detached_free(&detached);
    write_page(base, 6, 1);
    expect_map(ctx, base, "####");
    expect_map(ctx, base + 4 * page, ".##.");
    expect_map(ctx, base + 8 * page, "####");
}
END_TEST

static Suite *region_suite(void)
{
    Suite *suite = suite_create(backend->name);
    TCase *tcase = tcase_create("region");

    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    tcase_add_loop_test(tcase, random_operations_equal_the_oracle, 0, NR_SEEDS);
    tcase_add_test(tcase, touching_regions_stay_apart);
    tcase_add_test(tcase, a_cut_without_memory_changes_nothing);
    if (backend->caps & WW_CAP_EXACT) {
        tcase_add_test(tcase, latch_without_memory_drains);
    }
    if (!(backend->caps & WW_CAP_OWNS_PROT)) {
        tcase_add_test(tcase, a_detach_without_memory_changes_nothing);
        tcase_add_test(tcase, a_detached_part_leaves_its_addresses_to_others);
        tcase_add_test(tcase, a_detached_part_is_not_joined_to_strangers);
    }
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    struct ww_probe found[MAX_BACKENDS];
    size_t nr = find_backends(found, 0);
    int failed = 0;

    for (size_t i = 0; i < nr; i++) {
        backend = &found[i];
        failed += run_suite(region_suite());
    }
    if (!nr) {
        return EXIT_SKIPPED;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
