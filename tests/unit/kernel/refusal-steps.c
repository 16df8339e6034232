/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every step that can fail, with every errno. A seccomp filter answers the step's system call, and the reason
 * must name the step and that errno, and give the meaning and the remedy of this pair and of no other. Pairs
 * that no backend refuses for stand in the table of steps, each with what happens instead.
 *
 * Steps without a row: UFFDIO_CONTINUE, UFFDIO_WAKE, UFFDIO_UNREGISTER and pwrite(2) cost at most a
 * capability. A descriptor that the program closes, a kernel that loses bits, wrong answers and the limits of
 * a process have tests of their own in test-refusal.c, or no test where only another kernel shows them.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "context.h"
#include "kernel/advice.h"
#include "refusal-test.h"

/* ---- errors ---- */

#define NAME(error)                                                                                          \
    {                                                                                                        \
        error, #error                                                                                        \
    }

/* Those that the library knows by name. */
static const struct {
    int error;
    const char *name;
} errors[] = {
    NAME(EPERM),     NAME(ENOENT),       NAME(ESRCH),        NAME(EINTR),     NAME(EIO),
    NAME(ENXIO),     NAME(E2BIG),        NAME(EBADF),        NAME(ECHILD),    NAME(EAGAIN),
    NAME(ENOMEM),    NAME(EACCES),       NAME(EFAULT),       NAME(EBUSY),     NAME(EEXIST),
    NAME(ENODEV),    NAME(ENOTDIR),      NAME(EISDIR),       NAME(EINVAL),    NAME(ENFILE),
    NAME(EMFILE),    NAME(ENOTTY),       NAME(EFBIG),        NAME(ENOSPC),    NAME(ESPIPE),
    NAME(EROFS),     NAME(EPIPE),        NAME(ERANGE),       NAME(EDEADLK),   NAME(ENOSYS),
    NAME(ELOOP),     NAME(EPROTO),       NAME(EOPNOTSUPP),   NAME(EOVERFLOW), NAME(ETIMEDOUT),
    NAME(ECANCELED), NAME(ECONNREFUSED), NAME(EKEYREJECTED), NAME(ENOKEY),    NAME(EUSERS),
    NAME(EDQUOT),    NAME(ENODATA),
};
#define NR_ERRORS (sizeof(errors) / sizeof(errors[0]))

#define LAST_ERROR 133

static const char *name_of(int error, char ret_number[16])
{
    for (size_t i = 0; i < NR_ERRORS; i++) {
        if (errors[i].error == error) {
            return errors[i].name;
        }
    }
    snprintf(ret_number, 16, "errno %d", error);
    return ret_number;
}

/* ---- steps ---- */

#define UFFD_FLAGS (O_CLOEXEC | O_NONBLOCK)

/* Lists of errors that end with 0. */
#define ERRORS(...)                                                                                          \
    (const int[])                                                                                            \
    {                                                                                                        \
        __VA_ARGS__, 0                                                                                       \
    }

enum kind { CALL, CALL_FOR_FD, REQUEST, A_FILE };

struct step {
    enum ww_step step;
    enum kind kind;
    const char *backend, *what;
    struct denial denied[NR_DENIED];
    /* What is denied besides, so that the step is taken. */
    struct denial before[NR_DENIED];
    int before_error;
    const int *only; /* the backend refuses for these alone; without the step it works, or takes another */
    const int *accepted; /* the same for all but these */
    const int *retried;  /* the step is taken again until it has another result */
    struct {
        int from, to;
    } renamed; /* what the library returns for an error of the kernel's, or the C library does */
    bool everybody_needs_it; /* a filter that ends who takes the step ends every program */
};

#define UFFD_ONLY_BY_CALL                                                                                    \
    .before = { { SYS_ioctl, USERFAULTFD_IOC_NEW }, { SYS_userfaultfd, UFFD_FLAGS } }, .before_error = EPERM

static const struct step steps[] = {
    { WW_STEP_CLONE, CALL, "uffd", "clone(2)", .denied = { { SYS_clone, 0 } }, .everybody_needs_it = true },
    { WW_STEP_MEMORY, CALL, "uffd", "mmap(2)", .denied = { { SYS_mmap, 0 } }, .everybody_needs_it = true },
#ifdef SYS_newfstatat
    { WW_STEP_FSTAT, CALL, "uffd", "fstat(2)", .denied = { { SYS_newfstatat, 0 }, { SYS_fstat, 0 } } },
    { WW_STEP_FSTAT, CALL, "uffd-sync", "fstat(2)", .denied = { { SYS_newfstatat, 0 }, { SYS_fstat, 0 } } },
    { WW_STEP_FSTAT, CALL, "softdirty", "fstat(2)", .denied = { { SYS_newfstatat, 0 }, { SYS_fstat, 0 } } },
#endif
    /* The device is a second way to a userfaultfd. */
    { WW_STEP_USERFAULTFD, CALL_FOR_FD, "uffd", "userfaultfd(2)",
      .denied = { { SYS_userfaultfd, 0 }, { SYS_ioctl, USERFAULTFD_IOC_NEW } } },
    { WW_STEP_USERFAULTFD, CALL_FOR_FD, "uffd-sync", "userfaultfd(2)",
      .denied = { { SYS_userfaultfd, 0 }, { SYS_ioctl, USERFAULTFD_IOC_NEW } } },
    /* The third way is the call for user mode only, which a kernel before 5.11 does not know. A shortage is
     * one of the first way, and so is what that kernel does not know either. */
    { WW_STEP_FULL_ONLY, CALL_FOR_FD, "uffd-sync", "userfaultfd(2)",
      .denied = { { SYS_userfaultfd, UFFD_FLAGS } },
      .before = { { SYS_userfaultfd, UFFD_FLAGS | UFFD_USER_MODE_ONLY }, { SYS_ioctl, USERFAULTFD_IOC_NEW } },
      .before_error = EINVAL, .accepted = ERRORS(EINVAL, EMFILE, ENFILE, ENOMEM) },
    { WW_STEP_DEVICE_FILE, A_FILE, "uffd", "/dev/userfaultfd",
      .denied = { { SYS_openat, O_RDWR | O_CLOEXEC } }, .before = { { SYS_userfaultfd, 0 } },
      .before_error = EPERM, .only = ERRORS(EMFILE, ENFILE, ENOMEM), .retried = ERRORS(EINTR) },
    { WW_STEP_DEVICE, CALL_FOR_FD, "uffd", "USERFAULTFD_IOC_NEW of /dev/userfaultfd",
      .denied = { { SYS_ioctl, USERFAULTFD_IOC_NEW } }, .before = { { SYS_userfaultfd, 0 } },
      .before_error = EPERM, .only = ERRORS(EMFILE, ENFILE, ENOMEM) },
    { WW_STEP_API_ASYNC, REQUEST, "uffd", "UFFDIO_API",
      .denied = { { SYS_ioctl, (unsigned int)UFFDIO_API } } },
    { WW_STEP_API_WP, REQUEST, "uffd-sync", "UFFDIO_API",
      .denied = { { SYS_ioctl, (unsigned int)UFFDIO_API } } },
    { WW_STEP_REGISTER, REQUEST, "uffd", "UFFDIO_REGISTER",
      .denied = { { SYS_ioctl, (unsigned int)UFFDIO_REGISTER } } },
    { WW_STEP_REGISTER, REQUEST, "uffd-sync", "UFFDIO_REGISTER",
      .denied = { { SYS_ioctl, (unsigned int)UFFDIO_REGISTER } } },
    { WW_STEP_WRITEPROTECT, REQUEST, "uffd-sync", "UFFDIO_WRITEPROTECT",
      .denied = { { SYS_ioctl, (unsigned int)UFFDIO_WRITEPROTECT } }, .retried = ERRORS(EAGAIN, EINTR) },
    /* Without these two, the uffd backend tracks and does not fill. */
    { WW_STEP_COPY, REQUEST, "uffd", "UFFDIO_COPY", .denied = { { SYS_ioctl, (unsigned int)UFFDIO_COPY } },
      .only = ERRORS(ENOMEM), .retried = ERRORS(EAGAIN, EINTR) },
    { WW_STEP_POISON, REQUEST, "uffd", "UFFDIO_POISON",
      .denied = { { SYS_ioctl, (unsigned int)UFFDIO_POISON } }, .only = ERRORS(ENOMEM),
      .retried = ERRORS(EAGAIN, EINTR) },
    { WW_STEP_COPY, REQUEST, "uffd-sync", "UFFDIO_COPY",
      .denied = { { SYS_ioctl, (unsigned int)UFFDIO_COPY } }, .retried = ERRORS(EAGAIN, EINTR) },
    /* A page that exists needs no page of zeros. */
    { WW_STEP_ZEROPAGE, REQUEST, "uffd-sync", "UFFDIO_ZEROPAGE",
      .denied = { { SYS_ioctl, (unsigned int)UFFDIO_ZEROPAGE } }, UFFD_ONLY_BY_CALL,
      .accepted = ERRORS(EEXIST), .retried = ERRORS(EAGAIN, EINTR) },
    { WW_STEP_PAGEMAP, A_FILE, "uffd", "/proc/self/pagemap", .denied = { { SYS_openat, 0 } },
      .retried = ERRORS(EINTR) },
    { WW_STEP_PAGEMAP, A_FILE, "softdirty", "/proc/self/pagemap", .denied = { { SYS_openat, 0 } },
      .retried = ERRORS(EINTR) },
    { WW_STEP_PREAD, CALL, "softdirty", "pread(2) of /proc/self/pagemap", .denied = { { SYS_pread64, 0 } },
      .retried = ERRORS(EINTR) },
    { WW_STEP_SCAN, REQUEST, "uffd", "PAGEMAP_SCAN", .denied = { { SYS_ioctl, (unsigned int)PAGEMAP_SCAN } },
      .retried = ERRORS(EAGAIN, EINTR) },
    /* This backend reads entry by entry where it cannot scan. */
    { WW_STEP_SCAN, REQUEST, "softdirty", "PAGEMAP_SCAN",
      .denied = { { SYS_ioctl, (unsigned int)PAGEMAP_SCAN } }, .only = ERRORS(ENOMEM),
      .retried = ERRORS(EAGAIN, EINTR) },
    { WW_STEP_CLEAR_REFS, A_FILE, "softdirty", "/proc/self/clear_refs",
      .denied = { { SYS_openat, O_WRONLY | O_CLOEXEC } }, .retried = ERRORS(EINTR) },
    { WW_STEP_MAPS, A_FILE, "mprotect", "/proc/self/maps", .denied = { { SYS_openat, 0 } },
      .retried = ERRORS(EINTR) },
    { WW_STEP_READ_MAPS, CALL, "mprotect", "read(2) of /proc/self/maps", .denied = { { SYS_read, 0 } },
      .retried = ERRORS(EINTR), .everybody_needs_it = true },
    { WW_STEP_MADVISE, CALL, "uffd-sync", "madvise(2)", .denied = { { SYS_madvise, MADV_WIPEONFORK } } },
    /* EINVAL: there are no huge pages. ENOMEM: all that is mapped was advised. EAGAIN is what the kernel
     * calls a lack of memory here. */
    { WW_STEP_MADVISE, CALL, "uffd-sync", "madvise(2)", .denied = { { SYS_madvise, MADV_NOHUGEPAGE } },
      .accepted = ERRORS(EINVAL, ENOMEM), .renamed = { EAGAIN, ENOMEM } },
    { WW_STEP_MPROTECT, CALL, "mprotect", "mprotect(2)", .denied = { { SYS_mprotect, 0 } } },
    { WW_STEP_SIGACTION, CALL, "mprotect", "sigaction(2)", .denied = { { SYS_rt_sigaction, 0 } } },
    { WW_STEP_EPOLL, CALL_FOR_FD, "uffd-sync", "epoll_create(2)", .denied = { { SYS_epoll_create1, 0 } } },
    { WW_STEP_EPOLL_CTL, CALL, "uffd-sync", "epoll_ctl(2)", .denied = { { SYS_epoll_ctl, 0 } } },
#ifdef SYS_clone3
    /* The C library then tries clone(), and has its own name for a lack of memory. */
    { WW_STEP_THREAD, CALL, "uffd-sync", "pthread_create(3)", .denied = { { SYS_clone3, 0 } },
      .accepted = ERRORS(ENOSYS), .renamed = { ENOMEM, EAGAIN } },
#endif
};
#define NR_STEPS (sizeof(steps) / sizeof(steps[0]))

static bool has(const int *list, int error)
{
    for (; list && *list; list++) {
        if (*list == error) {
            return true;
        }
    }
    return false;
}

static size_t nr_of(const struct denial *denied)
{
    size_t nr = 1; /* the first call may be 0, which is read(2) */

    while (nr < NR_DENIED && denied[nr].call) {
        nr++;
    }
    return nr;
}

static bool can_fail(const struct step *step)
{
    return backend_works(step->backend) || !strcmp(step->backend, "softdirty");
}

/* Denies what the row denies besides. */
static bool prepare(const struct step *step)
{
    return !step->before_error ||
           !close_filter(step->before, nr_of(step->before), SECCOMP_RET_ERRNO | step->before_error, 0);
}

/* ---- what an errno means at a step ---- */

#define ALLOW_CALL "allow this system call in the seccomp profile of the container or sandbox"
#define ALLOW_REQUEST "allow this ioctl in the seccomp profile of the sandbox"
#define NEWER_KERNEL "use kernel 6.8.10 or newer"
#define NO_PAGEMAP "there is no /proc, or the kernel has no CONFIG_PROC_PAGE_MONITOR"
#define WITH_PAGEMAP "mount /proc, or use a kernel with CONFIG_PROC_PAGE_MONITOR"
#define NO_DUMP "the process is not dumpable"
#define BE_DUMPABLE "let the process be dumpable when it starts"
#define MORE_PROCESSES "raise ulimit -u, or pids.max of the container"

struct meaning {
    int step, error; /* 0: any other error; of a kind: a kind */
    const char *meaning, *remedy;
};

static const struct meaning meanings[] = {
    { WW_STEP_CLONE, EAGAIN, "no child can try what the seccomp filter allows", MORE_PROCESSES },
    { WW_STEP_CLONE, 0, "no child can try what the seccomp filter allows", NULL },
    { WW_STEP_MEMORY, EAGAIN, "no more memory may be locked", "raise ulimit -l" },
    { WW_STEP_MEMORY, ENOMEM, "no memory is left, or no mapping",
      "raise ulimit -v, or vm.max_map_count, or the memory of the container" },
    { WW_STEP_FSTAT, EBADF, "the program has closed a descriptor of the library's", NULL },
    { WW_STEP_FSTAT, 0, "the library cannot tell its files from the program's", NULL },
    { WW_STEP_USERFAULTFD, EPERM, "the seccomp profile of a container or sandbox denies it",
      "allow userfaultfd in the seccomp profile of the container or sandbox" },
    { WW_STEP_USERFAULTFD, ENOSYS, "the kernel, or a seccomp profile, does not offer it",
      "use a kernel with CONFIG_USERFAULTFD, or allow userfaultfd in the seccomp profile of the sandbox" },
    { WW_STEP_USERFAULTFD, EACCES, "a security policy denies it",
      "allow userfaultfd in the policy of the system or sandbox" },
    { WW_STEP_FULL_ONLY, EPERM, "before kernel 5.11 it takes a privilege",
      "set vm.unprivileged_userfaultfd to 1, or allow userfaultfd in the seccomp profile of the sandbox" },
    { WW_STEP_API_ASYNC, EINVAL, "the kernel cannot track writes by userfaultfd (WP_ASYNC)", NEWER_KERNEL },
    { WW_STEP_API_WP, EINVAL, "the kernel cannot protect pages by userfaultfd", "use kernel 5.7 or newer" },
    { WW_STEP_REGISTER, EINVAL, "the kernel cannot protect pages by userfaultfd", "use kernel 5.7 or newer" },
    { WW_STEP_PAGEMAP, ENOENT, NO_PAGEMAP, WITH_PAGEMAP },
    { WW_STEP_PAGEMAP, EACCES, NO_DUMP, BE_DUMPABLE },
    { WW_STEP_SCAN, ENOTTY, "the kernel has no such request", NEWER_KERNEL },
    { WW_STEP_CLEAR_REFS, ENOENT, NO_PAGEMAP, WITH_PAGEMAP },
    { WW_STEP_CLEAR_REFS, EACCES, NO_DUMP, BE_DUMPABLE },
    { WW_STEP_MAPS, ENOENT, "there is no /proc", "mount /proc" },
    { WW_STEP_MAPS, EACCES, NO_DUMP, BE_DUMPABLE },
    { WW_STEP_THREAD, EAGAIN, "no more threads may be started", MORE_PROCESSES },
};

static const struct meaning kind_meanings[] = {
    { CALL, EPERM, "a sandbox denies it", ALLOW_CALL },
    { CALL, EACCES, "a sandbox denies it", ALLOW_CALL },
    { CALL, ENOSYS, "a sandbox denies it", ALLOW_CALL },
    { CALL_FOR_FD, EPERM, "a sandbox denies it", ALLOW_CALL },
    { CALL_FOR_FD, EACCES, "a sandbox denies it", ALLOW_CALL },
    { CALL_FOR_FD, ENOSYS, "a sandbox denies it", ALLOW_CALL },
    { CALL_FOR_FD, EMFILE, "no file descriptor is free in this process", "raise ulimit -n" },
    { CALL_FOR_FD, ENFILE, "no file descriptor is free in this system", "raise fs.file-max" },
    { REQUEST, EPERM, "a sandbox denies this request", ALLOW_REQUEST },
    { REQUEST, EACCES, "a sandbox denies this request", ALLOW_REQUEST },
    { REQUEST, ENOSYS, "a sandbox denies this request", ALLOW_REQUEST },
    { A_FILE, EPERM, "a sandbox denies it", "allow this file in the sandbox" },
    { A_FILE, ENOSYS, "a sandbox denies it", "allow this file in the sandbox" },
    { A_FILE, EMFILE, "no file descriptor is free in this process", "raise ulimit -n" },
    { A_FILE, ENFILE, "no file descriptor is free in this system", "raise fs.file-max" },
};

static const struct meaning *find(const struct meaning *list, size_t nr, int step, int error)
{
    for (size_t i = 0; i < nr; i++) {
        if (list[i].step == step && list[i].error == error) {
            return &list[i];
        }
    }
    return NULL;
}

/* NULL: the reason ends with the errno, and there is no remedy. */
static const struct meaning *meaning_of(const struct step *step, int error)
{
    const size_t nr = sizeof(meanings) / sizeof(meanings[0]);
    const struct meaning *found = find(meanings, nr, step->step, error);

    found = found ? found
                  : find(kind_meanings, sizeof(kind_meanings) / sizeof(kind_meanings[0]), step->kind, error);
    return found ? found : find(meanings, nr, step->step, 0);
}

/* ---- the tests ---- */

/* To the caller, the kernel's EINVAL is a feature that it lacks, and memory is short for whatever reason. */
static int returned_for(const struct step *step, int error)
{
    return step->step == WW_STEP_MEMORY ? -ENOMEM : error == EINVAL ? -EOPNOTSUPP : -error;
}

static const struct ww_backend *find_backend(const char *name)
{
    for (size_t i = 0; i < ww_nr_backends; i++) {
        if (!strcmp(ww_backends[i]->name, name)) {
            return ww_backends[i];
        }
    }
    ck_abort_msg("there is no %s", name);
}

/* As ww_probe(), which tries the other backends too. 0, or the error with its failure. */
static int try_backend(const char *name, struct ww_failure *ret_failure)
{
    struct ww_workers workers = { .can_grow = true };
    struct ww_tracker tracker;
    int err = ww_tracker_open(find_backend(name), &workers, 0, &tracker);

    *ret_failure = tracker.failure;
    if (!err) {
        tracker.backend->close(&tracker);
    }
    ww_workers_end(&workers, true);
    return err;
}

/* Prints what is wrong. */
static bool is_right(const struct step *step, int error)
{
    int named = error == step->renamed.from ? step->renamed.to : error, err;
    const struct meaning *meaning = meaning_of(step, named);
    const char *remedy = meaning && meaning->remedy ? meaning->remedy : "";
    bool refuses = !has(step->accepted, error) && (!step->only || has(step->only, error)), right;
    char wanted[512], number[16];
    const struct ww_words *words;
    struct ww_failure failure;

    err = try_backend(step->backend, &failure);
    words = ww_refusal_words(&failure);
    snprintf(wanted, sizeof(wanted), "%s %s (%s)%s%s", step->what,
             step->kind == A_FILE ? "cannot be opened" : "fails", name_of(named, number), meaning ? ": " : "",
             meaning ? meaning->meaning : "");
    right = refuses ? err == returned_for(step, named) && failure.step == step->step &&
                          !strcmp(words->reason, wanted) && !strcmp(words->remedy, remedy)
                    : !err || failure.step != step->step;
    if (!right) {
        printf("%s: %d \"%s\" [%s], %s %d \"%s\" [%s]\n", step->backend, err, words->reason, words->remedy,
               refuses ? "in place of" : "where this is accepted:", returned_for(step, named), wanted,
               remedy);
        fflush(stdout);
    }
    return right;
}

/* The public calls give the same error and words. */
static void expect_calls(const struct step *step)
{
    struct ww_failure failure;
    int err = try_backend(step->backend, &failure);
    struct ww_context *ctx;

    if (err) {
        expect_reason(step->backend, err, ww_refusal_words(&failure)->reason);
    }
    ck_assert_int_eq(ww_open(&ctx, NULL), step->step == WW_STEP_MEMORY ? -ENOMEM : 0);
    if (step->step != WW_STEP_MEMORY) {
        ww_close(ctx);
    }
}

/* Each errno is a further filter: the last one answers. */
START_TEST(a_reason_names_step_and_errno)
{
    const struct step *step = &steps[_i];
    int nr_wrong = 0;

    if (step->step == WW_STEP_MEMORY) {
        NOT_UNDER_ASAN("its allocator needs mappings");
    }
    if (!can_fail(step)) {
        SKIP("%s does not work here", step->backend);
    }
    if (!prepare(step)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    for (size_t i = 0; i <= NR_ERRORS; i++) {
        int error = i < NR_ERRORS ? errors[i].error : EUCLEAN;

        if (has(step->retried, error)) {
            continue;
        }
        ck_assert_int_eq(close_filter(step->denied, nr_of(step->denied), SECCOMP_RET_ERRNO | error, 0), 0);
        nr_wrong += !is_right(step, error);
        if (error == EPERM || error == EINVAL || error == ENOMEM) {
            expect_calls(step);
        }
    }
    ck_assert_msg(!nr_wrong, "%s of %s: %d are wrong", step->what, step->backend, nr_wrong);
}
END_TEST

/* Other words than these tables have do not exist, and all are whole. */
START_TEST(every_pair_has_its_words)
{
    for (int step = 0; step < WW_NR_STEPS; step++) {
        for (int error = 1; error <= LAST_ERROR; error++) {
            const struct ww_failure failure = { .step = step, .error = -error };
            const struct ww_words *words = ww_refusal_words(&failure);
            char number[16], in_brackets[24];

            ck_assert_ptr_nonnull(words);
            snprintf(in_brackets, sizeof(in_brackets), "(%s)", name_of(error, number));
            ck_assert_msg(step >= WW_STEP_RELEASE || strstr(words->reason, in_brackets), "%d, %d: %s", step,
                          error, words->reason);
            ck_assert(words->reason[0] && strlen(words->reason) < sizeof(words->reason) - 1);
            ck_assert(strlen(words->remedy) < sizeof(words->remedy) - 1);
        }
    }
}
END_TEST

/* ---- a supervisor, which answers each call as it likes ---- */

/* Calls from the first one up to, not including, the last one fail, but for every second pair of them if
 * @in_pairs: a call may be made once in a child, and then again. */
static struct {
    atomic_int listener; /* 0: none yet */
    int error, first, last;
    bool in_pairs;
} supervised;

/* Was started before there was a filter. */
static void *supervise(void *arg)
{
    struct seccomp_notif request;

    (void)arg;
    while (!atomic_load(&supervised.listener)) {
        usleep(100);
    }
    for (int nr = 0;; nr++) {
        struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

        memset(&request, 0, sizeof(request));
        if (ioctl(atomic_load(&supervised.listener), SECCOMP_IOCTL_NOTIF_RECV, &request)) {
            continue;
        }
        answer.id = request.id;
        if (nr >= supervised.first && nr < supervised.last && !(supervised.in_pairs && nr % 4 >= 2)) {
            answer.flags = 0;
            answer.error = -supervised.error;
        }
        ioctl(atomic_load(&supervised.listener), SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    return NULL;
}

static bool begin_supervision(const struct step *step)
{
    pthread_t thread;
    int listener;

    ck_assert_int_eq(pthread_create(&thread, NULL, supervise, NULL), 0);
    listener = close_filter(step->denied, nr_of(step->denied), SECCOMP_RET_USER_NOTIF,
                            SECCOMP_FILTER_FLAG_NEW_LISTENER);
    atomic_store(&supervised.listener, listener);
    return listener > 0;
}

#define MAX_RETRIED 2
#define NR_INTERRUPTIONS 40

START_TEST(a_step_that_is_interrupted_is_taken_again)
{
    const struct step *step = &steps[_i / MAX_RETRIED];
    struct ww_failure failure;

    if (!step->retried || (_i % MAX_RETRIED && !step->retried[1])) {
        return;
    }
    supervised.error = step->retried[_i % MAX_RETRIED];
    supervised.last = NR_INTERRUPTIONS;
    supervised.in_pairs = true;
    if (!can_fail(step)) {
        SKIP("%s does not work here", step->backend);
    }
    if (!prepare(step) || !begin_supervision(step)) {
        SKIP("seccomp with a listener: %s", strerror(errno));
    }
    if (try_backend(step->backend, &failure)) {
        ck_assert_msg(failure.step != step->step, "%s", ww_refusal_words(&failure)->reason);
    }
}
END_TEST

#define MOST_BEFORE 12

/* Where the row denies the opening of one file, there may be another one after it. */
static bool is_same_call(enum ww_step step, enum ww_step other)
{
    return step == other ||
           (step == WW_STEP_PAGEMAP && (other == WW_STEP_CLEAR_REFS || other == WW_STEP_MAPS));
}

/* A step that is taken several times: the reason is the same whichever of them is the first to fail. But a
 * store whose page the handler of the mprotect backend cannot open any more ends the program. */
START_TEST(a_step_that_fails_later_is_named_too)
{
    const struct step *step = &steps[_i / MOST_BEFORE];
    struct ww_failure failure;
    int err;

    if (step->everybody_needs_it || step->step == WW_STEP_MPROTECT) {
        return;
    }
    supervised.error = EPERM;
    supervised.first = 1 + _i % MOST_BEFORE;
    supervised.last = INT_MAX;
    if (!can_fail(step)) {
        SKIP("%s does not work here", step->backend);
    }
    if (!prepare(step) || !begin_supervision(step)) {
        SKIP("seccomp with a listener: %s", strerror(errno));
    }
    err = try_backend(step->backend, &failure);
    if (err && failure.step != WW_STEP_NO_SOFT_DIRTY && !step->only) {
        ck_assert_msg(err == -EPERM && is_same_call(step->step, failure.step), "%s, %d before: %d, \"%s\"",
                      step->what, supervised.first, err, ww_refusal_words(&failure)->reason);
    }
}
END_TEST

static const uint32_t ends[] = { SECCOMP_RET_TRAP, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL };
#define NR_ENDS (sizeof(ends) / sizeof(ends[0]))

/* If the library took such a step in this process, the filter would end it. */
START_TEST(a_filter_that_ends_programs_ends_nothing)
{
    const struct step *step = &steps[_i / NR_ENDS];
    struct ww_context *ctx;
    char wanted[256];

    if (step->everybody_needs_it) {
        return;
    }
    if (step->denied[0].call == SYS_madvise) {
        NOT_UNDER_ASAN("its runtime calls madvise() itself");
    }
    if (!can_fail(step)) {
        SKIP("%s does not work here", step->backend);
    }
    if (!prepare(step) || close_filter(step->denied, nr_of(step->denied), ends[_i % NR_ENDS], 0)) {
        SKIP("seccomp: %s", strerror(errno));
    }
    snprintf(wanted, sizeof(wanted), "a seccomp filter ends programs that use %s", step->what);
    if (step->only) {
        probe_backend(step->backend);
    } else {
        expect_reason(step->backend, -EPERM, wanted);
    }
    /* Without openat() other code in the process may fail, a sanitizer's runtime for one. */
    if (step->denied[0].call != SYS_openat) {
        ck_assert_int_eq(ww_open(&ctx, NULL), 0);
        ww_close(ctx);
    }
}
END_TEST

TCase *tcase_of_reasons(void)
{
    TCase *tcase = tcase_create("reasons");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_reason_names_step_and_errno, 0, NR_STEPS);
    tcase_add_test(tcase, every_pair_has_its_words);
    tcase_add_loop_test(tcase, a_step_that_is_interrupted_is_taken_again, 0, NR_STEPS * MAX_RETRIED);
    tcase_add_loop_test(tcase, a_step_that_fails_later_is_named_too, 0, NR_STEPS * MOST_BEFORE);
    tcase_add_loop_test(tcase, a_filter_that_ends_programs_ends_nothing, 0, NR_STEPS * NR_ENDS);
    return tcase;
}
