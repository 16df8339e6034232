/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the fill suite share. The suite runs for each backend that works here; for one with
 * WW_CAP_KERNEL_FILLS, root runs it a second time without CAP_SYS_PTRACE, when a userfaultfd does not see the
 * faults of system calls. A test looks at capabilities, never at a backend's name. A part is added only if
 * the backend has the capability that the part is about.
 */
#ifndef WW_TESTS_UNIT_FILL_H
#define WW_TESTS_UNIT_FILL_H

#include "contract.h"

/* A word of the image. All pages differ, and no word is 0. */
static inline uint64_t image_word(uint64_t seed, size_t page, size_t word)
{
    uint64_t state = seed * 1000003 + page * 4099 + word;

    return next_random(&state) | 1;
}

static inline void make_image(void *to, uint64_t seed, size_t first, size_t nr)
{
    uint64_t *word = to;

    for (size_t page = first; page < first + nr; page++) {
        for (size_t i = 0; i < page_size() / sizeof(*word); i++) {
            *word++ = image_word(seed, page, i);
        }
    }
}

static inline char *map_image(uint64_t seed, size_t nr)
{
    char *image = map_pages(nr);

    make_image(image, seed, 0, nr);
    return image;
}

/* Whether the page holds the image. Reads every word itself, because a system call may fail on a missing
 * page. */
static inline bool has_image(const char *base, uint64_t seed, size_t page)
{
    const volatile uint64_t *words = (const volatile uint64_t *)(base + page * page_size());
    bool same = true;

    for (size_t i = 0; i < page_size() / sizeof(*words); i++) {
        same &= words[i] == image_word(seed, page, i);
    }
    return same;
}

static inline void expect_image(const char *base, uint64_t seed, size_t first, size_t nr)
{
    for (size_t page = first; page < first + nr; page++) {
        ck_assert_msg(has_image(base, seed, page), "page %zu does not hold the image", page);
    }
}

/* Whether the page is all zero. Reads it. */
static inline bool has_zeros(const char *base, size_t page)
{
    const volatile uint64_t *words = (const volatile uint64_t *)(base + page * page_size());
    uint64_t any = 0;

    for (size_t i = 0; i < page_size() / sizeof(*words); i++) {
        any |= words[i];
    }
    return !any;
}

/* Waits until the thread sleeps. It only touches a page, so it waits for the page's content then. */
static inline void await_sleep(int tid)
{
    char path[64], stat[256], state = 'R';

    while (state != 'S' && state != 'D') {
        FILE *file;
        char *end;

        usleep(1000);
        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
        file = fopen(path, "re");
        if (!file) {
            continue;
        }
        end = fgets(stat, sizeof(stat), file) ? strrchr(stat, ')') : NULL;
        state = end ? end[2] : 'R';
        fclose(file);
    }
}

void add_refusal_cases(Suite *suite);
void add_fill_cases(Suite *suite);
void add_demand_cases(Suite *suite);
void add_demand_end_cases(Suite *suite);

#endif
