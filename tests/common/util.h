/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the unit tests share: random numbers that depend only on a seed, memory,
 * the backends that work here, and the comparison of every kind of answer with a
 * map of what is expected. It knows the public contract only.
 *
 * A map is a string with a character a page: '#' written, '.' not, '?' either. With a
 * backend without WW_CAP_EXACT a '.' allows either as well.
 */
#ifndef WW_TESTS_UNIT_UTIL_H
#define WW_TESTS_UNIT_UTIL_H

#include <check.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "writewatch.h"

#define EXIT_SKIPPED 77
#define MAX_BACKENDS 8

/* Runs a suite and frees it; returns how many of its checks failed. */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}

/* splitmix64: any seed is a good one. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t mix = *state += UINT64_C(0x9e3779b97f4a7c15);

    mix = (mix ^ (mix >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mix = (mix ^ (mix >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mix ^ (mix >> 31);
}

static inline size_t random_below(uint64_t *state, size_t limit)
{
    return next_random(state) % limit;
}

static inline size_t page_size(void)
{
    return sysconf(_SC_PAGESIZE);
}

static inline char *map_pages(size_t nr)
{
    char *base = mmap(NULL, nr * page_size(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_msg(base != MAP_FAILED, "no memory for %zu pages", nr);
    return base;
}

/* The line of /proc/self/smaps that begins with @field and a colon, for the mapping at @addr; "" if there is
 * none. */
static inline void smaps_line(const void *addr, const char *field, char *ret_line, size_t size)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    size_t len = strlen(field);
    unsigned long start, end;
    bool inside = false;
    char line[512];

    ck_assert_ptr_nonnull(file);
    ret_line[0] = 0;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            inside = start <= (uintptr_t)addr && (uintptr_t)addr < end;
        } else if (inside && !strncmp(line, field, len) && line[len] == ':') {
            snprintf(ret_line, size, "%.*s", (int)size - 1, line);
        }
    }
    fclose(file);
}

/* Replaces pages by fresh ones, as a release and a new reservation do. */
static inline void remap_pages(char *base, size_t nr)
{
    void *again = mmap(base, nr * page_size(), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    ck_assert_ptr_eq(again, base);
}

/* One byte of one page; the offset within the page is arbitrary and must not matter. */
static inline void write_page(char *base, size_t page, char value)
{
    *(volatile char *)(base + page * page_size() + (page * 641 & (page_size() - 1))) = value;
}

static inline char read_page(const char *base, size_t page)
{
    return *(const volatile char *)(base + page * page_size() + (page * 641 & (page_size() - 1)));
}

/* Whether a read of untouched memory maps the kernel's zero page, which the pagemap does not show as
 * exclusive. Nearly every kernel maps it; where the pagemap cannot be read, the answer is yes. */
static inline bool reads_map_zero_page(void)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    char *page = map_pages(1);
    uint64_t entry = 0, exclusive = UINT64_C(1) << 56;

    madvise(page, page_size(), MADV_NOHUGEPAGE);
    (void)read_page(page, 0);
    if (fd >= 0 && pread(fd, &entry, sizeof(entry), (uintptr_t)page / page_size() * sizeof(entry)) < 0) {
        entry = 0;
    }
    munmap(page, page_size());
    close(fd);
    return !(entry & exclusive);
}

static inline void write_map(char *base, const char *map)
{
    for (size_t i = 0; map[i]; i++) {
        if (map[i] == '#') {
            write_page(base, i, 1);
        }
    }
}

/* Fills @found with the backends that work here and have all of @need, and says why it skips the others.
 * With WW_TEST_BEST set, finds the best of them only. Returns how many it found. */
static inline size_t find_backends(struct ww_probe *found, uint32_t need)
{
    struct ww_probe probes[MAX_BACKENDS];
    ssize_t nr = ww_probe(probes, MAX_BACKENDS);
    size_t usable = 0;

    for (ssize_t i = 0; i < nr && i < MAX_BACKENDS; i++) {
        if (probes[i].error) {
            printf("SKIP backend %s: %s (%s)\n", probes[i].name, probes[i].reason,
                   strerror(-probes[i].error));
        } else if (usable && getenv("WW_TEST_BEST")) {
            printf("SKIP backend %s: only the best backend is asked for\n", probes[i].name);
        } else if ((probes[i].caps & need) != need) {
            printf("SKIP backend %s: it lacks capabilities %#x\n", probes[i].name, need & ~probes[i].caps);
        } else {
            found[usable++] = probes[i];
        }
    }
    fflush(stdout);
    return usable;
}

/* Whether the backend may report written pages only. */
static inline bool is_exact(struct ww_context *ctx)
{
    return ww_backend_caps(ctx) & WW_CAP_EXACT;
}

/* Compares two maps and shows the first difference. A '.' may be a '#' where the backend is not @exact. */
static inline void compare_maps(const char *what, bool exact, const char *found, const char *map, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        size_t from = i > 30 ? i - 30 : 0, width = nr - from < 61 ? nr - from : 61;

        ck_assert_msg(map[i] == '?' || map[i] == found[i] || (!exact && map[i] == '.'),
                      "%s: page %zu of %zu is '%c', must be '%c'; from page %zu:\n got  %.*s\n want %.*s",
                      what, i, nr, found[i], map[i], from, (int)width, found + from, (int)width, map + from);
    }
}

/* @found pages of @all were reported: @written of them, and at least as many where the backend is not exact.
 */
static inline void expect_number(struct ww_context *ctx, ssize_t found, size_t written, size_t all)
{
    ck_assert_msg(found >= 0 && (size_t)found >= written && (size_t)found <= (is_exact(ctx) ? written : all),
                  "%zd pages are reported, %zu of %zu were written", found, written, all);
}

/*
 * Compares an answer with a map page by page, and clears reported pages in the map. The answer
 * must ascend, leave out no '#', and have no '.' where the backend is exact.
 */
struct taking {
    struct ww_context *ctx;
    const char *base;
    char *map;
    size_t nr; /* pages */
    size_t at; /* the first that may come next */
};

static inline void take_page(struct taking *taking, const void *addr)
{
    size_t page = ((uintptr_t)addr - (uintptr_t)taking->base) / page_size();

    ck_assert_msg((uintptr_t)addr % page_size() == 0, "%p is no address of a page", addr);
    ck_assert_msg(page < taking->nr, "%p is outside the range", addr);
    ck_assert_msg(page >= taking->at, "page %zu comes late or twice", page);
    for (; taking->at < page; taking->at++) {
        ck_assert_msg(taking->map[taking->at] != '#', "page %zu is missing, %zu came", taking->at, page);
    }
    ck_assert_msg(taking->map[page] != '.' || !is_exact(taking->ctx), "page %zu was not written", page);
    taking->map[page] = '.';
    taking->at = page + 1;
}

/* The answer was complete: no written page is left. */
static inline void take_rest(struct taking *taking)
{
    for (; taking->at < taking->nr; taking->at++) {
        ck_assert_msg(taking->map[taking->at] != '#', "page %zu is missing", taking->at);
    }
}

/* Checks an answer of ww_get_pages() to a query about @nr pages from @base on. It must be complete unless it
 * filled the array. */
static inline void take_pages(struct ww_context *ctx, const char *base, char *map, size_t nr, void **pages,
                              ssize_t nr_pages, size_t capacity)
{
    struct taking taking = { .ctx = ctx, .base = base, .map = map, .nr = nr };

    ck_assert_msg(nr_pages >= 0 && (size_t)nr_pages <= capacity, "%zd pages for a capacity of %zu", nr_pages,
                  capacity);
    for (ssize_t i = 0; i < nr_pages; i++) {
        take_page(&taking, pages[i]);
    }
    if ((size_t)nr_pages < capacity) {
        take_rest(&taking);
    }
}

/* The same for ww_get_ranges(). */
static inline void take_ranges(struct ww_context *ctx, const char *base, char *map, size_t nr,
                               const struct ww_range *ranges, ssize_t nr_ranges, size_t capacity)
{
    struct taking taking = { .ctx = ctx, .base = base, .map = map, .nr = nr };

    ck_assert_msg(nr_ranges >= 0 && (size_t)nr_ranges <= capacity, "%zd runs for a capacity of %zu",
                  nr_ranges, capacity);
    for (ssize_t i = 0; i < nr_ranges; i++) {
        ck_assert_msg(ranges[i].start < ranges[i].end, "run %zd is empty", i);
        for (uintptr_t addr = ranges[i].start; addr < ranges[i].end; addr += page_size()) {
            take_page(&taking, (void *)addr);
        }
    }
    if ((size_t)nr_ranges < capacity) {
        take_rest(&taking);
    }
}

/* Queries without a reset by ww_get_pages(), ww_get_ranges() and ww_count(), and compares with the map. */
static inline void expect_map_len(struct ww_context *ctx, const char *base, const char *map, size_t nr)
{
    size_t page = page_size();
    char *found = malloc(nr + 1);
    void **pages = malloc((nr + 1) * sizeof(*pages));
    struct ww_range *ranges = malloc((nr + 1) * sizeof(*ranges));
    ssize_t nr_pages = ww_get_pages(ctx, base, nr * page, 0, pages, nr + 1);
    ssize_t nr_ranges = ww_get_ranges(ctx, base, nr * page, 0, ranges, nr + 1);
    uintptr_t last = (uintptr_t)base;

    ck_assert_int_ge(nr_pages, 0);
    ck_assert_int_le(nr_pages, nr);
    memset(found, '.', nr);
    for (ssize_t i = 0; i < nr_pages; i++) {
        ck_assert_msg(!i || pages[i] > pages[i - 1], "addresses do not ascend");
        found[((char *)pages[i] - base) / page] = '#';
    }
    compare_maps("pages", is_exact(ctx), found, map, nr);
    expect_number(ctx, ww_count(ctx, base, nr * page), nr_pages, nr);
    ck_assert_int_ge(nr_ranges, 0);
    ck_assert_int_le(nr_ranges, nr);
    memset(found, '.', nr);
    for (ssize_t i = 0; i < nr_ranges; i++) {
        ck_assert_msg(ranges[i].start >= last && ranges[i].end > ranges[i].start, "runs overlap or descend");
        last = ranges[i].end;
        ck_assert_msg(last <= (uintptr_t)base + nr * page, "a run leaves the range");
        memset(found + (ranges[i].start - (uintptr_t)base) / page, '#',
               (ranges[i].end - ranges[i].start) / page);
    }
    compare_maps("runs", is_exact(ctx), found, map, nr);
    free(found);
    free(pages);
    free(ranges);
}

static inline void expect_map(struct ww_context *ctx, const char *base, const char *map)
{
    expect_map_len(ctx, base, map, strlen(map));
}

/* A counter of the whole machine in /proc/vmstat; 0 where the kernel has none of that name. */
static inline unsigned long read_vmstat(const char *wanted)
{
    FILE *file = fopen("/proc/vmstat", "re");
    unsigned long value, found = 0;
    char name[64];

    while (file && fscanf(file, "%63s %lu", name, &value) == 2) {
        found = strcmp(name, wanted) ? found : value;
    }
    if (file) {
        fclose(file);
    }
    return found;
}

/* On emulated machines tests run on one processor, which is faster there; threads that are to race need all
 * of them. Returns how many there are. */
static inline int use_all_processors(void)
{
    cpu_set_t all;

    memset(&all, 0xff, sizeof(all));
    sched_setaffinity(0, sizeof(all), &all);
    return sched_getaffinity(0, sizeof(all), &all) ? 1 : CPU_COUNT(&all);
}

/* Return from a test that cannot work under a sanitizer, and say why. */
#define LEAVE_UNDER(sanitizer, reason)                                                                       \
    do {                                                                                                     \
        printf("SKIP %s under " sanitizer ": %s\n", __func__, reason);                                       \
        return;                                                                                              \
    } while (0)
#ifdef __SANITIZE_ADDRESS__
#define NOT_UNDER_ASAN(reason) LEAVE_UNDER("AddressSanitizer", reason)
#else
#define NOT_UNDER_ASAN(reason) (void)0
#endif
#ifdef __SANITIZE_THREAD__
#define NOT_UNDER_TSAN(reason) LEAVE_UNDER("ThreadSanitizer", reason)
#else
#define NOT_UNDER_TSAN(reason) (void)0
#endif

#endif
