/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions of glibc under the versions that they had before 2.32 and 2.34, when those of libpthread and libdl moved
 * into libc.so.6 and got new versions. They are the same functions. The linker would take the new versions, and with
 * an older glibc, as in a container, a preload that needs them lets no program start. So the preload's calls come
 * here (--wrap, in dlls.mk) and jump to the old versions, which every glibc since has. The files that had them are
 * linked as well. Newer systems keep them as empty ones. tests/analysis/test-hardening.sh has the oldest glibc. This
 * is assembly because a C file with .symver in it breaks where -flto is used.
 */
#ifdef __CET__
#include <cet.h>
#else
#define _CET_ENDBR
#endif

#ifdef __x86_64__
#define JUMP(name) jmp *name@GOTPCREL(%rip)
#define EITHER(x86_64, i386) x86_64
#else
#define JUMP(name) call load_return_address; addl $_GLOBAL_OFFSET_TABLE_, %ecx; jmp *name@GOT(%ecx)
#define EITHER(x86_64, i386) i386
#endif

#define FORWARD(name, version)                                                                               \
    .symver old_##name, name@version;                                                                        \
    .globl __wrap_##name;                                                                                    \
    .hidden __wrap_##name;                                                                                   \
    .type __wrap_##name, @function;                                                                          \
    .p2align 4;                                                                                              \
    __wrap_##name: _CET_ENDBR;                                                                               \
    JUMP(old_##name);                                                                                        \
    .size __wrap_##name, . - __wrap_##name

/* The same for functions that another C library may lack. There the preload loads and does nothing (attach.c). */
#define OPTIONAL(name, version)                                                                              \
    .weak old_##name;                                                                                        \
    FORWARD(name, version)

#define BASE EITHER(GLIBC_2.2.5, GLIBC_2.0)
#define LATER EITHER(GLIBC_2.2.5, GLIBC_2.1)

    .text
#ifndef __x86_64__
load_return_address:
    movl (%esp), %ecx
    ret
#endif
FORWARD(pthread_attr_setstack, EITHER(GLIBC_2.2.5, GLIBC_2.2))
FORWARD(pthread_create, LATER)
FORWARD(pthread_detach, BASE)
FORWARD(pthread_join, BASE)
FORWARD(pthread_mutex_trylock, BASE)
FORWARD(pthread_once, BASE)
FORWARD(pthread_rwlock_destroy, LATER)
FORWARD(pthread_rwlock_init, LATER)
FORWARD(pthread_rwlock_rdlock, LATER)
FORWARD(pthread_rwlock_tryrdlock, LATER)
FORWARD(pthread_rwlock_unlock, LATER)
FORWARD(pthread_rwlock_wrlock, LATER)
FORWARD(pthread_rwlockattr_destroy, LATER)
FORWARD(pthread_rwlockattr_init, LATER)
OPTIONAL(pthread_rwlockattr_setkind_np, LATER)
FORWARD(pthread_sigmask, BASE)

/* Functions that musl, or an older musl, lacks. _FORTIFY_SOURCE makes calls of those with _chk. */
OPTIONAL(__dprintf_chk, GLIBC_2.8)
OPTIONAL(__register_atfork, GLIBC_2.3.2)
OPTIONAL(__snprintf_chk, GLIBC_2.3.4)
OPTIONAL(secure_getenv, GLIBC_2.17)

/* fstat() came in 2.33; before, the header made it a call of __fxstat() with the version of the structure. */
    .globl __wrap_fstat
    .hidden __wrap_fstat
    .type __wrap_fstat, @function
    .p2align 4
__wrap_fstat:
    _CET_ENDBR
#ifdef __x86_64__
    movq %rsi, %rdx
    movl %edi, %esi
    movl $1, %edi
    JUMP(__fxstat)
#else
    pushl 8(%esp)
    pushl 8(%esp)
    pushl $3
    call load_return_address
    addl $_GLOBAL_OFFSET_TABLE_, %ecx
    call *__fxstat@GOT(%ecx)
    addl $12, %esp
    ret
#endif
    .size __wrap_fstat, . - __wrap_fstat

    .section .note.GNU-stack, "", @progbits
