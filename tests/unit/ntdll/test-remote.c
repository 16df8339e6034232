/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue of changes that another process makes to watched memory (dlls/ntdll/remote.c), without Wine. The
 * tests call the functions that replace ntdll.so's imports, as Wine does for the other process. Wrappers of
 * madvise() and of the engine's hold let another thread work in the middle of a change. What must be reported
 * is Windows' rule: a change of protection keeps what is dirty, and no decommit drops that.
 */
#include <pthread.h>

#include "nt-test.h"
#include "remote.h"

#define NR 8

struct nt nt;

static char *base;

static __typeof__(&mmap64) peer_mmap; /* or mmap(), which ignores the rest of a wider offset */
static __typeof__(&mprotect) peer_mprotect;
static __typeof__(&madvise) peer_madvise;
static __typeof__(&munmap) peer_munmap;

/* Runs once, when the pages are gone and madvise() has not returned. */
static void (*after_madvise)(void);
/* Runs once, before a region is held. */
static void (*before_hold)(void);
/* Runs once, before Wine is asked what is gone. */
static void (*before_question)(void);

/* How often no memory is left to cut a region with. */
static int nr_failing_forgets;
/* Runs once, before a region leaves the table. */
static void (*before_detach)(void);
/* What Wine does, or other threads meanwhile. Its status is the call's. */
static NTSTATUS (*wine_frees)(void);

/* Where no allocation is, in pages. */
static size_t gone_from, gone_to;

int __real_madvise(void *addr, size_t len, int advice);
int __wrap_madvise(void *addr, size_t len, int advice);
int __wrap_madvise(void *addr, size_t len, int advice)
{
    int ret = __real_madvise(addr, len, advice);
    void (*callback)(void) = after_madvise;

    after_madvise = NULL;
    if (callback) {
        callback();
    }
    return ret;
}

int __real_ww_hold_to_change(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold);
int __wrap_ww_hold_to_change(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold);
int __wrap_ww_hold_to_change(struct ww_context *ctx, const struct ww_range *range, struct ww_hold *hold)
{
    void (*callback)(void) = before_hold;

    before_hold = NULL;
    if (callback) {
        callback();
    }
    return __real_ww_hold_to_change(ctx, range, hold);
}

int __real_ww_detach(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_detached *detached);
int __wrap_ww_detach(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_detached *detached);
int __wrap_ww_detach(struct ww_context *ctx, uintptr_t start, uintptr_t end, struct ww_detached *detached)
{
    void (*callback)(void) = before_detach;

    before_detach = NULL;
    if (callback) {
        callback();
    }
    return __real_ww_detach(ctx, start, end, detached);
}

int __real_ww_forget(struct ww_context *ctx, uintptr_t start, uintptr_t end,
                     void (*gone)(uintptr_t, uintptr_t));
int __wrap_ww_forget(struct ww_context *ctx, uintptr_t start, uintptr_t end,
                     void (*gone)(uintptr_t, uintptr_t));
int __wrap_ww_forget(struct ww_context *ctx, uintptr_t start, uintptr_t end,
                     void (*gone)(uintptr_t, uintptr_t))
{
    if (nr_failing_forgets) {
        nr_failing_forgets--;
        return -ENOMEM;
    }
    return __real_ww_forget(ctx, start, end, gone);
}

static ULONG allocated_type; /* of the last allocation */

/* Allocates at the address that is wanted, which is free. */
static NTSTATUS original(struct nt *self, enum nt_call call, void **args)
{
    (void)self;
    if (call == NT_ALLOCATE) {
        allocated_type = *(ULONG *)args[4];
        remap_pages(**(PVOID **)args[1], **(SIZE_T **)args[3] / NT_PAGE_SIZE);
    }
    return call == NT_FREE && wine_frees ? wine_frees() : STATUS_SUCCESS;
}

static char *addr_of(size_t page)
{
    return base + page * NT_PAGE_SIZE;
}

static bool is_gone(struct nt *self, uintptr_t addr, uintptr_t *ret_until)
{
    uintptr_t from = (uintptr_t)addr_of(gone_from), to = (uintptr_t)addr_of(gone_to);
    void (*callback)(void) = before_question;

    (void)self;
    before_question = NULL;
    if (callback) {
        callback();
    }
    *ret_until = addr < from ? from : addr < to ? to : UINTPTR_MAX;
    return addr >= from && addr < to;
}

/* This program stands for ntdll.so: it imports the same functions, so it cannot be static. */
static void setup(void)
{
    void **slots[REMOTE_NR_IMPORTS], *values[REMOTE_NR_IMPORTS];
    struct elf_object self;
    const char *import;

    after_madvise = before_hold = before_question = before_detach = NULL;
    gone_from = gone_to = 0;
    nr_failing_forgets = 0;
    wine_frees = NULL;
    nt = (struct nt){ .original = original,
                      .is_gone = is_gone,
                      .drain = remote_drain,
                      .pause_drain = remote_pause_drain,
                      .set_own = remote_set_own,
                      .after_watch = filter_remove };
    ck_assert_int_eq(ww_open(&nt.ctx, "uffd"), 0);
    ck_assert_int_eq(elf_find_object((const void *)setup, &self), 0);
    ck_assert_msg(!remote_prepare(&self, nt.ctx, slots, values, &import), "%s", import);
    peer_mmap = (__typeof__(peer_mmap))values[0];
    peer_munmap = (__typeof__(peer_munmap))values[1];
    peer_mprotect = (__typeof__(peer_mprotect))values[2];
    peer_madvise = (__typeof__(peer_madvise))values[3];
    base = map_pages(NR);
    ck_assert_int_eq(filter_add((uintptr_t)base, (uintptr_t)addr_of(NR)), 0);
    ck_assert_int_eq(ww_watch(nt.ctx, base, NR * NT_PAGE_SIZE, WW_WATCH_FRESH), 0);
}

static void teardown(void)
{
    ww_close(nt.ctx);
}

static void write_pages(const char *map)
{
    for (size_t i = 0; map[i]; i++) {
        if (map[i] == '#') {
            *(volatile char *)addr_of(i) = 1;
        }
    }
}

/* '#' must be reported, '.' must not, '?' may be. */
static void expect(const char *map)
{
    nt_drain(&nt);
    for (size_t i = 0; map[i]; i++) {
        ssize_t nr = ww_count(nt.ctx, addr_of(i), NT_PAGE_SIZE);

        ck_assert_msg(map[i] == '?' || nr == (map[i] == '#'), "page %zu: %zd, expected %s", i, nr, map);
    }
}

static void peer_protects(size_t from, size_t to)
{
    ck_assert_int_eq(peer_mprotect(addr_of(from), (to - from) * NT_PAGE_SIZE, PROT_READ), 0);
    ck_assert_int_eq(mprotect(addr_of(from), (to - from) * NT_PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
}

static void peer_drops(size_t from, size_t to)
{
    ck_assert_int_eq(peer_madvise(addr_of(from), (to - from) * NT_PAGE_SIZE, MADV_DONTNEED), 0);
}

/* What VirtualFree(MEM_DECOMMIT) and MEM_RESET of this process do after their drain. */
static void we_drop(size_t from, size_t to)
{
    remote_set_own(true);
    peer_drops(from, to);
    remote_set_own(false);
    ck_assert_int_eq(ww_discard(nt.ctx, addr_of(from), (to - from) * NT_PAGE_SIZE), 0);
}

static void *drain_here(void *arg)
{
    nt_drain(&nt);
    return arg;
}

/* Another thread drains the queue, as each of its calls does. */
static void drain(void)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, drain_here, NULL), 0);
    pthread_join(thread, NULL);
}

START_TEST(what_a_peer_protects_is_kept_when_it_is_dropped)
{
    bool own = _i & 1, drained = _i & 2;

    write_pages("..#.#...");
    peer_protects(1, 4);
    if (drained) {
        drain();
    }
    own ? we_drop(0, 6) : peer_drops(0, 6);
    expect(drained ? "..#....." : ".?#?....");
}
END_TEST

START_TEST(a_drain_in_the_middle_of_a_drop_loses_nothing)
{
    write_pages("..#.#...");
    peer_protects(1, 4);
    after_madvise = drain;
    _i ? we_drop(0, 6) : peer_drops(0, 6);
    drain();
    expect(".?#?....");
    write_pages("#.......");
    expect("#?#?....");
}
END_TEST

START_TEST(what_was_protected_and_kept_before_stays_exact)
{
    write_pages("..#.#...");
    peer_protects(1, 4);
    drain();
    peer_drops(0, 6);
    drain();
    peer_protects(0, 8);
    peer_drops(0, 8);
    expect("..#.....");
}
END_TEST

START_TEST(a_drop_that_fails_blocks_no_later_change)
{
    ck_assert_int_eq(peer_madvise(base + 1, NT_PAGE_SIZE, MADV_DONTNEED), -1);
    ck_assert_int_eq(peer_munmap(base + 1, NT_PAGE_SIZE), -1);
    write_pages("..#.#...");
    peer_protects(1, 4);
    expect("..#.#...");
    we_drop(0, 6);
    expect("..#.....");
}
END_TEST

START_TEST(a_full_queue_loses_nothing)
{
    write_pages("..#.#...");
    for (int i = 0; i < 3000; i++) {
        peer_protects(4, 5);
    }
    peer_protects(1, 4);
    _i ? we_drop(0, 6) : peer_drops(0, 6);
    expect("??#?#???");
    ck_assert_int_eq(ww_reset(nt.ctx, base, NR * NT_PAGE_SIZE), 0);
    write_pages(".#......");
    expect(".#......");
}
END_TEST

/* Another thread releases pages in the middle of the range while the queue is drained. */
static void release_the_middle(void)
{
    ck_assert_int_eq(ww_unwatch(nt.ctx, addr_of(3), 2 * NT_PAGE_SIZE), 0);
}

START_TEST(a_region_that_is_cut_during_the_drain_is_kept_whole)
{
    write_pages("#......#");
    peer_protects(0, 8);
    before_hold = release_the_middle;
    drain();
    ck_assert_ptr_null(before_hold);
    for (size_t i = 0; i < NR; i += NR - 1) {
        we_drop(i, i + 1);
        ck_assert_int_eq(ww_count(nt.ctx, addr_of(i), NT_PAGE_SIZE), 1);
    }
}
END_TEST

/* Windows puts a view of a file in the place of a placeholder, which may be watched until then. */
START_TEST(a_file_in_place_of_watched_memory_ends_the_watch)
{
    int fd = memfd_create("view", MFD_CLOEXEC), flags = MAP_FIXED | (_i ? MAP_SHARED : MAP_PRIVATE);
    size_t size = 2 * NT_PAGE_SIZE;
    struct ww_range range;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    ck_assert_ptr_eq(peer_mmap(addr_of(2), size, PROT_READ | PROT_WRITE, flags, fd, 0), addr_of(2));
    close(fd);
    drain();
    for (size_t page = 0; page < NR; page++) {
        ck_assert_int_eq(ww_find(nt.ctx, addr_of(page), &range), page == 2 || page == 3 ? -ENOENT : 0);
    }
    write_pages("##");
    expect("##");
}
END_TEST

/* The rest of an allocation of which a peer has released a part. */
static void expect_rest_watched(size_t from, size_t to)
{
    struct ww_range range;

    drain();
    for (size_t page = 0; page < NR; page++) {
        int err = ww_find(nt.ctx, addr_of(page), &range);

        ck_assert_msg(err == (page >= from && page < to ? -ENOENT : 0), "page %zu: %d", page, err);
    }
    for (size_t page = 0; page < NR; page++) {
        if (page < from || page >= to) {
            ck_assert_int_ge(ww_reset(nt.ctx, addr_of(page), NT_PAGE_SIZE), 0);
            *(volatile char *)addr_of(page) = 1;
            ck_assert_int_eq(ww_count(nt.ctx, addr_of(page), NT_PAGE_SIZE), 1);
        }
    }
}

static void release_part(void)
{
    ck_assert_int_eq(peer_munmap(addr_of(gone_from), (gone_to - gone_from) * NT_PAGE_SIZE), 0);
}

/* This process releases the part, and the watch of it ends before the call does. */
static void release_part_here(void)
{
    ck_assert_int_eq(ww_unwatch(nt.ctx, addr_of(gone_from), (gone_to - gone_from) * NT_PAGE_SIZE), 0);
    ck_assert_int_eq(munmap(addr_of(gone_from), (gone_to - gone_from) * NT_PAGE_SIZE), 0);
}

static const struct {
    size_t from, to;
} parts[] = { { 0, 1 }, { 0, 3 }, { 3, 5 }, { 7, 8 } };

static void set_part(int nr)
{
    gone_from = parts[nr].from;
    gone_to = parts[nr].to;
}

START_TEST(what_is_left_of_a_dropped_range_stays_watched)
{
    set_part(_i);
    peer_drops(0, NR);
    release_part();
    expect_rest_watched(gone_from, gone_to);
}
END_TEST

START_TEST(what_is_left_of_a_protected_and_dropped_range_stays_watched)
{
    set_part(_i);
    write_pages("########");
    peer_protects(0, NR);
    peer_drops(0, NR);
    release_part();
    expect_rest_watched(gone_from, gone_to);
}
END_TEST

START_TEST(what_is_left_after_an_overflow_stays_watched)
{
    set_part(_i);
    write_pages("########");
    for (int i = 0; i < 3000; i++) {
        peer_protects(6, 7);
    }
    release_part();
    expect_rest_watched(gone_from, gone_to);
}
END_TEST

START_TEST(what_is_left_of_a_release_during_the_drain_stays_watched)
{
    set_part(_i);
    peer_drops(0, NR);
    before_question = release_part_here;
    expect_rest_watched(gone_from, gone_to);
    ck_assert_ptr_null(before_question);
}
END_TEST

/* ---- no memory ---- */

static void expect_watched(size_t from, size_t to, bool watched)
{
    struct ww_range range;

    for (size_t page = from; page < to; page++) {
        ck_assert_int_eq(ww_find(nt.ctx, addr_of(page), &range), watched ? 0 : -ENOENT);
    }
}

/* A change that cannot be applied for want of memory is applied later, and so are those behind it. */
START_TEST(a_release_is_applied_when_there_is_memory_again)
{
    write_pages("#.......");
    ck_assert_int_eq(peer_munmap(addr_of(3), 2 * NT_PAGE_SIZE), 0);
    peer_protects(0, 2);
    nr_failing_forgets = 2;
    drain();
    drain();
    expect_watched(3, 5, true);
    drain();
    expect_watched(3, 5, false);
    expect_watched(0, 3, true);
    we_drop(0, 2);
    expect("#..");
}
END_TEST

START_TEST(a_dropped_range_is_forgotten_when_there_is_memory_again)
{
    peer_drops(0, NR);
    gone_from = 2;
    gone_to = 4;
    nr_failing_forgets = 1;
    if (_i) {
        write_pages("########");
        for (int i = 0; i < 3000; i++) {
            peer_protects(6, 7);
        }
    }
    drain();
    expect_watched(2, 4, true);
    drain();
    expect_watched(2, 4, false);
}
END_TEST

/* Until then, new memory at these addresses is Wine's to watch: the release would end the watch. */
START_TEST(new_memory_is_not_watched_before_an_earlier_release_is_applied)
{
    ULONG type = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;
    PVOID addr = addr_of(3);
    SIZE_T size = 2 * NT_PAGE_SIZE;

    nt.before_watch = filter_add;
    ck_assert_int_eq(peer_munmap(addr, size), 0);
    nr_failing_forgets = 2;
    ck_assert_int_eq(nt_allocate(&nt, SELF, &addr, 0, &size, type, PAGE_READWRITE), STATUS_SUCCESS);
    ck_assert_uint_eq(allocated_type, type);
    drain();
    expect_watched(3, 5, false);
    ck_assert_int_eq(nt_allocate(&nt, SELF, &addr, 0, &size, type, PAGE_READWRITE), STATUS_SUCCESS);
    ck_assert_uint_eq(allocated_type, type & ~MEM_WRITE_WATCH);
    drain();
    expect_watched(3, 5, true);
}
END_TEST

/* ---- releases by this process ---- */

static NTSTATUS release(size_t from, size_t to)
{
    PVOID addr = addr_of(from);
    SIZE_T size = (to - from) * NT_PAGE_SIZE;

    return nt_free(&nt, SELF, &addr, &size, MEM_RELEASE);
}

static pthread_t drainer;

static void *protect_by_peer(void *arg)
{
    peer_protects(1, 4);
    return arg;
}

static void *release_by_another(void *arg)
{
    ck_assert_int_eq(peer_munmap(base, NR * NT_PAGE_SIZE), 0);
    return arg;
}

/* Another thread changes memory, and a third one drains the queue, if it can, before the release fails. */
static NTSTATUS fail_meanwhile(void *(*change)(void *))
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, change, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(pthread_create(&drainer, NULL, drain_here, NULL), 0);
    usleep(100000);
    return STATUS_FROM_ORIGINAL;
}

static NTSTATUS fail_while_a_peer_protects(void)
{
    return fail_meanwhile(protect_by_peer);
}

static NTSTATUS fail_while_another_releases(void)
{
    return fail_meanwhile(release_by_another);
}

START_TEST(a_release_that_fails_loses_no_protection)
{
    wine_frees = fail_while_a_peer_protects;
    write_pages("..#.#...");
    ck_assert_int_eq(_i ? release(0, 5) : release(0, NR), STATUS_FROM_ORIGINAL);
    pthread_join(drainer, NULL);
    nt_drain(&nt);
    we_drop(0, 6);
    expect("..#.....");
}
END_TEST

static void expect_none_watched(void)
{
    struct ww_range range;

    nt_drain(&nt);
    ck_assert_int_eq(ww_find_next(nt.ctx, (uintptr_t)base, (uintptr_t)addr_of(NR), &range), -ENOENT);
    ck_assert(!filter_may_match((uintptr_t)base, (uintptr_t)addr_of(NR)));
}

START_TEST(a_release_that_comes_too_late_watches_nothing_again)
{
    wine_frees = fail_while_another_releases;
    ck_assert_int_eq(release(5, NR), STATUS_FROM_ORIGINAL);
    pthread_join(drainer, NULL);
    expect_none_watched();
}
END_TEST

static void forget_the_tail(void)
{
    ck_assert_int_eq(nt_forget(&nt, (uintptr_t)addr_of(5), (uintptr_t)addr_of(NR)), 0);
}

static NTSTATUS release_what_is_left(void)
{
    ck_assert_int_eq(peer_munmap(base, 5 * NT_PAGE_SIZE), 0);
    return STATUS_SUCCESS;
}

/* Another thread releases the last pages after this one has found the region. Wine then releases the rest. */
START_TEST(a_release_of_what_another_has_cut_ends_the_watch)
{
    wine_frees = release_what_is_left;
    before_detach = forget_the_tail;
    ck_assert_int_eq(release(0, NR), STATUS_SUCCESS);
    ck_assert_ptr_null(before_detach);
    expect_none_watched();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("remote");
    TCase *tcase = tcase_create("queue");
    struct ww_context *ctx;

    if (ww_open(&ctx, "uffd")) {
        printf("SKIP: uffd does not work here, and the preload takes no other backend by itself\n");
        return EXIT_SKIPPED;
    }
    ww_close(ctx);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, what_a_peer_protects_is_kept_when_it_is_dropped, 0, 4);
    tcase_add_loop_test(tcase, a_drain_in_the_middle_of_a_drop_loses_nothing, 0, 2);
    tcase_add_test(tcase, what_was_protected_and_kept_before_stays_exact);
    tcase_add_test(tcase, a_drop_that_fails_blocks_no_later_change);
    tcase_add_loop_test(tcase, a_full_queue_loses_nothing, 0, 2);
    tcase_add_test(tcase, a_region_that_is_cut_during_the_drain_is_kept_whole);
    tcase_add_loop_test(tcase, a_file_in_place_of_watched_memory_ends_the_watch, 0, 2);
    tcase_add_loop_test(tcase, what_is_left_of_a_dropped_range_stays_watched, 0, 4);
    tcase_add_loop_test(tcase, what_is_left_of_a_protected_and_dropped_range_stays_watched, 0, 4);
    tcase_add_loop_test(tcase, what_is_left_after_an_overflow_stays_watched, 0, 4);
    tcase_add_loop_test(tcase, what_is_left_of_a_release_during_the_drain_stays_watched, 0, 4);
    tcase_add_test(tcase, a_release_is_applied_when_there_is_memory_again);
    tcase_add_loop_test(tcase, a_dropped_range_is_forgotten_when_there_is_memory_again, 0, 2);
    tcase_add_test(tcase, new_memory_is_not_watched_before_an_earlier_release_is_applied);
    tcase_add_loop_test(tcase, a_release_that_fails_loses_no_protection, 0, 2);
    tcase_add_test(tcase, a_release_that_comes_too_late_watches_nothing_again);
    tcase_add_test(tcase, a_release_of_what_another_has_cut_ends_the_watch);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
