/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * START HERE for the preload. Wine's loader opens ntdll.so and then calls into it. This file interposes
 * dlopen(), and when ntdll.so is opened it puts our calls into the system call table, before any Windows code
 * runs.
 *
 * If anything is not as expected, nothing is changed, and one line says why if WW_DEBUG is set. In programs
 * that are not Wine, dlopen() only jumps to the next one.
 */
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf.h"
#include "hook.h"
#include "remote.h"

/* Only glibc has it. With another C library the preload loads as well, and does nothing: functions that it
 * needs may be missing (glibc.S). */
extern const char *gnu_get_libc_version(void) __attribute__((weak));

typedef void *(*dlopen_fn)(const char *, int);

static void say(const char *format, const char *a, const char *b, const char *c)
{
    if (secure_getenv("WW_DEBUG")) {
        dprintf(2, format, a, b, c);
    }
}

static void stay_out(const char *what, const char *why)
{
    say("writewatch: staying out: %s%s%s\n", what, why[0] ? ": " : "", why);
}

/* ---- is this Wine, and does it look as expected? ---- */

/* A handle is glibc's description of the object. dlsym() is not called, since other preloads interpose it. */
static bool find_ntdll(void *ntdll, struct elf_object *ret)
{
    if (elf_find_object(((struct link_map *)ntdll)->l_ld, ret)) {
        stay_out("ntdll.so is not among the loaded objects", "");
        return false;
    }
    return true;
}

static bool find_functions(const struct elf_object *ntdll, struct hook_wine *ret)
{
    const struct {
        const char *name;
        void **function;
    } called[] = {
        { "NtQueryPerformanceCounter", &ret->query_performance_counter },
        { "NtCompareObjects", &ret->compare_objects },
        { "NtQueryObject", &ret->query_object },
        { "NtQueryInformationProcess", &ret->query_process },
        { "NtQueryVirtualMemory", &ret->query_virtual_memory },
    };

    if (!elf_find_export(ntdll, "__wine_main")) {
        stay_out("this ntdll.so is not Wine's", "");
        return false;
    }
    for (int call = 0; call < NR_NT_CALLS; call++) {
        ret->functions[call] = elf_find_export(ntdll, hook_names[call]);
        if (!ret->functions[call]) {
            stay_out("ntdll.so does not export", hook_names[call]);
            return false;
        }
    }
    for (size_t i = 0; i < sizeof(called) / sizeof(called[0]); i++) {
        *called[i].function = elf_find_export(ntdll, called[i].name);
        if (!*called[i].function) {
            stay_out("ntdll.so does not export", called[i].name);
            return false;
        }
    }
    return true;
}

/* The system call table has each function once. Otherwise this Wine is not a known one. */
static bool find_slots(const struct hook_wine *wine, const struct elf_object *object,
                       void **slots[NR_NT_CALLS])
{
    for (int call = 0; call < NR_NT_CALLS; call++) {
        size_t nr = elf_find_pointer(object, wine->functions[call], &slots[call]);

        if (nr != 1) {
            stay_out(nr ? "more than one system call slot for" : "no system call slot for", hook_names[call]);
            return false;
        }
    }
    return true;
}

/* ---- attach ---- */

/* Why a backend was not opened, in its own words. mprotect is refused everywhere, so it need not be linked
 * for that. */
static const char *backend_reason(const char *name)
{
    static const char breaks_calls[] =
        "system calls fail on memory watched this way, so Wine's own watch stays";
    bool is_left_out = !strcmp(name, "uffd-sync") || !strcmp(name, "softdirty"); /* backends.c */
    struct ww_probe probes[8];
    ssize_t nr;

    if (!strcmp(name, "mprotect")) {
        return breaks_calls;
    }
    nr = ww_probe(probes, 8);
    for (ssize_t i = 0; i < nr && i < 8; i++) {
        if (!strcmp(probes[i].name, name)) {
            return probes[i].error ? probes[i].reason : breaks_calls;
        }
    }
    return is_left_out
               ? "not in this preload; take libwritewatch-ntdll-all.so beside it, as 'writewatch run' does"
               : "no such backend";
}

/*
 * Wine needs a backend that records what the kernel writes. It reads replies of its server straight into the
 * program's buffers, and a read() that fails with EFAULT there ends the process. Wine's own emulation knows
 * those places, ours cannot.
 */
static struct ww_context *open_context(void)
{
    const char *backend = secure_getenv("WW_BACKEND");
    struct ww_context *ctx;

    if (!backend || !backend[0]) {
        backend = "uffd";
    }
    if (ww_open_with(&ctx, backend, WW_CAP_KERNEL_WRITES)) {
        stay_out(backend, backend_reason(backend));
        return NULL;
    }
    return ctx;
}

/* The pointers that are replaced: the imports, then the slots of the system calls. */
#define NR_POINTERS (REMOTE_NR_IMPORTS + NR_NT_CALLS)

/* Finds the slots and their new values. Changes nothing. Returns the calling convention's name, or NULL. */
static const char *prepare(const struct hook_wine *wine, const struct elf_object *object,
                           struct ww_context *ctx, void **slots[NR_POINTERS], void *values[NR_POINTERS])
{
    const char *convention = hook_learn_convention(wine), *import;
    int err;

    if (!convention) {
        stay_out("unknown calling convention", "");
        return NULL;
    }
    err = remote_prepare(object, ctx, slots, values, &import);
    if (err) {
        stay_out(err == -EEXIST ? "somebody else stands in for the import" : "ntdll.so does not import",
                 import);
        return NULL;
    }
    if (hook_prepare(wine, ctx, values + REMOTE_NR_IMPORTS)) {
        stay_out("libffi cannot make the calls", "");
        return NULL;
    }
    return convention;
}

/* By the user. An empty value does not count. */
static bool is_disabled(void)
{
    const char *value = secure_getenv("WW_DISABLE");

    return value && value[0];
}

/* For `writewatch run --stats`. A failure changes nothing else. */
static void publish(const struct ww_context *ctx, const char *convention)
{
    const char *folder = secure_getenv("WW_STATS");
    struct counters *counters =
        folder && folder[0] == '/' ? stats_open(folder, ww_backend_name(ctx), convention) : NULL;

    if (counters) {
        hook_count(counters);
    } else if (folder && folder[0]) {
        say("writewatch: no statistics in %s: %s%s\n", folder,
            folder[0] == '/' ? strerror(errno) : "not a full path", "");
    }
}

static void attach(void *ntdll, const char *path)
{
    void **slots[NR_POINTERS], *values[NR_POINTERS];
    struct elf_object object;
    struct hook_wine wine;
    struct ww_context *ctx;
    const char *convention;

    if (is_disabled()) {
        stay_out("WW_DISABLE is set", "");
        return;
    }
    if (!find_ntdll(ntdll, &object) || !find_functions(&object, &wine) ||
        !find_slots(&wine, &object, slots + REMOTE_NR_IMPORTS)) {
        return;
    }
    ctx = open_context();
    if (!ctx) {
        return;
    }
    convention = prepare(&wine, &object, ctx, slots, values);
    if (convention) {
        int err;

        publish(ctx, convention);
        err = elf_replace_pointers(&object, slots, values, NR_POINTERS);

        if (!err) {
            say("writewatch: attached to %s (%s calls, backend %s)\n", path, convention,
                ww_backend_name(ctx));
            return;
        }
        stay_out("the system call table cannot be changed", strerror(-err));
    }
    ww_close(ctx);
}

/* ---- dlopen ---- */

#define MAX_DLOPENS 8

/* The definitions of dlopen() after ours in the order of lookup. The C library's is the last. */
struct dlopens {
    size_t nr;
    struct elf_definition definitions[MAX_DLOPENS];
};

static struct dlopens known;
static atomic_int knowledge; /* of `known`: 0 empty, 1 being written, 2 complete */

static void find_dlopens(struct dlopens *ret)
{
    size_t i = 0;

    ret->nr = elf_find_next("dlopen", (const void *)find_dlopens, ret->definitions, MAX_DLOPENS);
    while (i < ret->nr && !elf_find_export(&ret->definitions[i].object, "dlinfo")) {
        i++;
    }
    ret->nr = i < ret->nr ? i + 1 : ret->nr;
}

/*
 * A later preload that asks for the next dlopen() after its own may get ours. So a caller inside one of these
 * objects gets the definition after that object's, and no call comes back to it.
 */
static dlopen_fn choose_dlopen(const struct dlopens *dlopens, const void *caller)
{
    for (size_t i = 0; i + 1 < dlopens->nr; i++) {
        if (elf_contains(&dlopens->definitions[i].object, caller)) {
            return (dlopen_fn)dlopens->definitions[i + 1].function;
        }
    }
    return dlopens->nr ? (dlopen_fn)dlopens->definitions[0].function : NULL;
}

/* Takes no lock: the loader holds its own during callbacks, and a callback may open a library. */
static __attribute__((noinline)) dlopen_fn next_dlopen(const void *caller)
{
    struct dlopens found;
    int none = 0;

    if (atomic_load_explicit(&knowledge, memory_order_acquire) == 2) {
        return choose_dlopen(&known, caller);
    }
    find_dlopens(&found);
    if (found.nr && atomic_compare_exchange_strong(&knowledge, &none, 1)) {
        known = found;
        atomic_store_explicit(&knowledge, 2, memory_order_release);
    }
    return choose_dlopen(&found, caller);
}

/* Only a path that does not depend on the caller. $ORIGIN is the caller's folder. */
static bool is_ntdll(const char *file)
{
    const char *name = file ? strrchr(file, '/') : NULL;

    return name && !strcmp(name, "/ntdll.so") && !strchr(file, '$');
}

static __attribute__((noinline)) void *open_ntdll(dlopen_fn next, const char *file, int mode)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    void *ntdll = next(file, mode);

    if (ntdll && gnu_get_libc_version && !atomic_flag_test_and_set(&done)) {
        attach(ntdll, file);
    }
    return ntdll;
}

/*
 * dlopen() takes RUNPATH and $ORIGIN from its caller. So for all but ntdll.so this function must end in a
 * jump, not in a call: it has no local whose address is taken, and no stack protector. It finds the next
 * dlopen() without dlsym(): other preloads interpose that, and theirs takes its own caller for the caller, or
 * calls dlopen().
 */
__attribute__((visibility("default"), optimize("O2"), no_stack_protector)) void *dlopen(const char *file,
                                                                                        int mode)
{
    dlopen_fn next = next_dlopen(__builtin_return_address(0));

    if (!next) {
        return NULL;
    }
    return is_ntdll(file) ? open_ntdll(next, file, mode) : next(file, mode);
}
