/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The NT calls without Wine: arguments are checked in Windows' order (a table has a row for each check),
 * outputs are untouched on error, and the right calls are passed on to the original. The expected statuses
 * are those of winetest (kernel32 and ntdll virtual.c), which was run on Windows.
 */
#include <pthread.h>

#include "nt-test.h"

struct nt nt;
char *area;
static int nr_passed_on;
bool own;
bool serves;
char *fresh;
void (*before_original)(enum nt_call call, void **args);

/* What the original does when it succeeds. It rounds ranges as Wine does. */
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
    if (call == NT_ALLOCATE && *(ULONG *)args[4] == MEM_RESET) {
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

static void set_own(bool value)
{
    own = value;
}

static void setup(void)
{
    nt = (struct nt){
        .original = original,
        .check_handle = check_handle,
        .set_own = set_own,
        .before_watch = filter_add,
        .after_watch = filter_remove,
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

NTSTATUS change(enum nt_call call, ULONG type, char *base, SIZE_T size)
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

/* A wrong handle is refused after the arguments are checked and before the range is. The library checks it
 * itself, because the original does not know the watched memory. */
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

/* A call whose handle is not this process's goes to the original unchanged: the pointers, the flag, the
 * handle. */
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

/* If the original fails, the memory stays watched, and its written pages stay reported. */
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

static NTSTATUS seen_by_another;
static ULONG_PTR seen_by_another_nr;

static void *get_here(void *arg)
{
    PVOID addresses[NR_PAGES];
    ULONG granularity;

    seen_by_another_nr = NR_PAGES;
    seen_by_another =
        nt_get_write_watch(&nt, SELF, 0, area, SIZE, addresses, &seen_by_another_nr, &granularity);
    return arg;
}

static void get_meanwhile(enum nt_call call, void **args)
{
    pthread_t thread;

    (void)args;
    if (call == NT_FREE) {
        ck_assert_int_eq(pthread_create(&thread, NULL, get_here, NULL), 0);
        pthread_join(thread, NULL);
    }
}

/* Types that Windows refuses, whatever the range: other threads see nothing of such a call. */
START_TEST(frees_that_cannot_succeed_disturb_nobody)
{
    static const struct {
        ULONG type;
        SIZE_T size;
    } rows[] = {
        { MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER, 0 },
        { MEM_RELEASE | MEM_DECOMMIT, 0 },
        { MEM_RELEASE | MEM_DECOMMIT, SIZE },
        { MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS, SIZE },
        { MEM_RELEASE | MEM_RESET, SIZE },
        { 0, SIZE },
        { MEM_DECOMMIT | MEM_COMMIT, SIZE },
    };

    before_original = get_meanwhile;
    ck_assert_int_eq(change(NT_FREE, rows[_i].type, area, rows[_i].size), STATUS_FROM_ORIGINAL);
    ck_assert_int_eq(seen_by_another, STATUS_SUCCESS);
    ck_assert_uint_eq(seen_by_another_nr, 1);
}
END_TEST

/* A call that fails does not write to its arguments, not even the values they have: their page stays
 * clean. */
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

/* Sizes that wrap around to 0, or to less, when Wine rounds them: the call fails, and the memory stays
 * watched. */
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
    tcase_add_loop_test(tcase, frees_that_cannot_succeed_disturb_nobody, 0, 7);
    tcase_add_test(tcase, failing_calls_mark_nothing);
    tcase_add_loop_test(tcase, releases_that_wrap_around, 0, 4);
    tcase_add_test(tcase, every_error_has_a_status);
    add_fault_tests(tcase);
    add_span_tests(tcase);
    add_filter_tests(tcase);
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
