/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The NT calls without Wine: argument checks in Windows' order, one row of a
 * table each, outputs untouched on error, and what is passed on to the original.
 * The expected statuses are those of winetest (kernel32 and ntdll virtual.c),
 * which was run on Windows.
 */
#include <check.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util.h"

#include "near.h"
#include "nt.h"

#define NR_PAGES 8
#define SIZE ((SIZE_T)NR_PAGES * NT_PAGE_SIZE)
#define SELF ((HANDLE) ~(ULONG_PTR)0)
#define STATUS_FROM_ORIGINAL ((NTSTATUS)0xc0fa4e00)
#define STATUS_OF_HANDLE ((NTSTATUS)0xc0fa4e01)
#define SENTINEL ((ULONG_PTR)0x5a5a5a5a)

static struct nt nt;
static char *area; /* two watched allocations that touch, between guards that are not watched */
static int nr_passed_on;
static bool own;    /* under set_own() */
static bool serves; /* the original succeeds */
static char *fresh; /* where it allocates */
static void (*before_original)(enum nt_call call,
                               void **args); /* what Wine does, or another thread meanwhile */

/* What an original does that succeeds; ranges as Wine rounds them. */
static NTSTATUS serve(enum nt_call call, void **args)
{
    PVOID *addr = *(PVOID **)args[1];
    SIZE_T *size = *(SIZE_T **)args[call == NT_ALLOCATE ? 3 : 2];
    uintptr_t start = nt_page_down((uintptr_t)*addr), end = nt_page_up((uintptr_t)*addr + *size);

    if (call == NT_ALLOCATE && (*(ULONG *)args[4] & MEM_RESERVE)) {
        *addr = fresh ? fresh : map_pages(*size / NT_PAGE_SIZE);
        return STATUS_SUCCESS;
    }
    *addr = (PVOID)start;
    *size = end - start;
    if (call == NT_ALLOCATE) {
        madvise(*addr, *size, MADV_DONTNEED);
    } else if (call == NT_FREE && *size) {
        remap_pages(*addr, *size / NT_PAGE_SIZE);
    } else if (call == NT_PROTECT) {
        *(*(ULONG **)args[4]) = PAGE_READWRITE;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS original(struct nt *self, enum nt_call call, void **args)
{
    (void)self;
    nr_passed_on++;
    if (before_original) {
        before_original(call, args);
    }
    return serves ? serve(call, args) : STATUS_FROM_ORIGINAL;
}

static NTSTATUS check_handle(struct nt *self, HANDLE process)
{
    (void)self;
    return process == (HANDLE)42 ? STATUS_SUCCESS : STATUS_OF_HANDLE;
}

static bool is_free(struct nt *self, void *addr)
{
    (void)self;
    (void)addr;
    return false;
}

static void set_own(bool value)
{
    own = value;
}

static void setup(void)
{
    nt = (struct nt){
        .original = original,
        .check_handle = check_handle,
        .is_free = is_free,
        .set_own = set_own,
        .consider = near_add,
        .ended = near_remove,
    };
    nr_passed_on = 0;
    before_original = NULL;
    serves = false;
    fresh = NULL;
    own = false;
    ck_assert_int_eq(ww_open(&nt.ctx, NULL), 0);
    area = mmap(NULL, 4 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(area, MAP_FAILED);
    area += SIZE;
    ck_assert_int_eq(ww_watch(nt.ctx, area, SIZE, 0), 0);
    ck_assert_int_eq(ww_watch(nt.ctx, area + SIZE, SIZE, 0), 0);
    area[NT_PAGE_SIZE] = 1;
}

static void teardown(void)
{
    ww_close(nt.ctx);
    munmap(area - SIZE, 4 * SIZE);
}

enum { NO_ADDRESSES = 1, NO_COUNT = 2, NO_GRANULARITY = 4, COUNT_0 = 8 };

/* Each row has one thing wrong, or several, of which the first in Windows' order decides. */
static const struct get_row {
    const char *what;
    unsigned int wrong;
    ULONG flags;
    long offset;
    SIZE_T size;
    NTSTATUS status;
} get_rows[] = {
    { "nothing", 0, 0, 0, SIZE, STATUS_SUCCESS },
    { "one byte of a page", 0, 0, 17, 1, STATUS_SUCCESS },
    { "no count", NO_COUNT, 0, 0, SIZE, STATUS_ACCESS_VIOLATION },
    { "no granularity", NO_GRANULARITY, 0, 0, SIZE, STATUS_ACCESS_VIOLATION },
    { "no count before size 0", NO_COUNT, 0, 0, 0, STATUS_ACCESS_VIOLATION },
    { "count 0", COUNT_0, 0, 0, SIZE, STATUS_INVALID_PARAMETER },
    { "count 0 before no addresses", COUNT_0 | NO_ADDRESSES, 0, 0, SIZE, STATUS_INVALID_PARAMETER },
    { "size 0", 0, 0, 0, 0, STATUS_INVALID_PARAMETER },
    { "flag 2", 0, 2, 0, SIZE, STATUS_INVALID_PARAMETER },
    { "all flags", 0, ~0u, 0, SIZE, STATUS_INVALID_PARAMETER },
    { "a flag before no addresses", NO_ADDRESSES, 2, 0, SIZE, STATUS_INVALID_PARAMETER },
    { "no addresses", NO_ADDRESSES, 0, 0, SIZE, STATUS_ACCESS_VIOLATION },
    { "no addresses before beyond the end", NO_ADDRESSES, 0, 0, SIZE + 1, STATUS_ACCESS_VIOLATION },
    { "beyond the end, into the next allocation", 0, 0, 0, SIZE + 1, STATUS_INVALID_PARAMETER },
    { "the last byte and one more", 0, 0, SIZE - 1, 2, STATUS_INVALID_PARAMETER },
    { "wraps around", 0, 0, 0, ~(SIZE_T)0, STATUS_INVALID_PARAMETER },
    { "wraps around to within the page", 0, 0, 2, ~(SIZE_T)0, STATUS_INVALID_PARAMETER },
    { "wraps around when rounded", 0, 0, 0, ~(SIZE_T)0 - NT_PAGE_SIZE, STATUS_INVALID_PARAMETER },
    { "before the allocation", 0, 0, -1, 2, STATUS_FROM_ORIGINAL },
    { "not watched", 0, 0, -NT_PAGE_SIZE, NT_PAGE_SIZE, STATUS_FROM_ORIGINAL },
};

START_TEST(get_arguments)
{
    const struct get_row *row = &get_rows[_i];
    ULONG_PTR count = row->wrong & COUNT_0 ? 0 : NR_PAGES, count_before = count;
    PVOID addresses[NR_PAGES];
    ULONG granularity = (ULONG)SENTINEL;
    NTSTATUS status;

    for (int i = 0; i < NR_PAGES; i++) {
        addresses[i] = (PVOID)SENTINEL;
    }
    status = nt_get_write_watch(
        &nt, SELF, row->flags, area + row->offset, row->size, row->wrong & NO_ADDRESSES ? NULL : addresses,
        row->wrong & NO_COUNT ? NULL : &count, row->wrong & NO_GRANULARITY ? NULL : &granularity);
    ck_assert_msg(status == row->status, "%s: %#x", row->what, (unsigned int)status);
    ck_assert_int_eq(nr_passed_on, row->status == STATUS_FROM_ORIGINAL);
    if (status) {
        ck_assert_uint_eq(count, count_before);
        ck_assert_uint_eq(granularity, (ULONG)SENTINEL);
        ck_assert_ptr_eq(addresses[0], (PVOID)SENTINEL);
        ck_assert_int_eq(ww_count(nt.ctx, area, SIZE), 1);
    } else {
        ck_assert_uint_eq(granularity, NT_PAGE_SIZE);
        ck_assert_uint_eq(count, row->size == SIZE);
        ck_assert_ptr_eq(addresses[count], (PVOID)SENTINEL);
    }
}
END_TEST

static const struct {
    const char *what;
    long offset;
    SIZE_T size;
    NTSTATUS status;
    int left; /* dirty pages after the call */
} reset_rows[] = {
    { "nothing", 0, SIZE, STATUS_SUCCESS, 0 },
    { "another page", 0, NT_PAGE_SIZE, STATUS_SUCCESS, 1 },
    { "one byte of the page", NT_PAGE_SIZE + 9, 1, STATUS_SUCCESS, 0 },
    { "size 0", 0, 0, STATUS_INVALID_PARAMETER, 1 },
    { "beyond the end", 0, SIZE + 1, STATUS_INVALID_PARAMETER, 1 },
    { "wraps around", 2, ~(SIZE_T)0, STATUS_INVALID_PARAMETER, 1 },
    { "not watched", -1, 1, STATUS_FROM_ORIGINAL, 1 },
};

START_TEST(reset_arguments)
{
    NTSTATUS status = nt_reset_write_watch(&nt, SELF, area + reset_rows[_i].offset, reset_rows[_i].size);

    ck_assert_msg(status == reset_rows[_i].status, "%s: %#x", reset_rows[_i].what, (unsigned int)status);
    ck_assert_int_eq(ww_count(nt.ctx, area, SIZE), reset_rows[_i].left);
}
END_TEST

START_TEST(full_array_resets_what_it_reports)
{
    for (ULONG_PTR capacity = 1; capacity <= NR_PAGES; capacity++) {
        PVOID addresses[NR_PAGES + 1];
        ULONG_PTR count = capacity;
        ULONG granularity;

        memset(area, 1, SIZE);
        addresses[capacity] = (PVOID)SENTINEL;
        ck_assert_int_eq(nt_get_write_watch(&nt, SELF, WRITE_WATCH_FLAG_RESET, area, SIZE, addresses, &count,
                                            &granularity),
                         STATUS_SUCCESS);
        ck_assert_uint_eq(count, capacity);
        ck_assert_ptr_eq(addresses[capacity], (PVOID)SENTINEL);
        for (ULONG_PTR i = 0; i < count; i++) {
            ck_assert_ptr_eq(addresses[i], area + i * NT_PAGE_SIZE);
        }
        ck_assert_int_eq(ww_count(nt.ctx, area, SIZE), NR_PAGES - capacity);
    }
}
END_TEST

/* A handle that will not do is refused after the arguments and before the range; what it is of, the
 * original cannot say, whose memory this is not. */
static const struct {
    const char *what;
    unsigned int wrong;
    ULONG_PTR handle;
    long offset;
    SIZE_T size;
    NTSTATUS get, reset;
} handle_rows[] = {
    { "of this process", 0, 42, 0, SIZE, STATUS_SUCCESS, STATUS_SUCCESS },
    { "of this process, beyond the end", 0, 42, 0, SIZE + 1, STATUS_INVALID_PARAMETER,
      STATUS_INVALID_PARAMETER },
    { "none of this process", 0, 43, 0, SIZE, STATUS_OF_HANDLE, STATUS_OF_HANDLE },
    { "null", 0, 0, 0, SIZE, STATUS_OF_HANDLE, STATUS_OF_HANDLE },
    { "after no count", NO_COUNT, 43, 0, SIZE, STATUS_ACCESS_VIOLATION, STATUS_OF_HANDLE },
    { "after count 0", COUNT_0, 43, 0, SIZE, STATUS_INVALID_PARAMETER, STATUS_OF_HANDLE },
    { "after no addresses", NO_ADDRESSES, 43, 0, SIZE, STATUS_ACCESS_VIOLATION, STATUS_OF_HANDLE },
    { "before beyond the end", 0, 43, 0, SIZE + 1, STATUS_OF_HANDLE, STATUS_OF_HANDLE },
    { "before wraps around", 0, 43, 2, ~(SIZE_T)0, STATUS_OF_HANDLE, STATUS_OF_HANDLE },
    { "not watched: the original's", 0, 43, -NT_PAGE_SIZE, NT_PAGE_SIZE, STATUS_FROM_ORIGINAL,
      STATUS_FROM_ORIGINAL },
};

START_TEST(handles)
{
    ULONG_PTR count = handle_rows[_i].wrong & COUNT_0 ? 0 : NR_PAGES, count_before = count;
    HANDLE handle = (HANDLE)handle_rows[_i].handle;
    char *base = area + handle_rows[_i].offset;
    SIZE_T size = handle_rows[_i].size;
    PVOID addresses[NR_PAGES] = { (PVOID)SENTINEL };
    ULONG granularity = (ULONG)SENTINEL;
    NTSTATUS status;

    status = nt_get_write_watch(&nt, handle, 0, base, size,
                                handle_rows[_i].wrong & NO_ADDRESSES ? NULL : addresses,
                                handle_rows[_i].wrong & NO_COUNT ? NULL : &count, &granularity);
    ck_assert_msg(status == handle_rows[_i].get, "%s: %#x", handle_rows[_i].what, (unsigned int)status);
    if (status) {
        ck_assert_uint_eq(count, count_before);
        ck_assert_uint_eq(granularity, (ULONG)SENTINEL);
        ck_assert_ptr_eq(addresses[0], (PVOID)SENTINEL);
    }
    status = nt_reset_write_watch(&nt, handle, base, size);
    ck_assert_msg(status == handle_rows[_i].reset, "%s: %#x", handle_rows[_i].what, (unsigned int)status);
    ck_assert_int_eq(ww_count(nt.ctx, area, SIZE), status ? 1 : 0);
    ck_assert_int_eq(nr_passed_on, handle_rows[_i].get == STATUS_FROM_ORIGINAL ? 2 : 0);
}
END_TEST

static HANDLE seen_process;
static ULONG seen_type;

static void look_at_arguments(enum nt_call call, void **args)
{
    seen_process = *(HANDLE *)args[0];
    if (call == NT_ALLOCATE || call == NT_ALLOCATE_EX) {
        seen_type = *(ULONG *)args[call == NT_ALLOCATE ? 4 : 3];
    }
}

/* What has no handle to this process goes to the original as it came: the pointers, the flag, the handle. */
START_TEST(calls_with_other_handles_pass_through)
{
    PVOID addr = area;
    SIZE_T size = SIZE;
    ULONG old = 7, type = MEM_RESERVE | MEM_WRITE_WATCH;

    before_original = look_at_arguments;
    ck_assert_int_eq(nt_allocate(&nt, (HANDLE)43, &addr, 0, &size, type, PAGE_READWRITE),
                     STATUS_FROM_ORIGINAL);
    ck_assert_uint_eq(seen_type, type);
    ck_assert_int_eq(nt_allocate(&nt, (HANDLE)43, &addr, 0, &size, MEM_RESET, PAGE_READWRITE),
                     STATUS_FROM_ORIGINAL);
    ck_assert_uint_eq(seen_type, MEM_RESET);
    ck_assert_int_eq(nt_allocate_ex(&nt, (HANDLE)43, &addr, &size, type, PAGE_READWRITE, NULL, 0),
                     STATUS_FROM_ORIGINAL);
    ck_assert_uint_eq(seen_type, type);
    ck_assert_int_eq(nt_free(&nt, (HANDLE)43, &addr, &size, MEM_RELEASE), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_free(&nt, (HANDLE)43, &addr, &size, MEM_DECOMMIT), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_protect(&nt, (HANDLE)43, &addr, &size, PAGE_READONLY, &old), STATUS_FROM_ORIGINAL);
    ck_assert_ptr_eq(seen_process, (HANDLE)43);
    ck_assert_int_eq(nr_passed_on, 6);
    ck_assert_int_eq(ww_count(nt.ctx, area, SIZE), 1);
}
END_TEST

/* Originals that fail: what was watched stays so, with its pages. */
START_TEST(failing_originals)
{
    PVOID addr = area;
    SIZE_T size = SIZE / 2;
    ULONG old = 7;

    ck_assert_int_eq(nt_free(&nt, SELF, &addr, &size, MEM_RELEASE), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_free(&nt, SELF, &addr, &size, MEM_DECOMMIT), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_protect(&nt, SELF, &addr, &size, PAGE_READONLY, &old), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_allocate(&nt, SELF, &addr, 0, &size, MEM_RESET, PAGE_READWRITE),
                     STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nr_passed_on, 4);
    ck_assert_uint_eq(old, 7);
    ck_assert_ptr_eq(addr, area);
    ck_assert_uint_eq(size, SIZE / 2);
    ck_assert_int_eq(ww_count(nt.ctx, area, SIZE), 1);
}
END_TEST

/* ---- pointers that fault: under Wine the call ends there, past our frames, with the signal mask of the
 * moment ---- */

static sigjmp_buf dispatcher;

static void end_call(int signal)
{
    siglongjmp(dispatcher, signal);
}

/* Runs a call that must fault, and looks for what it left behind. */
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

static char *arguments; /* a page that goes away under the call */

static void take_arguments_away(enum nt_call call, void **args)
{
    (void)call;
    mprotect(arguments, NT_PAGE_SIZE, PROT_NONE);
    (void)*(volatile char *)*(void **)args[1];
}

/* Another thread takes the arguments away: the call ends, and what it was about is as it was. */
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

/* A page is reset only if its address can be handed out. */
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

/* A call that fails writes nothing, also not what was there already: its arguments' page is clean. */
START_TEST(failing_calls_mark_nothing)
{
    PVOID *addr = (PVOID *)(area + 2 * NT_PAGE_SIZE);
    SIZE_T *size = (SIZE_T *)(addr + 1);
    ULONG *old = (ULONG *)(size + 1);

    *addr = area;
    *size = SIZE / 2;
    ck_assert_int_eq(ww_reset(nt.ctx, area, SIZE), 0);
    ck_assert_int_eq(nt_free(&nt, SELF, addr, size, MEM_RELEASE), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_free(&nt, SELF, addr, size, MEM_DECOMMIT), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_protect(&nt, SELF, addr, size, PAGE_READONLY, old), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_allocate(&nt, SELF, addr, 0, size, MEM_RESET, PAGE_READWRITE), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(nt_allocate(&nt, SELF, addr, 0, size, MEM_COMMIT, PAGE_READWRITE), STATUS_FROM_ORIGINAL);
    expect_number(nt.ctx, ww_count(nt.ctx, area, SIZE), 0, NR_PAGES);
}
END_TEST

/* Sizes that wrap around to nothing, or to less, as Wine rounds them: refused, and still watched. */
START_TEST(releases_that_wrap_around)
{
    static const SIZE_T sizes[] = { ~(SIZE_T)0, -(SIZE_T)NT_PAGE_SIZE, -(SIZE_T)SIZE, ~(SIZE_T)0 / 2 };
    static const long offsets[] = { 0, 5, NT_PAGE_SIZE + 5, SIZE - 1 };

    for (int i = 0; i < 4; i++) {
        PVOID addr = area + offsets[i];
        SIZE_T size = sizes[_i];

        ck_assert_int_eq(nt_free(&nt, SELF, &addr, &size, MEM_RELEASE), STATUS_FROM_ORIGINAL);
        ck_assert_int_eq(nt_free(&nt, SELF, &addr, &size, MEM_DECOMMIT), STATUS_FROM_ORIGINAL);
        ck_assert_int_eq(ww_count(nt.ctx, area, SIZE), 1);
        ck_assert_int_eq(ww_count(nt.ctx, area + SIZE, SIZE), 0);
    }
}
END_TEST

/* ---- one call over several watched ranges, and over what is not watched between them ---- */

static NTSTATUS change(enum nt_call call, ULONG type, char *base, SIZE_T size)
{
    PVOID addr = base;
    ULONG old = 0;

    switch (call) {
    case NT_PROTECT:
        return nt_protect(&nt, SELF, &addr, &size, PAGE_READWRITE, &old);
    case NT_FREE:
        return nt_free(&nt, SELF, &addr, &size, type);
    default:
        return nt_allocate(&nt, SELF, &addr, 0, &size, type, PAGE_READWRITE);
    }
}

/* Where the range of a call begins and ends, in pages of the area: inside both, at its ends, beyond both, in
 * the second. Parts that are not watched any more: of the first, between the two, of the second. */
static const struct {
    int first, nr, gap, gap_nr;
} spans[] = {
    { 2, NR_PAGES, 0, 0 },
    { 0, 2 * NR_PAGES, 0, 0 },
    { -4, 2 * NR_PAGES + 8, 0, 0 },
    { -4, NR_PAGES + 8, 0, 0 },
    { NR_PAGES - 1, 2, 0, 0 },
    { 0, 2 * NR_PAGES, 0, 3 },
    { 1, NR_PAGES + 6, NR_PAGES - 2, 4 },
    { 3, 2 * NR_PAGES - 4, 5, 2 },
    { 3, 2 * NR_PAGES - 3, 2 * NR_PAGES - 2, 2 },
};
#define NR_SPANS (int)(sizeof(spans) / sizeof(spans[0]))

static void setup_span(int nr)
{
    serves = true;
    if (spans[nr].gap_nr) {
        ck_assert_int_eq(
            ww_unwatch(nt.ctx, area + spans[nr].gap * NT_PAGE_SIZE, (size_t)spans[nr].gap_nr * NT_PAGE_SIZE),
            0);
    }
    memset(area, 1, 2 * SIZE);
}

static bool is_in_span(int nr, int page)
{
    return page >= spans[nr].first && page < spans[nr].first + spans[nr].nr;
}

/* Every watched page is reported, or is not, as the test says. */
static void expect_span(int nr, bool inside, bool outside)
{
    for (int page = 0; page < 2 * NR_PAGES; page++) {
        char *base = area + page * NT_PAGE_SIZE;
        ssize_t expected = is_in_span(nr, page) ? inside : outside;

        if (page < spans[nr].gap || page >= spans[nr].gap + spans[nr].gap_nr) {
            ck_assert_msg(ww_count(nt.ctx, base, NT_PAGE_SIZE) == expected, "span %d, page %d: not %zd", nr,
                          page, expected);
        }
    }
}

/* What is dirty when all of it is protected outlives the decommitting of all of it. */
START_TEST(protecting_latches_every_part)
{
    setup_span(_i);
    ck_assert_int_eq(
        change(NT_PROTECT, 0, area + spans[_i].first * NT_PAGE_SIZE, (SIZE_T)spans[_i].nr * NT_PAGE_SIZE), 0);
    remap_pages(area, 2 * NR_PAGES);
    for (int page = 0; page < 2 * NR_PAGES; page++) {
        ww_discard(nt.ctx, area + page * NT_PAGE_SIZE, NT_PAGE_SIZE);
    }
    expect_span(_i, true, false);
}
END_TEST

static void drop_span(int nr, enum nt_call call, ULONG type)
{
    setup_span(nr);
    ck_assert_int_eq(
        change(call, type, area + spans[nr].first * NT_PAGE_SIZE, (SIZE_T)spans[nr].nr * NT_PAGE_SIZE), 0);
    expect_span(nr, false, true);
}

START_TEST(decommitting_drops_every_part)
{
    drop_span(_i, NT_FREE, MEM_DECOMMIT);
}
END_TEST

START_TEST(resetting_drops_every_part)
{
    drop_span(_i, NT_ALLOCATE, MEM_RESET);
}
END_TEST

static bool was_own;

static void look_whose(enum nt_call call, void **args)
{
    (void)call;
    (void)args;
    was_own = own;
}

/* A free whose extent is not known here, or is none that is followed: what it does to mappings is noted. */
START_TEST(frees_that_are_not_followed_are_noted)
{
    before_original = look_whose;
    change(NT_FREE, MEM_DECOMMIT, area, SIZE);
    ck_assert(was_own);
    change(NT_FREE, MEM_RELEASE, area, SIZE);
    ck_assert(was_own);
    change(NT_FREE, MEM_RELEASE, area, 2 * SIZE);
    ck_assert(!was_own);
    change(NT_FREE, MEM_DECOMMIT, area, SIZE);
    change(NT_FREE, MEM_DECOMMIT, area - NT_PAGE_SIZE, 0);
    ck_assert(!was_own);
    change(NT_FREE, MEM_DECOMMIT, area, SIZE);
    change(NT_FREE, MEM_RELEASE, area - NT_PAGE_SIZE, 0);
    ck_assert(!was_own);
}
END_TEST

/* ---- where watched memory is ---- */

#define GRANULE ((uintptr_t)2 << 20)

/* Memory whose watch can begin and end at will, at the begin of 2 MB that have nothing else. */
static char *setup_near(void)
{
    char *room = map_pages(8 * GRANULE / NT_PAGE_SIZE);

    serves = true;
    fresh = (char *)(((uintptr_t)room + 3 * GRANULE) & -GRANULE);
    return fresh;
}

/* The preload takes no backend that owns protections, and only it looks for what is near. */
static bool is_preload(void)
{
    return !(ww_backend_caps(nt.ctx) & WW_CAP_OWNS_PROT);
}

static void watch_here(char *base, SIZE_T size)
{
    PVOID addr = NULL;

    fresh = base;
    ck_assert_int_eq(nt_allocate(&nt, SELF, &addr, 0, &size, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE),
                     0);
    ck_assert_ptr_eq(addr, base);
}

static bool is_near(const char *base)
{
    return near_watch((uintptr_t)base, (uintptr_t)base + 1);
}

static void release_all(char *base, SIZE_T size)
{
    change(NT_FREE, MEM_RELEASE, base, size);
}

static void forget_by_settling(char *base, SIZE_T size)
{
    nt_forget(&nt, (uintptr_t)base, (uintptr_t)base + size);
}

static void allocate_over(char *base, SIZE_T size)
{
    PVOID addr = NULL;

    fresh = base;
    ck_assert_int_eq(nt_allocate(&nt, SELF, &addr, 0, &size, MEM_RESERVE, PAGE_READWRITE), 0);
}

static void (*const endings[])(char *base, SIZE_T size) = { release_all, forget_by_settling, allocate_over };

/* However a watch ends, all at once or in parts: changes nearby are changes elsewhere again. */
START_TEST(watches_that_end_leave_nothing_near)
{
    char *base = setup_near();

    if (!is_preload()) {
        return;
    }
    for (int round = 0; round < 2; round++) {
        ck_assert(!is_near(base));
        watch_here(base, GRANULE + SIZE);
        ck_assert(is_near(base) && is_near(base + GRANULE - 1) && is_near(base + 2 * GRANULE - 1));
        ck_assert(!is_near(base - 1) && !is_near(base + 2 * GRANULE));
        if (round) {
            endings[_i](base + SIZE, SIZE);
            ck_assert(is_near(base) && is_near(base + GRANULE));
            endings[_i](base + GRANULE, SIZE);
            ck_assert(is_near(base) && !is_near(base + GRANULE));
            endings[_i](base, SIZE);
            ck_assert(is_near(base));
            endings[_i](base + 2 * SIZE, GRANULE - 2 * SIZE);
        } else {
            endings[_i](base, GRANULE + SIZE);
        }
        ck_assert(!is_near(base) && !is_near(base + GRANULE));
    }
}
END_TEST

/* A second watch in the same 2 MB stays known when the first one ends. */
START_TEST(a_second_watch_nearby_stays_known)
{
    char *base = setup_near();

    if (!is_preload()) {
        return;
    }
    watch_here(base, SIZE);
    watch_here(base + GRANULE - SIZE, SIZE);
    endings[_i](base, SIZE);
    ck_assert(is_near(base));
    endings[_i](base + GRANULE - SIZE, SIZE);
    ck_assert(!is_near(base));
}
END_TEST

/* Nobody ended the watch that was here: the new one takes its place, and is counted once. */
START_TEST(a_watch_in_place_of_another_counts_once)
{
    char *base = setup_near();

    if (!is_preload()) {
        return;
    }
    watch_here(base, 2 * SIZE);
    watch_here(base + SIZE, 2 * SIZE);
    endings[_i](base, 3 * SIZE);
    if (_i == 0) {
        /* Two regions are no range that can be released. */
        ck_assert(is_near(base));
        endings[_i](base, SIZE);
        endings[_i](base + SIZE, 2 * SIZE);
    }
    ck_assert(!is_near(base));
}
END_TEST

/* Neither a watch that could not begin nor a release that failed changes the number. */
START_TEST(failures_keep_what_is_near)
{
    char *base = setup_near();
    PVOID addr = NULL;
    SIZE_T size = SIZE;

    if (!is_preload()) {
        return;
    }
    ck_assert_int_eq(munmap(base, SIZE), 0);
    nt_allocate(&nt, SELF, &addr, 0, &size, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE);
    ck_assert(!is_near(base));
    watch_here(base + SIZE, SIZE);
    serves = false;
    ck_assert_int_eq(change(NT_FREE, MEM_RELEASE, base + SIZE, SIZE), STATUS_FROM_ORIGINAL);
    ck_assert(is_near(base));
    serves = true;
    ck_assert_int_eq(change(NT_FREE, MEM_RELEASE, base + SIZE, SIZE), 0);
    ck_assert(!is_near(base));
}
END_TEST

/* No two addresses share a number; ranges of any length find what lies in them. */
START_TEST(distant_addresses_are_not_near)
{
    const uintptr_t at = (uintptr_t)5 << 30, size = 3 * NT_PAGE_SIZE, step = (uintptr_t)1 << 21;
    uint64_t top = sizeof(void *) == 8 ? UINT64_C(1) << 47 : UINT64_C(1) << 32;

    ck_assert_int_eq(near_add((uintptr_t)(at % top), (uintptr_t)(at % top) + size), 0);
    for (int bit = 21; (UINT64_C(1) << bit) < top; bit++) {
        uintptr_t other = (uintptr_t)(at % top) ^ (uintptr_t)1 << bit;

        ck_assert_msg(!near_watch(other, other + step), "bit %d", bit);
    }
    ck_assert(near_watch(NT_PAGE_SIZE, UINTPTR_MAX - NT_PAGE_SIZE));
    ck_assert(near_watch((uintptr_t)(at % top) + step - 1, (uintptr_t)(at % top) + 5 * step));
    ck_assert(!near_watch((uintptr_t)(at % top) + step, UINTPTR_MAX - NT_PAGE_SIZE));
    ck_assert(!near_watch(NT_PAGE_SIZE, (uintptr_t)(at % top)));
    near_remove((uintptr_t)(at % top), (uintptr_t)(at % top) + size);
    ck_assert(!near_watch(NT_PAGE_SIZE, UINTPTR_MAX - NT_PAGE_SIZE));
#ifdef __LP64__
    ck_assert_int_eq(near_add((UINT64_C(1) << 47) - NT_PAGE_SIZE, (UINT64_C(1) << 47) + NT_PAGE_SIZE),
                     -ENOMEM);
    ck_assert(!near_watch(NT_PAGE_SIZE, UINTPTR_MAX - NT_PAGE_SIZE));
#endif
}
END_TEST

/* Watches that begin and end in pieces of any size, over whole blocks of 4 GB too, against a map. */
START_TEST(what_is_near_is_counted_whatever_the_pieces)
{
#ifdef __LP64__
    enum { UNITS = 4 * 4096 }; /* of 1 MB: half of what one number is for */
    const uintptr_t unit = 1 << 20, base = UINT64_C(7) << 32;
    static bool watched[UNITS];
    uint64_t seed = 1;

    for (int round = 0; round < 400; round++) {
        size_t from = random_below(&seed, 5) ? random_below(&seed, UNITS) : random_below(&seed, 4) * 4096;
        size_t to =
            random_below(&seed, 5) ? random_below(&seed, UNITS) + 1 : random_below(&seed, 4) * 4096 + 4096;
        bool begin = random_below(&seed, 2);
        int nr_wrong = 0;

        for (size_t next; from < to; from = next) {
            for (next = from + 1; next < to && watched[next] == watched[from]; next++) {
                ;
            }
            if (watched[from] != begin && begin) {
                ck_assert_int_eq(near_add(base + from * unit, base + next * unit), 0);
            } else if (watched[from] != begin) {
                near_remove(base + from * unit, base + next * unit);
            }
            memset(watched + from, begin, next - from);
        }
        for (size_t i = 0; i < UNITS; i += 2) {
            nr_wrong += near_watch(base + i * unit, base + i * unit + 1) != (watched[i] || watched[i + 1]);
        }
        ck_assert_msg(!nr_wrong, "round %d: %d wrong", round, nr_wrong);
    }
#endif
}
END_TEST

START_TEST(every_error_has_a_status)
{
    ck_assert_int_eq(nt_status(0), STATUS_SUCCESS);
    ck_assert_int_eq(nt_status(-EINVAL), STATUS_INVALID_PARAMETER);
    ck_assert_int_eq(nt_status(-ENOENT), STATUS_INVALID_PARAMETER);
    ck_assert_int_eq(nt_status(-ENOMEM), STATUS_NO_MEMORY);
    for (int err = 1; err < 200; err++) {
        ck_assert_msg(nt_status(-err) < 0, "errno %d is no failure", err);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nt");
    TCase *tcase = tcase_create("calls");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, get_arguments, 0, sizeof(get_rows) / sizeof(get_rows[0]));
    tcase_add_loop_test(tcase, reset_arguments, 0, sizeof(reset_rows) / sizeof(reset_rows[0]));
    tcase_add_test(tcase, full_array_resets_what_it_reports);
    tcase_add_loop_test(tcase, handles, 0, sizeof(handle_rows) / sizeof(handle_rows[0]));
    tcase_add_test(tcase, calls_with_other_handles_pass_through);
    tcase_add_test(tcase, failing_originals);
    tcase_add_loop_test(tcase, parameters_that_fault, 0, 4);
    tcase_add_loop_test(tcase, arguments_that_go_away, 0, 7);
    tcase_add_loop_test(tcase, arrays_that_fault, 0, 4);
    tcase_add_test(tcase, failing_calls_mark_nothing);
    tcase_add_loop_test(tcase, releases_that_wrap_around, 0, 4);
    tcase_add_loop_test(tcase, protecting_latches_every_part, 0, NR_SPANS);
    tcase_add_loop_test(tcase, decommitting_drops_every_part, 0, NR_SPANS);
    tcase_add_loop_test(tcase, resetting_drops_every_part, 0, NR_SPANS);
    tcase_add_test(tcase, frees_that_are_not_followed_are_noted);
    tcase_add_loop_test(tcase, watches_that_end_leave_nothing_near, 0, 3);
    tcase_add_loop_test(tcase, a_second_watch_nearby_stays_known, 0, 3);
    tcase_add_loop_test(tcase, a_watch_in_place_of_another_counts_once, 0, 3);
    tcase_add_test(tcase, failures_keep_what_is_near);
    tcase_add_test(tcase, distant_addresses_are_not_near);
    tcase_add_test(tcase, what_is_near_is_counted_whatever_the_pieces);
    tcase_add_test(tcase, every_error_has_a_status);
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
