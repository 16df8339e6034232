/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes every system call and allocation of the library fail with every error that it can have (inject.h),
 * and compares answers with the model (model.h): first one call at a time, the first, the second and so on,
 * once or from then on; then all kinds at random, in 10,000 operations a seed. After each part faults stop,
 * and everything must work again.
 *
 * WW_TEST_FAULTS=all tries many more calls; WW_TEST_REPORT=1 prints a line for each backend, call and error
 * with how often it occurred.
 */
#include "contract.h"
#include "change.h"
#include "inject.h"
#include "model.h"
#include "watch.h"

static const struct model_faults faults = {
    .resume = fault_resume,
    .pause = fault_pause,
    .start = fault_start,
    .stop = fault_stop,
    .nr = fault_hits,
};

/* How many calls of one kind fail in turn, one in each test, for want of memory. */
#define NR_SHORTAGES 8

#define NR_KINDS (NR_FAULT_CALLS * MAX_FAULT_ERRORS)

static bool is_thorough(void)
{
    return getenv("WW_TEST_FAULTS");
}

static void report(void)
{
    for (int i = 0; getenv("WW_TEST_REPORT") && i < NR_KINDS; i++) {
        const struct fault_kind *kind = &fault_kinds[i / MAX_FAULT_ERRORS];
        int error = kind->errors[i % MAX_FAULT_ERRORS];
        unsigned long nr = error ? fault_hits_of(i / MAX_FAULT_ERRORS, error) : 0;

        if (nr) {
            printf("fault %s %s %s %lu\n", backend->name, kind->call, fault_error_name(error), nr);
        }
    }
    fflush(stdout);
}

/* Opens a context while calls fail. If ww_open() fails it must change nothing, and work without faults. */
static void open_while_calls_fail(void)
{
    struct ww_context *const untouched = (struct ww_context *)&ctx;
    int err;

    ctx = untouched;
    fault_resume();
    err = ww_open(&ctx, backend->name);
    fault_pause();
    if (err) {
        ck_assert_msg(fault_hits(), "ww_open: %s", strerror(-err));
        ck_assert_ptr_eq(ctx, untouched);
        fault_stop();
        ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
        fault_start();
    }
}

static void close_while_calls_fail(void)
{
    fault_resume();
    ww_close(ctx);
    fault_pause();
}

/* Opens, uses and closes a context under faults. Returns how many calls of the library failed. */
static unsigned long run_part(unsigned long seed, unsigned long nr_steps)
{
    struct model *model;
    unsigned long nr_failed;

    open_while_calls_fail();
    fault_stop();
    model = model_new(ctx, backend->name, seed, seed % 3 ? 0 : WW_WATCH_MARKERS);
    fault_start();
    model->faults = &faults;
    model_run(model, nr_steps);
    fault_stop();
    model->faults = NULL;
    nr_failed = model->nr_failed;
    model_end(model);
    fault_start();
    close_while_calls_fail();
    return nr_failed;
}

/* ---- one fault at a time ---- */

/* Whether the error may last: denials and shortages may. After the others the library repeats the call until
 * it succeeds. */
static bool may_last(enum fault_call call, int error)
{
    switch (error) {
    case EPERM:
    case EACCES:
    case EMFILE:
    case ENFILE:
    case ENOSYS:
    case ENOTTY:
    case EINVAL:
    case EBUSY:
    case FAULT_SHORT:
    case FAULT_STUCK:
    case FAULT_MIDWAY:
        return true;
    case ENOMEM:
        return call != FAULT_COPY && call != FAULT_ZEROPAGE && call != FAULT_WRITEPROTECT;
    default:
        return false;
    }
}

static void fail_one(enum fault_call call, int error, bool for_good)
{
    unsigned long nr = 1, most = is_thorough() ? 100000 : 40, met;

    do {
        fault_plan(NULL, 0);
        fault_add(call, error, nr, 0, for_good);
        run_part(nr, is_thorough() ? 200 : 40);
        met = fault_hits();
        report();
        nr = nr < 8 ? nr + 1 : nr + nr / 2;
    } while (met && nr < most);
}

START_TEST(one_call_fails)
{
    enum fault_call call = _i / MAX_FAULT_ERRORS;
    int error = fault_kinds[call].errors[_i % MAX_FAULT_ERRORS];

    if (error) {
        fail_one(call, error, false);
    }
}
END_TEST

START_TEST(a_call_fails_from_some_time_on)
{
    enum fault_call call = _i / MAX_FAULT_ERRORS;
    int error = fault_kinds[call].errors[_i % MAX_FAULT_ERRORS];

    if (error && may_last(call, error)) {
        fail_one(call, error, true);
    }
}
END_TEST

/* ---- all at random ---- */

#define NR_SEEDS 3
#define NR_PARTS 40
#define PART_STEPS 250

/* Rare calls, which fail with a higher probability. */
static bool is_seldom(enum fault_call call)
{
    return call == FAULT_MALLOC || call == FAULT_MMAP || call == FAULT_REGISTER || call == FAULT_OPEN ||
           call == FAULT_MADVISE;
}

/* Makes faults rare enough that a part keeps the backend that it began with for some time. */
static void plan_all(unsigned long seed, unsigned long one_in)
{
    fault_plan(NULL, seed);
    for (int i = 0; i < NR_KINDS; i++) {
        enum fault_call call = i / MAX_FAULT_ERRORS;
        int error = fault_kinds[call].errors[i % MAX_FAULT_ERRORS];

        if (error) {
            fault_add(call, error, 0, is_seldom(call) ? one_in / 20 + 5 : one_in, false);
        }
    }
}

START_TEST(random_calls_fail)
{
    static const unsigned long one_in[] = { 200, 1000, 5000 };
    unsigned long nr_failed = 0, seed = _i * 1000;
    int nr_parts = is_thorough() ? 10 * NR_PARTS : NR_PARTS;

    plan_all(seed, one_in[_i % 3]);
    for (int part = 0; part < nr_parts; part++) {
        nr_failed += run_part(++seed, PART_STEPS);
    }
    report();
    ck_assert_uint_gt(fault_hits() + !strcmp(backend->name, "none"), 0);
    if (getenv("WW_TEST_REPORT")) {
        printf("random %s %d %lu %lu\n", backend->name, nr_parts * PART_STEPS, fault_hits(), nr_failed);
        fflush(stdout);
    }
}
END_TEST

/* ---- single cases ---- */

/* The memory is already protected when the preload latches, so no call can fail any more: pages that cannot
 * be latched count as written. */
START_TEST(a_latch_without_memory_marks_all)
{
    size_t len = 8 * page_size();
    struct ww_hold hold;
    char *base;

    fault_plan(NULL, 0);
    open_while_calls_fail();
    base = watch_pages(8);
    write_map(base, "#..#....");
    fault_add(FAULT_MMAP, ENOMEM, 1, 0, true);
    ck_assert_int_eq(ww_hold_to_change_at(ctx, (uintptr_t)base, &hold), 0);
    fault_resume();
    ww_hold_latch(&hold, (uintptr_t)base, (uintptr_t)base + len / 2);
    fault_pause();
    ww_hold_end(&hold);
    ck_assert_uint_eq(fault_hits(), 1);
    fault_stop();
    ck_assert_int_eq(madvise(base, len, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base, len), 0);
    expect_map(ctx, base, "####....");
    ww_close(ctx);
}
END_TEST

/* A short lack of memory in the self test of a backend in use must cost the context no capability. */
START_TEST(a_passing_shortage_takes_no_capability)
{
    static const char *const plans[] = { "scan:1:ENOTTY,copy:1:ENOMEM", "scan:1:ENOTTY,poison:1:ENOMEM",
                                         "scan:1:ENOTTY,mmap:1+:ENOMEM" };
    char *base;

    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        uint32_t caps;

        fault_plan(NULL, 0);
        open_while_calls_fail();
        base = watch_pages(8);
        caps = ww_backend_caps(ctx);
        /* Allocates what later answers need. */
        ck_assert_int_ge(ww_count(ctx, base, 8 * page_size()), 0);
        ck_assert(fault_plan(plans[i], 0));
        fault_start();
        fault_resume();
        ck_assert_int_eq(ww_latch(ctx, base, 8 * page_size()), 0);
        fault_pause();
        fault_stop();
        ck_assert_msg(ww_backend_caps(ctx) == caps, "%s: capabilities %#x, were %#x", plans[i],
                      ww_backend_caps(ctx), caps);
        ww_close(ctx);
    }
}
END_TEST

/* One call fails for want of memory while a context opens its backend again: the context must stay exact. */
START_TEST(a_passing_shortage_takes_no_exactness)
{
    static const char *const calls[] = { "register", "writeprotect", "mmap", "madvise" };
    const char *call = calls[_i / NR_SHORTAGES];
    char plan[80];
    char *base;

    fault_plan(NULL, 0);
    open_while_calls_fail();
    base = watch_pages(8);
    snprintf(plan, sizeof(plan), "scan:1:ENOTTY,scan:2:ENOTTY,%s:%d:ENOMEM", call, _i % NR_SHORTAGES + 1);
    ck_assert(fault_plan(plan, 0));
    fault_start();
    fault_resume();
    ww_count(ctx, base, 8 * page_size());
    fault_pause();
    fault_stop();
    for (int tries = 0; tries < 3; tries++) {
        ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    }
    write_map(base, "#..#....");
    expect_map(ctx, base, "#..#....");
    ck_assert_str_eq(ww_backend_name(ctx), backend->name);
    ww_close(ctx);
}
END_TEST

/* With a short lack of memory ww_open() fails, or the context has all capabilities. */
START_TEST(a_shortage_at_the_opening_takes_no_capability)
{
    struct ww_context *other;
    int err;

    fault_plan(NULL, 0);
    open_while_calls_fail();
    ck_assert(fault_plan("copy:1:ENOMEM", 0));
    fault_start();
    fault_resume();
    err = ww_open(&other, backend->name);
    fault_pause();
    fault_stop();
    ck_assert_msg(!err || err == -ENOMEM || err == -EIO, "%s", strerror(-err));
    if (!err) {
        ck_assert_uint_eq(ww_backend_caps(other), ww_backend_caps(ctx));
        ww_close(other);
    }
    ww_close(ctx);
}
END_TEST

/* A tracker that was replaced keeps a range registered, because unregistering failed: its successor must be
 * able to register the range nevertheless. */
START_TEST(what_could_not_be_unregistered_is_watched_again)
{
    char *base;

    fault_plan(NULL, 0);
    open_while_calls_fail();
    base = watch_pages(8);
    fault_plan("scan:1:ENOTTY,scan:2:ENOTTY,unregister:1+:EINVAL", 0);
    fault_start();
    fault_resume();
    ck_assert_int_ge(ww_count(ctx, base, 8 * page_size()), 0);
    fault_pause();
    fault_stop();
    ck_assert_int_eq(ww_unwatch(ctx, base, 8 * page_size()), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page_size(), 0), 0);
    reset_pages(base, 8);
    write_map(base, "#..#....");
    if (backend->caps & WW_CAP_EXACT) {
        expect_map(ctx, base, "#..#....");
    }
    ck_assert_str_eq(ww_backend_name(ctx), backend->name);
    ww_close(ctx);
}
END_TEST

/* ---- run ---- */

static void add_case(Suite *suite, const char *name, const TTest *test, int nr)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, is_thorough() ? 3600 : 120);
    tcase_add_loop_test(tcase, test, 0, nr);
    suite_add_tcase(suite, tcase);
}

static int run(void)
{
    Suite *suite = suite_create(backend->name);

    add_case(suite, "once", one_call_fails, NR_KINDS);
    add_case(suite, "for good", a_call_fails_from_some_time_on, NR_KINDS);
    add_case(suite, "random", random_calls_fail, NR_SEEDS);
    add_case(suite, "hold", a_latch_without_memory_marks_all, 1);
    add_case(suite, "leftovers", what_could_not_be_unregistered_is_watched_again, 1);
    add_case(suite, "shortage", a_passing_shortage_takes_no_capability, 1);
    add_case(suite, "shortage at a hand-over", a_passing_shortage_takes_no_exactness, 4 * NR_SHORTAGES);
    add_case(suite, "shortage at the opening", a_shortage_at_the_opening_takes_no_capability, 1);
    return run_suite(suite);
}

int main(void)
{
    /* In this thread and its forks calls fail only between fault_resume() and fault_pause(); in the library's
     * threads at any time. */
    fault_pause();
    return run_on_each_backend(run);
}
