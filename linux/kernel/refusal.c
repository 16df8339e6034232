/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts a failure into words: which call, request or file failed, the name of its errno, and what that errno
 * means at this step. Uses neither stdio nor malloc(), since signals may be blocked.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "kernel/refusal.h"
#include "process/heap.h"

/* CALL_FOR_FD can fail for lack of descriptors. A VERDICT has no errno. */
enum kind { CALL, CALL_FOR_FD, REQUEST, PATH, VERDICT };

static const struct {
    enum kind kind;
    const char *name;
} steps[WW_NR_STEPS] = {
    [WW_STEP_NONE] = { CALL, "a step that was not recorded" },
    [WW_STEP_CLONE] = { CALL, "clone(2)" },
    [WW_STEP_MEMORY] = { CALL, "mmap(2)" },
    [WW_STEP_FSTAT] = { CALL, "fstat(2)" },
    [WW_STEP_USERFAULTFD] = { CALL_FOR_FD, "userfaultfd(2)" },
    [WW_STEP_FULL_ONLY] = { CALL_FOR_FD, "userfaultfd(2)" },
    [WW_STEP_DEVICE_FILE] = { PATH, "/dev/userfaultfd" },
    [WW_STEP_DEVICE] = { CALL_FOR_FD, "USERFAULTFD_IOC_NEW of /dev/userfaultfd" },
    [WW_STEP_API_ASYNC] = { REQUEST, "UFFDIO_API" },
    [WW_STEP_API_WP] = { REQUEST, "UFFDIO_API" },
    [WW_STEP_REGISTER] = { REQUEST, "UFFDIO_REGISTER" },
    [WW_STEP_WRITEPROTECT] = { REQUEST, "UFFDIO_WRITEPROTECT" },
    [WW_STEP_COPY] = { REQUEST, "UFFDIO_COPY" },
    [WW_STEP_ZEROPAGE] = { REQUEST, "UFFDIO_ZEROPAGE" },
    [WW_STEP_POISON] = { REQUEST, "UFFDIO_POISON" },
    [WW_STEP_CONTINUE] = { REQUEST, "UFFDIO_CONTINUE" },
    [WW_STEP_WAKE] = { REQUEST, "UFFDIO_WAKE" },
    [WW_STEP_UNREGISTER] = { REQUEST, "UFFDIO_UNREGISTER" },
    [WW_STEP_PAGEMAP] = { PATH, "/proc/self/pagemap" },
    [WW_STEP_PREAD] = { CALL, "pread(2) of /proc/self/pagemap" },
    [WW_STEP_PWRITE] = { CALL, "pwrite(2) of /proc/self/mem" },
    [WW_STEP_SCAN] = { REQUEST, "PAGEMAP_SCAN" },
    [WW_STEP_CLEAR_REFS] = { PATH, "/proc/self/clear_refs" },
    [WW_STEP_MAPS] = { PATH, "/proc/self/maps" },
    [WW_STEP_READ_MAPS] = { CALL, "read(2) of /proc/self/maps" },
    [WW_STEP_MADVISE] = { CALL, "madvise(2)" },
    [WW_STEP_MPROTECT] = { CALL, "mprotect(2)" },
    [WW_STEP_SIGACTION] = { CALL, "sigaction(2)" },
    [WW_STEP_EPOLL] = { CALL_FOR_FD, "epoll_create(2)" },
    [WW_STEP_EPOLL_CTL] = { CALL, "epoll_ctl(2)" },
    [WW_STEP_THREAD] = { CALL, "pthread_create(3)" },
    [WW_STEP_PROC_PAGEMAP] = { PATH, "/proc/PID/pagemap" },
    [WW_STEP_PROC_PREAD] = { CALL, "pread(2) of /proc/PID/pagemap" },
    [WW_STEP_PROC_SCAN] = { REQUEST, "PAGEMAP_SCAN" },
    [WW_STEP_PROC_MAPS] = { PATH, "/proc/PID/maps" },
    [WW_STEP_PROC_SMAPS] = { PATH, "/proc/PID/smaps" },
    [WW_STEP_PROC_READ] = { CALL, "reading the mappings of the process" },
    [WW_STEP_RELEASE] = { VERDICT, "this kernel loses dirty bits, as 6.7 to 6.8.9 do" },
    [WW_STEP_READER] = { VERDICT, "WW_PAGEMAP is neither 'ioctl' nor 'read'" },
    [WW_STEP_TAKEN] = { VERDICT, "memory was unmapped that is still watched, and is in use again" },
    [WW_STEP_TEST_ASYNC] = { VERDICT, "the kernel gives wrong answers in the self test of PAGEMAP_SCAN" },
    [WW_STEP_TEST_SYNC] = { VERDICT, "faults get no answer or a wrong one in the self test" },
    [WW_STEP_TEST_PROTECT] = { VERDICT, "page protection fails the self test" },
    [WW_STEP_TEST_SOFT_DIRTY] = { VERDICT, "the kernel gives wrong soft-dirty bits" },
    [WW_STEP_NO_SOFT_DIRTY] = { VERDICT, "the kernel keeps no soft-dirty bits" },
};

#define NEWER_KERNEL "use kernel 6.8.10 or newer"
#define NO_PAGEMAP "there is no /proc, or the kernel has no CONFIG_PROC_PAGE_MONITOR"
#define MOUNT_PROC "mount /proc, or use a kernel with CONFIG_PROC_PAGE_MONITOR"
#define NO_PROCESS "the process does not exist, has ended, or has no memory (threads of the kernel have none)"
#define NO_ACCESS "the process is another user's, or is not dumpable"
#define GET_ACCESS "run this as its user or as root"
#define ALLOW_CALL "allow this system call in the seccomp profile of the container or sandbox"

/* What an errno means at a step, and the remedy. */
static const struct {
    enum ww_step step;
    int error; /* 0: any errno that has no row here and none in kind_refusals */
    const char *meaning, *remedy;
} refusals[] = {
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
    { WW_STEP_SCAN, ENOTTY, "the kernel has no such request", NEWER_KERNEL },
    { WW_STEP_PAGEMAP, ENOENT, NO_PAGEMAP, MOUNT_PROC },
    { WW_STEP_PAGEMAP, EACCES, "the process is not dumpable", "let the process be dumpable when it starts" },
    { WW_STEP_CLEAR_REFS, ENOENT, NO_PAGEMAP, MOUNT_PROC },
    { WW_STEP_CLEAR_REFS, EACCES, "the process is not dumpable",
      "let the process be dumpable when it starts" },
    { WW_STEP_MAPS, ENOENT, "there is no /proc", "mount /proc" },
    { WW_STEP_MAPS, EACCES, "the process is not dumpable", "let the process be dumpable when it starts" },
    { WW_STEP_MEMORY, EAGAIN, "no more memory may be locked", "raise ulimit -l" },
    { WW_STEP_MEMORY, ENOMEM, "no memory is left, or no mapping",
      "raise ulimit -v, or vm.max_map_count, or the memory of the container" },
    { WW_STEP_FSTAT, EBADF, "the program has closed a descriptor of the library's", NULL },
    { WW_STEP_FSTAT, 0, "the library cannot tell its files from the program's", NULL },
    { WW_STEP_THREAD, EAGAIN, "no more threads may be started",
      "raise ulimit -u, or pids.max of the container" },
    { WW_STEP_CLONE, EAGAIN, "no child can try what the seccomp filter allows",
      "raise ulimit -u, or pids.max of the container" },
    { WW_STEP_CLONE, 0, "no child can try what the seccomp filter allows", NULL },
    { WW_STEP_PROC_PAGEMAP, ESRCH, NO_PROCESS, NULL },
    { WW_STEP_PROC_PAGEMAP, ENOENT, NO_PAGEMAP, MOUNT_PROC },
    { WW_STEP_PROC_PAGEMAP, EACCES, NO_ACCESS, GET_ACCESS },
    { WW_STEP_PROC_PREAD, ESRCH, NO_PROCESS, NULL },
    { WW_STEP_PROC_SCAN, ENOTTY, "the kernel has no such request",
      "unset WW_PAGEMAP, or use kernel 6.8.10 or newer" },
    { WW_STEP_PROC_MAPS, ESRCH, NO_PROCESS, NULL },
    { WW_STEP_PROC_MAPS, ENOENT, "there is no /proc", "mount /proc" },
    { WW_STEP_PROC_MAPS, EACCES, NO_ACCESS, GET_ACCESS },
    { WW_STEP_PROC_SMAPS, ESRCH, NO_PROCESS, NULL },
    { WW_STEP_PROC_SMAPS, ENOENT, NO_PAGEMAP, MOUNT_PROC },
    { WW_STEP_PROC_SMAPS, EACCES, NO_ACCESS, GET_ACCESS },
    { WW_STEP_PROC_READ, ESRCH, NO_PROCESS, NULL },
    { WW_STEP_READER, 0, NULL, "unset it" },
    { WW_STEP_RELEASE, 0, NULL, NEWER_KERNEL },
    { WW_STEP_TAKEN, 0, NULL, "end a watch before its memory is unmapped" },
    { WW_STEP_TEST_ASYNC, 0, NULL, NEWER_KERNEL },
    { WW_STEP_NO_SOFT_DIRTY, 0, NULL, "use a kernel with CONFIG_MEM_SOFT_DIRTY" },
};

/* The same for all steps of a kind. */
static const struct {
    enum kind kind;
    int error;
    const char *meaning, *remedy;
} kind_refusals[] = {
    { REQUEST, EPERM, "a sandbox denies this request",
      "allow this ioctl in the seccomp profile of the sandbox" },
    { REQUEST, EACCES, "a sandbox denies this request",
      "allow this ioctl in the seccomp profile of the sandbox" },
    { REQUEST, ENOSYS, "a sandbox denies this request",
      "allow this ioctl in the seccomp profile of the sandbox" },
    { CALL, EPERM, "a sandbox denies it", ALLOW_CALL },
    { CALL, EACCES, "a sandbox denies it", ALLOW_CALL },
    { CALL, ENOSYS, "a sandbox denies it", ALLOW_CALL },
    { CALL_FOR_FD, EPERM, "a sandbox denies it", ALLOW_CALL },
    { CALL_FOR_FD, EACCES, "a sandbox denies it", ALLOW_CALL },
    { CALL_FOR_FD, ENOSYS, "a sandbox denies it", ALLOW_CALL },
    { CALL_FOR_FD, EMFILE, "no file descriptor is free in this process", "raise ulimit -n" },
    { CALL_FOR_FD, ENFILE, "no file descriptor is free in this system", "raise fs.file-max" },
    { PATH, EMFILE, "no file descriptor is free in this process", "raise ulimit -n" },
    { PATH, ENFILE, "no file descriptor is free in this system", "raise fs.file-max" },
    { PATH, EPERM, "a sandbox denies it", "allow this file in the sandbox" },
    { PATH, ENOSYS, "a sandbox denies it", "allow this file in the sandbox" },
};

#define NAME(error)                                                                                          \
    {                                                                                                        \
        error, #error                                                                                        \
    }

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

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static _Atomic(struct ww_words *) all_words;

static void append(char *text, size_t size, const char *more)
{
    size_t len = strlen(text), nr = strlen(more);

    if (nr > size - 1 - len) {
        nr = size - 1 - len;
    }
    memcpy(text + len, more, nr);
    text[len + nr] = '\0';
}

static void append_error(char *text, size_t size, int error)
{
    char digits[16], *at = digits + sizeof(digits) - 1;

    for (size_t i = 0; i < LEN(errors); i++) {
        if (errors[i].error == error) {
            append(text, size, errors[i].name);
            return;
        }
    }
    *at = '\0';
    for (unsigned int rest = error; rest || !*at; rest /= 10) {
        *--at = '0' + rest % 10;
    }
    append(text, size, "errno ");
    append(text, size, at);
}

static bool find_row(enum ww_step step, int error, const char **ret_meaning, const char **ret_remedy)
{
    for (size_t i = 0; i < LEN(refusals); i++) {
        if (refusals[i].step == step && refusals[i].error == error) {
            *ret_meaning = refusals[i].meaning;
            *ret_remedy = refusals[i].remedy;
            return true;
        }
    }
    return false;
}

static void find_meaning(const struct ww_failure *failure, const char **ret_meaning, const char **ret_remedy)
{
    int error = -failure->error;

    if (find_row(failure->step, error, ret_meaning, ret_remedy)) {
        return;
    }
    for (size_t i = 0; i < LEN(kind_refusals); i++) {
        if (kind_refusals[i].kind == steps[failure->step].kind && kind_refusals[i].error == error) {
            *ret_meaning = kind_refusals[i].meaning;
            *ret_remedy = kind_refusals[i].remedy;
            return;
        }
    }
    find_row(failure->step, 0, ret_meaning, ret_remedy);
}

static void describe_error(struct ww_words *words)
{
    const struct ww_failure *failure = &words->failure;
    const char *meaning = NULL, *remedy = NULL;
    enum kind kind = steps[failure->step].kind;

    find_meaning(failure, &meaning, &remedy);
    append(words->reason, sizeof(words->reason), steps[failure->step].name);
    if (kind != VERDICT) {
        append(words->reason, sizeof(words->reason), kind == PATH ? " cannot be opened (" : " fails (");
        append_error(words->reason, sizeof(words->reason), -failure->error);
        append(words->reason, sizeof(words->reason), ")");
    }
    if (meaning) {
        append(words->reason, sizeof(words->reason), ": ");
        append(words->reason, sizeof(words->reason), meaning);
    }
    if (remedy) {
        append(words->remedy, sizeof(words->remedy), remedy);
    }
}

static void describe(struct ww_words *words)
{
    const char *name = steps[words->failure.step].name;

    switch (words->failure.outcome) {
    case WW_OUTCOME_END:
        append(words->reason, sizeof(words->reason), "a seccomp filter ends programs that use ");
        append(words->reason, sizeof(words->reason), name);
        append(words->remedy, sizeof(words->remedy), "have the filter allow it, or answer it by an error");
        break;
    case WW_OUTCOME_HANG:
        append(words->reason, sizeof(words->reason), name);
        append(words->reason, sizeof(words->reason),
               " does not return: the supervisor of the seccomp filter does not answer");
        append(words->remedy, sizeof(words->remedy), "have the filter allow it, or answer it by an error");
        break;
    default:
        describe_error(words);
        break;
    }
    if (words->failure.device_is_closed) {
        append(words->remedy, sizeof(words->remedy), words->remedy[0] ? ", or " : "");
        append(words->remedy, sizeof(words->remedy), "let this user open /dev/userfaultfd");
    }
}

static bool is_same(const struct ww_failure *one, const struct ww_failure *other)
{
    return one->step == other->step && one->error == other->error && one->outcome == other->outcome &&
           one->device_is_closed == other->device_is_closed;
}

/* Makes the words once for each different failure and adds them to the list. */
const struct ww_words *ww_refusal_words(const struct ww_failure *failure)
{
    struct ww_words *words;

    for (words = atomic_load(&all_words); words; words = words->next) {
        if (is_same(&words->failure, failure)) {
            return words;
        }
    }
    words = ww_heap_alloc(sizeof(*words));
    if (words) {
        words->failure = *failure;
        describe(words);
        words->next = atomic_load(&all_words);
        while (!atomic_compare_exchange_weak(&all_words, &words->next, words)) {
            ;
        }
    }
    return words;
}
