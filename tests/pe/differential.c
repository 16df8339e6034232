/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * differential.c - thousands of random operations on watched memory, each answer compared with a model.
 *
 * The model is an array of pages. "two" has Windows' two levels: the page tables' dirty bits
 * (dirty), and those that VirtualProtect has moved into the allocation's bitmap (latched), which
 * alone outlive a decommit. "one" has the single level of Wine's own emulation, in which a
 * decommit makes no page clean; with it stock Wine tests the program itself. "more" is for runs
 * in which system calls are made to fail: more pages may be reported, and a call may fail for
 * want of memory and is repeated then. The operations depend only on the seed. A mismatch is
 * printed with the steps before it.
 */
#ifndef __USE_MINGW_ANSI_STDIO
#define __USE_MINGW_ANSI_STDIO 1
#endif
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <io.h>
#include <windows.h>

#define PAGE_BYTES 4096
#define PAGES(nr) ((SIZE_T)(nr)*PAGE_BYTES)
#define NR_REGIONS 8
#define MIN_PAGES 16
#define MAX_PAGES 300
#define NR_LOGGED 20
#define SENTINEL ((PVOID)(ULONG_PTR)0x5ca1ab1e)

struct page {
    bool committed, dirty, latched;
    bool unsure;    /* after MEM_RESET: the page may be reported or not */
    bool undefined; /* after MEM_RESET: its content is not known */
    DWORD protect;
};

struct region {
    char *base, *copy; /* copy has the content that the pages must have */
    unsigned int nr_pages;
    struct page pages[MAX_PAGES];
};

static struct {
    unsigned int seed, random, step, nr_queries;
    unsigned long long nr_reported, nr_repeated;
    bool one_level, more;
    struct region regions[NR_REGIONS];
    char log[NR_LOGGED][120];
    PVOID results[MAX_PAGES + 1];
    HANDLE file;
    char *file_data;
} run;

#define FILE_BYTES (64 * 1024)
#define NUMBER(region) ((unsigned int)((region)-run.regions))

/* ---- the log, and failures ---- */

static void __attribute__((format(gnu_printf, 1, 2))) note(const char *fmt, ...)
{
    char *text = run.log[run.step % NR_LOGGED];
    int used = sprintf(text, "%6u  ", run.step);
    va_list args;

    va_start(args, fmt);
    vsnprintf(text + used, sizeof(run.log[0]) - used, fmt, args);
    va_end(args);
}

static void __attribute__((noreturn, format(gnu_printf, 1, 2))) fail(const char *fmt, ...)
{
    unsigned int i;
    va_list args;

    printf("differential: seed %u, step %u: mismatch; the last steps:\n", run.seed, run.step);
    for (i = 1; i <= NR_LOGGED; i++)
        printf("%s\n", run.log[(run.step + i) % NR_LOGGED]);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    ExitProcess(1);
}

static void require(bool good, const char *what)
{
    if (!good)
        fail("%s failed, error %lu", what, GetLastError());
}

/* Whether a call has failed because of a fault, and must be repeated. */
static bool again(bool good)
{
    bool repeat = run.more && !good && ++run.nr_repeated;

    if (repeat && GetLastError() != ERROR_NOT_ENOUGH_MEMORY && GetLastError() != ERROR_NO_SYSTEM_RESOURCES &&
        GetLastError() != ERROR_COMMITMENT_LIMIT)
        fail("a call failed with error %lu", GetLastError());
    return repeat;
}

/* xorshift: the same numbers on every system. */
static unsigned int pick(unsigned int limit)
{
    run.random ^= run.random << 13;
    run.random ^= run.random >> 17;
    run.random ^= run.random << 5;
    return run.random % limit;
}

/* ---- the model ---- */

static void mark(struct region *region, unsigned int first, unsigned int nr)
{
    unsigned int i;

    for (i = first; i < first + nr; i++) {
        region->pages[i].dirty = true;
        region->pages[i].unsure = false;
    }
}

/* The part of [first, first + nr) that begins at first and may be written. */
static unsigned int writable_run(const struct region *region, unsigned int first, unsigned int nr)
{
    unsigned int i = first;

    while (i < first + nr && region->pages[i].committed && region->pages[i].protect == PAGE_READWRITE)
        i++;
    return i - first;
}

/* ---- operations: each changes the memory and the model ---- */

static void open_region(struct region *region, void *wanted)
{
    bool commit = pick(2);
    DWORD type = MEM_RESERVE | MEM_WRITE_WATCH | (commit ? MEM_COMMIT : 0) | (pick(4) ? 0 : MEM_TOP_DOWN);
    unsigned int i;

    region->nr_pages = MIN_PAGES + pick(MAX_PAGES - MIN_PAGES + 1);
    region->base = wanted ? VirtualAlloc(wanted, PAGES(region->nr_pages), type, PAGE_READWRITE) : NULL;
    while (!region->base) {
        region->base = VirtualAlloc(NULL, PAGES(region->nr_pages), type, PAGE_READWRITE);
        if (!again(region->base != NULL))
            break;
    }
    require(region->base != NULL, "VirtualAlloc");
    memset(region->copy, 0, PAGES(region->nr_pages));
    for (i = 0; i < region->nr_pages; i++)
        region->pages[i] = (struct page){ .committed = commit, .protect = PAGE_READWRITE };
    note("region %u: %u pages at %p, %s", NUMBER(region), region->nr_pages, region->base,
         commit ? "committed" : "reserved");
}

static void release(void *base)
{
    bool good;

    do
        good = VirtualFree(base, 0, MEM_RELEASE);
    while (again(good));
    require(good, "VirtualFree(MEM_RELEASE)");
}

/* Half of the time the new allocation asks for the old one's address, where other memory may have been
 * meanwhile. */
static void do_replace(struct region *region, unsigned int first, unsigned int nr)
{
    void *old = region->base, *unwatched = NULL;

    (void)first;
    (void)nr;
    release(old);
    if (!pick(4))
        unwatched = VirtualAlloc(old, PAGES(MIN_PAGES), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (unwatched) {
        memset(unwatched, 1, PAGES(MIN_PAGES));
        release(unwatched);
    }
    open_region(region, pick(2) ? old : NULL);
}

static void store(struct region *region, SIZE_T at, const void *data, SIZE_T size)
{
    memcpy(region->base + at, data, size);
    memcpy(region->copy + at, data, size);
}

/* Half of the values are zero, because content must not matter. */
static void do_write_bytes(struct region *region, unsigned int first, unsigned int nr)
{
    unsigned int i;

    nr = writable_run(region, first, nr);
    for (i = first; i < first + nr; i++) {
        char byte = pick(2) ? 0 : pick(256);

        store(region, PAGES(i) + pick(PAGE_BYTES), &byte, 1);
    }
    mark(region, first, nr);
    note("region %u: a byte into each of %u+%u", NUMBER(region), first, nr);
}

/* Packed, so that the compiler stores to any address in one piece. */
struct __attribute__((packed)) unaligned {
    volatile unsigned short value;
};

/* One store of two bytes across the border of two pages. */
static void do_write_word(struct region *region, unsigned int first, unsigned int nr)
{
    struct unaligned *word;

    (void)nr;
    if (first + 1 >= region->nr_pages || writable_run(region, first, 2) < 2) {
        note("region %u: no word at %u", NUMBER(region), first);
        return;
    }
    word = (struct unaligned *)(region->base + PAGES(first + 1) - 1);
    word->value = pick(3) * 0x0101;
    memcpy(region->copy + PAGES(first + 1) - 1, (const void *)word, 2);
    mark(region, first, 2);
    note("region %u: a word across %u and %u", NUMBER(region), first, first + 1);
}

static void do_fill(struct region *region, unsigned int first, unsigned int nr)
{
    int byte = pick(2) ? 0 : pick(256);
    unsigned int i;

    nr = writable_run(region, first, nr);
    memset(region->base + PAGES(first), byte, PAGES(nr));
    memset(region->copy + PAGES(first), byte, PAGES(nr));
    mark(region, first, nr);
    for (i = first; i < first + nr; i++)
        region->pages[i].undefined = false;
    note("region %u: filled %u+%u with %d", NUMBER(region), first, nr, byte);
}

static void do_read(struct region *region, unsigned int first, unsigned int nr)
{
    unsigned int i;

    note("region %u: read %u+%u", NUMBER(region), first, nr);
    for (i = first; i < first + nr; i++) {
        struct page *page = &region->pages[i];

        if (!page->committed || page->protect == PAGE_NOACCESS)
            continue;
        /* The comparison reads undefined pages too: a read must mark nothing. */
        if (memcmp(region->base + PAGES(i), region->copy + PAGES(i), PAGE_BYTES) && !page->undefined)
            fail("region %u, page %u does not hold what was written", NUMBER(region), i);
    }
}

static void do_read_file(struct region *region, unsigned int first, unsigned int nr)
{
    DWORD at = pick(PAGE_BYTES), size, offset, done = 0;

    nr = writable_run(region, first, nr > 8 ? 8 : nr);
    if (!nr) {
        note("region %u: no ReadFile at %u", NUMBER(region), first);
        return;
    }
    size = 1 + pick(PAGES(nr) - at);
    offset = pick(FILE_BYTES - size);
    note("region %u: ReadFile of %lu bytes to %u, byte %lu", NUMBER(region), size, first, at);
    SetFilePointer(run.file, offset, NULL, FILE_BEGIN);
    require(ReadFile(run.file, region->base + PAGES(first) + at, size, &done, NULL), "ReadFile");
    if (done != size)
        fail("ReadFile brought %lu bytes", done);
    memcpy(region->copy + PAGES(first) + at, run.file_data + offset, size);
    mark(region, first, (at + size + PAGE_BYTES - 1) / PAGE_BYTES);
}

/*
 * Only for pages whose protection changes: whether Windows latches a page whose protection stays
 * the same is not known.
 */
static void do_protect(struct region *region, unsigned int first, unsigned int nr)
{
    static const DWORD protections[] = { PAGE_READWRITE, PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS };
    DWORD protect = protections[pick(ARRAYSIZE(protections))], old;
    unsigned int i, n;

    for (n = 0; n < nr; n++)
        if (!region->pages[first + n].committed || region->pages[first + n].protect == protect)
            break;
    note("region %u: protection %#lx for %u+%u", NUMBER(region), protect, first, n);
    if (!n)
        return;
    require(VirtualProtect(region->base + PAGES(first), PAGES(n), protect, &old), "VirtualProtect");
    if (old != region->pages[first].protect)
        fail("region %u, page %u: old protection %#lx", NUMBER(region), first, old);
    for (i = first; i < first + n; i++) {
        struct page *page = &region->pages[i];

        page->protect = protect;
        if (!run.one_level && !page->unsure)
            page->latched |= page->dirty;
    }
}

static void do_decommit(struct region *region, unsigned int first, unsigned int nr)
{
    SIZE_T size = PAGES(nr);
    unsigned int i;

    if (!pick(8)) {
        first = 0;
        nr = region->nr_pages;
        size = 0;
    }
    note("region %u: decommit %u+%u%s", NUMBER(region), first, nr, size ? "" : " by size 0");
    require(VirtualFree(region->base + PAGES(first), size, MEM_DECOMMIT), "VirtualFree(MEM_DECOMMIT)");
    for (i = first; i < first + nr; i++) {
        struct page *page = &region->pages[i];

        page->committed = page->undefined = false;
        page->dirty &= run.one_level;
    }
    memset(region->copy + PAGES(first), 0, PAGES(nr));
}

/* Commits only uncommitted pages: whether a commit that changes a protection latches is not known. */
static void do_commit(struct region *region, unsigned int first, unsigned int nr)
{
    unsigned int i, end = first + nr;

    note("region %u: commit %u+%u", NUMBER(region), first, nr);
    while (first < end) {
        for (; first < end && region->pages[first].committed; first++)
            ;
        for (i = first; i < end && !region->pages[i].committed; i++) {
            region->pages[i].committed = true;
            region->pages[i].protect = PAGE_READWRITE;
        }
        if (i > first)
            require(VirtualAlloc(region->base + PAGES(first), PAGES(i - first), MEM_COMMIT, PAGE_READWRITE) ==
                        region->base + PAGES(first),
                    "VirtualAlloc(MEM_COMMIT)");
        first = i;
    }
}

/* After it, pages that were written and not latched may be reported or not, until they are written or reset.
 */
static void do_mem_reset(struct region *region, unsigned int first, unsigned int nr)
{
    unsigned int i;

    nr = writable_run(region, first, nr);
    note("region %u: MEM_RESET %u+%u", NUMBER(region), first, nr);
    if (!nr)
        return;
    require(VirtualAlloc(region->base + PAGES(first), PAGES(nr), MEM_RESET, PAGE_READWRITE) != NULL,
            "VirtualAlloc(MEM_RESET)");
    for (i = first; i < first + nr; i++) {
        struct page *page = &region->pages[i];

        page->undefined = true;
        page->unsure |= page->dirty && !page->latched;
    }
}

/* ---- queries ---- */

static void do_reset(struct region *region, unsigned int first, unsigned int nr)
{
    unsigned int i;

    note("region %u: reset %u+%u", NUMBER(region), first, nr);
    while (ResetWriteWatch(region->base + PAGES(first), PAGES(nr)))
        if (!again(false))
            fail("ResetWriteWatch failed, error %lu", GetLastError());
    for (i = first; i < first + nr; i++)
        region->pages[i].dirty = region->pages[i].latched = region->pages[i].unsure = false;
}

/* Compares the answer for one page with the model. */
static void compare_page(struct region *region, unsigned int number, bool got, DWORD flags)
{
    struct page *page = &region->pages[number];
    bool want = page->dirty || page->latched;

    if (!page->unsure && got != want && !(run.more && got))
        fail("region %u, page %u: expected %s (dirty %d, latched %d), got %s", NUMBER(region), number,
             want ? "written" : "clean", page->dirty, page->latched, got ? "written" : "clean");
    if (!got || flags)
        page->dirty = page->latched = page->unsure = false;
}

static void query(struct region *region, unsigned int first, unsigned int nr, unsigned int capacity,
                  DWORD flags)
{
    ULONG_PTR count = capacity, seen = 0;
    DWORD granularity = 0;
    unsigned int i;

    for (i = 0; i <= MAX_PAGES; i++)
        run.results[i] = SENTINEL;
    while (GetWriteWatch(flags, region->base + PAGES(first), PAGES(nr), run.results, &count, &granularity))
        if (!again(false))
            fail("GetWriteWatch failed, error %lu", GetLastError());
    run.nr_queries++;
    run.nr_reported += count;
    if (count > capacity || granularity != PAGE_BYTES)
        fail("count %u of %u, granularity %lu", (unsigned int)count, capacity, granularity);
    for (i = first; i < first + nr && seen < capacity; i++) {
        bool got = seen < count && run.results[seen] == region->base + PAGES(i);

        compare_page(region, i, got, flags);
        seen += got;
    }
    if (seen != count)
        fail("region %u: %u pages, but entry %u is %p", NUMBER(region), (unsigned int)count,
             (unsigned int)seen, run.results[seen]);
    for (; seen <= MAX_PAGES; seen++)
        if (run.results[seen] != SENTINEL)
            fail("entry %u beyond count %u was touched", (unsigned int)seen, (unsigned int)count);
}

static void do_query(struct region *region, unsigned int first, unsigned int nr)
{
    DWORD flags = pick(3) ? WRITE_WATCH_FLAG_RESET : 0;
    unsigned int capacity;

    if (nr > 6 && pick(2)) {
        first = 0;
        nr = region->nr_pages;
    }
    capacity = pick(2) ? nr : 1 + pick(nr);
    note("region %u: query %u+%u, room for %u, flags %lu", NUMBER(region), first, nr, capacity, flags);
    query(region, first, nr, capacity, flags);
}

/* ---- the run ---- */

/* The weights add up to 100; small: the range has at most a few pages. */
static const struct operation {
    void (*run)(struct region *region, unsigned int first, unsigned int nr);
    unsigned int weight;
    bool small;
} operations[] = {
    { do_write_bytes, 16, true }, { do_write_bytes, 2, false }, { do_write_word, 8, true },
    { do_fill, 4, true },         { do_fill, 1, false },        { do_read, 6, false },
    { do_read_file, 4, true },    { do_protect, 14, true },     { do_protect, 3, false },
    { do_decommit, 5, true },     { do_commit, 6, true },       { do_commit, 4, false },
    { do_mem_reset, 1, true },    { do_reset, 3, true },        { do_reset, 1, false },
    { do_query, 6, true },        { do_query, 15, false },      { do_replace, 1, false },
};

static const struct operation *pick_operation(void)
{
    unsigned int at = pick(100);
    size_t i;

    for (i = 0; at >= operations[i].weight; i++)
        at -= operations[i].weight;
    return &operations[i];
}

/* After a quarter of the steps all of the region is queried. */
static void do_step(void)
{
    struct region *region = &run.regions[pick(NR_REGIONS)];
    const struct operation *operation = pick_operation();
    unsigned int first = pick(region->nr_pages), nr = region->nr_pages - first;

    nr = 1 + pick(operation->small && nr > 6 ? 6 : nr);
    operation->run(region, first, nr);
    if (!pick(4))
        query(region, 0, region->nr_pages, region->nr_pages, 0);
}

static void open_file(void)
{
    char dir[MAX_PATH], path[MAX_PATH];
    DWORD done = 0, i;

    run.file_data = malloc(FILE_BYTES);
    for (i = 0; i < FILE_BYTES; i++)
        run.file_data[i] = pick(4) ? pick(256) : 0;
    GetTempPathA(sizeof(dir), dir);
    GetTempFileNameA(dir, "ww", 0, path);
    run.file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                           FILE_FLAG_DELETE_ON_CLOSE, NULL);
    require(run.file != INVALID_HANDLE_VALUE, "CreateFile");
    require(WriteFile(run.file, run.file_data, FILE_BYTES, &done, NULL) && done == FILE_BYTES, "WriteFile");
}

int main(int argc, char **argv)
{
    unsigned int nr_operations, i;

    _setmode(_fileno(stdout), _O_BINARY);
    if (argc < 3 || argc > 4 ||
        (argc == 4 && strcmp(argv[3], "one") && strcmp(argv[3], "two") && strcmp(argv[3], "more"))) {
        printf("usage: differential SEED OPERATIONS [one|two|more]\n");
        return 2;
    }
    run.seed = strtoul(argv[1], NULL, 0);
    nr_operations = strtoul(argv[2], NULL, 0);
    run.one_level = argc == 4 && !strcmp(argv[3], "one");
    run.more = argc == 4 && !strcmp(argv[3], "more");
    /* Spreads seeds, so that neighbouring ones do not begin alike. xorshift never leaves the state 0. */
    run.random = run.seed * 2654435761u ^ 0x9e3779b9u;
    if (!run.random)
        run.random = 1;
    open_file();
    for (i = 0; i < NR_REGIONS; i++) {
        run.regions[i].copy = malloc(PAGES(MAX_PAGES));
        open_region(&run.regions[i], NULL);
    }
    for (run.step = 1; run.step <= nr_operations; run.step++)
        do_step();
    for (i = 0; i < NR_REGIONS; i++) {
        query(&run.regions[i], 0, run.regions[i].nr_pages, run.regions[i].nr_pages, 0);
        release(run.regions[i].base);
    }
    CloseHandle(run.file);
    printf("differential: seed %u, %u operations, %u queries, %llu pages reported", run.seed, nr_operations,
           run.nr_queries, run.nr_reported);
    if (run.more)
        printf(", %llu calls made again", run.nr_repeated);
    printf(": ok\n");
    fflush(stdout);
    return 0;
}
