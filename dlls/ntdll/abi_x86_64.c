/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x86_64. Wine's unix side follows the Windows convention up to Wine 8.9 and the System V one from 8.10 on.
 * The first two arguments come in rcx and rdx, or in rdi and rsi.
 */
#include <elf.h>

#include "abi.h"

static const struct abi_convention conventions[] = {
    {
        .name = "win64",
        .abi = FFI_WIN64,
        .win32 = WW_WIN32_WIN64,
        .written = { false, false, true, true },
    },
    {
        .name = "sysv",
        .abi = FFI_UNIX64,
        .written = { true, true, false, false },
    },
};

/* The targets are those of rdi, rsi, rdx, rcx. */
static void call_all(void *function, struct abi_effect *effect)
{
    register int64_t *rdi __asm__("rdi") = &effect->target[0];
    register int64_t *rsi __asm__("rsi") = &effect->target[1];
    register int64_t *rdx __asm__("rdx") = &effect->target[2];
    register int64_t *rcx __asm__("rcx") = &effect->target[3];

    /* The room made here skips the red zone, and ends in the home area of the Windows convention. */
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "sub $160, %%rsp\n\t"
                     "and $-16, %%rsp\n\t"
                     "call *%[function]\n\t"
                     "mov %%rbx, %%rsp"
                     : "+r"(rdi), "+r"(rsi), "+r"(rdx), "+r"(rcx)
                     : [function] "r"(function)
                     : "rax", "rbx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3",
                       "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                       "xmm14", "xmm15");
}

const struct abi abi = {
    .conventions = conventions,
    .nr_conventions = sizeof(conventions) / sizeof(conventions[0]),
    .call_all = call_all,
    .has_addends = true,
    .jump_slot = R_X86_64_JUMP_SLOT,
    .glob_dat = R_X86_64_GLOB_DAT,
};
