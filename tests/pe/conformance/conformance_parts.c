/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_parts.c - watched memory that is put together and taken apart: placeholders, and
 * releases of a part.
 *
 * Windows documents splitting, replacing and coalescing placeholders (VirtualAlloc2, VirtualFree);
 * Wine's own tests have found that a replacement may be watched from Windows 10, version 1903, on.
 * A release of a part needs the native call; Windows refuses it for watched memory or splits the
 * allocation, and these tests accept both. The rest must be watched as before, the released part
 * must not.
 */
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16
#define UNIT PAGES(NR_PAGES)
#define NOT_WATCHED "failed 0xc000000d"

#ifndef MEM_COALESCE_PLACEHOLDERS
#define MEM_COALESCE_PLACEHOLDERS 0x00000001
#endif

typedef PVOID(WINAPI *alloc2_fn)(HANDLE, PVOID, SIZE_T, ULONG, ULONG, MEM_EXTENDED_PARAMETER *, ULONG);
typedef PVOID(WINAPI *map3_fn)(HANDLE, HANDLE, PVOID, ULONG64, SIZE_T, ULONG, ULONG, MEM_EXTENDED_PARAMETER *,
                               ULONG);

static alloc2_fn alloc2;

static NTSTATUS release_part(char *base, unsigned int first, unsigned int nr_pages, ULONG type)
{
    PVOID addr = base + PAGES(first);
    SIZE_T size = PAGES(nr_pages);

    return NtFreeVirtualMemory(GetCurrentProcess(), &addr, &size, type);
}

static FARPROC find_function(const char *name)
{
    return GetProcAddress(GetModuleHandleA("kernelbase.dll"), name);
}

static char *reserve_placeholder(unsigned int nr_units)
{
    return alloc2(NULL, NULL, nr_units * UNIT, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL, 0);
}

static bool split(char *addr, SIZE_T size)
{
    return VirtualFree(addr, size, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER);
}

static char *replace(char *addr, SIZE_T size, ULONG type)
{
    return alloc2(NULL, addr, size, MEM_RESERVE | MEM_REPLACE_PLACEHOLDER | MEM_WRITE_WATCH | type,
                  PAGE_READWRITE, NULL, 0);
}

static void expect_watched(char *base)
{
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 3);
    write_page(base, 15);
    expect_pages(base, 0, NR_PAGES, RESET, "3 15");
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, RESET, "3");
}

/* Two watched allocations side by side and a placeholder, each a third, which become one placeholder again.
 */
static void test_thirds(void)
{
    char *base = reserve_placeholder(3), *low, *middle;

    ok(split(base, UNIT) && split(base + UNIT, UNIT), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, NOT_WATCHED);
    low = replace(base, UNIT, MEM_COMMIT);
    middle = replace(base + UNIT, UNIT, 0);
    ok(low == base && middle == base + UNIT, "got %p and %p, error %lu", low, middle, GetLastError());
    commit_pages(middle, 0, NR_PAGES);
    expect_watched(low);
    expect_watched(middle);
    write_page(low, 15);
    write_page(middle, 0);
    expect_pages(low, 0, NR_PAGES, KEEP, "15");
    expect_pages(middle, 0, NR_PAGES, KEEP, "0");
    expect_pages(low, 15, 2, RESET, NOT_WATCHED);
    expect_pages(middle, 15, 2, RESET, NOT_WATCHED);

    /* Decommit and latch work as in other allocations. */
    protect_pages(low, 15, 1, PAGE_READONLY);
    write_page(low, 4);
    decommit_pages(low, 4, 12);
    todo_stock expect_pages(low, 0, NR_PAGES, KEEP, "15");

    /* They become placeholders again, which are joined; none of it is watched any more. */
    ok(split(low, UNIT), "error %lu", GetLastError());
    expect_pages(low, 0, NR_PAGES, KEEP, NOT_WATCHED);
    ok(ResetWriteWatch(low, UNIT) == ~0u, "a placeholder is reset");
    expect_pages(middle, 0, NR_PAGES, KEEP, "0");
    ok(split(middle, UNIT), "error %lu", GetLastError());
    ok(VirtualFree(base, 3 * UNIT, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, NOT_WATCHED);

    /* All of it becomes one watched allocation, which is clean. */
    base = replace(base, 3 * UNIT, MEM_COMMIT);
    ok(base == low, "got %p, error %lu", base, GetLastError());
    expect_pages(base, 0, 3 * NR_PAGES, KEEP, "");
    write_page(base, NR_PAGES);
    write_page(base, 2 * NR_PAGES - 1);
    expect_pages(base, 0, 3 * NR_PAGES, KEEP, "16 31");

    /* A replacement that fails changes nothing. */
    ok(!replace(base, 3 * UNIT, MEM_COMMIT), "an allocation is replaced as if it were a placeholder");
    expect_pages(base, 0, 3 * NR_PAGES, RESET, "16 31");
    write_page(base, 2);
    expect_pages(base, 0, 3 * NR_PAGES, KEEP, "2");
    free_pages(base);
    expect_pages(base, 0, NR_PAGES, KEEP, NOT_WATCHED);
}

/* The middle of a watched replacement goes back to being a placeholder; its neighbours stay. */
static void test_hole(void)
{
    char *base = reserve_placeholder(3), *again;

    base = replace(base, 3 * UNIT, MEM_COMMIT);
    ok(base != NULL, "error %lu", GetLastError());
    if (!base)
        return;
    write_page(base, 1);
    write_page(base, 20);
    write_page(base, 40);
    if (!split(base + UNIT, UNIT)) {
        skip("no hole in a watched replacement, error %lu", GetLastError());
        expect_pages(base, 0, 3 * NR_PAGES, KEEP, "1 20 40");
        free_pages(base);
        return;
    }
    expect_pages(base, 0, NR_PAGES, KEEP, "1");
    expect_pages(base + UNIT, 0, NR_PAGES, KEEP, NOT_WATCHED);
    expect_pages(base + 2 * UNIT, 0, NR_PAGES, KEEP, "8");
    expect_pages(base, 0, NR_PAGES + 1, KEEP, NOT_WATCHED);
    expect_pages(base, 0, 3 * NR_PAGES, RESET, NOT_WATCHED);
    write_page(base, 15);
    write_page(base + 2 * UNIT, 0);
    expect_pages(base, 0, NR_PAGES, RESET, "1 15");
    expect_pages(base + 2 * UNIT, 0, NR_PAGES, RESET, "0 8");

    /* The hole is filled, first unwatched, then watched. */
    again = alloc2(NULL, base + UNIT, UNIT, MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER,
                   PAGE_READWRITE, NULL, 0);
    ok(again == base + UNIT, "error %lu", GetLastError());
    write_page(again, 0);
    expect_pages(again, 0, NR_PAGES, KEEP, NOT_WATCHED);
    ok(split(again, UNIT), "error %lu", GetLastError());
    again = replace(base + UNIT, UNIT, MEM_COMMIT);
    ok(again == base + UNIT, "error %lu", GetLastError());
    expect_watched(again);
    expect_watched(base);
    expect_pages(base, 0, NR_PAGES + 1, KEEP, NOT_WATCHED);
    free_pages(base);
    free_pages(again);
    expect_watched(base + 2 * UNIT);
    free_pages(base + 2 * UNIT);
}

/* Watched memory in place of a placeholder, which it can become again. NULL: this system has none. */
char *watch_placeholder(SIZE_T size)
{
    char *base;

    alloc2 = (alloc2_fn)(void (*)(void))find_function("VirtualAlloc2");
    base = alloc2 ? reserve_placeholder(size / UNIT) : NULL;
    return base ? replace(base, size, MEM_COMMIT) : NULL;
}

/* A view of a file in place of a placeholder. */
char *map_over_placeholder(char *addr, SIZE_T size)
{
    map3_fn map3 = (map3_fn)(void (*)(void))find_function("MapViewOfFile3");
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, size, NULL);
    char *view = map3(section, NULL, addr, 0, size, MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE, NULL, 0);

    CloseHandle(section);
    return view;
}

static void test_view(char *addr)
{
    char *view = map_over_placeholder(addr, UNIT);

    ok(view == addr, "got %p instead of %p, error %lu", view, addr, GetLastError());
    if (view != addr)
        return;
    expect_pages(view, 0, NR_PAGES, KEEP, NOT_WATCHED);
    write_page(view, 2);
    expect_pages(view, 0, NR_PAGES, RESET, NOT_WATCHED);
    ok(UnmapViewOfFile(view), "error %lu", GetLastError());
    expect_pages(view, 0, NR_PAGES, KEEP, NOT_WATCHED);
}

/* A view of a file takes the place of a placeholder, of one that was watched memory, and of one that was
 * watched as such. Windows does not document the last, so it may refuse. */
static void test_views(void)
{
    const DWORD type = MEM_RESERVE | MEM_RESERVE_PLACEHOLDER;
    char *base = watch_placeholder(UNIT);

    test_view(reserve_placeholder(1));
    write_page(base, 1);
    ok(split(base, UNIT), "error %lu", GetLastError());
    test_view(base);
    base = alloc2(NULL, NULL, UNIT, type | MEM_WRITE_WATCH, PAGE_NOACCESS, NULL, 0);
    if (base)
        test_view(base);
    else
        skip("no placeholder is watched, error %lu", GetLastError());
}

void test_placeholders(void)
{
    char *probe = watch_placeholder(UNIT);

    if (!probe) {
        skip("no watched placeholders, error %lu", GetLastError());
        return;
    }
    expect_watched(probe);
    free_pages(probe);
    test_thirds();
    test_hole();
    test_views();
}

/* The release of a part fails and changes nothing, or the part is gone and the rest unchanged. */
static void test_part(unsigned int first, unsigned int nr, const char *below, const char *above)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    unsigned int end = first + nr;
    NTSTATUS status;

    write_range(base, 0, NR_PAGES);
    protect_pages(base, 0, NR_PAGES, PAGE_READONLY);
    protect_pages(base, 0, NR_PAGES, PAGE_READWRITE);
    status = release_part(base, first, nr, MEM_RELEASE);
    if (status) {
        ok(status < 0, "status %#lx", (DWORD)status);
        expect_pages(base, 0, NR_PAGES, RESET, "0-15");
        expect_watched(base);
        free_pages(base);
        return;
    }
    expect_pages(base, first, nr, KEEP, NOT_WATCHED);
    expect_pages(base, 0, NR_PAGES, RESET, NOT_WATCHED);
    if (first) {
        expect_pages(base, 0, first, KEEP, below);
        expect_pages(base, 0, first, RESET, below);
        expect_pages(base, 0, first + 1, KEEP, NOT_WATCHED);
        /* Page first - 1, whose number is the last digit of the text. */
        write_page(base, first - 1);
        expect_bytes(base, PAGES(first - 1), PAGE_BYTES, RESET, below + strlen(below) - 1);
        ok(VirtualFree(base, 0, MEM_RELEASE), "error %lu", GetLastError());
    }
    if (end < NR_PAGES) {
        expect_pages(base, end, NR_PAGES - end, KEEP, above);
        expect_pages(base, end, NR_PAGES - end, RESET, above);
        write_page(base, NR_PAGES - 1);
        expect_pages(base, end, NR_PAGES - end, RESET, "15");
        ok(VirtualFree(base + PAGES(end), 0, MEM_RELEASE), "error %lu", GetLastError());
        expect_pages(base, end, NR_PAGES - end, KEEP, NOT_WATCHED);
    }
}

/* Calls that must fail on every system, and change nothing. */
static void test_impossible(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_range(base, 2, 2);
    ok(release_part(base, 8, 9, MEM_RELEASE), "a release past the end succeeds");
    expect_pages(base, 0, NR_PAGES, KEEP, "2-3");
    ok(release_part(base, 8, 0, MEM_RELEASE), "a release from the middle on succeeds");
    expect_pages(base, 0, NR_PAGES, KEEP, "2-3");
    ok(release_part(base, 0, 16, MEM_RELEASE | MEM_DECOMMIT), "a release and decommit succeeds");
    expect_pages(base, 0, NR_PAGES, KEEP, "2-3");
    ok(release_part(base, 0, 16, 0), "a free of no type succeeds");
    ok(release_part(base, 4, 4, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER), "no placeholder was there");
    expect_pages(base, 0, NR_PAGES, KEEP, "2-3");
    ok(release_part(base, 8, 9, MEM_DECOMMIT), "a decommit past the end succeeds");
    ok(release_part(base, 1, 0, MEM_DECOMMIT), "a decommit of size 0 from the middle on succeeds");
    expect_pages(base, 0, NR_PAGES, RESET, "2-3");
    expect_watched(base);

    /* Size 0 and a base that is not the first byte of its page: rounded, as Wine's tests show. */
    ok(!release_part(base + 0xfff, 0, 0, MEM_RELEASE), "the release of the base's page fails");
    expect_pages(base, 0, NR_PAGES, KEEP, NOT_WATCHED);
}

void test_partial_release(void)
{
    test_part(8, 8, "0-7", "");
    test_part(0, 8, "", "8-15");
    test_part(4, 8, "0-3", "12-15");
    test_part(1, 14, "0", "15");
    test_part(0, 1, "", "1-15");
    test_impossible();
}
