/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sparse page set against an array with one byte per page: random operations at sizes around a word and a
 * leaf, the folding of full leaves, and allocations that fail. Knows the set's interface, and of its inside
 * only that full leaves share one sentinel.
 *
 * Link with -Wl,--wrap=ww_heap_alloc: the wrapper makes allocations fail.
 */
#include "context.h"
#include "util.h"

#define LEAF ((size_t)4096)
#define MAX_PAGES 20000
#define NR_STEPS 2000
#define NR_SEEDS 4

static const size_t sizes[] = { 1, 63, 64, 65, 4095, 4096, 4097, 20000 };
#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* ---- memory that runs out ---- */

void *__real_ww_heap_alloc(size_t size);
void *__wrap_ww_heap_alloc(size_t size);

/* Allocations that still succeed; below 0: all do. */
static long allocations_left = -1;
static size_t nr_denied;

void *__wrap_ww_heap_alloc(size_t size)
{
    if (allocations_left == 0) {
        nr_denied++;
        return NULL;
    }
    if (allocations_left > 0) {
        allocations_left--;
    }
    return __real_ww_heap_alloc(size);
}

/* ---- the oracle ---- */

struct model {
    struct ww_page_set set;
    uint64_t random;
    uint64_t seed;
    bool superset; /* memory ran out once: more may be members */
    uint8_t member[MAX_PAGES];
};

static uintptr_t addr_of(const struct ww_page_set *set, size_t page)
{
    return set->base + page * ww_page_size();
}

static struct model *new_model(size_t nr_pages, uint64_t seed)
{
    struct model *model = malloc(sizeof(*model));

    ck_assert_ptr_nonnull(model);
    memset(model, 0, sizeof(*model));
    model->seed = model->random = seed;
    ww_page_set_init(&model->set, (uintptr_t)0x7abcde123000, nr_pages);
    return model;
}

static void free_model(struct model *model)
{
    ww_page_set_destroy(&model->set);
    free(model);
}

/* Ranges of every size, often with ends at the boundaries of words and leaves. */
static void random_range(struct model *model, size_t *ret_from, size_t *ret_to)
{
    size_t nr = model->set.nr_pages, from = random_below(&model->random, nr), len;

    switch (random_below(&model->random, 6)) {
    case 0:
        from = 0;
        len = nr;
        break;
    case 1:
        len = 1;
        break;
    case 2:
        len = 1 + random_below(&model->random, 130);
        break;
    case 3:
        from &= ~(LEAF - 1);
        len = LEAF;
        break;
    case 4:
        from &= ~(size_t)63;
        len = 64 * (1 + random_below(&model->random, 70));
        break;
    default:
        len = 1 + random_below(&model->random, nr);
        break;
    }
    *ret_from = from;
    *ret_to = len < nr - from ? from + len : nr;
}

static size_t find_member(const struct model *model, size_t from, size_t to, bool member)
{
    while (from < to && model->member[from] != member) {
        from++;
    }
    return from;
}

static size_t count_members(const struct model *model, size_t from, size_t to)
{
    size_t nr = 0;

    while (from < to) {
        nr += model->member[from++];
    }
    return nr;
}

/* Walks the runs of the set: they are exactly the members, or a superset if memory ran out. */
static void check_members(const struct model *model, size_t step)
{
    const struct ww_page_set *set = &model->set;
    uintptr_t pos = set->base, end = addr_of(set, set->nr_pages), start, stop;
    size_t page = 0, members = 0;

    while (ww_page_set_next(set, pos, end, &start, &stop)) {
        size_t from = (start - set->base) / ww_page_size(), to = (stop - set->base) / ww_page_size();

        ck_assert_msg(start >= pos && stop > start && stop <= end, "step %zu: a run outside", step);
        ck_assert_msg(find_member(model, page, from, true) == from,
                      "seed %lu, step %zu: member lost below %zu", (unsigned long)model->seed, step, from);
        ck_assert_msg(model->superset || find_member(model, from, to, false) == to,
                      "seed %lu, step %zu: a page of %zu..%zu is no member", (unsigned long)model->seed, step,
                      from, to);
        members += to - from;
        page = to;
        pos = stop;
    }
    ck_assert_msg(find_member(model, page, set->nr_pages, true) == set->nr_pages,
                  "seed %lu, step %zu: member lost behind %zu", (unsigned long)model->seed, step, page);
    ck_assert_msg(set->all || set->nr_set == members, "step %zu: nr_set is %zu of %zu", step, set->nr_set,
                  members);
    ck_assert_int_eq(ww_page_set_empty(set), members == 0);
}

/* ---- operations ---- */

static void do_change(struct model *model, bool add)
{
    size_t from, to;

    random_range(model, &from, &to);
    if (add) {
        ww_page_set_add(&model->set, addr_of(&model->set, from), addr_of(&model->set, to));
    } else {
        ww_page_set_remove(&model->set, addr_of(&model->set, from), addr_of(&model->set, to));
    }
    memset(model->member + from, add, to - from);
}

static void do_next(struct model *model)
{
    size_t from, to, first, last;
    uintptr_t start = 1, stop = 2;
    bool found;

    random_range(model, &from, &to);
    found =
        ww_page_set_next(&model->set, addr_of(&model->set, from), addr_of(&model->set, to), &start, &stop);
    first = find_member(model, from, to, true);
    last = find_member(model, first, to, false);
    if (model->superset) {
        ck_assert(first == to || (found && start <= addr_of(&model->set, first)));
        return;
    }
    ck_assert_int_eq(found, first < to);
    if (found) {
        ck_assert_uint_eq(start, addr_of(&model->set, first));
        ck_assert_uint_eq(stop, addr_of(&model->set, last));
    } else {
        ck_assert_msg(start == 1 && stop == 2, "outputs touched without a run");
    }
}

static bool is_full_leaf(const struct model *model, size_t page)
{
    size_t nr = model->set.nr_pages, first = page & ~(LEAF - 1), end = first + LEAF < nr ? first + LEAF : nr;

    return first < nr && find_member(model, first, end, false) == end;
}

/* The span may exceed the bound by what one leaf holds. It ends before the range does only at the bound or at
 * a run of two full leaves. */
static void do_span(struct model *model)
{
    size_t from, to, bound = 1 + random_below(&model->random, 3 * LEAF), stop;
    uintptr_t at;

    random_range(model, &from, &to);
    at = ww_page_set_span(&model->set, addr_of(&model->set, from), addr_of(&model->set, to), bound);
    ck_assert_uint_eq((at - model->set.base) % ww_page_size(), 0);
    stop = (at - model->set.base) / ww_page_size();
    ck_assert_msg(stop > from && stop <= to, "span from %zu to %zu gives %zu", from, to, stop);
    ck_assert_uint_lt(count_members(model, from, stop), bound + LEAF);
    if (!model->superset && stop < to && !(is_full_leaf(model, stop) && is_full_leaf(model, stop + LEAF))) {
        ck_assert_uint_ge(count_members(model, from & ~(LEAF - 1), stop), bound);
    }
}

/* Every page of the run is a member, and the run ends where a leaf is not full. */
static void do_full_run(struct model *model)
{
    size_t from, to, stop;
    uintptr_t at;

    random_range(model, &from, &to);
    at = ww_page_set_full_run(&model->set, addr_of(&model->set, from), addr_of(&model->set, to));
    stop = (at - model->set.base) / ww_page_size();
    ck_assert_msg(stop >= from && stop <= to, "full run from %zu to %zu gives %zu", from, to, stop);
    if (!model->superset) {
        ck_assert_uint_eq(find_member(model, from, stop, false), stop);
        ck_assert(stop == to || !is_full_leaf(model, stop));
    }
}

/* Splits, looks at both halves, and merges them again. */
static void do_split(struct model *model)
{
    struct ww_page_set *set = &model->set, upper, joined;
    size_t nr = set->nr_pages, at;
    uintptr_t start, stop;

    if (nr < 2) {
        return;
    }
    at = 1 + random_below(&model->random, nr - 1);
    ww_page_set_split(set, addr_of(set, at), &upper);
    ck_assert_uint_eq(set->nr_pages, at);
    ck_assert_uint_eq(upper.nr_pages, nr - at);
    ck_assert_uint_eq(upper.base, addr_of(set, at));
    if (!model->superset) {
        ck_assert_uint_eq(set->nr_set, count_members(model, 0, at));
        ck_assert_uint_eq(upper.nr_set, count_members(model, at, nr));
        ck_assert_int_eq(ww_page_set_next(&upper, upper.base, addr_of(&upper, nr - at), &start, &stop),
                         upper.nr_set > 0);
    }
    ww_page_set_init(&joined, set->base, nr);
    ww_page_set_merge(&joined, set);
    ww_page_set_merge(&joined, &upper);
    ww_page_set_destroy(set);
    ww_page_set_destroy(&upper);
    *set = joined;
}

static void do_something(struct model *model)
{
    size_t choice = random_below(&model->random, 17);

    if (choice < 6) {
        do_change(model, true);
    } else if (choice < 11) {
        do_change(model, false);
    } else if (choice < 13) {
        do_next(model);
    } else if (choice < 15) {
        do_span(model);
    } else if (choice < 16) {
        do_full_run(model);
    } else {
        do_split(model);
    }
}

/* ---- tests ---- */

START_TEST(random_operations_equal_the_oracle)
{
    struct model *model = new_model(sizes[_i % NR_SIZES], 1 + _i / NR_SIZES);

    for (size_t step = 0; step < NR_STEPS; step++) {
        do_something(model);
        check_members(model, step);
    }
    ww_page_set_remove(&model->set, model->set.base, addr_of(&model->set, model->set.nr_pages));
    ck_assert_msg(ww_page_set_empty(&model->set), "not empty after everything was removed");
    free_model(model);
}
END_TEST

/* Allocations fail now and then: no member may get lost. */
START_TEST(without_memory_it_grows_to_a_superset)
{
    struct model *model = new_model(sizes[_i % NR_SIZES], 100 + _i / NR_SIZES);

    nr_denied = 0;
    for (size_t step = 0; step < NR_STEPS; step++) {
        size_t nr = model->set.nr_pages;

        allocations_left = step % 3 ? -1 : (long)random_below(&model->random, 4);
        model->superset |= allocations_left >= 0;
        do_something(model);
        allocations_left = -1;
        check_members(model, step);
        if (step % 100 == 99) {
            ww_page_set_remove(&model->set, model->set.base, addr_of(&model->set, nr));
            memset(model->member, 0, nr);
            model->superset = false;
            ck_assert_msg(ww_page_set_empty(&model->set), "step %zu: it stays full for ever", step);
        }
    }
    ck_assert_msg(nr_denied > 0 || sizes[_i % NR_SIZES] == 1, "memory never ran out");
    free_model(model);
}
END_TEST

/* A leaf that was filled page by page becomes the sentinel, as one that was added whole is. A leaf that was
 * emptied page by page becomes NULL. */
START_TEST(full_and_empty_leaves_fold)
{
    struct model *model = new_model(MAX_PAGES, 1);
    struct ww_page_set *set = &model->set;
    size_t tail = MAX_PAGES & ~(LEAF - 1);

    ww_page_set_add(set, addr_of(set, 0), addr_of(set, LEAF));
    for (size_t page = LEAF; page < 2 * LEAF; page++) {
        ww_page_set_add(set, addr_of(set, page), addr_of(set, page + 1));
        ck_assert_int_eq(set->leaves[1] == set->leaves[0], page == 2 * LEAF - 1);
    }
    for (size_t page = MAX_PAGES; page > tail; page--) {
        ww_page_set_add(set, addr_of(set, page - 1), addr_of(set, page));
        ck_assert_int_eq(set->leaves[tail / LEAF] == set->leaves[0], page - 1 == tail);
    }
    ck_assert_uint_eq(set->nr_set, 2 * LEAF + MAX_PAGES - tail);
    ww_page_set_remove(set, addr_of(set, LEAF + 7), addr_of(set, LEAF + 8));
    ck_assert_ptr_ne(set->leaves[1], set->leaves[0]);
    ck_assert_uint_eq(set->nr_set, 2 * LEAF + MAX_PAGES - tail - 1);
    for (size_t page = LEAF; page < 2 * LEAF; page++) {
        ww_page_set_remove(set, addr_of(set, page), addr_of(set, page + 1));
        ck_assert_int_eq(set->leaves[1] == NULL, page == 2 * LEAF - 1);
    }
    free_model(model);
}
END_TEST

/* A removal from a full leaf, and a split, without any memory. */
START_TEST(no_memory_at_all)
{
    struct model *model = new_model(2 * LEAF, 1);
    struct ww_page_set *set = &model->set, upper;
    uintptr_t start, stop;

    ww_page_set_add(set, addr_of(set, 0), addr_of(set, LEAF));
    allocations_left = 0;
    ww_page_set_remove(set, addr_of(set, 5), addr_of(set, 6));
    ww_page_set_split(set, addr_of(set, 100), &upper);
    allocations_left = -1;
    ck_assert(ww_page_set_next(set, set->base, addr_of(set, 100), &start, &stop));
    ck_assert(start == set->base && stop == addr_of(set, 100));
    ck_assert(ww_page_set_next(&upper, upper.base, addr_of(&upper, LEAF - 100), &start, &stop));
    ck_assert(start == upper.base && stop == addr_of(&upper, LEAF - 100));
    ck_assert_uint_eq(ww_page_set_span(&upper, upper.base, addr_of(&upper, 50), 20), addr_of(&upper, 20));
    ww_page_set_remove(&upper, upper.base, addr_of(&upper, upper.nr_pages));
    ck_assert(ww_page_set_empty(&upper));
    ww_page_set_destroy(&upper);
    free_model(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page-set");
    TCase *tcase = tcase_create("page-set");

    ww_page_size_init();
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, random_operations_equal_the_oracle, 0, NR_SIZES * NR_SEEDS);
    tcase_add_loop_test(tcase, without_memory_it_grows_to_a_superset, 0, NR_SIZES * NR_SEEDS);
    tcase_add_test(tcase, full_and_empty_leaves_fold);
    tcase_add_test(tcase, no_memory_at_all);
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
