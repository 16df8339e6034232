/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * deny CALL[,CALL...] ACTION COMMAND...: runs a command under a seccomp filter that answers system
 * calls as an old kernel or a sandbox would. CALL is a system call, or one of the ioctl requests in
 * requests[], which leaves other ioctls alone. ACTION is the name or number of an errno, or: trap,
 * kill (the process), kill-thread, notify (the call waits for a listener that never answers).
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/uapi.h"

static const struct {
    const char *name;
    unsigned long number;
} requests[] = {
    { "pagemap_scan", PAGEMAP_SCAN }, { "userfaultfd_ioc_new", USERFAULTFD_IOC_NEW },
    { "uffdio_api", UFFDIO_API },     { "uffdio_register", UFFDIO_REGISTER },
    { "uffdio_copy", UFFDIO_COPY },   { "uffdio_writeprotect", UFFDIO_WRITEPROTECT },
};

static const struct {
    const char *name;
    int error;
} errors[] = {
    { "EPERM", EPERM },   { "ENOENT", ENOENT }, { "EACCES", EACCES },
    { "EINVAL", EINVAL }, { "ENOTTY", ENOTTY }, { "ENOSYS", ENOSYS },
};

static uint32_t action_of(const char *name)
{
    if (!strcmp(name, "trap")) {
        return SCMP_ACT_TRAP;
    }
    if (!strcmp(name, "kill")) {
        return SCMP_ACT_KILL_PROCESS;
    }
    if (!strcmp(name, "kill-thread")) {
        return SCMP_ACT_KILL_THREAD;
    }
    if (!strcmp(name, "notify")) {
        return SCMP_ACT_NOTIFY;
    }
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (!strcmp(name, errors[i].name)) {
            return SCMP_ACT_ERRNO(errors[i].error);
        }
    }
    return SCMP_ACT_ERRNO(atoi(name));
}

static int add_rule(scmp_filter_ctx filter, const char *call, uint32_t action)
{
    int number = seccomp_syscall_resolve_name(call);

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (!strcmp(call, requests[i].name)) {
            return seccomp_rule_add(filter, action, SCMP_SYS(ioctl), 1,
                                    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, requests[i].number));
        }
    }
    return number == __NR_SCMP_ERROR ? -EINVAL : seccomp_rule_add(filter, action, number, 0);
}

int main(int argc, char **argv)
{
    scmp_filter_ctx filter;
    uint32_t action;
    int err = 0;

    if (argc < 4) {
        fprintf(stderr, "usage: deny CALL[,CALL...] ERRNO|trap|kill|kill-thread|notify COMMAND...\n");
        return 2;
    }
    action = action_of(argv[2]);
    filter = seccomp_init(SCMP_ACT_ALLOW);
    for (char *call = strtok(argv[1], ","); call && !err; call = strtok(NULL, ",")) {
        err = add_rule(filter, call, action);
    }
    if (err || seccomp_load(filter)) {
        fprintf(stderr, "deny: the filter cannot be loaded\n");
        return 2;
    }
    if (action == SCMP_ACT_NOTIFY) {
        /* The command inherits the listener and does not know of it: without a listener the call would fail.
         */
        fcntl(seccomp_notify_fd(filter), F_SETFD, 0);
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
