/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of test-malloc share. A case runs in a process of its own, where no check of libcheck's is
 * made, which belong to its own processes: MUST() notes what is wrong.
 */
#ifndef MALLOC_TEST_H
#define MALLOC_TEST_H

#include "util.h"

#define NR 64

extern struct ww_context *ctx;
extern char *base; /* NR pages */
extern void *pages[NR];

extern const char *doing; /* what the case is at */
extern const char *wrong;

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        doing = #condition;                                                                                  \
        if (!(condition) && !wrong) {                                                                        \
            wrong = #condition;                                                                              \
        }                                                                                                    \
    } while (0)

/* @name is a backend's; an empty one leaves the choice to ww_open(). */
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

/* Whether malloc() or its like was called with signals blocked, in this process. */
bool was_called_blocked(void);

/* A backend that is replaced: what breaks, the call that meets it, and whether memory is filled on demand. */
struct replacement {
    size_t breakage, meeting;
    bool on_demand;
};
extern const size_t nr_replacements;
struct replacement replacement_of(size_t index);
void describe_replacement(size_t index, char *ret_text, size_t size);
void run_replacement(size_t index, const char *name);

#endif
