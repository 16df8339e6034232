/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several contexts in one process, of one backend or of several, opened and closed
 * in any order by any thread. Each knows its own ranges only. (contract-process.c has
 * two contexts on touching or the same memory.)
 */
#include <pthread.h>

#include "env.h"

#define NR_CONTEXTS 3

static const int orders[][NR_CONTEXTS] = {
    { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
};
#define NR_ORDERS (sizeof(orders) / sizeof(orders[0]))

static struct {
    struct ww_context *ctx;
    const char *name;
    char *base;
    int err;
} trio[NR_CONTEXTS];

static void *open_in_thread(void *arg)
{
    size_t i = (size_t)arg;

    trio[i].err = ww_open(&trio[i].ctx, trio[i].name);
    return NULL;
}

static void *close_in_thread(void *arg)
{
    ww_close(trio[(size_t)arg].ctx);
    return NULL;
}

static void in_thread(void *(*function)(void *), size_t i)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, function, (void *)i), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* Two contexts of one backend and one of another; after each is closed, the others go on. */
START_TEST(contexts_end_in_any_order)
{
    const int *order = orders[_i % NR_ORDERS];
    const char *other = backends[_i / NR_ORDERS].name;

    for (size_t i = 0; i < NR_CONTEXTS; i++) {
        trio[i].name = i == 1 ? other : backend->name;
        trio[i].base = map_pages(8);
        in_thread(open_in_thread, i);
        ck_assert_int_eq(trio[i].err, 0);
        ck_assert_int_eq(ww_watch(trio[i].ctx, trio[i].base, 8 * page_size(), WW_WATCH_FRESH), 0);
    }
    for (size_t ended = 0; ended < NR_CONTEXTS; ended++) {
        for (size_t i = ended; i < NR_CONTEXTS; i++) {
            write_map(trio[order[i]].base, ended % 2 ? "#..#...#" : ".#.#....");
        }
        for (size_t i = ended; i < NR_CONTEXTS; i++) {
            struct ww_context *c = trio[order[i]].ctx;
            char *base = trio[order[i]].base;

            expect_map(c, base, ended % 2 ? "#..#...#" : ".#.#....");
            ck_assert_int_eq(ww_count(c, trio[order[(i + 1) % NR_CONTEXTS]].base, page_size()), -ENOENT);
            ck_assert_int_eq(ww_reset(c, base, 8 * page_size()), 0);
            expect_map(c, base, "........");
        }
        in_thread(close_in_thread, order[ended]);
        memset(trio[order[ended]].base, 1, 8 * page_size());
    }
}
END_TEST

#define NR_THREADS 4
#define NR_LIVES 40

/* What went wrong in a thread, where libcheck's assertions do not work. */
static const char *volatile wrong;

static void live_once(const char *name, char *base, int life)
{
    size_t page = page_size();
    struct ww_context *c;
    void *pages[8];
    ssize_t nr;

    if (ww_open(&c, name)) {
        wrong = "ww_open";
        return;
    }
    if (ww_watch(c, base, 8 * page, 0)) {
        wrong = "ww_watch";
    } else {
        for (int i = 0; i < 4; i++) {
            write_page(base, (life + i) % 8, 1);
            nr = ww_get_pages(c, base, 8 * page, WW_GET_RESET, pages, 8);
            if (nr < 1 || (nr > 1 && is_exact(c)) || (nr == 1 && pages[0] != base + (life + i) % 8 * page)) {
                wrong = "ww_get_pages";
            }
        }
    }
    ww_close(c);
    memset(base, 2, 8 * page);
}

static void *live_often(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    char *base = map_pages(8);

    for (int life = 0; life < NR_LIVES; life++) {
        size_t i = random_below(&random, nr_backends);

        /* A backend without atomic resets may lose writes that other threads make meanwhile. */
        live_once(backends[i].caps & WW_CAP_ATOMIC_RESET ? backends[i].name : backend->name, base, life);
    }
    return NULL;
}

START_TEST(threads_have_contexts_of_their_own)
{
    pthread_t threads[NR_THREADS];
    char *base = watch_pages(8);

    NEEDS(WW_CAP_ATOMIC_RESET);
    for (size_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, live_often, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < 50; i++) {
        write_map(base, "#......#");
        expect_map(ctx, base, "#......#");
        reset_pages(base, 8);
    }
    for (size_t i = 0; i < NR_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_msg(!wrong, "%s went wrong in a thread", wrong);
}
END_TEST

void add_context_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "contexts");

    tcase_add_loop_test(tcase, contexts_end_in_any_order, 0, NR_ORDERS * nr_backends);
    tcase_add_test(tcase, threads_have_contexts_of_their_own);
}
