/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stand-in for Wine's ntdll.so: a table of system calls over mmap() and
 * mprotect(), in one of the two calling conventions, or with one thing wrong.
 * It stands for the Wines that a test machine does not have; tests/system/wine
 * has real Wine.
 *
 * FAKE_WINDOWS: Windows' convention. FAKE_TWICE, FAKE_NO_SLOT, FAKE_NOT_WINE,
 * FAKE_NO_EXPORT, FAKE_ODD_CALL: what is wrong.
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "fake-ntdll.h"

#define PAGE 4096

#ifndef FAKE_NOT_WINE
void __wine_main(void);
void __wine_main(void)
{
}
#endif

int FAKE_ABI NtQueryPerformanceCounter(int64_t *counter, int64_t *frequency)
{
    *counter = 1;
#ifndef FAKE_ODD_CALL
    *frequency = 2;
#endif
    return 0;
}

int FAKE_ABI NtCompareObjects(void *first, void *second)
{
    if (second != SELF || (uintptr_t)first < FAKE_OWN || (uintptr_t)first > FAKE_EVENT) {
        return STATUS_INVALID_HANDLE;
    }
    return (uintptr_t)first <= FAKE_OWN_MAY_LOOK ? 0 : STATUS_NOT_SAME_OBJECT;
}

/* OBJECT_BASIC_INFORMATION's second word is the access that the handle has. */
int FAKE_ABI NtQueryObject(void *handle, uint32_t class, void *buffer, uint32_t len, uint32_t *ret_len)
{
    (void)ret_len;
    memset(buffer, 0, len);
    ((uint32_t *)buffer)[1] = (uintptr_t)handle == FAKE_OWN ? 0x1fffff : 0x1400;
    return class ? STATUS_FAKE : 0;
}

int FAKE_ABI NtQueryInformationProcess(void *handle, uint32_t class, void *buffer, uint32_t len,
                                       uint32_t *ret_len)
{
    (void)ret_len;
    memset(buffer, 0, len);
    if ((uintptr_t)handle == FAKE_EVENT) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    return class ? STATUS_FAKE : 0;
}

/* MEMORY_BASIC_INFORMATION as both word sizes have it. */
int FAKE_ABI NtQueryVirtualMemory(void *process, void *addr, uint32_t class, void *buffer, size_t len,
                                  size_t *ret_len)
{
    struct {
        void *base, *allocation_base;
        uint32_t allocation_protect;
        size_t size;
        uint32_t state, protect, type;
    } info = { .base = addr, .size = 4096 };

    (void)process;
    (void)class;
    (void)ret_len;
    info.state = addr == fake_freed ? MEM_FREE : MEM_COMMIT;
    info.type = addr == fake_freed ? 0 : MEM_PRIVATE;
    memset(buffer, 0, len);
    memcpy(buffer, &info, sizeof(info));
    return 0;
}

/* What Wine does for another process's request: the same work, without the table. */
void fake_remote_protect(void *addr, size_t size)
{
    mprotect(addr, size, PROT_READ);
    mprotect(addr, size, PROT_READ | PROT_WRITE);
}

void fake_remote_drop(void *addr, size_t size)
{
    madvise(addr, size, MADV_DONTNEED);
}

void fake_remote_release(void *addr, size_t size)
{
    munmap(addr, size);
    fake_freed = addr;
}

static int allocate(void **ret, size_t *size, uint32_t type, uint32_t protect)
{
    size_t len = (*size + PAGE - 1) & ~(size_t)(PAGE - 1);
    void *addr = *ret;

    if (type & MEM_WRITE_WATCH) {
        fake_saw_flag++;
    }
    if (protect == FAKE_FAIL) {
        return STATUS_FAKE;
    }
    if (!addr) {
        addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    *ret = addr;
    *size = len;
    return 0;
}

int FAKE_ABI NtAllocateVirtualMemory(void *process, void **ret, uintptr_t zero_bits, size_t *size,
                                     uint32_t type, uint32_t protect)
{
    (void)process;
    (void)zero_bits;
    return allocate(ret, size, type, protect);
}

int FAKE_ABI NtAllocateVirtualMemoryEx(void *process, void **ret, size_t *size, uint32_t type,
                                       uint32_t protect, void *parameters, uint32_t count)
{
    (void)process;
    return parameters || count ? STATUS_FAKE : allocate(ret, size, type, protect);
}

int FAKE_ABI NtFreeVirtualMemory(void *process, void **addr, size_t *size, uint32_t type)
{
    (void)process;
    if (!*size && (type & MEM_DECOMMIT)) {
        return STATUS_FAKE;
    }
    if (type & MEM_DECOMMIT) {
        mmap(*addr, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    } else if (*size == 1) {
        return STATUS_FAKE;
    } else {
        munmap(*addr, *size ? *size : 16 * PAGE);
    }
    return 0;
}

int FAKE_ABI NtProtectVirtualMemory(void *process, void **addr, size_t *size, uint32_t new_prot,
                                    uint32_t *old_prot)
{
    (void)process;
    (void)addr;
    (void)size;
    if (new_prot == FAKE_FAIL) {
        return STATUS_FAKE;
    }
    *old_prot = 4;
    return 0;
}

int FAKE_ABI NtGetWriteWatch(void *process, uint32_t flags, void *base, size_t size, void **addresses,
                             uintptr_t *count, uint32_t *granularity)
{
    (void)process;
    (void)flags;
    (void)base;
    (void)size;
    (void)addresses;
    (void)count;
    (void)granularity;
    return STATUS_FAKE;
}

int FAKE_ABI NtResetWriteWatch(void *process, void *base, size_t size)
{
    (void)process;
    (void)base;
    (void)size;
    return STATUS_FAKE;
}

int fake_saw_flag;
void *fake_freed;

/* A const table of addresses, so that it lies in .data.rel.ro, as in Wine. */
void *const fake_table[] = {
    (void *)memset,
    (void *)NtAllocateVirtualMemory,
    (void *)NtAllocateVirtualMemoryEx,
    (void *)NtFreeVirtualMemory,
    (void *)NtProtectVirtualMemory,
#ifndef FAKE_NO_SLOT
    (void *)NtGetWriteWatch,
#else
    NULL,
#endif
    (void *)NtResetWriteWatch,
#ifdef FAKE_TWICE
    (void *)NtFreeVirtualMemory,
#endif
};
