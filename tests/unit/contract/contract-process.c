/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, process: what else happens in the same process and outside it. The kernel writes for a system
 * call, signals arrive, a second context exists, the process forks, and the caller's own array lies in
 * watched memory.
 */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "contract.h"

/* ---- fork ---- */

/* Waits for a child, which must exit with 0. A ck_assert that fails in the child makes it exit with 1. */
static void expect_child_succeeds(pid_t pid)
{
    int status;

    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %#x", status);
}

/* A bit for each call that did not return -ECHILD, and one for each kind of output that was touched. */
static unsigned int calls_that_work(char *base)
{
    size_t page = page_size();
    char *spare = map_pages(1);
    struct ww_range range = { 1, 2 };
    void *pages[4] = { base, base, base, base };
    const long results[] = {
        ww_watch(ctx, spare, page, 0),
        ww_unwatch(ctx, base, page),
        ww_find(ctx, base, &range),
        ww_get_pages(ctx, base, 4 * page, WW_GET_RESET, pages, 4),
        ww_get_ranges(ctx, base, 4 * page, WW_GET_RESET, &range, 1),
        ww_count(ctx, base, 4 * page),
        ww_reset(ctx, base, 4 * page),
        ww_latch(ctx, base, 4 * page),
        ww_discard(ctx, base, 4 * page),
        ww_protect(ctx, base, 4 * page, PROT_READ),
        ww_next(ctx, base, &range),
    };
    unsigned int worked = 0;

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        worked |= (unsigned int)(results[i] != -ECHILD) << i;
    }
    for (size_t i = 0; i < 4; i++) {
        worked |= (unsigned int)(pages[i] != base) << 16;
    }
    return worked | (unsigned int)(range.start != 1 || range.end != 2) << 17;
}

START_TEST(a_forked_child_has_no_watch)
{
    size_t page = page_size();
    char *base = watch_pages(8);
    pid_t pid;

    write_map(base, "#..#....");
    pid = fork();
    if (!pid) {
        if (calls_that_work(base)) {
            _exit(2);
        }
        /* The child can use its copy of the memory like any other, whether a page was dirty or clean. */
        write_map(base, "########");
        memset(base, 3, 8 * page);
        madvise(base, 4 * page, MADV_DONTNEED);
        munmap(base + 4 * page, 2 * page);
        ww_close(ctx);
        write_map(base, "####");
        _exit(base[6 * page] == 3 ? 0 : 3);
    }
    write_map(base, ".#......");
    expect_child_succeeds(pid);
    expect_map(ctx, base, "##.#....");
    ck_assert_int_eq(read_page(base, 2), 0);
    reset_pages(base, 8);
    write_map(base, "..#.#...");
    expect_map(ctx, base, "..#.#...");
}
END_TEST

/* The parent writes, gets and resets while a child lives and shares its pages. */
START_TEST(a_living_child_disturbs_no_answer)
{
    size_t page = page_size();
    char *base = watch_pages(8), byte;
    void *pages[8];
    int pipe_fds[2];
    pid_t pid;

    write_map(base, "####....");
    ck_assert_int_eq(ww_get_pages(ctx, base, 8 * page, WW_GET_RESET, pages, 2), 2);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    pid = fork();
    if (!pid) {
        close(pipe_fds[1]);
        _exit(read(pipe_fds[0], &byte, 1) == 0 ? 0 : 1);
    }
    expect_map(ctx, base, "..##....");
    write_map(base, "#...#...");
    read_page(base, 1);
    expect_map(ctx, base, "#.###...");
    ck_assert_int_eq(ww_reset(ctx, base, 3 * page), 0);
    write_map(base, "##......");
    expect_map(ctx, base, "##.##...");
    ck_assert_int_eq(ww_unwatch(ctx, base + 6 * page, 2 * page), 0);
    close(pipe_fds[1]);
    expect_child_succeeds(pid);
    expect_map(ctx, base, "##.##.");
    reset_pages(base, 6);
    write_map(base, "..#...");
    expect_map(ctx, base, "..#...");
}
END_TEST

START_TEST(a_child_can_open_its_own)
{
    char *base = watch_pages(4);
    ssize_t nr;
    pid_t pid;

    write_map(base, "#...");
    pid = fork();
    if (!pid) {
        if (_i) {
            ww_close(ctx);
        }
        if (ww_open(&ctx, backend->name)) {
            _exit(2);
        }
        base = watch_pages(4);
        write_map(base, ".#.#");
        nr = ww_count(ctx, base, 4 * page_size());
        _exit(nr == 2 || (nr > 2 && !is_exact(ctx)) ? 0 : 3);
    }
    expect_child_succeeds(pid);
    expect_map(ctx, base, "#...");
    write_map(base, "..#.");
    expect_map(ctx, base, "#.#.");
}
END_TEST

/* ---- several contexts ---- */

START_TEST(two_contexts_do_not_meet)
{
    size_t page = page_size();
    struct ww_context *other;
    char *base = map_pages(8);

    ck_assert_int_eq(ww_open(&other, backends[_i].name), 0);
    /* Adjacent regions, one in each context. */
    ck_assert_int_eq(ww_watch(ctx, base, 4 * page, WW_WATCH_FRESH), 0);
    ck_assert_int_eq(ww_watch(other, base + 4 * page, 4 * page, WW_WATCH_FRESH), 0);
    write_map(base, "#..##..#");
    expect_map(ctx, base, "#..#");
    expect_map(other, base + 4 * page, "#..#");
    ck_assert_int_eq(ww_count(ctx, base + 4 * page, page), -ENOENT);
    ck_assert_int_eq(ww_reset(ctx, base, 4 * page), 0);
    expect_map(other, base + 4 * page, "#..#");
    write_map(base, ".#....#.");
    expect_map(ctx, base, ".#..");
    expect_map(other, base + 4 * page, "#.##");
    ww_close(other);
    write_map(base, "..######");
    expect_map(ctx, base, ".###");
    ck_assert_int_eq(ww_watch(ctx, base + 4 * page, 4 * page, 0), 0);
    write_map(base, "....#...");
    expect_map(ctx, base + 4 * page, "#...");
}
END_TEST

/* Two contexts watch the same pages: the second watch is refused, or both answer correctly. */
START_TEST(the_same_memory_in_two_contexts)
{
    size_t page = page_size();
    struct ww_context *other;
    char *base = watch_pages(4);
    int err;

    write_map(base, "#...");
    ck_assert_int_eq(ww_open(&other, backends[_i].name), 0);
    err = ww_watch(other, base, 4 * page, 0);
    ck_assert_msg(err == 0 || err == -EBUSY, "ww_watch: %d (%s)", err, strerror(-err));
    write_map(base, ".#..");
    expect_map(ctx, base, "##..");
    if (!err) {
        expect_map(other, base, ".#..");
        ck_assert_int_eq(ww_unwatch(other, base, 4 * page), 0);
    }
    reset_pages(base, 4);
    write_map(base, "..#.");
    expect_map(ctx, base, "..#.");
    ww_close(other);
    write_map(base, "...#");
    expect_map(ctx, base, "..##");
}
END_TEST

/* ---- the kernel writes ---- */

/* Without WW_CAP_KERNEL_WRITES, a system call that writes into clean pages may fail. If it works, its writes
 * are reported. */
START_TEST(system_calls_write_into_clean_pages)
{
    size_t page = page_size();
    char *base = watch_pages(8), *data = malloc(3 * page);
    int pipe_fds[2];
    ssize_t nr;

    memset(data, 7, 3 * page);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(write(pipe_fds[1], data, 2 * page + 2), 2 * page + 2);
        nr = read(pipe_fds[0], base + 3 * page - 1, 2 * page + 2);
        if (has_cap(WW_CAP_KERNEL_WRITES)) {
            ck_assert_int_eq(nr, 2 * page + 2);
            ck_assert_mem_eq(base + 3 * page - 1, data, 2 * page + 2);
            expect_map(ctx, base, "..####..");
        } else {
            ck_assert_msg(nr < 0 && errno == EFAULT, "read(2) returns %zd without a mark", nr);
            /* It works for pages that are dirty already. */
            write_map(base, "..####..");
            nr = read(pipe_fds[0], base + 3 * page - 1, 2 * page + 2);
            ck_assert_int_eq(nr, 2 * page + 2);
            expect_map(ctx, base, "..####..");
        }
        reset_pages(base, 8);
    }
    /* A write(2) only reads watched pages, and marks nothing. */
    ck_assert_int_eq(write(pipe_fds[1], base, 8 * page), 8 * page);
    expect_map(ctx, base, "........");
}
END_TEST

START_TEST(unwatched_memory_is_as_before)
{
    size_t page = page_size();
    char *base = watch_pages(6), byte = 9;
    int pipe_fds[2];

    write_map(base, "#.#...");
    reset_pages(base, 6);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    if (_i) {
        ww_close(ctx);
        ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
    } else {
        ck_assert_int_eq(ww_unwatch(ctx, base, 6 * page), 0);
    }
    for (size_t i = 0; i < 6; i++) {
        ck_assert_int_eq(write(pipe_fds[1], &byte, 1), 1);
        ck_assert_int_eq(read(pipe_fds[0], base + i * page + 1, 1), 1);
        ck_assert_int_eq(base[i * page + 1], 9);
        write_page(base, i, 2);
    }
    ck_assert_int_eq(mprotect(base, 6 * page, PROT_NONE), 0);
    ck_assert_int_eq(munmap(base, 6 * page), 0);
}
END_TEST

/* ---- the caller's array ---- */

/* The array lies in the range of the get. One of its pages is clean before, or dirty (_i 1). */
START_TEST(the_array_lies_in_watched_memory)
{
    size_t nr = 1024, page = page_size();
    char *base = watch_pages(nr), *map = malloc(nr);
    void **pages = (void **)(base + 4 * page); /* 2 pages of it are filled */
    ssize_t found;

    memset(map, '.', nr);
    for (size_t i = 0; i < nr; i++) {
        if (i % 2 && (i < 4 || i > 5)) {
            write_page(base, i, 1);
            map[i] = '#';
        }
    }
    if (_i) {
        map[5] = '#';
        write_page(base, 5, 1);
    }
    found = ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, nr);
    expect_number(ctx, found, 511 + _i, nr);
    take_pages(ctx, base, map, nr, pages, found, nr);
    /* The get has written its array, so those pages are dirty now. */
    memset(map, '.', nr);
    map[4] = '#';
    map[5] = found > (ssize_t)(page / sizeof(*pages)) ? '#' : '.';
    expect_map_len(ctx, base, map, nr);
}
END_TEST

/* ---- signals ---- */

static volatile sig_atomic_t nr_ticks;

static void on_tick(int sig)
{
    (void)sig;
    nr_ticks++;
}

/* A timer that fires all the time changes no answer. */
START_TEST(signals_during_a_get_do_no_harm)
{
    struct sigaction action = { .sa_handler = on_tick };
    struct itimerval timer = { .it_interval = { .tv_usec = 100 }, .it_value = { .tv_usec = 100 } };
    size_t nr = 4096, page = page_size();
    char *base = watch_pages(nr), *map = malloc(nr);
    void **pages = malloc(nr * sizeof(*pages));
    uint64_t random = 1;

    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
    for (int round = 0; round < 60 || nr_ticks <= 10; round++) {
        size_t nr_written = 0;

        memset(map, '.', nr);
        for (size_t i = 0; i < 300; i++) {
            size_t at = random_below(&random, nr);

            nr_written += map[at] == '.';
            map[at] = '#';
            write_page(base, at, 1);
        }
        expect_map_len(ctx, base, map, nr);
        expect_number(ctx, ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, nr), nr_written, nr);
        expect_number(ctx, ww_count(ctx, base, nr * page), 0, nr);
    }
    timer = (struct itimerval){ .it_value = { 0, 0 } };
    setitimer(ITIMER_REAL, &timer, NULL);
}
END_TEST

static int compare_masks(void)
{
    sigset_t now;
    int nr_differences = 0;

    pthread_sigmask(SIG_SETMASK, NULL, &now);
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        bool ours = sig == SIGUSR2 || sig == SIGRTMIN + 1;

        nr_differences += sigismember(&now, sig) != ours;
    }
    return nr_differences;
}

/* Each call leaves the signal mask as it was, also if it fails. */
START_TEST(the_signal_mask_is_given_back)
{
    size_t page = page_size();
    char *base = map_pages(8);
    struct ww_range range;
    void *pages[8];
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, SIGRTMIN + 1);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    ww_watch(ctx, base, 8 * page, 0);
    ck_assert_int_eq(compare_masks(), 0);
    ww_watch(ctx, base, 8 * page, 0);
    ck_assert_int_eq(compare_masks(), 0);
    write_map(base, "########");
    ck_assert_int_eq(compare_masks(), 0);
    ww_find(ctx, base, &range);
    ww_find(ctx, NULL, &range);
    ck_assert_int_eq(compare_masks(), 0);
    ww_get_pages(ctx, base, 8 * page, WW_GET_RESET, pages, 2);
    ww_get_pages(ctx, base, 9 * page, WW_GET_RESET, pages, 2);
    ck_assert_int_eq(compare_masks(), 0);
    ww_latch(ctx, base, page);
    ww_protect(ctx, base, page, PROT_READ);
    ww_discard(ctx, base, page);
    ww_reset(ctx, base, page);
    ck_assert_int_eq(compare_masks(), 0);
    ww_unwatch(ctx, base + page, page);
    ck_assert_int_eq(compare_masks(), 0);
}
END_TEST

/* Nearly every signal that can be blocked is pending: the calls work, and all signals are still pending after
 * them. */
START_TEST(a_get_with_all_signals_pending)
{
    char *base = watch_pages(6);
    sigset_t mask, pending, now;
    int nr_lost = 0;
    void *pages[6];

    sigfillset(&mask);
    sigdelset(&mask, SIGSEGV);
    sigdelset(&mask, SIGALRM);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        if (sigismember(&mask, sig) == 1 && sig != SIGCONT && sig != SIGTSTP && sig != SIGTTIN &&
            sig != SIGTTOU) {
            raise(sig);
        }
    }
    sigpending(&pending);
    write_map(base, "#.##.#");
    expect_map(ctx, base, "#.##.#");
    ck_assert_int_eq(ww_get_pages(ctx, base, 6 * page_size(), WW_GET_RESET, pages, 3), 3);
    expect_map(ctx, base, ".....#");
    sigpending(&now);
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        nr_lost += sigismember(&pending, sig) != sigismember(&now, sig);
    }
    ck_assert_int_eq(sigismember(&pending, SIGUSR1), 1);
    ck_assert_int_eq(nr_lost, 0);
    /* None of them may be delivered in the test runner. */
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        if (sigismember(&now, sig) == 1) {
            signal(sig, SIG_IGN);
        }
    }
}
END_TEST

void add_process_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "process");

    tcase_add_test(tcase, a_forked_child_has_no_watch);
    tcase_add_test(tcase, a_living_child_disturbs_no_answer);
    tcase_add_loop_test(tcase, a_child_can_open_its_own, 0, 2);
    tcase_add_loop_test(tcase, two_contexts_do_not_meet, 0, nr_backends);
    tcase_add_loop_test(tcase, the_same_memory_in_two_contexts, 0, nr_backends);
    tcase_add_test(tcase, system_calls_write_into_clean_pages);
    tcase_add_loop_test(tcase, unwatched_memory_is_as_before, 0, 2);
    tcase_add_loop_test(tcase, the_array_lies_in_watched_memory, 0, 2);
    tcase_add_test(tcase, signals_during_a_get_do_no_harm);
    tcase_add_test(tcase, the_signal_mask_is_given_back);
    tcase_add_test(tcase, a_get_with_all_signals_pending);
}
