/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libffi needs to make and to receive calls in a convention that is data. Used by the preload (hook.c)
 * and by hosts that are not Wine (dlls/kernel32/bind.c).
 */
#ifndef WW_DLLS_NTDLL_CLOSURE_H
#define WW_DLLS_NTDLL_CLOSURE_H

#include <ffi.h>

typedef void (*closure_enter)(ffi_cif *cif, void *ret, void **args, void *user);

/*
 * Prepares calls of @signature, which has a letter for the result and one for each argument: p is as wide as
 * a pointer (handles and SIZE_T too), u has 32 bits. @types has room for the arguments and must live as long
 * as
 * @cif. 0 or -ENOTSUP.
 */
int closure_prepare(ffi_cif *cif, ffi_type **types, ffi_abi abi, const char *signature);

/* Makes code at *@ret_entry that runs @enter with @user when it is called. 0, -ENOMEM, -ENOTSUP. */
int closure_make(ffi_cif *cif, closure_enter enter, void *user, ffi_closure **ret_closure, void **ret_entry);

/* Makes the pages of an entry executable and read-only: libffi without static trampolines leaves them
 * writable too. No closure may be made or freed afterwards. */
void closure_seal(const void *entry);

#endif
