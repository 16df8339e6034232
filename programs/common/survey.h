/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the preload, the backends, and which of them Wine programs get. */
#ifndef WW_PROGRAMS_COMMON_SURVEY_H
#define WW_PROGRAMS_COMMON_SURVEY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "writewatch.h"

#define PRELOAD_NAME "libwritewatch-ntdll.so"
#define PRELOAD_ALL_NAME "libwritewatch-ntdll-all.so" /* with all backends */
#define NR_PLACES 4

/* The backend of the preload unless another is forced (dlls/ntdll/attach.c). */
#define WINE_BACKEND "uffd"

/* The whole result of ww_probe(). */
struct backends {
    struct ww_probe probe[8];
    size_t nr;
};

/* The places where the preload may be, best first, and the one where it is. */
struct preload {
    char place[NR_PLACES][PATH_MAX]; /* "" where there is none */
    const char *path;                /* absolute; NULL: not found */
    char file[PATH_MAX];             /* what path points to */
    char entry[PATH_MAX];            /* for LD_PRELOAD: the path, or one with $LIB for both word sizes */
};

/* The directory of this program, without a slash at the end. False: unknown. */
bool own_directory(char *ret, size_t size);

/* Looks for the module with all backends first where WW_BACKEND names one that the other has not. */
void find_preload(struct preload *ret);

/* Why the preload cannot be loaded, or NULL. */
const char *preload_obstacle(const struct preload *preload);

void probe_backends(struct backends *ret);
const struct ww_probe *find_backend(const struct backends *backends, const char *name);

/* WW_BACKEND and WW_DISABLE, as ww_open() and the preload read them. */
const char *forced_backend(void);
bool preload_is_disabled(void);

/* What the preload will use, the forced backend or the default one, whether it works or not. */
struct ww_probe wine_backend(const struct backends *backends);

#endif
