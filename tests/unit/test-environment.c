/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The environment of a process: its limits, its descriptors, sandboxes that close
 * round it, its children, its other contexts. This file finds the backends that
 * work here and runs the parts (env-*.c) once for each; env.h says what they share.
 */
#include "env.h"

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

    tcase_set_timeout(tcase, 20);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static int run(void)
{
    Suite *suite = suite_create(backend->name);

    add_limit_cases(suite);
    add_mapping_limit_cases(suite);
    add_descriptor_cases(suite);
    add_sandbox_cases(suite);
    add_child_cases(suite);
    add_context_cases(suite);
    return run_suite(suite);
}

int main(void)
{
    int failed = 0;

    unsetenv("WW_BACKEND");
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
