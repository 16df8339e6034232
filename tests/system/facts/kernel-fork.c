/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Children that hold the descriptors they inherited. Bare: such a descriptor
 * still means the parent, and keeps its registrations alive. The library: a
 * child that lives on does not keep ww_close() from ending the watches.
 * contract-process.c has what a child's own calls do.
 */
#include <errno.h>
#include <sys/wait.h>

#include "kernel.h"

static void expect_success(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "the child ended with status %#x", status);
}

/* A child that keeps all inherited descriptors and waits until *ret_end is closed. */
static pid_t start_idler(int *ret_end)
{
    int ends[2];
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ends[0]);
    *ret_end = ends[1];
    return pid;
}

/* ---- facts ---- */

START_TEST(an_inherited_pagemap_is_the_parents)
{
    char *base = map_small_pages(4);
    pid_t pid;

    ck_assert_int_eq(bare_register(&bare, base, 4, UFFDIO_REGISTER_MODE_WP), 0);
    write_map(base, ".#.#");
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        char map[5];

        /* A scan of the child's own memory, which is not registered, would fail with EPERM. */
        write_map(base, "#...");
        _exit(bare_map(&bare, base, 4, LAZY, true, map) || strcmp(map, ".#.#"));
    }
    expect_success(pid);
    expect_bare(base, LAZY, "....");
    write_map(base, "..#.");
    expect_bare(base, LAZY, "..#.");
}
END_TEST

START_TEST(an_inherited_userfaultfd_is_the_parents)
{
    char *base = map_small_pages(4), map[5];
    pid_t pid;

    ck_assert_int_eq(bare_map(&bare, base, 4, LAZY, false, map), -EPERM);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        _exit(bare_register(&bare, base, 4, UFFDIO_REGISTER_MODE_WP) ? 1 : 0);
    }
    expect_success(pid);
    expect_bare(base, LAZY, "....");
}
END_TEST

/* So the library unregisters each range before it closes. */
START_TEST(close_does_not_unregister_while_a_child_lives)
{
    char *base = map_small_pages(4);
    struct bare second;
    int end, err;
    pid_t pid;

    ck_assert_int_eq(bare_register(&bare, base, 4, UFFDIO_REGISTER_MODE_WP), 0);
    pid = start_idler(&end);
    bare_close(&bare);
    ck_assert_int_eq(bare_open(&second, UFFD_USER_MODE_ONLY), 0);
    err = bare_register(&second, base, 4, UFFDIO_REGISTER_MODE_WP);
    ck_assert_int_eq(err, -EBUSY);
    close(end);
    expect_success(pid);
    ck_assert_int_eq(bare_register(&second, base, 4, UFFDIO_REGISTER_MODE_WP), 0);
    bare = second;
}
END_TEST

/* ---- the library ---- */

START_TEST(close_ends_the_watch_while_a_child_lives)
{
    size_t page = page_size();
    char *base = watch_pages(8), byte = 9;
    int end, ends[2];
    pid_t pid;

    write_map(base, "##.#....");
    reset_pages(base, 8);
    write_map(base, "#..#.#..");
    pid = start_idler(&end);
    alarm(60);
    ww_close(ctx);
    alarm(0);
    /* Nothing is armed any more: system calls can write into pages that were clean. */
    ck_assert_int_eq(pipe(ends), 0);
    for (size_t i = 0; i < 8; i++) {
        write_page(base, i, 4);
        ck_assert_int_eq(write(ends[1], &byte, 1), 1);
        ck_assert_int_eq(read(ends[0], base + i * page, 1), 1);
        ck_assert_int_eq(base[i * page], 9);
    }
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page, 0), 0);
    expect_map(ctx, base, "........");
    write_map(base, ".#....#.");
    expect_map(ctx, base, ".#....#.");
    close(end);
    expect_success(pid);
    expect_map(ctx, base, ".#....#.");
    write_map(base, "#.......");
    expect_map(ctx, base, "##....#.");
}
END_TEST

/* After ww_close() in a child the child's copy is ordinary memory, clean pages too. */
START_TEST(a_child_that_closes_can_write_everywhere)
{
    char *base = watch_pages(4);
    pid_t pid;

    write_map(base, "##..");
    reset_pages(base, 4);
    write_map(base, "#.#.");
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        ww_close(ctx);
        write_map(base, "####");
        _exit(read_page(base, 1) == 1 && read_page(base, 3) == 1 ? 0 : 1);
    }
    expect_success(pid);
    expect_map(ctx, base, "#.#.");
}
END_TEST

/* The child closes the inherited context and opens its own; the parent's watch goes on. */
START_TEST(a_child_that_closes_takes_nothing_with_it)
{
    char *base = watch_pages(4);
    pid_t pid;

    write_map(base, "##..");
    reset_pages(base, 4);
    write_map(base, "#.#.");
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        struct ww_context *other;

        ww_close(ctx);
        /* The same addresses, in a context of its own. */
        if (ww_open(&other, backend->name) || ww_watch(other, base, 4 * page_size(), 0)) {
            _exit(1);
        }
        write_map(base, ".#..");
        if (ww_count(other, base, 4 * page_size()) != 1 || ww_reset(other, base, 4 * page_size())) {
            _exit(2);
        }
        ww_close(other);
        _exit(0);
    }
    expect_success(pid);
    expect_map(ctx, base, "#.#.");
    reset_pages(base, 4);
    write_map(base, ".#.#");
    expect_map(ctx, base, ".#.#");
}
END_TEST

void add_fork_facts(Suite *suite)
{
    TCase *tcase = new_bare_case(suite, "fork");

    tcase_add_test(tcase, an_inherited_pagemap_is_the_parents);
    tcase_add_test(tcase, an_inherited_userfaultfd_is_the_parents);
    tcase_add_test(tcase, close_does_not_unregister_while_a_child_lives);
}

void add_fork_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "fork");

    tcase_add_test(tcase, close_ends_the_watch_while_a_child_lives);
    tcase_add_test(tcase, a_child_that_closes_can_write_everywhere);
    tcase_add_test(tcase, a_child_that_closes_takes_nothing_with_it);
}
