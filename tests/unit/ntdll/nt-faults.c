/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pointers that fault. Under Wine the call ends at the fault: it does not return through the library's
 * frames, and the signal mask stays that of the moment.
 */
#include <setjmp.h>
#include <signal.h>

#include "nt-test.h"

static sigjmp_buf dispatcher;

static void end_call(int signal)
{
    siglongjmp(dispatcher, signal);
}

/* Makes a call that must fault, and checks that it left nothing behind. */
#define expect_fault(call)                                                                                   \
    do {                                                                                                     \
        struct sigaction action = { .sa_handler = end_call, .sa_flags = SA_NODEFER };                        \
                                                                                                             \
        ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);                                              \
        if (!sigsetjmp(dispatcher, 0)) {                                                                     \
            (void)(call);                                                                                    \
            ck_abort_msg("no fault");                                                                        \
        }                                                                                                    \
        expect_rest();                                                                                       \
    } while (0)

static void *watch_and_count(void *arg)
{
    *(ssize_t *)arg = ww_count(nt.ctx, area, SIZE);
    return ww_watch(nt.ctx, area - NT_PAGE_SIZE, NT_PAGE_SIZE, 0) ? nt.ctx : NULL;
}

/* No signal is blocked, no lock is held, and the page is reported. */
static void expect_rest(void)
{
    struct timespec limit;
    ssize_t nr = -1;
    sigset_t mask;
    pthread_t thread;
    void *failed;

    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    ck_assert(sigisemptyset(&mask));
    ck_assert(!own);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 3;
    ck_assert_int_eq(pthread_create(&thread, NULL, watch_and_count, &nr), 0);
    ck_assert_msg(!pthread_timedjoin_np(thread, &failed, &limit), "another thread waits for ever");
    ck_assert_ptr_eq(failed, NULL);
    ck_assert_int_eq(nr, 1);
}

static void follow_parameters(enum nt_call call, void **args)
{
    if (call == NT_ALLOCATE_EX) {
        (void)*(volatile char *)*(void **)args[5];
    }
}

START_TEST(parameters_that_fault)
{
    static const ULONG types[] = { MEM_RESET, MEM_COMMIT, MEM_RESERVE, MEM_RESERVE | MEM_WRITE_WATCH };
    PVOID addr = area;
    SIZE_T size = SIZE;

    before_original = follow_parameters;
    expect_fault(nt_allocate_ex(&nt, SELF, &addr, &size, types[_i], PAGE_READWRITE, (void *)8, 1));
}
END_TEST

static char *arguments; /* a page that becomes inaccessible during the call */

static void take_arguments_away(enum nt_call call, void **args)
{
    (void)call;
    mprotect(arguments, NT_PAGE_SIZE, PROT_NONE);
    (void)*(volatile char *)*(void **)args[1];
}

/* Another thread makes the arguments inaccessible: the call ends, and the watches are as before. */
START_TEST(arguments_that_go_away)
{
    PVOID *addr = (PVOID *)(arguments = map_pages(1));
    SIZE_T *size = (SIZE_T *)(addr + 1);
    ULONG *old = (ULONG *)(size + 1);

    *addr = area;
    *size = SIZE;
    before_original = take_arguments_away;
    switch (_i) {
    case 0:
        expect_fault(nt_free(&nt, SELF, addr, size, MEM_RELEASE));
        break;
    case 1:
        expect_fault(nt_free(&nt, SELF, addr, size, MEM_DECOMMIT));
        break;
    case 2:
        *addr = area - NT_PAGE_SIZE;
        expect_fault(nt_free(&nt, SELF, addr, size, MEM_DECOMMIT));
        break;
    case 3:
        expect_fault(nt_protect(&nt, SELF, addr, size, PAGE_READONLY, old));
        break;
    case 4:
        *addr = area - NT_PAGE_SIZE;
        expect_fault(nt_protect(&nt, SELF, addr, size, PAGE_READONLY, old));
        break;
    case 5:
        expect_fault(nt_allocate(&nt, SELF, addr, 0, size, MEM_RESET, PAGE_READWRITE));
        break;
    case 6:
        expect_fault(nt_allocate(&nt, SELF, addr, 0, size, MEM_COMMIT, PAGE_READWRITE));
        break;
    }
}
END_TEST

/* A page is reset only if its address could be stored in the array. */
START_TEST(arrays_that_fault)
{
    char *end = map_pages(2);
    void *const arrays[] = { end + NT_PAGE_SIZE - 8, (void *)-(intptr_t)8, (void *)-(intptr_t)SIZE,
                             (void *)(UINTPTR_MAX / 2 - 7) };
    ULONG_PTR count = NR_PAGES;
    ULONG granularity;

    ck_assert_int_eq(munmap(end + NT_PAGE_SIZE, NT_PAGE_SIZE), 0);
    expect_fault(
        nt_get_write_watch(&nt, SELF, WRITE_WATCH_FLAG_RESET, area, SIZE, arrays[_i], &count, &granularity));
    ck_assert_uint_eq(count, NR_PAGES);
}
END_TEST

void add_fault_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, parameters_that_fault, 0, 4);
    tcase_add_loop_test(tcase, arguments_that_go_away, 0, 7);
    tcase_add_loop_test(tcase, arrays_that_fault, 0, 4);
}
