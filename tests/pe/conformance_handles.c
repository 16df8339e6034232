/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_handles.c - the process handle of the native calls.
 *
 * Every handle to this process that may operate on memory serves, as it does for the other calls
 * on virtual memory, whose documentation asks for PROCESS_VM_OPERATION. What is no such handle
 * Windows refuses. Wine 8 to 10 do not look at the handle and always answer for the calling
 * process; so either is accepted, but nothing in between: a refused call changes nothing.
 */
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16

/* A query and a reset through the handle. Returns whether they were served rather than refused. */
static bool use_handle(HANDLE process, char *base, const char *what)
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
    expect_pages(base, 0, NR_PAGES, KEEP, served ? "9" : "3 9");
    count = 1;
    status = NtGetWriteWatch(process, RESET, base, PAGES(NR_PAGES), results, &count, &granularity);
    ok(served == !status, "%s: get and reset has status %#lx", what, (DWORD)status);
    expect_pages(base, 0, NR_PAGES, KEEP, served ? "" : "3 9");
    return served;
}

static void test_own(char *base)
{
    static const DWORD accesses[] = { PROCESS_ALL_ACCESS, PROCESS_VM_OPERATION,
                                      PROCESS_VM_OPERATION | PROCESS_QUERY_LIMITED_INFORMATION };
    HANDLE self;
    size_t i;

    ok(use_handle(GetCurrentProcess(), base, "the pseudo handle"), "the pseudo handle is refused");
    for (i = 0; i < ARRAYSIZE(accesses); i++) {
        self = OpenProcess(accesses[i], FALSE, GetCurrentProcessId());
        ok(use_handle(self, base, "a handle to this process"), "a handle with access %#lx is refused",
           accesses[i]);
        CloseHandle(self);
    }
    ok(DuplicateHandle(GetCurrentProcess(), GetCurrentProcess(), GetCurrentProcess(), &self, 0, FALSE,
                       DUPLICATE_SAME_ACCESS),
       "error %lu", GetLastError());
    ok(use_handle(self, base, "a duplicate of the pseudo handle"), "a duplicate is refused");
    CloseHandle(self);
    use_handle(self, base, "a closed handle");
    self = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, GetCurrentProcessId());
    use_handle(self, base, "a handle that may only look");
    CloseHandle(self);
}

void test_handles(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), path[MAX_PATH];
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    STARTUPINFOA startup = { .cb = sizeof(startup) };
    PROCESS_INFORMATION other;

    test_own(base);
    use_handle(NULL, base, "handle 0");
    use_handle((HANDLE)(ULONG_PTR)0xdead0, base, "a handle that never was");
    use_handle((HANDLE)(LONG_PTR)-2, base, "the pseudo handle of the thread");
    use_handle(event, base, "an event");
    CloseHandle(event);

    /* Another process, which has not begun to run: its memory at this address is not watched. */
    GetModuleFileNameA(NULL, path, sizeof(path));
    if (CreateProcessA(path, NULL, NULL, NULL, FALSE, CREATE_SUSPENDED, NULL, NULL, &startup, &other)) {
        use_handle(other.hProcess, base, "another process");
        TerminateProcess(other.hProcess, 0);
        CloseHandle(other.hThread);
        CloseHandle(other.hProcess);
    } else {
        skip("no other process, error %lu", GetLastError());
    }
    free_pages(base);
}
