/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of test-refusal share: seccomp filters, and what a backend must say under one.
 */
#ifndef WW_TESTS_UNIT_REFUSAL_TEST_H
#define WW_TESTS_UNIT_REFUSAL_TEST_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "backends.h"
#include "kernel/uapi.h"

#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif
#ifndef SECCOMP_RET_USER_NOTIF
#define SECCOMP_RET_USER_NOTIF 0x7fc00000U
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

#define SKIP(...)                                                                                            \
    do {                                                                                                     \
        printf("SKIP: ");                                                                                    \
        printf(__VA_ARGS__);                                                                                 \
        printf("\n");                                                                                        \
        return;                                                                                              \
    } while (0)

/* ww_probe() must give this error and reason for the backend, and ww_open() must return the error. */
static inline void expect_reason(const char *backend, int error, const char *reason)
{
    struct ww_probe said = probe_backend(backend);
    struct ww_context *ctx;

    ck_assert_msg(said.error == error && !strcmp(said.reason, reason),
                  "%s: %d, \"%s\" in place of %d, \"%s\"", backend, said.error, said.reason, error, reason);
    ck_assert_int_eq(ww_open(&ctx, backend), error);
}

#define NR_DENIED 3

/* A system call, and the value of the argument that tells its uses apart. 0: any. */
struct denial {
    long call;
    unsigned int value;
};

/* The place of that argument. */
static inline int argument_of(long call)
{
    return call == SYS_userfaultfd ? 0 : call == SYS_ioctl ? 1 : 2;
}

/* From now on answers these calls by @action.
 * @flags are those of seccomp(2). Returns a listener, 0, or -1. */
static inline int close_filter(const struct denial *denied, size_t nr, uint32_t action, unsigned int flags)
{
    struct sock_filter code[NR_DENIED * 5 + 1];
    struct sock_fprog program = { .filter = code };

    for (size_t i = 0; i < nr; i++) {
        struct sock_filter one[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, denied[i].call, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                     offsetof(struct seccomp_data, args) + 8 * argument_of(denied[i].call)),
            BPF_JUMP(BPF_JMP | (denied[i].value ? BPF_JEQ : BPF_JGE) | BPF_K, denied[i].value, 0, 1),
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

/* refusal-steps.c */
TCase *tcase_of_reasons(void);

#endif
