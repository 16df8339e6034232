/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds the preload, the backends, and which of them Wine programs get. Prints nothing.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "survey.h"

/* The preload's folder below a directory for libraries. */
#define BELOW_LIB "/writewatch/"

bool own_directory(char *ret, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", ret, size - 1);
    char *slash;

    if (len < 0) {
        return false;
    }
    ret[len] = '\0';
    slash = strrchr(ret, '/');
    if (!slash) {
        return false;
    }
    *slash = '\0';
    return true;
}

static void set_place(char *ret, const char *directory, const char *below)
{
    int len = snprintf(ret, PATH_MAX, "%s%s/%s", directory, below, PRELOAD_NAME);

    if (len < 0 || len >= PATH_MAX) {
        ret[0] = '\0';
    }
}

/* The fixed paths of the dynamic loaders of x86: this program's, and the one of the other word size. */
#ifdef __x86_64__
static const char own_loader[] = "/lib64/ld-linux-x86-64.so.2", other_loader[] = "/lib/ld-linux.so.2";
#else
static const char own_loader[] = "/lib/ld-linux.so.2", other_loader[] = "/lib64/ld-linux-x86-64.so.2";
#endif

/*
 * What $LIB stands for in this dynamic loader, such as lib64 or lib/i386-linux-gnu: the directory that its
 * glibc was configured for, where the fixed path of the loader leads to. False: there is no such loader.
 */
static bool loader_directory(char ret[PATH_MAX], const char *loader)
{
    const char *name;
    char *slash;

    if (!realpath(loader, ret)) {
        return false;
    }
    slash = strrchr(ret, '/');
    if (slash == ret) {
        return false;
    }
    *slash = '\0';
    name = ret + (strncmp(ret, "/usr/", 5) ? 1 : 5);
    memmove(ret, name, strlen(name) + 1);
    return true;
}

/*
 * Sets what goes into LD_PRELOAD: the path, but with $LIB if there is a preload for each word size where $LIB
 * leads. Then each dynamic loader takes its own, and complains about neither.
 */
static void set_entry(struct preload *preload, const char *name)
{
    char own[PATH_MAX], other[PATH_MAX], end[PATH_MAX], sibling[PATH_MAX];
    const char *path = preload->path;
    size_t path_len = strlen(path), end_len;
    int prefix_len, len;

    snprintf(preload->entry, sizeof(preload->entry), "%s", path);
    if (!loader_directory(own, own_loader) || !loader_directory(other, other_loader) || !strcmp(own, other)) {
        return;
    }
    len = snprintf(end, sizeof(end), "/%s" BELOW_LIB "%s", own, name);
    end_len = len;
    if (len < 0 || end_len >= sizeof(end) || end_len > path_len || strcmp(path + path_len - end_len, end)) {
        return;
    }
    prefix_len = path_len - end_len;
    len = snprintf(sibling, sizeof(sibling), "%.*s/%s" BELOW_LIB "%s", prefix_len, path, other, name);
    if (len >= 0 && len < (int)sizeof(sibling) && !access(sibling, R_OK)) {
        snprintf(preload->entry, sizeof(preload->entry), "%.*s/$LIB" BELOW_LIB "%s", prefix_len, path, name);
    }
}

/* Takes the module of this name at the first place that has it. */
static bool take_module(struct preload *preload, const char *name)
{
    for (size_t i = 0; i < NR_PLACES; i++) {
        const char *place = preload->place[i], *slash = strrchr(place, '/');
        int len;

        if (place[0] != '/') {
            continue;
        }
        len = snprintf(preload->file, PATH_MAX, "%.*s/%s", (int)(slash - place), place, name);
        if (len >= 0 && len < PATH_MAX && !access(preload->file, R_OK)) {
            preload->path = preload->file;
            set_entry(preload, name);
            return true;
        }
    }
    return false;
}

/* Whether WW_BACKEND names a backend that only the module with all of them has (dlls/ntdll/backends.c). */
static bool forced_needs_all(void)
{
    const char *forced = forced_backend();

    return forced && strcmp(forced, WINE_BACKEND) && strcmp(forced, "none");
}

/*
 * The build tree comes first, then the places next to this program, so that a relocated installation takes
 * its own preload, then the configured place.
 */
void find_preload(struct preload *ret)
{
    char dir[PATH_MAX], loader[PATH_MAX], lib[PATH_MAX + 16];
    char *slash;

    *ret = (struct preload){ .path = NULL };
    if (own_directory(dir, sizeof(dir))) {
        set_place(ret->place[0], dir, "/.libs");
        slash = strrchr(dir, '/');
        if (slash) {
            *slash = '\0';
        }
        if (loader_directory(loader, own_loader) && strcmp(loader, "lib")) {
            snprintf(lib, sizeof(lib), "/%s/writewatch", loader);
            set_place(ret->place[1], dir, lib);
        }
        set_place(ret->place[2], dir, "/lib/writewatch");
    }
    set_place(ret->place[3], PKGLIBDIR, "");
    if (!strcmp(ret->place[1], ret->place[3]) || !strcmp(ret->place[2], ret->place[3])) {
        ret->place[3][0] = '\0';
    }
    if (!forced_needs_all() || !take_module(ret, PRELOAD_ALL_NAME)) {
        take_module(ret, PRELOAD_NAME);
    }
}

const char *preload_obstacle(const struct preload *preload)
{
    if (!preload->path) {
        return PRELOAD_NAME " was not found";
    }
    if (strpbrk(preload->path, " :")) {
        return "its path has a space or a colon, which LD_PRELOAD cannot express";
    }
    return NULL;
}

void probe_backends(struct backends *ret)
{
    size_t capacity = sizeof(ret->probe) / sizeof(ret->probe[0]);
    ssize_t nr = ww_probe(ret->probe, capacity);

    ret->nr = nr < 0 ? 0 : (size_t)nr < capacity ? (size_t)nr : capacity;
}

const struct ww_probe *find_backend(const struct backends *backends, const char *name)
{
    for (size_t i = 0; i < backends->nr; i++) {
        if (!strcmp(backends->probe[i].name, name)) {
            return &backends->probe[i];
        }
    }
    return NULL;
}

const char *forced_backend(void)
{
    const char *name = secure_getenv("WW_BACKEND");

    return name && name[0] ? name : NULL;
}

bool preload_is_disabled(void)
{
    const char *value = secure_getenv("WW_DISABLE");

    return value && value[0];
}

struct ww_probe wine_backend(const struct backends *backends)
{
    const char *forced = forced_backend();
    const struct ww_probe *probe = find_backend(backends, forced ? forced : WINE_BACKEND);

    if (preload_is_disabled()) {
        return (struct ww_probe){
            .name = forced ? forced : WINE_BACKEND,
            .error = -ECANCELED,
            .reason = "WW_DISABLE is set",
            .remedy = "unset it",
        };
    }
    if (probe && !probe->error && !(probe->caps & WW_CAP_KERNEL_WRITES)) {
        return (struct ww_probe){
            .name = probe->name,
            .error = -EOPNOTSUPP,
            .reason = "with this backend system calls fail on watched memory, which Wine does not tolerate",
            .remedy = "unset WW_BACKEND",
        };
    }
    if (probe) {
        return *probe;
    }
    return (struct ww_probe){
        .name = forced ? forced : WINE_BACKEND,
        .error = -EINVAL,
        .reason = "WW_BACKEND names no backend",
        .remedy = "unset it, or take one that '" PROGRAM " probe' lists",
    };
}
