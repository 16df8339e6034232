/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cases of test-malloc in which a backend is replaced in the middle of a call. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "kernel/uapi.h"
#include "deny-call.h"
#include "malloc-test.h"
#include "writewatch-win32.h"

#define MAX_FDS 64

static bool was_open[MAX_FDS];

static void close_own(void)
{
    for (int fd = 0; fd < MAX_FDS; fd++) {
        if (!was_open[fd]) {
            close(fd);
        }
    }
}

static void deny_scan(void)
{
    MUST(deny_call(SYS_ioctl, 1, (unsigned int)PAGEMAP_SCAN, ENOTTY, 0));
}

static void deny_userfaultfd(void)
{
    MUST(deny_call(SYS_userfaultfd, 0, 0, EPERM, 0));
    close_own();
}

static void meet_get(void)
{
    MUST(ww_count(ctx, base, NR * page_size()) > 0);
}

static void meet_get_and_reset(void)
{
    MUST(ww_get_pages(ctx, base, NR * page_size(), WW_GET_RESET, pages, NR) > 0);
}

static void meet_reset(void)
{
    MUST(!ww_reset(ctx, base, NR * page_size()));
}

static void meet_latch(void)
{
    MUST(!ww_latch(ctx, base, NR * page_size()));
}

static void meet_discard(void)
{
    MUST(!madvise(base, 4 * page_size(), MADV_DONTNEED));
    MUST(!ww_discard(ctx, base, 4 * page_size()));
}

static void meet_get_ranges(void)
{
    static struct ww_range ranges[NR];

    MUST(ww_get_ranges(ctx, base, NR * page_size(), WW_GET_RESET, ranges, NR) > 0);
}

static void meet_protect(void)
{
    MUST(!ww_protect(ctx, base, 4 * page_size(), PROT_READ));
    MUST(!ww_protect(ctx, base, 4 * page_size(), PROT_READ | PROT_WRITE));
}

static void meet_find(void)
{
    struct ww_range range;

    MUST(!ww_find(ctx, base, &range) && range.start == (uintptr_t)base);
    MUST(!ww_next(ctx, base, &range) && range.start == (uintptr_t)base);
}

/* Ends the watch whose backend is broken, and begins another one. With memory on demand, the descriptor that
 * was closed stays in use for a while, and with it the old registration. */
static void meet_unwatch(void)
{
    int err = -EBUSY;

    MUST(!ww_unwatch(ctx, base, NR * page_size()));
    doing = "ww_watch()";
    for (int tries = 0; tries < 20 && err == -EBUSY; tries++) {
        usleep(tries ? 100000 : 0);
        err = ww_watch(ctx, base, NR * page_size(), 0);
    }
    MUST(!err);
}

static void meet_watch(void)
{
    char *other = mmap(NULL, 4 * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    MUST(!ww_watch(ctx, other, 4 * page_size(), 0));
    MUST(!ww_unwatch(ctx, other, 4 * page_size()));
}

static void meet_fill(void)
{
    doing = "ww_fill()";
    ww_fill(ctx, base + page_size(), base, page_size());
}

static void meet_close(void)
{
}

static const struct {
    const char *name;
    void (*apply)(void);
    bool can_be_repaired;
} breakages[] = {
    { "all descriptors are closed", close_own, true },
    { "PAGEMAP_SCAN is no ioctl", deny_scan, false },
    { "all are closed, and userfaultfd is denied", deny_userfaultfd, false },
};
#define NR_BREAKAGES (sizeof(breakages) / sizeof(breakages[0]))

static const struct {
    const char *name;
    void (*meet)(void);
} meetings[] = {
    { "ww_count()", meet_get },       { "ww_get_pages()", meet_get_and_reset },
    { "ww_reset()", meet_reset },     { "ww_latch()", meet_latch },
    { "ww_discard()", meet_discard }, { "ww_watch()", meet_watch },
    { "VirtualAlloc", use_win32 },    { "ww_fill()", meet_fill },
    { "ww_protect()", meet_protect }, { "ww_get_ranges()", meet_get_ranges },
    { "ww_unwatch()", meet_unwatch }, { "ww_find() and ww_next()", meet_find },
    { "ww_close()", meet_close },
};
#define NR_MEETINGS (sizeof(meetings) / sizeof(meetings[0]))

const size_t nr_replacements = NR_BREAKAGES * NR_MEETINGS * 2;

struct replacement replacement_of(size_t index)
{
    return (struct replacement){ index / 2 / NR_MEETINGS, index / 2 % NR_MEETINGS, index % 2 };
}

void describe_replacement(size_t index, char *ret_text, size_t size)
{
    struct replacement todo = replacement_of(index);

    snprintf(ret_text, size, "%s%s, %s", breakages[todo.breakage].name, todo.on_demand ? ", on demand" : "",
             meetings[todo.meeting].name);
}

/* Whether a count of the region, after a write to one page, is exact. Tries for two seconds, because the
 * library may notice a breakage late. */
static bool is_exact_again(void)
{
    bool exact = false;

    for (int tries = 0; tries < 20 && !exact; tries++) {
        usleep(tries ? 100000 : 0);
        MUST(!ww_reset(ctx, base, NR * page_size()));
        write_page(base, 1, 1);
        exact = ww_count(ctx, base, NR * page_size()) == 1;
    }
    return exact;
}

void run_replacement(size_t index, const char *name)
{
    struct replacement todo = replacement_of(index);
    bool was_exact;

    for (int fd = 0; fd < MAX_FDS; fd++) {
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    }
    open_and_watch(name);
    open_win32();
    was_exact = is_exact(ctx);
    if (todo.on_demand) {
        char *more = mmap(NULL, 8 * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        watch_on_demand(more, 8);
    }
    for (int round = 0; round < 2; round++) {
        breakages[todo.breakage].apply();
        for (int i = 0; i < 3; i++) {
            write_page(base, 0, 1);
            meetings[todo.meeting].meet();
        }
    }
    if (meetings[todo.meeting].meet != meet_close) {
        bool exact = is_exact_again();

        /* With memory on demand, the first descriptor stays in use for a while. */
        MUST(exact || !was_exact || todo.on_demand || !breakages[todo.breakage].can_be_repaired);
    }
    MUST((ww_win32_close(win32), true));
    MUST((ww_close(ctx), true));
}
