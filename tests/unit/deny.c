/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * deny CALL ERRNO COMMAND...: runs a command with one system call answered by an
 * error, as an old kernel or a sandbox would. CALL is userfaultfd or
 * pagemap_scan (that ioctl alone); ERRNO is EPERM, ENOSYS or ENOTTY.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "uapi.h"

static int error_number(const char *name)
{
    return !strcmp(name, "EPERM") ? EPERM : !strcmp(name, "ENOSYS") ? ENOSYS : ENOTTY;
}

int main(int argc, char **argv)
{
    scmp_filter_ctx filter;
    int err;

    if (argc < 4) {
        fprintf(stderr, "usage: deny userfaultfd|pagemap_scan ERRNO COMMAND...\n");
        return 2;
    }
    filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!strcmp(argv[1], "userfaultfd")) {
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(error_number(argv[2])), SCMP_SYS(userfaultfd), 0);
    } else {
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(error_number(argv[2])), SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, PAGEMAP_SCAN));
    }
    if (err || seccomp_load(filter)) {
        fprintf(stderr, "deny: the filter cannot be loaded\n");
        return 2;
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
