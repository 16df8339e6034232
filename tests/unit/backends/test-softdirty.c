/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What only the soft-dirty backend does; test-contract tests the contract. That no context chooses it by
 * itself; that clearing the bits for one region loses no write of another; that the backend is exact while
 * mappings stay as they are; and how many extra pages it reports where they change, compared with an exact
 * backend. Skipped if the kernel keeps no soft-dirty bits.
 *
 * Link with -Wl,--wrap=write: the wrapper counts how often the bits are cleared.
 */
#include <errno.h>
#include <fcntl.h>

#include "util.h"
#include "watch.h"

#define NAME "softdirty"

static struct ww_context *ctx;
static struct ww_probe exact; /* the best backend that is exact; name NULL if there is none */
static size_t nr_clearings;

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    nr_clearings += len == 1 && !memcmp(data, "4", 1);
    return __real_write(fd, data, len);
}

static void open_context(void)
{
    ck_assert_int_eq(ww_open(&ctx, NAME), 0);
}

static void close_context(void)
{
    ww_close(ctx);
}

/* New pages in the middle of inaccessible ones, so that the kernel merges their mapping with no other. */
static char *map_apart(size_t nr)
{
    size_t page = page_size();
    char *arena = mmap(NULL, (nr + 256) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(arena, MAP_FAILED);
    remap_pages(arena + 64 * page, nr);
    return arena + 64 * page;
}

/* ---- why it is never chosen ---- */

START_TEST(it_is_never_chosen_by_itself)
{
    struct ww_context *chosen;

    ck_assert_uint_eq(ww_backend_caps(ctx) & (WW_CAP_ATOMIC_RESET | WW_CAP_EXACT | WW_CAP_SHARED), 0);
    unsetenv("WW_BACKEND");
    ck_assert_int_eq(ww_open(&chosen, NULL), 0);
    ck_assert_str_ne(ww_backend_name(chosen), NAME);
    ck_assert_uint_ne(ww_backend_caps(chosen) & WW_CAP_ATOMIC_RESET, 0);
    ww_close(chosen);
}
END_TEST

/* ---- one clear, and the pages of all regions ---- */

#define NR_REGIONS 60
#define NR_PAGES 24

struct subject {
    struct ww_context *ctx;
    char *base;
    char map[NR_PAGES + 1];
};

static void harvest(struct subject *subject, unsigned int flags, size_t capacity)
{
    void *pages[NR_PAGES];
    ssize_t nr = ww_get_pages(subject->ctx, subject->base, NR_PAGES * page_size(), flags, pages, capacity);
    char copy[NR_PAGES + 1];

    memcpy(copy, subject->map, sizeof(copy));
    take_pages(subject->ctx, subject->base, copy, NR_PAGES, pages, nr, capacity);
    if (flags & WW_GET_RESET) {
        memcpy(subject->map, copy, sizeof(copy));
    }
}

/* A reset clears the bits of the whole process. It must not change the answers about other regions and
 * contexts. */
START_TEST(a_reset_loses_nothing_of_the_others)
{
    struct subject subjects[NR_REGIONS];
    struct ww_context *other;
    uint64_t random = _i + 1;

    ck_assert_int_eq(ww_open(&other, NAME), 0);
    for (size_t i = 0; i < NR_REGIONS; i++) {
        /* Some may be adjacent; some are the same memory, watched in both contexts. */
        subjects[i].ctx = i % 2 ? other : ctx;
        subjects[i].base = i % 6 == 1 ? subjects[i - 1].base : map_pages(NR_PAGES);
        memset(subjects[i].map, '.', NR_PAGES);
        subjects[i].map[NR_PAGES] = '\0';
        ck_assert_int_eq(ww_watch(subjects[i].ctx, subjects[i].base, NR_PAGES * page_size(), 0), 0);
    }
    for (int step = 0; step < 5000; step++) {
        struct subject *subject = &subjects[random_below(&random, NR_REGIONS)];
        size_t page = random_below(&random, NR_PAGES);

        write_page(subject->base, page, 1);
        for (size_t i = 0; i < NR_REGIONS; i++) {
            if (subjects[i].base == subject->base) {
                subjects[i].map[page] = '#';
            }
        }
        subject = &subjects[random_below(&random, NR_REGIONS)];
        if (step % 3 == 0) {
            harvest(subject, random_below(&random, 3) ? WW_GET_RESET : 0,
                    1 + random_below(&random, NR_PAGES));
        } else if (step % 50 == 1) {
            ck_assert_int_eq(ww_reset(subject->ctx, subject->base, NR_PAGES * page_size()), 0);
            memset(subject->map, '.', NR_PAGES);
        }
    }
    ww_close(ctx);
    ctx = NULL;
    for (size_t i = 1; i < NR_REGIONS; i += 2) {
        harvest(&subjects[i], WW_GET_RESET, NR_PAGES);
    }
    ww_close(other);
}
END_TEST

/* Many gets of one range clear the bits once, because a clear walks the whole process. */
START_TEST(a_long_answer_clears_once)
{
    size_t nr = 40960, page = page_size(), from = 0;
    char *base = map_apart(nr);
    void *pages[1000];
    ssize_t found;

    ck_assert_int_eq(ww_watch(ctx, base, nr * page, 0), 0);
    for (size_t i = 0; i < nr; i++) {
        write_page(base, i, 1);
    }
    nr_clearings = 0;
    do {
        found = ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, 1000);
        ck_assert_int_ge(found, 0);
        ck_assert(!found || pages[0] == base + from * page);
        from += found;
    } while (found == 1000);
    ck_assert_uint_eq(from, nr);
    ck_assert_uint_eq(nr_clearings, 1);
    ck_assert_int_eq(ww_count(ctx, base, nr * page), 0);
    ck_assert_int_eq(ww_reset(ctx, base, nr * page), 0);
    ck_assert_uint_eq(nr_clearings, 1);
}
END_TEST

START_TEST(looking_clears_nothing)
{
    struct ww_probe probes[MAX_BACKENDS];
    char *base = map_apart(8);

    ck_assert_int_eq(ww_watch(ctx, base, 8 * page_size(), WW_WATCH_FRESH), 0);
    nr_clearings = 0;
    write_map(base, "#.#.#...");
    expect_map(ctx, base, "#.#.#...");
    ck_assert_int_ge(ww_probe(probes, MAX_BACKENDS), 1);
    ck_assert_uint_eq(nr_clearings, 0);
}
END_TEST

/* ---- how exact it is ---- */

static void found_map(struct ww_context *c, const char *base, size_t nr, char *ret_map)
{
    void **pages = malloc(nr * sizeof(*pages));
    ssize_t found = ww_get_pages(c, base, nr * page_size(), 0, pages, nr);

    ck_assert_int_ge(found, 0);
    memset(ret_map, '.', nr);
    for (ssize_t i = 0; i < found; i++) {
        ret_map[((char *)pages[i] - base) / page_size()] = '#';
    }
    free(pages);
}

START_TEST(a_layout_that_stays_is_exact)
{
    enum { nr = 64 };
    char *base = map_apart(nr), map[nr], found[nr];
    uint64_t random = 9;

    ck_assert_int_eq(ww_watch(ctx, base, nr * page_size(), 0), 0);
    ck_assert_int_eq(ww_reset(ctx, base, nr * page_size()), 0);
    for (size_t i = 0; i < nr; i += 2) {
        write_page(base, i, 1);
    }
    for (int round = 0; round < 50; round++) {
        ck_assert_int_eq(ww_reset(ctx, base, nr * page_size()), 0);
        memset(map, '.', nr);
        for (int i = 0; i < round % 7; i++) {
            size_t page = random_below(&random, nr);

            write_page(base, page, 1);
            read_page(base, random_below(&random, nr / 2) * 2);
            map[page] = '#';
        }
        found_map(ctx, base, nr, found);
        compare_maps("a layout that stays", true, found, map, nr);
    }
}
END_TEST

#define NR_LAID 64

static void nothing_changes(char *base)
{
    (void)base;
}

/* The kernel does not merge the two, because only the watched mapping has MADV_NOHUGEPAGE. */
static void a_neighbour_is_mapped(char *base)
{
    remap_pages(base + NR_LAID * page_size(), 16);
}

/* Since Linux 6.7 a mapping with MAP_STACK has MADV_NOHUGEPAGE as well. */
static void a_stack_is_mapped(char *base)
{
    char *stack = base + NR_LAID * page_size();

    ck_assert_ptr_eq(mmap(stack, 16 * page_size(), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE | MAP_FIXED, -1, 0),
                     stack);
}

static void a_neighbour_becomes_alike(char *base)
{
    a_neighbour_is_mapped(base);
    madvise(base + NR_LAID * page_size(), 16 * page_size(), MADV_NOHUGEPAGE);
}

static void it_grows_in_place(char *base)
{
    size_t page = page_size();

    munmap(base + NR_LAID * page, 16 * page);
    ck_assert_ptr_eq(mremap(base, NR_LAID * page, (NR_LAID + 16) * page, 0), base);
}

static void clean_pages_are_moved_in(char *base)
{
    size_t page = page_size();
    char *from = map_apart(16);

    memset(from, 1, 16 * page);
    ck_assert_ptr_eq(mremap(from, 16 * page, 16 * page, MREMAP_MAYMOVE | MREMAP_FIXED, base + 8 * page),
                     base + 8 * page);
}

static void a_part_is_protected_and_back(char *base)
{
    size_t page = page_size();

    ck_assert_int_eq(mprotect(base + 8 * page, 16 * page, PROT_READ), 0);
    ck_assert_int_eq(mprotect(base + 8 * page, 16 * page, PROT_READ | PROT_WRITE), 0);
}

static const struct {
    const char *name;
    void (*change)(char *base);
} layouts[] = {
    { "nothing changes", nothing_changes },
    { "a new mapping touches it", a_neighbour_is_mapped },
    { "a new stack touches it", a_stack_is_mapped },
    { "a new mapping that touches it gets its advice", a_neighbour_becomes_alike },
    { "mremap makes it longer in place", it_grows_in_place },
    { "mremap moves 16 pages into it", clean_pages_are_moved_in },
    { "16 pages are protected and back", a_part_is_protected_and_back },
};
#define NR_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/* Runs a layout under a backend. Returns how many pages it reports that were not written. */
static size_t count_extra(const char *name, size_t layout)
{
    struct ww_context *c;
    char *base = map_apart(NR_LAID), found[NR_LAID];
    size_t extra = 0, page = page_size();

    ck_assert_int_eq(ww_open(&c, name), 0);
    memset(base, 1, NR_LAID * page);
    ck_assert_int_eq(ww_watch(c, base, NR_LAID * page, 0), 0);
    ck_assert_int_eq(ww_count(c, base, NR_LAID * page), 0);
    layouts[layout].change(base);
    for (size_t i = 0; i < NR_LAID; i += 9) {
        write_page(base, i, 2);
    }
    found_map(c, base, NR_LAID, found);
    for (size_t i = 0; i < NR_LAID; i++) {
        ck_assert_msg(i % 9 || found[i] == '#', "%s, %s: page %zu is missing", name, layouts[layout].name, i);
        extra += i % 9 && found[i] == '#';
    }
    ww_close(c);
    return extra;
}

START_TEST(extra_pages_are_counted)
{
    size_t extra = count_extra(NAME, _i);

    printf("extra pages of %d where %s: %zu", NR_LAID, layouts[_i].name, extra);
    if (exact.name) {
        size_t least = count_extra(exact.name, _i);

        printf(", under %s %zu", exact.name, least);
        ck_assert_uint_ge(extra, least);
    }
    printf("\n");
    ck_assert(extra == 0 || layouts[_i].change != nothing_changes);
}
END_TEST

/* ---- what it refuses ---- */

START_TEST(other_memory_is_refused)
{
    size_t page = page_size();
    char *shared = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *mixed = map_pages(8);
    struct ww_range range;

    ck_assert_ptr_ne(shared, MAP_FAILED);
    ck_assert_int_eq(ww_watch(ctx, shared, 4 * page, 0), -EINVAL);
    ck_assert_int_eq(ww_find(ctx, shared, &range), -ENOENT);
    ck_assert_ptr_eq(
        mmap(mixed + 4 * page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        mixed + 4 * page);
    ck_assert_int_eq(ww_watch(ctx, mixed, 8 * page, 0), -EINVAL);
    ck_assert_int_eq(ww_watch_internal(ctx, mixed, 4 * page, WW_WATCH_MARKERS), 0);
    write_map(mixed, ".#..");
    ck_assert_int_eq(ww_count(ctx, mixed + page, page), 1);
}
END_TEST

static Suite *softdirty_suite(void)
{
    Suite *suite = suite_create(NAME);
    TCase *tcase = tcase_create(NAME);

    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    tcase_add_test(tcase, it_is_never_chosen_by_itself);
    tcase_add_loop_test(tcase, a_reset_loses_nothing_of_the_others, 0, 3);
    tcase_add_test(tcase, a_long_answer_clears_once);
    tcase_add_test(tcase, looking_clears_nothing);
    tcase_add_test(tcase, a_layout_that_stays_is_exact);
    tcase_add_loop_test(tcase, extra_pages_are_counted, 0, NR_LAYOUTS);
    tcase_add_test(tcase, other_memory_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    struct ww_probe found[MAX_BACKENDS];
    size_t nr = find_backends(found, 0);
    bool usable = false;

    for (size_t i = 0; i < nr; i++) {
        usable |= !strcmp(found[i].name, NAME);
        if (!exact.name && found[i].caps & WW_CAP_EXACT && found[i].caps & WW_CAP_LOST_DETECTED) {
            exact = found[i];
        }
    }
    if (!usable) {
        return EXIT_SKIPPED;
    }
    return run_suite(softdirty_suite()) ? EXIT_FAILURE : EXIT_SUCCESS;
}
