/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why a scan fails: every step, with every errno that a filter can answer it by. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "deny-call.h"
#include "pagemap-test.h"
#include "pagemap/pagemap.h"

#define LAST_ERROR 133

/* What fails, and who takes the step: a scan of another process with this source. */
static const struct {
    long call;
    unsigned int request; /* of an ioctl; 0: any */
    const char *source, *what;
    enum ww_step step;
    int taken_again; /* until it has another result; 0: never */
} steps[] = {
    { SYS_openat, 0, "ioctl", "/proc/PID/pagemap cannot be opened", WW_STEP_PROC_PAGEMAP, EINTR },
    { SYS_openat, 0, "read", "/proc/PID/pagemap cannot be opened", WW_STEP_PROC_PAGEMAP, EINTR },
    { SYS_pread64, 0, "ioctl", "pread(2) of /proc/PID/pagemap fails", WW_STEP_PROC_PREAD, EINTR },
    { SYS_pread64, 0, "read", "pread(2) of /proc/PID/pagemap fails", WW_STEP_PROC_PREAD, EINTR },
    { SYS_read, 0, "read", "reading the mappings of the process fails", WW_STEP_PROC_READ, EINTR },
    { SYS_lseek, 0, "read", "reading the mappings of the process fails", WW_STEP_PROC_READ, 0 },
    { SYS_ioctl, (unsigned int)PAGEMAP_SCAN, "ioctl", "PAGEMAP_SCAN fails", WW_STEP_PROC_SCAN, 0 },
    { SYS_mmap, 0, "read", "mmap(2) fails", WW_STEP_MEMORY, 0 },
    { SYS_clone, 0, "ioctl", "clone(2) fails", WW_STEP_CLONE, 0 },
};
#define NR_STEPS (sizeof(steps) / sizeof(steps[0]))

/* Opens a process and scans it. 0, or the error with its failure. */
static int try_scan(pid_t pid, struct ww_failure *ret_failure)
{
    struct ww_pagemap_scan scan = { .end = UINT64_MAX,
                                    .category_anyof_mask = WW_PAGE_IS_PRESENT,
                                    .return_mask = WW_PAGE_IS_PRESENT };
    struct ww_pagemap *pagemap;
    int err = ww_pagemap_try(&pagemap, pid, ret_failure);

    if (err) {
        return err;
    }
    err = ww_pagemap_scan(pagemap, &scan, found, MAX_REGIONS);
    *ret_failure = pagemap->failure;
    ww_pagemap_close(pagemap);
    return err < 0 ? err : 0;
}

static pid_t start_sleeper(void)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (!pid) {
        for (;;) {
            pause();
        }
    }
    return pid;
}

START_TEST(a_scan_names_step_and_errno)
{
    pid_t pid = start_sleeper();
    struct ww_failure failure;
    int nr_wrong = 0;

    ck_assert_int_eq(setenv("WW_PAGEMAP", steps[_i].source, 1), 0);
    SKIP_UNLESS(!try_scan(pid, &failure), "this source does not work here");
    for (int error = 1; error <= LAST_ERROR; error++) {
        const struct ww_words *words;
        const char *reason;
        int err;

        if (error == steps[_i].taken_again) {
            continue;
        }
        SKIP_UNLESS(deny_call(steps[_i].call, 1, steps[_i].request, error, 0), "the kernel takes no filter");
        err = try_scan(pid, &failure);
        words = ww_refusal_words(&failure);
        /* Without mmap(2) there may be no memory for words. */
        reason = words ? words->reason : steps[_i].what;
        if (failure.step != steps[_i].step || failure.error != -error ||
            err != (failure.step == WW_STEP_MEMORY ? -ENOMEM : -error) ||
            strncmp(reason, steps[_i].what, strlen(steps[_i].what)) != 0) {
            printf("%s, errno %d: %d, step %d, errno %d, \"%s\"\n", steps[_i].what, error, err, failure.step,
                   -failure.error, reason);
            fflush(stdout);
            nr_wrong++;
        }
    }
    kill(pid, SIGKILL);
    ck_assert_msg(!nr_wrong, "%s: %d are wrong", steps[_i].what, nr_wrong);
}
END_TEST

/* No sentence belongs to an errno alone. */
static const struct {
    enum ww_step step;
    int error;
    const char *reason, *remedy;
} sentences[] = {
    { WW_STEP_PROC_PAGEMAP, ESRCH,
      "/proc/PID/pagemap cannot be opened (ESRCH): the process does not exist, has ended, or has no memory "
      "(threads of the kernel have none)",
      "" },
    { WW_STEP_PROC_PAGEMAP, ENOENT,
      "/proc/PID/pagemap cannot be opened (ENOENT): there is no /proc, or the kernel has no "
      "CONFIG_PROC_PAGE_MONITOR",
      "mount /proc, or use a kernel with CONFIG_PROC_PAGE_MONITOR" },
    { WW_STEP_PROC_PAGEMAP, EACCES,
      "/proc/PID/pagemap cannot be opened (EACCES): the process is another user's, or is not dumpable",
      "run this as its user or as root" },
    { WW_STEP_PROC_PAGEMAP, EPERM, "/proc/PID/pagemap cannot be opened (EPERM): a sandbox denies it",
      "allow this file in the sandbox" },
    { WW_STEP_PROC_PAGEMAP, EINVAL, "/proc/PID/pagemap cannot be opened (EINVAL)", "" },
    { WW_STEP_PROC_PAGEMAP, ENOTTY, "/proc/PID/pagemap cannot be opened (ENOTTY)", "" },
    { WW_STEP_PROC_PREAD, ESRCH,
      "pread(2) of /proc/PID/pagemap fails (ESRCH): the process does not exist, has ended, or has no memory "
      "(threads of the kernel have none)",
      "" },
    { WW_STEP_PROC_PREAD, EACCES, "pread(2) of /proc/PID/pagemap fails (EACCES): a sandbox denies it",
      "allow this system call in the seccomp profile of the container or sandbox" },
    { WW_STEP_PROC_PREAD, ENOENT, "pread(2) of /proc/PID/pagemap fails (ENOENT)", "" },
    { WW_STEP_PROC_SCAN, ENOTTY, "PAGEMAP_SCAN fails (ENOTTY): the kernel has no such request",
      "unset WW_PAGEMAP, or use kernel 6.8.10 or newer" },
    { WW_STEP_PROC_SCAN, EPERM, "PAGEMAP_SCAN fails (EPERM): a sandbox denies this request",
      "allow this ioctl in the seccomp profile of the sandbox" },
    { WW_STEP_PROC_SCAN, EACCES, "PAGEMAP_SCAN fails (EACCES): a sandbox denies this request",
      "allow this ioctl in the seccomp profile of the sandbox" },
    { WW_STEP_PROC_SCAN, ENOENT, "PAGEMAP_SCAN fails (ENOENT)", "" },
    { WW_STEP_PROC_SCAN, EINVAL, "PAGEMAP_SCAN fails (EINVAL)", "" },
    { WW_STEP_PROC_SCAN, ESRCH, "PAGEMAP_SCAN fails (ESRCH)", "" },
    { WW_STEP_PROC_MAPS, EMFILE,
      "/proc/PID/maps cannot be opened (EMFILE): no file descriptor is free in this process",
      "raise ulimit -n" },
    { WW_STEP_PROC_SMAPS, EMFILE,
      "/proc/PID/smaps cannot be opened (EMFILE): no file descriptor is free in this process",
      "raise ulimit -n" },
    { WW_STEP_READER, EINVAL, "WW_PAGEMAP is neither 'ioctl' nor 'read'", "unset it" },
};

START_TEST(a_sentence_belongs_to_a_step_and_an_errno)
{
    const struct ww_failure failure = { .step = sentences[_i].step, .error = -sentences[_i].error };
    const struct ww_words *words = ww_refusal_words(&failure);

    ck_assert_str_eq(words->reason, sentences[_i].reason);
    ck_assert_str_eq(words->remedy, sentences[_i].remedy);
}
END_TEST

static int highest_descriptor(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int highest = 0;

    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        highest = atoi(entry->d_name) > highest ? atoi(entry->d_name) : highest;
    }
    closedir(dir);
    return highest;
}

static const enum ww_step of_files[] = { WW_STEP_PROC_PAGEMAP, WW_STEP_PROC_MAPS, WW_STEP_PROC_SMAPS };

/* The files in the order in which reads open them. */
START_TEST(the_file_that_cannot_be_opened_is_named)
{
    struct rlimit limit = { .rlim_cur = 0 };
    struct ww_failure failure;
    int highest = highest_descriptor();

    ck_assert_int_eq(setenv("WW_PAGEMAP", "read", 1), 0);
    for (int fd = 0; fd < highest; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            ck_assert_int_eq(dup2(0, fd), fd);
        }
    }
    limit.rlim_cur = limit.rlim_max = highest + _i;
    close(highest);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(try_scan(getppid(), &failure), -EMFILE);
    ck_assert_int_eq(failure.step, of_files[_i]);
    ck_assert_int_eq(failure.error, -EMFILE);
}
END_TEST

START_TEST(a_reader_that_does_not_exist_is_named)
{
    struct ww_failure failure;

    ck_assert_int_eq(setenv("WW_PAGEMAP", "bogus", 1), 0);
    ck_assert_int_eq(try_scan(getppid(), &failure), -EINVAL);
    ck_assert_int_eq(failure.step, WW_STEP_READER);
}
END_TEST

void add_reason_cases(Suite *suite)
{
    TCase *tcase = tcase_create("reasons");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_scan_names_step_and_errno, 0, NR_STEPS);
    tcase_add_loop_test(tcase, a_sentence_belongs_to_a_step_and_an_errno, 0,
                        sizeof(sentences) / sizeof(sentences[0]));
    tcase_add_loop_test(tcase, the_file_that_cannot_be_opened_is_named, 0, 3);
    tcase_add_test(tcase, a_reader_that_does_not_exist_is_named);
    suite_add_tcase(suite, tcase);
}
