/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls of writewatch.h with arguments of any kind: addresses, lengths that
 * wrap around, flags, arrays, in any order, by the backend that tracks nothing
 * and by the best one.
 *
 * A call may fail only with an error that the header names for it, and must then leave
 * its outputs unchanged. Reported pages must ascend within the range, be watched and
 * fit into the array; pages of watched memory that were written must be reported.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "writewatch.h"

#define NR_PAGES 48
#define MAX_ANSWER (NR_PAGES + 8)

static size_t page;
static char *area; /* between mappings that cannot be touched */
static bool open_pages[NR_PAGES];
static struct ww_context *ctx;
static bool written[NR_PAGES]; /* in watched memory, must be reported */

/* ---- the errors that the header names ---- */

enum call { WATCH, UNWATCH, FIND, GET, RESET, DISCARD, PROTECT, FILL, DEMAND };

static const int errors[][12] = {
    [WATCH] = { EINVAL, EEXIST, EBUSY, ENOMEM, EPERM, EMFILE, ENFILE, ENOENT, EACCES, ECHILD },
    [UNWATCH] = { EINVAL, ENOMEM, EDEADLK, ECHILD },
    [FIND] = { ENOENT, EINVAL, ECHILD },
    [GET] = { EINVAL, ENOENT, ENOMEM, ECHILD },
    [RESET] = { EINVAL, ENOENT, ENOMEM, ECHILD },
    /* Also those of ww_watch(). */
    [DISCARD] = { EINVAL, EEXIST, EBUSY, ENOMEM, EPERM, EMFILE, ENFILE, ENOENT, EACCES, ECHILD },
    /* Also those of mprotect(2). */
    [PROTECT] = { EINVAL, ENOENT, ENOMEM, ECHILD, EACCES },
    [FILL] = { EEXIST, EOPNOTSUPP, EINVAL, ENOENT, EFAULT, ENOMEM, ECHILD },
    [DEMAND] = { EINVAL, ENOENT, EEXIST, EOPNOTSUPP, EAGAIN, ENOMEM, EBADF, EBUSY, ECHILD },
};

static void check_error(enum call call, ssize_t ret)
{
    bool found = ret >= 0;

    for (size_t i = 0; i < 12 && errors[call][i]; i++) {
        found |= ret == -errors[call][i];
    }
    must(found, "call %d: %zd", call, ret);
}

/* ---- arguments ---- */

static char *take_addr(struct input *input)
{
    unsigned int kind = take(input, 1), at = take(input, 1);

    switch (kind % 16) {
    case 0:
        return NULL;
    case 1:
        return (char *)((uintptr_t)take(input, 8) + (kind < 128 ? UINTPTR_MAX / 2 : 0));
    case 2:
        return (char *)(UINTPTR_MAX - at * page - page + 1);
    case 3:
        return area + at % (NR_PAGES + 8) * page - 4 * page + take(input, 2) % page;
    default:
        return area + at % NR_PAGES * page;
    }
}

static size_t take_len(struct input *input)
{
    unsigned int kind = take(input, 1), nr = take(input, 1);

    switch (kind % 16) {
    case 0:
        return 0;
    case 1:
        return take(input, 8);
    case 2:
        return SIZE_MAX - nr * page - (kind & 16 ? page - 1 : 0);
    case 3:
        return take(input, 2);
    default:
        return (nr % NR_PAGES + 1) * page;
    }
}

static unsigned int take_flags(struct input *input)
{
    unsigned int kind = take(input, 1);

    return kind == 255 ? take(input, 4) : kind % 8;
}

/* The pages of the area of which a range has at least a byte. */
static void pages_of(const char *addr, size_t len, size_t *ret_from, size_t *ret_to)
{
    uintptr_t start = (uintptr_t)addr, end = start + len, low = (uintptr_t)area, high = low + NR_PAGES * page;

    start = start < low ? low : start > high ? high : start;
    end = end < (uintptr_t)addr || end > high ? high : end < start ? start : end;
    *ret_from = (start - low) / page;
    *ret_to = (end - low + page - 1) / page;
}

static void forget(const char *addr, size_t len)
{
    size_t from, to;

    pages_of(addr, len, &from, &to);
    memset(written + from, 0, to - from);
}

static void write_pages(size_t at, size_t nr)
{
    struct ww_range range;

    for (size_t i = at; i < at + nr && i < NR_PAGES; i++) {
        if (open_pages[i]) {
            *(volatile char *)(area + i * page + i * 17 % page) = 1;
            written[i] |= !ww_find(ctx, area + i * page, &range);
        }
    }
}

/* ---- answers ---- */

/* Checks a reported page: it must follow the last one and lie within the range. */
static void take_page(const char *addr, size_t len, uintptr_t at, uintptr_t *last)
{
    must(at % page == 0 && at >= *last, "%#zx behind %#zx", (size_t)at, (size_t)*last);
    must(at + page > (uintptr_t)addr && at < (uintptr_t)addr + len, "%#zx is outside", (size_t)at);
    *last = at + page;
}

/* All written pages before @end must have been reported. */
static void check_complete(const char *addr, uintptr_t end, const bool *reported)
{
    size_t from, to;

    if (end <= (uintptr_t)addr) {
        return;
    }
    pages_of(addr, end - (uintptr_t)addr, &from, &to);
    for (size_t i = from; i < to; i++) {
        must(!written[i] || reported[i], "page %zu of the area was written", i);
    }
}

static void after_get(const char *addr, size_t len, bool reset, bool full, uintptr_t last,
                      const bool *reported)
{
    check_complete(addr, full ? last : (uintptr_t)addr + len, reported);
    for (size_t i = 0; i < NR_PAGES && reset; i++) {
        written[i] &= !reported[i];
    }
}

static void mark_reported(uintptr_t start, uintptr_t end, bool *reported)
{
    for (; start < end; start += page) {
        if (start - (uintptr_t)area < NR_PAGES * page) {
            reported[(start - (uintptr_t)area) / page] = true;
        }
    }
}

static void get_pages(struct input *input)
{
    void *pages[MAX_ANSWER], *before[MAX_ANSWER];
    const char *addr = take_addr(input);
    size_t len = take_len(input), capacity = take(input, 1) % MAX_ANSWER;
    unsigned int flags = take_flags(input);
    bool reported[NR_PAGES] = { false }, null = take(input, 1) == 255;
    uintptr_t last = 0;
    ssize_t nr;

    memset(before, 0x5a, sizeof(before));
    memcpy(pages, before, sizeof(pages));
    nr = ww_get_pages(ctx, addr, len, flags, null ? NULL : pages, capacity);
    check_error(GET, nr);
    must(nr < 0 || ((size_t)nr <= capacity && !null && !(flags & ~1u)), "%zd of %zu", nr, capacity);
    for (ssize_t i = 0; i < nr; i++) {
        take_page(addr, len, (uintptr_t)pages[i], &last);
        mark_reported((uintptr_t)pages[i], (uintptr_t)pages[i] + page, reported);
    }
    nr = nr < 0 ? 0 : nr;
    must(!memcmp(pages + nr, before + nr, sizeof(pages) - nr * sizeof(pages[0])),
         "something behind %zd pages", nr);
    if (nr) {
        after_get(addr, len, flags & WW_GET_RESET, (size_t)nr == capacity, last, reported);
    }
}

static void get_ranges(struct input *input)
{
    struct ww_range ranges[MAX_ANSWER], before[MAX_ANSWER];
    const char *addr = take_addr(input);
    size_t len = take_len(input), capacity = take(input, 1) % MAX_ANSWER;
    unsigned int flags = take_flags(input);
    bool reported[NR_PAGES] = { false };
    uintptr_t last = 0;
    ssize_t nr;

    memset(before, 0x5a, sizeof(before));
    memcpy(ranges, before, sizeof(ranges));
    nr = ww_get_ranges(ctx, addr, len, flags, ranges, capacity);
    check_error(GET, nr);
    must(nr < 0 || ((size_t)nr <= capacity && !(flags & ~1u)), "%zd of %zu", nr, capacity);
    for (ssize_t i = 0; i < nr; i++) {
        take_page(addr, len, ranges[i].start, &last);
        must(ranges[i].end > ranges[i].start, "run %zd is empty", i);
        take_page(addr, len, ranges[i].end - page, &(uintptr_t){ 0 });
        mark_reported(ranges[i].start, ranges[i].end, reported);
        last = ranges[i].end;
    }
    nr = nr < 0 ? 0 : nr;
    must(!memcmp(ranges + nr, before + nr, sizeof(ranges) - nr * sizeof(ranges[0])),
         "something behind %zd runs", nr);
    if (nr) {
        after_get(addr, len, flags & WW_GET_RESET, (size_t)nr == capacity, last, reported);
    }
}

static void count(struct input *input)
{
    const char *addr = take_addr(input);
    size_t len = take_len(input), from, to, nr_written = 0;
    ssize_t nr = ww_count(ctx, addr, len);

    check_error(GET, nr);
    if (nr >= 0) {
        pages_of(addr, len, &from, &to);
        for (size_t i = from; i < to; i++) {
            nr_written += written[i];
        }
        must((size_t)nr >= nr_written && (size_t)nr <= len / page + 2, "%zd pages, %zu were written", nr,
             nr_written);
    }
}

/* ---- changes ---- */

static void watch(struct input *input)
{
    char *addr = take_addr(input);
    size_t len = take_len(input);
    unsigned int flags = take_flags(input);
    struct ww_range range;
    int err = ww_watch(ctx, addr, len, flags);

    check_error(WATCH, err);
    must(err || (len && (uintptr_t)addr % page == 0 && len % page == 0 && addr + len > addr && flags <= 5),
         "watched");
    if (!err) {
        must(!ww_find(ctx, addr, &range) && range.start == (uintptr_t)addr &&
                 range.end == (uintptr_t)addr + len,
             "what is watched is not found");
    }
}

static void unwatch(struct input *input)
{
    char *addr = take_addr(input);
    size_t len = take_len(input);
    struct ww_range range;
    int err = ww_unwatch(ctx, addr, len);

    check_error(UNWATCH, err);
    if (!err) {
        must(ww_find(ctx, addr, &range) == -ENOENT, "it is watched still");
        forget(addr, len);
    }
}

static void find(struct input *input)
{
    const char *addr = take_addr(input);
    struct ww_range range = { 1, 2 };
    int err = ww_find(ctx, addr, take(input, 1) == 255 ? NULL : &range);

    check_error(FIND, err);
    must(!err || (range.start == 1 && range.end == 2), "a range of a call that failed");
    must(err || (range.start <= (uintptr_t)addr && (uintptr_t)addr < range.end), "another range");
}

static void change(struct input *input)
{
    unsigned int kind = take(input, 1);
    const char *addr = take_addr(input);
    size_t len = take_len(input), from, to;
    int err;

    switch (kind % 4) {
    case 0:
        err = ww_reset(ctx, addr, len);
        check_error(RESET, err);
        if (!err) {
            forget(addr, len);
        }
        break;
    case 1:
        err = ww_latch(ctx, addr, len);
        check_error(RESET, err);
        break;
    case 2:
        /* The pages were not dropped, so the library may still report those that were written, or not. */
        err = ww_discard(ctx, addr, len);
        check_error(DISCARD, err);
        forget(addr, len);
        break;
    default:
        /* Only in the area, because other memory of this program must not change. */
        pages_of(addr, len, &from, &to);
        madvise(area + from * page, (to - from) * page, MADV_DONTNEED);
        memset(written + from, 0, to - from);
        break;
    }
}

static void protect(struct input *input)
{
    char *addr = take_addr(input);
    size_t len = take_len(input), from, to;
    int prot = take_flags(input), err = ww_protect(ctx, addr, len, prot);

    check_error(PROTECT, err);
    must(err || !(prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)), "prot %d", prot);
    pages_of(addr, len, &from, &to);
    for (size_t i = from; i < to && !err; i++) {
        open_pages[i] = (prot & (PROT_READ | PROT_WRITE)) == (PROT_READ | PROT_WRITE);
    }
}

static int fill_page(void *arg, uintptr_t addr, void *content, size_t len)
{
    must(arg == &area && addr % page == 0 && addr - (uintptr_t)area < NR_PAGES * page, "asked for %#zx",
         (size_t)addr);
    memset(content, 7, len);
    return 0;
}

static void fill(struct input *input)
{
    static char content[4 * 4096];
    unsigned int kind = take(input, 1);
    char *addr = take_addr(input), *source = kind & 2 ? take_addr(input) : content;
    size_t len = take_len(input);
    ssize_t nr;

    if (kind & 1) {
        check_error(DEMAND, ww_fill_on_demand(ctx, addr, len, kind & 64 ? NULL : fill_page, &area));
        return;
    }
    /* No more than the harness's own content has. */
    if (source == content && len > sizeof(content) && len < SIZE_MAX / 2) {
        len = sizeof(content);
    }
    nr = ww_fill(ctx, addr, source, len);
    check_error(FILL, nr);
    must(nr <= 0 || ((size_t)nr <= len && nr % page == 0), "%zd of %zu bytes", nr, len);
    must(nr, "nothing was filled, and no error");
}

/* ---- one input ---- */

static void set_up(void)
{
    page = sysconf(_SC_PAGESIZE);
    area = mmap(APART, (NR_PAGES + 8) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    must(area != MAP_FAILED, "mmap");
    area += 4 * page;
}

static void renew_area(void)
{
    must(mmap(area, NR_PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
              0) == area,
         "mmap");
    memset(open_pages, true, sizeof(open_pages));
    memset(written, false, sizeof(written));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const calls[])(struct input *) = {
        watch, unwatch, find, get_pages, get_ranges, count, change, protect, fill, watch, get_pages,
    };
    struct input input = { .at = data, .left = size };
    unsigned int how = take(&input, 1);

    if (!area) {
        set_up();
    }
    renew_area();
    must(ww_open(NULL, NULL) == -EINVAL && ww_probe(NULL, 1) == -EINVAL, "NULL");
    if (how % 4 == 0 || ww_open(&ctx, "uffd")) {
        must(!ww_open(&ctx, "none"), "none");
    }
    for (int nr = 0; input.left && nr < 100; nr++) {
        unsigned int operation = take(&input, 1);

        if (operation & 0x40) {
            write_pages(operation % NR_PAGES, 1 + (operation >> 7) * take(&input, 1));
        } else {
            calls[operation % (sizeof(calls) / sizeof(calls[0]))](&input);
        }
    }
    ww_close(ctx);
    ww_close(NULL);
    return 0;
}
