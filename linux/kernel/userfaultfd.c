/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens a userfaultfd. There are three ways, tried in this order:
 *
 *   the system call     if the process may handle faults of system calls
 *   /dev/userfaultfd    6.1; needs only permission for that file, and works where a sandbox
 *                       denies the call
 *   the call again      for faults of user mode only (5.11), which every process may handle
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/fd.h"
#include "kernel/uapi.h"
#include "kernel/userfaultfd.h"

#define FLAGS (O_CLOEXEC | O_NONBLOCK)

static int by_call(int mode, uint64_t barred)
{
    int fd;

    if (barred & WW_STEP_BIT(WW_STEP_USERFAULTFD)) {
        return -EPERM;
    }
    fd = syscall(SYS_userfaultfd, FLAGS | mode);
    return fd < 0 ? -errno : fd;
}

/* Takes two steps: *ret_opened tells whether the file could be opened. */
static int by_device(uint64_t barred, bool *ret_opened)
{
    int device, fd;

    *ret_opened = false;
    if (barred & WW_STEP_BIT(WW_STEP_DEVICE)) {
        return -ENOENT;
    }
    device = ww_open_file("/dev/userfaultfd", O_RDWR);
    *ret_opened = device >= 0;
    if (device < 0) {
        return device;
    }
    fd = ioctl(device, USERFAULTFD_IOC_NEW, FLAGS);
    fd = fd < 0 ? -errno : fd;
    close(device);
    return fd;
}

static int open_fd(uint64_t barred, bool *ret_full, struct ww_failure *failure)
{
    int full = by_call(0, barred), device, user;
    bool opened, refused;

    *ret_full = true;
    if (full >= 0 || ww_is_shortage(full)) {
        return ww_fail(failure, WW_STEP_USERFAULTFD, full);
    }
    device = by_device(barred, &opened);
    if (device >= 0 || ww_is_shortage(device)) {
        return ww_fail(failure, opened ? WW_STEP_DEVICE : WW_STEP_DEVICE_FILE, device);
    }
    *ret_full = false;
    user = by_call(UFFD_USER_MODE_ONLY, barred);
    if (user >= 0) {
        return user;
    }
    refused = user == -EINVAL && full != -EINVAL;
    ww_fail(failure, refused ? WW_STEP_FULL_ONLY : WW_STEP_USERFAULTFD, refused ? full : user);
    if (barred & WW_STEP_BIT(WW_STEP_USERFAULTFD)) {
        failure->outcome = WW_OUTCOME_END;
    }
    failure->device_is_closed = !opened && (device == -EACCES || device == -EPERM);
    return failure->error;
}

int ww_userfaultfd_open(uint64_t features, uint64_t barred, bool *ret_full, struct ww_failure *failure)
{
    struct uffdio_api api = { .api = UFFD_API, .features = features };
    bool async = features & UFFD_FEATURE_WP_ASYNC;
    int fd = open_fd(barred, ret_full, failure), err;

    if (fd < 0 || !ioctl(fd, UFFDIO_API, &api)) {
        return fd;
    }
    err = ww_fail(failure, async ? WW_STEP_API_ASYNC : WW_STEP_API_WP, -errno);
    close(fd);
    return err;
}
