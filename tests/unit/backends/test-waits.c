/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which threads wait for which, and that they sleep while they wait. In the mprotect backend the test stops a
 * handler where it has opened a page and not yet set its dirty bit: a userfaultfd of the test write-protects
 * the word with the bit. waits-fills.c and waits-stores.c test fills and stores.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "context.h"
#include "backends/mprotect/mprotect.h"
#include "waits.h"

void sleep_ms(long ms)
{
    usleep(ms * 1000);
}

/* ---- a thread that makes one call ---- */

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

void begin(struct call *call, void (*function)(struct call *), char *base)
{
    *call = (struct call){ .function = function, .base = base };
    ck_assert_int_eq(pthread_create(&call->thread, NULL, make_call, call), 0);
}

void end(struct call *call)
{
    ck_assert_int_eq(pthread_join(call->thread, NULL), 0);
}

static void count_pages(struct call *call)
{
    call->found = ww_count(ctx, call->base, NR_PAGES * page_size());
}

void store(struct call *call)
{
    write_page(call->base, 1, 1);
}

void fill_pages(struct call *call)
{
    char *content = calloc(NR_PAGES, page_size());

    memset(content, 7, NR_PAGES * page_size());
    call->found = ww_fill(ctx, call->base, content, NR_PAGES * page_size());
    free(content);
}

void expect_child(pid_t child)
{
    int status;

    ck_assert_int_ge(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status %#x", status);
}

/* ---- handlers that are stopped ---- */

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

/* From now on the handler of a store to these pages stops where it sets a dirty bit. */
static void hold_handlers(const char *base)
{
    struct uffdio_register reg = { .range = dirty_words(base), .mode = UFFDIO_REGISTER_MODE_WP };
    struct uffdio_writeprotect protect = { .range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

    /* The page must exist before it can be protected. */
    atomic_fetch_or((_Atomic uint64_t *)reg.range.start, 0);
    ck_assert_int_eq(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
    ck_assert_int_eq(ioctl(uffd, UFFDIO_WRITEPROTECT, &protect), 0);
}

static void release_handlers(const char *base)
{
    struct uffdio_writeprotect open = { .range = dirty_words(base) };

    ck_assert_int_eq(ioctl(uffd, UFFDIO_WRITEPROTECT, &open), 0);
}

/* Starts a store, and returns once its handler is stopped. */
static void begin_held_store(struct call *call, char *base)
{
    struct uffd_msg message;

    hold_handlers(base);
    begin(call, store, base);
    ck_assert_int_eq(read(uffd, &message, sizeof(message)), sizeof(message));
    ck_assert_int_eq(message.event, UFFD_EVENT_PAGEFAULT);
}

/*
 * Three threads synchronize with the handlers (grace.c). The first waits for a handler that began in an even
 * epoch. If the others did not wait for the first, the second would end an odd epoch and wait for its
 * handler; the third would end an even one meanwhile; and the second would then end another odd epoch. It
 * would never have waited for the handler of the even one.
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
    /* The page is open already: this write is over before any thread counts. */
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

/* Under SCHED_FIFO, a thread that waits without sleeping would keep the processor from the handler. */
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

/* ---- the kernel returns EAGAIN ---- */

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
    add_fill_tests(tcase);
    add_store_tests(tcase);
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(others, 30);
    tcase_add_loop_test(others, who_is_to_try_again_sleeps_in_between, 0, sizeof(tries) / sizeof(tries[0]));
    suite_add_tcase(suite, others);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
