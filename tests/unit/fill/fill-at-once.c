/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ww_fill(): what it installs, what it leaves alone, and what counts as written after it.
 */
#include "fill.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define SEED 11

static ssize_t fill(char *base, size_t first, const char *image, size_t nr)
{
    size_t page = page_size();

    return ww_fill(ctx, base + first * page, image + first * page, nr * page);
}

#define EXPECT_FILL(base, first, image, nr)                                                                  \
    ck_assert_int_eq(fill(base, first, image, nr), (ssize_t)((nr)*page_size()))

START_TEST(wrong_arguments_change_nothing)
{
    size_t page = page_size();
    char *image = map_image(SEED, 8), *base = watch_pages(8);
    bool can = has_cap(WW_CAP_FILL);

    ck_assert_int_eq(ww_unwatch(ctx, base + 4 * page, page), 0);
    ck_assert_int_eq(ww_fill(NULL, base, image, page), -EINVAL);
    ck_assert_int_eq(ww_fill(ctx, base + 1, image, page), -EINVAL);
    ck_assert_int_eq(ww_fill(ctx, base, image, page - 1), -EINVAL);
    ck_assert_int_eq(ww_fill(ctx, base, image, 0), -EINVAL);
    ck_assert_int_eq(ww_fill(ctx, base, NULL, page), -EINVAL);
    ck_assert_int_eq(ww_fill(ctx, base, image, -page), -EINVAL);
    ck_assert_int_eq(ww_fill(ctx, base + 4 * page, image, page), -ENOENT);
    ck_assert_int_eq(ww_fill(ctx, base + 3 * page, image, 2 * page), -ENOENT);
    ck_assert_int_eq(ww_fill(ctx, base, image, 8 * page), -ENOENT);
    for (size_t i = 0; i < 8; i++) {
        ck_assert(has_zeros(base, i));
    }
    ck_assert_int_eq(ww_fill(ctx, base + 5 * page, image + 1, page), can ? -EEXIST : -EOPNOTSUPP);
}
END_TEST

static int refuse_content(void *arg, uintptr_t addr, void *page, size_t len)
{
    (void)arg;
    (void)addr;
    (void)page;
    (void)len;
    return -EIO;
}

START_TEST(without_the_capability_it_is_refused)
{
    char *image = map_image(SEED, 1), *base = watch_pages(1);

    if (!has_cap(WW_CAP_FILL)) {
        ck_assert_int_eq(ww_fill(ctx, base, image, page_size()), -EOPNOTSUPP);
    }
    if (!has_cap(WW_CAP_FILL_ON_DEMAND)) {
        ck_assert_int_eq(ww_fill_on_demand(ctx, base, page_size(), refuse_content, NULL), -EOPNOTSUPP);
    }
    if (!has_cap(WW_CAP_FILL) || !has_cap(WW_CAP_FILL_ON_DEMAND)) {
        ck_assert(has_zeros(base, 0));
    }
}
END_TEST

START_TEST(filled_pages_are_clean_until_written)
{
    char *image = map_image(SEED, 12), *base = watch_pages(12);

    EXPECT_FILL(base, 2, image, 8);
    expect_map(ctx, base, "............");
    expect_image(base, SEED, 2, 8);
    expect_map(ctx, base, "............");
    write_map(base, ".#.#.....#.#");
    expect_map(ctx, base, ".#.#.....#.#");
    expect_image(base, SEED, 4, 5);
    reset_pages(base, 12);
    expect_image(base, SEED, 4, 5);
    write_map(base, "...##.......");
    expect_map(ctx, base, "...##.......");
}
END_TEST

START_TEST(a_page_that_exists_ends_it_and_stays)
{
    char *image = map_image(SEED, 12), *base = watch_pages(12);

    write_page(base, 5, 77);
    ck_assert_int_eq(read_page(base, 9), 0);
    ck_assert_int_eq(fill(base, 0, image, 12), 5 * page_size());
    ck_assert_int_eq(fill(base, 5, image, 7), -EEXIST);
    ck_assert_int_eq(fill(base, 0, image, 1), -EEXIST);
    EXPECT_FILL(base, 6, image, 3);
    ck_assert_int_eq(fill(base, 9, image, 1), -EEXIST);
    ck_assert_int_eq(fill(base, 10, image, 2), 2 * page_size());
    ck_assert_int_eq(read_page(base, 5), 77);
    ck_assert(has_zeros(base, 9));
    expect_image(base, SEED, 0, 5);
    expect_image(base, SEED, 6, 3);
    expect_image(base, SEED, 10, 2);
    expect_map(ctx, base, ".....#......");
}
END_TEST

START_TEST(the_source_need_not_be_aligned)
{
    char *image = map_image(SEED, 3), *base = watch_pages(2);

    ck_assert_int_eq(ww_fill(ctx, base, image + 3, 2 * page_size()), 2 * page_size());
    ck_assert(!memcmp(base, image + 3, 2 * page_size()));
    expect_map(ctx, base, "..");
}
END_TEST

START_TEST(an_unreadable_source_is_an_error_and_no_signal)
{
    size_t page = page_size();
    char *image = map_image(SEED, 60), *base = watch_pages(60);

    munmap(image + 40 * page, page);
    ck_assert_int_eq(ww_fill(ctx, base, (void *)page, page), -EFAULT);
    ck_assert_int_eq(ww_fill(ctx, base, image + 40 * page, 4 * page), -EFAULT);
    ck_assert_int_eq(fill(base, 0, image, 60), 40 * page);
    expect_image(base, SEED, 0, 40);
    ck_assert_int_eq(ww_count(ctx, base, 60 * page), 0);
}
END_TEST

START_TEST(watched_memory_may_be_the_source)
{
    char *image = map_image(SEED, 8), *base = watch_pages(16);

    EXPECT_FILL(base, 0, image, 8);
    ck_assert_int_eq(ww_fill(ctx, base + 8 * page_size(), base, 8 * page_size()), 8 * page_size());
    ck_assert(!memcmp(base + 8 * page_size(), image, 8 * page_size()));
    expect_map(ctx, base, "................");
}
END_TEST

START_TEST(latched_pages_stay_reported)
{
    char *image = map_image(SEED, 6), *base = watch_pages(6);
    size_t page = page_size();

    write_map(base, ".##...");
    ck_assert_int_eq(ww_latch(ctx, base, 6 * page), 0);
    ck_assert_int_eq(madvise(base, 6 * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base, 6 * page), 0);
    EXPECT_FILL(base, 0, image, 6);
    expect_map(ctx, base, ".##...");
    expect_image(base, SEED, 0, 6);
    reset_pages(base, 6);
    write_map(base, "..#..#");
    expect_map(ctx, base, "..#..#");
}
END_TEST

START_TEST(dropped_pages_can_be_filled_again)
{
    char *image = map_image(SEED, 6), *other = map_image(SEED + 1, 6), *base = watch_pages(6);
    size_t page = page_size();

    EXPECT_FILL(base, 0, image, 6);
    write_map(base, "##....");
    reset_pages(base, 6);
    write_map(base, ".##...");
    ck_assert_int_eq(madvise(base, 4 * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base, 4 * page), 0);
    expect_map(ctx, base, "......");
    ck_assert_int_eq(fill(base, 0, other, 6), 4 * page);
    expect_image(base, SEED + 1, 0, 4);
    expect_image(base, SEED, 4, 2);
    expect_map(ctx, base, "......");
    remap_pages(base, 6);
    ck_assert_int_eq(ww_discard(ctx, base, 6 * page), 0);
    EXPECT_FILL(base, 0, image, 6);
    expect_image(base, SEED, 0, 6);
    write_map(base, "....#.");
    expect_map(ctx, base, "....#.");
}
END_TEST

START_TEST(pages_dropped_without_a_word_can_be_filled)
{
    char *image = map_image(SEED, 6), *base = watch_pages(6);

    write_map(base, ".##...");
    ck_assert_int_eq(madvise(base, 6 * page_size(), MADV_DONTNEED), 0);
    EXPECT_FILL(base, 0, image, 6);
    expect_image(base, SEED, 0, 6);
    expect_map(ctx, base, ".??...");
    write_map(base, ".#.#..");
    expect_map(ctx, base, ".#?#..");
    reset_pages(base, 6);
    write_map(base, "..#...");
    expect_map(ctx, base, "..#...");
}
END_TEST

START_TEST(zeros_written_over_zeros_count)
{
    char *zeros = map_pages(4), *base = watch_pages(4);

    EXPECT_FILL(base, 0, zeros, 4);
    ck_assert(has_zeros(base, 0));
    expect_map(ctx, base, "....");
    write_page(base, 1, 0);
    expect_map(ctx, base, ".#..");
    reset_pages(base, 4);
    write_page(base, 1, 0);
    write_page(base, 2, 0);
    expect_map(ctx, base, ".##.");
}
END_TEST

START_TEST(protections_do_not_matter)
{
    char *image = map_image(SEED, 6), *base = watch_pages(6);
    size_t page = page_size();

    ck_assert_int_eq(ww_protect(ctx, base, 2 * page, PROT_NONE), 0);
    ck_assert_int_eq(ww_protect(ctx, base + 2 * page, 2 * page, PROT_READ), 0);
    EXPECT_FILL(base, 0, image, 6);
    ck_assert_int_eq(ww_protect(ctx, base, 6 * page, PROT_READ | PROT_WRITE), 0);
    expect_image(base, SEED, 0, 6);
    expect_map(ctx, base, "......");
    write_map(base, "#.#.#.");
    expect_map(ctx, base, "#.#.#.");
}
END_TEST

START_TEST(parts_of_a_cut_region_can_be_filled)
{
    char *image = map_image(SEED, 9), *base = watch_pages(9);
    size_t page = page_size();

    ck_assert_int_eq(ww_unwatch(ctx, base + 3 * page, 3 * page), 0);
    EXPECT_FILL(base, 0, image, 3);
    EXPECT_FILL(base, 6, image, 3);
    ck_assert_int_eq(fill(base, 3, image, 1), -ENOENT);
    write_map(base, ".#.....#.");
    expect_map(ctx, base, ".#.");
    expect_map(ctx, base + 6 * page, ".#.");
}
END_TEST

/* In an area for huge pages, a fill of one page installs that page only. */
START_TEST(a_fill_makes_no_huge_page)
{
    size_t page = page_size(), huge = (size_t)2 << 20, nr = huge / page;
    char *image = map_image(SEED, nr), *area = map_pages(2 * nr);
    char *base = (char *)(((uintptr_t)area + huge - 1) & ~(huge - 1));

    madvise(base, huge, MADV_HUGEPAGE);
    ck_assert_int_eq(ww_watch(ctx, base, huge, WW_WATCH_FRESH), 0);
    EXPECT_FILL(base, 5, image, 1);
    EXPECT_FILL(base, 6, image, nr - 6);
    EXPECT_FILL(base, 0, image, 5);
    ck_assert_int_eq(ww_count(ctx, base, huge), 0);
    write_page(base, nr / 2, 1);
    ck_assert_int_eq(ww_count(ctx, base, huge), 1);
}
END_TEST

START_TEST(much_at_once)
{
    enum { NR = 20000 };
    char *image = map_image(SEED, NR), *base = watch_pages(NR), *map = malloc(NR + 1);
    uint64_t random = 5;

    EXPECT_FILL(base, 0, image, NR);
    ck_assert_int_eq(ww_count(ctx, base, NR * page_size()), 0);
    ck_assert(!memcmp(base, image, NR * page_size()));
    memset(map, '.', NR);
    for (size_t i = 0; i < NR / 3; i++) {
        size_t page = random_below(&random, NR);

        map[page] = '#';
        write_page(base, page, 1);
    }
    expect_map_len(ctx, base, map, NR);
    free(map);
}
END_TEST

/* Memory that is not private and anonymous is filled, or it is refused and stays as it is. */
START_TEST(shared_memory_and_files)
{
    static const char *const what[] = { "shared", "memfd, shared", "memfd, private", "file" };
    char name[] = "/var/tmp/writewatch-fill-XXXXXX", *base, *image = map_image(SEED, 6);
    size_t page = page_size();
    ssize_t nr;
    int fd = -1;

    NEEDS(WW_CAP_SHARED);
    if (_i == 3) {
        NEEDS(WW_CAP_FILES);
    }
    if (_i) {
        fd = _i < 3 ? memfd_create("fill", MFD_CLOEXEC) : mkstemp(name);
        if (fd < 0) {
            printf("SKIP %s: no %s\n", __func__, _i < 3 ? "memfd" : name);
            return;
        }
        ck_assert_int_eq(ftruncate(fd, 6 * page), 0);
        unlink(name);
    }
    base = mmap(NULL, 6 * page, PROT_READ | PROT_WRITE,
                (_i < 2 ? MAP_SHARED : MAP_PRIVATE) | (_i ? 0 : MAP_ANONYMOUS), fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_int_eq(ww_watch(ctx, base, 6 * page, WW_WATCH_FRESH), 0);
    nr = fill(base, 1, image, 3);
    ck_assert_msg(nr == (ssize_t)(3 * page) || nr == -EINVAL, "%s: %zd", what[_i], nr);
    expect_map(ctx, base, "......");
    ck_assert(nr < 0 ? has_zeros(base, 1) && has_zeros(base, 3) : has_image(base, SEED, 1));
    write_map(base, "..#.#.");
    expect_map(ctx, base, "..#.#.");
    if (fd >= 0) {
        close(fd);
    }
}
END_TEST

/* ---- more than one thread ---- */

#define NR_RACE 9600

struct filler {
    pthread_t thread;
    char *base, *image;
    size_t nr_filled;
};

static void *fill_everything(void *arg)
{
    struct filler *filler = arg;
    size_t page = page_size(), at = 0;

    while (at < NR_RACE) {
        ssize_t nr = fill(filler->base, at, filler->image, NR_RACE - at);

        ck_assert_msg(nr > 0 || nr == -EEXIST, "%zd", nr);
        filler->nr_filled += nr > 0 ? nr / page : 0;
        at += nr > 0 ? nr / page : 1;
    }
    return NULL;
}

START_TEST(two_threads_that_fill_share_the_pages)
{
    char *base = watch_pages(NR_RACE);
    struct filler fillers[2] = { { .base = base }, { .base = base } };
    size_t nr_of[2] = { 0, 0 };

    for (size_t i = 0; i < 2; i++) {
        fillers[i].image = map_image(SEED + i, NR_RACE);
    }
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&fillers[i].thread, NULL, fill_everything, &fillers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(fillers[i].thread, NULL);
    }
    for (size_t page = 0; page < NR_RACE; page++) {
        bool first = has_image(base, SEED, page), second = has_image(base, SEED + 1, page);

        ck_assert_msg(first != second, "page %zu is neither's", page);
        nr_of[second]++;
    }
    ck_assert_int_eq(nr_of[0], fillers[0].nr_filled);
    ck_assert_int_eq(nr_of[1], fillers[1].nr_filled);
    ck_assert_int_eq(ww_count(ctx, base, NR_RACE * page_size()), 0);
}
END_TEST

#define NR_STEP 16

static char written[NR_RACE];
static atomic_size_t front; /* the first page of the filler's current step; NR_RACE: the filler has ended */
static atomic_bool stop_harvester;

static void *fill_in_steps(void *arg)
{
    struct filler *filler = arg;

    for (size_t at = 0; at < NR_RACE; at += NR_STEP) {
        atomic_store(&front, at);
        for (size_t page = at; page < at + NR_STEP;) {
            ssize_t nr = fill(filler->base, page, filler->image, at + NR_STEP - page);

            ck_assert_msg(nr > 0 || nr == -EEXIST, "%zd", nr);
            page += nr > 0 ? nr / page_size() : 1;
        }
    }
    atomic_store(&front, NR_RACE);
    return NULL;
}

/* Writes pages of the filler's current step, each at most once. */
static void *write_at_front(void *arg)
{
    uint64_t random = 99;
    size_t at;

    while ((at = atomic_load(&front)) < NR_RACE) {
        size_t page = at + random_below(&random, NR_STEP);

        if (!written[page]) {
            *(volatile uint64_t *)((char *)arg + page * page_size()) = 4711;
            written[page] = 1;
        }
    }
    return NULL;
}

static char reported[NR_RACE];

static void harvest(char *base)
{
    void *pages[100];
    ssize_t nr;

    do {
        nr = ww_get_pages(ctx, base, NR_RACE * page_size(), WW_GET_RESET, pages, 100);
        ck_assert_int_ge(nr, 0);
        for (ssize_t i = 0; i < nr; i++) {
            reported[((char *)pages[i] - base) / page_size()] = 1;
        }
    } while (nr == 100);
}

static void *harvest_on(void *arg)
{
    while (!atomic_load(&stop_harvester)) {
        harvest(arg);
    }
    return NULL;
}

/* A fill must neither hide a write, nor invent one, nor overwrite what was written. With _i 1 the memory was
 * written before, and dropped without ww_discard(): more pages may be reported then, and no thread harvests
 * meanwhile. */
START_TEST(filling_among_writers_and_harvesters_is_exact)
{
    struct filler filler = { .base = watch_pages(NR_RACE), .image = map_image(SEED, NR_RACE) };
    pthread_t writer, harvester;

    if (_i) {
        memset(filler.base, 1, NR_RACE * page_size());
        ck_assert_int_eq(madvise(filler.base, NR_RACE * page_size(), MADV_DONTNEED), 0);
    }
    memset(written, 0, sizeof(written));
    memset(reported, 0, sizeof(reported));
    if (!_i) {
        ck_assert_int_eq(pthread_create(&harvester, NULL, harvest_on, filler.base), 0);
    }
    ck_assert_int_eq(pthread_create(&writer, NULL, write_at_front, filler.base), 0);
    ck_assert_int_eq(pthread_create(&filler.thread, NULL, fill_in_steps, &filler), 0);
    pthread_join(filler.thread, NULL);
    pthread_join(writer, NULL);
    if (!_i) {
        atomic_store(&stop_harvester, true);
        pthread_join(harvester, NULL);
    }
    harvest(filler.base);
    for (size_t page = 0; page < NR_RACE; page++) {
        uint64_t first = *(uint64_t *)(filler.base + page * page_size());

        ck_assert_msg(_i ? reported[page] >= written[page] : reported[page] == written[page],
                      "page %zu: written %d, reported %d", page, written[page], reported[page]);
        ck_assert_msg(first == (written[page] ? 4711 : image_word(SEED, page, 0)), "page %zu: %#lx", page,
                      (unsigned long)first);
    }
}
END_TEST

START_TEST(a_child_cannot_fill)
{
    char *image = map_image(SEED, 4), *base = watch_pages(4);
    int status;
    pid_t pid;

    EXPECT_FILL(base, 0, image, 2);
    pid = fork();
    if (!pid) {
        _exit(fill(base, 2, image, 2) == -ECHILD && has_image(base, SEED, 1) && has_zeros(base, 2) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    EXPECT_FILL(base, 2, image, 2);
    expect_map(ctx, base, "....");
}
END_TEST

/* These run on backends that cannot fill as well. */
void add_refusal_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "refusals");

    tcase_add_test(tcase, wrong_arguments_change_nothing);
    tcase_add_test(tcase, without_the_capability_it_is_refused);
}

void add_fill_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "fill");

    tcase_add_test(tcase, filled_pages_are_clean_until_written);
    tcase_add_test(tcase, a_page_that_exists_ends_it_and_stays);
    tcase_add_test(tcase, the_source_need_not_be_aligned);
    tcase_add_test(tcase, an_unreadable_source_is_an_error_and_no_signal);
    tcase_add_test(tcase, watched_memory_may_be_the_source);
    tcase_add_test(tcase, latched_pages_stay_reported);
    tcase_add_test(tcase, dropped_pages_can_be_filled_again);
    tcase_add_test(tcase, pages_dropped_without_a_word_can_be_filled);
    tcase_add_test(tcase, zeros_written_over_zeros_count);
    tcase_add_loop_test(tcase, shared_memory_and_files, 0, 4);
    tcase_add_test(tcase, protections_do_not_matter);
    tcase_add_test(tcase, parts_of_a_cut_region_can_be_filled);
    tcase_add_test(tcase, a_fill_makes_no_huge_page);
    tcase_add_test(tcase, much_at_once);
    tcase_add_test(tcase, two_threads_that_fill_share_the_pages);
    tcase_add_loop_test(tcase, filling_among_writers_and_harvesters_is_exact, 0, 2);
    tcase_add_test(tcase, a_child_cannot_fill);
}
