/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The win32 suite, part two: VirtualAlloc, VirtualFree and VirtualProtect, their
 * arguments, what they do to the pages, and what is left when they fail.
 */
#include "win32.h"

#include <errno.h>
#include <sys/resource.h>

/* ---- VirtualAlloc ---- */

/* Each row fails; `base` is an offset in a reservation of 16 pages, or an address itself. */
static const struct {
    const char *what;
    bool inside;
    uintptr_t base;
    SIZE_T size;
    DWORD type, protect, error;
} alloc_rows[] = {
    { "size 0", false, 0, 0, MEM_RESERVE, PAGE_NOACCESS, ERROR_INVALID_PARAMETER },
    { "no type", false, 0, PAGE, 0, RW, ERROR_INVALID_PARAMETER },
    { "only a flag", false, 0, PAGE, MEM_WRITE_WATCH, RW, ERROR_INVALID_PARAMETER },
    { "unknown type", false, 0, PAGE, MEM_RESERVE | 0x40000000, RW, ERROR_INVALID_PARAMETER },
    { "large pages", false, 0, PAGE, MEM_COMMIT | MEM_LARGE_PAGES, RW, ERROR_INVALID_PARAMETER },
    { "protection 0", false, 0, PAGE, MEM_RESERVE, 0, ERROR_INVALID_PARAMETER },
    { "protection 0, commit", false, 0, PAGE, MEM_COMMIT, 0, ERROR_INVALID_PARAMETER },
    { "two protections", true, 0, PAGE, MEM_COMMIT, PAGE_READONLY | PAGE_EXECUTE, ERROR_INVALID_PARAMETER },
    { "copy-on-write", false, 0, PAGE, MEM_RESERVE, PAGE_WRITECOPY, ERROR_INVALID_PARAMETER },
    { "no access, no cache", false, 0, PAGE, MEM_RESERVE, PAGE_NOACCESS | PAGE_NOCACHE,
      ERROR_INVALID_PARAMETER },
    { "no cache, combined", false, 0, PAGE, MEM_COMMIT, RW | PAGE_NOCACHE | PAGE_WRITECOMBINE,
      ERROR_INVALID_PARAMETER },
    { "guard", false, 0, PAGE, MEM_COMMIT, RW | PAGE_GUARD, ERROR_NOT_SUPPORTED },
    { "below 64 KB", false, 0x1000, PAGE, MEM_RESERVE, RW, ERROR_INVALID_PARAMETER },
    { "below 64 KB, commit", false, 0x1000, PAGE, MEM_COMMIT, RW, ERROR_INVALID_PARAMETER },
    { "wraps around", false, ~(uintptr_t)0xffff, 2 * PAGE * 16, MEM_RESERVE, RW, ERROR_INVALID_PARAMETER },
    { "all there is", false, 0, ~(SIZE_T)0, MEM_RESERVE, RW, ERROR_INVALID_PARAMETER },
#ifdef __LP64__
    { "the kernel's half", false, (uintptr_t)INTPTR_MIN, PAGE, MEM_RESERVE, RW, ERROR_INVALID_PARAMETER },
    { "more than is free", false, 0, ((SIZE_T)1 << 47) - 0x20000, MEM_RESERVE, RW, ERROR_NOT_ENOUGH_MEMORY },
    { "more than is free, watched", false, 0, ((SIZE_T)1 << 47) - 0x20000, MEM_RESERVE | MEM_WRITE_WATCH, RW,
      ERROR_NOT_ENOUGH_MEMORY },
    { "commit of nothing", false, (uintptr_t)FREE_ADDRESS, PAGE, MEM_COMMIT, RW, ERROR_INVALID_ADDRESS },
#endif
    { "reserved already", true, 0, PAGE, MEM_RESERVE, RW, ERROR_INVALID_ADDRESS },
    { "reserved already by 64 KB", true, 8 * PAGE, PAGE, MEM_RESERVE, RW, ERROR_INVALID_ADDRESS },
    { "commit beyond the end", true, 15 * PAGE, 2 * PAGE, MEM_COMMIT, RW, ERROR_INVALID_ADDRESS },
    { "reset beyond the end", true, 15 * PAGE, 2 * PAGE, MEM_RESET, RW, ERROR_INVALID_ADDRESS },
    { "reset of NULL", false, 0, PAGE, MEM_RESET, RW, ERROR_INVALID_PARAMETER },
    { "reset and commit", true, 0, PAGE, MEM_RESET | MEM_COMMIT, RW, ERROR_INVALID_PARAMETER },
};

START_TEST(alloc_errors)
{
    open_world(&world, _i);
    for (size_t i = 0; i < sizeof(alloc_rows) / sizeof(alloc_rows[0]); i++) {
        char *area = vm_alloc(NULL, 16 * PAGE, MEM_RESERVE, RW);
        void *base = alloc_rows[i].inside ? area + alloc_rows[i].base : (void *)alloc_rows[i].base;
        void *found = vm_alloc(base, alloc_rows[i].size, alloc_rows[i].type, alloc_rows[i].protect);
        uint32_t error = last_error();

        ck_assert_msg(!found, "%s: succeeds", alloc_rows[i].what);
        ck_assert_msg(error == alloc_rows[i].error, "%s: error %u", alloc_rows[i].what, error);
        expect_success(vm_free(area, 0, MEM_RELEASE));
    }
    close_world(&world);
}
END_TEST

START_TEST(reserve_and_commit)
{
    char *base, *found;

    open_world(&world, _i);
    base = vm_alloc(NULL, 0xfffc, MEM_RESERVE, PAGE_NOACCESS);
    ck_assert_ptr_nonnull(base);
    ck_assert_uint_eq((uintptr_t)base & 0xffff, 0);
    ck_assert(!can_read(base));
    /* The range is rounded out to whole pages, and no further. */
    found = vm_alloc(base + PAGE + 1, PAGE, MEM_COMMIT, RW);
    ck_assert_ptr_eq(found, base + PAGE);
    found[0] = found[2 * PAGE - 1] = 1;
    ck_assert(!can_read(base));
    ck_assert(!can_read(base + 3 * PAGE));
    /* Committing again keeps what is there, and changes the protection. */
    ck_assert_ptr_eq(vm_alloc(base, 3 * PAGE, MEM_COMMIT, PAGE_READONLY), base);
    ck_assert_int_eq(base[PAGE], 1);
    ck_assert_int_eq(base[0], 0);
    expect_protect(base + PAGE, PAGE, RW, PAGE_READONLY);
    expect_success(vm_free(base, 0, MEM_RELEASE));
    ck_assert(!can_read(base));
    close_world(&world);
}
END_TEST

START_TEST(granularity_and_bases)
{
    char *base, *other;

    open_world(&world, _i);
    for (int i = 0; i < 8; i++) {
        ck_assert_uint_eq((uintptr_t)vm_alloc(NULL, PAGE, MEM_RESERVE | MEM_TOP_DOWN, RW) & 0xffff, 0);
    }
    base = vm_alloc(NULL, 0x20000, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
    expect_success(vm_free(base, 0, MEM_RELEASE));
    /* A wanted base is rounded down, and the size covers it. */
    other = vm_alloc(base + 0x1001, PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    ck_assert_ptr_eq(other, base);
    other[2 * PAGE] = 1;
    ck_assert(!can_read(base + 3 * PAGE));
    ck_assert_ptr_eq(vm_alloc(base + 0x10000, PAGE, MEM_RESERVE, RW), base + 0x10000);
    expect_success(vm_free(base + 0x10000, 0, MEM_RELEASE));
    /* Addresses where the host has mapped memory are refused. */
    ck_assert_ptr_eq(mmap(base + 0x10000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                     base + 0x10000);
    expect_error(vm_alloc(base + 0x10000, PAGE, MEM_RESERVE, RW), ERROR_INVALID_ADDRESS);
    munmap(base + 0x10000, PAGE);
    close_world(&world);
}
END_TEST

START_TEST(commit_without_memory)
{
    struct rlimit old, none = { 1, RLIM_INFINITY };
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 16 * PAGE, MEM_RESERVE, RW);
    ck_assert_ptr_eq(vm_alloc(base + 4 * PAGE, PAGE, MEM_COMMIT, PAGE_READONLY), base + 4 * PAGE);
    getrlimit(RLIMIT_DATA, &old);
    none.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_DATA, &none);
    expect_error(vm_alloc(base, 16 * PAGE, MEM_COMMIT, RW), ERROR_NOT_ENOUGH_MEMORY);
    expect_error(vm_alloc(NULL, 16 * PAGE, MEM_COMMIT, RW), ERROR_NOT_ENOUGH_MEMORY);
    setrlimit(RLIMIT_DATA, &old);
    mprotect_fails = true;
    expect_error(vm_alloc(base, 16 * PAGE, MEM_COMMIT, RW), ERROR_NOT_ENOUGH_MEMORY);
    /* Everything is as it was. */
    ck_assert(!can_read(base));
    ck_assert(can_read(base + 4 * PAGE));
    expect_error(vm_protect(base, PAGE, RW, &(DWORD){ 0 }), ERROR_INVALID_ADDRESS);
    expect_protect(base + 4 * PAGE, PAGE, RW, PAGE_READONLY);
    close_world(&world);
}
END_TEST

/* Memory that cannot be watched, or for whose record there is no memory, is unmapped again. */
START_TEST(alloc_without_memory)
{
    struct ww_win32 *win32;
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    expect_success(vm_free(base, 0, MEM_RELEASE));
    watch_error = -ENOMEM;
    expect_error(vm_alloc(base, PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW),
                 ERROR_NOT_ENOUGH_MEMORY);
    expect_error(vm_alloc(NULL, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW), ERROR_NOT_ENOUGH_MEMORY);
    watch_error = 0;
    for (int i = 1; i <= 2; i++) {
        calloc_countdown = i;
        expect_error(vm_alloc(base, PAGE, MEM_RESERVE | MEM_COMMIT, RW), ERROR_NOT_ENOUGH_MEMORY);
        ck_assert_int_eq(calloc_countdown, 0);
        ck_assert(!can_read(base));
    }
    ck_assert_ptr_eq(vm_alloc(base, PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW), base);
    expect_written(base, ".");
    calloc_countdown = 1;
    ck_assert_int_eq(ww_win32_open(&win32, world.ctx), -ENOMEM);
    close_world(&world);
}
END_TEST

/* ---- VirtualFree ---- */

START_TEST(free_errors)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 16 * PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    base[0] = 7;
    expect_error(vm_free(base, 16 * PAGE, 0), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 0, MEM_FREE), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 0, MEM_RELEASE | MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, PAGE, MEM_RELEASE | MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 1, MEM_RELEASE), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 16 * PAGE, MEM_RELEASE), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 17 * PAGE, MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, ~(SIZE_T)0, MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(NULL, 0, MEM_RELEASE), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(NULL, PAGE, MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base + PAGE, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    expect_error(vm_free(base + PAGE, 0, MEM_DECOMMIT), ERROR_INVALID_ADDRESS);
    expect_error(vm_free(base - PAGE, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    expect_error(vm_free(base - PAGE, PAGE, MEM_DECOMMIT), ERROR_INVALID_ADDRESS);
    ck_assert_int_eq(base[0], 7);
    /* Any address in the first page counts as the base. */
    expect_success(vm_free(base + 1, 0, MEM_RELEASE));
    expect_error(vm_free(base, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    expect_error(vm_free(base, PAGE, MEM_DECOMMIT), ERROR_INVALID_ADDRESS);
    close_world(&world);
}
END_TEST

START_TEST(decommit)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    memset(base, 1, 4 * PAGE);
    /* Two bytes across a boundary are two pages. */
    expect_success(vm_free(base + 2 * PAGE - 1, 2, MEM_DECOMMIT));
    ck_assert(can_read(base));
    ck_assert(!can_read(base + PAGE));
    ck_assert(!can_read(base + 2 * PAGE));
    ck_assert(can_read(base + 3 * PAGE));
    expect_success(vm_free(base + PAGE, PAGE, MEM_DECOMMIT));
    expect_error(vm_protect(base, 4 * PAGE, RW, &(DWORD){ 0 }), ERROR_INVALID_ADDRESS);
    ck_assert_ptr_eq(vm_alloc(base + PAGE, PAGE, MEM_COMMIT, RW), base + PAGE);
    ck_assert_int_eq(base[PAGE], 0);
    expect_success(vm_free(base, 0, MEM_DECOMMIT));
    ck_assert(!can_read(base + 3 * PAGE));
    expect_success(vm_free(base, 0, MEM_RELEASE));
    close_world(&world);
}
END_TEST

/* At vm.max_map_count the kernel may refuse to end a watch. Then the memory stays as it is and stays watched:
 * its addresses must not become somebody else's while a region is there. */
START_TEST(memory_whose_watch_cannot_end_is_not_released)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
    base[PAGE] = 7;
    unwatch_error = -ENOMEM;
    expect_error(vm_free(base, 0, MEM_RELEASE), ERROR_NOT_ENOUGH_MEMORY);
    unwatch_error = 0;
    ck_assert(can_read(base));
    ck_assert_int_eq(base[PAGE], 7);
    expect_written(base, ".#..");
    base[2 * PAGE] = 1;
    expect_written(base, "..#.");
    expect_success(vm_free(base, 0, MEM_RELEASE));
    ck_assert(!can_read(base));
    close_world(&world);
}
END_TEST

/* ---- VirtualProtect ---- */

START_TEST(protect_errors)
{
    char *base, *next;
    DWORD old = SENTINEL;

    open_world(&world, _i);
    base = vm_alloc(NULL, 0x20000, MEM_RESERVE, RW);
    expect_success(vm_free(base, 0, MEM_RELEASE));
    ck_assert_ptr_eq(vm_alloc(base, 0x10000, MEM_RESERVE, PAGE_NOACCESS), base);
    next = vm_alloc(base + 0x10000, 0x10000, MEM_RESERVE | MEM_COMMIT, RW);
    ck_assert_ptr_eq(next, base + 0x10000);
    expect_error(vm_protect(base, 0xfffc, PAGE_READONLY, &old), ERROR_INVALID_ADDRESS);
    ck_assert_ptr_eq(vm_alloc(base, PAGE, MEM_COMMIT, PAGE_NOACCESS), base);
    expect_error(vm_protect(base, 0xfffc, PAGE_READONLY, &old), ERROR_INVALID_ADDRESS);
    ck_assert_ptr_eq(vm_alloc(base, 0x10000, MEM_COMMIT, PAGE_NOACCESS), base);
    expect_error(vm_protect(base, 0x10001, PAGE_READONLY, &old), ERROR_INVALID_ADDRESS);
    expect_error(vm_protect(base - PAGE, PAGE, PAGE_READONLY, &old), ERROR_INVALID_ADDRESS);
    expect_error(vm_protect(base, 0, PAGE_READONLY, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, ~(SIZE_T)0, PAGE_READONLY, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, PAGE, 0, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, PAGE, RW | PAGE_EXECUTE_WRITECOPY, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, PAGE, PAGE_WRITECOPY, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, PAGE, RW | PAGE_GUARD, &old), ERROR_NOT_SUPPORTED);
    expect_error(vm_protect(base, PAGE, RW, NULL), ERROR_NOACCESS);
    ck_assert_uint_eq(old, SENTINEL);
    expect_protect(base, PAGE, RW, PAGE_NOACCESS);
    close_world(&world);
}
END_TEST

static const DWORD protections[] = { PAGE_NOACCESS,     PAGE_READONLY,          RW, PAGE_EXECUTE,
                                     PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, RW };

START_TEST(protect_by_page)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 8 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
    for (size_t i = 0; i < sizeof(protections) / sizeof(protections[0]); i++) {
        expect_protect(base + i * PAGE, 1, protections[i], RW);
    }
    for (size_t i = 0; i < sizeof(protections) / sizeof(protections[0]); i++) {
        ck_assert_int_eq(can_read(base + i * PAGE), protections[i] != PAGE_NOACCESS);
        /* The call returns the protection of the first page. */
        expect_protect(base + i * PAGE, (8 - i) * PAGE, protections[i], protections[i]);
        expect_protect(base + i * PAGE, (8 - i) * PAGE, RW, protections[i]);
        if (i + 1 < sizeof(protections) / sizeof(protections[0])) {
            expect_protect(base + (i + 1) * PAGE, PAGE, protections[i + 1], RW);
        }
        base[i * PAGE] = 1;
    }
    expect_written(base, "#######.");
    /* Two bytes across a boundary are two pages. */
    expect_protect(base + PAGE - 1, 2, PAGE_READONLY, RW);
    expect_protect(base + PAGE, PAGE, RW, PAGE_READONLY);
    close_world(&world);
}
END_TEST

/* "PAGE_NOCACHE cannot be set per page in recent Windows" (winetest). */
START_TEST(cache_modifiers)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 2 * PAGE, MEM_COMMIT, RW | PAGE_NOCACHE);
    expect_protect(base, PAGE, RW, RW | PAGE_NOCACHE);
    expect_protect(base, PAGE, PAGE_READONLY, RW | PAGE_NOCACHE);
    base = vm_alloc(NULL, 2 * PAGE, MEM_COMMIT, RW);
    expect_protect(base, PAGE, PAGE_READONLY | PAGE_NOCACHE, RW);
    expect_protect(base, PAGE, RW, PAGE_READONLY);
    base = vm_alloc(NULL, 2 * PAGE, MEM_COMMIT, RW | PAGE_WRITECOMBINE);
    base[0] = 1;
    expect_protect(base, PAGE, RW, RW | PAGE_WRITECOMBINE);
    close_world(&world);
}
END_TEST

void add_memory_cases(Suite *suite)
{
    TCase *tcase = tcase_create("memory");

    add_loop(tcase, alloc_errors);
    add_loop(tcase, reserve_and_commit);
    add_loop(tcase, granularity_and_bases);
    add_loop(tcase, commit_without_memory);
    add_loop(tcase, alloc_without_memory);
    add_loop(tcase, free_errors);
    add_loop(tcase, decommit);
    add_loop(tcase, memory_whose_watch_cannot_end_is_not_released);
    add_loop(tcase, protect_errors);
    add_loop(tcase, protect_by_page);
    add_loop(tcase, cache_modifiers);
    suite_add_tcase(suite, tcase);
}
