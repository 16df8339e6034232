/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cases of test-malloc that make every public call. */
#include <errno.h>
#include <sys/wait.h>

#include "malloc-test.h"
#include "watch.h"
#include "writewatch-pagemap.h"
#include "writewatch-win32.h"

struct ww_context *ctx;
char *base;
void *pages[NR];
const char *doing = "nothing";
const char *wrong;

static struct ww_range ranges[NR];

void open_one(const char *name)
{
    base = mmap(NULL, NR * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(!ww_open(&ctx, name[0] ? name : NULL));
}

void open_and_watch(const char *name)
{
    open_one(name);
    MUST(!ww_watch(ctx, base, NR * page_size(), WW_WATCH_FRESH));
    for (size_t i = 0; i < NR; i += 3) {
        write_page(base, i, 1);
    }
}

static void case_probe(const char *name)
{
    struct ww_probe backends[MAX_BACKENDS];

    (void)name;
    MUST(ww_probe(backends, MAX_BACKENDS) > 0);
    MUST(ww_version());
    MUST(ww_strerror(-EBUSY) && ww_strerror(-EDOM));
}

static void case_open(const char *name)
{
    open_one(name);
    MUST(ww_backend_name(ctx) && ww_backend_caps(ctx));
    MUST((ww_close(ctx), true));
    MUST(ww_open_with(&ctx, name[0] ? name : NULL, WW_CAP_SHARED) || (ww_close(ctx), true));
}

static void case_watch(const char *name)
{
    size_t page = page_size();
    struct ww_range range;

    open_one(name);
    MUST(!ww_watch(ctx, base, 8 * page, WW_WATCH_FRESH));
    write_page(base, 10, 1);
    MUST(!ww_watch(ctx, base + 8 * page, 8 * page, 0));
    MUST(!ww_watch(ctx, base + 16 * page, 8 * page, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS));
    MUST(ww_watch(ctx, base + 20 * page, 8 * page, 0) == -EEXIST);
    MUST(ww_watch_internal(ctx, base + 24 * page, 8 * page, WW_WATCH_MARKERS) <= 0);
    MUST(!ww_find(ctx, base, &range));
    MUST(!ww_next(ctx, base, &range));
    MUST(!ww_unwatch(ctx, base + 2 * page, 2 * page));
    MUST(!ww_unwatch(ctx, base, NR * page));
    MUST((ww_close(ctx), true));
}

static void case_watch_shared(const char *name)
{
    int fd = memfd_create("shared", MFD_CLOEXEC);
    size_t len = 8 * page_size();
    char *shared;

    open_one(name);
    MUST(!ftruncate(fd, len));
    shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shared[0] = 1;
    doing = "ww_watch() of shared memory";
    if (!ww_watch(ctx, shared, len, 0)) {
        MUST(ww_count(ctx, shared, len) >= 0);
    }
    MUST((ww_close(ctx), true));
}

static void case_get_pages(const char *name)
{
    open_and_watch(name);
    MUST(ww_get_pages(ctx, base, NR * page_size(), 0, pages, NR) > 0);
    MUST(ww_get_pages(ctx, base, NR * page_size(), WW_GET_RESET, pages, 5) > 0);
    MUST(ww_get_pages(ctx, base, NR * page_size(), WW_GET_RESET, pages, NR) > 0);
    MUST((ww_close(ctx), true));
}

static void case_get_ranges(const char *name)
{
    open_and_watch(name);
    MUST(ww_get_ranges(ctx, base, NR * page_size(), WW_GET_RESET, ranges, NR) > 0);
    MUST(ww_count(ctx, base, NR * page_size()) >= 0);
    MUST((ww_close(ctx), true));
}

static void case_count(const char *name)
{
    open_and_watch(name);
    MUST(ww_count(ctx, base, NR * page_size()) > 0);
    MUST((ww_close(ctx), true));
}

static void case_reset(const char *name)
{
    open_and_watch(name);
    MUST(!ww_reset(ctx, base, NR * page_size()));
    MUST((ww_close(ctx), true));
}

static void case_latch(const char *name)
{
    open_and_watch(name);
    MUST(!ww_latch(ctx, base, NR * page_size()));
    MUST((ww_close(ctx), true));
}

static void case_discard(const char *name)
{
    size_t len = 8 * page_size();

    open_and_watch(name);
    MUST(!madvise(base, len, MADV_DONTNEED));
    MUST(!ww_discard(ctx, base, len));
    MUST(mmap(base, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == base);
    MUST(ww_count(ctx, base, NR * page_size()) >= 0);
    MUST((ww_close(ctx), true));
}

static void case_protect(const char *name)
{
    open_and_watch(name);
    MUST(!ww_protect(ctx, base, 4 * page_size(), PROT_READ));
    MUST(!ww_protect(ctx, base, 4 * page_size(), PROT_READ | PROT_WRITE));
    MUST((ww_close(ctx), true));
}

static void case_fill(const char *name)
{
    open_and_watch(name);
    doing = "ww_fill()";
    ww_fill(ctx, base + page_size(), base, page_size());
    MUST((ww_close(ctx), true));
}

static int fill_ones(void *arg, uintptr_t addr, void *page, size_t len)
{
    (void)arg;
    (void)addr;
    memset(page, 1, len);
    return 0;
}

void watch_on_demand(char *start, size_t nr)
{
    bool can = ww_backend_caps(ctx) & WW_CAP_FILL_ON_DEMAND;

    MUST(!ww_watch(ctx, start, nr * page_size(), WW_WATCH_FRESH));
    MUST(ww_fill_on_demand(ctx, start, nr * page_size(), fill_ones, NULL) == (can ? 0 : -EOPNOTSUPP));
    MUST(read_page(start, 0) == can);
}

static void case_fill_on_demand(const char *name)
{
    size_t page = page_size();

    open_one(name);
    watch_on_demand(base, 8);
    watch_on_demand(base + 8 * page, 8);
    MUST(!madvise(base, page, MADV_DONTNEED));
    MUST(!ww_discard(ctx, base, page));
    MUST(ww_count(ctx, base, 8 * page) >= 0);
    MUST(!ww_unwatch(ctx, base, 4 * page));
    MUST((ww_close(ctx), true));
}

static void case_fork(const char *name)
{
    int status;
    pid_t pid;

    open_and_watch(name);
    pid = fork();
    if (!pid) {
        MUST(ww_count(ctx, base, page_size()) == -ECHILD);
        MUST(ww_reset(ctx, base, page_size()) == -ECHILD);
        MUST((ww_close(ctx), true));
        _exit(wrong || was_called_blocked());
    }
    MUST(waitpid(pid, &status, 0) == pid && !status);
    MUST((ww_close(ctx), true));
}

static void case_pagemap(const char *name)
{
    struct ww_pagemap_scan scan = { .category_mask = WW_PAGE_IS_PRESENT, .return_mask = WW_PAGE_IS_PRESENT };
    struct ww_page_region found[8];
    struct ww_pagemap *pagemap;

    open_and_watch(name);
    scan.start = (uintptr_t)base;
    scan.end = scan.start + NR * page_size();
    for (pid_t pid = 0; pid <= 1; pid++) {
        MUST(!ww_pagemap_open(&pagemap, pid ? getppid() : 0));
        MUST(ww_pagemap_source(pagemap) && ww_pagemap_categories(pagemap));
        MUST((ww_pagemap_flags(pagemap), true));
        MUST(ww_pagemap_scan(pagemap, &scan, found, 8) >= 0);
        MUST((ww_pagemap_close(pagemap), true));
    }
    MUST((ww_close(ctx), true));
}

/* ---- the calls of Windows ---- */

struct ww_win32 *win32;
static void *(*virtual_alloc)(void *, size_t, uint32_t, uint32_t);
static int (*virtual_free)(void *, size_t, uint32_t);
static int (*virtual_protect)(void *, size_t, uint32_t, uint32_t *);
static uint32_t (*get_write_watch)(uint32_t, void *, size_t, void **, uintptr_t *, uint32_t *);
static uint32_t (*reset_write_watch)(void *, size_t);

#define BIND(name, function) ww_win32_bind(win32, name, WW_WIN32_SYSV, (ww_win32_function *)&(function))

void open_win32(void)
{
    MUST(!ww_win32_open(&win32, ctx));
    MUST(!BIND("VirtualAlloc", virtual_alloc));
    MUST(!BIND("VirtualFree", virtual_free));
    MUST(!BIND("VirtualProtect", virtual_protect));
    MUST(!BIND("GetWriteWatch", get_write_watch));
    MUST(!BIND("ResetWriteWatch", reset_write_watch));
}

/* MEM_WRITE_WATCH | MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE */
#define WATCHED 0x203000, 4

void use_win32(void)
{
    uint32_t old, granularity;
    uintptr_t count = NR;
    char *memory;

    MUST((memory = virtual_alloc(NULL, 0x10000, WATCHED)));
    memory[0] = 1;
    MUST(!get_write_watch(1, memory, 0x10000, pages, &count, &granularity) && count);
    MUST(virtual_protect(memory, 0x1000, 2, &old));
    MUST(!reset_write_watch(memory, 0x10000));
    MUST(virtual_free(memory, 0x1000, 0x4000));
    MUST(virtual_free(memory, 0, 0x8000));
    MUST(!virtual_free(memory, 0, 0x8000) && *ww_win32_last_error());
}

static void case_win32(const char *name)
{
    open_one(name);
    open_win32();
    use_win32();
    MUST(virtual_alloc(NULL, 0x10000, WATCHED));
    MUST((ww_win32_close(win32), true));
    MUST((ww_close(ctx), true));
}

/* ---- the cases ---- */

const struct malloc_case cases[] = {
    { "probe", case_probe },
    { "open", case_open },
    { "watch", case_watch },
    { "watch shared memory", case_watch_shared },
    { "get pages", case_get_pages },
    { "get ranges", case_get_ranges },
    { "count", case_count },
    { "reset", case_reset },
    { "latch", case_latch },
    { "discard", case_discard },
    { "protect", case_protect },
    { "fill", case_fill },
    { "fill on demand", case_fill_on_demand },
    { "fork", case_fork },
    { "pagemap", case_pagemap },
    { "win32", case_win32 },
};
const size_t nr_cases = sizeof(cases) / sizeof(cases[0]);
