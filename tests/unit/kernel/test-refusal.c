/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why a backend refuses. The tests make every step fail in every way that a sandbox has: by an errno, by
 * SIGSYS, by no answer at all. The reason must name the step and the errno, ww_open() must return the same
 * error, and the process must live on and not notice what was tried.
 *
 * Each test loads a seccomp filter into its own process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "refusal-test.h"

#define NOBODY 65534

static void expect_use(const char *backend)
{
    struct ww_context *ctx;
    char *base = map_pages(6);

    ck_assert_int_eq(ww_open(&ctx, backend), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 6 * page_size(), WW_WATCH_FRESH), 0);
    write_map(base, "#..#..");
    expect_map(ctx, base, "#..#..");
    ck_assert_int_eq(ww_reset(ctx, base, 6 * page_size()), 0);
    write_map(base, ".#.#..");
    expect_map(ctx, base, ".#.#..");
    ww_close(ctx);
}

/* ---- what the program sees of it ---- */

static atomic_int nr_signals, nr_forks;

static void count_signal(int sig)
{
    (void)sig;
    atomic_fetch_add(&nr_signals, 1);
}

static void count_fork(void)
{
    atomic_fetch_add(&nr_forks, 1);
}

/* A thread of the program that waits for any child. */
static void *wait_for_any(void *arg)
{
    *(pid_t *)arg = waitpid(-1, NULL, 0);
    return NULL;
}

START_TEST(the_program_notices_nothing)
{
    static const struct denial denied[] = { { SYS_userfaultfd, 0 }, { SYS_ioctl, USERFAULTFD_IOC_NEW } };
    pid_t child, seen = 0;
    pthread_t waiter;

    signal(SIGSYS, count_signal);
    signal(SIGCHLD, count_signal);
    pthread_atfork(count_fork, NULL, NULL);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        for (;;) {
            pause();
        }
    }
    ck_assert_int_eq(atomic_exchange(&nr_forks, 0), 1);
    ck_assert_int_eq(pthread_create(&waiter, NULL, wait_for_any, &seen), 0);
    if (close_filter(denied, 2, SECCOMP_RET_TRAP, 0)) {
        kill(child, SIGKILL);
        SKIP("seccomp: %s", strerror(errno));
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_lt(probe_backend("uffd").error, 0);
        expect_use(NULL);
    }
    ck_assert_int_eq(atomic_load(&nr_signals), 0);
    ck_assert_int_eq(atomic_load(&nr_forks), 0);
    kill(child, SIGKILL);
    pthread_join(waiter, NULL);
    ck_assert_int_eq(seen, child);
    /* The SIGCHLD of the program's own child. */
    ck_assert_int_eq(atomic_load(&nr_signals), 1);
    ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(nobody_waits_for_ever)
{
    static const struct denial denied[] = { { SYS_userfaultfd, 0 } };
    struct timespec began, ended;
    int listener = close_filter(denied, 1, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);

    if (listener < 0) {
        SKIP("seccomp with a listener: %s", strerror(errno));
    }
    expect_reason("uffd", -EPERM,
                  "userfaultfd(2) does not return: the supervisor of the seccomp filter does not answer");
    clock_gettime(CLOCK_MONOTONIC, &began);
    expect_use(NULL);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    /* The library waits for the supervisor only once in a process. */
    ck_assert_int_le(ended.tv_sec - began.tv_sec, 2);
    close(listener);
}
END_TEST

/* A supervisor that lets every call continue. */
static void *allow_all(void *arg)
{
    int listener = *(int *)arg;
    struct seccomp_notif request;

    for (;;) {
        struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

        memset(&request, 0, sizeof(request));
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request)) {
            continue;
        }
        answer.id = request.id;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    return NULL;
}

START_TEST(a_supervisor_may_allow_it)
{
    static const struct denial denied[] = { { SYS_userfaultfd, 0 } };
    pthread_t supervisor;
    int listener;

    if (!backend_works("uffd")) {
        SKIP("uffd does not work here");
    }
    listener = close_filter(denied, 1, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (listener < 0) {
        SKIP("seccomp with a listener: %s", strerror(errno));
    }
    ck_assert_int_eq(pthread_create(&supervisor, NULL, allow_all, &listener), 0);
    expect_use("uffd");
}
END_TEST

START_TEST(no_child_can_be_made)
{
    static const struct denial denied[] = { { SYS_clone, 0 } };

    if (close_filter(denied, 1, SECCOMP_RET_ERRNO | EAGAIN, 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    expect_reason("uffd", -EAGAIN,
                  "clone(2) fails (EAGAIN): no child can try what the seccomp filter allows");
    expect_reason("mprotect", -EAGAIN,
                  "clone(2) fails (EAGAIN): no child can try what the seccomp filter allows");
}
END_TEST

/* The system calls that a new thread takes: one makes it, the other unlocks its stack. */
static const struct denial of_threads[] = {
#ifdef SYS_clone3
    { SYS_clone3, 0 },
#endif
    { SYS_munlock, 0 },
};

START_TEST(a_filter_that_ends_who_makes_threads_ends_nothing)
{
    char *base = map_pages(6);
    struct ww_context *ctx;

    if (!backend_works("uffd")) {
        SKIP("uffd does not work here");
    }
    if (close_filter(&of_threads[_i], 1, SECCOMP_RET_KILL_PROCESS, 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    ck_assert_int_lt(probe_backend("uffd-sync").error, 0);
    expect_use("uffd");
    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 6 * page_size(), WW_WATCH_FRESH), 0);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, 6 * page_size(), put_nothing, NULL), -EAGAIN);
    write_map(base, ".#.#..");
    expect_map(ctx, base, ".#.#..");
    ww_close(ctx);
}
END_TEST

/* A filter that is loaded while a backend works, and makes it fail. */
START_TEST(a_filter_that_came_later)
{
    static const struct denial scan[] = { { SYS_ioctl, (unsigned int)PAGEMAP_SCAN } },
                               others[] = { { SYS_ioctl, (unsigned int)UFFDIO_REGISTER },
                                            { SYS_userfaultfd, 0 } };
    char *base = map_pages(6);
    struct ww_context *ctx;

    if (!backend_works("uffd")) {
        SKIP("uffd does not work here");
    }
    ck_assert_int_eq(ww_open(&ctx, "uffd"), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 6 * page_size(), WW_WATCH_FRESH), 0);
    write_map(base, "#..#..");
    if (close_filter(scan, 1, SECCOMP_RET_ERRNO | ENOSYS, 0) ||
        close_filter(others, 2, SECCOMP_RET_TRAP, 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    expect_map(ctx, base, "#??#??");
    write_map(base, ".#....");
    expect_map(ctx, base, "##?#??");
}
END_TEST

/* ---- /dev/userfaultfd ---- */

static bool become_nobody(void)
{
    return (geteuid() || (!setgid(NOBODY) && !setuid(NOBODY))) && !prctl(PR_SET_DUMPABLE, 1);
}

static const uint32_t denials[] = { SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ERRNO | ENOSYS,
                                    SECCOMP_RET_ERRNO | EACCES, SECCOMP_RET_TRAP, SECCOMP_RET_KILL_PROCESS };

START_TEST(the_device_does_where_the_call_is_denied)
{
    static const struct denial denied[] = { { SYS_userfaultfd, 0 } };

    if (!backend_works("uffd") || access("/dev/userfaultfd", R_OK | W_OK)) {
        SKIP("/dev/userfaultfd: %s", strerror(errno));
    }
    if (close_filter(denied, 1, denials[_i], 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    ck_assert_int_eq(probe_backend("uffd").error, 0);
    ck_assert_int_eq(probe_backend("uffd-sync").error, 0);
    expect_use("uffd");
    expect_use("uffd-sync");
}
END_TEST

START_TEST(the_remedy_names_the_device)
{
    static const struct denial denied[] = { { SYS_userfaultfd, 0 } };
    bool there = !access("/dev/userfaultfd", F_OK);

    if (!become_nobody() || !access("/dev/userfaultfd", R_OK | W_OK)) {
        SKIP("everybody may open /dev/userfaultfd");
    }
    if (close_filter(denied, 1, denials[_i], 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    ck_assert_ptr_nonnull(probe_backend("uffd").remedy);
    ck_assert_msg(!strstr(probe_backend("uffd").remedy, "let this user open /dev/userfaultfd") == !there,
                  "%s", probe_backend("uffd").remedy);
}
END_TEST

/* ---- without a filter ---- */

START_TEST(a_process_that_is_not_dumpable)
{
    if (!backend_works("uffd")) {
        SKIP("uffd does not work here");
    }
    if (!become_nobody() || prctl(PR_SET_DUMPABLE, 0)) {
        SKIP("it cannot become another user");
    }
    expect_reason("uffd", -EACCES,
                  "/proc/self/pagemap cannot be opened (EACCES): the process is not dumpable");
    expect_reason("softdirty", -EACCES,
                  "/proc/self/pagemap cannot be opened (EACCES): the process is not dumpable");
    /* The process may still read its /proc/self/maps. */
    ck_assert_int_eq(probe_backend("mprotect").error, 0);
}
END_TEST

START_TEST(there_is_no_proc)
{
    char path[] = "/tmp/writewatch-XXXXXX";

    if (!backend_works("uffd")) {
        SKIP("uffd does not work here");
    }
    if ((geteuid() && unshare(CLONE_NEWUSER)) || !mkdtemp(path) || chroot(path)) {
        SKIP("no right to change the root directory");
    }
    rmdir("/");
    expect_reason("uffd", -ENOENT,
                  "/proc/self/pagemap cannot be opened (ENOENT): there is no /proc, or the kernel has no "
                  "CONFIG_PROC_PAGE_MONITOR");
    expect_reason("mprotect", -ENOENT, "/proc/self/maps cannot be opened (ENOENT): there is no /proc");
}
END_TEST

static void remove_roots(void)
{
    if (system("rmdir /tmp/writewatch-?????? 2>/dev/null") < 0) {
        perror("rmdir");
    }
}

/* Leaves exactly @spare descriptors free. */
static void limit_descriptors(int spare)
{
    struct rlimit limit = { .rlim_cur = 0 };
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    for (int below = 0; below < fd; below++) {
        /* Free numbers below @fd would count as well. */
        if (fcntl(below, F_GETFD) < 0) {
            ck_assert_int_eq(dup2(fd, below), below);
        }
    }
    close(fd);
    limit.rlim_cur = limit.rlim_max = fd + spare;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

START_TEST(no_descriptor_is_free)
{
    if (!backend_works("uffd")) {
        SKIP("uffd does not work here");
    }
    limit_descriptors(_i);
    expect_reason(
        "uffd", -EMFILE,
        _i ? "/proc/self/pagemap cannot be opened (EMFILE): no file descriptor is free in this process"
           : "userfaultfd(2) fails (EMFILE): no file descriptor is free in this process");
    ck_assert_str_eq(probe_backend("uffd").remedy, "raise ulimit -n");
}
END_TEST

/* Every limit of a process that ends in a refusal. */
static const struct {
    int resource;
    rlim_t limit;
    bool locks; /* all memory, also what is mapped later */
    const char *backend, *reason, *remedy;
    int error;
} limits[] = {
    { RLIMIT_AS, 0, false, "uffd", "mmap(2) fails (ENOMEM): no memory is left, or no mapping",
      "raise ulimit -v, or vm.max_map_count, or the memory of the container", -ENOMEM },
    { RLIMIT_AS, 0, false, "uffd-sync", "mmap(2) fails (ENOMEM): no memory is left, or no mapping",
      "raise ulimit -v, or vm.max_map_count, or the memory of the container", -ENOMEM },
    { RLIMIT_AS, 0, false, "mprotect", "mmap(2) fails (ENOMEM): no memory is left, or no mapping",
      "raise ulimit -v, or vm.max_map_count, or the memory of the container", -ENOMEM },
    { RLIMIT_AS, 0, false, "softdirty", "mmap(2) fails (ENOMEM): no memory is left, or no mapping",
      "raise ulimit -v, or vm.max_map_count, or the memory of the container", -ENOMEM },
    { RLIMIT_MEMLOCK, 0, true, "uffd", "mmap(2) fails (EAGAIN): no more memory may be locked",
      "raise ulimit -l", -ENOMEM },
    { RLIMIT_MEMLOCK, 0, true, "uffd-sync", "mmap(2) fails (EAGAIN): no more memory may be locked",
      "raise ulimit -l", -ENOMEM },
    { RLIMIT_MEMLOCK, 0, true, "mprotect", "mmap(2) fails (EAGAIN): no more memory may be locked",
      "raise ulimit -l", -ENOMEM },
    { RLIMIT_NPROC, 0, false, "uffd-sync", "pthread_create(3) fails (EAGAIN): no more threads may be started",
      "raise ulimit -u, or pids.max of the container", -EAGAIN },
};

START_TEST(a_limit_is_named)
{
    struct rlimit limit = { .rlim_cur = limits[_i].limit, .rlim_max = limits[_i].limit };
    struct ww_probe said;
    struct ww_context *ctx;

    if (!backend_works(limits[_i].backend) && strcmp(limits[_i].backend, "softdirty") != 0) {
        SKIP("%s does not work here", limits[_i].backend);
    }
    if (limits[_i].resource != RLIMIT_AS && !become_nobody()) {
        SKIP("it cannot become another user");
    }
    if (limits[_i].locks) {
        NOT_UNDER_ASAN("its mlockall() does nothing");
    }
    if (limits[_i].locks && mlockall(MCL_CURRENT | MCL_FUTURE)) {
        SKIP("mlockall: %s", strerror(errno));
    }
    ck_assert_int_eq(setrlimit(limits[_i].resource, &limit), 0);
    said = probe_backend(limits[_i].backend);
    ck_assert_msg(said.error == limits[_i].error && !strcmp(said.reason, limits[_i].reason), "%s: %d, \"%s\"",
                  said.name, said.error, said.reason);
    ck_assert_str_eq(said.remedy, limits[_i].remedy);
    ck_assert_int_eq(ww_open(&ctx, limits[_i].backend), limits[_i].error);
}
END_TEST

/* The kernel takes the highest address that is free: fills what is free above the range. */
static bool fill_above(const char *base, size_t len)
{
    size_t three = 3 * page_size();

    for (int i = 0; i < 100000; i++) {
        char *area = mmap(NULL, three, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (area == MAP_FAILED) {
            return false;
        }
        if (area >= base && area < base + len) {
            return !munmap(area, three);
        }
    }
    return false;
}

/* The self test's memory comes to lie where the program has unmapped memory without a word. */
START_TEST(watched_memory_that_was_unmapped_is_named)
{
    static const size_t nr = 4096;
    char *base = map_pages(nr);
    struct ww_context *ctx;

    ck_assert_int_eq(ww_open(&ctx, "mprotect"), 0);
    ck_assert_int_eq(ww_watch(ctx, base, nr * page_size(), WW_WATCH_FRESH), 0);
    ck_assert_int_eq(munmap(base, nr * page_size()), 0);
    if (!fill_above(base, nr * page_size())) {
        SKIP("the kernel takes other addresses");
    }
    expect_reason("mprotect", -EBUSY, "memory was unmapped that is still watched, and is in use again");
    ck_assert_str_eq(probe_backend("mprotect").remedy, "end a watch before its memory is unmapped");
}
END_TEST

/* ---- madvise(2), without which no page is wiped at a fork ---- */

START_TEST(a_fork_is_noticed_where_no_page_is_wiped)
{
    static const struct denial denied[] = { { SYS_madvise, MADV_WIPEONFORK } };
    char *base = map_pages(6);
    struct ww_context *ctx;
    void *pages[6];
    int status;
    pid_t child;

    if (close_filter(denied, 1, SECCOMP_RET_ERRNO | EPERM, 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 6 * page_size(), WW_WATCH_FRESH), 0);
    child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    ck_assert_int_ge(child, 0);
    if (!child) {
        _exit(ww_get_pages(ctx, base, 6 * page_size(), 0, pages, 6) != -ECHILD);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    write_map(base, "#..#..");
    expect_map(ctx, base, "#..#..");
    ww_close(ctx);
}
END_TEST

/* ---- what the search for filters costs ---- */

static long faults_of_children(void)
{
    struct rusage usage;

    ck_assert_int_eq(getrusage(RUSAGE_CHILDREN, &usage), 0);
    return usage.ru_minflt;
}

/* A child that was waited for leaves its page faults. */
START_TEST(no_child_is_made_without_a_filter)
{
    static const struct denial denied[] = { { SYS_userfaultfd, 0 } };
    long before = faults_of_children();
    struct ww_context *ctx;

    if (prctl(PR_GET_SECCOMP)) {
        SKIP("a filter is in force already");
    }
    for (int with_filter = 0; with_filter < 2; with_filter++) {
        ck_assert_int_ge(ww_probe(NULL, 0), 1);
        probe_backend("uffd");
        ck_assert_int_eq(ww_open(&ctx, NULL), 0);
        ww_close(ctx);
        ck_assert_int_eq(faults_of_children() > before, with_filter);
        if (!with_filter && close_filter(denied, 1, SECCOMP_RET_ALLOW, 0)) {
            SKIP("seccomp: %s", strerror(errno));
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refusal");
    TCase *tcase = tcase_create("refusal");

    unsetenv("WW_BACKEND");
    nr_backends = find_backends(backends, 0);
    tcase_set_timeout(tcase, 30);
    tcase_add_unchecked_fixture(tcase, NULL, remove_roots);
    tcase_add_test(tcase, the_program_notices_nothing);
    tcase_add_test(tcase, nobody_waits_for_ever);
    tcase_add_test(tcase, a_supervisor_may_allow_it);
    tcase_add_test(tcase, no_child_can_be_made);
    tcase_add_loop_test(tcase, a_filter_that_ends_who_makes_threads_ends_nothing, 0,
                        sizeof(of_threads) / sizeof(of_threads[0]));
    tcase_add_test(tcase, a_filter_that_came_later);
    tcase_add_loop_test(tcase, the_device_does_where_the_call_is_denied, 0,
                        sizeof(denials) / sizeof(denials[0]));
    tcase_add_loop_test(tcase, the_remedy_names_the_device, 0, sizeof(denials) / sizeof(denials[0]));
    tcase_add_test(tcase, a_process_that_is_not_dumpable);
    tcase_add_test(tcase, there_is_no_proc);
    tcase_add_loop_test(tcase, no_descriptor_is_free, 0, 2);
    tcase_add_loop_test(tcase, a_limit_is_named, 0, sizeof(limits) / sizeof(limits[0]));
    tcase_add_test(tcase, watched_memory_that_was_unmapped_is_named);
    tcase_add_test(tcase, a_fork_is_noticed_where_no_page_is_wiped);
    tcase_add_test(tcase, no_child_is_made_without_a_filter);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, tcase_of_reasons());
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
