/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_handles.c - the process handle of the native calls.
 *
 * Every handle to this process with PROCESS_VM_OPERATION works, the right that the other calls
 * on virtual memory need by their documentation. Windows refuses other handles, as
 * ObReferenceObjectByHandle() documents it, after it has checked the arguments and before the
 * range (ReactOS). Wine's own calls for write watches ignore the handle and always answer for
 * the calling process. A refused call changes nothing.
 */
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16
#define INVALID_HANDLE ((NTSTATUS)0xc0000008)
#define ACCESS_DENIED ((NTSTATUS)0xc0000022)
#define TYPE_MISMATCH ((NTSTATUS)0xc0000024)

NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE process, PVOID *base, ULONG_PTR zero_bits, SIZE_T *size,
                                       ULONG type, ULONG protect);
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE process, PVOID *base, SIZE_T *size, ULONG type);
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE process, PVOID *base, SIZE_T *size, ULONG protect, ULONG *old);

/* Whether a call had the expected status. Windows may look at another process's memory at this address, and
 * says STATUS_INVALID_PARAMETER because it is not watched. */
static bool is_expected(NTSTATUS status, NTSTATUS expected)
{
    return status == expected || broken(expected && status == (NTSTATUS)0xc000000d);
}

/* Queries and resets through the handle. @expected is the status of both. */
static void use_handle(HANDLE process, char *base, NTSTATUS expected, const char *what)
{
    ULONG_PTR count = NR_PAGES;
    ULONG granularity = SENTINEL;
    NTSTATUS status;
    bool served;

    clean(base, NR_PAGES);
    write_page(base, 3);
    write_page(base, 9);
    results[0] = (PVOID)(ULONG_PTR)SENTINEL;
    status = NtGetWriteWatch(process, KEEP, base, PAGES(NR_PAGES), results, &count, &granularity);
    served = !status;
    todo_if(expected && wwtest.stock)
        ok(is_expected(status, expected), "%s: the query's status is %#lx", what, (DWORD)status);
    if (served)
        ok(count == 2 && results[0] == base + PAGES(3) && results[1] == base + PAGES(9) &&
               granularity == PAGE_BYTES,
           "%s: %u pages, %p and %p of %p", what, (unsigned int)count, results[0], results[1], base);
    else
        ok(status < 0 && count == NR_PAGES && granularity == SENTINEL &&
               results[0] == (PVOID)(ULONG_PTR)SENTINEL,
           "%s: status %#lx, count %u, granularity %#lx", what, (DWORD)status, (unsigned int)count,
           granularity);
    expect_pages(base, 0, NR_PAGES, KEEP, "3 9");

    status = NtResetWriteWatch(process, base, PAGES(4));
    ok(served == !status, "%s: the reset's status is %#lx", what, (DWORD)status);
    todo_if(expected && wwtest.stock)
        ok(is_expected(status, expected), "%s: the reset's status is %#lx", what, (DWORD)status);
    expect_pages(base, 0, NR_PAGES, KEEP, served ? "9" : "3 9");
    count = 1;
    status = NtGetWriteWatch(process, RESET, base, PAGES(NR_PAGES), results, &count, &granularity);
    ok(served == !status, "%s: get and reset has status %#lx", what, (DWORD)status);
    expect_pages(base, 0, NR_PAGES, KEEP, served ? "" : "3 9");
}

/* With something else wrong besides the handle: the calls check arguments first and the range last. */
static void test_order(HANDLE process, char *base, NTSTATUS expected)
{
    ULONG_PTR count = 0, one = 1;
    ULONG granularity;
    NTSTATUS status;

    status = NtGetWriteWatch(process, KEEP, base, PAGES(NR_PAGES), results, &count, &granularity);
    ok(status == (NTSTATUS)0xc000000d, "count 0: %#lx", (DWORD)status);
    status = NtGetWriteWatch(process, KEEP, base, PAGES(NR_PAGES), NULL, &one, &granularity);
    ok(status == (NTSTATUS)0xc0000005, "no array: %#lx", (DWORD)status);
    status = NtGetWriteWatch(process, KEEP, base, PAGES(NR_PAGES + 1), results, &one, &granularity);
    todo_stock ok(status == expected, "beyond the end: %#lx", (DWORD)status);
    status = NtResetWriteWatch(process, base, PAGES(NR_PAGES + 1));
    todo_stock ok(status == expected, "reset beyond the end: %#lx", (DWORD)status);
}

/* All calls must refuse this handle, and change nothing. */
static void refuse(HANDLE process, char *base, NTSTATUS expected, const char *what)
{
    PVOID addr = NULL;
    SIZE_T size = PAGES(NR_PAGES);
    ULONG old = SENTINEL;
    NTSTATUS status;

    use_handle(process, base, expected, what);
    clean(base, NR_PAGES);
    write_page(base, 5);
    status = NtAllocateVirtualMemory(process, &addr, 0, &size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
                                     PAGE_READWRITE);
    ok(status == expected && !addr, "%s: allocate %#lx, %p", what, (DWORD)status, addr);
    addr = base;
    status = NtAllocateVirtualMemory(process, &addr, 0, &size, MEM_RESET, PAGE_READWRITE);
    ok(status == expected, "%s: MEM_RESET %#lx", what, (DWORD)status);
    status = NtProtectVirtualMemory(process, &addr, &size, PAGE_READONLY, &old);
    ok(status == expected && old == SENTINEL, "%s: protect %#lx, %#lx", what, (DWORD)status, old);
    status = NtFreeVirtualMemory(process, &addr, &size, MEM_DECOMMIT);
    ok(status == expected, "%s: decommit %#lx", what, (DWORD)status);
    size = 0;
    status = NtFreeVirtualMemory(process, &addr, &size, MEM_RELEASE);
    ok(status == expected, "%s: release %#lx", what, (DWORD)status);
    expect_pages(base, 0, NR_PAGES, KEEP, "5");
}

static void test_own(char *base)
{
    static const DWORD accesses[] = { PROCESS_ALL_ACCESS, PROCESS_VM_OPERATION,
                                      PROCESS_VM_OPERATION | PROCESS_QUERY_LIMITED_INFORMATION };
    HANDLE self;
    size_t i;

    use_handle(GetCurrentProcess(), base, 0, "the pseudo handle");
    for (i = 0; i < ARRAYSIZE(accesses); i++) {
        self = OpenProcess(accesses[i], FALSE, GetCurrentProcessId());
        use_handle(self, base, 0, "a handle to this process");
        CloseHandle(self);
    }
    ok(DuplicateHandle(GetCurrentProcess(), GetCurrentProcess(), GetCurrentProcess(), &self, 0, FALSE,
                       DUPLICATE_SAME_ACCESS),
       "error %lu", GetLastError());
    use_handle(self, base, 0, "a duplicate of the pseudo handle");
    CloseHandle(self);
    refuse(self, base, INVALID_HANDLE, "a closed handle");
    test_order(self, base, INVALID_HANDLE);
    self = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, GetCurrentProcessId());
    refuse(self, base, ACCESS_DENIED, "a handle that may only look");
    test_order(self, base, ACCESS_DENIED);
    CloseHandle(self);
    self = OpenProcess(SYNCHRONIZE, FALSE, GetCurrentProcessId());
    refuse(self, base, ACCESS_DENIED, "a handle that may only wait");
    CloseHandle(self);
}

void test_handles(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), path[MAX_PATH];
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    STARTUPINFOA startup = { .cb = sizeof(startup) };
    PROCESS_INFORMATION other;

    test_own(base);
    refuse(NULL, base, INVALID_HANDLE, "handle 0");
    refuse((HANDLE)(ULONG_PTR)0xdead0, base, INVALID_HANDLE, "a handle that never was");
    refuse((HANDLE)(LONG_PTR)-2, base, TYPE_MISMATCH, "the pseudo handle of the thread");
    refuse(event, base, TYPE_MISMATCH, "an event");
    test_order(event, base, TYPE_MISMATCH);
    CloseHandle(event);

    /* A handle to another process, which has not begun to run, so that its memory is not watched. */
    GetModuleFileNameA(NULL, path, sizeof(path));
    if (CreateProcessA(path, NULL, NULL, NULL, FALSE, CREATE_SUSPENDED, NULL, NULL, &startup, &other)) {
        use_handle(other.hProcess, base, ACCESS_DENIED, "another process");
        TerminateProcess(other.hProcess, 0);
        CloseHandle(other.hThread);
        CloseHandle(other.hProcess);
    } else {
        skip("no other process, error %lu", GetLastError());
    }
    free_pages(base);
}
