/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that are interrupted where it matters most: just before they block signals, by a handler that forks,
 * and under their locks, by a cancellation that is pending. Neither may change what the parent, or another
 * thread, is told.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "backends.h"
#include "context.h"

#define NR 8

static char *base, *other;

static ssize_t call_get(void)
{
    void *pages[NR];

    return ww_get_pages(ctx, base, NR * page_size(), WW_GET_RESET, pages, NR);
}

static ssize_t call_reset(void)
{
    return ww_reset(ctx, base, NR * page_size());
}

static ssize_t call_latch(void)
{
    return ww_latch(ctx, base, NR * page_size());
}

static ssize_t call_discard(void)
{
    return ww_discard(ctx, base + 6 * page_size(), page_size());
}

static ssize_t call_protect(void)
{
    return ww_protect(ctx, base, page_size(), PROT_READ);
}

static ssize_t call_fill(void)
{
    return ww_fill(ctx, base + 6 * page_size(), other, page_size());
}

static ssize_t call_count(void)
{
    return ww_count(ctx, base, NR * page_size());
}

static ssize_t call_find(void)
{
    struct ww_range range;

    return ww_find(ctx, base, &range);
}

static ssize_t call_watch(void)
{
    return ww_watch(ctx, other, NR * page_size(), 0);
}

static ssize_t call_unwatch(void)
{
    return ww_unwatch(ctx, base + 6 * page_size(), page_size());
}

static const struct {
    const char *name;
    ssize_t (*call)(void);
} calls[] = {
    { "get", call_get },         { "reset", call_reset },     { "latch", call_latch },
    { "discard", call_discard }, { "protect", call_protect }, { "fill", call_fill },
    { "count", call_count },     { "find", call_find },       { "watch", call_watch },
    { "unwatch", call_unwatch },
};
#define NR_CALLS (int)(sizeof(calls) / sizeof(calls[0]))

static void setup(void)
{
    open_context();
    base = map_pages(NR);
    other = map_pages(NR);
    ck_assert_int_eq(ww_watch(ctx, base, NR * page_size(), 0), 0);
    write_page(base, 2, 1);
    write_page(base, 5, 1);
}

/* ---- a handler that forks ---- */

static volatile bool forks; /* before the next block of signals */
static pid_t child = -1;
static int child_status;

/* The child makes the call first. */
static void fork_in_handler(int sig)
{
    (void)sig;
    child = fork();
    if (child > 0) {
        waitpid(child, &child_status, 0);
    }
}

int __real_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
    if (forks && how == SIG_BLOCK) {
        forks = false;
        raise(SIGUSR1);
    }
    return __real_pthread_sigmask(how, set, ret_old);
}

START_TEST(a_fork_in_the_middle_of_a_call_changes_nothing_here)
{
    ssize_t ret;

    signal(SIGUSR1, fork_in_handler);
    forks = true;
    ret = calls[_i].call();
    if (!child) {
        _exit(ret == -ECHILD ? 0 : 1);
    }
    ck_assert_msg(child > 0, "%s blocks no signals", calls[_i].name);
    ck_assert_msg(WIFEXITED(child_status) && !WEXITSTATUS(child_status), "%s in the child: status %#x",
                  calls[_i].name, child_status);
    if (calls[_i].call == call_get) {
        ck_assert_int_ge(ret, 2);
    } else if (calls[_i].call != call_reset) {
        expect_map(ctx, base, "??#??#");
    }
}
END_TEST

/* Another thread is in the middle of a change of the table at the fork, and has left it half changed in the
 * child. */
START_TEST(a_child_closes_a_table_that_was_changing)
{
    int status;

    pthread_rwlock_wrlock(&ctx->table_lock);
    pthread_mutex_lock(&ctx->demand.lock);
    child = fork();
    if (!child) {
        RB_ROOT(&ctx->regions) = (struct ww_region *)8;
        RB_ROOT(&ctx->demand.providers) = (struct ww_provider *)8;
        ww_close(ctx);
        _exit(0);
    }
    pthread_mutex_unlock(&ctx->demand.lock);
    pthread_rwlock_unlock(&ctx->table_lock);
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- cancellation ---- */

static void *make_call(void *arg)
{
    ssize_t (*call)(void) = *(ssize_t(*const *)(void))arg;

    pthread_cancel(pthread_self());
    call();
    pthread_testcancel();
    return NULL;
}

/* Ends the process if another thread left a lock behind. */
START_TEST(a_cancelled_call_leaves_no_lock_behind)
{
    pthread_t thread;
    void *ret;

    ck_assert_int_eq(pthread_create(&thread, NULL, make_call, (void *)&calls[_i].call), 0);
    pthread_join(thread, &ret);
    ck_assert_ptr_eq(ret, PTHREAD_CANCELED);
    alarm(30);
    ck_assert_int_ge(ww_count(ctx, base, 6 * page_size()), 0);
    ck_assert_int_eq(ww_reset(ctx, base, 6 * page_size()), 0);
    ck_assert_int_eq(ww_unwatch(ctx, base, NR * page_size()), 0);
    alarm(0);
}
END_TEST

/* ---- a close beside a thread of the library's ---- */

static void *close_it(void *arg)
{
    ww_close(arg);
    return NULL;
}

/* The thread that serves pages on demand looks regions up until the context's threads have ended. */
START_TEST(a_close_changes_no_table_that_is_being_read)
{
    pthread_t closer;

    pthread_rwlock_rdlock(&ctx->table_lock);
    ck_assert_int_eq(pthread_create(&closer, NULL, close_it, ctx), 0);
    usleep(100000);
    ck_assert_uint_eq(atomic_load(&ctx->nr_regions), 1);
    pthread_rwlock_unlock(&ctx->table_lock);
    pthread_join(closer, NULL);
    ctx = NULL;
}
END_TEST

static int run(void)
{
    Suite *suite = suite_create(backend->name);
    TCase *tcase = tcase_create("interrupted");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, close_context);
    tcase_add_loop_test(tcase, a_fork_in_the_middle_of_a_call_changes_nothing_here, 0, NR_CALLS);
    tcase_add_test(tcase, a_child_closes_a_table_that_was_changing);
    tcase_add_loop_test(tcase, a_cancelled_call_leaves_no_lock_behind, 0, NR_CALLS);
    tcase_add_test(tcase, a_close_changes_no_table_that_is_being_read);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}

int main(void)
{
    return run_on_each_backend(run);
}
