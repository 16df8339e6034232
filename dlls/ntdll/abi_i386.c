/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * i386. Wine's unix side follows stdcall up to Wine 8.9 and cdecl from 8.10 on. Both pass the arguments on
 * the stack. They differ in who takes them off.
 */
#include <elf.h>

#include "abi.h"

static const struct abi_convention conventions[] = {
    {
        .name = "stdcall",
        .abi = FFI_STDCALL,
        .win32 = WW_WIN32_STDCALL,
        .written = { true, true },
        .popped = true,
    },
    {
        .name = "cdecl",
        .abi = FFI_SYSV,
        .written = { true, true },
    },
};

static void call_all(void *function, struct abi_effect *effect)
{
    int64_t *first = &effect->target[0], *second = &effect->target[1];
    long left;

    /* The function may leave anything in the registers of all three. */
    __asm__ volatile("mov %%esp, %%esi\n\t"
                     "and $-16, %%esp\n\t"
                     "sub $8, %%esp\n\t"
                     "push %[second]\n\t"
                     "push %[first]\n\t"
                     "mov %%esp, %%edi\n\t"
                     "call *%[function]\n\t"
                     "sub %%esp, %%edi\n\t"
                     "mov %%esi, %%esp"
                     : "=&D"(left), [function] "+a"(function), [first] "+c"(first), [second] "+d"(second)
                     :
                     : "esi", "memory", "cc");
    effect->popped = left == -8;
}

const struct abi abi = {
    .conventions = conventions,
    .nr_conventions = sizeof(conventions) / sizeof(conventions[0]),
    .call_all = call_all,
    .has_addends = false,
    .jump_slot = R_386_JMP_SLOT,
    .glob_dat = R_386_GLOB_DAT,
};
