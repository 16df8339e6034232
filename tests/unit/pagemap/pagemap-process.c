/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scans of other processes: children that are stopped, end, are zombies, or execute another program;
 * processes that this one may not access; handles that a child inherits.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "pagemap-test.h"

/* A stopped child. It has a copy of this process's memory, and does not change it. */
static pid_t start_child(void)
{
    pid_t child = fork();
    int status;

    if (!child) {
        while (true) {
            raise(SIGSTOP);
        }
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
    ck_assert(WIFSTOPPED(status));
    return child;
}

/* Kills the child and waits until its memory is gone; with @reap, until its pid is free as well. */
static void end_child(pid_t child, bool reap)
{
    siginfo_t info;

    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitid(P_PID, child, &info, WEXITED | (reap ? 0 : WNOWAIT)), 0);
}

static uint64_t count_pages(ssize_t nr)
{
    uint64_t pages = 0;

    for (ssize_t i = 0; i < nr; i++) {
        pages += (found[i].end - found[i].start) / page_size();
    }
    return pages;
}

START_TEST(test_child)
{
    size_t page = page_size();
    char *base = map_pages(8), *shared;
    struct ww_pagemap *pagemap;
    pid_t child;

    madvise(base, 8 * page, MADV_NOHUGEPAGE);
    shared = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    write_map(base, "#.##....");
    child = fork();
    if (!child) {
        write_map(base, "....##..");
        shared[page] = 1;
        while (true) {
            pause();
        }
    }
    while (!*(volatile char *)(shared + page)) {
        usleep(1000);
    }
    /* The child must not show what this process writes now. */
    write_map(base, "#######.");
    pagemap = open_source(sources[_i], child);
    expect_pages(pagemap, base, WW_PAGE_IS_PRESENT, 0, "#.####..");
    expect_pages(pagemap, shared, WW_PAGE_IS_PRESENT | WW_PAGE_IS_FILE, 0, ".#..");
    end_child(child, true);
    ww_pagemap_close(pagemap);
}
END_TEST

/* Both sources find the same in all of a process, including pages that do not exist. */
START_TEST(test_agreement)
{
    static struct ww_page_region other[MAX_REGIONS];
    pid_t child = start_child();
    struct ww_pagemap *first = open_source("ioctl", child), *second = open_source("read", child);
    uint64_t both = ww_pagemap_categories(first) & ww_pagemap_categories(second);
    uint64_t existing = both;
    struct utsname name;
    ssize_t nr[2];

    /* Kernels differ in whether the ioctl reports a page that does not exist as written. From 7.3 on it
     * reports none in memory that is not tracked. */
    both &= ~(uint64_t)WW_PAGE_IS_WRITTEN;
    ck_assert_int_eq(uname(&name), 0);
    if (strverscmp(name.release, "7.3") >= 0) {
        existing = both;
    }
    for (int filter = 0; filter < 3; filter++) {
        struct ww_pagemap_scan scan = {
            .end = UINT64_MAX,
            .category_inverted = filter == 1 ? WW_PAGE_IS_PRESENT : 0,
            .category_mask = filter == 1 ? WW_PAGE_IS_PRESENT : 0,
            .category_anyof_mask = filter == 2 ? WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED : 0,
            .return_mask = filter == 2 ? existing : both,
        };
        struct ww_pagemap_scan again = scan;

        nr[0] = ww_pagemap_scan(first, &scan, other, MAX_REGIONS);
        nr[1] = ww_pagemap_scan(second, &again, found, MAX_REGIONS);
        ck_assert_int_gt(nr[0], 3);
        ck_assert_int_eq(nr[0], nr[1]);
        for (ssize_t i = 0; i < nr[0]; i++) {
            ck_assert_msg(!memcmp(&other[i], &found[i], sizeof(found[i])),
                          "filter %d: ioctl %#lx-%#lx %#lx, read %#lx-%#lx %#lx", filter,
                          (long)other[i].start, (long)other[i].end, (long)other[i].categories,
                          (long)found[i].start, (long)found[i].end, (long)found[i].categories);
        }
        ck_assert_uint_eq(scan.walk_end, UINT64_MAX);
        ck_assert_uint_eq(again.walk_end, UINT64_MAX);
    }
    end_child(child, true);
    ww_pagemap_close(first);
    ww_pagemap_close(second);
}
END_TEST

START_TEST(test_ended)
{
    pid_t child = start_child();
    struct ww_pagemap *pagemap = open_source(sources[_i], child), *none = NULL;
    struct ww_pagemap_scan scan = { .end = UINT64_MAX, .walk_end = 7 };
    int err;

    ck_assert_int_gt(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), 0);
    scan.walk_end = 7;
    end_child(child, false);
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), -ESRCH);
    /* The child has no memory any more. Before Linux 7.2, only root gets ESRCH for that. */
    err = ww_pagemap_open(&none, child);
    ck_assert_msg(err == -ESRCH || (err == -EACCES && geteuid()), "%d", err);
    end_child(child, true);
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), -ESRCH);
    ck_assert_uint_eq(scan.walk_end, 7);
    ck_assert_int_eq(ww_pagemap_open(&none, child), -ESRCH);
    ck_assert_ptr_null(none);
    ww_pagemap_close(pagemap);
}
END_TEST

/* After execve() the process has the same pid, but other memory. */
START_TEST(test_executed)
{
    int gate[2], done[2];
    struct ww_pagemap *pagemap;
    struct ww_pagemap_scan scan = { .end = UINT64_MAX };
    pid_t child;
    char byte;

    ck_assert_int_eq(pipe2(gate, O_CLOEXEC) | pipe2(done, O_CLOEXEC), 0);
    child = fork();
    if (!child) {
        close(done[0]);
        if (read(gate[0], &byte, 1) == 1) {
            execlp("sleep", "sleep", "100", NULL);
        }
        _exit(1);
    }
    close(done[1]);
    pagemap = open_source(sources[_i], child);
    ck_assert_int_gt(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), 0);
    ck_assert_int_eq(write(gate[1], "x", 1), 1);
    ck_assert_int_eq(read(done[0], &byte, 1), 0);
    ck_assert_int_eq(kill(child, 0), 0);
    ck_assert_int_eq(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), -ESRCH);
    ww_pagemap_close(pagemap);
    pagemap = open_source(sources[_i], child);
    ck_assert_int_gt(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), 0);
    end_child(child, true);
    ww_pagemap_close(pagemap);
}
END_TEST

/* The process ends at any moment of a scan. A scan that succeeds is complete. */
START_TEST(test_ending)
{
    size_t nr = 3000;
    char *base = map_pages(2 * nr);
    int complete = 0;

    madvise(base, 2 * nr * page_size(), MADV_NOHUGEPAGE);
    for (size_t i = 0; i < nr; i++) {
        write_page(base, 2 * i, 1);
    }
    for (unsigned int delay_us = 0; delay_us < 2000; delay_us += 50) {
        pid_t child = start_child(), killer;
        struct ww_pagemap *pagemap = open_source(sources[_i], child);
        struct ww_pagemap_scan scan = {
            .start = (uintptr_t)base,
            .end = (uintptr_t)base + 2 * nr * page_size(),
            /* A page that is being migrated is not present for a moment. */
            .category_anyof_mask = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED,
        };
        ssize_t found_nr;

        killer = fork();
        if (!killer) {
            usleep(delay_us);
            kill(child, SIGKILL);
            _exit(0);
        }
        while ((found_nr = ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS)) >= 0) {
            ck_assert_int_eq(found_nr, nr);
            ck_assert_uint_eq(count_pages(found_nr), nr);
            complete++;
        }
        ck_assert_int_eq(found_nr, -ESRCH);
        ck_assert_int_eq(waitpid(killer, NULL, 0), killer);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        ww_pagemap_close(pagemap);
    }
    ck_assert_int_gt(complete, 0);
}
END_TEST

/* The largest possible pid is 4194304 (Documentation/admin-guide/sysctl/kernel.rst). */
START_TEST(test_no_process)
{
    struct ww_pagemap *pagemap = NULL;

    ck_assert_int_eq(setenv("WW_PAGEMAP", sources[_i], 1), 0);
    ck_assert_int_eq(ww_pagemap_open(&pagemap, 4194304 + 1), -ESRCH);
    ck_assert_int_eq(ww_pagemap_open(&pagemap, INT32_MAX), -ESRCH);
    ck_assert_ptr_null(pagemap);
}
END_TEST

/* A kernel thread has no memory. If this process can see kthreadd, its pid is 2. */
START_TEST(test_kernel_thread)
{
    struct ww_pagemap *pagemap = NULL;
    char name[16] = "";
    int fd = open("/proc/2/comm", O_RDONLY | O_CLOEXEC);

    SKIP_UNLESS(fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && !strcmp(name, "kthreadd\n") && !geteuid(),
                "needs root, and kthreadd in sight");
    close(fd);
    ck_assert_int_eq(setenv("WW_PAGEMAP", sources[_i], 1), 0);
    ck_assert_int_eq(ww_pagemap_open(&pagemap, 2), -ESRCH);
    ck_assert_ptr_null(pagemap);
}
END_TEST

static void look_at_init(void *arg)
{
    struct ww_pagemap *pagemap = NULL;

    (void)arg;
    if (!geteuid()) {
        ck_assert_int_eq(setgid(65534) | setuid(65534), 0);
    }
    ck_assert_int_eq(ww_pagemap_open(&pagemap, 1), -EACCES);
    ck_assert_ptr_null(pagemap);
}

START_TEST(test_not_allowed)
{
    ck_assert_int_eq(setenv("WW_PAGEMAP", sources[_i], 1), 0);
    in_child(look_at_init, NULL);
}
END_TEST

/* Descriptors that are open still work after the process has given up the right to open them. */
static void look_at_parent(void *arg)
{
    struct ww_pagemap *pagemap = arg;
    struct ww_pagemap_scan scan = { .end = UINT64_MAX, .category_mask = WW_PAGE_IS_PRESENT };

    if (!geteuid()) {
        ck_assert_int_eq(setgid(65534) | setuid(65534), 0);
    }
    ck_assert_int_gt(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), 0);
    scan.category_mask = 0;
    ck_assert_int_gt(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), 0);
}

START_TEST(test_rights_given_up)
{
    pid_t child = start_child();
    struct ww_pagemap *pagemap = open_source(sources[_i], child);

    in_child(look_at_parent, pagemap);
    end_child(child, true);
    ww_pagemap_close(pagemap);
}
END_TEST

/* With its parent's handle on "this process", a child would see its parent's memory. */
static void use_inherited(void *arg)
{
    struct ww_pagemap_scan scan = { .end = UINT64_MAX, .walk_end = 7 };

    ck_assert_int_eq(ww_pagemap_scan(arg, &scan, found, MAX_REGIONS), -ECHILD);
    ck_assert_uint_eq(scan.walk_end, 7);
    ww_pagemap_close(arg);
}

START_TEST(test_inherited)
{
    struct ww_pagemap *pagemap = OPEN();
    struct ww_pagemap_scan scan = { .end = UINT64_MAX };

    in_child(use_inherited, pagemap);
    ck_assert_int_gt(ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS), 0);
    ww_pagemap_close(pagemap);
}
END_TEST

/* The program has closed the library's descriptors, and has opened the same files under the same numbers.
 * ww_pagemap_close() must not close those. */
START_TEST(test_numbers_of_the_programs)
{
    struct ww_pagemap *pagemap;
    bool before[64];
    int theirs[4], nr = 0;

    for (int fd = 0; fd < 64; fd++) {
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    }
    pagemap = OPEN();
    for (int fd = 0; fd < 64 && nr < 4; fd++) {
        char path[64];
        int other;

        if (before[fd] || fcntl(fd, F_GETFD) < 0) {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        other = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(other, 0);
        ck_assert_int_eq(dup2(other, fd), fd);
        close(other);
        theirs[nr++] = fd;
    }
    ck_assert_int_gt(nr, 0);
    ww_pagemap_close(pagemap);
    for (int i = 0; i < nr; i++) {
        ck_assert_msg(fcntl(theirs[i], F_GETFD) >= 0, "%d was closed", theirs[i]);
        close(theirs[i]);
    }
}
END_TEST

void add_process_cases(Suite *suite)
{
    TCase *tcase = tcase_create("process");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_child, 0, nr_sources);
    if (nr_sources == 2) {
        tcase_add_test(tcase, test_agreement);
    }
    tcase_add_loop_test(tcase, test_ended, 0, nr_sources);
    tcase_add_loop_test(tcase, test_executed, 0, nr_sources);
    tcase_add_loop_test(tcase, test_ending, 0, nr_sources);
    tcase_add_loop_test(tcase, test_no_process, 0, nr_sources);
    tcase_add_loop_test(tcase, test_kernel_thread, 0, nr_sources);
    tcase_add_loop_test(tcase, test_not_allowed, 0, nr_sources);
    tcase_add_loop_test(tcase, test_rights_given_up, 0, nr_sources);
    tcase_add_loop_test(tcase, test_inherited, 0, nr_sources);
    tcase_add_loop_test(tcase, test_numbers_of_the_programs, 0, nr_sources);
    suite_add_tcase(suite, tcase);
}
