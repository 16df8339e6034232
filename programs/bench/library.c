/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The peer over the public contract: any backend of the library, by its name. It does what a caller with
 * fresh private memory would do, and no more.
 */
#include <sys/mman.h>

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
    return ww_watch(state, area->base, area->len, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS);
}

static int library_allocate(void *state, size_t len, bool sparse, struct bench_area *ret_area)
{
    (void)sparse;
    return bench_map_watched(library_watch, state, len, ret_area);
}

static int library_release(void *state, const struct bench_area *area)
{
    int err = ww_unwatch(state, area->base, area->len);

    return err ? err : bench_unmap(area);
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

static int library_decommit(void *state, const struct bench_area *area)
{
    int err = bench_drop(area);

    return err ? err : ww_discard(state, area->base, area->len);
}

static int library_protect(void *state, const struct bench_area *area, bool writable)
{
    int err = ww_latch(state, area->base, area->len);

    return err ? err : ww_protect(state, area->base, area->len, PROT_READ | (writable ? PROT_WRITE : 0));
}

const struct bench_ops bench_library_ops = {
    .open = library_open,
    .close = library_close,
    .allocate = library_allocate,
    .release = library_release,
    .commit = bench_kernel_ops_commit,
    .get = library_get,
    .reset = library_reset,
    .decommit = library_decommit,
    .protect = library_protect,
};
