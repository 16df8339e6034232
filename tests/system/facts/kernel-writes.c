/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel as the writer: system calls that store into watched pages, armed or
 * fresh, and pages that a program fills by userfaultfd without writing them
 * (UFFDIO_COPY with and without MODE_WP). kernel-pinned.c has pinned pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "kernel.h"

#ifndef UFFDIO_COPY_MODE_WP
#define UFFDIO_COPY_MODE_WP ((__u64)1 << 1) /* Linux 5.7 */
#endif

/* ---- every way to have the kernel store into a page ---- */

/* Each stores @len bytes of @data, or at least some bytes, at @to; false: errno says why not. */
static bool by_read(char *to, const char *data, size_t len)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], data, len), len);
    return read(ends[0], to, len) == (ssize_t)len;
}

static bool by_recv(char *to, const char *data, size_t len)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    ck_assert_int_eq(send(ends[1], data, len, 0), len);
    return recv(ends[0], to, len, 0) == (ssize_t)len;
}

static bool by_process_vm_writev(char *to, const char *data, size_t len)
{
    struct iovec from_vec = { (void *)data, len }, to_vec = { to, len };

    return process_vm_writev(getpid(), &from_vec, 1, &to_vec, 1, 0) == (ssize_t)len;
}

static bool by_proc_mem(char *to, const char *data, size_t len)
{
    int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC), saved;
    bool done = fd >= 0 && pwrite64(fd, data, len, (off64_t)(uintptr_t)to) == (ssize_t)len;

    saved = errno;
    close(fd);
    errno = saved;
    return done;
}

/* From the pipe's buffers to memory. */
static bool by_vmsplice(char *to, const char *data, size_t len)
{
    struct iovec vec = { to, len };
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], data, len), len);
    return vmsplice(ends[0], &vec, 1, 0) == (ssize_t)len;
}

static bool by_stat(char *to, const char *data, size_t len)
{
    (void)data;
    (void)len;
    return !syscall(SYS_fstat, STDOUT_FILENO, to);
}

static bool by_getrandom(char *to, const char *data, size_t len)
{
    (void)data;
    return syscall(SYS_getrandom, to, len, 0) == (long)len;
}

/* A whole page from a file with O_DIRECT, where the filesystem has it. */
static bool by_direct_read(char *to, const char *data, size_t len)
{
    size_t page = page_size();
    char *at = (char *)((uintptr_t)to & ~(page - 1)), *copy = map_pages(1), name[] = "ww-direct-XXXXXX",
         path[64];
    int file = mkstemp(name), fd, saved;
    bool done;

    if (file < 0) {
        return false;
    }
    unlink(name);
    memcpy(copy, data, len);
    ck_assert_int_eq(write(file, copy, page), page);
    fsync(file);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    done = fd >= 0 && read(fd, at, page) == (ssize_t)page;
    saved = errno;
    close(fd);
    close(file);
    errno = saved;
    return done;
}

static const struct {
    const char *name;
    bool (*store)(char *to, const char *data, size_t len);
    bool may_lack; /* not every kernel or filesystem has it */
} stores[] = {
    { "read", by_read, false },
    { "recv", by_recv, false },
    { "process_vm_writev", by_process_vm_writev, true },
    { "/proc/self/mem", by_proc_mem, true },
    { "vmsplice", by_vmsplice, true },
    { "fstat", by_stat, false },
    { "getrandom", by_getrandom, true },
    { "read with O_DIRECT", by_direct_read, true },
};
#define NR_STORES (sizeof(stores) / sizeof(stores[0]))

START_TEST(the_kernel_writes_into_watched_pages)
{
    size_t page = page_size();
    char *base = watch_pages(8), data[200];

    WANTS(WW_CAP_KERNEL_WRITES);
    memset(data, 3, sizeof(data));
    write_map(base, "...####.");
    reset_pages(base, 8);
    /* Page 1 is a hole, 2 a zero page, 4 clean. */
    read_page(base, 2);
    for (size_t i = 0; i < 3; i++) {
        static const size_t targets[] = { 1, 2, 4 };
        char *to = base + targets[i] * page + 64, map[] = "........";

        if (!stores[_i].store(to, data, sizeof(data))) {
            ck_assert_msg(errno != EFAULT && stores[_i].may_lack, "%s into page %zu: %s", stores[_i].name,
                          targets[i], strerror(errno));
            skip_test(__func__, "%s: %s", stores[_i].name, strerror(errno));
            return;
        }
        map[targets[i]] = '#';
        expect_map(ctx, base, map);
        reset_pages(base, 8);
        /* Once more into the same page, which is clean and present now. */
        ck_assert(stores[_i].store(to, data, sizeof(data)));
        expect_map(ctx, base, map);
        reset_pages(base, 8);
    }
}
END_TEST

/* ---- the end of a thread ---- */

static atomic_int turn;

/* Ends without another store to its stack: once it waits, only the kernel writes there. */
static void *end_when_told(void *arg)
{
    (void)arg;
    atomic_store(&turn, 1);
    while (atomic_load(&turn) != 2) {
        ;
    }
    syscall(SYS_exit, 0);
    return NULL;
}

/* When a thread ends, the kernel clears a word in the thread's control block, which lies at the top of the
 * stack's memory. If the kernel cannot write there, it tells nobody, and pthread_join() never returns. */
START_TEST(a_thread_ends_on_a_stack_that_was_reset)
{
    size_t nr = 64, len = nr * page_size();
    char *stack = watch_pages(nr);
    pthread_attr_t attr;
    pthread_t thread;
    int waited = 0;

    WANTS(WW_CAP_KERNEL_WRITES);
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstack(&attr, stack, len), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, end_when_told, NULL), 0);
    while (atomic_load(&turn) != 1) {
        ;
    }
    reset_pages(stack, nr);
    atomic_store(&turn, 2);
    for (; waited < 1000 && pthread_tryjoin_np(thread, NULL) == EBUSY; waited++) {
        usleep(10000);
    }
    ck_assert_int_lt(waited, 1000);
    ck_assert_int_ge(ww_count(ctx, stack, len), 1);
}
END_TEST

/* ---- lazy fill ---- */

static char *track_missing(size_t nr)
{
    char *base = map_small_pages(nr);

    ck_assert_int_eq(bare_register(&bare, base, nr, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP),
                     0);
    return base;
}

static int copy_page(char *base, size_t page, const char *from, uint64_t mode)
{
    struct uffdio_copy copy = {
        .dst = (uintptr_t)base + page * page_size(),
        .src = (uintptr_t)from,
        .len = page_size(),
        .mode = mode,
    };

    return ioctl(bare.fd, UFFDIO_COPY, &copy) ? -errno : 0;
}

START_TEST(a_page_that_is_filled_protected_was_not_written)
{
    char *base = track_missing(6), *from = map_pages(1);

    memset(from, 8, page_size());
    ck_assert_int_eq(copy_page(base, 1, from, UFFDIO_COPY_MODE_WP), 0);
    ck_assert_int_eq(copy_page(base, 3, from, 0), 0);
    expect_bare(base, LAZY, "...#..");
    ck_assert_int_eq(read_page(base, 1), 8);
    expect_bare(base, LAZY, "...#..");
    write_page(base, 1, 9);
    expect_bare(base, LAZY, ".#.#..");
    reset_bare(base, 6);
    ck_assert_int_eq(copy_page(base, 4, from, UFFDIO_COPY_MODE_WP), 0);
    expect_bare(base, LAZY, "......");
    write_page(base, 4, 9);
    write_page(base, 3, 9);
    expect_bare(base, LAZY, "...##.");
    ck_assert_int_eq(copy_page(base, 4, from, UFFDIO_COPY_MODE_WP), -EEXIST);
}
END_TEST

/* With UFFD_USER_MODE_ONLY the kernel asks for no page on its own faults: the call fails, and the page stays
 * missing. */
START_TEST(a_read_into_a_missing_page_fails)
{
    char *base = track_missing(4), *from = map_pages(1), data[100];

    memset(data, 3, sizeof(data));
    memset(from, 8, page_size());
    errno = 0;
    ck_assert(!by_read(base + page_size(), data, sizeof(data)));
    ck_assert_int_eq(errno, EFAULT);
    expect_bare(base, LAZY, "....");
    ck_assert_int_eq(copy_page(base, 1, from, UFFDIO_COPY_MODE_WP), 0);
    expect_bare(base, LAZY, "....");
    ck_assert(by_read(base + page_size(), data, sizeof(data)));
    expect_bare(base, LAZY, ".#..");
}
END_TEST

void add_write_facts(Suite *suite)
{
    TCase *tcase = new_bare_case(suite, "fill");

    tcase_add_test(tcase, a_page_that_is_filled_protected_was_not_written);
    tcase_add_test(tcase, a_read_into_a_missing_page_fails);
}

void add_write_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "kernel writes");

    tcase_add_loop_test(tcase, the_kernel_writes_into_watched_pages, 0, NR_STORES);
    tcase_add_test(tcase, a_thread_ends_on_a_stack_that_was_reset);
}
