/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * writewatch-pagemap.h on this process, with masks, ranges, limits and flags of
 * any kind, by the ioctl where the kernel has it and by reads. The scanned memory is of
 * many kinds, and parts of it are watched, so that all categories occur.
 *
 * Results must ascend within the range, be no more than asked for, match the filter and
 * have no other categories than asked for. An error must be one that the header names,
 * and leave outputs unchanged. Where both sources can answer they must agree.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "writewatch-pagemap.h"
#include "writewatch.h"

#define NR_PAGES 96
#define MAX_REGIONS 128
#define KNOWN_CATEGORIES UINT64_C(0x1ff)
#define KNOWN_FLAGS UINT64_C(3)

static uint64_t page;
static char *area; /* nothing is mapped before and after it */
static struct ww_pagemap *handles[2];
static struct ww_context *ctx; /* NULL: nothing can be watched here */

/* ---- the memory ---- */

static void map_area(void)
{
    int fd = memfd_create("shared", MFD_CLOEXEC);

    area =
        mmap(APART, NR_PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    must(area != MAP_FAILED && fd >= 0 && !ftruncate(fd, 8 * page), "memory");
    /* With a huge page one write would make many pages present. */
    madvise(area, NR_PAGES * page, MADV_NOHUGEPAGE);
    must(mmap(area + 16 * page, 8 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) !=
             MAP_FAILED,
         "mmap");
    close(fd);
    munmap(area + 32 * page, 8 * page);
    must(!mprotect(area + 40 * page, 8 * page, PROT_NONE), "mprotect");
}

/* Writes, reads or drops a page, as the input says; leaves unmapped and PROT_NONE pages alone. */
static void touch(unsigned int at, unsigned int how)
{
    char *byte = area + at % NR_PAGES * page;

    if (at % NR_PAGES >= 32 && at % NR_PAGES < 48) {
        return;
    }
    if (how % 4 == 0) {
        madvise(byte, page, MADV_DONTNEED);
    } else if (how % 4 == 1) {
        (void)*(volatile char *)byte;
    } else {
        *(volatile char *)byte = 1;
    }
}

static void set_up(void)
{
    page = sysconf(_SC_PAGESIZE);
    map_area();
    if (!ww_open(&ctx, "uffd")) {
        must(!ww_watch(ctx, area + 64 * page, 16 * page, 0), "ww_watch");
        must(!ww_watch(ctx, area + 16 * page, 8 * page, 0), "ww_watch of shared memory");
    } else {
        ctx = NULL;
    }
    /* Where the ioctl does not work, both handles use reads. */
    setenv("WW_PAGEMAP", "read", 1);
    must(!ww_pagemap_open(&handles[1], 0), "reads");
    setenv("WW_PAGEMAP", "ioctl", 1);
    if (ww_pagemap_open(&handles[0], getpid())) {
        handles[0] = handles[1];
    }
    unsetenv("WW_PAGEMAP");
}

/* ---- what must hold ---- */

static bool matches(const struct ww_pagemap_scan *scan, uint64_t categories)
{
    uint64_t x = categories ^ scan->category_inverted;

    return (x & scan->category_mask) == scan->category_mask &&
           (!scan->category_anyof_mask || (x & scan->category_anyof_mask));
}

static bool is_documented(ssize_t error)
{
    return error == -EINVAL || error == -EOPNOTSUPP || error == -EPERM;
}

/* The error with which any kernel's scan must fail, or 0. */
static ssize_t expected_refusal(const struct ww_pagemap *handle, const struct ww_pagemap_scan *scan,
                                const struct ww_page_region *vec, size_t vec_len)
{
    uint64_t masks =
        scan->category_inverted | scan->category_mask | scan->category_anyof_mask | scan->return_mask;

    if (!vec || !vec_len || scan->start % page || scan->end < scan->start || (masks & ~KNOWN_CATEGORIES) ||
        (scan->flags & ~KNOWN_FLAGS) || vec_len > SIZE_MAX / 2 / sizeof(*vec)) {
        return -EINVAL;
    }
    return (masks & ~ww_pagemap_categories(handle)) || (scan->flags & ~ww_pagemap_flags(handle)) ? -EOPNOTSUPP
                                                                                                 : 0;
}

static void check_regions(const struct ww_pagemap_scan *asked, const struct ww_page_region *vec, ssize_t nr)
{
    uint64_t masks = asked->category_inverted | asked->category_mask | asked->category_anyof_mask;
    uint64_t last = asked->start, pages = 0,
             end = asked->end > UINT64_MAX - page ? UINT64_MAX : asked->end + page - 1;

    for (ssize_t i = 0; i < nr; i++) {
        must(vec[i].start >= last && vec[i].end > vec[i].start && vec[i].end <= end,
             "region %zd: %#llx-%#llx", i, (unsigned long long)vec[i].start, (unsigned long long)vec[i].end);
        must(vec[i].start % page == 0 && vec[i].end % page == 0, "region %zd is none of pages", i);
        must(!(vec[i].categories & ~asked->return_mask), "region %zd tells more", i);
        must((masks & ~asked->return_mask) || matches(asked, vec[i].categories), "region %zd does not match",
             i);
        must(!i || vec[i].start > vec[i - 1].end || vec[i].categories != vec[i - 1].categories,
             "region %zd is two", i);
        pages += (vec[i].end - vec[i].start) / page;
        last = vec[i].end;
    }
    must(!asked->max_pages || pages <= asked->max_pages, "%llu pages", (unsigned long long)pages);
    must(asked->walk_end >= last && (nr || asked->walk_end > asked->start || asked->start >= asked->end),
         "walk_end %#llx", (unsigned long long)asked->walk_end);
}

/* Makes one call, with the checks that hold for all. Returns the number of regions or the error. */
static ssize_t scan_once(struct ww_pagemap *handle, struct ww_pagemap_scan *scan, struct ww_page_region *vec,
                         size_t vec_len)
{
    static struct ww_page_region before[MAX_REGIONS + 1];
    struct ww_pagemap_scan asked = *scan;
    ssize_t refusal = expected_refusal(handle, scan, vec, vec_len), nr;

    memset(before, 0x5a, sizeof(before));
    if (vec) {
        memcpy(vec, before, sizeof(before));
    }
    nr = ww_pagemap_scan(handle, scan, vec, vec_len);
    must(!refusal || nr == refusal, "%zd instead of %zd", nr, refusal);
    if (nr < 0) {
        must(is_documented(nr), "%zd", nr);
        must(!vec || !memcmp(vec, before, sizeof(before)), "regions of a call that failed");
        must(!memcmp(scan, &asked, sizeof(asked)), "a request of a call that failed");
        must(nr != -EPERM || (asked.flags & WW_PM_SCAN_CHECK_WPASYNC), "EPERM for nothing");
        return nr;
    }
    must((size_t)nr <= vec_len && nr <= MAX_REGIONS, "%zd regions", nr);
    must(!memcmp(vec + nr, before, sizeof(before) - nr * sizeof(*vec)), "something behind region %zd", nr);
    asked.walk_end = scan->walk_end;
    must(!memcmp(scan, &asked, sizeof(asked)), "the request was changed");
    check_regions(&asked, vec, nr);
    return nr;
}

/* Both sources know PRESENT and SWAPPED, and earlier scans do not change them. */
static void compare_sources(const struct ww_pagemap_scan *scan, struct ww_page_region *vec)
{
    static struct ww_page_region other[MAX_REGIONS + 1];
    uint64_t common = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED;
    struct ww_pagemap_scan request = {
        .start = (uintptr_t)area,
        .end = (uintptr_t)area + NR_PAGES * page,
        .category_inverted = scan->category_inverted & common,
        .category_mask = scan->category_mask & common,
        .category_anyof_mask = scan->category_anyof_mask & common,
        .return_mask = scan->return_mask & common,
    };
    ssize_t nr = scan_once(handles[0], &request, vec, MAX_REGIONS);
    ssize_t nr_other = scan_once(handles[1], &request, other, MAX_REGIONS);

    must(nr >= 0 && nr == nr_other && !memcmp(vec, other, nr * sizeof(*vec)), "%zd regions by %s, %zd by %s",
         nr, ww_pagemap_source(handles[0]), nr_other, ww_pagemap_source(handles[1]));
}

/* ---- one input ---- */

/* A range mostly near the area. Scans by reads look at each page, so they never get all of the address space.
 */
static void take_range(struct input *input, bool by_reads, struct ww_pagemap_scan *scan)
{
    unsigned int kind = take(input, 1), from = take(input, 1), to = take(input, 1);

    scan->start = (uintptr_t)area + (from % (NR_PAGES + 8)) * page - 4 * page;
    scan->end = (uintptr_t)area + (to % (NR_PAGES + 8)) * page - 4 * page;
    if (kind & 1) {
        scan->end += take(input, 2) % page;
    }
    if ((kind & 0x1e) == 0x1e) {
        scan->start += take(input, 2) % page;
    }
    if ((kind & 0xe0) == 0xe0 && !by_reads) {
        scan->start = take(input, 8) & ~(page - 1);
    } else if ((kind & 0xe0) == 0xa0 && !by_reads) {
        scan->start = 0;
        scan->end = take(input, 8);
    } else if ((kind & 0xe0) == 0xc0) {
        scan->start = UINT64_MAX - take(input, 2) * page - page + 1;
        scan->end = kind & 2 ? UINT64_MAX : scan->start + take(input, 2);
    }
}

/* Mostly categories that exist. */
static uint64_t take_mask(struct input *input)
{
    unsigned int kind = take(input, 1);

    return kind == 255 ? take(input, 8) : kind < 64 ? 0 : take(input, 2) & (kind < 240 ? 0x7f : 0x1ff);
}

static void fuzz_scan(struct input *input)
{
    static struct ww_page_region vec[MAX_REGIONS + 1];
    unsigned int kind = take(input, 1);
    bool by_reads = (kind & 1) || handles[0] == handles[1];
    struct ww_pagemap_scan scan = { .walk_end = 0x5a5a };
    size_t vec_len = 1 + take_below(input, MAX_REGIONS);

    take_range(input, by_reads, &scan);
    scan.flags = kind & 2 ? 0 : take(input, 1) & (kind & 4 ? 3 : 0xff);
    scan.category_inverted = take_mask(input);
    scan.category_mask = take_mask(input);
    scan.category_anyof_mask = take_mask(input);
    scan.return_mask = take_mask(input);
    scan.max_pages = kind & 8 ? take(input, 1) : kind & 16 ? take(input, 8) : 0;
    if ((kind & 0xe0) == 0xe0) {
        vec_len = take(input, 1) & 1 ? 0 : SIZE_MAX - take(input, 1);
    }
    /* Goes on towards the end, in a few calls. */
    for (int i = 0; i < 4; i++) {
        ssize_t nr = scan_once(handles[by_reads], &scan, (kind & 0xf0) == 0xf0 ? NULL : vec, vec_len);

        if (nr < 0 || scan.walk_end >= scan.end) {
            break;
        }
        scan.start = scan.walk_end;
    }
    compare_sources(&scan, vec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .at = data, .left = size };

    if (!area) {
        set_up();
    }
    for (int nr = 0; input.left && nr < 50; nr++) {
        unsigned int operation = take(&input, 1);

        if (operation & 1) {
            fuzz_scan(&input);
        } else {
            touch(take(&input, 1), operation >> 1);
        }
    }
    for (unsigned int i = 0; i < NR_PAGES; i++) {
        touch(i, 0);
    }
    return 0;
}
