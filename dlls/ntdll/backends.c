/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backends of libwritewatch-ntdll.so: those that Wine programs get. This table takes the place of the
 * engine's, and the linker leaves the others out. libwritewatch-ntdll-all.so has the engine's table.
 */
#include "backend.h"

const struct ww_backend *const ww_backends[] = { &ww_backend_uffd, &ww_backend_none };
const size_t ww_nr_backends = sizeof(ww_backends) / sizeof(ww_backends[0]);
