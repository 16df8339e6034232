/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every kind of mapping (mappings.c) against every call, on each backend that works here. Each test runs in a
 * process of its own under a time limit. A call works, or it fails with an errno of its manual page, and no
 * access hangs. Every write is reported. Ordinary memory that the same context watches stays exact, whatever
 * its neighbours are.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>

#include "contract.h"
#include "mappings.h"
#include "watch.h"
#include "writewatch-pagemap.h"

#define NR_CONTROL 8
#define CONTENT 0x5a

static char *control; /* ordinary memory, watched */
static struct mapping mapping;
static size_t nr; /* pages of the mapping */
static bool say_missing;

/* ---- accesses that may fault ---- */

static sigjmp_buf refused;

static void on_signal(int sig)
{
    siglongjmp(refused, sig);
}

/* Reads or writes one byte of the page. Returns 0, or the signal that the access caused. */
static int touch(size_t page, bool write, char *ret_value)
{
    volatile char *at = mapping.base + page * page_size() + (write ? 8 : 16);
    int sig = sigsetjmp(refused, 1);

    if (!sig && write) {
        *at = (char)(page + 1);
    } else if (!sig) {
        *ret_value = *at;
    }
    return sig;
}

/* ---- what every test begins and ends with ---- */

static void open_all(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    ck_assert_int_eq(sigaction(SIGBUS, &action, NULL), 0);
    open_context();
    control = watch_pages(NR_CONTROL);
    write_map(control, "#.#.");
    reset_pages(control, NR_CONTROL);
}

static void expect_control(void)
{
    ck_assert_str_eq(ww_backend_name(ctx), backend->name);
    for (int round = 0; round < 2; round++) {
        write_map(control, round ? "#..#...." : ".#..#...");
        expect_map(ctx, control, round ? "#..#...." : ".#..#...");
        reset_pages(control, NR_CONTROL);
    }
}

static void close_all(void)
{
    expect_control();
    close_context();
    unmake_mapping(&mapping);
}

static bool is_one_of(long err, const int *errors)
{
    while (*errors && *errors != -err) {
        errors++;
    }
    return *errors;
}

/* Whether a call worked. If it did not, its errno must be one of those listed. */
#define WORKS(call, ...) works(#call, call, (const int[]){ __VA_ARGS__, 0 })

static bool works(const char *call, long answer, const int *errors)
{
    ck_assert_msg(answer >= 0 || is_one_of(answer, errors), "%s, %s: %s: %s", backend->name, mapping.name,
                  call, strerror(-answer));
    return answer >= 0;
}

/* Makes the mapping. False if it cannot be made here; prints the reason if say_missing is set. */
static bool make(int which)
{
    const char *missing = make_mapping(which, &mapping);

    if (missing && say_missing) {
        printf("SKIP %s: %s\n", mapping.name, missing);
        fflush(stdout);
    }
    nr = missing ? 0 : mapping.len / page_size();
    return !missing;
}

static bool watch(unsigned int flags)
{
    return WORKS(ww_watch_internal(ctx, mapping.base, mapping.len, flags), EINVAL, EPERM);
}

/* Writes each @step-th page and marks in @map what must be reported: all of a huge page that was written.
 * Where a store ends in a signal, either answer is right, because the backend may have recorded it before. */
static void write_pages(char *map, size_t step)
{
    size_t nr_small = mapping.page_size / page_size();

    for (size_t i = 0; i < nr; i += step) {
        memset(map + i / nr_small * nr_small, touch(i, true, NULL) ? '?' : '#', nr_small);
    }
}

static void forget_map(char *map, char mark)
{
    memset(map, mark, nr);
}

static void expect(const char *map)
{
    expect_map_len(ctx, mapping.base, map, nr);
}

/* ---- watching ---- */

static const unsigned int watch_flags[] = { 0, WW_WATCH_FRESH, WW_WATCH_PRIVATE_ANONYMOUS, WW_WATCH_MARKERS };
#define NR_FLAGS (sizeof(watch_flags) / sizeof(watch_flags[0]))

static void try_watching(unsigned int flags)
{
    /* WW_WATCH_PRIVATE_ANONYMOUS for other memory breaks its promise: then reads may count as writes. */
    char clean = (flags & WW_WATCH_PRIVATE_ANONYMOUS) && !mapping.ordinary ? '?' : '.', *map;

    if (!watch(flags)) {
        return;
    }
    map = malloc(nr);
    for (size_t step = 1; step < 4; step++) {
        void **pages = malloc(nr * sizeof(*pages));

        forget_map(map, clean);
        write_pages(map, step);
        expect(map);
        ck_assert_int_ge(ww_get_pages(ctx, mapping.base, mapping.len, WW_GET_RESET, pages, nr), 0);
        forget_map(map, clean);
        expect(map);
        write_pages(map, step);
        expect(map);
        ck_assert_int_eq(ww_reset(ctx, mapping.base, mapping.len), 0);
        free(pages);
    }
    ck_assert_int_eq(ww_unwatch(ctx, mapping.base, mapping.len), 0);
    forget_map(map, '?');
    write_pages(map, 1);
    free(map);
}

START_TEST(a_mapping_is_watched_or_refused)
{
    say_missing = backend == backends;
    for (size_t i = 0; i < NR_FLAGS && make(_i); i++) {
        try_watching(watch_flags[i]);
        unmake_mapping(&mapping);
    }
}
END_TEST

START_TEST(a_mapping_is_changed_or_that_is_refused)
{
    char *map;

    if (!make(_i) || !watch(0)) {
        return;
    }
    map = malloc(nr);
    forget_map(map, '.');
    write_pages(map, 2);
    ck_assert_int_eq(ww_latch(ctx, mapping.base, mapping.len), 0);
    expect(map);
    if (mapping.prot & PROT_WRITE) {
        WORKS(ww_protect(ctx, mapping.base, mapping.len, PROT_READ), EINVAL, EACCES, EPERM);
        WORKS(ww_protect(ctx, mapping.base, mapping.len, mapping.prot), EINVAL, EACCES, EPERM);
        expect(map);
        write_pages(map, 3);
        expect(map);
    }
    /* The kernel may refuse to drop the pages. */
    madvise(mapping.base, mapping.len, MADV_DONTNEED);
    WORKS(ww_discard(ctx, mapping.base, mapping.len), EINVAL, EPERM, ENOMEM);
    forget_map(map, '?');
    write_pages(map, 1);
    expect(map);
    ck_assert_int_eq(ww_reset(ctx, mapping.base, mapping.len), 0);
    forget_map(map, '?');
    write_pages(map, 2);
    expect(map);
    ck_assert_int_eq(ww_unwatch(ctx, mapping.base, mapping.len), 0);
    free(map);
}
END_TEST

/* ---- first content ---- */

/* A read of any page works or ends in a signal, and does not hang. The first @filled pages hold the
 * content. */
static void expect_content(size_t filled)
{
    for (size_t i = 0; i < nr; i++) {
        char value = 0;
        int sig = touch(i, false, &value);

        ck_assert_msg(sig || i >= filled || value == CONTENT || !(mapping.prot & PROT_READ),
                      "%s, %s: page %zu of %zu filled has %d", backend->name, mapping.name, i, filled, value);
    }
}

static void try_filling(unsigned int flags)
{
    char *content, *map;
    ssize_t filled;

    if (!watch(flags)) {
        return;
    }
    content = malloc(mapping.len);
    map = malloc(nr);
    memset(content, CONTENT, mapping.len);
    filled = ww_fill(ctx, mapping.base, content, mapping.len);
    if (WORKS(filled, EEXIST, EOPNOTSUPP, EINVAL)) {
        expect_content(filled / page_size());
    }
    forget_map(map, '?');
    if (!flags && filled > 0) {
        memset(map, '.', filled / page_size());
    }
    expect(map);
    write_pages(map, 2);
    expect(map);
    ck_assert_int_eq(ww_unwatch(ctx, mapping.base, mapping.len), 0);
    free(content);
    free(map);
}

START_TEST(a_mapping_is_filled_or_that_is_refused)
{
    for (size_t i = 0; i < NR_FLAGS && make(_i); i++) {
        try_filling(watch_flags[i]);
        unmake_mapping(&mapping);
    }
}
END_TEST

static int put_content(void *arg, uintptr_t addr, void *page, size_t len)
{
    (void)addr;
    if (arg) {
        return -1;
    }
    memset(page, CONTENT, len);
    return 0;
}

/* How pages are first touched, or whether the callback fails. */
enum way { BY_READING, BY_WRITING, FAILING, NR_WAYS };

static void try_on_demand(unsigned int flags, enum way way)
{
    bool fails = way == FAILING;
    char *map;

    if (!watch(flags)) {
        return;
    }
    if (!WORKS(ww_fill_on_demand(ctx, mapping.base, mapping.len, put_content, fails ? mapping.base : NULL),
               EINVAL, EOPNOTSUPP)) {
        ck_assert_int_eq(ww_unwatch(ctx, mapping.base, mapping.len), 0);
        return;
    }
    map = malloc(nr);
    forget_map(map, '?');
    if (way == BY_WRITING) {
        write_pages(map, 1);
        expect(map);
    }
    for (size_t i = 0; i < nr; i++) {
        char value = 0;
        int sig = touch(i, false, &value);

        ck_assert_msg(!mapping.unfillable || sig == SIGBUS, "%s, %s: page %zu: signal %d", backend->name,
                      mapping.name, i, sig);
        ck_assert_msg(!mapping.ordinary || (fails ? sig == SIGBUS : !sig && value == CONTENT),
                      "%s, %s: page %zu: signal %d, content %d", backend->name, mapping.name, i, sig, value);
    }
    write_pages(map, 1);
    expect(map);
    ck_assert_int_eq(ww_unwatch(ctx, mapping.base, mapping.len), 0);
    write_pages(map, 1);
    free(map);
}

START_TEST(a_mapping_is_on_demand_or_that_is_refused)
{
    for (int i = 0; i < 2 * NR_WAYS && make(_i); i++) {
        try_on_demand(i % 2 ? WW_WATCH_PRIVATE_ANONYMOUS : 0, i / 2);
        unmake_mapping(&mapping);
    }
}
END_TEST

/* ---- looking at it ---- */

/* The regions are the control and, if it is watched, the mapping. */
static void expect_regions(bool watched)
{
    struct ww_range range, regions[3];
    const char *next = NULL;
    size_t nr_regions = 0, at;

    while (nr_regions < 3 && !ww_next(ctx, next, &regions[nr_regions])) {
        next = (const char *)regions[nr_regions++].end;
    }
    ck_assert_uint_eq(nr_regions, watched ? 2 : 1);
    at = watched && mapping.base > control ? 0 : nr_regions - 1;
    ck_assert_uint_eq(regions[at].start, (uintptr_t)control);
    ck_assert_uint_eq(regions[at].end, (uintptr_t)control + NR_CONTROL * page_size());
    for (size_t i = 0; i < nr; i++) {
        int err = ww_find(ctx, mapping.base + i * page_size() + 1, &range);

        ck_assert_int_eq(err, watched ? 0 : -ENOENT);
        ck_assert(!watched || (range.start == (uintptr_t)mapping.base &&
                               range.end == (uintptr_t)mapping.base + mapping.len));
    }
}

#define PM_PRESENT (UINT64_C(1) << 63) /* of an entry of /proc/self/pagemap, see proc_pid_pagemap(5) */
#define PM_SWAP (UINT64_C(1) << 62)

/* ww_pagemap_scan() finds the pages that /proc/self/pagemap shows as present or swapped; if every other page
 * was written, those of ordinary memory are among them. */
static void expect_scan(struct ww_pagemap *pagemap, int fd, bool is_written)
{
    struct ww_pagemap_scan scan = {
        .start = (uintptr_t)mapping.base,
        .end = (uintptr_t)mapping.base + mapping.len,
        .category_anyof_mask = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED,
        .return_mask = WW_PAGE_IS_PRESENT,
    };
    struct ww_page_region *runs = calloc(nr, sizeof(*runs));
    uint64_t *entries = calloc(nr, sizeof(*entries));
    char *found = calloc(nr + 1, 1), *map = calloc(nr + 1, 1);
    ssize_t nr_runs = ww_pagemap_scan(pagemap, &scan, runs, nr);

    ck_assert_int_ge(nr_runs, 0);
    ck_assert_uint_eq(scan.walk_end, scan.end);
    ck_assert_int_eq(pread(fd, entries, nr * sizeof(*entries), scan.start / page_size() * sizeof(*entries)),
                     nr * sizeof(*entries));
    memset(found, '.', nr);
    for (ssize_t i = 0; i < nr_runs; i++) {
        memset(found + (runs[i].start - scan.start) / page_size(),
               runs[i].categories & WW_PAGE_IS_PRESENT ? '#' : 's',
               (runs[i].end - runs[i].start) / page_size());
    }
    for (size_t i = 0; i < nr; i++) {
        map[i] = entries[i] & PM_PRESENT ? '#' : entries[i] & PM_SWAP ? 's' : '.';
        ck_assert_msg(!is_written || !mapping.ordinary || i % 2 || map[i] != '.',
                      "page %zu was written and is not there", i);
    }
    compare_maps(mapping.name, true, found, map, nr);
    free(runs);
    free(entries);
    free(found);
    free(map);
}

START_TEST(a_mapping_is_found_and_scanned)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    struct ww_pagemap *pagemap;
    bool watched;
    char *map;

    if (fd < 0 || ww_pagemap_open(&pagemap, 0)) {
        printf("SKIP %s: /proc/self/pagemap cannot be opened\n", __func__);
        return;
    }
    if (make(_i)) {
        map = malloc(nr);
        expect_regions(false);
        expect_scan(pagemap, fd, false);
        watched = watch(0);
        expect_regions(watched);
        write_pages(map, 2);
        expect_scan(pagemap, fd, true);
        if (watched) {
            ck_assert_int_eq(ww_unwatch(ctx, mapping.base, mapping.len), 0);
        }
        expect_regions(false);
        expect_scan(pagemap, fd, true);
        free(map);
    }
    ww_pagemap_close(pagemap);
    close(fd);
}
END_TEST

/* ---- a mapping that is moved over ordinary memory ---- */

/* Moves the mapping over watched memory. False if the kernel does not move it. */
static bool take_place(char *place)
{
    if (mremap(mapping.base, mapping.len, mapping.len, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED) {
        return false;
    }
    mapping.base = place;
    return true;
}

/* Where the library was told of the mapping, it is on demand, and what nobody can fill ends in SIGBUS. */
static void expect_signals(void)
{
    for (size_t i = 0; i < nr; i++) {
        char value = 0;
        int sig = touch(i, false, &value);

        ck_assert_msg(sig == SIGBUS, "%s, %s: page %zu: signal %d, content %d", backend->name, mapping.name,
                      i, sig, value);
    }
}

static void try_taking_place(bool on_demand, bool discard)
{
    char *area = map_pages(2 * nr), *place, *map;

    place = (char *)(((uintptr_t)area + mapping.len - 1) & ~(mapping.len - 1));
    ck_assert_int_eq(ww_watch(ctx, place, mapping.len, WW_WATCH_FRESH), 0);
    if (on_demand) {
        on_demand = WORKS(ww_fill_on_demand(ctx, place, mapping.len, put_content, NULL), EOPNOTSUPP);
    }
    if (!take_place(place)) {
        ck_assert_int_eq(ww_unwatch(ctx, place, mapping.len), 0);
        return;
    }
    map = malloc(nr);
    forget_map(map, '?');
    if (discard && WORKS(ww_discard(ctx, place, mapping.len), EINVAL, EPERM, ENOMEM) && on_demand &&
        mapping.unfillable) {
        expect_signals();
    }
    for (int round = 0; round < 2; round++) {
        forget_map(map, '?');
        write_pages(map, 2);
        if (has_cap(WW_CAP_LOST_DETECTED) || discard) {
            expect(map);
            ck_assert_int_eq(ww_reset(ctx, place, mapping.len), 0);
        }
    }
    expect_control();
    expect_content(0);
    ck_assert_int_eq(ww_unwatch(ctx, place, mapping.len), 0);
    free(map);
}

START_TEST(a_mapping_takes_the_place_of_watched_memory)
{
    for (int i = 0; i < 4 && make(_i); i++) {
        try_taking_place(i & 1, i & 2);
        unmake_mapping(&mapping);
    }
}
END_TEST

static int run(void)
{
    Suite *suite = suite_create(backend->name);
    TCase *tcase = tcase_create("mappings");
    int makers = nr_mappings();

    tcase_set_timeout(tcase, 20);
    tcase_add_checked_fixture(tcase, open_all, close_all);
    tcase_add_loop_test(tcase, a_mapping_is_watched_or_refused, 0, makers);
    tcase_add_loop_test(tcase, a_mapping_is_changed_or_that_is_refused, 0, makers);
    tcase_add_loop_test(tcase, a_mapping_is_filled_or_that_is_refused, 0, makers);
    tcase_add_loop_test(tcase, a_mapping_is_on_demand_or_that_is_refused, 0, makers);
    tcase_add_loop_test(tcase, a_mapping_is_found_and_scanned, 0, makers);
    tcase_add_loop_test(tcase, a_mapping_takes_the_place_of_watched_memory, 0, makers);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}

int main(void)
{
    return run_on_each_backend(run);
}
