/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What subcommands find here: the preload, the backends, and which of them Wine programs get. */
#ifndef WW_PROGRAMS_COMMON_SURVEY_H
#define WW_PROGRAMS_COMMON_SURVEY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "writewatch.h"

#define PRELOAD_NAME "libwritewatch-ntdll.so"
#define NR_PLACES 4

/* What the preload takes if none is forced (dlls/ntdll/attach.c). */
#define WINE_BACKEND "uffd"

/* What ww_probe() says, all of it. */
struct backends {
    struct ww_probe probe[8];
    size_t nr;
};

/* Where the preload may be, in the order of preference, and which of it is the one. */
struct preload {
    char place[NR_PLACES][PATH_MAX]; /* "" where there is none */
    const char *path;                /* absolute; NULL: not found */
    char entry[PATH_MAX]; /* what LD_PRELOAD has to hold: the path, or one with $LIB for both word sizes */
};

/* The directory of this program, without a slash at the end. False: unknown. */
bool own_directory(char *ret, size_t size);
void find_preload(struct preload *ret);
const char *preload_obstacle(const struct preload *preload);
void probe_backends(struct backends *ret);
const struct ww_probe *find_backend(const struct backends *backends, const char *name);
const char *forced_backend(void);
bool preload_is_disabled(void);
struct ww_probe wine_backend(const struct backends *backends);

#endif
