/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the errors of the public calls mean, in words. The preload does not have this file: what it asks the C
 * library for is in glibc 2.27, and strerrordesc_np() is not.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "api.h"
#include "writewatch.h"

static const struct {
    int error;
    const char *words;
} meanings[] = {
    { EACCES, "access is denied: to a file in /proc, to the process, or to the file that is mapped" },
    { EAGAIN, "no thread or child process can be started now" },
    { EBADF, "the program has closed a descriptor of the library's, and no other can take its place" },
    { EBUSY, "another context or userfaultfd tracks memory of the range" },
    { ECHILD, "the handle was opened by a parent process, before the fork" },
    { EDEADLK, "a callback of ww_fill_on_demand() would wait for itself" },
    { EEXIST, "the range overlaps a region or memory on demand, or its first page exists already" },
    { EFAULT, "the source cannot be read" },
    { EINVAL, "an argument is not allowed, or the backend cannot track such a mapping" },
    { EIO, "the backend gave wrong answers, or lost its descriptors" },
    { EMFILE, "the process has no file descriptor left" },
    { ENFILE, "the system has no file descriptor left" },
    { ENOENT, "nothing of that name or address: no region holds the range, or a file in /proc is missing" },
    { ENOMEM, "no memory, part of the range is not mapped, or too few mappings are left (vm.max_map_count)" },
    { ENOSYS, "the kernel, or a seccomp filter, does not offer a system call that is needed" },
    { ENOTTY, "the kernel lacks an ioctl that is needed, as PAGEMAP_SCAN" },
    { EOPNOTSUPP, "the kernel, or every backend in question, lacks the feature" },
    { EPERM, "the step is denied, or the mapping may never be written" },
    { ESRCH, "the process does not exist, has ended, or has no memory" },
};

/* A static string, and not translated. */
static const char *describe(int error)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
    const char *words = strerrordesc_np(error);

    return words ? words : "unknown error";
#else
    (void)error;
    return "unknown error";
#endif
}

WW_API const char *ww_strerror(int error)
{
    if (error >= 0) {
        return "no error";
    }
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (meanings[i].error == -(long)error) {
            return meanings[i].words;
        }
    }
    return error < -INT_MAX ? "unknown error" : describe(-error);
}
