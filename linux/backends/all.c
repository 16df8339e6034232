/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backends of the library and the command. Weak: the preload has a shorter table of its own. */
#include "backend.h"

/* Fastest first. backend.c prefers capabilities over this order. */
__attribute__((weak)) const struct ww_backend *const ww_backends[] = {
    &ww_backend_uffd, &ww_backend_mprotect, &ww_backend_softdirty, &ww_backend_uffd_sync, &ww_backend_none,
};

__attribute__((weak)) const size_t ww_nr_backends = sizeof(ww_backends) / sizeof(ww_backends[0]);
