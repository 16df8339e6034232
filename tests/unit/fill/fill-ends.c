/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How demand paging begins and ends: arguments, ww_unwatch() and ww_close() while a callback runs and threads
 * wait for pages, fork, exit, and descriptors that the program has closed.
 */
#include "deny-call.h"
#include "fill.h"
#include "kernel/uapi.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#define SEED 31

/* How libc calls fstat(). */
#ifdef SYS_newfstatat
#define SYS_fstat_too SYS_newfstatat
#else
#define SYS_fstat_too SYS_fstat64
#endif

/* The state of the callback. If it is slow, it posts begun and waits for go_on. */
static struct {
    char *base;
    sem_t begun, go_on;
    atomic_bool slow, ended;
    atomic_uint nr_calls;
    atomic_int unwatched; /* what ww_unwatch() returned within the callback */
} source;

static int give_image(void *arg, uintptr_t addr, void *page, size_t len)
{
    size_t first = (addr - (uintptr_t)source.base) / page_size();

    (void)arg;
    atomic_fetch_add(&source.nr_calls, 1);
    if (atomic_load(&source.slow)) {
        sem_post(&source.begun);
        while (sem_wait(&source.go_on)) {
            ;
        }
    }
    make_image(page, SEED, first, len / page_size());
    atomic_store(&source.ended, true);
    return 0;
}

static char *demand_pages(size_t nr, bool slow)
{
    char *base = watch_pages(nr);

    memset(&source, 0, sizeof(source));
    source.base = base;
    source.slow = slow;
    sem_init(&source.begun, 0, 0);
    sem_init(&source.go_on, 0, 0);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, nr * page_size(), give_image, NULL), 0);
    return base;
}

static void await(sem_t *sem)
{
    while (sem_wait(sem)) {
        ck_assert_int_eq(errno, EINTR);
    }
}

/* What this thread reads in the page: 0 zeros, 1 the image, 2 neither. */
static void *look(void *addr)
{
    size_t page = ((char *)addr - source.base) / page_size();

    if (has_image(source.base, SEED, page)) {
        return (void *)1;
    }
    return has_zeros(source.base, page) ? NULL : (void *)2;
}

static void *release_later(void *arg)
{
    (void)arg;
    usleep(200000);
    sem_post(&source.go_on);
    return NULL;
}

START_TEST(wrong_arguments_change_nothing)
{
    size_t page = page_size();
    char *base = watch_pages(8);

    source.base = base;
    ck_assert_int_eq(ww_unwatch(ctx, base + 4 * page, page), 0);
    ck_assert_int_eq(ww_fill_on_demand(NULL, base, page, give_image, NULL), -EINVAL);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base + 1, page, give_image, NULL), -EINVAL);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, page + 1, give_image, NULL), -EINVAL);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, 0, give_image, NULL), -EINVAL);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, -page, give_image, NULL), -EINVAL);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, page, NULL, NULL), -EINVAL);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base + 4 * page, page, give_image, NULL), -ENOENT);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base + 3 * page, 2 * page, give_image, NULL), -ENOENT);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base + page, 2 * page, give_image, NULL), 0);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, 2 * page, give_image, NULL), -EEXIST);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base + 2 * page, page, give_image, NULL), -EEXIST);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base + 3 * page, page, give_image, NULL), 0);
    ck_assert(has_zeros(base, 0) && has_zeros(base, 5));
    expect_image(base, SEED, 1, 3);
}
END_TEST

START_TEST(unwatch_waits_for_a_callback_at_work)
{
    pthread_t looker, releaser;
    char *base = demand_pages(4, true);
    void *found;

    ck_assert_int_eq(pthread_create(&looker, NULL, look, base + page_size()), 0);
    await(&source.begun);
    ck_assert_int_eq(pthread_create(&releaser, NULL, release_later, NULL), 0);
    ck_assert(!atomic_load(&source.ended));
    ck_assert_int_eq(ww_unwatch(ctx, base, 4 * page_size()), 0);
    ck_assert(atomic_load(&source.ended));
    pthread_join(looker, &found);
    pthread_join(releaser, NULL);
    ck_assert_int_eq((intptr_t)found, 0);
    ck_assert(has_zeros(base, 3));
    ck_assert_int_eq(atomic_load(&source.nr_calls), 1);
}
END_TEST

static atomic_int tids[3];

static void *look_and_tell(void *addr)
{
    for (size_t i = 0; i < 3; i++) {
        int none = 0;

        if (atomic_compare_exchange_strong(&tids[i], &none, gettid())) {
            break;
        }
    }
    return look(addr);
}

/* The pages that three threads look at. */
static const size_t order[] = { 8, 0, 2 };

/* Unwatches page 2, while the library's thread runs the callback for page 0 and has read the fault on page 2
 * already. */
static void unwatch_behind_a_callback(char *base, pthread_t *ret_lookers)
{
    size_t page = page_size();

    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_create(&ret_lookers[i], NULL, look_and_tell, base + order[i] * page), 0);
        while (!atomic_load(&tids[i])) {
            usleep(1000);
        }
        await_sleep(atomic_load(&tids[i]));
        if (!i) {
            await(&source.begun);
        }
    }
    sem_post(&source.go_on);
    await(&source.begun);
    ck_assert_int_eq(ww_unwatch(ctx, base + 2 * page, page), 0);
}

START_TEST(no_callback_begins_after_unwatch)
{
    char *base = demand_pages(9, true);
    pthread_t lookers[3];
    void *found;

    unwatch_behind_a_callback(base, lookers);
    sem_post(&source.go_on);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(lookers[i], &found);
        ck_assert_int_eq((intptr_t)found, order[i] == 2 ? 0 : 1);
    }
    usleep(50000);
    ck_assert_int_eq(atomic_load(&source.nr_calls), 2);
}
END_TEST

static int refuse(void *arg, uintptr_t addr, void *page, size_t len)
{
    (void)arg;
    (void)addr;
    (void)page;
    (void)len;
    return -1;
}

static int give_twos(void *arg, uintptr_t addr, void *page, size_t len)
{
    (void)arg;
    (void)addr;
    memset(page, 2, len);
    return 0;
}

/* The library's thread has read a fault there when the watch ends, and comes to it when the memory is watched
 * again, by this context or by another one. */
START_TEST(a_late_page_in_fills_no_later_watch)
{
    char *base = demand_pages(9, true), *again;
    size_t page = page_size();
    struct ww_context *second;
    pthread_t lookers[3];

    ck_assert_int_eq(ww_open(&second, backend->name), 0);
    unwatch_behind_a_callback(base, lookers);
    pthread_join(lookers[2], NULL);
    again = base + 2 * page;
    remap_pages(again, 1);
    if (_i) {
        ck_assert_int_eq(ww_watch(second, again, page, WW_WATCH_FRESH), 0);
        ck_assert_int_eq(ww_fill_on_demand(second, again, page, give_twos, NULL), 0);
    } else {
        ck_assert_int_eq(ww_watch(ctx, again, page, WW_WATCH_FRESH), 0);
    }
    atomic_store(&source.slow, false);
    sem_post(&source.go_on);
    pthread_join(lookers[0], NULL);
    pthread_join(lookers[1], NULL);
    usleep(50000);
    if (_i) {
        ck_assert_int_eq(*again, 2);
    } else {
        ck_assert_int_eq(ww_fill(ctx, again, map_image(SEED, 1), page), page);
    }
    ww_close(second);
}
END_TEST

/* A file on a disk, which the kernel refuses to unregister together with its neighbours, lies in the middle.
 */
START_TEST(unwatch_ends_demand_paging_beside_a_file)
{
    size_t page = page_size();
    char *base = demand_pages(16, false), *over = base + 8 * page;
    FILE *file = tmpfile();
    struct ww_context *second;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(ftruncate(fileno(file), page), 0);
    ck_assert_ptr_eq(mmap(over, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fileno(file), 0),
                     over);
    ck_assert_int_eq(ww_unwatch(ctx, base, 16 * page), 0);
    alarm(10);
    for (size_t i = 0; i < 16; i++) {
        ck_assert(has_zeros(base, i));
    }
    alarm(0);
    ck_assert_int_eq(atomic_load(&source.nr_calls), 0);
    ck_assert_int_eq(ww_open(&second, backend->name), 0);
    ck_assert_int_eq(ww_watch(second, base, 8 * page, 0), 0);
    ck_assert_int_eq(ww_watch(second, base + 9 * page, 7 * page, 0), 0);
    ww_close(second);
    fclose(file);
}
END_TEST

static sigjmp_buf refused;

static void on_signal(int sig)
{
    siglongjmp(refused, sig);
}

/* Reads or writes the page. Returns 0, or the signal that the access ended in. */
static int touch(char *base, size_t page, bool write)
{
    int sig = sigsetjmp(refused, 1);

    if (!sig && write) {
        write_page(base, page, 1);
    } else if (!sig) {
        read_page(base, page);
    }
    return sig;
}

static void *touch_page_1(void *base)
{
    return (void *)(intptr_t)touch(base, 1, false);
}

static void *unwatch_all(void *base)
{
    return (void *)(intptr_t)ww_unwatch(ctx, base, 4 * page_size());
}

/* The callback still runs when its range is unwatched, watched and given to another one. Nobody waits for the
 * page any more. */
START_TEST(a_late_callback_fills_no_later_watch)
{
    char *base = demand_pages(4, true);
    struct sigaction action = { .sa_handler = on_signal };
    pthread_t toucher, unwatcher;
    struct ww_range range;
    void *sig;

    NOT_UNDER_TSAN("it puts a signal off while the thread waits for a page");
    sigaction(SIGUSR1, &action, NULL);
    ck_assert_int_eq(pthread_create(&toucher, NULL, touch_page_1, base), 0);
    await(&source.begun);
    pthread_kill(toucher, SIGUSR1);
    pthread_join(toucher, &sig);
    ck_assert_int_eq((intptr_t)sig, SIGUSR1);
    ck_assert_int_eq(pthread_create(&unwatcher, NULL, unwatch_all, base), 0);
    while (!ww_find(ctx, base, &range)) {
        usleep(1000);
    }
    ck_assert_int_eq(ww_watch(ctx, base, 4 * page_size(), WW_WATCH_FRESH), 0);
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, 4 * page_size(), _i ? refuse : give_twos, NULL), 0);
    sem_post(&source.go_on);
    pthread_join(unwatcher, NULL);
    if (!_i) {
        ck_assert_int_eq(base[page_size()], 2);
    } else {
        ck_assert_int_eq(ww_fill(ctx, base + page_size(), map_image(SEED, 1), page_size()), page_size());
    }
}
END_TEST

/* Threads that wait for a page must go on, whatever the sandbox that came later denies to the library's
 * thread. */
START_TEST(a_later_sandbox_hangs_no_reader)
{
    static const struct {
        long calls[2];
    } denied[] = { { { SYS_fstat, SYS_fstat_too } },
                   { { SYS_poll, SYS_ppoll } },
                   { { SYS_ioctl, SYS_ioctl } } };
    char *base = demand_pages(6, false);

    ck_assert(has_image(base, SEED, 0));
    for (size_t i = 0; i < 2; i++) {
        ck_assert(deny_call(denied[_i].calls[i], 0, 0, EPERM, SECCOMP_FILTER_FLAG_TSYNC));
    }
    usleep(300000);
    alarm(20);
    ck_assert(has_image(base, SEED, 1) || has_zeros(base, 1));
    write_page(base, 2, 1);
    ck_assert_int_ge(ww_count(ctx, base + 2 * page_size(), page_size()), 1);
    ww_unwatch(ctx, base, 6 * page_size());
    ww_close(ctx);
    ctx = NULL;
    alarm(0);
}
END_TEST

/* A sandbox that came later lets nobody install or poison a page and denies nothing else, so the pager hears
 * of every fault and can answer none. No access loops: each ends in SIGBUS, as if the callback had failed. */
START_TEST(a_page_that_can_only_be_awaited_ends_in_sigbus)
{
    static const int errors[] = { EPERM, EACCES, EINVAL, ENOSYS, ENOTTY };
    struct sigaction action = { .sa_handler = on_signal };
    char *base = demand_pages(6, false), *other = watch_pages(2), *image = map_image(SEED, 1);
    int error = errors[_i % 5];
    bool poison_too = _i >= 5;
    ssize_t filled;

    ck_assert(has_image(base, SEED, 0));
    ck_assert_int_eq(sigaction(SIGBUS, &action, NULL), 0);
    ck_assert(deny_call(SYS_ioctl, 1, (unsigned int)UFFDIO_COPY, error, SECCOMP_FILTER_FLAG_TSYNC));
    ck_assert(!poison_too ||
              deny_call(SYS_ioctl, 1, (unsigned int)UFFDIO_POISON, error, SECCOMP_FILTER_FLAG_TSYNC));
    alarm(20);
    ck_assert_int_eq(touch(base, 1, false), SIGBUS);
    ck_assert_int_eq(touch(base, 2, true), SIGBUS);
    ck_assert_int_eq(touch(base, 1, false), SIGBUS);
    /* What was there stays. */
    ck_assert_int_eq(touch(base, 0, false), 0);
    ck_assert(has_image(base, SEED, 0));
    write_page(base, 0, 1);
    ck_assert_int_ge(ww_count(ctx, base, page_size()), 1);
    /* Nor can the program fill memory, and what is written is reported as ever. */
    filled = ww_fill(ctx, other, image, page_size());
    ck_assert_msg(filled == -EOPNOTSUPP || filled == -EBADF || filled == -EINVAL, "%zd", filled);
    write_page(other, 1, 1);
    expect_map(ctx, other, ".#");
    ck_assert_int_eq(ww_unwatch(ctx, base, 6 * page_size()), 0);
    /* Pages that are still missing are zeros now. */
    ck_assert_int_eq(touch(base, 5, false), 0);
    ck_assert(has_zeros(base, 5));
    alarm(0);
}
END_TEST

START_TEST(unwatch_of_another_part_does_not_wait)
{
    pthread_t looker;
    char *base = demand_pages(9, true);
    void *found;

    ck_assert_int_eq(pthread_create(&looker, NULL, look, base + page_size()), 0);
    await(&source.begun);
    ck_assert_int_eq(ww_unwatch(ctx, base + 3 * page_size(), 3 * page_size()), 0);
    ck_assert(!atomic_load(&source.ended));
    /* Other calls do not wait either. */
    ck_assert_int_eq(ww_count(ctx, base, 3 * page_size()), 0);
    ck_assert_int_eq(ww_reset(ctx, base, 3 * page_size()), 0);
    ck_assert_int_eq(ww_latch(ctx, base + 6 * page_size(), 3 * page_size()), 0);
    ck_assert(has_zeros(base, 4));
    atomic_store(&source.slow, false);
    sem_post(&source.go_on);
    pthread_join(looker, &found);
    ck_assert_int_eq((intptr_t)found, 1);
    expect_image(base, SEED, 0, 3);
    expect_image(base, SEED, 6, 3);
    write_page(base, 7, 1);
    expect_map(ctx, base, "...");
    expect_map(ctx, base + 6 * page_size(), ".#.");
}
END_TEST

static int try_unwatch(void *arg, uintptr_t addr, void *page, size_t len)
{
    atomic_store(&source.unwatched, ww_unwatch(ctx, (void *)addr, len));
    return give_image(arg, addr, page, len);
}

START_TEST(a_callback_cannot_end_itself)
{
    char *base = watch_pages(2);

    source.base = base;
    ck_assert_int_eq(ww_fill_on_demand(ctx, base, 2 * page_size(), try_unwatch, NULL), 0);
    ck_assert(has_image(base, SEED, 1));
    ck_assert_int_eq(atomic_load(&source.unwatched), -EDEADLK);
    ck_assert_int_eq(ww_unwatch(ctx, base, 2 * page_size()), 0);
}
END_TEST

/* After ww_close() the program may free the callback's argument, so the callback must be over. */
START_TEST(close_waits_and_wakes_who_waits)
{
    enum { NR = 8 };
    pthread_t lookers[NR], releaser;
    char *base = demand_pages(NR * 2, true);
    void *found;

    for (size_t i = 0; i < NR; i++) {
        ck_assert_int_eq(pthread_create(&lookers[i], NULL, look, base + 2 * i * page_size()), 0);
    }
    await(&source.begun);
    ck_assert_int_eq(pthread_create(&releaser, NULL, release_later, NULL), 0);
    ww_close(ctx);
    ck_assert(atomic_load(&source.ended));
    ck_assert_int_eq(atomic_load(&source.nr_calls), 1);
    for (size_t i = 0; i < NR; i++) {
        pthread_join(lookers[i], &found);
        ck_assert_int_eq((intptr_t)found, 0);
    }
    pthread_join(releaser, NULL);
    ck_assert(has_zeros(base, 1));
    ck_assert_int_eq(atomic_load(&source.nr_calls), 1);
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
}
END_TEST

/* ---- again and again ---- */

static atomic_bool stop_looking;

static void *look_on(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    while (!atomic_load(&stop_looking)) {
        size_t page = random_below(&random, 64);
        uint64_t word = ((volatile uint64_t *)(source.base + page * page_size()))[7];

        ck_assert_msg(word == 0 || word == image_word(SEED, page, 7), "page %zu: %#lx", page,
                      (unsigned long)word);
    }
    return NULL;
}

/* While the range is dropped, unwatched and watched again, readers find zeros or the image, and never
 * hang. */
START_TEST(coming_and_going_under_readers)
{
    pthread_t lookers[3];
    size_t page = page_size();
    char *base = demand_pages(64, false);

    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_create(&lookers[i], NULL, look_on, (void *)(i + 1)), 0);
    }
    for (int round = 0; round < 120; round++) {
        ck_assert_int_eq(madvise(base, 64 * page, MADV_DONTNEED), 0);
        usleep(200);
        if (round % 3 == 0) {
            ck_assert_int_eq(ww_unwatch(ctx, base + 16 * page, 32 * page), 0);
            ck_assert_int_eq(ww_unwatch(ctx, base, 64 * page), 0);
        } else if (round % 3 == 1) {
            ww_close(ctx);
            ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
        } else {
            ck_assert_int_eq(ww_discard(ctx, base, 64 * page), 0);
            continue;
        }
        ck_assert_int_eq(madvise(base, 64 * page, MADV_DONTNEED), 0);
        ck_assert_int_eq(ww_watch(ctx, base, 64 * page, 0), 0);
        ck_assert_int_eq(ww_fill_on_demand(ctx, base, 64 * page, give_image, NULL), 0);
    }
    atomic_store(&stop_looking, true);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(lookers[i], NULL);
    }
}
END_TEST

/* ---- processes ---- */

START_TEST(a_child_finds_zeros_and_harms_nothing)
{
    char *base = demand_pages(4, false);
    int status;
    pid_t pid;

    ck_assert(has_image(base, SEED, 1));
    for (int how = 0; how < 2; how++) {
        pid = fork();
        if (!pid) {
            bool right = has_image(base, SEED, 1) && has_zeros(base, 2) &&
                         ww_unwatch(ctx, base, page_size()) == -ECHILD &&
                         ww_fill_on_demand(ctx, base, page_size(), give_image, NULL) == -ECHILD;

            if (how) {
                ww_close(ctx);
            }
            _exit(right ? 0 : 1);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    }
    expect_image(base, SEED, 0, 4);
    expect_map(ctx, base, "....");
}
END_TEST

/* A process can exit although a callback never returns and threads wait for it. */
START_TEST(exit_waits_for_nobody)
{
    int status;
    pid_t pid;

    pid = fork();
    if (!pid) {
        pthread_t lookers[4];
        char *base;

        ww_close(ctx);
        if (ww_open(&ctx, backend->name)) {
            _exit(1);
        }
        base = demand_pages(4, true);
        for (size_t i = 0; i < 4; i++) {
            pthread_create(&lookers[i], NULL, look, base + i * page_size());
        }
        await(&source.begun);
        exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- descriptors that a program closes ---- */

/* Closes every descriptor of a file whose path contains @name. Returns how many. */
static int close_all(const char *name)
{
    char path[64], target[256];
    int nr = 0;

    for (int fd = 3; fd < 256; fd++) {
        ssize_t len;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        len = readlink(path, target, sizeof(target) - 1);
        if (len > 0) {
            target[len] = 0;
            nr += strstr(target, name) && !close(fd);
        }
    }
    return nr;
}

/* The tracker fails, but demand paging goes on: missing pages must not become zeros. */
START_TEST(a_failing_tracker_still_serves)
{
    size_t page = page_size();
    void *pages[8];
    char *base = demand_pages(4, false);
    ssize_t nr;

    ck_assert(has_image(base, SEED, 0));
    if (!close_all("/pagemap")) {
        printf("SKIP %s on %s: it does not use pagemap\n", __func__, backend->name);
        return;
    }
    ck_assert_int_eq(ww_get_pages(ctx, base, 4 * page, WW_GET_RESET, pages, 8), 4);
    expect_image(base, SEED, 0, 4);
    /* All pages count as written again, or a tracker that works by now reports none. */
    nr = ww_count(ctx, base, 4 * page);
    ck_assert_msg(nr == 4 || nr == 0, "%zd pages", nr);
    ck_assert_int_eq(ww_unwatch(ctx, base, 4 * page), 0);
    /* Another tracker tracks new regions, and is exact. */
    base = demand_pages(4, false);
    expect_image(base, SEED, 0, 2);
    write_page(base, 2, 1);
    expect_map(ctx, base, "..#.");
}
END_TEST

/* Pages that are touched before the library notices may become zeros. But no thread hangs, the library uses
 * no descriptor number that belongs to another file by now, and demand paging goes on after the next get. */
START_TEST(a_closed_userfaultfd_harms_nobody)
{
    size_t page = page_size();
    char *base, *other;
    int fds[2], nr;

    base = demand_pages(6, false);
    ck_assert(has_image(base, SEED, 0));
    nr = close_all("[userfaultfd]");
    if (!nr) {
        printf("SKIP %s on %s: it does not use userfaultfd\n", __func__, backend->name);
        return;
    }
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], "mine", 4), 4);
    ck_assert(has_image(base, SEED, 1) || has_zeros(base, 1));
    ck_assert(has_image(base, SEED, 2) || has_zeros(base, 2));
    usleep(50000);
    ck_assert_int_eq(ww_count(ctx, base, 6 * page), 6);
    expect_image(base, SEED, 3, 3);
    other = watch_pages(2);
    write_page(other, 1, 1);
    expect_map(ctx, other, ".#");
    ww_close(ctx);
    ck_assert_int_eq(fcntl(fds[0], F_GETFD), 0);
    ck_assert_int_eq(read(fds[0], &nr, 4), 4);
    ck_assert(!memcmp(&nr, "mine", 4));
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
}
END_TEST

/* The number of the userfaultfd is another file's. */
START_TEST(a_fill_without_a_descriptor_says_so)
{
    char *base = watch_pages(2), *image = map_image(SEED, 1);
    int nr = close_all("[userfaultfd]");
    ssize_t filled;

    for (int i = 0; i < nr; i++) {
        ck_assert_int_ge(open("/dev/null", O_RDWR | O_CLOEXEC), 0);
    }
    filled = ww_fill(ctx, base, image, page_size());
    ck_assert_msg(filled == (ssize_t)page_size() || filled == -EBADF || filled == -EOPNOTSUPP, "%zd", filled);
}
END_TEST

/* Nothing tracks the range any more, and all of it counts as written: a discard has nothing to do. */
START_TEST(a_discard_after_the_end_of_all_tracking_succeeds)
{
    char *base = demand_pages(6, false);
    void *pages[8];

    ck_assert(has_image(base, SEED, 0));
    close_all("[userfaultfd]");
    close_all("/pagemap");
    ck_assert(deny_call(SYS_ioctl, 0, 0, EPERM, SECCOMP_FILTER_FLAG_TSYNC));
    usleep(300000);
    ck_assert_int_eq(ww_get_pages(ctx, base, 6 * page_size(), WW_GET_RESET, pages, 8), 6);
    ck_assert_int_eq(ww_discard(ctx, base, 6 * page_size()), 0);
    ck_assert_int_eq(ww_count(ctx, base, 6 * page_size()), 6);
}
END_TEST

void add_demand_end_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "on demand, beginning and end");

    tcase_add_test(tcase, wrong_arguments_change_nothing);
    tcase_add_test(tcase, unwatch_waits_for_a_callback_at_work);
    tcase_add_test(tcase, no_callback_begins_after_unwatch);
    tcase_add_loop_test(tcase, a_late_page_in_fills_no_later_watch, 0, 2);
    tcase_add_loop_test(tcase, a_later_sandbox_hangs_no_reader, 0, 3);
    tcase_add_loop_test(tcase, a_page_that_can_only_be_awaited_ends_in_sigbus, 0, 10);
    tcase_add_test(tcase, unwatch_of_another_part_does_not_wait);
    tcase_add_test(tcase, a_callback_cannot_end_itself);
    tcase_add_test(tcase, close_waits_and_wakes_who_waits);
    tcase_add_test(tcase, coming_and_going_under_readers);
    tcase_add_test(tcase, a_child_finds_zeros_and_harms_nothing);
    tcase_add_test(tcase, exit_waits_for_nobody);
    tcase_add_test(tcase, unwatch_ends_demand_paging_beside_a_file);
    tcase_add_loop_test(tcase, a_late_callback_fills_no_later_watch, 0, 2);
    tcase_add_test(tcase, a_failing_tracker_still_serves);
    tcase_add_test(tcase, a_closed_userfaultfd_harms_nobody);
    tcase_add_test(tcase, a_fill_without_a_descriptor_says_so);
    tcase_add_test(tcase, a_discard_after_the_end_of_all_tracking_succeeds);
}
