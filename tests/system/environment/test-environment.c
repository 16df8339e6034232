/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The environment of a process: its limits, its descriptors, sandboxes that it enters,
 * its children, its other contexts. This file finds the backends that work here and
 * runs the parts (env-*.c) once for each; env.h has what they share.
 */
#include "env.h"

TCase *new_case(Suite *suite, const char *name)
{
    return new_context_case(suite, name, 20);
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
    unsetenv("WW_BACKEND");
    return run_on_each_backend(run);
}
