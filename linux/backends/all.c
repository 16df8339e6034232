/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backends of the library and the command. A program that links another table has fewer of them. */
#include "backend.h"

/* Fastest first. backend.c prefers capabilities over this order. */
const struct ww_backend *const ww_backends[] = {
    &ww_backend_uffd, &ww_backend_mprotect, &ww_backend_softdirty, &ww_backend_uffd_sync, &ww_backend_none,
};

const size_t ww_nr_backends = sizeof(ww_backends) / sizeof(ww_backends[0]);
