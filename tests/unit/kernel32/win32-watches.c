/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The win32 suite, part three: which pages GetWriteWatch and ResetWriteWatch report or reset after each of
 * the other calls, and which arguments they refuse.
 */
#include "win32.h"

#include <setjmp.h>
#include <signal.h>

START_TEST(written_pages)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 8 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
    ck_assert_msg(!signals_were_open, "a thread can be suspended while it holds the lock");
    expect_written(base, "........");
    base[PAGE] = base[8 * PAGE - 1] = 1;
    memset(base + 3 * PAGE - 1, 1, 2);
    expect_written(base, ".###...#");
    expect_written(base, "........");
    base[2 * PAGE] = base[5 * PAGE] = 1;
    ck_assert_uint_eq(vm_reset(base + 2 * PAGE + 9, 1), 0);
    expect_written(base, ".....#..");
    ck_assert_uint_eq(last_error(), SENTINEL);
    /* Commit at NULL reserves as well. */
    base = vm_alloc(NULL, 2 * PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    base[PAGE] = 1;
    expect_written(base, ".#");
    expect_success(vm_free(base, 0, MEM_RELEASE));
    ck_assert_uint_eq(vm_reset(base, PAGE), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    close_world(&world);
}
END_TEST

/* Decommit forgets written pages, except those that VirtualProtect has latched. */
START_TEST(decommit_and_protect)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 6 * PAGE, MEM_RESERVE | MEM_WRITE_WATCH, RW);
    expect_written(base, "......");
    ck_assert_ptr_eq(vm_alloc(base, 4 * PAGE, MEM_COMMIT, RW), base);
    base[0] = base[PAGE] = 1;
    expect_protect(base, PAGE, PAGE_NOACCESS, RW);
    expect_success(vm_free(base, 4 * PAGE, MEM_DECOMMIT));
    ck_assert_ptr_eq(vm_alloc(base, 6 * PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW), base);
    base[3 * PAGE] = 1;
    expect_written(base, "#..#..");
    base[0] = base[2 * PAGE] = 1;
    expect_protect(base, 6 * PAGE, PAGE_READONLY, RW);
    expect_protect(base, 6 * PAGE, RW, PAGE_READONLY);
    base[5 * PAGE] = 1;
    expect_written(base, "#.#..#");
    base[5 * PAGE] = 1;
    expect_success(vm_free(base, 0, MEM_DECOMMIT));
    expect_written(base, "......");
    close_world(&world);
}
END_TEST

/* A thread writes during VirtualProtect, as long as it may: the page is latched like those that were written
 * before. */
START_TEST(a_write_during_protect_survives_decommit)
{
    static const DWORD protections[] = { PAGE_READONLY, PAGE_NOACCESS };
    char *base;

    open_world(&world, _i);
    for (size_t i = 0; i < sizeof(protections) / sizeof(protections[0]); i++) {
        base = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
        base[3 * PAGE] = 1;
        write_before_protect = base + PAGE;
        expect_protect(base, 4 * PAGE, protections[i], RW);
        ck_assert_ptr_null(write_before_protect);
        expect_success(vm_free(base, 4 * PAGE, MEM_DECOMMIT));
        expect_written(base, ".#.#");
        expect_success(vm_free(base, 0, MEM_RELEASE));
    }
    close_world(&world);
}
END_TEST

/* Pages that are committed again are latched, also what a thread writes as long as it may. */
START_TEST(commit_again_and_decommit)
{
    static const DWORD protections[] = { PAGE_READONLY, PAGE_NOACCESS };
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 6 * PAGE, MEM_RESERVE | MEM_WRITE_WATCH, RW);
    for (size_t i = 0; i < sizeof(protections) / sizeof(protections[0]); i++) {
        ck_assert_ptr_eq(vm_alloc(base, 4 * PAGE, MEM_COMMIT, RW), base);
        base[0] = base[2 * PAGE] = base[3 * PAGE] = 1;
        write_before_protect = base + PAGE;
        ck_assert_ptr_eq(vm_alloc(base, 3 * PAGE, MEM_COMMIT, protections[i]), base);
        expect_success(vm_free(base, 4 * PAGE, MEM_DECOMMIT));
        expect_written(base, "###...");
    }
    close_world(&world);
}
END_TEST

/* MEM_RESET drops pages: they no longer count as written, and keep their protection. */
START_TEST(mem_reset)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_WRITE_WATCH, RW);
    ck_assert_ptr_eq(vm_alloc(base, 2 * PAGE, MEM_COMMIT, RW), base);
    base[0] = base[PAGE] = 1;
    ck_assert_ptr_eq(vm_alloc(base + PAGE, 2 * PAGE, MEM_RESET, PAGE_NOACCESS), base + PAGE);
    expect_written(base, "#...");
    base[PAGE] = 1;
    expect_written(base, ".#..");
    expect_protect(base, 2 * PAGE, RW, RW);
    ck_assert(!can_read(base + 2 * PAGE));
    close_world(&world);
}
END_TEST

enum { NO_ADDRESSES = 1, NO_COUNT = 2, NO_GRANULARITY = 4, COUNT_0 = 8 };

/* The call makes the same checks in the same order, whether the memory is watched or not, and checks the
 * range last. */
static const struct {
    const char *what;
    unsigned int wrong;
    DWORD flags;
    SIZE_T size;
    uint32_t watched, unwatched;
} get_rows[] = {
    { "nothing", 0, 0, 4 * PAGE, SENTINEL, ERROR_INVALID_PARAMETER },
    { "no count", NO_COUNT, 0, PAGE, ERROR_NOACCESS, ERROR_NOACCESS },
    { "no granularity before size 0", NO_GRANULARITY, 0, 0, ERROR_NOACCESS, ERROR_NOACCESS },
    { "count 0 before no addresses", COUNT_0 | NO_ADDRESSES, 0, PAGE, ERROR_INVALID_PARAMETER,
      ERROR_INVALID_PARAMETER },
    { "size 0", 0, 0, 0, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
    { "a flag before no addresses", NO_ADDRESSES, 2, PAGE, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
    { "no addresses before the range", NO_ADDRESSES, 0, 5 * PAGE, ERROR_NOACCESS, ERROR_NOACCESS },
    { "beyond the end", 0, 0, 4 * PAGE + 1, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
    { "wraps around", 0, 0, ~(SIZE_T)0, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
};

START_TEST(get_arguments)
{
    char *areas[2];

    open_world(&world, _i);
    areas[0] = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
    areas[1] = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    areas[0][0] = areas[1][0] = 1;
    for (size_t i = 0; i < 2 * sizeof(get_rows) / sizeof(get_rows[0]); i++) {
        unsigned int wrong = get_rows[i / 2].wrong;
        ULONG_PTR count = wrong & COUNT_0 ? 0 : 4;
        void *addresses[4] = { &count };
        ULONG granularity = SENTINEL;
        uint32_t want = i % 2 ? get_rows[i / 2].unwatched : get_rows[i / 2].watched, error;
        UINT ret = get_in(&world, get_rows[i / 2].flags, areas[i % 2], get_rows[i / 2].size,
                          wrong & NO_ADDRESSES ? NULL : addresses, wrong & NO_COUNT ? NULL : &count,
                          wrong & NO_GRANULARITY ? NULL : &granularity);

        error = last_error();
        ck_assert_msg(error == want, "%s (%zu): error %u", get_rows[i / 2].what, i % 2, error);
        ck_assert_uint_eq(ret, want == SENTINEL ? 0 : CALL_FAILED);
        if (ret) {
            ck_assert_uint_eq(count, wrong & COUNT_0 ? 0 : 4);
            ck_assert_ptr_eq(addresses[0], &count);
            ck_assert_uint_eq(granularity, SENTINEL);
        }
    }
    ck_assert_uint_eq(vm_reset(areas[0], 0), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    ck_assert_uint_eq(vm_reset(areas[0], 5 * PAGE), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    ck_assert_uint_eq(vm_reset(areas[1], PAGE), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    close_world(&world);
}
END_TEST

static sigjmp_buf escape;

static void leave(int signo)
{
    (void)signo;
    siglongjmp(escape, 1);
}

/* Whether a call with this pointer faults; a host could raise an exception in the guest then. */
static bool faults(char *base, void *pointer, bool protecting)
{
    ULONG_PTR count = 4;
    ULONG granularity;

    if (sigsetjmp(escape, 1)) {
        return true;
    }
    if (protecting) {
        vm_protect(base, PAGE, PAGE_NOACCESS, pointer);
    } else {
        get_in(&world, WRITE_WATCH_FLAG_RESET, base, 4 * PAGE, pointer, &count, &granularity);
    }
    return false;
}

/* Pointers that cannot be written fault before anything is changed, and with no lock held. */
START_TEST(bad_pointers)
{
    struct sigaction action = { .sa_handler = leave };
    char *base, *bad = map_pages(3);

    /* Before open_world(), because the backend may install its own handler in front of this one. */
    sigaction(SIGSEGV, &action, NULL);
    mprotect(bad + PAGE, PAGE, PROT_READ);
    open_world(&world, _i);
    base = vm_alloc(NULL, 4 * PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    base[PAGE] = 1;
    /* The second pointer begins in the page before the read-only one, the third ends in the page behind
     * it. */
    ck_assert(faults(base, bad + PAGE, true));
    ck_assert(faults(base, bad + PAGE - 2, true));
    ck_assert(faults(base, bad + 2 * PAGE - 2, true));
    ck_assert(faults(base, bad + PAGE, false));
    expect_protect(base, PAGE, RW, RW);
    expect_written(base, ".#..");
    close_world(&world);
    munmap(bad, 3 * PAGE);
}
END_TEST

/* A host with an allocator of its own watches the memory itself. */
START_TEST(memory_of_the_host)
{
    char *base = map_pages(4);

    open_world(&world, _i);
    ck_assert_int_eq(ww_watch(world.ctx, base, 4 * PAGE, 0), 0);
    base[PAGE] = 1;
    expect_written(base, ".#..");
    base[0] = base[PAGE] = 1;
    ck_assert_uint_eq(vm_reset(base, PAGE), 0);
    expect_written(base, ".#..");
    expect_error(vm_free(base, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    expect_error(vm_protect(base, PAGE, PAGE_NOACCESS, &(DWORD){ 0 }), ERROR_INVALID_ADDRESS);
    base[2 * PAGE] = 1;
    expect_written(base, "..#.");
    ck_assert_int_eq(ww_unwatch(world.ctx, base, 4 * PAGE), 0);
    close_world(&world);
    munmap(base, 4 * PAGE);
}
END_TEST

void add_watch_cases(Suite *suite)
{
    TCase *tcase = tcase_create("watches");

    add_loop(tcase, written_pages);
    add_loop(tcase, decommit_and_protect);
    add_loop(tcase, a_write_during_protect_survives_decommit);
    add_loop(tcase, commit_again_and_decommit);
    add_loop(tcase, mem_reset);
    add_loop(tcase, get_arguments);
    add_loop(tcase, bad_pointers);
    add_loop(tcase, memory_of_the_host);
    suite_add_tcase(suite, tcase);
}
