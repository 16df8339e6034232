/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_run.c - watched memory in a running program.
 *
 * Faults that the program makes on purpose, harvests while other threads write, and other
 * processes: children, and their changes to this process's memory. Windows documents that a get
 * with reset is atomic; the rest follows because tracking must not be visible to the program.
 */
#include <stdlib.h>
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16
#define NR_WRITERS 2
#define PAGES_PER_WRITER 64

static struct {
    char *base;
    unsigned int nr_violations, nr_guards;
    ULONG_PTR last_access;
    char *last_addr;
} faults;

/* Does what a collector's handler does: notes the page, and lets the access go on. */
static LONG CALLBACK allow_access(EXCEPTION_POINTERS *pointers)
{
    EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    char *addr = (char *)record->ExceptionInformation[1];
    DWORD old;

    if (record->NumberParameters < 2 || addr < faults.base || addr >= faults.base + PAGES(NR_PAGES))
        return EXCEPTION_CONTINUE_SEARCH;
    faults.last_access = record->ExceptionInformation[0];
    faults.last_addr = addr;
    if (record->ExceptionCode == (DWORD)STATUS_GUARD_PAGE_VIOLATION) {
        faults.nr_guards++;
        return EXCEPTION_CONTINUE_EXECUTION;
    }
    if (record->ExceptionCode != (DWORD)STATUS_ACCESS_VIOLATION || ++faults.nr_violations > 100)
        return EXCEPTION_CONTINUE_SEARCH;
    VirtualProtect(addr, 1, PAGE_READWRITE, &old);
    return EXCEPTION_CONTINUE_EXECUTION;
}

static void expect_violation(unsigned int page, ULONG_PTR access)
{
    ok(faults.nr_violations == 1 && faults.last_access == access &&
           faults.last_addr == faults.base + PAGES(page) + 8,
       "expected one fault, got %u, the last of kind %u at %p, base %p", faults.nr_violations,
       (unsigned int)faults.last_access, faults.last_addr, faults.base);
    faults.nr_violations = 0;
}

void test_faults(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    void *handler;

    memset(&faults, 0, sizeof(faults));
    faults.base = base;
    handler = AddVectoredExceptionHandler(1, allow_access);

    protect_pages(base, 0, 8, PAGE_READONLY);
    write_page(base, 3);
    expect_violation(3, EXCEPTION_WRITE_FAULT);
    expect_pages(base, 0, NR_PAGES, RESET, "3");
    write_page(base, 3);
    ok(!faults.nr_violations, "a fault on a page that is writable again");
    expect_pages(base, 0, NR_PAGES, RESET, "3");

    /* A page that was written, armed and protected; then one that may not be read either. */
    protect_pages(base, 3, 1, PAGE_READONLY);
    write_page(base, 3);
    expect_violation(3, EXCEPTION_WRITE_FAULT);
    expect_pages(base, 0, NR_PAGES, RESET, "3");
    protect_pages(base, 5, 1, PAGE_NOACCESS);
    read_page(base, 5);
    expect_violation(5, EXCEPTION_READ_FAULT);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    protect_pages(base, 5, 1, PAGE_NOACCESS);
    write_page(base, 5);
    expect_violation(5, EXCEPTION_WRITE_FAULT);
    expect_pages(base, 0, NR_PAGES, RESET, "5");

    /* A guard page raises one exception, and the write that follows marks it. */
    protect_pages(base, 10, 1, PAGE_READWRITE | PAGE_GUARD);
    write_page(base, 10);
    ok(faults.nr_guards == 1 && !faults.nr_violations, "%u guard faults, %u others", faults.nr_guards,
       faults.nr_violations);
    expect_pages(base, 0, NR_PAGES, RESET, "10");
    write_page(base, 10);
    ok(faults.nr_guards == 1, "%u guard faults", faults.nr_guards);
    expect_pages(base, 0, NR_PAGES, KEEP, "10");

    RemoveVectoredExceptionHandler(handler);
    free_pages(base);
}

struct writer {
    char *base;
    HANDLE thread;
    volatile LONG *stop;
    unsigned int nr_writes;
};

static DWORD WINAPI keep_writing(void *arg)
{
    struct writer *writer = arg;
    unsigned int random = 12345;

    while (!*writer->stop) {
        random = random * 1103515245 + 12345;
        ++*(volatile LONG *)(writer->base + PAGES((random >> 16) % PAGES_PER_WRITER) + 64);
        writer->nr_writes++;
    }
    return 0;
}

/* Copies what a harvest reports; returns the number of pages, or -1. */
static int harvest(char *base, char *copy, SIZE_T size)
{
    struct answer answer;
    ULONG_PTR i;

    query_kernel32(&answer, RESET, base, size, MAX_RESULTS);
    if (answer.ret)
        return -1;
    for (i = 0; i < answer.count; i++)
        memcpy(copy + ((char *)results[i] - base), results[i], PAGE_BYTES);
    return answer.count;
}

/* A copy that is made from harvests alone must become equal to the memory. */
void test_threads(void)
{
    const unsigned int nr_pages = NR_WRITERS * PAGES_PER_WRITER;
    char *base = watch_pages(nr_pages, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    char *copy = calloc(nr_pages, PAGE_BYTES);
    struct writer writers[NR_WRITERS] = { 0 };
    volatile LONG stop = 0;
    unsigned int i, nr_harvests = 0, nr_failed = 0;
    DWORD start = GetTickCount();

    for (i = 0; i < NR_WRITERS; i++) {
        writers[i].base = base + PAGES(i * PAGES_PER_WRITER);
        writers[i].stop = &stop;
        writers[i].thread = CreateThread(NULL, 0, keep_writing, &writers[i], 0, NULL);
    }
    while (GetTickCount() - start < 500) {
        if (harvest(base, copy, PAGES(nr_pages)) < 0)
            nr_failed++;
        nr_harvests++;
    }
    stop = 1;
    for (i = 0; i < NR_WRITERS; i++) {
        WaitForSingleObject(writers[i].thread, INFINITE);
        CloseHandle(writers[i].thread);
        ok(writers[i].nr_writes > 0, "writer %u did not write", i);
    }
    ok(harvest(base, copy, PAGES(nr_pages)) >= 0, "the last harvest fails");
    ok(!nr_failed, "%u of %u harvests failed", nr_failed, nr_harvests);
    for (i = 0; i < nr_pages; i++)
        ok(!memcmp(base + PAGES(i), copy + PAGES(i), PAGE_BYTES), "page %u: %ld in memory, %ld in the copy",
           i, *(LONG *)(base + PAGES(i) + 64), *(LONG *)(copy + PAGES(i) + 64));
    expect_pages(base, 0, nr_pages, KEEP, "");
    free(copy);
    free_pages(base);
}

/* The child: conformance child PID BASE WHAT, with the numbers in hexadecimal. */
int run_child(int argc, char **argv)
{
    DWORD access = PROCESS_VM_OPERATION | PROCESS_VM_READ | PROCESS_VM_WRITE, old;
    const char *what = argc > 4 ? argv[4] : "";
    char *base, zero[16] = { 0 };
    bool good = false;
    HANDLE process;
    SIZE_T done;

    if (argc < 5)
        return 2;
    base = (char *)(ULONG_PTR)strtoull(argv[3], NULL, 16);
    process = OpenProcess(access, FALSE, strtoul(argv[2], NULL, 16));
    if (!process)
        return 3;
    if (!strcmp(what, "nothing"))
        good = true;
    else if (!strcmp(what, "protect"))
        good = VirtualProtectEx(process, base, PAGES(8), PAGE_READONLY, &old) &&
               VirtualProtectEx(process, base, PAGES(8), PAGE_READWRITE, &old);
    else if (!strcmp(what, "recommit"))
        good = VirtualFreeEx(process, base + PAGES(4), PAGES(2), MEM_DECOMMIT) &&
               VirtualAllocEx(process, base + PAGES(4), PAGES(2), MEM_COMMIT, PAGE_READWRITE);
    else if (!strcmp(what, "write"))
        good = WriteProcessMemory(process, base + PAGES(9), zero, sizeof(zero), &done);
    else if (!strcmp(what, "release"))
        good = VirtualFreeEx(process, base, 0, MEM_RELEASE);
    CloseHandle(process);
    return good ? 0 : 1;
}

static void call_child(char *base, const char *what)
{
    char path[MAX_PATH], command[MAX_PATH + 100];
    STARTUPINFOA startup = { .cb = sizeof(startup) };
    PROCESS_INFORMATION child;
    DWORD code = ~0u;

    GetModuleFileNameA(NULL, path, sizeof(path));
    sprintf(command, "\"%s\" child %lx %llx %s", path, GetCurrentProcessId(),
            (unsigned long long)(ULONG_PTR)base, what);
    if (CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child)) {
        WaitForSingleObject(child.hProcess, 30000);
        GetExitCodeProcess(child.hProcess, &code);
        CloseHandle(child.hThread);
        CloseHandle(child.hProcess);
    }
    ok(!code, "the child that does \"%s\" ends with %lu", what, code);
}

/* A real handle to this process works as the pseudo handle does. */
static void test_own_handle(void)
{
    HANDLE self = OpenProcess(PROCESS_ALL_ACCESS, FALSE, GetCurrentProcessId());
    DWORD type = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, old;
    ULONG_PTR count = 1;
    ULONG granularity;
    NTSTATUS status;
    char *base;

    base = VirtualAllocEx(self, NULL, PAGES(NR_PAGES), type, PAGE_READWRITE);
    ok(base != NULL, "VirtualAllocEx: error %lu", GetLastError());
    if (!base)
        return;
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, KEEP, "3");
    status = NtGetWriteWatch(self, RESET, base, PAGES(NR_PAGES), results, &count, &granularity);
    ok(!status && count == 1 && results[0] == base + PAGES(3), "status %#lx, %u pages, the first is %p of %p",
       (DWORD)status, (unsigned int)count, results[0], base);
    write_range(base, 4, 2);
    ok(VirtualProtectEx(self, base, PAGES(8), PAGE_READONLY, &old), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "4-5");
    status = NtResetWriteWatch(self, base, PAGES(5));
    ok(!status, "status %#lx", (DWORD)status);
    expect_pages(base, 0, NR_PAGES, KEEP, "5");
    ok(VirtualFreeEx(self, base, 0, MEM_RELEASE), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "failed 0xc000000d");
    CloseHandle(self);
}

/*
 * After another process has changed memory here, pages may be reported that were not written,
 * because the system may not know exactly what changed. A written page must never be missing.
 */
void test_processes(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_range(base, 0, 12);
    clean(base, NR_PAGES);
    write_page(base, 1);
    call_child(base, "nothing");
    expect_pages(base, 0, NR_PAGES, KEEP, "1");
    write_page(base, 2);
    expect_pages(base, 0, NR_PAGES, RESET, "1-2");

    write_page(base, 3);
    call_child(base, "protect");
    expect_pages(base, 0, NR_PAGES, KEEP, "3");
    write_page(base, 6);
    expect_pages(base, 0, NR_PAGES, RESET, "3 6");

    write_page(base, 1);
    call_child(base, "recommit");
    write_page(base, 4);
    expect_between(base, NR_PAGES, RESET, "1 4", "0-15");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 5);
    write_page(base, 10);
    expect_pages(base, 0, NR_PAGES, RESET, "5 10");

    call_child(base, "write");
    ok(!read_page(base, 9), "the other process did not write");
    todo_stock expect_pages(base, 0, NR_PAGES, RESET, "9");

    call_child(base, "release");
    expect_pages(base, 0, NR_PAGES, KEEP, "failed 0xc000000d");
    test_own_handle();
}
