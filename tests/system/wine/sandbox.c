/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sandbox that a Windows program enters when its first watch has begun: preloaded in
 * front of ours, it sees the ioctl that registers memory, and then installs a filter that
 * answers the system calls which SANDBOX names, "scan" or "all", with an error.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/uapi.h"

/* Smaller than a Windows program's watches, larger than the memory of the backend's self test. */
#define WATCHED_BYTES 0x10000

static void close_round(const char *what)
{
    bool all = !strcmp(what, "all");
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)PAGEMAP_SCAN, 2, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, all ? 0xff00 : 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UFFDIO << 8, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program)) {
        dprintf(2, "sandbox: the kernel takes no filter\n");
    } else {
        dprintf(2, "sandbox: closed\n");
    }
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
    static bool closed;
    const char *what = getenv("SANDBOX");
    va_list args;
    void *arg;
    int ret;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    ret = syscall(SYS_ioctl, fd, request, arg);
    if (!ret && what && !closed && request == UFFDIO_REGISTER &&
        ((struct uffdio_register *)arg)->range.len >= WATCHED_BYTES) {
        closed = true;
        close_round(what);
    }
    return ret;
}
