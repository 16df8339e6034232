/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of test-malloc share. Each case runs in a process of its own, which libcheck did not fork,
 * so its assertions do not work there: MUST() records the first condition that is false.
 */
#ifndef MALLOC_TEST_H
#define MALLOC_TEST_H

#include "util.h"

#define NR 64

extern struct ww_context *ctx;
extern char *base; /* NR pages */
extern void *pages[NR];

extern const char *doing; /* what the case does now */
extern const char *wrong; /* the first condition that was false, or NULL */

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        doing = #condition;                                                                                  \
        if (!(condition) && !wrong) {                                                                        \
            wrong = #condition;                                                                              \
        }                                                                                                    \
    } while (0)

/* @name names a backend; if it is empty, ww_open() chooses. */
void open_one(const char *name);
void open_and_watch(const char *name);
void watch_on_demand(char *start, size_t nr);

extern struct ww_win32 *win32;
void open_win32(void);
void use_win32(void);

extern const struct malloc_case {
    const char *name;
    void (*run)(const char *name);
} cases[];
extern const size_t nr_cases;

/* Whether this process has called malloc(), or a function of its family, with signals blocked. */
bool was_called_blocked(void);

/* How a backend is replaced: what breaks, the call that notices it first, and whether memory is filled on
 * demand. */
struct replacement {
    size_t breakage, meeting;
    bool on_demand;
};
extern const size_t nr_replacements;
struct replacement replacement_of(size_t index);
void describe_replacement(size_t index, char *ret_text, size_t size);
void run_replacement(size_t index, const char *name);

#endif
