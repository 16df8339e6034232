/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Permissions: an unprivileged user, a process that is not dumpable, a seccomp
 * filter that denies userfaultfd. What ww_probe() and ww_open() say then, and
 * that ww_open(NULL) gives a backend that works. The filter is written by hand:
 * the test must run without libseccomp.
 *
 * Each test opens contexts of its own, in its own process, whose privileges it gives up.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kernel.h"

#define NOBODY 65534

/* Watches, writes, queries, resets, as works with any backend in these tests. */
static void expect_use(struct ww_context *c)
{
    char *base = map_pages(6);

    ck_assert_int_eq(ww_watch(c, base, 6 * page_size(), WW_WATCH_FRESH), 0);
    write_map(base, "#..#..");
    expect_map(c, base, "#..#..");
    ck_assert_int_eq(ww_reset(c, base, 6 * page_size()), 0);
    write_map(base, ".#.#..");
    expect_map(c, base, ".#.#..");
    ck_assert_int_eq(ww_unwatch(c, base, 6 * page_size()), 0);
}

static const char *open_any(void)
{
    struct ww_context *c;
    const char *name;

    ck_assert_int_eq(ww_open(&c, NULL), 0);
    name = ww_backend_name(c);
    expect_use(c);
    ww_close(c);
    return name;
}

/* Gives up root's privileges, if the process has them. False: it cannot. */
static bool become_nobody(void)
{
    unsetenv("WW_BACKEND");
    if (geteuid()) {
        return true;
    }
    return !setgid(NOBODY) && !setuid(NOBODY);
}

START_TEST(nobody_can_use_what_root_can)
{
    struct ww_context *c;
    struct bare full;
    long allowed = 1;
    int err;

    if (!become_nobody()) {
        SKIP("setuid: %s", strerror(errno));
    }
    /* A change of user makes the process undumpable; a program that a user starts is dumpable. */
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
    for (size_t i = 0; i < nr_backends; i++) {
        ck_assert_int_eq(probe_backend(backends[i].name).error, 0);
        ck_assert_int_eq(ww_open(&c, backends[i].name), 0);
        expect_use(c);
        ww_close(c);
    }
    /* A backend that has fewer capabilities without privileges may give way to another. */
    if (probe_backend(backends[0].name).caps == backends[0].caps) {
        ck_assert_str_eq(open_any(), backends[0].name);
    }
    if (backend_works("uffd") && read_number("/proc/sys/vm/unprivileged_userfaultfd", &allowed) && !allowed) {
        err = bare_open(&full, 0);
        ck_assert_msg(err == -EPERM, "a userfaultfd for kernel faults too: %d", err);
    }
}
END_TEST

/* A process that cannot open its own pagemap cannot open uffd; a context from before goes on working. */
START_TEST(a_process_that_is_not_dumpable)
{
    struct ww_context *early, *c;
    char *base = map_pages(6);

    if (!backend_works("uffd")) {
        SKIP("uffd does not work here");
    }
    if (!become_nobody()) {
        SKIP("setuid: %s", strerror(errno));
    }
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
    ck_assert_int_eq(ww_open(&early, "uffd"), 0);
    ck_assert_int_eq(ww_watch(early, base, 6 * page_size(), WW_WATCH_FRESH), 0);
    write_map(base, "#..#..");
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 0), 0);

    expect_map(early, base, "#..#..");
    ck_assert_int_eq(ww_reset(early, base, 6 * page_size()), 0);
    write_map(base, ".##...");
    expect_map(early, base, ".##...");
    expect_use(early);

    ck_assert_int_eq(probe_backend("uffd").error, -EACCES);
    ck_assert_int_eq(ww_open(&c, "uffd"), -EACCES);
    ck_assert_str_ne(open_any(), "uffd");
    ww_close(early);
}
END_TEST

/* A seccomp filter makes userfaultfd(2) fail with an error. */
START_TEST(a_filter_denies_userfaultfd)
{
    int error = _i ? ENOSYS : EPERM;
    struct ww_context *early = NULL, *c;

    unsetenv("WW_BACKEND");
    if (backend_works("uffd")) {
        ck_assert_int_eq(ww_open(&early, "uffd"), 0);
    }
    if (!deny_call(SYS_userfaultfd, 0, 0, error, 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    ck_assert_int_eq(syscall(SYS_userfaultfd, O_CLOEXEC), -1);
    ck_assert_int_eq(errno, error);
    if (!access("/dev/userfaultfd", R_OK | W_OK)) {
        if (backend_works("uffd")) {
            ck_assert_int_eq(ww_open(&c, "uffd"), 0);
            expect_use(c);
            ww_close(c);
        }
        ck_assert(become_nobody() && !prctl(PR_SET_DUMPABLE, 1));
    }
    ck_assert_int_eq(probe_backend("uffd").error, -error);
    ck_assert_int_eq(ww_open(&c, "uffd"), -error);
    ck_assert_str_ne(open_any(), "uffd");
    /* A context that was opened before does not need the call any more. */
    if (early) {
        expect_use(early);
        ww_close(early);
    }
}
END_TEST

/* No fixture: each test has contexts of its own. */
void add_sandbox_cases(Suite *suite)
{
    TCase *tcase = new_plain_case(suite, "sandbox");

    tcase_add_test(tcase, nobody_can_use_what_root_can);
    tcase_add_test(tcase, a_process_that_is_not_dumpable);
    tcase_add_loop_test(tcase, a_filter_denies_userfaultfd, 0, 2);
}
