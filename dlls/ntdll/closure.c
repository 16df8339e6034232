/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signatures in letters, and closures, by libffi. Knows no call by name.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "closure.h"

static ffi_type *type_of(char letter)
{
    return letter == 'u' ? &ffi_type_uint32 : &ffi_type_pointer;
}

int closure_prepare(ffi_cif *cif, ffi_type **types, ffi_abi abi, const char *signature)
{
    unsigned int nr = 0;

    for (; signature[nr + 1]; nr++) {
        types[nr] = type_of(signature[nr + 1]);
    }
    return ffi_prep_cif(cif, abi, nr, type_of(signature[0]), types) == FFI_OK ? 0 : -ENOTSUP;
}

int closure_make(ffi_cif *cif, closure_enter enter, void *user, ffi_closure **ret_closure, void **ret_entry)
{
    ffi_closure *closure = ffi_closure_alloc(sizeof(*closure), ret_entry);

    if (!closure) {
        return -ENOMEM;
    }
    if (ffi_prep_closure_loc(closure, cif, enter, user, *ret_entry) != FFI_OK) {
        ffi_closure_free(closure);
        return -ENOTSUP;
    }
    *ret_closure = closure;
    return 0;
}

/* If mprotect() fails, the page stays as libffi has made it. */
void closure_seal(const void *entry)
{
    uintptr_t page_mask = sysconf(_SC_PAGESIZE) - 1, start = (uintptr_t)entry & ~page_mask;
    uintptr_t end = ((uintptr_t)entry + sizeof(ffi_closure) + page_mask) & ~page_mask;

    mprotect((void *)start, end - start, PROT_READ | PROT_EXEC);
}
