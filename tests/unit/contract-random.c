/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, part six: 20,000 random operations (WW_TEST_STEPS) on one region
 * against a model (model.h). A failure names seed and step, which repeat the run.
 */
#include "contract.h"
#include "model.h"

#define NR_STEPS 20000
#define NR_SEEDS 3

START_TEST(random_operations_equal_the_model)
{
    struct model *model = model_new(ctx, backend->name, _i + 1, 0);
    const char *wanted = getenv("WW_TEST_STEPS");

    model_run(model, wanted && atol(wanted) > 0 ? (unsigned long)atol(wanted) : NR_STEPS);
    model_end(model);
}
END_TEST

void add_random_cases(Suite *suite)
{
    tcase_add_loop_test(new_case(suite, "random"), random_operations_equal_the_model, 0, NR_SEEDS);
}
