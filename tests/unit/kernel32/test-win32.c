/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The win32 suite, over every exact backend that works here and in both conventions. This file finds the
 * backends and runs the parts: win32-objects.c (START HERE), -memory and -watches. win32-world.c has what
 * they share.
 */
#include "win32.h"

struct ww_probe backends[MAX_BACKENDS];
int nr_backends;

void add_loop(TCase *tcase, const TTest *test)
{
    tcase_add_loop_test(tcase, test, 0, 2 * nr_backends);
}

int main(void)
{
    Suite *suite = suite_create("win32");

    nr_backends = find_backends(backends, WW_CAP_EXACT);
    if (!nr_backends) {
        return EXIT_SKIPPED;
    }
    add_object_cases(suite);
    add_memory_cases(suite);
    add_watch_cases(suite);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
