/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ww_fill() and ww_fill_on_demand(), over every backend that works here. This file runs the parts of the
 * suite on each of them: fill-at-once.c (START HERE), fill-on-demand.c and fill-ends.c.
 */
#include "fill.h"

#include <linux/capability.h>
#include <sys/syscall.h>

/* Whether the tests drop CAP_SYS_PTRACE, without which a userfaultfd does not see the faults of system
 * calls. */
static bool unprivileged;
static bool any_fills;

static bool drop_ptrace(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    uint32_t bit = 1u << CAP_SYS_PTRACE;
    bool had;

    if (syscall(SYS_capget, &header, data)) {
        return false;
    }
    had = data[0].effective & bit;
    data[0].effective &= ~bit;
    data[0].permitted &= ~bit;
    data[0].inheritable &= ~bit;
    return had && !syscall(SYS_capset, &header, data);
}

static void drop_rights(void)
{
    if (unprivileged) {
        ck_assert(drop_ptrace());
    }
}

TCase *new_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, drop_rights, NULL);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static int run(const char *suffix)
{
    char name[64];
    Suite *suite;

    snprintf(name, sizeof(name), "%s%s", backend->name, suffix);
    suite = suite_create(name);
    add_refusal_cases(suite);
    if (backend->caps & WW_CAP_FILL) {
        add_fill_cases(suite);
    }
    if (backend->caps & WW_CAP_FILL_ON_DEMAND) {
        add_demand_cases(suite);
        add_demand_end_cases(suite);
    }
    return run_suite(suite);
}

static int run_both(void)
{
    int failed = run("");

    any_fills |= backend->caps & WW_CAP_FILL;
    if ((backend->caps & WW_CAP_KERNEL_FILLS) && !geteuid()) {
        unprivileged = true;
        failed += run(" without CAP_SYS_PTRACE");
        unprivileged = false;
    }
    return failed;
}

int main(void)
{
    int status = run_on_each_backend(run_both);

    if (status == EXIT_SUCCESS && !any_fills) {
        printf("SKIP: no backend that works here has WW_CAP_FILL\n");
        return EXIT_SKIPPED;
    }
    return status;
}
