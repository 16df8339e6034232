/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What fake-ntdll.c and attach-host.c share. Windows' values are written out, because
 * both are built without Wine's headers.
 */
#ifndef TESTS_FAKE_NTDLL_H
#define TESTS_FAKE_NTDLL_H

#include <stddef.h>
#include <stdint.h>

#define SELF ((void *)-1)
#define STATUS_FAKE ((int)0xc0fa4e00) /* only the original returns it, so the call was passed on */
#define STATUS_INVALID_PARAMETER ((int)0xc000000d)
#define STATUS_ACCESS_VIOLATION ((int)0xc0000005)
#define STATUS_INVALID_HANDLE ((int)0xc0000008)
#define STATUS_ACCESS_DENIED ((int)0xc0000022)
#define STATUS_OBJECT_TYPE_MISMATCH ((int)0xc0000024)
#define STATUS_NOT_SAME_OBJECT ((int)0xc00001ac)

#define MEM_COMMIT 0x1000
#define MEM_RESERVE 0x2000
#define MEM_DECOMMIT 0x4000
#define MEM_RELEASE 0x8000
#define MEM_FREE 0x10000
#define MEM_PRIVATE 0x20000
#define MEM_WRITE_WATCH 0x200000
#define PAGE_READWRITE 4
#define FAKE_FAIL 0xfa11 /* a protection that the fake refuses */

/* Wine up to 8.9 uses Windows' calling convention for this table, later Wines the system's. */
#if defined(FAKE_WINDOWS) && defined(__i386__)
#define FAKE_ABI __attribute__((stdcall))
#elif defined(FAKE_WINDOWS)
#define FAKE_ABI __attribute__((ms_abi))
#else
#define FAKE_ABI
#endif

/* The only handles: to this process, with all rights and without rights to its memory; to another process;
 * and to an object that is no process. */
enum { FAKE_OWN = 42, FAKE_OWN_MAY_LOOK, FAKE_OTHER, FAKE_EVENT };

/* Indexes in fake_table. */
enum { AT_ALLOCATE = 1, AT_ALLOCATE_EX, AT_FREE, AT_PROTECT, AT_GET, AT_RESET };

/* How many allocations reached the original with MEM_WRITE_WATCH. */
extern int fake_saw_flag;

/* The address of an allocation that was released. */
extern void *fake_freed;

extern void *const fake_table[];

int FAKE_ABI NtQueryPerformanceCounter(int64_t *counter, int64_t *frequency);
int FAKE_ABI NtCompareObjects(void *first, void *second);
int FAKE_ABI NtQueryObject(void *handle, uint32_t class, void *buffer, uint32_t len, uint32_t *ret_len);
int FAKE_ABI NtQueryInformationProcess(void *handle, uint32_t class, void *buffer, uint32_t len,
                                       uint32_t *ret_len);
int FAKE_ABI NtQueryVirtualMemory(void *process, void *addr, uint32_t class, void *buffer, size_t len,
                                  size_t *ret_len);
int FAKE_ABI NtAllocateVirtualMemory(void *process, void **ret, uintptr_t zero_bits, size_t *size,
                                     uint32_t type, uint32_t protect);
int FAKE_ABI NtAllocateVirtualMemoryEx(void *process, void **ret, size_t *size, uint32_t type,
                                       uint32_t protect, void *parameters, uint32_t count);
int FAKE_ABI NtFreeVirtualMemory(void *process, void **addr, size_t *size, uint32_t type);
int FAKE_ABI NtProtectVirtualMemory(void *process, void **addr, size_t *size, uint32_t new_prot,
                                    uint32_t *old_prot);
int FAKE_ABI NtGetWriteWatch(void *process, uint32_t flags, void *base, size_t size, void **addresses,
                             uintptr_t *count, uint32_t *granularity);
int FAKE_ABI NtResetWriteWatch(void *process, void *base, size_t size);

/* Changes to memory that are not made through the table. */
void fake_remote_protect(void *addr, size_t size);
void fake_remote_drop(void *addr, size_t size);
void fake_remote_release(void *addr, size_t size);

#endif
