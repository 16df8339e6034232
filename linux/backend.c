/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of backends, and the choice between them: each is probed by its
 * effect, in this process, now. This is the only place that decides.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

unsigned int ww_page_shift;

/* Best first. */
const struct ww_backend *const ww_backends[] = {
    &ww_backend_uffd,
    &ww_backend_mprotect,
    NULL,
};

void ww_page_size_init(void)
{
    ww_page_shift = __builtin_ctzl(sysconf(_SC_PAGESIZE));
}

static int probe_backend(const struct ww_backend *backend, struct ww_probe *ret)
{
    *ret = (struct ww_probe){ .name = backend->name, .caps = backend->caps, .reason = "works" };
    ret->error = backend->probe(ret);
    return ret->error;
}

WW_API ssize_t ww_probe(struct ww_probe *ret_probes, size_t capacity)
{
    struct ww_probe probe;
    size_t i;

    if (!ret_probes && capacity) {
        return -EINVAL;
    }
    ww_page_size_init();
    for (i = 0; ww_backends[i]; i++) {
        if (i < capacity) {
            probe_backend(ww_backends[i], &probe);
            ret_probes[i] = probe;
        }
    }
    return i;
}

/* Opens the named backend, or the first that works. */
int ww_backend_choose(const char *name, struct ww_context *ctx)
{
    int err = -EINVAL, first_err = 0;

    for (size_t i = 0; ww_backends[i]; i++) {
        struct ww_probe probe;

        if (name && strcmp(name, ww_backends[i]->name)) {
            continue;
        }
        ctx->backend = ww_backends[i];
        err = probe_backend(ctx->backend, &probe);
        if (!err) {
            err = ctx->backend->open(ctx);
        }
        if (!err) {
            return 0;
        }
        first_err = first_err ? first_err : err;
    }
    return first_err ? first_err : err;
}
