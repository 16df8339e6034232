/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * START HERE. A guest calls a libffi closure, which knows the object that it is bound to and takes the
 * guest's calling convention as data. This file opens and closes that object, and has the table of names.
 * kernel32.c has the functions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "closure.h"
#include "kernel32.h"

/* ---- conventions ---- */

static int find_abi(enum ww_win32_convention convention, ffi_abi *ret)
{
    *ret = FFI_DEFAULT_ABI;
    if (convention == WW_WIN32_SYSV) {
        return 0;
    }
    for (size_t i = 0; i < abi.nr_conventions; i++) {
        if (abi.conventions[i].win32 == convention) {
            *ret = abi.conventions[i].abi;
            return 0;
        }
    }
    return -ENOTSUP;
}

/* ---- calls from the guest ---- */

#define ARG(n, type) (*(type *)args[n])

static void enter_virtual_alloc(ffi_cif *cif, void *ret, void **args, void *w)
{
    (void)cif;
    *(ffi_arg *)ret =
        (ffi_arg)win32_virtual_alloc(w, ARG(0, void *), ARG(1, SIZE_T), ARG(2, ULONG), ARG(3, ULONG));
}

static void enter_virtual_free(ffi_cif *cif, void *ret, void **args, void *w)
{
    (void)cif;
    *(ffi_arg *)ret = win32_virtual_free(w, ARG(0, void *), ARG(1, SIZE_T), ARG(2, ULONG));
}

static void enter_virtual_protect(ffi_cif *cif, void *ret, void **args, void *w)
{
    (void)cif;
    *(ffi_arg *)ret =
        win32_virtual_protect(w, ARG(0, void *), ARG(1, SIZE_T), ARG(2, ULONG), ARG(3, ULONG *));
}

static void enter_get_write_watch(ffi_cif *cif, void *ret, void **args, void *w)
{
    (void)cif;
    *(ffi_arg *)ret = win32_get_write_watch(w, ARG(0, ULONG), ARG(1, void *), ARG(2, SIZE_T), ARG(3, void **),
                                            ARG(4, ULONG_PTR *), ARG(5, ULONG *));
}

static void enter_reset_write_watch(ffi_cif *cif, void *ret, void **args, void *w)
{
    (void)cif;
    *(ffi_arg *)ret = win32_reset_write_watch(w, ARG(0, void *), ARG(1, SIZE_T));
}

/* Signatures are those of closure_prepare(). */
static const struct {
    const char *name;
    const char *signature;
    closure_enter enter;
} functions[NR_WIN32_CALLS] = {
    [WIN32_VIRTUAL_ALLOC] = { "VirtualAlloc", "pppuu", enter_virtual_alloc },
    [WIN32_VIRTUAL_FREE] = { "VirtualFree", "uppu", enter_virtual_free },
    [WIN32_VIRTUAL_PROTECT] = { "VirtualProtect", "uppup", enter_virtual_protect },
    [WIN32_GET_WRITE_WATCH] = { "GetWriteWatch", "uuppppp", enter_get_write_watch },
    [WIN32_RESET_WRITE_WATCH] = { "ResetWriteWatch", "upp", enter_reset_write_watch },
};

/* ---- binding ---- */

static void free_binding(struct win32_binding *binding)
{
    if (binding) {
        ffi_closure_free(binding->closure);
        free(binding);
    }
}

/* libffi uses malloc(): no lock is held here. */
static int make_binding(struct ww_win32 *w, enum win32_call call, ffi_abi abi, struct win32_binding **ret)
{
    struct win32_binding *binding = calloc(1, sizeof(*binding));
    int err = -ENOMEM;

    if (binding) {
        err = closure_prepare(&binding->cif, binding->types, abi, functions[call].signature);
    }
    if (!err) {
        err = closure_make(&binding->cif, functions[call].enter, w, &binding->closure, &binding->entry);
    }
    if (err) {
        free(binding);
        return err;
    }
    *ret = binding;
    return 0;
}

/* Another thread may bind the same first. Then all get its binding. */
static int bind_once(struct ww_win32 *w, enum win32_call call, unsigned int index, ffi_abi ffi,
                     struct win32_binding **ret)
{
    _Atomic(struct win32_binding *) *place = &w->bindings[call][index];
    struct win32_binding *made, *found = atomic_load(place);
    int err = found ? 0 : make_binding(w, call, ffi, &made);

    if (err) {
        return err;
    }
    if (!found) {
        if (atomic_compare_exchange_strong(place, &found, made)) {
            found = made;
        } else {
            free_binding(made);
        }
    }
    *ret = found;
    return 0;
}

static int find_function(const char *name)
{
    for (int call = 0; call < NR_WIN32_CALLS; call++) {
        if (!strcmp(functions[call].name, name)) {
            return call;
        }
    }
    return -ENOENT;
}

WW_API int ww_win32_bind(struct ww_win32 *w, const char *name, enum ww_win32_convention convention,
                         ww_win32_function *ret_function)
{
    unsigned int index = (unsigned int)convention - 1;
    struct win32_binding *binding;
    ffi_abi ffi;
    int call, err;

    if (!w || !name || !ret_function || index >= WIN32_NR_CONVENTIONS) {
        return -EINVAL;
    }
    err = find_abi(convention, &ffi);
    if (err) {
        return err;
    }
    call = find_function(name);
    if (call < 0) {
        return call;
    }
    if (!ww_is_alive(w->nt.ctx)) {
        return -ECHILD;
    }
    err = bind_once(w, call, index, ffi, &binding);
    if (!err) {
        *ret_function = FFI_FN(binding->entry);
    }
    return err;
}

/* ---- the object ---- */

WW_API int ww_win32_open(struct ww_win32 **ret_win32, struct ww_context *ctx)
{
    struct ww_win32 *w;

    if (!ret_win32 || !ctx) {
        return -EINVAL;
    }
    if (!ww_is_alive(ctx)) {
        return -ECHILD;
    }
    if (ww_page_size() != NT_PAGE_SIZE) {
        return -ENOTSUP;
    }
    w = calloc(1, sizeof(*w));
    if (!w) {
        return -ENOMEM;
    }
    w->nt.ctx = ctx;
    pthread_mutex_init(&w->lock, NULL);
    win32_memory_init(w);
    *ret_win32 = w;
    return 0;
}

static void free_bindings(struct ww_win32 *w)
{
    for (int call = 0; call < NR_WIN32_CALLS; call++) {
        for (int i = 0; i < WIN32_NR_CONVENTIONS; i++) {
            free_binding(atomic_load(&w->bindings[call][i]));
        }
    }
}

WW_API void ww_win32_close(struct ww_win32 *w)
{
    struct ww_signals saved;
    bool locked;

    if (!w) {
        return;
    }
    /* In a child of fork a thread of the parent may hold the lock for ever, in the middle of a change. Then
     * the memory and the bindings are not freed. */
    ww_block_signals(&saved);
    locked = !pthread_mutex_trylock(&w->lock);
    if (locked) {
        win32_memory_destroy(w);
        pthread_mutex_unlock(&w->lock);
    }
    ww_restore_signals(&saved);
    if (locked) {
        free_bindings(w);
        pthread_mutex_destroy(&w->lock);
        free(w);
    }
}
