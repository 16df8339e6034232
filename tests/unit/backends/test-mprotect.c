/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What only the mprotect backend has to get right: its place among the other users of SIGSEGV, threads that
 * block signals or have a signal stack, and the limit of mappings. test-contract tests the answers.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "mprotect-test.h"

/* ---- other users of SIGSEGV ---- */

static sigjmp_buf out;
static volatile sig_atomic_t nr_foreign;
static struct sigaction older;

static void jump_out(int sig)
{
    (void)sig;
    nr_foreign++;
    siglongjmp(out, 1);
}

static void jump_out_with_info(int sig, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    jump_out(sig);
}

/* A handler of a runtime that does not know of the library: it passes every fault on to the older handler. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
    nr_foreign++;
    if (older.sa_flags & SA_SIGINFO) {
        older.sa_sigaction(sig, info, context);
    } else {
        older.sa_handler(sig);
    }
}

static void install(void (*plain)(int), void (*with_info)(int, siginfo_t *, void *), struct sigaction *old)
{
    struct sigaction action = { .sa_flags = with_info ? SA_SIGINFO : 0 };

    if (with_info) {
        action.sa_sigaction = with_info;
    } else {
        action.sa_handler = plain;
    }
    ck_assert_int_eq(sigaction(SIGSEGV, &action, old), 0);
}

/* Faults outside all watched memory. */
static void fault_elsewhere(void)
{
    static char *forbidden;

    if (!forbidden) {
        forbidden = mmap(NULL, page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    *(volatile char *)forbidden = 1;
}

START_TEST(faults_that_are_not_ours_go_to_the_older_handler)
{
    char *base;

    install(jump_out, _i ? jump_out_with_info : NULL, NULL);
    base = watch_pages(8);
    for (int i = 1; i <= 3; i++) {
        if (!sigsetjmp(out, 1)) {
            fault_elsewhere();
            ck_abort_msg("the forbidden write went through");
        }
        ck_assert_int_eq(nr_foreign, i);
        write_page(base, i, 1);
    }
    ck_assert_int_eq(nr_foreign, 3);
    expect_map(ctx, base, ".###....");
}
END_TEST

START_TEST(a_handler_that_is_installed_later_may_pass_ours_on)
{
    char *base = watch_pages(8), *other;

    install(NULL, pass_on, &older);
    write_page(base, 1, 1);
    ck_assert_int_eq(nr_foreign, 1);
    expect_map(ctx, base, ".#......");
    /* The next watch puts the library's handler in front again. The handlers must not call each other in a
     * circle. */
    other = watch_pages(4);
    write_page(other, 2, 1);
    write_page(base, 3, 1);
    expect_map(ctx, other, "..#.");
    expect_map(ctx, base, ".#.#....");
}
END_TEST

/* The program writes before it replaces the library's handler, and after it has restored it. */
START_TEST(a_handler_that_replaces_ours_for_a_while)
{
    char *base = watch_pages(4);
    struct sigaction ours;

    write_page(base, 0, 1);
    install(jump_out, NULL, &ours);
    if (!sigsetjmp(out, 1)) {
        fault_elsewhere();
    }
    ck_assert_int_eq(sigaction(SIGSEGV, &ours, NULL), 0);
    write_page(base, 2, 1);
    expect_map(ctx, base, "#.#.");
}
END_TEST

/* A program that has no handler dies of its own fault, as it would without the library. */
START_TEST(the_default_is_kept)
{
    pid_t child = fork();
    int status;

    if (!child) {
        struct ww_context *own;
        char *base = map_pages(1);

        signal(SIGSEGV, SIG_DFL);
        if (ww_open(&own, "mprotect") || ww_watch(own, base, page_size(), WW_WATCH_FRESH)) {
            _exit(1);
        }
        base[0] = 1;
        fault_elsewhere();
        _exit(2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %#x", status);
}
END_TEST

static void send_to_process(void)
{
    kill(getpid(), SIGSEGV);
}

static void send_to_thread(void)
{
    raise(SIGSEGV);
}

/* A signal that somebody sends is no fault: the program's setting decides, and later writes are tracked. */
START_TEST(a_signal_that_is_sent_is_ignored_or_ends_the_program_as_ever)
{
    void (*const send)(void) = _i & 2 ? send_to_thread : send_to_process;
    bool ignored = _i & 1;
    pid_t child = fork();
    int status;

    if (!child) {
        struct ww_context *own;
        char *base = map_pages(2);

        signal(SIGSEGV, ignored ? SIG_IGN : SIG_DFL);
        if (ww_open(&own, "mprotect") || ww_watch(own, base, 2 * page_size(), WW_WATCH_FRESH)) {
            _exit(1);
        }
        send();
        if (!ignored) {
            _exit(4);
        }
        base[page_size()] = 1;
        _exit(ww_count(own, base, 2 * page_size()) == 1 ? 2 : 3);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (ignored) {
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 2, "status %#x", status);
    } else {
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %#x", status);
    }
}
END_TEST

/* ---- threads ---- */

static char *shared_base;

static void *write_with_signals_blocked(void *arg)
{
    sigset_t all;

    (void)arg;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (int i = 0; i < 64; i += 2) {
        write_page(shared_base, i, 1);
    }
    return NULL;
}

START_TEST(threads_may_block_every_other_signal)
{
    pthread_t thread;

    shared_base = watch_pages(64);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_with_signals_blocked, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(ww_count(ctx, shared_base, 64 * page_size()), 32);
}
END_TEST

/* Writes to watched pages of the thread's own stack, below the part in use (the kernel writes to its upper
 * end), so the handler must not run on that stack. Stack clash protection would write to each page on the way
 * down. */
static __attribute__((noinline, optimize("no-stack-clash-protection"))) void go_deep(void)
{
    volatile char deep[48 * 4096];

    deep[1] = deep[8 * 4096] = deep[9 * 4096] = 1;
    (void)deep;
}

static void *write_to_own_stack(void *arg)
{
    stack_t stack = { .ss_sp = arg, .ss_size = 64 * 1024 };

    sigaltstack(&stack, NULL);
    go_deep();
    return NULL;
}

START_TEST(a_watched_stack_needs_a_stack_for_signals)
{
    pthread_attr_t attr;
    pthread_t thread;
    void *signal_stack = malloc(64 * 1024);

    shared_base = watch_pages(32 + 32);
    ck_assert_int_eq(ww_unwatch(ctx, shared_base + 32 * page_size(), 32 * page_size()), 0);
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstack(&attr, shared_base, 64 * page_size()), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, write_to_own_stack, signal_stack), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_ge(ww_count(ctx, shared_base, 32 * page_size()), 3);
    ck_assert_int_le(ww_count(ctx, shared_base, 32 * page_size()), 5);
    free(signal_stack);
}
END_TEST

/* ---- the limit of mappings ---- */

/* Every other page of 512 MB: 65,536 isolated pages at two mappings each, twice the default
 * vm.max_map_count. */
START_TEST(every_other_page_of_512_mb_ends)
{
    size_t nr = ((size_t)512 << 20) / page_size();
    char *base = watch_pages(nr), *more;
    void **pages = malloc(nr * sizeof(*pages));
    ssize_t found;

    for (int round = 0; round < 2; round++) {
        size_t seen = 0;

        for (size_t i = round; i < nr; i += 2) {
            write_page(base, i, 1);
        }
        /* The program can still map memory. */
        more = map_pages(1);
        munmap(more, page_size());
        found = ww_get_pages(ctx, base, nr * page_size(), WW_GET_RESET, pages, nr);
        ck_assert_int_ge(found, nr / 2);
        for (ssize_t i = 0; i < found; i++) {
            seen += (((char *)pages[i] - base) / page_size() & 1) == (size_t)round;
        }
        ck_assert_uint_eq(seen, nr / 2);
        /* Pages that were opened for want of mappings are armed again. */
        ck_assert_int_eq(ww_count(ctx, base, nr * page_size()), 0);
    }
    write_page(base, 77, 1);
    ck_assert_int_eq(ww_count(ctx, base, nr * page_size()), 1);
    free(pages);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mprotect");
    TCase *tcase = tcase_create("mprotect");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    tcase_add_loop_test(tcase, faults_that_are_not_ours_go_to_the_older_handler, 0, 2);
    tcase_add_test(tcase, a_handler_that_is_installed_later_may_pass_ours_on);
    tcase_add_test(tcase, a_handler_that_replaces_ours_for_a_while);
    tcase_add_test(tcase, the_default_is_kept);
    tcase_add_loop_test(tcase, a_signal_that_is_sent_is_ignored_or_ends_the_program_as_ever, 0, 4);
    tcase_add_test(tcase, threads_may_block_every_other_signal);
    tcase_add_test(tcase, a_watched_stack_needs_a_stack_for_signals);
    tcase_add_test(tcase, every_other_page_of_512_mb_ends);
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
