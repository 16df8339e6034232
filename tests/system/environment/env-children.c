/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Children made by every system call: those that get a copy of the memory, those that
 * share it for a while or for good, and those that become another program. Writes of a
 * child that shares the memory count like any others; its end, and what it runs, change
 * no answer. (contract-process.c has what a forked child may call.)
 */
#include <sched.h>
#include <spawn.h>

#include "env.h"

extern char **environ;

static void expect_exit(pid_t pid, int code)
{
    int status;

    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code, "the child ended with status %#x",
                  status);
}

/* Eight watched pages, of which the first is written and the others are clean. */
static char *watch_some(void)
{
    char *base = watch_pages(8);

    write_map(base, "####....");
    reset_pages(base, 8);
    write_map(base, "#.......");
    return base;
}

START_TEST(a_forked_child_runs_a_program)
{
    char *base = watch_some();
    pid_t pid = fork();

    if (!pid) {
        write_map(base, ".#......");
        execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
        _exit(1);
    }
    expect_exit(pid, 5);
    expect_map(ctx, base, "#.......");
    expect_works(base);
}
END_TEST

/* The child uses the memory of its parent, which waits. */
START_TEST(a_vforked_child_writes)
{
    char *volatile base = watch_some();
    pid_t pid = vfork();

    if (!pid) {
        write_map(base, ".#...#..");
        _exit(6);
    }
    expect_exit(pid, 6);
    expect_map(ctx, base, "##...#..");
    expect_works(base);
}
END_TEST

START_TEST(a_vforked_child_runs_a_program)
{
    char *volatile base = watch_some();
    pid_t pid = vfork();

    if (!pid) {
        write_map(base, "...#....");
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    expect_exit(pid, 0);
    expect_map(ctx, base, "#..#....");
    expect_works(base);
}
END_TEST

/* The program inherits none of the library's descriptors. */
START_TEST(a_spawned_program_inherits_nothing)
{
    char *argv[] = { "sh", "-c",
                     "for fd in /proc/$$/fd/*; do readlink $fd; done | "
                     "grep -c 'userfaultfd\\|pagemap\\|clear_refs\\|/mem$\\|/maps$\\|eventpoll'",
                     NULL };
    char *base = watch_some();
    pid_t pid;

    ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
    write_map(base, ".....#..");
    /* grep exits with 1 where it finds none. */
    expect_exit(pid, 1);
    expect_map(ctx, base, "#....#..");
    expect_works(base);
}
END_TEST

static int write_shared(void *arg)
{
    write_map(arg, "..#...#.");
    return 7;
}

/* Not a thread: a process with its own descriptors and handlers, in the same memory. */
START_TEST(a_cloned_process_shares_the_memory)
{
    static char stack[65536] __attribute__((aligned(16)));
    char *base = watch_some();

    for (int i = 0; i < 3; i++) {
        expect_exit(clone(write_shared, stack + sizeof(stack), CLONE_VM | SIGCHLD, base), 7);
        expect_map(ctx, base, i ? "..#...#." : "#.#...#.");
        reset_pages(base, 8);
    }
    expect_works(base);
}
END_TEST

/* Many short-lived children, while the parent goes on. */
START_TEST(children_come_and_go)
{
    char *base = watch_some();

    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();

        if (!pid) {
            memset(base, 9, 8 * page_size());
            if (i % 3 == 0) {
                ww_close(ctx);
            } else if (i % 3 == 1 && ww_count(ctx, base, page_size()) != -ECHILD) {
                _exit(1);
            }
            _exit(0);
        }
        write_map(base, ".#......");
        expect_map(ctx, base, i ? ".#......" : "##......");
        reset_pages(base, 8);
        write_map(base, ".#......");
        expect_exit(pid, 0);
        expect_map(ctx, base, ".#......");
        reset_pages(base, 8);
    }
    expect_works(base);
}
END_TEST

void add_child_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "children");

    tcase_add_test(tcase, a_forked_child_runs_a_program);
    tcase_add_test(tcase, a_vforked_child_writes);
    tcase_add_test(tcase, a_vforked_child_runs_a_program);
    tcase_add_test(tcase, a_spawned_program_inherits_nothing);
    tcase_add_test(tcase, a_cloned_process_shares_the_memory);
    tcase_add_test(tcase, children_come_and_go);
}
