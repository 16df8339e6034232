/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benchmark's core: its arithmetic on numbers whose quartiles are known; peers that give wrong answers,
 * crash or hang, which it must detect; and the reading of bounds. Measured times are not checked.
 */
#include <math.h>
#include <errno.h>
#include <unistd.h>

#include "peers.h"
#include "util.h"

/* ---- arithmetic ---- */

START_TEST(quartiles_of_known_numbers)
{
    /* Sorted, without the NAN: 1 2 3 4 10. A quarter of the way from the first to the last is the second. */
    const double odd[] = { 10, 3, NAN, 1, 4, 2 };
    /* 1 2 3 4: the middle lies between 2 and 3, the quarters at 1.75 and 3.25. */
    const double even[] = { 4, 1, 3, 2 };
    struct bench_summary all = bench_summarize(odd, 6);

    ck_assert_uint_eq(all.n, 5);
    ck_assert_double_eq(all.min, 1);
    ck_assert_double_eq(all.q1, 2);
    ck_assert_double_eq(all.median, 3);
    ck_assert_double_eq(all.q3, 4);
    ck_assert_double_eq(all.max, 10);
    all = bench_summarize(even, 4);
    ck_assert_double_eq(all.q1, 1.75);
    ck_assert_double_eq(all.median, 2.5);
    ck_assert_double_eq(all.q3, 3.25);
    ck_assert_uint_eq(bench_summarize(&odd[2], 1).n, 0);
}
END_TEST

static struct bench_results *results_of_two(size_t nr_rounds)
{
    struct bench_peers peers = { .peer = { { .name = "first" }, { .name = "second" } }, .nr = 2 };
    struct bench_results *results = bench_results_new(&peers, nr_rounds);

    ck_assert_ptr_nonnull(results);
    return results;
}

/* The median of the rounds' ratios, not the ratio of medians, which would be 11.5/10 here. */
START_TEST(a_ratio_is_within_rounds)
{
    static const double first[] = { 10, 1, 100, 10, 7 }, second[] = { 30, 3, 20, 1, NAN };
    struct bench_results *results = results_of_two(5);
    struct bench_figure *figure = bench_figure_get(results, "figure", "us");
    struct bench_summary ratio;

    for (size_t i = 0; i < 5; i++) {
        figure->sample[0][i] = first[i];
        figure->sample[1][i] = second[i];
    }
    ratio = bench_ratio(results, figure, 1, 0); /* 3, 3, 0.2, 0.1 */
    ck_assert_uint_eq(ratio.n, 4);
    ck_assert_double_eq_tol(ratio.median, 1.6, 1e-9);
    ck_assert_double_eq_tol(ratio.min, 0.1, 1e-9);
    ck_assert_double_eq_tol(ratio.max, 3, 1e-9);
    ck_assert_ptr_eq(bench_figure_get(results, "figure", "us"), figure);
    ck_assert_ptr_null(bench_figure_find(results, "another"));
    bench_results_free(results);
}
END_TEST

/* ---- peers that give wrong answers ---- */

static enum { HONEST, ONE_LESS, ONE_MORE, WRONG_PAGE, NO_RESET, FAILS, CRASHES, HANGS } lie;

/* Falsifies the library's answer, but only one of two pages or more: the trial would detect any other. */
static ssize_t lying_get(void *state, const struct bench_area *area, bool reset, void **ret_pages,
                         size_t capacity)
{
    ssize_t nr = bench_library_ops.get(state, area, reset && lie != NO_RESET, ret_pages, capacity);

    if (nr < 2) {
        return nr;
    }
    switch (lie) {
    case ONE_LESS:
        return nr - 1;
    case ONE_MORE:
        return nr + 1;
    case WRONG_PAGE:
        ret_pages[nr - 1] = (char *)ret_pages[nr - 1] + page_size();
        return nr;
    case FAILS:
        return -EIO;
    case CRASHES:
        abort();
    case HANGS:
        for (;;) {
            pause();
        }
    default:
        return nr;
    }
}

/* The honest peer, and the one that lies. */
static void make_peers(struct bench_peers *ret, struct bench_ops *ret_ops)
{
    const char *reason = "";

    *ret_ops = bench_library_ops;
    ret_ops->get = lying_get;
    ck_assert_msg(!bench_add_backend(ret, "mprotect", &reason), "mprotect: %s", reason);
    ret->peer[1] = ret->peer[0];
    ret->peer[1].ops = ret_ops;
    ret->nr = 2;
}

static struct bench_results *run_with(int which, const char *workload, double limit_s)
{
    const struct bench_plan plan = {
        .quick = true, .limit_s = limit_s, .patterns = &workload, .nr_patterns = 1
    };
    static struct bench_peers peers;
    static struct bench_ops ops;
    struct bench_results *results;

    make_peers(&peers, &ops);
    lie = which;
    results = bench_results_new(&peers, 2);
    ck_assert_ptr_nonnull(results);
    ck_assert_int_eq(bench_run_all(&plan, results), 0);
    return results;
}

START_TEST(an_honest_peer_is_believed)
{
    struct bench_results *results = run_with(HONEST, "*", 60);

    ck_assert_msg(!results->nr_wrong, "%s", results->nr_notes ? results->notes[0] : "");
    for (size_t i = 0; i < results->nr_figures; i++) {
        for (size_t peer = 0; peer < 2; peer++) {
            struct bench_summary all = bench_summarize(results->figure[i].sample[peer], 2);

            ck_assert_msg(all.n == 2, "%s has %zu samples", results->figure[i].name, all.n);
        }
    }
    bench_results_free(results);
}
END_TEST

static const struct {
    int lie;
    const char *workload, *note;
} lies[] = {
    { ONE_LESS, "first_write", "WRONG: 255 pages are reported where 256 were written" },
    { ONE_MORE, "first_write", "WRONG: 257 pages are reported where 256 were written" },
    { WRONG_PAGE, "first_write", "WRONG: page 255 of the answer is" },
    { NO_RESET, "dense_small", "WRONG: 256 pages are reported where 0 were written" },
    { ONE_LESS, "sparse", "WRONG: 49 pages are reported where 50 were written" },
    { ONE_LESS, "gc", "WRONG: 255 pages are reported where 256 were written" },
    { ONE_LESS, "writers", "WRONG: 255 pages are reported where 256 were written" },
    { NO_RESET, "pollers", "WRONG: a poll of clean memory returns 16" },
    { NO_RESET, "regions", "WRONG: 16 pages are reported where 0 were written" },
    { ONE_MORE, "textures", "WRONG: 9 pages are reported where 8 were written" },
    { FAILS, "cycle", "WRONG: get fails" },
    { CRASHES, "protect", "WRONG: it was killed by signal 6" },
    { HANGS, "protect", "cut off: it took longer than 0.5 s" },
};
#define NR_LIES (sizeof(lies) / sizeof(lies[0]))

/* There is one note: a peer that was wrong does not run in the second round. The other one does. */
START_TEST(a_peer_that_is_wrong_is_found_out)
{
    struct bench_results *results =
        run_with(lies[_i].lie, lies[_i].workload, lies[_i].lie == HANGS ? 0.5 : 60);
    bool cut_off = lies[_i].lie == HANGS;

    ck_assert_uint_eq(results->nr_notes, 1);
    ck_assert_msg(strstr(results->notes[0], lies[_i].note), "the note is: %s", results->notes[0]);
    ck_assert_uint_eq(results->nr_wrong, cut_off ? 0 : 1);
    ck_assert_uint_gt(results->nr_figures, 0);
    ck_assert_uint_eq(bench_summarize(results->figure[0].sample[0], 2).n, 2);
    bench_results_free(results);
}
END_TEST

/* Leaves out the first page of an area all of whose pages were reported. */
static ssize_t forgetful_get(void *state, const struct bench_area *area, bool reset, void **ret_pages,
                             size_t capacity)
{
    ssize_t nr = bench_library_ops.get(state, area, reset, ret_pages, capacity);

    if (nr < 1 || !area->dense || ret_pages[0] != area->base) {
        return nr;
    }
    memmove(ret_pages, ret_pages + 1, (nr - 1) * sizeof(*ret_pages));
    return nr - 1;
}

/* The copy that harvests keep shows that a write of a running thread was lost. */
START_TEST(lost_writes_of_threads_are_found_out)
{
    struct bench_peers peers = { .nr = 0 };
    struct bench_ops ops;
    struct bench_report report;

    make_peers(&peers, &ops);
    ops.get = forgetful_get;
    for (size_t i = 0; i < bench_nr_workloads; i++) {
        if (!strcmp(bench_workloads[i].name, "writers")) {
            ck_assert_int_ne(bench_try(&peers.peer[1], &bench_workloads[i], 60, &report), 0);
        }
    }
    ck_assert_msg(strstr(report.message, "writes to 1 pages were lost"), "the message is: %s",
                  report.message);
}
END_TEST

/* ---- peers that are other programs ---- */

/* Runs a workload whose second peer is a shell script. It gets the workload's name as $1, and the seed as
 * $2. */
static struct bench_results *run_command(const char *script, double limit_s)
{
    static const struct bench_workload extra = { .name = "extra", .unit = "" };
    static const char *const pattern = "extra";
    const struct bench_plan plan = { .extra = &extra,
                                     .nr_extra = 1,
                                     .quick = true,
                                     .limit_s = limit_s,
                                     .patterns = &pattern,
                                     .nr_patterns = 1 };
    static char command[1000];
    struct bench_results *results = results_of_two(2);

    snprintf(command, sizeof(command), "sh -c '%s' sh", script);
    results->peers.peer[0].ops = &bench_library_ops;
    results->peers.peer[1].run = command_run;
    results->peers.peer[1].command = command;
    ck_assert_int_eq(bench_run_all(&plan, results), 0);
    return results;
}

START_TEST(another_program_tells_its_figures)
{
    struct bench_results *results =
        run_command("echo noise; echo sample of_$1_$3 us 4 -1 0 $2.5; echo sample $1 kb 0 2.5 4096 7", 60);
    struct bench_figure *figure = bench_figure_find(results, "of_extra_quick");

    ck_assert_uint_eq(results->nr_notes, 0);
    ck_assert_uint_eq(results->nr_figures, 2);
    ck_assert_ptr_nonnull(figure);
    ck_assert_uint_eq(figure->pages, 4);
    ck_assert_double_eq(figure->sample[1][0], 1.5); /* the seed is the number of the round */
    ck_assert_double_eq(figure->sample[1][1], 2.5);
    ck_assert(isnan(figure->sample[0][0]));
    figure = bench_figure_find(results, "extra");
    ck_assert_ptr_nonnull(figure);
    ck_assert_str_eq(figure->unit, "kb");
    ck_assert_double_eq(figure->fraction, 2.5);
    ck_assert_uint_eq(figure->len, 4096);
    bench_results_free(results);
}
END_TEST

/* Every process has page tables. */
START_TEST(another_program_asks_about_itself)
{
    struct bench_results *results =
        run_command("echo status VmPTE; read kb; echo sample tables kb 0 -1 0 $kb", 60);
    struct bench_figure *figure = bench_figure_find(results, "tables");

    ck_assert_ptr_nonnull(figure);
    ck_assert_double_gt(figure->sample[1][0], 0);
    bench_results_free(results);
}
END_TEST

static const struct {
    const char *script, *note;
    size_t nr_wrong;
} ends[] = {
    { "echo message the answer is 3; exit 1", "WRONG: the answer is 3", 1 },
    { "echo message no room; exit 77", "left out: no room", 0 },
    { "exit 53", "WRONG: it ended with code 53", 1 },
    { "kill -KILL $$", "WRONG: it was killed by signal 9", 1 },
    { "exec sleep 1000", "cut off: it took longer than 0.5 s", 0 },
    { "echo sample; echo message a remark", "a remark", 0 },
    { "echo message it left something behind; sleep 1000 & exit 1", "it left something behind", 1 },
};
#define NR_ENDS (sizeof(ends) / sizeof(ends[0]))

START_TEST(another_program_may_end_in_any_way)
{
    struct bench_results *results = run_command(ends[_i].script, strstr(ends[_i].script, "sleep") ? 0.5 : 60);

    ck_assert_uint_eq(results->nr_notes, 1);
    ck_assert_msg(strstr(results->notes[0], ends[_i].note), "the note is: %s", results->notes[0]);
    ck_assert_uint_eq(results->nr_wrong, ends[_i].nr_wrong);
    bench_results_free(results);
}
END_TEST

/* ---- bounds ---- */

static size_t broken(const char *text, int wanted_err)
{
    char path[] = "/tmp/bounds-XXXXXX";
    int fd = mkstemp(path);
    FILE *out = tmpfile();
    struct bench_results *results = results_of_two(1);
    struct bench_figure *figure = bench_figure_get(results, "figure", "us");
    static struct bounds bounds;
    size_t line, nr = 0;

    ck_assert_int_ge(fd, 0);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    figure->sample[0][0] = 10;
    figure->sample[1][0] = 20;
    ck_assert_int_eq(bounds_read(path, &bounds, &line), wanted_err);
    if (!wanted_err) {
        nr = bounds_check(&bounds, results, out);
    }
    unlink(path);
    fclose(out);
    bench_results_free(results);
    return nr;
}

START_TEST(bounds_are_kept_or_broken)
{
    ck_assert_uint_eq(broken("# nothing\n\n  \t\n", 0), 0);
    ck_assert_uint_eq(broken("figure second first 2 # just kept\n", 0), 0);
    ck_assert_uint_eq(broken("figure second first 1.99\nfigure first second 0.51\n", 0), 1);
    ck_assert_uint_eq(broken("figure first second 0.4\nfigure second first 1", 0), 2);
    /* A bound whose figure is missing is broken. One whose peer is missing is not. */
    ck_assert_uint_eq(broken("another first second 9\n", 0), 1);
    ck_assert_uint_eq(broken("figure third second 0.1\n", 0), 0);
    broken("figure second first\n", -EINVAL);
    broken("figure second first x\n", -EINVAL);
    broken("figure second first 0\n", -EINVAL);
    broken("figure second first 1 2\n", -EINVAL);
}
END_TEST

/* The shim's ratio is to the same Wine without it. The report says whether a target was met or missed. */
START_TEST(a_report_shows_ratios_and_targets)
{
    static const struct bounds targets = {
        .bound = { { "Speed", "figure", "wine-1-shim", "wine-1", 0.6 },
                   { "", "figure", "wine-2-shim", "wine-2", 1 } },
        .nr = 2,
    };
    static const double samples[] = { 5, 10, 5, 100, 200 };
    struct bench_peers peers = { .peer = { { .name = "first" },
                                           { .name = "wine-1", .command = "" },
                                           { .name = "wine-1-shim", .command = "" },
                                           { .name = "wine-2", .command = "" },
                                           { .name = "wine-2-shim", .command = "" } },
                                 .nr = 5 };
    struct bench_results *results = bench_results_new(&peers, 1);
    struct bench_figure *figure = bench_figure_get(results, "figure", "us");
    char text[8000] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    for (size_t i = 0; i < 5; i++) {
        figure->sample[i][0] = samples[i];
    }
    report_print(results, &targets, out);
    fclose(out);
    ck_assert_ptr_nonnull(
        strstr(text, "| **Speed** | | | | |\n| figure | wine-1-shim / wine-1 | 0.5 (0.5-0.5) | 0.6 | met |\n"
                     "| figure | wine-2-shim / wine-2 | 2 (2-2) | 1 | **missed** |\n"));
    ck_assert_ptr_nonnull(strstr(text, "| | first |\n|---|---|\n| figure | 5.00 us |\n"));
    ck_assert_ptr_nonnull(strstr(text, "| figure | 10.0 us | 5.00 us (0.5) | 100 us | 200 us (2) |\n"));
    bench_results_free(results);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench");
    TCase *tcase = tcase_create("core");

    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, quartiles_of_known_numbers);
    tcase_add_test(tcase, a_ratio_is_within_rounds);
    tcase_add_test(tcase, an_honest_peer_is_believed);
    tcase_add_loop_test(tcase, a_peer_that_is_wrong_is_found_out, 0, NR_LIES);
    tcase_add_test(tcase, lost_writes_of_threads_are_found_out);
    tcase_add_test(tcase, another_program_tells_its_figures);
    tcase_add_test(tcase, another_program_asks_about_itself);
    tcase_add_loop_test(tcase, another_program_may_end_in_any_way, 0, NR_ENDS);
    tcase_add_test(tcase, bounds_are_kept_or_broken);
    tcase_add_test(tcase, a_report_shows_ratios_and_targets);
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
