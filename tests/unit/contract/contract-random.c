/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, random operations: 20,000 of them (WW_TEST_STEPS) on one region against a model (model.h). A
 * failure prints the seed, with which the run can be repeated, and the step.
 */
#include "contract.h"
#include "model.h"

#define NR_STEPS 20000
#define NR_SEEDS 3

static unsigned long nr_steps(void)
{
    const char *wanted = getenv("WW_TEST_STEPS");

    return wanted && atol(wanted) > 0 ? (unsigned long)atol(wanted) : NR_STEPS;
}

START_TEST(random_operations_equal_the_model)
{
    struct model *model = model_new(ctx, backend->name, _i + 1, 0);

    model_run(model, nr_steps());
    model_end(model);
}
END_TEST

START_TEST(random_changes_behind_our_back_lose_no_write)
{
    struct model *model = model_new(ctx, backend->name, _i + 1, 0);

    model->behind = true;
    model_run(model, nr_steps());
    model_end(model);
}
END_TEST

void add_random_cases(Suite *suite)
{
    tcase_add_loop_test(new_case(suite, "random"), random_operations_equal_the_model, 0, NR_SEEDS);
    tcase_add_loop_test(new_case(suite, "behind"), random_changes_behind_our_back_lose_no_write, 0, NR_SEEDS);
}
