/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stores that fault while the table of ranges changes, and watches that end when there is no memory for a new
 * table.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "deny-call.h"
#include "waits.h"

/* ---- stores that fault while their page is watched, and reach the library's handler later ---- */

static struct sigaction ours;
static atomic_bool is_late, is_held_back;

static sigjmp_buf out;
static volatile sig_atomic_t caught;

static void jump_out(int sig)
{
    caught = sig;
    siglongjmp(out, 1);
}

static void store_and_catch(struct call *call)
{
    if (!sigsetjmp(out, 1)) {
        store(call);
    }
}

/* A handler in front of the library's, which calls it late the first time. */
static void call_late(int sig, siginfo_t *info, void *context)
{
    if (!atomic_exchange(&is_late, true)) {
        atomic_store(&is_held_back, true);
        while (atomic_load(&is_held_back)) {
            sleep_ms(1);
        }
    }
    ours.sa_sigaction(sig, info, context);
}

static void stand_in_front(void)
{
    struct sigaction action = { .sa_sigaction = call_late, .sa_flags = SA_SIGINFO };

    ck_assert_int_eq(sigaction(SIGSEGV, &action, &ours), 0);
}

static void begin_late_store(struct call *call, char *base)
{
    begin(call, store_and_catch, base);
    while (!atomic_load(&is_held_back)) {
        sleep_ms(1);
    }
}

/* Refuses MADV_POPULATE_WRITE, as kernels before 5.14 do. */
static void deny_populate_write(void)
{
    ck_assert_msg(deny_call(SYS_madvise, 2, 23, EINVAL, 0), "seccomp: %s", strerror(errno));
}

START_TEST(a_store_whose_page_is_watched_no_more_goes_through)
{
    struct call storing;
    char *base;

    signal(SIGSEGV, jump_out);
    base = watch_pages(NR_PAGES);
    deny_populate_write();
    stand_in_front();
    begin_late_store(&storing, base);
    ck_assert_int_eq(ww_unwatch(ctx, base, NR_PAGES * page_size()), 0);
    atomic_store(&is_held_back, false);
    end(&storing);
    ck_assert_int_eq(caught, 0);
    ck_assert_int_eq(read_page(base, 1), 1);
}
END_TEST

/* Behind the end of the file there is no page: the store ends in SIGBUS, with the library or without. */
START_TEST(a_store_behind_the_end_of_a_file_stays_a_sigbus)
{
    int fd = memfd_create("short", MFD_CLOEXEC);
    struct call storing;
    char *base;

    signal(SIGSEGV, jump_out);
    signal(SIGBUS, jump_out);
    ck_assert_int_eq(ftruncate(fd, NR_PAGES * page_size()), 0);
    base = mmap(NULL, NR_PAGES * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(base != MAP_FAILED);
    ck_assert_int_eq(ww_watch(ctx, base, NR_PAGES * page_size(), 0), 0);
    ck_assert_int_eq(ww_reset(ctx, base, NR_PAGES * page_size()), 0);
    stand_in_front();
    begin_late_store(&storing, base);
    ck_assert_int_eq(ww_unwatch(ctx, base, NR_PAGES * page_size()), 0);
    ck_assert_int_eq(ftruncate(fd, page_size()), 0);
    atomic_store(&is_held_back, false);
    end(&storing);
    ck_assert_int_eq(caught, SIGBUS);
}
END_TEST

/* ---- stores that must fault ---- */

#define NR_THREADS 150
#define NR_FAULTS 200

static __thread sigjmp_buf thread_out;
static atomic_int nr_caught;

static void jump_out_of_thread(int sig)
{
    (void)sig;
    atomic_fetch_add(&nr_caught, 1);
    siglongjmp(thread_out, 1);
}

static void fault_again_and_again(struct call *call)
{
    for (volatile int i = 0; i < NR_FAULTS; i++) {
        if (!sigsetjmp(thread_out, 1)) {
            write_page(call->base, i % NR_PAGES, 1);
            call->found++;
        }
    }
}

/* While the table of ranges changes, each store to memory that is not writable reaches the program's handler.
 * Threads of even index store to memory that is watched no more, the others to watched memory. */
START_TEST(stores_that_must_fault_all_do)
{
    struct sigaction action = { .sa_handler = jump_out_of_thread };
    size_t len = NR_PAGES * page_size();
    struct call *calls = calloc(NR_THREADS, sizeof(*calls));
    char *base[2], *other;

    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    base[0] = watch_pages(NR_PAGES);
    base[1] = watch_pages(NR_PAGES);
    other = map_pages(NR_PAGES);
    ck_assert_int_eq(ww_unwatch(ctx, base[0], len), 0);
    ck_assert_int_eq(mprotect(base[0], len, PROT_READ), 0);
    ck_assert_int_eq(ww_protect(ctx, base[1], len, PROT_READ), 0);
    for (int i = 0; i < NR_THREADS; i++) {
        begin(&calls[i], fault_again_and_again, base[i % 2]);
    }
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(ww_watch(ctx, other, len, 0), 0);
        write_page(other, 1, 1);
        ck_assert_int_eq(ww_unwatch(ctx, other, len), 0);
    }
    for (int i = 0; i < NR_THREADS; i++) {
        end(&calls[i]);
        ck_assert_int_eq(calls[i].found, 0);
    }
    ck_assert_int_eq(nr_caught, NR_THREADS * NR_FAULTS);
    free(calls);
}
END_TEST

/* ---- no memory ---- */

static bool is_heap_empty;

void *__real_ww_heap_alloc(size_t size);
void *__wrap_ww_heap_alloc(size_t size);
void *__wrap_ww_heap_alloc(size_t size)
{
    return is_heap_empty ? NULL : __real_ww_heap_alloc(size);
}

/* Without memory the library cannot copy the table of ranges. */
START_TEST(a_watch_that_ends_without_memory_leaves_the_others)
{
    static const int order[] = { 1, 3, 2, 0 };
    char *base[4], *other = NULL;

    for (int i = 0; i < 4; i++) {
        base[i] = watch_pages(NR_PAGES);
    }
    for (int i = 0; i < 4; i++) {
        is_heap_empty = true;
        ck_assert_int_eq(ww_unwatch(ctx, base[order[i]], NR_PAGES * page_size()), 0);
        is_heap_empty = false;
        write_page(base[order[i]], 5, 1);
        for (int k = i + 1; k < 4; k++) {
            write_page(base[order[k]], i, 1);
            ck_assert_int_eq(ww_count(ctx, base[order[k]], NR_PAGES * page_size()), i + 1);
        }
        if (i == 1) {
            /* This watch makes a copy, which must have each range once. */
            other = watch_pages(NR_PAGES);
            write_page(other, 2, 1);
            expect_map(ctx, other, "..#.....");
        }
    }
    write_page(other, 3, 1);
    expect_map(ctx, other, "..##....");
}
END_TEST

void add_store_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_store_whose_page_is_watched_no_more_goes_through);
    tcase_add_test(tcase, a_store_behind_the_end_of_a_file_stays_a_sigbus);
    tcase_add_test(tcase, stores_that_must_fault_all_do);
    tcase_add_test(tcase, a_watch_that_ends_without_memory_leaves_the_others);
}
