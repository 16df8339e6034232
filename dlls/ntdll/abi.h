/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What differs between processors: the calling conventions that Windows code and Wine's unix side follow, how
 * one call tells them apart, and how an ELF object there names its imports. The rest of dlls/ knows no
 * processor.
 *
 * A port is a file abi_CPU.c, where __CPU__ is the macro that compilers for the processor define, and its
 * name in dlls.mk. Configure asks the compiler and takes the file that fits, or abi_unknown.c, with which the
 * preload stays out of every program.
 */
#ifndef WW_DLLS_NTDLL_ABI_H
#define WW_DLLS_NTDLL_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ffi.h>

#include "writewatch-win32.h"

#define ABI_NR_PLACES 4

/* What the test call did. */
struct abi_effect {
    int64_t target[ABI_NR_PLACES]; /* what the pointer in each place leads to */
    bool popped;                   /* the callee took its arguments off the stack */
};

struct abi_convention {
    const char *name; /* in the preload's message */
    ffi_abi abi;
    enum ww_win32_convention win32; /* the public name; 0 where it is the host's own */

    /* What the test call does in this convention. */
    bool written[ABI_NR_PLACES];
    bool popped;
};

struct abi {
    const struct abi_convention *conventions;
    size_t nr_conventions;

    /*
     * The test call: calls @function, which takes two pointers and writes through both, in all conventions at
     * once. Each place (register or stack slot) where one of the conventions passes one of the two pointers
     * holds the address of its own entry of effect->target, so the entries that were written name the
     * convention. Keeps whatever registers any of the conventions keeps.
     */
    void (*call_all)(void *function, struct abi_effect *effect);

    /* The relocations of an import: with an addend (DT_RELA) or without (DT_REL), and their types. */
    bool has_addends;
    unsigned int jump_slot, glob_dat;
};

extern const struct abi abi;

#endif
