/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handler thread of the uffd-sync backend; test-contract tests the contract of all backends. This file
 * tests watches that end while threads fault, and random operations against a model; uffd-sync-held.c,
 * -world.c and -memory.c test the rest.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "uffd-sync.h"

struct ww_context *ctx;

static void open_context(void)
{
    /* Ends a test that hangs. */
    alarm(600);
    ck_assert_int_eq(ww_open(&ctx, SYNC), 0);
}

static void close_context(void)
{
    ww_close(ctx);
}

/* ---- shutdown ---- */

static atomic_bool stop_writing;

static void *keep_writing(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    for (char value = 0; !atomic_load(&stop_writing); value++) {
        write_page(arg, random_below(&random, 256), value);
    }
    return NULL;
}

/* A watch, and a context, end while threads fault. */
START_TEST(a_watch_ends_with_faults_in_flight)
{
    char *base = map_pages(256);
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_writing, base), 0);
    }
    for (int round = 0; round < 100; round++) {
        ck_assert_int_eq(ww_watch(ctx, base, 256 * page_size(), 0), 0);
        while (ww_count(ctx, base, 256 * page_size()) < 5) {
            ;
        }
        ck_assert_int_ge(ww_reset(ctx, base, 256 * page_size()), 0);
        if (round % 2) {
            ck_assert_int_eq(ww_unwatch(ctx, base, 256 * page_size()), 0);
        } else {
            ww_close(ctx);
            ck_assert_int_eq(ww_open(&ctx, SYNC), 0);
        }
    }
    atomic_store(&stop_writing, true);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}
END_TEST

/* A child has no handler, and closes its copy whatever the parent's handler was doing at the fork. */
START_TEST(a_child_closes_what_was_at_work)
{
    char *base = watch_pages(8);
    int status;
    pid_t pid;

    write_map(base, "#...");
    ck_assert_int_eq(ww_unwatch(ctx, base + 4 * page_size(), page_size()), 0);
    pid = fork();
    if (!pid) {
        alarm(20);
        pthread_mutex_lock(&sync_of()->table_lock);
        atomic_store(&sync_of()->batches, 7);
        ww_close(ctx);
        write_map(base, "########");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    expect_map(ctx, base, "#...");
}
END_TEST

/* ---- many operations ---- */

#define RANDOM_PAGES 256
#define RANDOM_STEPS 100000

struct model {
    char *base;
    uint64_t random;
    char map[RANDOM_PAGES + 1];
    char value[RANDOM_PAGES];
};

static void random_write(struct model *model, size_t page)
{
    write_page(model->base, page, ++model->value[page]);
    model->map[page] = '#';
}

static void random_get(struct model *model, size_t from, size_t to)
{
    size_t capacity = 1 + random_below(&model->random, 20), at = from;
    void *pages[20];
    ssize_t nr = ww_get_pages(ctx, model->base + from * page_size(), (to - from) * page_size(), WW_GET_RESET,
                              pages, capacity);

    ck_assert_int_ge(nr, 0);
    for (ssize_t i = 0; i < nr; i++, at++) {
        for (; at < to && model->map[at] == '.'; at++) {
            ;
        }
        ck_assert_ptr_eq(pages[i], model->base + at * page_size());
        ck_assert_uint_lt(at, to);
        model->map[at] = '.';
    }
    for (; nr < (ssize_t)capacity && at < to; at++) {
        ck_assert_msg(model->map[at] == '.', "page %zu is missing", at);
    }
}

static void random_drop(struct model *model, size_t from, size_t to)
{
    if (random_below(&model->random, 2)) {
        remap_pages(model->base + from * page_size(), to - from);
    } else {
        madvise(model->base + from * page_size(), (to - from) * page_size(), MADV_DONTNEED);
    }
    ck_assert_int_eq(ww_discard(ctx, model->base + from * page_size(), (to - from) * page_size()), 0);
    memset(model->map + from, '.', to - from);
    memset(model->value + from, 0, to - from);
}

static void random_rewatch(struct model *model)
{
    size_t page = page_size();

    ck_assert_int_eq(ww_unwatch(ctx, model->base, RANDOM_PAGES * page), 0);
    random_write(model, 3);
    ck_assert_int_eq(ww_watch(ctx, model->base, RANDOM_PAGES * page, 0), 0);
    memset(model->map, '.', RANDOM_PAGES);
}

static void random_step(struct model *model, size_t step)
{
    size_t from = random_below(&model->random, RANDOM_PAGES), len = 1 + random_below(&model->random, 8);
    size_t to = from + len < RANDOM_PAGES ? from + len : RANDOM_PAGES;

    switch (random_below(&model->random, 8)) {
    case 0:
        random_drop(model, from, to);
        break;
    case 1:
    case 2:
        random_get(model, from, to);
        break;
    case 3:
        for (size_t i = from; i < to; i++) {
            ck_assert_int_eq(read_page(model->base, i), model->value[i]);
        }
        break;
    case 4:
        mprotect(model->base + from * page_size(), (to - from) * page_size(), PROT_NONE);
        mprotect(model->base, RANDOM_PAGES * page_size(), PROT_READ | PROT_WRITE);
        break;
    default:
        random_write(model, from);
        break;
    }
    if (step % 1000 == 0) {
        random_rewatch(model);
    } else if (step % 100 == 0) {
        expect_map(ctx, model->base, model->map);
    }
}

START_TEST(random_operations_equal_the_model)
{
    struct model model = { .base = watch_pages(RANDOM_PAGES), .random = 42 };

    memset(model.map, '.', RANDOM_PAGES);
    for (size_t step = 0; step < RANDOM_STEPS; step++) {
        random_step(&model, step);
    }
    expect_map(ctx, model.base, model.map);
}
END_TEST

static Suite *sync_suite(void)
{
    Suite *suite = suite_create(SYNC);
    TCase *tcase = tcase_create(SYNC);

    tcase_set_timeout(tcase, 700);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    tcase_add_test(tcase, a_watch_ends_with_faults_in_flight);
    tcase_add_test(tcase, a_child_closes_what_was_at_work);
    tcase_add_test(tcase, random_operations_equal_the_model);
    add_held_cases(tcase);
    add_late_cases(tcase);
    add_world_cases(tcase);
    add_memory_cases(tcase);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    int err = ww_open(&ctx, SYNC);

    if (err) {
        printf("SKIP: " SYNC " does not work here: %s\n", strerror(-err));
        return EXIT_SKIPPED;
    }
    ww_close(ctx);
    return run_suite(sync_suite()) ? EXIT_FAILURE : EXIT_SUCCESS;
}
