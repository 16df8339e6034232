/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vm.max_map_count, which watches and the program share: what calls return when the kernel makes no more
 * mappings, and that regions never take the last ones. Each test uses the mappings up in its own process.
 */
#include "env.h"

#include <fcntl.h>
#include <sys/mman.h>

/* More would take too long. */
#define MAX_LIMIT 300000

static long read_limit(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    long limit = 0;

    if (file) {
        if (fscanf(file, "%ld", &limit) != 1) {
            limit = 0;
        }
        fclose(file);
    }
    return limit;
}

#define NEEDS_LIMIT(limit)                                                                                   \
    do {                                                                                                     \
        if ((limit) <= 0 || (limit) > MAX_LIMIT) {                                                           \
            SKIP_TEST("vm.max_map_count is not known here, or very large");                                  \
        }                                                                                                    \
    } while (0)

/* Memory that fill_mappings() cuts into mappings, enough to go beyond the limit. */
struct filler {
    char *base;
    size_t nr; /* pages, every other of which has another protection */
};

static struct filler new_filler(long limit)
{
    struct filler filler = { .nr = 2 * limit };

    filler.base =
        mmap(NULL, filler.nr * page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(filler.base, MAP_FAILED);
    return filler;
}

/* Cuts out up to @most pages, which cost two mappings each; returns how many it could. Asserts nothing,
 * because an assertion may need memory. */
static size_t fill_mappings(const struct filler *filler, size_t most)
{
    size_t nr = 0;

    while (nr < most && nr < filler->nr / 2 &&
           !mprotect(filler->base + 2 * nr * page_size(), page_size(), PROT_READ)) {
        nr++;
    }
    return nr;
}

static void end_filler(const struct filler *filler)
{
    munmap(filler->base, filler->nr * page_size());
}

/* ---- no mapping is left ---- */

/* A watch that has to cut a mapping fails and leaves nothing watched. */
START_TEST(a_watch_that_would_cut_a_mapping_says_no_memory)
{
    long limit = read_limit();
    char *base = map_pages(64);
    struct filler filler;
    int err;

    NOT_UNDER_ASAN("its allocator needs mappings");
    NEEDS_LIMIT(limit);
    filler = new_filler(limit);
    fill_mappings(&filler, SIZE_MAX);
    err = ww_watch(ctx, base + 4 * page_size(), 4 * page_size(),
                   _i ? WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS : 0);
    end_filler(&filler);
    ck_assert_msg(err == -ENOMEM || (!err && !has_cap(WW_CAP_EXACT)), "ww_watch: %d (%s)", err,
                  strerror(-err));
    if (err) {
        ck_assert_int_eq(ww_find(ctx, base + 4 * page_size(), &(struct ww_range){ 0 }), -ENOENT);
        ck_assert_int_eq(ww_watch(ctx, base, 64 * page_size(), 0), 0);
        expect_works(base);
    }
}
END_TEST

/* Either the part becomes ordinary memory, or ww_unwatch() fails, all stays watched, and no write is lost. */
START_TEST(a_part_is_unwatched_or_all_stays_watched)
{
    size_t page = page_size();
    long limit = read_limit();
    char *base = watch_pages(64), *part = base + 30 * page;
    struct ww_range range = { 0 };
    struct ww_context *other;
    struct filler filler;
    void *pages[64];
    int err, fd;

    NOT_UNDER_ASAN("its allocator needs mappings");
    NEEDS_LIMIT(limit);
    write_page(base, 31, 1);
    filler = new_filler(limit);
    fill_mappings(&filler, SIZE_MAX);
    err = ww_unwatch(ctx, part, 4 * page);
    end_filler(&filler);
    if (err) {
        ck_assert_int_eq(err, -ENOMEM);
        ck_assert_int_eq(ww_find(ctx, part, &range), 0);
        ck_assert_uint_eq(range.start, (uintptr_t)base);
        ck_assert_uint_eq(range.end, (uintptr_t)base + 64 * page);
        ck_assert_int_ge(ww_count(ctx, base + 31 * page, page), 1);
        ck_assert_int_ge(ww_get_pages(ctx, base, 64 * page, WW_GET_RESET, pages, 64), 1);
        write_page(base, 32, 1);
        write_page(base, 3, 1);
        ck_assert_int_eq(ww_count(ctx, base + 32 * page, page), 1);
        ck_assert_int_eq(ww_count(ctx, base + 3 * page, page), 1);
        ck_assert_int_eq(ww_unwatch(ctx, part, 4 * page), 0);
    }
    ck_assert_int_eq(ww_find(ctx, part, &range), -ENOENT);
    /* Whatever backend tracked the part, the kernel can write to it, and another context can watch it. */
    fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(read(fd, part, 4 * page), 4 * page);
    close(fd);
    ck_assert_int_eq(ww_open(&other, backend->name), 0);
    ck_assert_int_eq(ww_watch(other, part, 4 * page, 0), 0);
    ww_close(other);
}
END_TEST

static int give_threes(void *arg, uintptr_t addr, void *page, size_t len)
{
    (void)arg;
    (void)addr;
    memset(page, 3, len);
    return 0;
}

/* The range begins in one mapping and ends in another, and the kernel can cut only one of them. */
START_TEST(demand_paging_that_cannot_begin_changes_nothing)
{
    size_t page = page_size();
    long limit = read_limit();
    char *base = map_pages(64), *other = watch_pages(1);
    struct filler filler;
    ssize_t nr;
    int err, fd;

    NOT_UNDER_ASAN("its allocator needs mappings");
    NEEDS_LIMIT(limit);
    NEEDS(WW_CAP_FILL_ON_DEMAND);
    ck_assert_int_eq(mprotect(base + 32 * page, 32 * page, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    ck_assert_int_eq(ww_watch(ctx, base, 64 * page, WW_WATCH_FRESH), 0);
    /* Starts the threads, while there are mappings. */
    ck_assert_int_eq(ww_fill_on_demand(ctx, other, page, give_threes, NULL), 0);
    filler = new_filler(limit);
    fill_mappings(&filler, SIZE_MAX);
    if (_i) {
        munmap(filler.base, _i * page);
    }
    err = ww_fill_on_demand(ctx, base + 16 * page, 32 * page, give_threes, NULL);
    end_filler(&filler);
    alarm(20);
    for (size_t i = 16; i < 48; i++) {
        ck_assert_int_eq(read_page(base, i), err ? 0 : 3);
    }
    alarm(0);
    ck_assert_int_eq(read_page(other, 0), 3);
    fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    nr = read(fd, base + 2 * page, 14 * page);
    close(fd);
    ck_assert_int_eq(nr, 14 * page);
    ck_assert_msg(!err || err == -ENOMEM, "%d (%s)", err, strerror(-err));
}
END_TEST

/* ---- as many regions as possible ---- */

/* The program takes most of the mappings, the regions the rest, but for those that the library leaves free.
 */
START_TEST(regions_leave_mappings_for_the_program)
{
    size_t page = page_size(), nr = 0, nr_left;
    long limit = read_limit();
    struct filler filler, more;
    char *base;
    int err = 0;

    NOT_UNDER_ASAN("its allocator needs mappings");
    NEEDS_LIMIT(limit);
    NEEDS(WW_CAP_FREE_ARMING);
    filler = new_filler(limit);
    more = new_filler(limit);
    base = map_pages(2 * limit);
    fill_mappings(&filler, limit * 3 / 8);
    while (nr < (size_t)limit && !err) {
        err = ww_watch(ctx, base + 2 * nr * page, page, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS);
        nr += !err;
    }
    nr_left = fill_mappings(&more, SIZE_MAX);
    if (!err && !has_cap(WW_CAP_EXACT)) {
        SKIP_TEST("its watches cost no mapping");
    }
    ck_assert_msg(err == -ENOMEM, "ww_watch: %d (%s)", err, strerror(-err));
    end_filler(&more);
    /* The library leaves about a sixteenth of all mappings free. */
    ck_assert_msg(2 * nr_left >= (size_t)limit / 17 && 2 * nr_left <= (size_t)limit / 15,
                  "%zu mappings are left, with %zu regions", 2 * nr_left, nr);
    ck_assert_uint_gt(nr, limit / 16);
    /* There is room again when the program gives some back (_i 1), or regions end with their memory. */
    if (_i) {
        end_filler(&filler);
    } else {
        ck_assert_int_eq(ww_unwatch(ctx, base, nr * page), 0);
        munmap(base, nr * page);
    }
    ck_assert_int_eq(ww_watch(ctx, base + 2 * nr * page, page, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS),
                     0);
    write_page(base, 2 * nr, 1);
    ck_assert_int_eq(ww_count(ctx, base + 2 * nr * page, page), 1);
}
END_TEST

/* A program that has nearly all mappings itself can still watch. */
START_TEST(a_program_with_many_mappings_can_watch)
{
    long limit = read_limit();
    struct filler filler;
    char *base;
    int err = 0;

    NOT_UNDER_ASAN("its allocator needs mappings");
    NEEDS_LIMIT(limit);
    NEEDS(WW_CAP_FREE_ARMING);
    filler = new_filler(limit);
    base = map_pages(64);
    fill_mappings(&filler, limit / 2 - limit / 64);
    for (int i = 0; i < 1100 && !err; i++) {
        err = ww_watch(ctx, base, 64 * page_size(), WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS);
        if (!err && i < 1099) {
            err = ww_unwatch(ctx, base, 64 * page_size());
        }
    }
    end_filler(&filler);
    ck_assert_msg(!err, "%d (%s)", err, strerror(-err));
    expect_works(base);
}
END_TEST

void add_mapping_limit_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "mappings");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_watch_that_would_cut_a_mapping_says_no_memory, 0, 2);
    tcase_add_test(tcase, a_part_is_unwatched_or_all_stays_watched);
    tcase_add_loop_test(tcase, demand_paging_that_cannot_begin_changes_nothing, 0, 4);
    tcase_add_loop_test(tcase, regions_leave_mappings_for_the_program, 0, 2);
    tcase_add_test(tcase, a_program_with_many_mappings_can_watch);
}
