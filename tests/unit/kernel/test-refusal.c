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
#include <linux/filter.h>
#include <linux/seccomp.h>
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

#include "kernel/uapi.h"
#include "backends.h"

#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif
#ifndef SECCOMP_RET_USER_NOTIF
#define SECCOMP_RET_USER_NOTIF 0x7fc00000U
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

#define NOBODY 65534

#define SKIP(...)                                                                                            \
    do {                                                                                                     \
        printf("SKIP: ");                                                                                    \
        printf(__VA_ARGS__);                                                                                 \
        printf("\n");                                                                                        \
        return;                                                                                              \
    } while (0)

/* ww_probe() must give this error and reason for the backend, and ww_open() must return the error. */
static void expect_reason(const char *backend, int error, const char *reason)
{
    struct ww_probe said = probe_backend(backend);
    struct ww_context *ctx;

    ck_assert_msg(said.error == error && !strcmp(said.reason, reason),
                  "%s: %d, \"%s\" in place of %d, \"%s\"", backend, said.error, said.reason, error, reason);
    ck_assert_int_eq(ww_open(&ctx, backend), error);
}

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

/* ---- filters ---- */

#define NR_DENIED 2

struct denial {
    long call;
    unsigned int request; /* of an ioctl; 0: any */
};

/* From now on answers these calls by @action. @flags are those of seccomp(2). Returns a listener, 0, or
 * -1. */
static int close_filter(const struct denial *denied, size_t nr, uint32_t action, unsigned int flags)
{
    struct sock_filter code[NR_DENIED * 6 + 1];
    struct sock_fprog program = { .filter = code };

    for (size_t i = 0; i < nr; i++) {
        struct sock_filter one[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, denied[i].call, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
            BPF_JUMP(BPF_JMP | (denied[i].request ? BPF_JEQ : BPF_JGE) | BPF_K, denied[i].request, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, action),
        };

        memcpy(code + program.len, one, sizeof(one));
        program.len += sizeof(one) / sizeof(one[0]);
    }
    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
               ? -1
               : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* The calls that fail, the backend that makes them, and how its reason names the step. The device is a second
 * way to a userfaultfd. */
static const struct {
    struct denial denied[NR_DENIED];
    const char *backend, *what;
    bool is_file;
} steps[] = {
    { { { SYS_userfaultfd, 0 }, { SYS_ioctl, USERFAULTFD_IOC_NEW } }, "uffd", "userfaultfd(2)", false },
    { { { SYS_userfaultfd, 0 }, { SYS_ioctl, USERFAULTFD_IOC_NEW } }, "uffd-sync", "userfaultfd(2)", false },
    { { { SYS_ioctl, (unsigned int)UFFDIO_API } }, "uffd", "UFFDIO_API", false },
    { { { SYS_ioctl, (unsigned int)UFFDIO_API } }, "uffd-sync", "UFFDIO_API", false },
    { { { SYS_ioctl, (unsigned int)UFFDIO_REGISTER } }, "uffd", "UFFDIO_REGISTER", false },
    { { { SYS_ioctl, (unsigned int)UFFDIO_REGISTER } }, "uffd-sync", "UFFDIO_REGISTER", false },
    { { { SYS_ioctl, (unsigned int)UFFDIO_WRITEPROTECT } }, "uffd-sync", "UFFDIO_WRITEPROTECT", false },
    { { { SYS_ioctl, (unsigned int)UFFDIO_COPY } }, "uffd-sync", "UFFDIO_COPY", false },
    { { { SYS_ioctl, (unsigned int)PAGEMAP_SCAN } }, "uffd", "PAGEMAP_SCAN", false },
    { { { SYS_openat, 0 } }, "uffd", "/proc/self/pagemap", true },
    { { { SYS_openat, 0 } }, "softdirty", "/proc/self/pagemap", true },
    { { { SYS_openat, 0 } }, "mprotect", "reading /proc/self/maps", false },
    { { { SYS_mprotect, 0 } }, "mprotect", "mprotect(2)", false },
    { { { SYS_rt_sigaction, 0 } }, "mprotect", "sigaction(2)", false },
    { { { SYS_epoll_create1, 0 } }, "uffd-sync", "epoll_create(2)", false },
    { { { SYS_pread64, 0 } }, "softdirty", "pread(2) of /proc/self/pagemap", false },
};
#define NR_STEPS (sizeof(steps) / sizeof(steps[0]))

static bool can_fail(int step)
{
    return backend_works(steps[step].backend) || !strcmp(steps[step].backend, "softdirty");
}

static size_t nr_denied(int step)
{
    return steps[step].denied[1].call ? 2 : 1;
}

static const struct {
    int error;
    const char *name;
    int returned;
} errors[] = {
    { EPERM, "EPERM", -EPERM },    { ENOENT, "ENOENT", -ENOENT },      { EACCES, "EACCES", -EACCES },
    { EIO, "EIO", -EIO },          { ENOMEM, "ENOMEM", -ENOMEM },      { EINVAL, "EINVAL", -EOPNOTSUPP },
    { EMFILE, "EMFILE", -EMFILE }, { ENFILE, "ENFILE", -ENFILE },      { ENOTTY, "ENOTTY", -ENOTTY },
    { ENOSYS, "ENOSYS", -ENOSYS }, { EUCLEAN, "errno 117", -EUCLEAN },
};
#define NR_ERRORS (sizeof(errors) / sizeof(errors[0]))

/* Compares the reason up to the colon. What follows it depends on step and errno as well. */
START_TEST(a_reason_names_step_and_errno)
{
    int step = _i / NR_ERRORS, error = _i % NR_ERRORS;
    char wanted[256];
    struct ww_context *ctx;
    struct ww_probe said;

    if (!can_fail(step)) {
        SKIP("%s does not work here", steps[step].backend);
    }
    if (close_filter(steps[step].denied, nr_denied(step), SECCOMP_RET_ERRNO | errors[error].error, 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    snprintf(wanted, sizeof(wanted), "%s %s (%s)", steps[step].what,
             steps[step].is_file ? "cannot be opened" : "fails", errors[error].name);
    said = probe_backend(steps[step].backend);
    ck_assert_msg(said.error == errors[error].returned, "%s: %d, \"%s\"", wanted, said.error, said.reason);
    ck_assert_msg(!strncmp(said.reason, wanted, strlen(wanted)), "\"%s\" in place of \"%s\"", said.reason,
                  wanted);
    ck_assert(!said.reason[strlen(wanted)] || said.reason[strlen(wanted)] == ':');
    ck_assert_int_eq(ww_open(&ctx, steps[step].backend), said.error);
    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
    ww_close(ctx);
}
END_TEST

static const uint32_t ends[] = { SECCOMP_RET_TRAP, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL };
#define NR_ENDS (sizeof(ends) / sizeof(ends[0]))

/* If the library took such a step in this process, the filter would end it. */
START_TEST(a_filter_that_ends_programs_ends_nothing)
{
    int step = _i / NR_ENDS;
    char wanted[256];

    if (!can_fail(step)) {
        SKIP("%s does not work here", steps[step].backend);
    }
    if (close_filter(steps[step].denied, nr_denied(step), ends[_i % NR_ENDS], 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    snprintf(wanted, sizeof(wanted), "a seccomp filter ends programs that use %s", steps[step].what);
    expect_reason(steps[step].backend, -EPERM, wanted);
    /* Without openat() other code in the process may fail, a sanitizer's runtime for one. */
    if (steps[step].denied[0].call != SYS_openat) {
        struct ww_context *ctx;

        ck_assert_int_eq(ww_open(&ctx, NULL), 0);
        ww_close(ctx);
    }
}
END_TEST

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
    expect_reason("mprotect", -ENOENT, "reading /proc/self/maps fails (ENOENT): there is no /proc");
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

int main(void)
{
    Suite *suite = suite_create("refusal");
    TCase *tcase = tcase_create("refusal");

    unsetenv("WW_BACKEND");
    nr_backends = find_backends(backends, 0);
    tcase_set_timeout(tcase, 30);
    tcase_add_unchecked_fixture(tcase, NULL, remove_roots);
    tcase_add_loop_test(tcase, a_reason_names_step_and_errno, 0, NR_STEPS * NR_ERRORS);
    tcase_add_loop_test(tcase, a_filter_that_ends_programs_ends_nothing, 0, NR_STEPS * NR_ENDS);
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
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
