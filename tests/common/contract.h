/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the contract suite share. The suite runs once for each
 * backend that works here; a test may look at the capability bits of the one in
 * use, never at its name.
 */
#ifndef WW_TESTS_UNIT_CONTRACT_H
#define WW_TESTS_UNIT_CONTRACT_H

#include <errno.h>

#include "backends.h"
#include "deny-call.h"

static inline bool has_cap(uint32_t cap)
{
    return (ww_backend_caps(ctx) & cap) == cap;
}

/* Returns from a test that does not apply to a backend without this capability. */
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

/* From now on the system call @nr fails with @error in this thread: every call of it, or, unless @arg is 0,
 * those whose second argument is @arg. */
static inline void deny(long nr, unsigned int arg, int error)
{
    ck_assert_msg(deny_call(nr, 1, arg, error, 0), "seccomp: %s", strerror(errno));
}

/* A part of the suite with the context opened and closed around each test. */
TCase *new_case(Suite *suite, const char *name);

void add_answer_cases(Suite *suite);
void add_size_cases(Suite *suite);
void add_argument_cases(Suite *suite);
void add_mapping_cases(Suite *suite);
void add_populated_cases(Suite *suite);
void add_process_cases(Suite *suite);
void add_lockless_cases(Suite *suite);
void add_random_cases(Suite *suite);
void add_shared_cases(Suite *suite);
void add_choice_cases(Suite *suite);
void add_handover_cases(Suite *suite);
void add_odd_cases(Suite *suite);
void add_next_cases(Suite *suite);
void add_required_cases(Suite *suite);

#endif
