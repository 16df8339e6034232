/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of writewatch.h, over every backend that works here. This file runs the parts of the suite on
 * each of them: contract-answers.c (START HERE), -sizes, -arguments, -mappings, -populated, -process,
 * -lockless, -random, -shared, -choice, -handover, -odd, -next and -required.
 */
#include "contract.h"

TCase *new_case(Suite *suite, const char *name)
{
    return new_context_case(suite, name, 1200);
}

static int run(void)
{
    Suite *suite = suite_create(backend->name);

    add_answer_cases(suite);
    add_size_cases(suite);
    add_argument_cases(suite);
    add_mapping_cases(suite);
    add_populated_cases(suite);
    add_process_cases(suite);
    add_lockless_cases(suite);
    add_random_cases(suite);
    add_shared_cases(suite);
    add_choice_cases(suite);
    add_handover_cases(suite);
    add_odd_cases(suite);
    add_next_cases(suite);
    add_required_cases(suite);
    return run_suite(suite);
}

int main(void)
{
    return run_on_each_backend(run);
}
