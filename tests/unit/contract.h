/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the contract suite share. The suite runs once for each
 * backend that works here; a test may look at the capability bits of the one in
 * use, never at its name.
 */
#ifndef WW_TESTS_UNIT_CONTRACT_H
#define WW_TESTS_UNIT_CONTRACT_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "util.h"

/* The backend in use, and all that work here. */
extern const struct ww_probe *backend;
extern struct ww_probe backends[MAX_BACKENDS];
extern size_t nr_backends;

/* Opened for each test, in its process. */
extern struct ww_context *ctx;

static inline bool has_cap(uint32_t cap)
{
    return (ww_backend_caps(ctx) & cap) == cap;
}

/* Leaves a test that says nothing about a backend without this capability. */
#define NEEDS(cap)                                                                                           \
    do {                                                                                                     \
        if (!has_cap(cap)) {                                                                                 \
            if (!_i) {                                                                                       \
                printf("SKIP %s on %s: it lacks " #cap "\n", __func__, backend->name);                       \
            }                                                                                                \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

/* Fresh memory, watched. */
static inline char *watch_pages(size_t nr)
{
    char *base = map_pages(nr);

    ck_assert_int_eq(ww_watch(ctx, base, nr * page_size(), WW_WATCH_FRESH), 0);
    return base;
}

/* Forgets everything in the range and makes sure that it did. */
static inline void reset_pages(char *base, size_t nr)
{
    ck_assert_int_eq(ww_reset(ctx, base, nr * page_size()), 0);
    expect_number(ctx, ww_count(ctx, base, nr * page_size()), 0, nr);
}

/* From now on, in this thread, the system call @nr fails with @error, as far as its second argument
 * is @arg, if that is not 0. */
static inline void deny(long nr, unsigned int arg, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 3),
        /* The low half, which comes first on the machines we know. */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | (arg ? BPF_JEQ : BPF_JGE) | BPF_K, arg, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_msg(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp: %s", strerror(errno));
}

/* A part of the suite with the context opened and closed around each test. */
TCase *new_case(Suite *suite, const char *name);

void add_answer_cases(Suite *suite);
void add_size_cases(Suite *suite);
void add_argument_cases(Suite *suite);
void add_mapping_cases(Suite *suite);
void add_process_cases(Suite *suite);
void add_quiet_cases(Suite *suite);
void add_random_cases(Suite *suite);
void add_shared_cases(Suite *suite);
void add_choice_cases(Suite *suite);
void add_handover_cases(Suite *suite);
void add_odd_cases(Suite *suite);

#endif
