/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The win32 suite, part one: names and conventions of the bound functions, several
 * contexts and objects, threads, and the child of a fork.
 */
#include "win32.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>

/* ---- binding ---- */

START_TEST(names_and_conventions)
{
    ww_win32_function function = (ww_win32_function)abort, again;
    struct ww_win32 *win32;
    struct ww_context *ctx;

    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
    ck_assert_int_eq(ww_win32_open(NULL, ctx), -EINVAL);
    ck_assert_int_eq(ww_win32_open(&win32, NULL), -EINVAL);
    ck_assert_int_eq(ww_win32_open(&win32, ctx), 0);
    ck_assert_int_eq(ww_win32_bind(NULL, "VirtualAlloc", WW_WIN32_SYSV, &function), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, NULL, WW_WIN32_SYSV, &function), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAlloc", WW_WIN32_SYSV, NULL), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAlloc", 0, &function), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAlloc", 4, &function), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAlloc", MISSING_CONVENTION, &function), -ENOTSUP);
    ck_assert_int_eq(ww_win32_bind(win32, "", WW_WIN32_SYSV, &function), -ENOENT);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAllocEx", WW_WIN32_SYSV, &function), -ENOENT);
    ck_assert_int_eq(ww_win32_bind(win32, "virtualalloc", WW_WIN32_SYSV, &function), -ENOENT);
    ck_assert_ptr_eq((void *)function, (void *)abort);
    bind_function(win32, "VirtualAlloc", WW_WIN32_SYSV, &function);
    bind_function(win32, "VirtualAlloc", WW_WIN32_SYSV, &again);
    ck_assert_ptr_eq((void *)function, (void *)again);
    bind_function(win32, "VirtualFree", WW_WIN32_SYSV, &again);
    ck_assert_ptr_ne((void *)function, (void *)again);
    ww_win32_close(win32);
    ww_win32_close(NULL);
    ww_close(ctx);
}
END_TEST

/* ---- objects, threads, processes ---- */

START_TEST(several_contexts)
{
    struct world other;
    char *mine, *others;
    ULONG_PTR count = 1;
    ULONG granularity;
    void *address;

    open_world(&world, _i);
    open_world(&other, (_i + 1) % (2 * nr_backends));
    mine = vm_alloc(NULL, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    others = alloc_in(&other, NULL, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    mine[0] = others[0] = 1;
    expect_error(vm_free(others, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    ck_assert_uint_eq(get_in(&world, 0, others, PAGE, &address, &count, &granularity), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    ck_assert_uint_eq(get_in(&other, 0, others, PAGE, &address, &count, &granularity), 0);
    ck_assert_ptr_eq(address, others);
    close_world(&other);
    ck_assert(!can_read(others));
    expect_written(mine, "#");
    /* Another object on the same context sees the watch, and does not own the memory. */
    ck_assert_int_eq(ww_win32_open(&other.win32, world.ctx), 0);
    bind_function(other.win32, "GetWriteWatch", WW_WIN32_SYSV, &other.host.get);
    bind_function(other.win32, "VirtualFree", WW_WIN32_SYSV, &other.host.free);
    mine[0] = 2;
    ck_assert_uint_eq(other.host.get(0, mine, PAGE, &address, &count, &granularity), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert(!other.host.free(mine, 0, MEM_RELEASE));
    ww_win32_close(other.win32);
    ck_assert_int_eq(mine[0], 2);
    close_world(&world);
    ck_assert(!can_read(mine));
}
END_TEST

static void *fail_in_thread(void *arg)
{
    (void)arg;
    ck_assert_uint_eq(*ww_win32_last_error(), 0);
    ck_assert(!vm_free(NULL, 0, MEM_RELEASE));
    ck_assert_uint_eq(*ww_win32_last_error(), ERROR_INVALID_PARAMETER);
    return NULL;
}

START_TEST(last_error_by_thread)
{
    pthread_t thread;

    open_world(&world, _i);
    ck_assert(!vm_protect(FREE_ADDRESS, PAGE, RW, NULL));
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_in_thread, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(*ww_win32_last_error(), ERROR_NOACCESS);
    close_world(&world);
}
END_TEST

#define NR_THREADS 4
#define NR_ROUNDS 200

/* Allocates, writes, protects, decommits and frees: nothing of another thread may show. */
static void *work(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    for (int round = 0; round < NR_ROUNDS; round++) {
        SIZE_T nr = 1 + random_below(&random, 20), page = random_below(&random, nr);
        char *base = vm_alloc(NULL, nr * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
        char map[21] = "";
        DWORD old;

        ck_assert_ptr_nonnull(base);
        memset(map, '.', nr);
        map[page] = '#';
        write_page(base, page, 1);
        ck_assert(vm_protect(base, nr * PAGE, PAGE_READONLY, &old));
        ck_assert(vm_protect(base, nr * PAGE, RW, &old));
        expect_written(base, map);
        write_page(base, page, 2);
        ck_assert(vm_free(base + page * PAGE, PAGE, MEM_DECOMMIT));
        map[page] = '.';
        expect_written(base, map);
        ck_assert(vm_free(base, 0, MEM_RELEASE));
    }
    return NULL;
}

START_TEST(threads)
{
    pthread_t ids[NR_THREADS];

    open_world(&world, _i);
    for (uintptr_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&ids[i], NULL, work, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < NR_THREADS; i++) {
        pthread_join(ids[i], NULL);
    }
    close_world(&world);
}
END_TEST

/* Returns the number of the first check that fails, or 0. */
static int check_child(char *base)
{
    ww_win32_function function;
    ULONG_PTR count = 1;
    ULONG granularity;
    void *address;

    if (vm_alloc(NULL, PAGE, MEM_COMMIT, RW) || last_error() != ERROR_GEN_FAILURE) {
        return 1;
    }
    if (vm_free(base, 0, MEM_RELEASE) || last_error() != ERROR_GEN_FAILURE || !can_read(base)) {
        return 2;
    }
    if (!get_in(&world, 0, base, PAGE, &address, &count, &granularity) || last_error() != ERROR_GEN_FAILURE) {
        return 3;
    }
    if (!vm_reset(base, PAGE) || last_error() != ERROR_GEN_FAILURE) {
        return 4;
    }
    if (ww_win32_bind(world.win32, "VirtualFree", WW_WIN32_SYSV, &function) != -ECHILD) {
        return 5;
    }
    close_world(&world);
    return can_read(base) ? 6 : 0;
}

START_TEST(child_of_fork)
{
    int status;
    char *base;
    pid_t pid;

    open_world(&world, _i);
    base = vm_alloc(NULL, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    base[0] = 1;
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        _exit(check_child(base));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    expect_written(base, "#");
    close_world(&world);
}
END_TEST

void add_object_cases(Suite *suite)
{
    TCase *tcase = tcase_create("objects");

    tcase_add_test(tcase, names_and_conventions);
    add_loop(tcase, several_contexts);
    add_loop(tcase, last_error_by_thread);
    add_loop(tcase, threads);
    add_loop(tcase, child_of_fork);
    suite_add_tcase(suite, tcase);
}
