/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Included before a slice of Wine's tests: what they expect of Wine's own headers
 * and mingw-w64's, old or new, do not have. Constants are Windows'. Types that a
 * later mingw-w64 may declare have other names here, by macros, so that both can exist. */
#define WIN32_NO_STATUS
#include <winsock2.h>
#include <windows.h>
#undef WIN32_NO_STATUS
#include <ntstatus.h>
#include <stdio.h>
#include <string.h>
/* Older mingw-w64 do not declare these, later ones declare them with other types. */
#define NtAllocateVirtualMemory NtAllocateVirtualMemory_theirs
#define NtFreeVirtualMemory NtFreeVirtualMemory_theirs
#define NtGetWriteWatch NtGetWriteWatch_theirs
#define NtQueryVirtualMemory NtQueryVirtualMemory_theirs
#include <winternl.h>
#undef NtAllocateVirtualMemory
#undef NtFreeVirtualMemory
#undef NtGetWriteWatch
#undef NtQueryVirtualMemory
NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE, void **, ULONG_PTR, SIZE_T *, ULONG, ULONG);
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE, void **, SIZE_T *, ULONG);
NTSTATUS NTAPI NtGetWriteWatch(HANDLE, ULONG, void *, SIZE_T, void **, ULONG_PTR *, ULONG *);
NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE, const void *, int, void *, SIZE_T, SIZE_T *);
#ifndef NtCurrentProcess
#define NtCurrentProcess() ((HANDLE)-1)
#endif

#ifndef DECLSPEC_EXPORT
#define DECLSPEC_EXPORT
#endif

#ifndef MEM_COALESCE_PLACEHOLDERS
#define MEM_COALESCE_PLACEHOLDERS 0x00000001
#endif
#ifndef MEM_PRESERVE_PLACEHOLDER
#define MEM_PRESERVE_PLACEHOLDER 0x00000002
#endif
#ifndef MEM_REPLACE_PLACEHOLDER
#define MEM_REPLACE_PLACEHOLDER 0x00004000
#endif
#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_RESERVE_PLACEHOLDER 0x00040000
#endif
#ifndef MEM_EXTENDED_PARAMETER_EC_CODE
#define MEM_EXTENDED_PARAMETER_EC_CODE 0x40
#endif
#ifndef MEM_EXECUTE_OPTION_DISABLE
#define MEM_EXECUTE_OPTION_DISABLE 0x1
#endif
#ifndef MEM_EXECUTE_OPTION_ENABLE
#define MEM_EXECUTE_OPTION_ENABLE 0x2
#endif
#ifndef MEM_EXECUTE_OPTION_DISABLE_THUNK_EMULATION
#define MEM_EXECUTE_OPTION_DISABLE_THUNK_EMULATION 0x4
#endif

#define MemoryBasicInformation 0
#define SystemCpuInformation 1
struct cpu_information {
    WORD ProcessorArchitecture;
    WORD ProcessorLevel;
    WORD ProcessorRevision;
    WORD MaximumProcessors;
    ULONG ProcessorFeatureBits;
};
#define SYSTEM_CPU_INFORMATION struct cpu_information

/* On i386 the tests chain exception handlers by hand, through the TEB. Volatile, since the compiler
 * sees no reader of the head between setting it and putting the old one back. */
struct handler_record {
    struct handler_record *Prev;
    void *Handler;
};
struct teb_head {
    struct {
        struct handler_record *volatile ExceptionList;
    } Tib;
};
#define EXCEPTION_REGISTRATION_RECORD struct handler_record
#define NtCurrentTeb() ((struct teb_head *)NtCurrentTeb())

/* wine/debug.h declares it, and the test framework of Wine 8 calls it; never freed. */
const char *__cdecl __wine_dbg_strdup(const char *text)
{
    return strdup(text);
}
