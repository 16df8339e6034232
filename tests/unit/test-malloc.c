/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nobody calls malloc() and its like with signals blocked: not for any public call, the first of a process
 * included, and not when a backend is replaced in the middle of an answer. The functions are defined here,
 * so that the C library's own calls are seen as well, from pthread_create() or fopen(), say; and each looks
 * at the signal mask. Every case is a process of its own, on every backend that works, and on the one that is
 * chosen by itself.
 *
 * As a child: test-malloc CASE BACKEND, an empty name for the choice.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kernel/uapi.h"
#include "deny-call.h"
#include "util.h"
#include "watch.h"
#include "writewatch-pagemap.h"
#include "writewatch-win32.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

int main(void)
{
    printf("SKIP: malloc() is the sanitizer's\n");
    return EXIT_SKIPPED;
}

#else

static struct ww_probe backends[MAX_BACKENDS];
static size_t nr_backends;
static struct ww_context *ctx;

/* ---- malloc() looks at the signal mask ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nr, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static atomic_uint nr_calls, nr_blocked;
static const char *first_blocked;
static const char *doing = "nothing"; /* what the case is at */
static const char *blocked_in;

static void look(const char *function)
{
    uint64_t mask = 0, asynchronous = UINT64_C(1) << (SIGUSR1 - 1) | UINT64_C(1) << (SIGALRM - 1);

    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
    atomic_fetch_add(&nr_calls, 1);
    if ((mask & asynchronous) && !atomic_fetch_add(&nr_blocked, 1)) {
        first_blocked = function;
        blocked_in = doing;
    }
}

/* Where everything is hidden by default, the C library would go on to call its own. */
#pragma GCC visibility push(default)

void *malloc(size_t size)
{
    look("malloc");
    return __libc_malloc(size);
}

void *calloc(size_t nr, size_t size)
{
    look("calloc");
    return __libc_calloc(nr, size);
}

void *realloc(void *block, size_t size)
{
    look("realloc");
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
    look("memalign");
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    look("aligned_alloc");
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    look("posix_memalign");
    *ret = __libc_memalign(alignment, size);
    return *ret ? 0 : ENOMEM;
}

void free(void *block)
{
    if (block) {
        look("free");
    }
    __libc_free(block);
}

#pragma GCC visibility pop

/* ---- in the child: no check of libcheck's, which belong to its own processes ---- */

static const char *wrong;

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        doing = #condition;                                                                                  \
        if (!(condition) && !wrong) {                                                                        \
            wrong = #condition;                                                                              \
        }                                                                                                    \
    } while (0)

#define NR 64

static char *base;
static void *pages[NR];
static struct ww_range ranges[NR];

static void open_one(const char *name)
{
    base = mmap(NULL, NR * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(!ww_open(&ctx, name[0] ? name : NULL));
}

static void open_and_watch(const char *name)
{
    open_one(name);
    MUST(!ww_watch(ctx, base, NR * page_size(), WW_WATCH_FRESH));
    for (size_t i = 0; i < NR; i += 3) {
        write_page(base, i, 1);
    }
}

static void case_probe(const char *name)
{
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

static void watch_on_demand(char *start, size_t nr)
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
        _exit(wrong || atomic_load(&nr_blocked));
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

static struct ww_win32 *win32;
static void *(*virtual_alloc)(void *, size_t, uint32_t, uint32_t);
static int (*virtual_free)(void *, size_t, uint32_t);
static int (*virtual_protect)(void *, size_t, uint32_t, uint32_t *);
static uint32_t (*get_write_watch)(uint32_t, void *, size_t, void **, uintptr_t *, uint32_t *);
static uint32_t (*reset_write_watch)(void *, size_t);

#define BIND(name, function) ww_win32_bind(win32, name, WW_WIN32_SYSV, (ww_win32_function *)&(function))

static void open_win32(void)
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

static void use_win32(void)
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

/* ---- a backend that is replaced ---- */

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
    { "ww_close()", meet_close },
};
#define NR_MEETINGS (sizeof(meetings) / sizeof(meetings[0]))

/* Of the region, written in one page; it may take a while until a breakage is noticed. */
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

static void break_and_meet(const char *name, size_t breakage, size_t meeting, bool on_demand)
{
    bool was_exact;

    for (int fd = 0; fd < MAX_FDS; fd++) {
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    }
    open_and_watch(name);
    open_win32();
    was_exact = is_exact(ctx);
    if (on_demand) {
        char *more = mmap(NULL, 8 * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        watch_on_demand(more, 8);
    }
    for (int round = 0; round < 2; round++) {
        breakages[breakage].apply();
        for (int i = 0; i < 3; i++) {
            write_page(base, 0, 1);
            meetings[meeting].meet();
        }
    }
    if (meetings[meeting].meet != meet_close) {
        bool exact = is_exact_again();

        /* What is served on demand keeps the first descriptor at work for a while. */
        MUST(exact || !was_exact || on_demand || !breakages[breakage].can_be_repaired);
    }
    MUST((ww_win32_close(win32), true));
    MUST((ww_close(ctx), true));
}

/* ---- the cases ---- */

static const struct {
    const char *name;
    void (*run)(const char *name);
} cases[] = {
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
#define NR_CASES (sizeof(cases) / sizeof(cases[0]))
#define NR_REPLACEMENTS (NR_BREAKAGES * NR_MEETINGS * 2)

static int run_case(size_t index, const char *name)
{
    if (index < NR_CASES) {
        cases[index].run(name);
    } else {
        index -= NR_CASES;
        break_and_meet(name, index / 2 / NR_MEETINGS, index / 2 % NR_MEETINGS, index % 2);
    }
    if (wrong) {
        dprintf(2, "wrong: %s\n", wrong);
    }
    if (atomic_load(&nr_blocked)) {
        dprintf(2, "%u of %u calls with signals blocked, the first is %s() in %s\n", atomic_load(&nr_blocked),
                atomic_load(&nr_calls), first_blocked, blocked_in);
    }
    return wrong || atomic_load(&nr_blocked);
}

/* Runs a case in a process of its own, which has called nothing yet. */
static void check_case(size_t index, const char *what, const char *name)
{
    char number[24];
    int status;
    pid_t pid;

    snprintf(number, sizeof(number), "%zu", index);
    pid = fork();
    if (!pid) {
        execl("/proc/self/exe", "test-malloc", number, name, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(!status, "%s on %s (test-malloc %s '%s'): status %#x", what, name[0] ? name : "the best",
                  number, name, status);
}

/* Of a loop over cases and backends; the last is the choice. */
static const char *backend_of(int index)
{
    size_t at = index % (nr_backends + 1);

    return at < nr_backends ? backends[at].name : "";
}

START_TEST(calls_do_not_use_malloc_with_signals_blocked)
{
    size_t index = _i / (nr_backends + 1);

    check_case(index, cases[index].name, backend_of(_i));
}
END_TEST

START_TEST(replacements_do_not_use_malloc_with_signals_blocked)
{
    size_t index = _i / (nr_backends + 1), at = _i % (nr_backends + 1);
    char what[200];

    /* The best has what the first has. */
    if (index % 2 && !(backends[at < nr_backends ? at : 0].caps & WW_CAP_FILL_ON_DEMAND)) {
        return;
    }
    snprintf(what, sizeof(what), "%s%s, %s", breakages[index / 2 / NR_MEETINGS].name,
             index % 2 ? ", on demand" : "", meetings[index / 2 % NR_MEETINGS].name);
    check_case(NR_CASES + index, what, backend_of(_i));
}
END_TEST

/* The test would not be one if the C library's own calls went past it. */
START_TEST(calls_of_the_c_library_are_seen)
{
    unsigned int before = atomic_load(&nr_calls);
    sigset_t all, saved;
    FILE *file;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &saved);
    file = fopen("/dev/null", "r");
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    ck_assert_ptr_nonnull(file);
    fclose(file);
    ck_assert_uint_gt(atomic_load(&nr_calls), before);
    ck_assert_uint_gt(atomic_load(&nr_blocked), 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("malloc");
    TCase *calls = tcase_create("calls"), *replacements = tcase_create("replacements");

    if (argc == 3) {
        return run_case(atoi(argv[1]), argv[2]);
    }
    nr_backends = find_backends(backends, 0);
    tcase_set_timeout(calls, 60);
    tcase_set_timeout(replacements, 60);
    tcase_add_test(calls, calls_of_the_c_library_are_seen);
    tcase_add_loop_test(calls, calls_do_not_use_malloc_with_signals_blocked, 0, NR_CASES * (nr_backends + 1));
    tcase_add_loop_test(replacements, replacements_do_not_use_malloc_with_signals_blocked, 0,
                        NR_REPLACEMENTS * (nr_backends + 1));
    suite_add_tcase(suite, calls);
    suite_add_tcase(suite, replacements);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
