/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another preload that replaces functions of the dynamic linker, as overlays over games
 * do. OVERLAY_x says which it replaces, and how it finds the original:
 *
 *   DLSYM      dlsym(), found by dlvsym(). The dynamic linker takes this object for the
 *              caller, so RTLD_NEXT is what follows this object
 *   OPENER     the same, by the C library's handle from dlopen()
 *   DLOPEN     dlopen(), found by dlsym(); prints a line on standard error for each call
 *   BOTH       dlsym() and dlopen(); its dlsym() returns its own dlopen(); and a
 *              constructor that opens a library
 *   DLVSYM     dlvsym(), found by dlsym()
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* dlsym() and dlopen() look at their return address: after a call that is in this object, after a jump in its
 * caller. */
#define BY_CALL __attribute__((optimize("no-optimize-sibling-calls")))
#define BY_JUMP __attribute__((optimize("O2"), no_stack_protector))

typedef void *(*dlsym_fn)(void *, const char *);
typedef void *(*dlopen_fn)(const char *, int);
typedef void *(*dlvsym_fn)(void *, const char *, const char *);

#if defined(OVERLAY_DLSYM) || defined(OVERLAY_OPENER) || defined(OVERLAY_BOTH)
static dlsym_fn real_dlsym(void)
{
    static const char *const versions[] = { "GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.0" };
    static dlsym_fn real;
#ifdef OVERLAY_OPENER
    void *from = real ? NULL : dlopen("libc.so.6", RTLD_LAZY);
#else
    void *from = RTLD_NEXT;
#endif

    for (int i = 0; !real && i < 3; i++) {
        real = (dlsym_fn)dlvsym(from, "dlsym", versions[i]);
    }
    return real;
}
#endif

#if defined(OVERLAY_DLSYM) || defined(OVERLAY_OPENER)
BY_CALL void *dlsym(void *handle, const char *name)
{
    return real_dlsym()(handle, name);
}
#endif

#if defined(OVERLAY_DLOPEN) || defined(OVERLAY_BOTH)
BY_JUMP void *dlopen(const char *file, int mode)
{
    static dlopen_fn real;

    if (!real) {
#ifdef OVERLAY_BOTH
        real = (dlopen_fn)real_dlsym()(RTLD_NEXT, "dlopen");
#else
        real = (dlopen_fn)dlsym(RTLD_NEXT, "dlopen");
#endif
    }
    fprintf(stderr, "overlay: dlopen %s\n", file ? file : "");
    return real(file, mode);
}
#endif

#ifdef OVERLAY_BOTH
BY_CALL void *dlsym(void *handle, const char *name)
{
    return strcmp(name, "dlopen") ? real_dlsym()(handle, name) : (void *)dlopen;
}

__attribute__((constructor)) static void open_something(void)
{
    dlopen("libm.so.6", RTLD_NOW);
}
#endif

#ifdef OVERLAY_DLVSYM
void *dlvsym(void *handle, const char *name, const char *version)
{
    static dlvsym_fn real;

    if (!real) {
        real = (dlvsym_fn)dlsym(RTLD_NEXT, "dlvsym");
    }
    return real(handle, name, version);
}
#endif
