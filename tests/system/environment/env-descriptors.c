/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that closes every descriptor, as a daemon does, and one that gives the
 * numbers of the library's descriptors to its own: files, a userfaultfd, another
 * process's pagemap. The library must not use or close them.
 */
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "env.h"

#define MAX_FDS 64

/* The descriptors that the context in use keeps. */
static int own_fds[MAX_FDS];
static size_t nr_own_fds;

static void open_and_list(const char *name)
{
    bool before[MAX_FDS];

    ww_close(ctx);
    for (int fd = 0; fd < MAX_FDS; fd++) {
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    }
    ck_assert_int_eq(ww_open(&ctx, name), 0);
    nr_own_fds = 0;
    for (int fd = 0; fd < MAX_FDS; fd++) {
        if (!before[fd] && fcntl(fd, F_GETFD) >= 0) {
            own_fds[nr_own_fds++] = fd;
        }
    }
}

/* ---- all are closed; in a child, because the test runner has descriptors as well ---- */

/* Whether every written page is reported; resets what is. */
static bool all_reported(char *base, const char *map)
{
    void *pages[8];
    ssize_t nr = ww_get_pages(ctx, base, 8 * page_size(), WW_GET_RESET, pages, 8);
    ssize_t at = 0;

    for (size_t i = 0; i < 8; i++) {
        bool reported = at < nr && pages[at] == base + i * page_size();

        at += reported;
        if (map[i] == '#' && !reported) {
            return false;
        }
    }
    return nr >= 0;
}

static bool rounds_are_right(char *base)
{
    for (int i = 0; i < 4; i++) {
        write_map(base, "#..#...#");
        if (!all_reported(base, "#..#...#")) {
            return false;
        }
        write_map(base, ".##.....");
        if (!all_reported(base, ".##.....")) {
            return false;
        }
    }
    return true;
}

#define NR_FILES 24

/* Opens files, which take the numbers that have become free. False: a file cannot be opened or written. */
static bool open_files(int *fds)
{
    for (int i = 0; i < NR_FILES; i++) {
        fds[i] = memfd_create("theirs", 0);
        if (fds[i] < 0 || write(fds[i], "theirs", 6) != 6) {
            return false;
        }
    }
    return true;
}

static bool files_are_untouched(const int *fds)
{
    struct stat stat;
    char text[8] = "";

    for (int i = 0; i < NR_FILES; i++) {
        if (fstat(fds[i], &stat) || stat.st_size != 6 || lseek(fds[i], 0, SEEK_CUR) != 6 ||
            pread(fds[i], text, 8, 0) != 6 || memcmp(text, "theirs", 6)) {
            return false;
        }
    }
    return true;
}

/* Returns 0, or the number of the step that went wrong. */
static int live_without_descriptors(bool files)
{
    int fds[NR_FILES];
    char *base = map_pages(8), *more = map_pages(8);

    ww_close(ctx);
    if (ww_open(&ctx, backend->name) || ww_watch(ctx, base, 8 * page_size(), 0)) {
        return 2;
    }
    write_map(base, "####....");
    if (ww_reset(ctx, base, 8 * page_size())) {
        return 3;
    }
    write_map(base, ".#......");
    for (int fd = 3; fd < 1024; fd++) {
        close(fd);
    }
    if (files && !open_files(fds)) {
        return 4;
    }
    write_map(base, "#..#....");
    if (!all_reported(base, "##.#....") || !rounds_are_right(base)) {
        return 5;
    }
    if (ww_watch(ctx, more, 8 * page_size(), 0) || !rounds_are_right(more)) {
        return 6;
    }
    if (ww_unwatch(ctx, base, 8 * page_size())) {
        return 7;
    }
    memset(base, 1, 8 * page_size());
    ww_close(ctx);
    memset(more, 1, 8 * page_size());
    return files && !files_are_untouched(fds) ? 8 : 0;
}

START_TEST(a_program_closes_all_descriptors)
{
    pid_t pid;
    int status;

    fflush(stdout);
    /* A copy of the child's userfaultfd in this process would keep it alive. */
    ww_close(ctx);
    ctx = NULL;
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        alarm(20);
        _exit(live_without_descriptors(_i));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "the program ended with %#x", status);
}
END_TEST

/* ---- one is a descriptor of the program's that takes the same requests ---- */

/* Without WP_ASYNC, so that writers of memory that the library tracked with it would hang. */
static int open_their_userfaultfd(void)
{
    struct uffdio_api api = { .api = UFFD_API };
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
        close(fd);
        return -1;
    }
    return fd;
}

static pid_t peer;

/* Opens a file in /proc of another process, which has no copy of the library's descriptors. */
static int open_of_peer(const char *name, int flags)
{
    char *argv[] = { "sleep", "60", NULL }, path[64];

    if (posix_spawn(&peer, "/bin/sleep", NULL, NULL, argv, NULL)) {
        return -1;
    }
    snprintf(path, sizeof(path), "/proc/%d/%s", peer, name);
    return open(path, flags | O_CLOEXEC);
}

static int open_their_pagemap(void)
{
    return open_of_peer("pagemap", O_RDONLY);
}

static int open_their_memory(void)
{
    return open_of_peer("mem", O_RDWR);
}

/* Another process's pagemap answers for that process, and the library cannot notice (writewatch(7),
 * Descriptors). */
static const struct {
    int (*open)(void);
    bool answers;
} theirs[] = {
    { open_their_userfaultfd, false },
    { open_their_pagemap, true },
    { open_their_memory, false },
};
#define NR_THEIRS (sizeof(theirs) / sizeof(theirs[0]))
#define NR_NUMBERS 4

START_TEST(a_number_is_something_alike)
{
    size_t which = _i % NR_NUMBERS, kind = _i / NR_NUMBERS;
    char *base, *more = map_pages(8);
    struct stat before, after;
    struct pollfd event;
    int fd;

    open_and_list(backend->name);
    if (!nr_own_fds && !_i) {
        SKIP_TEST("a context of this backend has no descriptor");
    }
    /* A loop for the context that has most. */
    if (which >= nr_own_fds) {
        return;
    }
    base = watch_pages(8);
    write_map(base, "####....");
    reset_pages(base, 8);
    write_map(base, "#...#...");
    fd = theirs[kind].open();
    if (fd < 0) {
        SKIP_TEST("it cannot be opened");
    }
    ck_assert_int_eq(fstat(fd, &before), 0);
    ck_assert_int_eq(dup2(fd, own_fds[which]), own_fds[which]);
    alarm(10);
    write_map(base, ".#...#..");
    /* The new watch or the queries are the first to use the number. */
    ck_assert_int_eq(ww_watch(ctx, more, 8 * page_size(), WW_WATCH_FRESH), 0);
    write_map(more, "..##....");
    if (!theirs[kind].answers) {
        expect_map(ctx, more, or_more("..##...."));
        expect_map(ctx, base, or_more("##..##.."));
        ck_assert_int_eq(ww_reset(ctx, more, 8 * page_size()), 0);
        expect_nothing_lost(more);
        expect_nothing_lost(base);
    }
    ck_assert_int_ge(ww_count(ctx, base, 8 * page_size()), 0);
    event = (struct pollfd){ .fd = fd, .events = POLLIN };
    ck_assert_msg(kind || poll(&event, 1, 0) == 0, "their userfaultfd got an event of ours");
    ww_close(ctx);
    ctx = NULL;
    memset(base, 2, 8 * page_size());
    memset(more, 2, 8 * page_size());
    alarm(0);
    ck_assert_msg(!fstat(own_fds[which], &after) && after.st_ino == before.st_ino, "theirs was closed");
    if (peer) {
        kill(peer, SIGKILL);
        waitpid(peer, NULL, 0);
    }
}
END_TEST

/* ---- one is the same file, opened by the program or by another context ---- */

/* Opens the same kind of file as the number stands for. -1: it cannot be opened. */
static int open_alike(int number)
{
    char path[64], name[64] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
    if (readlink(path, name, sizeof(name) - 1) < 0) {
        return -1;
    }
    if (!strcmp(name, "anon_inode:[userfaultfd]")) {
        return open_their_userfaultfd();
    }
    if (!strcmp(name, "anon_inode:[eventpoll]")) {
        return epoll_create1(EPOLL_CLOEXEC);
    }
    return open(path, (fcntl(number, F_GETFL) & O_ACCMODE) | O_CLOEXEC);
}

/* Gives all the library's numbers to files of the program's, of the same kinds. */
static void replace_all(void)
{
    for (size_t i = 0; i < nr_own_fds; i++) {
        int fd = open_alike(own_fds[i]);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(dup2(fd, own_fds[i]), own_fds[i]);
        close(fd);
    }
}

static void expect_open(const char *whose)
{
    for (size_t i = 0; i < nr_own_fds; i++) {
        ck_assert_msg(fcntl(own_fds[i], F_GETFD) >= 0, "%s descriptor %d was closed", whose, own_fds[i]);
    }
}

START_TEST(a_file_of_the_same_kind_is_the_programs)
{
    char *base;

    open_and_list(backend->name);
    base = watch_pages(8);
    write_map(base, "####....");
    replace_all();
    alarm(20);
    if (_i) {
        /* The context notices, and opens its own descriptors again. */
        ww_count(ctx, base, 8 * page_size());
        expect_open("the program's");
    }
    ww_close(ctx);
    ctx = NULL;
    expect_open("the program's");
    alarm(0);
    memset(base, 2, 8 * page_size());
}
END_TEST

/* More than fd.c has marks, by which it tells files without a position apart. */
#define NR_EARLIER 70

START_TEST(a_number_is_another_contexts)
{
    struct ww_context *earlier[NR_EARLIER];

    for (size_t i = 0; i < NR_EARLIER; i++) {
        open_and_list(backend->name);
        for (size_t j = 0; j < nr_own_fds; j++) {
            close(own_fds[j]);
        }
        earlier[i] = ctx;
        ctx = NULL;
    }
    alarm(60);
    open_and_list(backend->name);
    for (size_t i = 0; i < NR_EARLIER; i++) {
        ww_close(earlier[i]);
        expect_open("the other context's");
    }
    expect_works(watch_pages(8));
    alarm(0);
}
END_TEST

/* The backend that is chosen without PAGEMAP_SCAN has threads, which the library makes while it holds no
 * lock: that a thread is missing for a moment must not make it choose another backend. */
START_TEST(the_choice_stays_though_descriptors_are_closed_twice)
{
    char *base, name[32];
    bool back = false;

    deny(SYS_ioctl, (unsigned int)PAGEMAP_SCAN, ENOTTY);
    unsetenv("WW_BACKEND");
    open_and_list(NULL);
    snprintf(name, sizeof(name), "%s", ww_backend_name(ctx));
    base = watch_pages(8);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < nr_own_fds; i++) {
            close(own_fds[i]);
        }
        for (int i = 0; i < 3; i++) {
            expect_nothing_lost(base);
        }
    }
    /* It may take a while until the library notices. */
    for (int tries = 0; tries < 20 && !back; tries++) {
        usleep(tries ? 100000 : 0);
        ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
        write_map(base, "#.......");
        back = ww_count(ctx, base, 8 * page_size()) == 1;
    }
    ck_assert_str_eq(ww_backend_name(ctx), name);
    expect_works(base);
}
END_TEST

void add_descriptor_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "descriptors");

    tcase_add_loop_test(tcase, a_program_closes_all_descriptors, 0, 2);
    tcase_add_loop_test(tcase, a_number_is_something_alike, 0, NR_THEIRS * NR_NUMBERS);
    tcase_add_loop_test(tcase, a_file_of_the_same_kind_is_the_programs, 0, 2);
    tcase_add_test(tcase, a_number_is_another_contexts);
    tcase_add_test(tcase, the_choice_stays_though_descriptors_are_closed_twice);
}
