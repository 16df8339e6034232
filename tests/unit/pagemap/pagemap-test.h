/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the pagemap tests share. A scan has one of two sources, the ioctl or reads. Most tests
 * run once for each source that works here, and choose it by WW_PAGEMAP. What a test expects depends on
 * ww_pagemap_categories() and ww_pagemap_flags(); only test_known_categories and the tests that compare
 * sources look at a source's name.
 */
#ifndef WW_TESTS_UNIT_PAGEMAP_TEST_H
#define WW_TESTS_UNIT_PAGEMAP_TEST_H

#include "util.h"
#include "writewatch-pagemap.h"

#define MAX_REGIONS 4096

/* The sources that work here, the best first. */
extern const char *sources[2];
extern int nr_sources;

/* A buffer for one scan. */
extern struct ww_page_region found[MAX_REGIONS];

/* Leaves a test whose condition is not met, and prints why. */
#define SKIP_UNLESS(cond, reason)                                                                            \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            printf("SKIP %s: %s\n", __func__, reason);                                                       \
            fflush(stdout);                                                                                  \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

static inline struct ww_pagemap *open_source(const char *source, pid_t pid)
{
    struct ww_pagemap *pagemap = NULL;

    ck_assert_int_eq(setenv("WW_PAGEMAP", source, 1), 0);
    ck_assert_int_eq(ww_pagemap_open(&pagemap, pid), 0);
    ck_assert_str_eq(ww_pagemap_source(pagemap), source);
    return pagemap;
}

/* Opens this process, with the source of this step of a loop test; in other tests, with the best one. */
#define OPEN() open_source(sources[_i], 0)

/* Whether @pagemap knows all of these categories. */
static inline bool knows(const struct ww_pagemap *pagemap, uint64_t categories)
{
    return !(categories & ~ww_pagemap_categories(pagemap));
}

/* Scans in one call, and draws a map with a character per page: '#' where the page matches. */
static inline void scan_map(struct ww_pagemap *pagemap, struct ww_pagemap_scan *scan, char *ret_map)
{
    size_t page = page_size();
    ssize_t nr = ww_pagemap_scan(pagemap, scan, found, MAX_REGIONS);

    ck_assert_int_ge(nr, 0);
    ck_assert_uint_ge(scan->walk_end, scan->end);
    memset(ret_map, '.', (scan->end - scan->start) / page);
    for (ssize_t i = 0; i < nr; i++) {
        memset(ret_map + (found[i].start - scan->start) / page, '#', (found[i].end - found[i].start) / page);
    }
}

/* Checks which of the pages from @base on have all of @categories: those with '#' in @map. */
static inline void expect_pages(struct ww_pagemap *pagemap, const char *base, uint64_t categories,
                                uint64_t flags, const char *map)
{
    struct ww_pagemap_scan scan = {
        .flags = flags,
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + strlen(map) * page_size(),
        .category_mask = categories,
        /* Keeps every kernel off its fast path, which counts pages that do not exist. */
        .category_anyof_mask = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED,
        .return_mask = categories,
    };
    char *got = malloc(strlen(map) + 1);

    scan_map(pagemap, &scan, got);
    compare_maps("pages", true, got, map, strlen(map));
    free(got);
}

/* Runs a function in a child, which must exit with 0. */
void in_child(void (*function)(void *), void *arg);

/* A userfaultfd with WP_ASYNC, or -1. */
int open_async_uffd(void);
void register_pages(int uffd, const char *base, size_t nr);

void add_filter_cases(Suite *suite);
void add_process_cases(Suite *suite);
void add_protect_cases(Suite *suite);
void add_reason_cases(Suite *suite);

#endif
