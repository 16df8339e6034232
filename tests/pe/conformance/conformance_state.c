/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_state.c - watches through the life of an allocation.
 *
 * Allocation types, protections, commitment and release. Windows documents little of it: Wine's
 * own tests have found on Windows that VirtualProtect latches dirty pages, that a decommit
 * forgets the others, and that MEM_COMMIT at an existing base ignores the flag.
 */
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16
#define NOT_WATCHED "failed 0xc000000d"

static const DWORD protections[] = { PAGE_NOACCESS, PAGE_READONLY, PAGE_EXECUTE, PAGE_EXECUTE_READ,
                                     PAGE_EXECUTE_READWRITE };

static void expect_refused(void *addr, DWORD type)
{
    SIZE_T size = PAGES(NR_PAGES);
    PVOID native = addr;
    NTSTATUS status;
    char *base;

    SetLastError(SENTINEL);
    base = VirtualAlloc(addr, PAGES(NR_PAGES), type, PAGE_READWRITE);
    ok(!base && GetLastError() == ERROR_INVALID_PARAMETER,
       "type %#lx: expected error 87, got %p and error %lu", type, base, GetLastError());
    status = NtAllocateVirtualMemory(GetCurrentProcess(), &native, 0, &size, type, PAGE_READWRITE);
    ok((DWORD)status == STATUS_INVALID_PARAMETER || broken(status < 0), "type %#lx: got status %#lx", type,
       (DWORD)status);
}

static void test_types(void)
{
    static const DWORD types[] = { MEM_COMMIT, MEM_RESERVE | MEM_COMMIT, MEM_COMMIT | MEM_TOP_DOWN,
                                   MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN };
    SIZE_T size = PAGES(NR_PAGES);
    PVOID native = NULL;
    NTSTATUS status;
    char *base, *again;
    size_t i;

    expect_refused(NULL, MEM_WRITE_WATCH);
    for (i = 0; i < ARRAYSIZE(types); i++) {
        base = watch_pages(NR_PAGES, types[i], PAGE_READWRITE);
        write_page(base, 4);
        expect_pages(base, 0, NR_PAGES, RESET, "4");
        free_pages(base);
        again = VirtualAlloc(base, PAGES(NR_PAGES), types[1] | MEM_WRITE_WATCH, PAGE_READWRITE);
        if (again != base) {
            skip("the address is taken");
            continue;
        }
        expect_pages(base, 0, NR_PAGES, KEEP, "");
        write_page(base, 5);
        expect_pages(base, 0, NR_PAGES, KEEP, "5");
        free_pages(base);
    }
    status = NtAllocateVirtualMemory(GetCurrentProcess(), &native, 0, &size,
                                     MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    ok(!status && size == PAGES(NR_PAGES), "status %#lx, size %#lx", (DWORD)status, (DWORD)size);
    write_page(native, 15);
    expect_pages(native, 0, NR_PAGES, KEEP, "15");
    free_pages(native);
}

static void test_existing_base(void)
{
    char *plain = VirtualAlloc(NULL, PAGES(NR_PAGES), MEM_RESERVE, PAGE_READWRITE), *base;

    base = VirtualAlloc(plain, PAGES(NR_PAGES), MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    ok(base == plain || broken(!base), "commit with the flag: %p, error %lu", base, GetLastError());
    if (base) {
        write_page(base, 1);
        expect_pages(base, 0, NR_PAGES, KEEP, NOT_WATCHED);
        ok(ResetWriteWatch(base, PAGES(NR_PAGES)) == ~0u, "unwatched memory is reset");
        expect_refused(base, MEM_WRITE_WATCH);
    }
    free_pages(plain);

    plain = watch_pages(NR_PAGES, MEM_RESERVE, PAGE_READWRITE);
    base = VirtualAlloc(plain, PAGES(4), MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    ok(base == plain || broken(!base), "commit with the flag: %p, error %lu", base, GetLastError());
    if (base) {
        write_page(base, 3);
        base = VirtualAlloc(plain, PAGES(6), MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
        ok(base == plain, "a second commit fails, error %lu", GetLastError());
        expect_pages(plain, 0, NR_PAGES, KEEP, "3");
        write_page(base, 5);
        expect_pages(plain, 0, NR_PAGES, KEEP, "3 5");
    }

    /* An allocation that fails changes nothing. */
    base = VirtualAlloc(plain, PAGES(NR_PAGES), MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    ok(!base && GetLastError() == ERROR_INVALID_ADDRESS, "got %p, error %lu", base, GetLastError());
    expect_pages(plain, 0, NR_PAGES, KEEP, "3 5");
    free_pages(plain);
}

static void expect_memory(char *base, unsigned int nr_pages, DWORD protect)
{
    MEMORY_BASIC_INFORMATION info;

    memset(&info, 0, sizeof(info));
    ok(VirtualQuery(base, &info, sizeof(info)) == sizeof(info), "VirtualQuery: error %lu", GetLastError());
    ok(info.BaseAddress == base && info.AllocationBase == base && info.RegionSize == PAGES(nr_pages),
       "got base %p, allocation %p, size %#lx", info.BaseAddress, info.AllocationBase,
       (DWORD)info.RegionSize);
    ok(info.AllocationProtect == PAGE_READWRITE && info.Protect == protect && info.Type == MEM_PRIVATE,
       "got allocation protection %#lx, protection %#lx, type %#lx", info.AllocationProtect, info.Protect,
       info.Type);
}

/* VirtualQuery must tell the same of watched memory as of other memory, with dirty and with clean pages. */
static void test_query(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    DWORD old;

    expect_memory(base, NR_PAGES, PAGE_READWRITE);
    write_page(base, 3);
    expect_memory(base, NR_PAGES, PAGE_READWRITE);
    expect_pages(base, 0, 8, RESET, "3");
    expect_memory(base, NR_PAGES, PAGE_READWRITE);
    write_page(base, 4);
    old = protect_pages(base, 0, 8, PAGE_READONLY);
    ok(old == PAGE_READWRITE, "old protection is %#lx", old);
    expect_memory(base, 8, PAGE_READONLY);
    clean(base, NR_PAGES);
    old = protect_pages(base, 0, 8, PAGE_READWRITE);
    ok(old == PAGE_READONLY, "old protection is %#lx", old);
    expect_memory(base, NR_PAGES, PAGE_READWRITE);
    free_pages(base);
}

static void test_initial_protection(DWORD protect)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, protect);

    expect_pages(base, 0, NR_PAGES, KEEP, "");
    protect_pages(base, 0, NR_PAGES, PAGE_READWRITE);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 5);
    expect_pages(base, 0, NR_PAGES, RESET, "5");
    write_page(base, 6);
    expect_pages(base, 0, NR_PAGES, RESET, "6");
    free_pages(base);
}

/* Code in watched memory: writing it marks, running it does not. */
static void test_code(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);

    base[PAGES(7)] = (char)0xc3; /* ret */
    FlushInstructionCache(GetCurrentProcess(), base + PAGES(7), 1);
    expect_pages(base, 0, NR_PAGES, RESET, "7");
    ((void (*)(void))(ULONG_PTR)(base + PAGES(7)))();
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    free_pages(base);
}

void test_allocate(void)
{
    size_t i;

    test_types();
    test_existing_base();
    test_query();
    for (i = 0; i < ARRAYSIZE(protections); i++)
        test_initial_protection(protections[i]);
    test_code();
}

typedef PVOID(WINAPI *alloc2_fn)(HANDLE, PVOID, SIZE_T, ULONG, ULONG, MEM_EXTENDED_PARAMETER *, ULONG);

void test_allocate_ex(void)
{
    const SIZE_T size = 0x10000;
    HMODULE kernelbase = GetModuleHandleA("kernelbase.dll");
    alloc2_fn alloc2 = (alloc2_fn)(void (*)(void))GetProcAddress(kernelbase, "VirtualAlloc2");
    char *base, *low;

    if (!alloc2) {
        skip("no VirtualAlloc2");
        return;
    }
    base = alloc2(NULL, NULL, size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE, NULL, 0);
    ok(base != NULL, "VirtualAlloc2: error %lu", GetLastError());
    if (!base)
        return;
    write_page(base, 2);
    expect_pages(base, 0, 16, RESET, "2");
    write_page(base, 3);
    expect_pages(base, 0, 16, RESET, "3");
    free_pages(base);

    /* Half of a placeholder becomes a watched allocation. Windows may refuse the flag here. */
    base = alloc2(NULL, NULL, 2 * size, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL, 0);
    if (!base || !VirtualFree(base, size, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER)) {
        skip("no placeholders, error %lu", GetLastError());
        return;
    }
    low = alloc2(NULL, base, size, MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER | MEM_WRITE_WATCH,
                 PAGE_READWRITE, NULL, 0);
    if (low) {
        expect_pages(low, 0, 16, KEEP, "");
        write_page(low, 4);
        expect_pages(low, 0, 16, RESET, "4");
        write_page(low, 5);
        expect_pages(low, 0, 16, KEEP, "5");
        expect_pages(low, 0, 17, KEEP, NOT_WATCHED);
        ok(VirtualFree(low, size, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER), "error %lu", GetLastError());
        expect_pages(low, 0, 16, KEEP, NOT_WATCHED);
    } else {
        skip("no watched replacement of a placeholder, error %lu", GetLastError());
    }
    VirtualFree(base, 0, MEM_RELEASE);
    VirtualFree(base + size, 0, MEM_RELEASE);
}

static void test_huge_reserve(void)
{
#ifdef _WIN64
    const SIZE_T size = (SIZE_T)8 << 30, far_off = ((SIZE_T)5 << 30) + PAGES(3);
    char *base = VirtualAlloc(NULL, size, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE);
    struct answer answer;

    if (!base) {
        skip("no room to reserve 8 GB");
        return;
    }
    commit_pages(base + far_off, 0, 4);
    commit_pages(base, 1, 1);
    write_page(base + far_off, 2);
    write_page(base, 1);
    query_native(&answer, RESET, base, size, MAX_RESULTS);
    ok(!answer.status && answer.count == 2 && results[0] == base + PAGES(1) &&
           results[1] == base + far_off + PAGES(2),
       "status %#lx, %u pages, %p and %p of %p", (DWORD)answer.status, (unsigned int)answer.count, results[0],
       results[1], base);
    query_kernel32(&answer, KEEP, base, size, MAX_RESULTS);
    ok(!answer.ret && !answer.count, "error %#x, %u pages after the reset", answer.ret,
       (unsigned int)answer.count);
    expect_pages(base + far_off, 0, 4, KEEP, "");
    free_pages(base);
#else
    skip("8 GB need a 64-bit program");
#endif
}

void test_reserve(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE, PAGE_READWRITE);

    expect_pages(base, 0, NR_PAGES, KEEP, "");
    expect_pages(base, 0, NR_PAGES, RESET, "");
    ok(!ResetWriteWatch(base, PAGES(NR_PAGES)), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES + 1, KEEP, NOT_WATCHED);

    commit_pages(base, 4, 4);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    ok(!read_page(base, 6), "page 6 is not zero");
    write_page(base, 5);
    expect_pages(base, 0, NR_PAGES, KEEP, "5");
    commit_pages(base, 8, 2);
    expect_pages(base, 0, NR_PAGES, KEEP, "5");
    write_page(base, 9);
    expect_pages(base, 0, NR_PAGES, RESET, "5 9");

    /* A commit of committed pages neither marks pages nor makes them clean. */
    write_page(base, 7);
    commit_pages(base, 0, NR_PAGES);
    expect_pages(base, 0, NR_PAGES, KEEP, "7");
    ok(read_page(base, 7) == 0x55, "page 7 lost its content");
    write_page(base, 0);
    write_page(base, 15);
    expect_pages(base, 0, NR_PAGES, RESET, "0 7 15");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    free_pages(base);
    test_huge_reserve();
}

static void test_protection(DWORD protect)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_page(base, 1);
    write_page(base, 3);
    write_page(base, 9);
    protect_pages(base, 0, 4, protect);
    expect_pages(base, 0, NR_PAGES, KEEP, "1 3 9");
    protect_pages(base, 0, 4, PAGE_READWRITE);
    expect_pages(base, 0, NR_PAGES, KEEP, "1 3 9");
    write_page(base, 1);
    write_page(base, 2);
    expect_pages(base, 0, NR_PAGES, RESET, "1-3 9");
    write_page(base, 2);
    expect_pages(base, 0, NR_PAGES, KEEP, "2");

    /* Get and reset under another protection; pages that were reset stay clean when the protection comes
     * back. */
    protect_pages(base, 0, NR_PAGES, protect);
    expect_pages(base, 0, NR_PAGES, KEEP, "2");
    expect_pages(base, 0, NR_PAGES, RESET, "2");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    protect_pages(base, 0, NR_PAGES, PAGE_READWRITE);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 2);
    write_page(base, 12);
    protect_pages(base, 10, 4, protect);
    ok(!ResetWriteWatch(base, PAGES(8)), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "12");
    clean(base, NR_PAGES);
    protect_pages(base, 10, 4, PAGE_READWRITE);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_range(base, 11, 2);
    expect_pages(base, 0, NR_PAGES, KEEP, "11-12");
    free_pages(base);
}

void test_protect(void)
{
    char *base;
    size_t i;

    for (i = 0; i < ARRAYSIZE(protections); i++)
        test_protection(protections[i]);

    /* A change of protection in the middle of a run, and a count that ends in it. */
    base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    write_range(base, 2, 8);
    protect_pages(base, 4, 2, PAGE_READONLY);
    protect_pages(base, 6, 1, PAGE_NOACCESS);
    expect_pages(base, 0, NR_PAGES, KEEP, "2-9");
    expect_some(base, 0, NR_PAGES, 3, RESET, "2-4");
    expect_some(base, 0, NR_PAGES, 2, RESET, "5-6");
    expect_pages(base, 0, NR_PAGES, KEEP, "7-9");
    protect_pages(base, 0, NR_PAGES, PAGE_READWRITE);
    write_page(base, 4);
    expect_pages(base, 0, NR_PAGES, RESET, "4 7-9");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    free_pages(base);
}

/* A decommit makes a dirty page clean, but not one that VirtualProtect has latched. */
static void test_decommit_forgets(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_range(base, 2, 3);
    write_page(base, 9);
    decommit_pages(base, 3, 1);
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "2 4 9");
    commit_pages(base, 3, 1);
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "2 4 9");
    ok(!read_page(base, 3), "page 3 is not zero");
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "2 4 9");
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, RESET, "2-4 9");
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, KEEP, "3");

    /* Size 0 decommits the whole allocation. */
    ok(VirtualFree(base, 0, MEM_DECOMMIT), "error %lu", GetLastError());
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "");
    ok(!ResetWriteWatch(base, PAGES(NR_PAGES)), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, RESET, "");
    commit_pages(base, 0, NR_PAGES);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 0);
    write_page(base, 15);
    expect_pages(base, 0, NR_PAGES, RESET, "0 15");
    write_page(base, 15);
    expect_pages(base, 0, NR_PAGES, KEEP, "15");
    free_pages(base);
}

static void test_decommit_latched(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_page(base, 3);
    write_page(base, 5);
    protect_pages(base, 3, 1, PAGE_READONLY);
    decommit_pages(base, 0, 8);
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "3");
    commit_pages(base, 0, 8);
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "3");
    ok(!read_page(base, 3), "page 3 is not zero");
    expect_some(base, 3, 1, 1, RESET, "3");
    clean(base, NR_PAGES);
    expect_pages(base, 0, NR_PAGES, KEEP, "");

    /* Another protection and back is a change too; pages written after it are not latched. */
    write_page(base, 6);
    protect_pages(base, 0, NR_PAGES, PAGE_NOACCESS);
    protect_pages(base, 0, NR_PAGES, PAGE_READWRITE);
    write_page(base, 7);
    ok(VirtualFree(base, 0, MEM_DECOMMIT), "error %lu", GetLastError());
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "6");
    commit_pages(base, 0, NR_PAGES);
    todo_stock expect_pages(base, 0, NR_PAGES, RESET, "6");
    expect_pages(base, 0, NR_PAGES, KEEP, "");

    /* A reset clears the latch as well, and only a write makes the page dirty again. */
    write_page(base, 8);
    protect_pages(base, 8, 1, PAGE_READONLY);
    clean(base, NR_PAGES);
    decommit_pages(base, 8, 1);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    commit_pages(base, 8, 1);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 8);
    expect_pages(base, 0, NR_PAGES, KEEP, "8");
    free_pages(base);
}

/* What MEM_RESET does to dirty pages is not documented, but writes after it must be reported. */
static void test_mem_reset(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    char *addr;

    write_range(base, 0, 8);
    clean(base, NR_PAGES);
    addr = VirtualAlloc(base + PAGES(2), PAGES(4), MEM_RESET, PAGE_READWRITE);
    ok(addr == base + PAGES(2), "MEM_RESET: got %p, error %lu", addr, GetLastError());
    clean(base, NR_PAGES);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 1);
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, RESET, "1 3");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    free_pages(base);
}

void test_decommit(void)
{
    test_decommit_forgets();
    test_decommit_latched();
    test_mem_reset();
}

void test_release(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), *again;

    write_page(base, 3);
    free_pages(base);
    expect_pages(base, 0, NR_PAGES, KEEP, NOT_WATCHED);
    expect_pages(base, 0, NR_PAGES, RESET, NOT_WATCHED);
    ok(ResetWriteWatch(base, PAGES(NR_PAGES)) == ~0u, "a reset of freed memory succeeds");

    again = VirtualAlloc(base, PAGES(NR_PAGES), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (again != base) {
        skip("the address is taken");
        if (again)
            free_pages(again);
        return;
    }
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, KEEP, NOT_WATCHED);
    free_pages(base);
    again = VirtualAlloc(base, PAGES(NR_PAGES), MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    ok(again == base, "got %p instead of %p", again, base);
    if (!again)
        return;
    expect_pages(again, 0, NR_PAGES, KEEP, "");
    write_page(again, 2);
    expect_pages(again, 0, NR_PAGES, KEEP, "2");
    free_pages(again);
}
