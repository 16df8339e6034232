/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handler thread of uffd-sync is stopped while threads fault. When it goes on, it answers their faults
 * together; if it never does, no thread hangs.
 *
 * A child stops it by ptrace, which a sandbox may forbid.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "uffd-sync.h"

#define NR_THREADS 32

/* The thread id of the handler, the only thread of that name. */
static pid_t find_handler(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    pid_t tid = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir))) {
        char path[300], name[32] = "";
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file && fgets(name, sizeof(name), file) && !strcmp(name, "writewatch\n")) {
            tid = atoi(entry->d_name);
        }
        if (file) {
            fclose(file);
        }
    }
    closedir(dir);
    return tid;
}

struct freezer {
    pid_t child;
    int to_child, from_child;
};

/* In the child: stops the thread until a byte arrives, or the parent closes the pipe. Never returns. */
static void freeze(pid_t tid, int in, int out)
{
    char byte = 'n';
    int status;

    if (!ptrace(PTRACE_SEIZE, tid, 0, 0) && !ptrace(PTRACE_INTERRUPT, tid, 0, 0) &&
        waitpid(tid, &status, __WALL) == tid) {
        byte = 'y';
    }
    if (write(out, &byte, 1) == 1 && read(in, &byte, 1) >= 0) {
        ptrace(PTRACE_DETACH, tid, 0, 0);
    }
    _exit(0);
}

/* Stops the handler. False, with the reason printed, if it cannot be traced. */
static bool hold_handler(struct freezer *freezer)
{
    int down[2], up[2];
    pid_t tid = find_handler();
    char answer = 'n';

    ck_assert_int_gt(tid, 0);
    /* Gives the handler time to finish its work and sleep. */
    usleep(20000);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    ck_assert_int_eq(pipe(down) | pipe(up), 0);
    freezer->child = fork();
    if (!freezer->child) {
        close(down[1]);
        close(up[0]);
        freeze(tid, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    freezer->to_child = down[1];
    freezer->from_child = up[0];
    ck_assert_int_eq(read(up[0], &answer, 1), 1);
    if (answer != 'y') {
        printf("SKIP: the handler cannot be traced here\n");
        waitpid(freezer->child, NULL, 0);
    }
    return answer == 'y';
}

static void let_handler_go(const struct freezer *freezer)
{
    int status;

    close(freezer->to_child);
    ck_assert_int_eq(waitpid(freezer->child, &status, 0), freezer->child);
    close(freezer->from_child);
}

/* ---- threads that fault ---- */

struct writer {
    pthread_t thread;
    char *addr;
    bool reads;
    atomic_int tid; /* 0 until it is about to fault */
    atomic_bool done;
};

static void *touch(void *arg)
{
    struct writer *writer = arg;

    atomic_store(&writer->tid, gettid());
    if (writer->reads) {
        (void)*(volatile char *)writer->addr;
    } else {
        *(volatile char *)writer->addr = 1;
    }
    atomic_store(&writer->done, true);
    return NULL;
}

static void start_writers(struct writer *writers, size_t nr, char *base)
{
    for (size_t i = 0; i < nr; i++) {
        writers[i].addr = base + i * page_size();
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, touch, &writers[i]), 0);
    }
}

static void join_writers(struct writer *writers, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        pthread_join(writers[i].thread, NULL);
        ck_assert(atomic_load(&writers[i].done));
    }
}

/* Whether the thread sleeps, by the state behind its name. */
static bool sleeps(pid_t tid)
{
    char path[64], line[256] = "";
    const char *state;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    file = fopen(path, "r");
    ck_assert(file && fgets(line, sizeof(line), file));
    fclose(file);
    state = strrchr(line, ')');
    return state && (state[2] == 'S' || state[2] == 'D');
}

/* Waits until every thread sleeps. It can only wait for its fault. */
static void wait_for_faults(struct writer *writers, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        while (!atomic_load(&writers[i].tid) || !sleeps(atomic_load(&writers[i].tid))) {
            usleep(1000);
            ck_assert_msg(!atomic_load(&writers[i].done), "thread %zu did not have to wait", i);
        }
    }
}

/* The handler answers faults on 32 adjacent pages with one system call: writes to missing pages (_i 0),
 * writes to protected pages (1), and reads of missing pages (2). */
START_TEST(faults_that_wait_together_are_answered_together)
{
    static struct writer writers[NR_THREADS];
    unsigned long messages, resolved;
    char *base = watch_pages(NR_THREADS);
    struct freezer freezer;

    if (_i == 2) {
        /* Without it, the watch has mapped the missing pages. */
        NEEDS(WW_CAP_FREE_ARMING);
    }
    if (_i == 1) {
        for (size_t i = 0; i < NR_THREADS; i++) {
            write_page(base, i, 1);
        }
        ck_assert_int_eq(ww_reset(ctx, base, NR_THREADS * page_size()), 0);
    }
    if (!hold_handler(&freezer)) {
        return;
    }
    messages = atomic_load(&sync_of()->nr_messages);
    resolved = atomic_load(&sync_of()->nr_resolved);
    for (size_t i = 0; i < NR_THREADS; i++) {
        writers[i].reads = _i == 2;
    }
    start_writers(writers, NR_THREADS, base);
    wait_for_faults(writers, NR_THREADS);
    let_handler_go(&freezer);
    join_writers(writers, NR_THREADS);
    ck_assert_uint_eq(atomic_load(&sync_of()->nr_messages) - messages, NR_THREADS);
    ck_assert_uint_eq(atomic_load(&sync_of()->nr_resolved) - resolved, 1);
    ck_assert_int_eq(ww_count(ctx, base, NR_THREADS * page_size()), _i == 2 ? 0 : NR_THREADS);
}
END_TEST

/* Threads that read and threads that write wait for one page: it is installed once, and no store is lost. */
START_TEST(many_wait_for_one_page)
{
    static struct writer writers[NR_THREADS];
    char *base = watch_pages(4);
    struct freezer freezer;

    NEEDS(WW_CAP_FREE_ARMING);
    if (!hold_handler(&freezer)) {
        return;
    }
    for (size_t i = 0; i < NR_THREADS; i++) {
        writers[i].reads = i % 2;
        writers[i].addr = base + page_size() + i;
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, touch, &writers[i]), 0);
    }
    wait_for_faults(writers, NR_THREADS);
    let_handler_go(&freezer);
    join_writers(writers, NR_THREADS);
    expect_map(ctx, base, ".#..");
    for (size_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(base[page_size() + i], i % 2 ? 0 : 1);
    }
}
END_TEST

/* The handler is stopped: ww_unwatch() must wake the threads that wait. */
START_TEST(unwatching_lets_waiters_go)
{
    static struct writer writers[NR_THREADS];
    char *base = watch_pages(NR_THREADS);
    struct freezer freezer;

    for (size_t i = 0; i < NR_THREADS; i += 2) {
        write_page(base, i, 5);
    }
    ck_assert_int_eq(ww_reset(ctx, base, NR_THREADS * page_size()), 0);
    if (!hold_handler(&freezer)) {
        return;
    }
    start_writers(writers, NR_THREADS, base);
    wait_for_faults(writers, NR_THREADS);
    ck_assert_int_eq(ww_unwatch(ctx, base, NR_THREADS * page_size()), 0);
    join_writers(writers, NR_THREADS);
    let_handler_go(&freezer);
    for (size_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(base[i * page_size()], 1);
    }
}
END_TEST

/* check() finds within seconds that the handler is stuck: the threads that wait go on, and every page counts
 * as written. */
START_TEST(a_stuck_handler_is_replaced)
{
    static struct writer writers[4];
    struct ww_tracker *tracker = atomic_load(&ctx->tracker);
    char *base = watch_pages(8);
    struct freezer freezer;
    struct ww_signals saved;

    write_map(base, "########");
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    if (!hold_handler(&freezer)) {
        return;
    }
    start_writers(writers, 4, base);
    wait_for_faults(writers, 4);
    ww_block_signals(&saved);
    ck_assert_int_eq(tracker->backend->check(tracker), -EIO);
    ww_restore_signals(&saved);
    join_writers(writers, 4);
    /* Nothing tracks the memory now, so no answer may be "nothing was written". */
    write_map(base, "......#.");
    expect_map(ctx, base, "########");
    ck_assert(atomic_load(&ctx->tracker) != tracker);
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    write_map(base, "..#....#");
    expect_map(ctx, base, "..#....#");
    let_handler_go(&freezer);
    write_map(base, "#.......");
    expect_map(ctx, base, "#.#....#");
}
END_TEST

void add_held_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, faults_that_wait_together_are_answered_together, 0, 3);
    tcase_add_test(tcase, many_wait_for_one_page);
    tcase_add_test(tcase, unwatching_lets_waiters_go);
    tcase_add_test(tcase, a_stuck_handler_is_replaced);
}
