/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who waits for whom, and that whoever waits sleeps. In the mprotect backend a handler is held at the very
 * place where it has opened a page and not yet set its dirty bit: the word with the bit is write-protected by
 * a userfaultfd of the test's. A fill is held before its content is written. What must not happen takes
 * SETTLE_MS to be believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "deny-call.h"
#include "internal.h"
#include "backends/mprotect/mprotect.h"
#include "util.h"

#define NR_PAGES 8
#define SETTLE_MS 100
#define HOLD_MS 300

static struct ww_context *ctx;

static void open_context(void)
{
    ck_assert_int_eq(ww_open(&ctx, "mprotect"), 0);
}

static void close_context(void)
{
    ww_close(ctx);
}

static char *watch_pages(size_t nr)
{
    char *base = map_pages(nr);

    ck_assert_int_eq(ww_watch(ctx, base, nr * page_size(), WW_WATCH_FRESH), 0);
    return base;
}

static void sleep_ms(long ms)
{
    usleep(ms * 1000);
}

/* ---- a thread that makes one call ---- */

struct call {
    pthread_t thread;
    void (*function)(struct call *);
    char *base;
    ssize_t found;
    long cpu_ms; /* what the thread has used */
    atomic_bool over;
};

static void *make_call(void *arg)
{
    struct call *call = arg;
    struct timespec used;

    call->function(call);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    call->cpu_ms = used.tv_sec * 1000 + used.tv_nsec / 1000000;
    atomic_store(&call->over, true);
    return NULL;
}

static void begin(struct call *call, void (*function)(struct call *), char *base)
{
    *call = (struct call){ .function = function, .base = base };
    ck_assert_int_eq(pthread_create(&call->thread, NULL, make_call, call), 0);
}

static void end(struct call *call)
{
    ck_assert_int_eq(pthread_join(call->thread, NULL), 0);
}

static void count_pages(struct call *call)
{
    call->found = ww_count(ctx, call->base, NR_PAGES * page_size());
}

static void store(struct call *call)
{
    write_page(call->base, 1, 1);
}

/* ---- handlers that are held ---- */

static int uffd = -1;

static bool open_uffd(void)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };

    uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
        printf("SKIP: no userfaultfd here that write-protects pages, and so no way to hold a handler\n");
        return false;
    }
    return true;
}

static struct uffdio_range dirty_words(const char *base)
{
    const struct ww_region *region = ww_region_find(ctx, (uintptr_t)base);
    const struct ww_prot_map *map = region->priv;

    return (struct uffdio_range){ .start = (uintptr_t)map->pages->dirty, .len = page_size() };
}

/* The handler of a store to these pages stops where it sets a dirty bit. */
static void hold_handlers(const char *base)
{
    struct uffdio_register reg = { .range = dirty_words(base), .mode = UFFDIO_REGISTER_MODE_WP };
    struct uffdio_writeprotect protect = { .range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

    /* Only what exists can be protected. */
    atomic_fetch_or((_Atomic uint64_t *)reg.range.start, 0);
    ck_assert_int_eq(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
    ck_assert_int_eq(ioctl(uffd, UFFDIO_WRITEPROTECT, &protect), 0);
}

static void release_handlers(const char *base)
{
    struct uffdio_writeprotect open = { .range = dirty_words(base) };

    ck_assert_int_eq(ioctl(uffd, UFFDIO_WRITEPROTECT, &open), 0);
}

/* Returns once the store's handler is held. */
static void begin_held_store(struct call *call, char *base)
{
    struct uffd_msg message;

    hold_handlers(base);
    begin(call, store, base);
    ck_assert_int_eq(read(uffd, &message, sizeof(message)), sizeof(message));
    ck_assert_int_eq(message.event, UFFD_EVENT_PAGEFAULT);
}

/*
 * The first waits for the handler, which began in an even epoch. The second begins its two
 * flips behind the first one's, waits for a handler of the odd epoch, and finds the third one's flip
 * in between when it goes on: if flips may mix, both of its own are of the odd epoch.
 */
START_TEST(three_that_wait_for_handlers_do_not_mix)
{
    char *base[4];
    struct call even, odd, first, second, third;

    if (!open_uffd()) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        base[i] = watch_pages(NR_PAGES);
    }
    begin_held_store(&even, base[0]);
    /* The page is open: this write is over before anyone asks. */
    write_page(base[0], 1, 2);
    begin(&first, count_pages, base[1]);
    sleep_ms(SETTLE_MS);
    begin_held_store(&odd, base[3]);
    begin(&second, count_pages, base[0]);
    sleep_ms(SETTLE_MS);
    begin(&third, count_pages, base[2]);
    sleep_ms(SETTLE_MS);
    release_handlers(base[3]);
    end(&odd);
    sleep_ms(SETTLE_MS);
    ck_assert_msg(!atomic_load(&second.over), "an answer of %zd pages came while a handler was at work",
                  second.found);
    release_handlers(base[0]);
    end(&even);
    end(&first);
    end(&second);
    end(&third);
    ck_assert_int_eq(second.found, 1);
    ck_assert_int_eq(first.found, 0);
    ck_assert_int_eq(third.found, 0);
}
END_TEST

/* Under SCHED_FIFO, one that does not sleep would keep the handler's thread from the processor. */
START_TEST(who_waits_for_a_handler_sleeps)
{
    char *base[2] = { watch_pages(NR_PAGES), watch_pages(NR_PAGES) };
    struct call held, counting;

    if (!open_uffd()) {
        return;
    }
    begin_held_store(&held, base[0]);
    begin(&counting, count_pages, base[1]);
    sleep_ms(HOLD_MS);
    ck_assert(!atomic_load(&counting.over));
    release_handlers(base[0]);
    end(&held);
    end(&counting);
    ck_assert_int_lt(counting.cpu_ms, HOLD_MS / 30);
}
END_TEST

static void expect_child(pid_t child)
{
    int status;

    ck_assert_int_ge(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status %#x", status);
}

START_TEST(a_fork_while_handlers_are_waited_for)
{
    char *base[2] = { watch_pages(NR_PAGES), watch_pages(NR_PAGES) };
    struct call held, counting;
    pid_t child;

    if (!open_uffd()) {
        return;
    }
    begin_held_store(&held, base[0]);
    begin(&counting, count_pages, base[1]);
    sleep_ms(SETTLE_MS);
    child = fork();
    if (!child) {
        alarm(10);
        write_page(base[1], 2, 1);
        ww_close(ctx);
        _exit(0);
    }
    release_handlers(base[0]);
    end(&held);
    end(&counting);
    expect_child(child);
}
END_TEST

/* ---- fills that are held ---- */

static atomic_bool is_fill_held, is_fill_there;

ssize_t __real_pwrite64(int fd, const void *content, size_t len, off64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *content, size_t len, off64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *content, size_t len, off64_t offset)
{
    atomic_store(&is_fill_there, true);
    while (atomic_load(&is_fill_held)) {
        sleep_ms(1);
    }
    return __real_pwrite64(fd, content, len, offset);
}

static void fill_pages(struct call *call)
{
    char *content = calloc(NR_PAGES, page_size());

    memset(content, 7, NR_PAGES * page_size());
    call->found = ww_fill(ctx, call->base, content, NR_PAGES * page_size());
    free(content);
}

static bool begin_held_fill(struct call *call, char *base)
{
    if (!(ww_backend_caps(ctx) & WW_CAP_FILL)) {
        printf("SKIP: mprotect cannot fill here\n");
        return false;
    }
    atomic_store(&is_fill_held, true);
    atomic_store(&is_fill_there, false);
    begin(call, fill_pages, base);
    while (!atomic_load(&is_fill_there)) {
        sleep_ms(1);
    }
    return true;
}

START_TEST(a_store_sleeps_until_its_page_is_filled)
{
    char *base = watch_pages(NR_PAGES);
    struct call filling, storing;

    if (!begin_held_fill(&filling, base)) {
        return;
    }
    begin(&storing, store, base);
    sleep_ms(HOLD_MS);
    ck_assert(!atomic_load(&storing.over));
    atomic_store(&is_fill_held, false);
    end(&filling);
    end(&storing);
    ck_assert_int_eq(filling.found, NR_PAGES * page_size());
    ck_assert_int_eq(read_page(base, 1), 1);
    ck_assert_int_eq(read_page(base, 2), 7);
    expect_map(ctx, base, ".#......");
    ck_assert_int_lt(storing.cpu_ms, HOLD_MS / 30);
}
END_TEST

/* Nobody goes on to fill the range in the child. */
START_TEST(a_fork_in_the_middle_of_a_fill)
{
    char *base = watch_pages(NR_PAGES);
    struct call filling;
    pid_t child;

    if (!begin_held_fill(&filling, base)) {
        return;
    }
    child = fork();
    if (!child) {
        alarm(10);
        write_page(base, 1, 1);
        _exit(0);
    }
    sleep_ms(SETTLE_MS);
    atomic_store(&is_fill_held, false);
    end(&filling);
    expect_child(child);
}
END_TEST

/* ---- stores that faulted while their page was watched, and are looked at later ---- */

static struct sigaction ours;
static atomic_bool is_late, is_held_back;

static sigjmp_buf out;
static volatile sig_atomic_t caught;

static void jump_out(int sig)
{
    caught = sig;
    siglongjmp(out, 1);
}

static void store_and_catch(struct call *call)
{
    if (!sigsetjmp(out, 1)) {
        store(call);
    }
}

/* Stands in front of our handler, and calls it late. */
static void call_late(int sig, siginfo_t *info, void *context)
{
    if (!atomic_exchange(&is_late, true)) {
        atomic_store(&is_held_back, true);
        while (atomic_load(&is_held_back)) {
            sleep_ms(1);
        }
    }
    ours.sa_sigaction(sig, info, context);
}

static void stand_in_front(void)
{
    struct sigaction action = { .sa_sigaction = call_late, .sa_flags = SA_SIGINFO };

    ck_assert_int_eq(sigaction(SIGSEGV, &action, &ours), 0);
}

static void begin_late_store(struct call *call, char *base)
{
    begin(call, store_and_catch, base);
    while (!atomic_load(&is_held_back)) {
        sleep_ms(1);
    }
}

/* As on kernels before 5.14. */
static void deny_populate_write(void)
{
    ck_assert_msg(deny_call(SYS_madvise, 2, 23, EINVAL, 0), "seccomp: %s", strerror(errno));
}

START_TEST(a_store_whose_page_is_watched_no_more_goes_through)
{
    struct call storing;
    char *base;

    signal(SIGSEGV, jump_out);
    base = watch_pages(NR_PAGES);
    deny_populate_write();
    stand_in_front();
    begin_late_store(&storing, base);
    ck_assert_int_eq(ww_unwatch(ctx, base, NR_PAGES * page_size()), 0);
    atomic_store(&is_held_back, false);
    end(&storing);
    ck_assert_int_eq(caught, 0);
    ck_assert_int_eq(read_page(base, 1), 1);
}
END_TEST

/* There is no page to store to: that is a SIGBUS, with us or without. */
START_TEST(a_store_behind_the_end_of_a_file_stays_a_sigbus)
{
    int fd = memfd_create("short", MFD_CLOEXEC);
    struct call storing;
    char *base;

    signal(SIGSEGV, jump_out);
    signal(SIGBUS, jump_out);
    ck_assert_int_eq(ftruncate(fd, NR_PAGES * page_size()), 0);
    base = mmap(NULL, NR_PAGES * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(base != MAP_FAILED);
    ck_assert_int_eq(ww_watch(ctx, base, NR_PAGES * page_size(), 0), 0);
    ck_assert_int_eq(ww_reset(ctx, base, NR_PAGES * page_size()), 0);
    stand_in_front();
    begin_late_store(&storing, base);
    ck_assert_int_eq(ww_unwatch(ctx, base, NR_PAGES * page_size()), 0);
    ck_assert_int_eq(ftruncate(fd, page_size()), 0);
    atomic_store(&is_held_back, false);
    end(&storing);
    ck_assert_int_eq(caught, SIGBUS);
}
END_TEST

/* ---- stores that must fault ---- */

#define NR_THREADS 150
#define NR_FAULTS 200

static __thread sigjmp_buf thread_out;
static atomic_int nr_caught;

static void jump_out_of_thread(int sig)
{
    (void)sig;
    atomic_fetch_add(&nr_caught, 1);
    siglongjmp(thread_out, 1);
}

static void fault_again_and_again(struct call *call)
{
    for (volatile int i = 0; i < NR_FAULTS; i++) {
        if (!sigsetjmp(thread_out, 1)) {
            write_page(call->base, i % NR_PAGES, 1);
            call->found++;
        }
    }
}

/* Each store to memory that cannot be written, watched (odd) or not any more (even), reaches the program's
 * handler, while tables change. */
START_TEST(stores_that_must_fault_all_do)
{
    struct sigaction action = { .sa_handler = jump_out_of_thread };
    size_t len = NR_PAGES * page_size();
    struct call *calls = calloc(NR_THREADS, sizeof(*calls));
    char *base[2], *other;

    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    base[0] = watch_pages(NR_PAGES);
    base[1] = watch_pages(NR_PAGES);
    other = map_pages(NR_PAGES);
    ck_assert_int_eq(ww_unwatch(ctx, base[0], len), 0);
    ck_assert_int_eq(mprotect(base[0], len, PROT_READ), 0);
    ck_assert_int_eq(ww_protect(ctx, base[1], len, PROT_READ), 0);
    for (int i = 0; i < NR_THREADS; i++) {
        begin(&calls[i], fault_again_and_again, base[i % 2]);
    }
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(ww_watch(ctx, other, len, 0), 0);
        write_page(other, 1, 1);
        ck_assert_int_eq(ww_unwatch(ctx, other, len), 0);
    }
    for (int i = 0; i < NR_THREADS; i++) {
        end(&calls[i]);
        ck_assert_int_eq(calls[i].found, 0);
    }
    ck_assert_int_eq(nr_caught, NR_THREADS * NR_FAULTS);
    free(calls);
}
END_TEST

/* ---- no memory ---- */

static bool is_heap_empty;

void *__real_ww_heap_alloc(size_t size);
void *__wrap_ww_heap_alloc(size_t size);
void *__wrap_ww_heap_alloc(size_t size)
{
    return is_heap_empty ? NULL : __real_ww_heap_alloc(size);
}

/* The table cannot be copied then. */
START_TEST(a_watch_that_ends_without_memory_leaves_the_others)
{
    static const int order[] = { 1, 3, 2, 0 };
    char *base[4], *other = NULL;

    for (int i = 0; i < 4; i++) {
        base[i] = watch_pages(NR_PAGES);
    }
    for (int i = 0; i < 4; i++) {
        is_heap_empty = true;
        ck_assert_int_eq(ww_unwatch(ctx, base[order[i]], NR_PAGES * page_size()), 0);
        is_heap_empty = false;
        write_page(base[order[i]], 5, 1);
        for (int k = i + 1; k < 4; k++) {
            write_page(base[order[k]], i, 1);
            ck_assert_int_eq(ww_count(ctx, base[order[k]], NR_PAGES * page_size()), i + 1);
        }
        if (i == 1) {
            /* The copy that is made then has each range once. */
            other = watch_pages(NR_PAGES);
            write_page(other, 2, 1);
            expect_map(ctx, other, "..#.....");
        }
    }
    write_page(other, 3, 1);
    expect_map(ctx, other, "..##....");
}
END_TEST

/* ---- the kernel asks for another try ---- */

static const struct {
    const char *backend;
    unsigned long request;
    bool fills;
} tries[] = {
    { "uffd", UFFDIO_COPY, true },
    { "uffd", PAGEMAP_SCAN, false },
    { "uffd-sync", UFFDIO_WRITEPROTECT, false },
    { "softdirty", PAGEMAP_SCAN, false },
};

static atomic_ulong refused; /* the request that gets EAGAIN */

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    if (request == atomic_load(&refused)) {
        errno = EAGAIN;
        return -1;
    }
    return __real_ioctl(fd, request, arg);
}

static void get_and_reset(struct call *call)
{
    void *pages[NR_PAGES];

    call->found = ww_get_pages(ctx, call->base, NR_PAGES * page_size(), WW_GET_RESET, pages, NR_PAGES);
}

START_TEST(who_is_to_try_again_sleeps_in_between)
{
    struct call calling;
    char *base;

    if (ww_open(&ctx, tries[_i].backend)) {
        printf("SKIP backend %s: not here\n", tries[_i].backend);
        return;
    }
    base = watch_pages(NR_PAGES);
    if (!tries[_i].fills) {
        write_page(base, 3, 1);
    }
    atomic_store(&refused, tries[_i].request);
    begin(&calling, tries[_i].fills ? fill_pages : get_and_reset, base);
    sleep_ms(HOLD_MS);
    atomic_store(&refused, 0);
    end(&calling);
    ck_assert_int_eq(calling.found, tries[_i].fills ? NR_PAGES * page_size() : 1);
    ck_assert_int_lt(calling.cpu_ms, HOLD_MS / 15);
    ww_close(ctx);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waits");
    TCase *tcase = tcase_create("mprotect"), *others = tcase_create("others");

    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    tcase_add_test(tcase, three_that_wait_for_handlers_do_not_mix);
    tcase_add_test(tcase, who_waits_for_a_handler_sleeps);
    tcase_add_test(tcase, a_fork_while_handlers_are_waited_for);
    tcase_add_test(tcase, a_store_sleeps_until_its_page_is_filled);
    tcase_add_test(tcase, a_fork_in_the_middle_of_a_fill);
    tcase_add_test(tcase, a_store_whose_page_is_watched_no_more_goes_through);
    tcase_add_test(tcase, a_store_behind_the_end_of_a_file_stays_a_sigbus);
    tcase_add_test(tcase, stores_that_must_fault_all_do);
    tcase_add_test(tcase, a_watch_that_ends_without_memory_leaves_the_others);
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(others, 30);
    tcase_add_loop_test(others, who_is_to_try_again_sleeps_in_between, 0, sizeof(tries) / sizeof(tries[0]));
    suite_add_tcase(suite, others);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
