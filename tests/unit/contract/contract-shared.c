/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract over every kind of mapping: private anonymous memory, armed lazily and with markers, shared
 * anonymous memory, memfds and files mapped shared and private, and hugetlb pages. Where another mapping can
 * have made a page, the first read of it through this one must not count as a write.
 */
#include <errno.h>
#include <fcntl.h>

#include "contract.h"
#include "watch.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* Linux 5.4 */
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif

#define NR_PAGES 64

enum kind {
    PRIVATE_LAZY,
    PRIVATE_MARKERS,
    SHARED_ANONYMOUS,
    MEMFD,
    FILE_SHARED,
    FILE_PRIVATE,
    MEMFD_PRIVATE,
    MIXED,
    NR_KINDS
};

static const char *const kind_names[NR_KINDS] = { "private anonymous, lazy",
                                                  "private anonymous, markers",
                                                  "shared anonymous",
                                                  "memfd",
                                                  "file, shared",
                                                  "file, private",
                                                  "memfd, private",
                                                  "anonymous beside a file" };

struct subject {
    char *base;
    unsigned int flags;
    int fd; /* -1: none */
};

/* A file of NR_PAGES pages, in the page cache, whose bytes are all 7. */
static int make_file(void)
{
    char path[] = "/tmp/ww-contract-XXXXXX", *page = malloc(page_size());
    int fd = mkstemp(path);

    if (fd >= 0) {
        unlink(path);
        memset(page, 7, page_size());
        for (int i = 0; i < NR_PAGES; i++) {
            ck_assert_int_eq(write(fd, page, page_size()), page_size());
        }
    }
    free(page);
    return fd;
}

static char *map_fd(int fd, int flags)
{
    char *base = mmap(NULL, NR_PAGES * page_size(), PROT_READ | PROT_WRITE, flags, fd, 0);

    ck_assert_ptr_ne(base, MAP_FAILED);
    return base;
}

/* Maps memory of a kind. False, and says why: it cannot be made here, or the backend cannot watch it. */
static bool make_subject(enum kind kind, struct subject *ret)
{
    *ret = (struct subject){ .fd = -1 };
    if (kind > PRIVATE_MARKERS && !has_cap(kind < FILE_SHARED ? WW_CAP_SHARED : WW_CAP_FILES)) {
        printf("SKIP watching %s on %s: it lacks %s\n", kind_names[kind], backend->name,
               kind < FILE_SHARED ? "WW_CAP_SHARED" : "WW_CAP_FILES");
        return false;
    }
    switch (kind) {
    case PRIVATE_LAZY:
        ret->flags = WW_WATCH_PRIVATE_ANONYMOUS;
        ret->base = map_pages(NR_PAGES);
        return true;
    case PRIVATE_MARKERS:
        ret->flags = WW_WATCH_MARKERS;
        ret->base = map_pages(NR_PAGES);
        return true;
    case SHARED_ANONYMOUS:
        ret->base = map_fd(-1, MAP_SHARED | MAP_ANONYMOUS);
        return true;
    case MEMFD:
    case MEMFD_PRIVATE:
        ret->fd = memfd_create("contract", MFD_CLOEXEC);
        ck_assert_int_ge(ret->fd, 0);
        ck_assert_int_eq(ftruncate(ret->fd, NR_PAGES * page_size()), 0);
        ret->base = map_fd(ret->fd, kind == MEMFD ? MAP_SHARED : MAP_PRIVATE);
        return true;
    default:
        ret->fd = make_file();
        if (ret->fd < 0) {
            printf("SKIP watching %s on %s: no file can be made\n", kind_names[kind], backend->name);
            return false;
        }
        ret->base = map_fd(ret->fd, kind == FILE_SHARED ? MAP_SHARED : MAP_PRIVATE);
        if (kind == MIXED) {
            remap_pages(ret->base, NR_PAGES / 2);
        }
        return true;
    }
}

static bool watch_subject(int kind, struct subject *ret)
{
    if (!make_subject(kind, ret)) {
        return false;
    }
    ck_assert_int_eq(ww_watch_internal(ctx, ret->base, NR_PAGES * page_size(), ret->flags), 0);
    return true;
}

static void drop_subject(struct subject *subject)
{
    ck_assert_int_eq(ww_unwatch(ctx, subject->base, NR_PAGES * page_size()), 0);
    munmap(subject->base, NR_PAGES * page_size());
    if (subject->fd >= 0) {
        close(subject->fd);
    }
}

START_TEST(reads_of_any_mapping_mark_nothing)
{
    struct subject subject;
    char map[NR_PAGES + 1];

    if (!watch_subject(_i, &subject)) {
        return;
    }
    memset(map, '.', NR_PAGES);
    map[NR_PAGES] = '\0';
    for (int i = 0; i < NR_PAGES; i += 3) {
        read_page(subject.base, i);
    }
    expect_map(ctx, subject.base, map);
    for (int i = 0; i < NR_PAGES; i += 5) {
        write_page(subject.base, i, 0);
        map[i] = '#';
    }
    expect_map(ctx, subject.base, map);
    drop_subject(&subject);
}
END_TEST

START_TEST(writes_to_any_mapping_count)
{
    struct subject subject;
    void *pages[NR_PAGES];

    if (!watch_subject(_i, &subject)) {
        return;
    }
    for (int round = 0; round < 4; round++) {
        char map[NR_PAGES + 1];

        for (int i = 0; i < NR_PAGES; i++) {
            map[i] = i % (round + 2) ? '.' : '#';
        }
        map[NR_PAGES] = '\0';
        write_map(subject.base, map);
        expect_map(ctx, subject.base, map);
        ck_assert_int_ge(
            ww_get_pages(ctx, subject.base, NR_PAGES * page_size(), WW_GET_RESET, pages, NR_PAGES),
            (NR_PAGES + round + 1) / (round + 2));
        memset(map, '.', NR_PAGES);
        expect_map(ctx, subject.base, map);
    }
    drop_subject(&subject);
}
END_TEST

/* Pages that another mapping made exist, but were not written through this one. */
START_TEST(pages_that_others_made_are_clean)
{
    struct subject subject;
    char *other;

    if (!watch_subject(MEMFD, &subject)) {
        return;
    }
    other = map_fd(subject.fd, MAP_SHARED);
    write_map(other, "########");
    read_page(subject.base, 1);
    expect_map(ctx, subject.base, "........");
    write_page(subject.base, 2, 1);
    read_page(subject.base, 2);
    expect_map(ctx, subject.base, "..#.....");
    /* MADV_DONTNEED drops the pages from this mapping; the file keeps them. */
    reset_pages(subject.base, 8);
    ck_assert_int_eq(madvise(subject.base, 8 * page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(read_page(subject.base, 2), 1);
    write_page(subject.base, 5, 1);
    expect_map(ctx, subject.base, ".....#..");
    munmap(other, NR_PAGES * page_size());
    drop_subject(&subject);
}
END_TEST

START_TEST(memory_that_was_there_starts_clean)
{
    struct subject subject;

    if (!make_subject(_i, &subject)) {
        return;
    }
    write_map(subject.base, "##..##..");
    read_page(subject.base, 3);
    ck_assert_int_eq(
        ww_watch_internal(ctx, subject.base, NR_PAGES * page_size(), subject.flags & ~WW_WATCH_FRESH), 0);
    expect_map(ctx, subject.base, "........");
    write_map(subject.base, "#.#.");
    expect_map(ctx, subject.base, "#.#.....");
    drop_subject(&subject);
}
END_TEST

/* Puts fresh memory of the same kind in place of the subject's. */
static void replace_subject(enum kind kind, const struct subject *subject)
{
    size_t len = NR_PAGES * page_size();
    struct subject fresh;

    ck_assert(make_subject(kind, &fresh));
    ck_assert_ptr_eq(mremap(fresh.base, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, subject->base),
                     subject->base);
    if (fresh.fd >= 0) {
        close(fresh.fd);
    }
}

/* Without mlockall(), a page that exists at a discard was written after the pages were dropped, by this
 * thread or by another one that did not wait for the call. */
START_TEST(what_is_written_before_a_discard_counts)
{
    struct subject subject;
    char *base;

    /* One mapping of each; mremap() moves no more at once. */
    if (_i / 2 == MIXED || !watch_subject(_i / 2, &subject)) {
        return;
    }
    base = subject.base;
    write_map(base, "#..#....");
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    if (_i % 2) {
        replace_subject(_i / 2, &subject);
    } else {
        ck_assert_int_eq(madvise(base, 8 * page_size(), MADV_DONTNEED), 0);
    }
    write_map(base, "..#.....");
    ck_assert_int_eq(ww_discard(ctx, base, _i % 2 ? NR_PAGES * page_size() : 8 * page_size()), 0);
    expect_map(ctx, base, "..#.....");
    write_map(base, "......#.");
    expect_map(ctx, base, "..#...#.");
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    write_map(base, ".##.....");
    expect_map(ctx, base, ".##.....");
    drop_subject(&subject);
}
END_TEST

START_TEST(latched_pages_of_any_mapping_stay)
{
    struct subject subject;

    if (!watch_subject(_i, &subject)) {
        return;
    }
    write_map(subject.base, "##......");
    ck_assert_int_eq(ww_latch(ctx, subject.base, page_size()), 0);
    ck_assert_int_eq(madvise(subject.base, 4 * page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, subject.base, 4 * page_size()), 0);
    expect_map(ctx, subject.base, "#.......");
    write_map(subject.base, "..#.....");
    expect_map(ctx, subject.base, "#.#.....");
    drop_subject(&subject);
}
END_TEST

START_TEST(a_region_of_any_mapping_can_be_cut)
{
    struct subject subject;

    if (!watch_subject(_i, &subject)) {
        return;
    }
    write_map(subject.base, "#.#.#.#.");
    ck_assert_int_eq(ww_unwatch(ctx, subject.base + 2 * page_size(), 2 * page_size()), 0);
    write_map(subject.base, "....##..");
    expect_map(ctx, subject.base, "#.");
    expect_map(ctx, subject.base + 4 * page_size(), "###.");
    drop_subject(&subject);
}
END_TEST

/* What the program maps over the watched memory, and where. */
static const struct {
    enum kind kind;
    size_t from, to;
} covers[] = {
    { PRIVATE_LAZY, 0, NR_PAGES },  { PRIVATE_LAZY, 16, 32 },
    { PRIVATE_LAZY, 16, NR_PAGES }, { SHARED_ANONYMOUS, 0, NR_PAGES },
    { SHARED_ANONYMOUS, 16, 32 },   { SHARED_ANONYMOUS, 16, NR_PAGES },
    { MEMFD, 0, NR_PAGES },         { MEMFD, 16, 32 },
    { MEMFD, 16, NR_PAGES },
};

#define NR_COVERS ((int)(sizeof(covers) / sizeof(covers[0])))

/* Maps other memory over the range. The pages of a memfd exist in the file already, but in no page table. */
static void cover(char *base, enum kind kind, size_t from, size_t to)
{
    size_t page = page_size(), len = (to - from) * page;
    int flags = MAP_FIXED | (kind == PRIVATE_LAZY ? MAP_PRIVATE : MAP_SHARED), fd = -1;
    char content[] = "content";

    if (kind == MEMFD) {
        fd = memfd_create("cover", MFD_CLOEXEC);
        ck_assert_int_eq(ftruncate(fd, len), 0);
        for (size_t i = 0; i < to - from; i++) {
            ck_assert_int_eq(pwrite(fd, content, sizeof(content), i * page), sizeof(content));
        }
    } else {
        flags |= MAP_ANONYMOUS;
    }
    ck_assert_ptr_eq(mmap(base + from * page, len, PROT_READ | PROT_WRITE, flags, fd, 0), base + from * page);
    if (fd >= 0) {
        close(fd);
    }
}

static bool is_written(const char *base, size_t page)
{
    return ww_count(ctx, base + page * page_size(), page_size()) == 1;
}

/* The program does not tell the library that it mapped other memory over watched memory. No write is lost,
 * and after the first reset of the whole range answers are exact again. */
START_TEST(what_is_mapped_over_any_mapping_is_noticed)
{
    size_t page = page_size(), from = covers[_i % NR_COVERS].from, to = covers[_i % NR_COVERS].to;
    struct subject subject;
    void *pages[NR_PAGES];

    NEEDS(WW_CAP_LOST_DETECTED);
    if (!watch_subject(_i / NR_COVERS % (MEMFD + 1), &subject)) {
        return;
    }
    for (size_t i = 0; i < NR_PAGES; i++) {
        write_page(subject.base, i, 1);
    }
    ck_assert_int_eq(ww_reset(ctx, subject.base, NR_PAGES * page), 0);
    cover(subject.base, covers[_i % NR_COVERS].kind, from, to);
    if (_i / NR_COVERS / (MEMFD + 1)) {
        ck_assert_int_ge(ww_get_pages(ctx, subject.base, NR_PAGES * page, WW_GET_RESET, pages, NR_PAGES), 0);
    }
    write_page(subject.base, 3, 1);
    write_page(subject.base, from, 1);
    write_page(subject.base, 20, 1);
    write_page(subject.base, to - 1, 0);
    ck_assert(is_written(subject.base, 3));
    ck_assert(is_written(subject.base, from));
    ck_assert(is_written(subject.base, 20));
    ck_assert(is_written(subject.base, to - 1));
    ck_assert_int_ge(ww_get_pages(ctx, subject.base, NR_PAGES * page, WW_GET_RESET, pages, NR_PAGES), 3);
    for (size_t i = 0; i < NR_PAGES; i += 5) {
        write_page(subject.base, i, 2);
    }
    for (size_t i = 0; i < NR_PAGES; i++) {
        bool written = is_written(subject.base, i);

        ck_assert_msg(written == (i % 5 == 0) || (written && !has_cap(WW_CAP_EXACT)), "page %zu: %d", i,
                      written);
    }
    drop_subject(&subject);
}
END_TEST

/* Pages of a file exist before the program touches them. */
START_TEST(a_file_that_is_mapped_over_counts_as_written)
{
    struct subject subject;

    NEEDS(WW_CAP_LOST_DETECTED);
    if (!watch_subject(_i, &subject)) {
        return;
    }
    cover(subject.base, MEMFD, 16, 32);
    for (size_t i = 16; i < 32; i++) {
        ck_assert_msg(is_written(subject.base, i), "page %zu", i);
    }
    drop_subject(&subject);
}
END_TEST

static bool is_present(const char *addr)
{
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(pread(fd, &entry, sizeof(entry), (uintptr_t)addr / page_size() * sizeof(entry)),
                     sizeof(entry));
    close(fd);
    return entry >> 63;
}

/* The kernel may take the page of a file out of the page table at any time. */
START_TEST(what_is_written_to_a_file_that_is_mapped_over_outlives_its_page)
{
    size_t page = page_size();
    char *base = map_pages(NR_PAGES), *over = base + 16 * page;
    void *pages[NR_PAGES];
    int fd;

    NEEDS(WW_CAP_LOST_DETECTED);
    ck_assert_int_eq(ww_watch(ctx, base, NR_PAGES * page, WW_WATCH_FRESH), 0);
    fd = make_file();
    ck_assert_ptr_eq(mmap(over, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), over);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_ge(ww_get_pages(ctx, base, NR_PAGES * page, WW_GET_RESET, pages, NR_PAGES), 0);
        write_page(over, 2, round);
        ck_assert_int_eq(msync(over, 4 * page, MS_SYNC), 0);
        madvise(over, 4 * page, MADV_PAGEOUT);
        if (is_present(over + 2 * page)) {
            printf("SKIP %s: MADV_PAGEOUT leaves the page of a file in the page table\n", backend->name);
        }
        ck_assert_msg(is_written(over, 2), "round %d", round);
    }
    close(fd);
}
END_TEST

START_TEST(arming_flags_exclude_each_other)
{
    char *base = map_pages(4);

    ck_assert_int_eq(
        ww_watch_internal(ctx, base, 4 * page_size(), WW_WATCH_PRIVATE_ANONYMOUS | WW_WATCH_MARKERS),
        -EINVAL);
    ck_assert_int_eq(ww_find(ctx, base, &(struct ww_range){ 0 }), -ENOENT);
    munmap(base, 4 * page_size());
}
END_TEST

START_TEST(programs_cannot_ask_for_markers)
{
    char *base = map_pages(4);

    for (unsigned int bit = 2; bit < 32; bit++) {
        ck_assert_int_eq(ww_watch(ctx, base, 4 * page_size(), WW_WATCH_FRESH | 1u << bit), -EINVAL);
    }
    ck_assert_int_eq(ww_find(ctx, base, &(struct ww_range){ 0 }), -ENOENT);
    munmap(base, 4 * page_size());
}
END_TEST

/* ---- hugetlb ---- */

#define NR_HUGE 4

/* NULL: no huge pages are free. */
static char *map_huge(size_t *ret_size)
{
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    struct {
        size_t size;
    } found = { 0 };
    char *base = MAP_FAILED, line[128];
    FILE *meminfo = fopen("/proc/meminfo", "re");

    while (meminfo && fgets(line, sizeof(line), meminfo)) {
        if (sscanf(line, "Hugepagesize: %zu kB", &found.size) == 1) {
            found.size *= 1024;
        }
    }
    if (meminfo) {
        fclose(meminfo);
    }
    if (fd >= 0 && found.size && !ftruncate(fd, NR_HUGE * found.size)) {
        base = mmap(NULL, NR_HUGE * found.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    *ret_size = found.size;
    return base == MAP_FAILED ? NULL : base;
}

static void expect_huge(const char *base, size_t size, const char *map)
{
    for (int i = 0; i < NR_HUGE; i++) {
        ck_assert_msg(ww_count(ctx, base + i * size, size) ==
                          (map[i] == '#' ? (ssize_t)(size / page_size()) : 0),
                      "huge page %d has %zd pages", i, ww_count(ctx, base + i * size, size));
    }
}

START_TEST(huge_pages_are_reported_whole)
{
    size_t size, page = page_size();
    char *base = map_huge(&size);
    void *pages[8];
    int err;

    if (!base) {
        printf("SKIP %s on %s: no hugetlb pages (vm.nr_hugepages)\n", __func__, backend->name);
        return;
    }
    ck_assert_int_eq(ww_watch(ctx, base, size + page, 0), -EINVAL);
    err = ww_watch(ctx, base, NR_HUGE * size, 0);
    ck_assert_int_eq(err, has_cap(WW_CAP_HUGETLB) ? 0 : -EINVAL);
    NEEDS(WW_CAP_HUGETLB);
    NEEDS(WW_CAP_EXACT);
    *(volatile char *)(base + size / 2) = 1;
    expect_huge(base, size, "#...");
    *(volatile char *)(base + 2 * size + 5) = 1;
    read_page(base + 3 * size, 0);
    expect_huge(base, size, "#.#.");
    /* The array holds less than a huge page: the rest of it stays reported. */
    ck_assert_int_eq(ww_get_pages(ctx, base, NR_HUGE * size, WW_GET_RESET, pages, 8), 8);
    ck_assert_ptr_eq(pages[7], base + 7 * page);
    ck_assert_int_eq(ww_count(ctx, base, NR_HUGE * size), 2 * size / page - 8);
    ck_assert_int_eq(ww_reset(ctx, base + 3 * page, size), 0);
    ck_assert_int_eq(ww_count(ctx, base, NR_HUGE * size), size / page);
    ck_assert_int_eq(ww_unwatch(ctx, base, size / 2), -EINVAL);
    *(volatile char *)(base + size / 2) = 1;
    ck_assert_int_eq(ww_unwatch(ctx, base + size, size), 0);
    ck_assert_int_eq(ww_count(ctx, base, size), size / page);
    ck_assert_int_eq(ww_unwatch(ctx, base, NR_HUGE * size), 0);
    munmap(base, NR_HUGE * size);
}
END_TEST

void add_shared_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "shared");

    tcase_add_loop_test(tcase, reads_of_any_mapping_mark_nothing, 0, NR_KINDS);
    tcase_add_loop_test(tcase, writes_to_any_mapping_count, 0, NR_KINDS);
    tcase_add_test(tcase, pages_that_others_made_are_clean);
    tcase_add_loop_test(tcase, memory_that_was_there_starts_clean, 0, NR_KINDS);
    tcase_add_loop_test(tcase, what_is_written_before_a_discard_counts, 0, 2 * NR_KINDS);
    tcase_add_loop_test(tcase, latched_pages_of_any_mapping_stay, 0, NR_KINDS);
    tcase_add_loop_test(tcase, a_region_of_any_mapping_can_be_cut, 0, NR_KINDS);
    tcase_add_loop_test(tcase, what_is_mapped_over_any_mapping_is_noticed, 0, 2 * (MEMFD + 1) * NR_COVERS);
    tcase_add_loop_test(tcase, a_file_that_is_mapped_over_counts_as_written, 0, NR_KINDS);
    tcase_add_test(tcase, what_is_written_to_a_file_that_is_mapped_over_outlives_its_page);
    tcase_add_test(tcase, arming_flags_exclude_each_other);
    tcase_add_test(tcase, programs_cannot_ask_for_markers);
    tcase_add_test(tcase, huge_pages_are_reported_whole);
}
