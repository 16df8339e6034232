/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a build with --enable-debug asserts of locks (linux/process/lock.h). This test compiles the check in,
 * even if the rest of the build is without it.
 */
#ifndef WW_DEBUG_LOCKS
#define WW_DEBUG_LOCKS 1
#endif
#include <signal.h>

#include "util.h"

#include "process/lock.c"

static pthread_mutex_t lower = PTHREAD_MUTEX_INITIALIZER, upper = PTHREAD_MUTEX_INITIALIZER;

static void block_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}

START_TEST(ascending_locks_are_taken)
{
    block_signals();
    for (int i = 0; i < 2; i++) {
        ww_lock(&lower, WW_RANK_TABLE);
        ww_lock(&upper, WW_RANK_REGION);
        /* The lower lock may be released first. */
        ww_unlock(&lower, WW_RANK_TABLE);
        ww_unlock(&upper, WW_RANK_REGION);
    }
}
END_TEST

START_TEST(a_lower_lock_ends_the_program)
{
    block_signals();
    ww_lock(&upper, WW_RANK_BACKEND);
    ww_lock(&lower, WW_RANK_REGION);
}
END_TEST

START_TEST(a_second_lock_of_a_rank_ends_the_program)
{
    block_signals();
    ww_lock(&upper, WW_RANK_REGION);
    ww_lock(&lower, WW_RANK_REGION);
}
END_TEST

START_TEST(a_lock_with_signals_open_ends_the_program)
{
    ww_lock(&lower, WW_RANK_TABLE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lock");
    TCase *tcase = tcase_create("order");

    tcase_add_test(tcase, ascending_locks_are_taken);
    tcase_add_test_raise_signal(tcase, a_lower_lock_ends_the_program, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_second_lock_of_a_rank_ends_the_program, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_lock_with_signals_open_ends_the_program, SIGABRT);
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
