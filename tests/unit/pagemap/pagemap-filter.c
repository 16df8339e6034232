/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filter against a model: random masks and limits over memory that the test has made, so that it knows
 * the categories of every page. The model is the rule in the kernel's documentation, applied page by page.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/utsname.h>

#include "pagemap-test.h"
#include "kernel/uapi.h"

/*
 * The memory of these tests, a character per page:
 *   ' ' no mapping     '.' never touched    'w' written       'z' read, never written
 *   'a' written, then write-protected by a userfaultfd if there is one
 *   'f' of shared memory or a file          'c' of a file, mapped privately, written
 */
static const char world[] = "w.wwzz..aawwa.w." /* private */
                            "wwww....zzzzwwww" /* private, parts without permissions */
                            "        "
                            "ff..f.ff" /* a memfd, shared */
                            "fc..cfcf" /* the same, private */
                            "f.ffff.." /* shared anonymous */
                            " "
                            "aaaawwwwaaaa....wwwwzzzz"; /* private */
#define NR_PAGES (sizeof(world) - 1)
#define NR_ROUNDS 1500

static char *base;
static bool is_tracked; /* a userfaultfd with WP_ASYNC tracks all of the world */
static bool is_armed;   /* the pages 'a' are write-protected */
static bool holes_vary; /* the source is the ioctl: it may report pages that do not exist as written */

static void map_at(size_t from, size_t nr, int flags, int fd, off_t offset)
{
    size_t page = page_size();
    void *at = mmap(base + from * page, nr * page, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, offset);

    ck_assert_ptr_eq(at, base + from * page);
    madvise(at, nr * page, MADV_NOHUGEPAGE);
    madvise(at, nr * page, MADV_UNMERGEABLE);
    /* No page may be swapped out. RLIMIT_MEMLOCK may forbid the lock. */
    mlock2(at, nr * page, MLOCK_ONFAULT);
}

/* A file in which only the pages exist that the world has: a read of one maps no neighbour that it has
 * not. */
static int make_file(void)
{
    int fd = memfd_create("world", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 16 * page_size()), 0);
    for (size_t i = 0; i < 16; i++) {
        if (world[40 + i] != '.') {
            ck_assert_int_eq(pwrite(fd, "x", 1, i * page_size()), 1);
        }
    }
    return fd;
}

static void touch_pages(void)
{
    for (size_t i = 0; i < NR_PAGES; i++) {
        volatile char *at = base + i * page_size();

        if (strchr("wac", world[i])) {
            *at = 1;
        } else if (world[i] == 'z') {
            (void)*at;
        } else if (world[i] == 'f') {
            /* A shared anonymous page is made by a write; a page of the file is mapped by a read. */
            if (i >= 56) {
                *at = 1;
            } else {
                (void)*at;
            }
        }
    }
}

/* Registers the world with a userfaultfd and write-protects the pages 'a', if this kernel can. */
static void arm_pages(void)
{
    int uffd = open_async_uffd();

    is_tracked = uffd >= 0;
    is_armed = is_tracked;
    if (!is_tracked) {
        printf("SKIP tracked pages: no userfaultfd with WP_ASYNC here\n");
        return;
    }
    register_pages(uffd, base, 32);
    register_pages(uffd, base + 40 * page_size(), 24);
    register_pages(uffd, base + 65 * page_size(), NR_PAGES - 65);
    for (size_t i = 0; i < NR_PAGES; i++) {
        struct uffdio_writeprotect protect = {
            .range = { .start = (uintptr_t)base + i * page_size(), .len = page_size() },
            .mode = UFFDIO_WRITEPROTECT_MODE_WP,
        };

        if (world[i] == 'a') {
            ck_assert_int_eq(ioctl(uffd, UFFDIO_WRITEPROTECT, &protect), 0);
        }
    }
}

static void make_world(void)
{
    size_t page = page_size();
    int fd = make_file();

    base = map_pages(NR_PAGES);
    map_at(0, 32, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    map_at(40, 8, MAP_SHARED, fd, 0);
    map_at(48, 8, MAP_PRIVATE, fd, 8 * page);
    map_at(56, 8, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    map_at(65, NR_PAGES - 65, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_int_eq(munmap(base + 32 * page, 8 * page), 0);
    ck_assert_int_eq(munmap(base + 64 * page, page), 0);
    close(fd);
    touch_pages();
    arm_pages();
    ck_assert_int_eq(mprotect(base + 17 * page, 2 * page, PROT_NONE), 0);
    ck_assert_int_eq(mprotect(base + 24 * page, 3 * page, PROT_READ), 0);
}

/* Whether untracked memory has written pages: only before Linux 7.3. */
static bool written_everywhere(void)
{
    struct utsname name;
    unsigned int major = 0, minor = 0;

    ck_assert_int_eq(uname(&name), 0);
    sscanf(name.release, "%u.%u", &major, &minor);
    return major < 7 || (major == 7 && minor < 3);
}

/* The categories of the page, from how it was made. */
static uint64_t true_categories(size_t page)
{
    uint64_t written = is_tracked || written_everywhere() ? WW_PAGE_IS_WRITTEN : 0;
    uint64_t tracked = is_tracked ? WW_PAGE_IS_WPALLOWED : 0;

    switch (world[page]) {
    case 'w':
    case 'c':
        return tracked | written | WW_PAGE_IS_PRESENT;
    case 'a':
        return tracked | (is_armed ? 0 : written) | WW_PAGE_IS_PRESENT;
    case 'z':
        return tracked | written | WW_PAGE_IS_PRESENT | (reads_map_zero_page() ? WW_PAGE_IS_PFNZERO : 0);
    case 'f':
        return tracked | written | WW_PAGE_IS_PRESENT | WW_PAGE_IS_FILE;
    default:
        return tracked;
    }
}

/* The rule of the kernel's documentation. */
static bool page_matches(const struct ww_pagemap_scan *scan, size_t page, uint64_t categories)
{
    uint64_t turned = categories ^ scan->category_inverted;

    if (world[page] == ' ' || (turned & scan->category_mask) != scan->category_mask) {
        return false;
    }
    return !scan->category_anyof_mask || (turned & scan->category_anyof_mask);
}

/* From '@' on, so that no letter is '.' or '?'. */
static char category_letter(uint64_t categories)
{
    return '@' + (char)categories;
}

static char expected_letter(const struct ww_pagemap_scan *scan, size_t page, uint64_t categories)
{
    return page_matches(scan, page, categories) ? category_letter(categories & scan->return_mask) : '.';
}

/*
 * A letter for each page: its returned categories, or '.' where it does not match. Kernels differ in whether
 * the ioctl reports a page that does not exist as written: '?' where that changes the letter. Returns how
 * many match.
 */
static size_t model_scan(const struct ww_pagemap_scan *scan, char *ret_map)
{
    size_t nr = 0;

    for (size_t i = 0; i < NR_PAGES; i++) {
        uint64_t categories = true_categories(i);
        char letter = expected_letter(scan, i, categories);

        if (holes_vary && world[i] == '.' &&
            letter != expected_letter(scan, i, categories | WW_PAGE_IS_WRITTEN)) {
            letter = '?';
        }
        ret_map[i] = letter;
        nr += letter != '.' && letter != '?';
    }
    return nr;
}

/* Checks what holds for every answer, whatever the memory is. */
static void check_regions(const struct ww_pagemap_scan *scan, ssize_t nr, size_t vec_len)
{
    uint64_t pages = 0;

    ck_assert_int_ge(nr, 0);
    ck_assert_int_le(nr, vec_len);
    for (ssize_t i = 0; i < nr; i++) {
        ck_assert_uint_lt(found[i].start, found[i].end);
        ck_assert_uint_ge(found[i].start, i ? found[i - 1].end : scan->start);
        ck_assert_uint_le(found[i].end, scan->walk_end);
        ck_assert_uint_eq(found[i].categories & ~scan->return_mask, 0);
        ck_assert_msg(!i || found[i].start > found[i - 1].end ||
                          found[i].categories != found[i - 1].categories,
                      "two regions that could be one");
        pages += (found[i].end - found[i].start) / page_size();
    }
    ck_assert(!scan->max_pages || pages <= scan->max_pages);
    /* A scan ends early only if the vector is full or max_pages is reached. */
    ck_assert(scan->walk_end >= scan->end || nr == (ssize_t)vec_len || pages == scan->max_pages);
}

/* Scans the world in as many calls as the limits require. */
static void scan_world(struct ww_pagemap *pagemap, const struct ww_pagemap_scan *wanted, size_t vec_len,
                       char *ret_map)
{
    struct ww_pagemap_scan scan = *wanted;
    size_t page = page_size();

    memset(ret_map, '.', NR_PAGES);
    do {
        ssize_t nr = ww_pagemap_scan(pagemap, &scan, found, vec_len);

        check_regions(&scan, nr, vec_len);
        for (ssize_t i = 0; i < nr; i++) {
            memset(ret_map + (found[i].start - (uintptr_t)base) / page, category_letter(found[i].categories),
                   (found[i].end - found[i].start) / page);
        }
        ck_assert_uint_gt(scan.walk_end, scan.start);
        scan.start = scan.walk_end;
    } while (scan.walk_end < scan.end);
}

/* A mask with few bits more often than one with many, so that something matches. */
static uint64_t random_mask(uint64_t *random, uint64_t known)
{
    uint64_t mask = next_random(random) & known;

    for (size_t i = random_below(random, 4); i; i--) {
        mask &= next_random(random);
    }
    return mask;
}

START_TEST(test_random_filters)
{
    struct ww_pagemap *pagemap = OPEN();
    uint64_t random = 1, known = ww_pagemap_categories(pagemap) &
                                 (WW_PAGE_IS_WPALLOWED | WW_PAGE_IS_WRITTEN | WW_PAGE_IS_FILE |
                                  WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED | WW_PAGE_IS_PFNZERO);
    char got[NR_PAGES], want[NR_PAGES], what[160];
    size_t matched = 0;

    holes_vary = ww_pagemap_flags(pagemap);
    make_world();
    for (size_t i = 0; i < NR_ROUNDS; i++) {
        struct ww_pagemap_scan scan = {
            .start = (uintptr_t)base,
            .end = (uintptr_t)base + NR_PAGES * page_size(),
            .category_inverted = random_mask(&random, known),
            .category_mask = random_mask(&random, known),
            .category_anyof_mask = random_mask(&random, known),
            .return_mask = next_random(&random) & known,
            .max_pages = random_below(&random, 2) ? 0 : 1 + random_below(&random, 40),
        };
        size_t vec_len = random_below(&random, 2) ? 64 : 1 + random_below(&random, 8);

        snprintf(what, sizeof(what),
                 "round %zu: inverted %#lx mask %#lx any %#lx return %#lx max %lu len %zu", i,
                 (long)scan.category_inverted, (long)scan.category_mask, (long)scan.category_anyof_mask,
                 (long)scan.return_mask, (long)scan.max_pages, vec_len);
        scan_world(pagemap, &scan, vec_len, got);
        matched += model_scan(&scan, want) > 0;
        compare_maps(what, true, got, want, NR_PAGES);
    }
    ck_assert_uint_gt(matched, NR_ROUNDS / 10);
    ww_pagemap_close(pagemap);
}
END_TEST

/* Scans the world for each category alone. */
START_TEST(test_categories)
{
    struct ww_pagemap *pagemap = OPEN();
    char want[NR_PAGES + 1] = "";

    make_world();
    for (uint64_t bit = 1; bit <= WW_PAGE_IS_PFNZERO; bit <<= 1) {
        if (!knows(pagemap, bit)) {
            continue;
        }
        for (size_t i = 0; i < NR_PAGES; i++) {
            want[i] =
                world[i] != ' ' && (true_categories(i) & bit) && (true_categories(i) & WW_PAGE_IS_PRESENT)
                    ? '#'
                    : '.';
        }
        expect_pages(pagemap, base, bit, 0, want);
    }
    ww_pagemap_close(pagemap);
}
END_TEST

/* Scans many parts of the world. */
START_TEST(test_parts)
{
    struct ww_pagemap *pagemap = OPEN();
    char got[NR_PAGES], want[NR_PAGES];
    size_t page = page_size();

    make_world();
    for (size_t from = 0; from < NR_PAGES; from += 3) {
        for (size_t to = from + 1; to <= NR_PAGES; to += 5) {
            struct ww_pagemap_scan scan = {
                .start = (uintptr_t)base + from * page,
                .end = (uintptr_t)base + to * page,
                .return_mask = WW_PAGE_IS_PRESENT | WW_PAGE_IS_FILE,
            };

            scan_world(pagemap, &scan, 64, got);
            model_scan(&scan, want);
            memset(want, '.', from);
            memset(want + to, '.', NR_PAGES - to);
            compare_maps("part", true, got, want, NR_PAGES);
        }
    }
    ww_pagemap_close(pagemap);
}
END_TEST

void add_filter_cases(Suite *suite)
{
    TCase *tcase = tcase_create("filter");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_categories, 0, nr_sources);
    tcase_add_loop_test(tcase, test_parts, 0, nr_sources);
    tcase_add_loop_test(tcase, test_random_filters, 0, nr_sources);
    suite_add_tcase(suite, tcase);
}
