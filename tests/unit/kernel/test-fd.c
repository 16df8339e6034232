/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a descriptor still refers to the file that the library opened (linux/kernel/fd.c), for each kind of
 * file that it keeps open. The same file opened by other code does not count as ours, nor does one that a
 * later opening of ours has replaced; a dup() of ours does.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/fd.h"
#include "kernel/uapi.h"

static int open_pagemap(void)
{
    return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

static int open_mem(void)
{
    return open("/proc/self/mem", O_RDWR | O_CLOEXEC);
}

static int open_maps(void)
{
    return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
}

static int open_clear_refs(void)
{
    return open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
}

static int open_epoll(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

static int open_eventfd(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

static int open_userfaultfd(void)
{
    return syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
}

static const struct {
    const char *name;
    int (*open)(void);
    void (*init)(struct ww_fd *ret, int fd);
} kinds[] = {
    { "pagemap", open_pagemap, ww_fd_init },
    { "mem", open_mem, ww_fd_init },
    { "maps", open_maps, ww_fd_init_in_place },
    { "clear_refs", open_clear_refs, ww_fd_init },
    { "epoll", open_epoll, ww_fd_init },
    { "eventfd", open_eventfd, ww_fd_init },
    { "userfaultfd", open_userfaultfd, ww_fd_init },
};
#define NR_KINDS (int)(sizeof(kinds) / sizeof(kinds[0]))

static struct ww_fd ours;

/* False: there is no such file here, and the test is skipped. */
static bool open_ours(int kind)
{
    int fd = kinds[kind].open();

    if (fd < 0) {
        printf("SKIP %s: it cannot be opened\n", kinds[kind].name);
        return false;
    }
    kinds[kind].init(&ours, fd);
    ck_assert_int_eq(ours.fd, fd);
    return true;
}

/* Gives our descriptor's number to another file of that kind. */
static void replace_ours(int kind)
{
    int other = kinds[kind].open();

    ck_assert_int_ge(other, 0);
    ck_assert_int_eq(dup2(other, ours.fd), ours.fd);
    close(other);
}

START_TEST(what_was_opened_is_ours)
{
    if (open_ours(_i)) {
        int number = ours.fd;

        ck_assert_int_eq(ww_fd_look(&ours), 1);
        ww_fd_close(&ours);
        ck_assert_int_lt(fcntl(number, F_GETFD), 0);
        ck_assert_int_eq(ww_fd_look(&ours), 0);
    }
}
END_TEST

START_TEST(a_copy_is_ours)
{
    if (open_ours(_i)) {
        int copy = dup(ours.fd);

        close(ours.fd);
        ck_assert_int_eq(dup2(copy, ours.fd), ours.fd);
        ck_assert_int_eq(ww_fd_look(&ours), 1);
        close(copy);
        ww_fd_close(&ours);
    }
}
END_TEST

START_TEST(the_same_file_of_somebody_else_is_not_ours)
{
    if (open_ours(_i)) {
        int number = ours.fd;

        replace_ours(_i);
        ck_assert_msg(ww_fd_look(&ours) == 0, "%s", kinds[_i].name);
        ww_fd_close(&ours);
        ck_assert_msg(fcntl(number, F_GETFD) >= 0, "%s: it was closed", kinds[_i].name);
        close(number);
    }
}
END_TEST

/* More later openings under the same number than there are signals, twice over. */
START_TEST(a_later_one_of_ours_is_not_an_earlier_one)
{
    if (open_ours(_i)) {
        struct ww_fd later;

        for (int i = 0; i < 130; i++) {
            replace_ours(_i);
            kinds[_i].init(&later, ours.fd);
            ck_assert_msg(ww_fd_look(&ours) == 0, "%s: %d later", kinds[_i].name, i);
            ck_assert_int_eq(ww_fd_look(&later), 1);
        }
        ww_fd_close(&ours);
        ck_assert_int_eq(ww_fd_look(&later), 1);
        ww_fd_close(&later);
    }
}
END_TEST

#define HIGH_NUMBER 1500

/* A number from NR_NUMBERS on, for which fd.c does not record the latest serial. */
START_TEST(a_high_number_is_told_apart_as_well)
{
    struct rlimit limit;
    int fd = kinds[_i].open();

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (fd < 0 || limit.rlim_max <= HIGH_NUMBER) {
        printf("SKIP %s, %s: %s\n", __func__, kinds[_i].name,
               fd < 0 ? "it cannot be opened" : "the limit of descriptors is too low");
        return;
    }
    ck_assert_int_eq(dup2(fd, HIGH_NUMBER), HIGH_NUMBER);
    close(fd);
    kinds[_i].init(&ours, HIGH_NUMBER);
    ck_assert_int_eq(ww_fd_look(&ours), 1);
    replace_ours(_i);
    ck_assert_int_eq(ww_fd_look(&ours), 0);
}
END_TEST

START_TEST(a_closed_number_is_not_ours)
{
    if (open_ours(_i)) {
        close(ours.fd);
        ck_assert_int_eq(ww_fd_look(&ours), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fd");
    TCase *tcase = tcase_create("identity");
    SRunner *runner;
    int nr_failed;

    tcase_add_loop_test(tcase, what_was_opened_is_ours, 0, NR_KINDS);
    tcase_add_loop_test(tcase, a_copy_is_ours, 0, NR_KINDS);
    tcase_add_loop_test(tcase, the_same_file_of_somebody_else_is_not_ours, 0, NR_KINDS);
    tcase_add_loop_test(tcase, a_later_one_of_ours_is_not_an_earlier_one, 0, NR_KINDS);
    tcase_add_loop_test(tcase, a_high_number_is_told_apart_as_well, 0, NR_KINDS);
    tcase_add_loop_test(tcase, a_closed_number_is_not_ours, 0, NR_KINDS);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    nr_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return nr_failed != 0;
}
