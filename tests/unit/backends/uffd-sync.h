/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the tests of the uffd-sync backend share. They are linked with the engine and know its
 * insides. test-contract tests the contract that all backends meet.
 */
#ifndef WW_TESTS_UNIT_UFFD_SYNC_H
#define WW_TESTS_UNIT_UFFD_SYNC_H

#include "backends/uffd_sync/uffd_sync.h"
#include "context.h"
#include "util.h"

#define SYNC "uffd-sync"

/* Opened for each test, in its process. */
extern struct ww_context *ctx;

static inline struct ww_sync *sync_of(void)
{
    return atomic_load(&ctx->tracker)->priv;
}

static inline bool has_cap(uint32_t cap)
{
    return ww_backend_caps(ctx) & cap;
}

/* Leaves a test that needs this capability, with the reason. */
#define NEEDS(cap)                                                                                           \
    do {                                                                                                     \
        if (!has_cap(cap)) {                                                                                 \
            printf("SKIP %s: it lacks " #cap " here\n", __func__);                                           \
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

void add_held_cases(TCase *tcase);
void add_late_cases(TCase *tcase);
void add_world_cases(TCase *tcase);
void add_memory_cases(TCase *tcase);

#endif
