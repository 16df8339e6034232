/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A seccomp filter for tests; it needs no libcheck.
 */
#ifndef WW_TESTS_UNIT_DENY_CALL_H
#define WW_TESTS_UNIT_DENY_CALL_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From now on the system call @nr fails with @error in this thread, or in all threads with
 * SECCOMP_FILTER_FLAG_TSYNC in @flags. Unless @value is 0, only those calls fail whose argument number
 * @argument (from 0) is @value. False, with errno set: the filter could not be installed. */
static inline bool deny_call(long nr, int argument, unsigned int value, int error, unsigned int flags)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 3),
        /* The low half of the argument, which comes first on little-endian machines. */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[argument])),
        BPF_JUMP(BPF_JMP | (value ? BPF_JEQ : BPF_JGE) | BPF_K, value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

#endif
