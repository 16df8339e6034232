/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of writewatch.h, over every backend that works here. This file
 * finds them and runs the parts of the suite: contract-answers.c (START HERE),
 * -sizes, -arguments, -mappings, -process, -random, -shared, -choice and -handover.
 */
#include "contract.h"

const struct ww_probe *backend;
struct ww_probe backends[MAX_BACKENDS];
size_t nr_backends;
struct ww_context *ctx;

static void open_context(void)
{
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
}

static void close_context(void)
{
    ww_close(ctx);
}

TCase *new_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 1200);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static int run(void)
{
    Suite *suite = suite_create(backend->name);

    add_answer_cases(suite);
    add_size_cases(suite);
    add_argument_cases(suite);
    add_mapping_cases(suite);
    add_process_cases(suite);
    add_quiet_cases(suite);
    add_random_cases(suite);
    add_shared_cases(suite);
    add_choice_cases(suite);
    add_handover_cases(suite);
    add_odd_cases(suite);
    return run_suite(suite);
}

int main(void)
{
    int failed = 0;

    nr_backends = find_backends(backends, 0);
    for (size_t i = 0; i < nr_backends; i++) {
        backend = &backends[i];
        failed += run();
    }
    if (!nr_backends) {
        printf("SKIP: no backend works here\n");
        return EXIT_SKIPPED;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
