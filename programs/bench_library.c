/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benchmark's peer over the public contract: any backend of the library, by
 * its name. What a caller with fresh private memory would do, and no more.
 */
#include "bench.h"

static int library_open(const struct bench_peer *peer, void **ret_state)
{
    struct ww_context *ctx;
    int err = ww_open(&ctx, peer->name);

    if (!err) {
        *ret_state = ctx;
    }
    return err;
}

static void library_close(void *state)
{
    ww_close(state);
}

static int library_watch(void *state, const struct bench_area *area)
{
    return ww_watch(state, area->base, area->len, WW_WATCH_FRESH | WW_WATCH_LAZY);
}

static int library_unwatch(void *state, const struct bench_area *area)
{
    return ww_unwatch(state, area->base, area->len);
}

static ssize_t library_get(void *state, const struct bench_area *area, bool reset, void **ret_pages,
                           size_t capacity)
{
    return ww_get_pages(state, area->base, area->len, reset ? WW_GET_RESET : 0, ret_pages, capacity);
}

static int library_reset(void *state, const struct bench_area *area)
{
    return ww_reset(state, area->base, area->len);
}

static int library_discard(void *state, const struct bench_area *area)
{
    return ww_discard(state, area->base, area->len);
}

static int library_protect(void *state, const struct bench_area *area, int prot)
{
    int err = ww_latch(state, area->base, area->len);

    return err ? err : ww_protect(state, area->base, area->len, prot);
}

const struct bench_way bench_library_way = {
    .open = library_open,
    .close = library_close,
    .watch = library_watch,
    .unwatch = library_unwatch,
    .get = library_get,
    .reset = library_reset,
    .discard = library_discard,
    .protect = library_protect,
};
