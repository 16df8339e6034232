/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, arguments: each call refuses wrong ones with the errno that the header lists. A refusal
 * changes neither the answers nor the caller's arrays.
 */
#include <errno.h>
#include <fcntl.h>

#include "contract.h"

/* Two regions that touch, with unwatched memory in front and behind. */
struct scene {
    size_t page;
    char *base; /* unwatched: 2 pages */
    char *low;  /* 4 pages */
    char *high; /* 4 pages, then 2 unwatched */
};

static struct scene make_scene(void)
{
    struct scene scene = { .page = page_size(), .base = map_pages(12) };

    scene.low = scene.base + 2 * scene.page;
    scene.high = scene.low + 4 * scene.page;
    ck_assert_int_eq(ww_watch(ctx, scene.low, 4 * scene.page, WW_WATCH_FRESH), 0);
    ck_assert_int_eq(ww_watch(ctx, scene.high, 4 * scene.page, WW_WATCH_FRESH), 0);
    write_map(scene.base, "##.#.##.#.##");
    ck_assert_int_eq(ww_latch(ctx, scene.low, 2 * scene.page), 0);
    return scene;
}

static void check_scene(const struct scene *scene)
{
    struct ww_range range;

    ck_assert_int_eq(ww_find(ctx, scene->low, &range), 0);
    ck_assert(range.start == (uintptr_t)scene->low && range.end == (uintptr_t)scene->high);
    ck_assert_int_eq(ww_find(ctx, scene->high, &range), 0);
    ck_assert(range.start == (uintptr_t)scene->high && range.end == (uintptr_t)scene->high + 4 * scene->page);
    ck_assert_int_eq(ww_find(ctx, scene->low - 1, &range), -ENOENT);
    ck_assert_int_eq(ww_find(ctx, scene->high + 4 * scene->page, &range), -ENOENT);
    expect_map(ctx, scene->low, ".#.#");
    expect_map(ctx, scene->high, "#.#.");
}

/* ---- every call that takes a range within one region ---- */

static long get_pages(struct ww_context *c, char *addr, size_t len)
{
    void *pages[2] = { &pages[0], &pages[1] };
    ssize_t nr = ww_get_pages(c, addr, len, WW_GET_RESET, pages, 2);

    ck_assert_msg(nr > 0 || (pages[0] == &pages[0] && pages[1] == &pages[1]), "outputs were touched");
    return nr;
}

static long get_ranges(struct ww_context *c, char *addr, size_t len)
{
    struct ww_range ranges[2] = { { 1, 2 }, { 3, 4 } };
    ssize_t nr = ww_get_ranges(c, addr, len, WW_GET_RESET, ranges, 2);

    ck_assert_msg(nr > 0 || (ranges[0].start == 1 && ranges[0].end == 2), "outputs were touched");
    return nr;
}

static long count(struct ww_context *c, char *addr, size_t len)
{
    return ww_count(c, addr, len);
}

static long reset(struct ww_context *c, char *addr, size_t len)
{
    return ww_reset(c, addr, len);
}

static long latch(struct ww_context *c, char *addr, size_t len)
{
    return ww_latch(c, addr, len);
}

static long discard(struct ww_context *c, char *addr, size_t len)
{
    return ww_discard(c, addr, len);
}

static long protect(struct ww_context *c, char *addr, size_t len)
{
    return ww_protect(c, addr, len, PROT_READ);
}

static const struct {
    const char *name;
    long (*call)(struct ww_context *c, char *addr, size_t len);
} range_calls[] = {
    { "ww_get_pages", get_pages }, { "ww_get_ranges", get_ranges }, { "ww_count", count },
    { "ww_reset", reset },         { "ww_latch", latch },           { "ww_discard", discard },
    { "ww_protect", protect },
};
#define NR_RANGE_CALLS (sizeof(range_calls) / sizeof(range_calls[0]))

/* The largest number of bytes, in whole pages, from @addr on that does not wrap around. */
static size_t all_above(const char *addr)
{
    return (SIZE_MAX - (uintptr_t)addr) & ~(page_size() - 1);
}

static void expect_refused(struct ww_context *c, char *addr, size_t len, long error)
{
    for (size_t i = 0; i < NR_RANGE_CALLS; i++) {
        long ret = range_calls[i].call(c, addr, len);

        ck_assert_msg(ret == error, "%s(%p, %zu) returns %ld (%s), must be %ld (%s)", range_calls[i].name,
                      (void *)addr, len, ret, strerror(-ret), error, strerror(-error));
    }
}

START_TEST(ranges_that_are_none)
{
    struct scene scene = make_scene();
    char *last = (char *)-scene.page;

    expect_refused(NULL, scene.low, scene.page, -EINVAL);
    expect_refused(ctx, scene.low, 0, -EINVAL);
    expect_refused(ctx, NULL, 0, -EINVAL);
    expect_refused(ctx, scene.low, SIZE_MAX, -EINVAL);
    expect_refused(ctx, NULL, SIZE_MAX, -EINVAL);
    expect_refused(ctx, scene.low, SIZE_MAX - scene.page, -EINVAL);
    expect_refused(ctx, scene.low, -(uintptr_t)scene.low, -EINVAL);
    expect_refused(ctx, scene.low, -(uintptr_t)scene.low + scene.page, -EINVAL);
    /* These wrap only when they are rounded out. */
    expect_refused(ctx, scene.low, -(uintptr_t)scene.low - 1, -EINVAL);
    expect_refused(ctx, last, scene.page, -EINVAL);
    expect_refused(ctx, last, 2 * scene.page, -EINVAL);
    expect_refused(ctx, (char *)UINTPTR_MAX, 1, -EINVAL);
    check_scene(&scene);
}
END_TEST

START_TEST(ranges_not_within_one_region)
{
    struct scene scene = make_scene();
    size_t page = scene.page;

    expect_refused(ctx, NULL, page, -ENOENT);
    expect_refused(ctx, scene.base, page, -ENOENT);
    expect_refused(ctx, scene.low - 1, 2, -ENOENT);
    expect_refused(ctx, scene.low - page, 2 * page, -ENOENT);
    expect_refused(ctx, scene.low, 4 * page + 1, -ENOENT);
    expect_refused(ctx, scene.low, 8 * page, -ENOENT);
    expect_refused(ctx, scene.high - 1, 2, -ENOENT);
    expect_refused(ctx, scene.high + 3 * page, page + 1, -ENOENT);
    expect_refused(ctx, scene.high, 6 * page, -ENOENT);
    expect_refused(ctx, scene.high + 4 * page, page, -ENOENT);
    expect_refused(ctx, scene.low, all_above(scene.low), -ENOENT);
    expect_refused(ctx, (char *)-(4 * page), page, -ENOENT);
    check_scene(&scene);
}
END_TEST

START_TEST(arguments_of_get)
{
    struct scene scene = make_scene();
    struct ww_range range = { 1, 2 };
    void *entry = &scene;

    for (unsigned int bit = 1; bit < 32; bit++) {
        ck_assert_int_eq(ww_get_pages(ctx, scene.low, scene.page, 1u << bit, &entry, 1), -EINVAL);
        ck_assert_int_eq(ww_get_pages(ctx, scene.low, scene.page, 1u << bit | 1, &entry, 1), -EINVAL);
        ck_assert_int_eq(ww_get_ranges(ctx, scene.low, scene.page, 1u << bit, &range, 1), -EINVAL);
    }
    ck_assert_int_eq(ww_get_pages(ctx, scene.low, scene.page, WW_GET_RESET, NULL, 1), -EINVAL);
    ck_assert_int_eq(ww_get_pages(ctx, scene.low, scene.page, WW_GET_RESET, &entry, 0), -EINVAL);
    ck_assert_int_eq(ww_get_ranges(ctx, scene.low, scene.page, WW_GET_RESET, NULL, 1), -EINVAL);
    ck_assert_int_eq(ww_get_ranges(ctx, scene.low, scene.page, WW_GET_RESET, &range, 0), -EINVAL);
    ck_assert_ptr_eq(entry, &scene);
    ck_assert(range.start == 1 && range.end == 2);
    check_scene(&scene);
}
END_TEST

START_TEST(arguments_of_watch)
{
    struct scene scene = make_scene();
    size_t page = scene.page;
    char *spare = map_pages(4);
    struct ww_range range;

    ck_assert_int_eq(ww_watch(NULL, spare, page, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, spare, 0, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, spare + 1, page, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, spare + page / 2, page, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, spare, page + 1, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, spare, page - 1, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, spare, -(size_t)page, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, spare, -(uintptr_t)spare, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, (void *)-page, page, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, (void *)-page, 2 * page, 0), -EINVAL);
    for (unsigned int bit = 3; bit < 32; bit++) {
        ck_assert_int_eq(ww_watch(ctx, spare, page, 1u << bit), -EINVAL);
        ck_assert_int_eq(ww_watch(ctx, spare, page, 1u << bit | WW_WATCH_FRESH), -EINVAL);
    }
    ck_assert_int_eq(ww_find(ctx, spare, &range), -ENOENT);
    check_scene(&scene);
}
END_TEST

START_TEST(watching_what_is_watched)
{
    struct scene scene = make_scene();
    size_t page = scene.page;

    ck_assert_int_eq(ww_watch(ctx, scene.low, 4 * page, 0), -EEXIST);
    ck_assert_int_eq(ww_watch(ctx, scene.low + page, page, 0), -EEXIST);
    ck_assert_int_eq(ww_watch(ctx, scene.low - page, 2 * page, 0), -EEXIST);
    ck_assert_int_eq(ww_watch(ctx, scene.high + 3 * page, 2 * page, WW_WATCH_FRESH), -EEXIST);
    ck_assert_int_eq(ww_watch(ctx, scene.low + page, 5 * page, 0), -EEXIST);
    ck_assert_int_eq(ww_watch(ctx, scene.base, 12 * page, 0), -EEXIST);
    check_scene(&scene);
    /* Ranges that end or begin at the regions' edges are free. */
    ck_assert_int_eq(ww_watch(ctx, scene.base, 2 * page, 0), 0);
    ck_assert_int_eq(ww_watch(ctx, scene.high + 4 * page, 2 * page, 0), 0);
    expect_map(ctx, scene.low, ".#.#");
    expect_map(ctx, scene.base, "..");
}
END_TEST

START_TEST(watching_what_is_not_mapped)
{
    static const struct {
        size_t from, to;
    } holes[] = { { 0, 1 }, { 3, 5 }, { 7, 8 }, { 0, 8 } };
    size_t page = page_size();

    for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
        for (unsigned int flags = 0; flags <= WW_WATCH_FRESH; flags++) {
            size_t from = holes[i].from, nr = holes[i].to - holes[i].from;
            char *base = map_pages(8);
            struct ww_range range = { 1, 2 };

            munmap(base + from * page, nr * page);
            ck_assert_int_eq(ww_watch(ctx, base, 8 * page, flags), -ENOMEM);
            for (size_t at = 0; at < 8; at++) {
                ck_assert_int_eq(ww_find(ctx, base + at * page, &range), -ENOENT);
            }
            ck_assert(range.start == 1 && range.end == 2);
            /* The refusal left nothing behind: with the hole filled, the watch works. */
            remap_pages(base + from * page, nr);
            write_map(base, "#.#.#.#.");
            ck_assert_int_eq(ww_watch(ctx, base, 8 * page, 0), 0);
            write_map(base, "##......");
            expect_map(ctx, base, "##......");
            ck_assert_int_eq(ww_unwatch(ctx, base, 8 * page), 0);
            munmap(base, 8 * page);
        }
    }
    ck_assert_int_eq(ww_watch(ctx, NULL, page, 0), -ENOMEM);
}
END_TEST

/* Huge lengths that do not wrap: more than is mapped, and more than can be mapped. */
START_TEST(watching_more_than_there_is)
{
    struct scene scene = make_scene();
    char *base = map_pages(8);
    int err = ww_watch(ctx, base, all_above(base), 0);

    ck_assert_msg(err == -ENOMEM || err == -EINVAL || err == -EEXIST, "returns %d", err);
    err = ww_watch(ctx, (void *)-(4 * scene.page), 2 * scene.page, 0);
    ck_assert_msg(err == -ENOMEM || err == -EINVAL, "returns %d", err);
    check_scene(&scene);
    write_map(base, "########");
}
END_TEST

START_TEST(watching_what_may_never_be_written)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    size_t page = page_size();
    void *base = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
    struct ww_range range;
    int err;

    if (fd < 0) {
        printf("SKIP %s on %s: /proc/self/exe: %s\n", __func__, backend->name, strerror(errno));
        return;
    }
    ck_assert_ptr_ne(base, MAP_FAILED);
    err = ww_watch(ctx, base, page, 0);
    ck_assert_msg(err == -EPERM || err == -EINVAL || err == 0, "returns %d", err);
    ck_assert_int_eq(ww_find(ctx, base, &range), err ? -ENOENT : 0);
    if (!err) {
        ck_assert_int_eq(ww_unwatch(ctx, base, page), 0);
    }
    close(fd);
}
END_TEST

START_TEST(arguments_of_unwatch)
{
    struct scene scene = make_scene();
    size_t page = scene.page;
    char *spare = map_pages(2);

    ck_assert_int_eq(ww_unwatch(NULL, scene.low, page), -EINVAL);
    ck_assert_int_eq(ww_unwatch(ctx, scene.low, 0), -EINVAL);
    ck_assert_int_eq(ww_unwatch(ctx, scene.low + 1, page), -EINVAL);
    ck_assert_int_eq(ww_unwatch(ctx, scene.low, page - 1), -EINVAL);
    ck_assert_int_eq(ww_unwatch(ctx, scene.low, page + 1), -EINVAL);
    ck_assert_int_eq(ww_unwatch(ctx, scene.low, -(uintptr_t)scene.low), -EINVAL);
    ck_assert_int_eq(ww_unwatch(ctx, (void *)-page, page), -EINVAL);
    check_scene(&scene);
    /* ww_unwatch() accepts ranges that are not watched, whether they are mapped or not. */
    ck_assert_int_eq(ww_unwatch(ctx, spare, 2 * page), 0);
    munmap(spare, 2 * page);
    ck_assert_int_eq(ww_unwatch(ctx, spare, 2 * page), 0);
    ck_assert_int_eq(ww_unwatch(ctx, scene.base, 2 * page), 0);
    check_scene(&scene);
    ck_assert_int_eq(ww_unwatch(ctx, scene.base, all_above(scene.base)), 0);
    expect_refused(ctx, scene.low, page, -ENOENT);
    expect_refused(ctx, scene.high, page, -ENOENT);
}
END_TEST

START_TEST(arguments_of_find)
{
    struct scene scene = make_scene();
    struct ww_range range = { 1, 2 };

    ck_assert_int_eq(ww_find(NULL, scene.low, &range), -EINVAL);
    ck_assert_int_eq(ww_find(ctx, scene.low, NULL), -EINVAL);
    ck_assert_int_eq(ww_find(ctx, NULL, &range), -ENOENT);
    ck_assert_int_eq(ww_find(ctx, (void *)UINTPTR_MAX, &range), -ENOENT);
    ck_assert(range.start == 1 && range.end == 2);
    ck_assert_int_eq(ww_find(ctx, scene.high - 1, &range), 0);
    ck_assert_uint_eq(range.end, (uintptr_t)scene.high);
    check_scene(&scene);
}
END_TEST

/* ww_protect() returns the errors of mprotect(2), and then changes nothing. */
START_TEST(arguments_of_protect)
{
    struct scene scene = make_scene();

    for (unsigned int bit = 8; bit < 24; bit++) {
        int err = ww_protect(ctx, scene.low, scene.page, 1 << bit | PROT_READ | PROT_WRITE);

        ck_assert_msg(err == -EINVAL, "prot with bit %u: %d", bit, err);
    }
    check_scene(&scene);
    write_map(scene.low, "####");
    expect_map(ctx, scene.low, "####");
}
END_TEST

START_TEST(arguments_of_open)
{
    struct ww_context *other = ctx;

    ck_assert_int_eq(ww_open(NULL, NULL), -EINVAL);
    ck_assert_int_eq(ww_open(NULL, backend->name), -EINVAL);
    ck_assert_int_eq(ww_open(&other, "no such backend"), -EINVAL);
    setenv("WW_BACKEND", "no such backend", 1);
    ck_assert_int_eq(ww_open(&other, NULL), -EINVAL);
    ck_assert_ptr_eq(other, ctx);
    /* The argument takes precedence over WW_BACKEND. */
    ck_assert_int_eq(ww_open(&other, backend->name), 0);
    ww_close(other);
    setenv("WW_BACKEND", backend->name, 1);
    ck_assert_int_eq(ww_open(&other, NULL), 0);
    ck_assert_str_eq(ww_backend_name(other), backend->name);
    ww_close(other);
    unsetenv("WW_BACKEND");
    ck_assert_int_eq(ww_open(&other, NULL), 0);
    ck_assert_str_eq(ww_backend_name(other), backends[0].name);
    ww_close(other);
    ww_close(NULL);
}
END_TEST

START_TEST(arguments_of_probe)
{
    struct ww_probe probes[MAX_BACKENDS + 1];
    ssize_t nr = ww_probe(NULL, 0);
    bool seen = false;

    ck_assert_int_ge(nr, 1);
    ck_assert_int_eq(ww_probe(NULL, 1), -EINVAL);
    for (ssize_t capacity = 0; capacity <= nr + 1; capacity++) {
        memset(probes, 0x5a, sizeof(probes));
        ck_assert_int_eq(ww_probe(probes, capacity), nr);
        for (ssize_t i = 0; i <= nr; i++) {
            ck_assert_int_eq(probes[i].error == 0x5a5a5a5a, i >= capacity || i >= nr);
        }
    }
    for (ssize_t i = 0; i < nr; i++) {
        ck_assert_ptr_nonnull(probes[i].name);
        ck_assert_ptr_nonnull(probes[i].reason);
        ck_assert_int_le(probes[i].error, 0);
        ck_assert(probes[i].error || !probes[i].remedy);
        if (!strcmp(probes[i].name, backend->name)) {
            ck_assert_uint_eq(probes[i].caps, ww_backend_caps(ctx));
            seen = true;
        }
    }
    ck_assert(seen);
    ck_assert_str_eq(ww_backend_name(ctx), backend->name);
    ck_assert_ptr_nonnull(strchr(ww_version(), '.'));
}
END_TEST

void add_argument_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "arguments");

    tcase_add_test(tcase, ranges_that_are_none);
    tcase_add_test(tcase, ranges_not_within_one_region);
    tcase_add_test(tcase, arguments_of_get);
    tcase_add_test(tcase, arguments_of_watch);
    tcase_add_test(tcase, watching_what_is_watched);
    tcase_add_test(tcase, watching_what_is_not_mapped);
    tcase_add_test(tcase, watching_more_than_there_is);
    tcase_add_test(tcase, watching_what_may_never_be_written);
    tcase_add_test(tcase, arguments_of_unwatch);
    tcase_add_test(tcase, arguments_of_find);
    tcase_add_test(tcase, arguments_of_protect);
    tcase_add_test(tcase, arguments_of_open);
    tcase_add_test(tcase, arguments_of_probe);
}
