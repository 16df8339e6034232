/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A documented limit: writes of the kernel through pages that it pinned before a
 * reset are not recorded. Here io_uring's registered buffers, and a read with
 * O_DIRECT by AIO that is in flight when the reset comes. Each test asserts what
 * holds nevertheless (the pin itself is recorded, pages that are not reset are not
 * lost), and prints whether the write through the old pin was reported.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "kernel.h"

/* ---- io_uring without its library ---- */

struct ring {
    int fd;
    struct io_uring_params params;
    char *queues; /* both, in one mapping */
    struct io_uring_sqe *sqes;
};

/* 0 or a negative errno. */
static int open_ring(struct ring *ring)
{
    size_t sq_len, cq_len;

    *ring = (struct ring){ .fd = -1 };
    ring->fd = syscall(SYS_io_uring_setup, 4, &ring->params);
    if (ring->fd < 0) {
        return -errno;
    }
    if (!(ring->params.features & IORING_FEAT_SINGLE_MMAP)) {
        return -EOPNOTSUPP;
    }
    sq_len = ring->params.sq_off.array + ring->params.sq_entries * sizeof(unsigned int);
    cq_len = ring->params.cq_off.cqes + ring->params.cq_entries * sizeof(struct io_uring_cqe);
    ring->queues = mmap(NULL, sq_len > cq_len ? sq_len : cq_len, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
    ring->sqes = mmap(NULL, ring->params.sq_entries * sizeof(*ring->sqes), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
    return ring->queues == MAP_FAILED || (void *)ring->sqes == MAP_FAILED ? -ENOMEM : 0;
}

static unsigned int *ring_word(const struct ring *ring, unsigned int offset)
{
    return (unsigned int *)(ring->queues + offset);
}

/* Submits one request, waits for it, returns its result. */
static int run_request(const struct ring *ring, const struct io_uring_sqe *sqe)
{
    unsigned int *sq_tail = ring_word(ring, ring->params.sq_off.tail);
    unsigned int *cq_head = ring_word(ring, ring->params.cq_off.head);
    unsigned int slot = *sq_tail & *ring_word(ring, ring->params.sq_off.ring_mask);
    unsigned int done = *cq_head & *ring_word(ring, ring->params.cq_off.ring_mask);
    const struct io_uring_cqe *cqes = (const void *)(ring->queues + ring->params.cq_off.cqes);
    long submitted;
    int result;

    ring->sqes[slot] = *sqe;
    ring_word(ring, ring->params.sq_off.array)[slot] = slot;
    __atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
    do {
        submitted = syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    } while (submitted < 0 && errno == EINTR);
    ck_assert_int_eq(submitted, 1);
    while (__atomic_load_n(ring_word(ring, ring->params.cq_off.tail), __ATOMIC_ACQUIRE) == *cq_head) {
        submitted = syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
        ck_assert(submitted >= 0 || errno == EINTR);
    }
    result = cqes[done].res;
    __atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
    return result;
}

static int file_of(char value)
{
    char *data = map_pages(1);
    int fd = memfd_create("data", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    memset(data, value, page_size());
    ck_assert_int_eq(write(fd, data, page_size()), page_size());
    munmap(data, page_size());
    return fd;
}

START_TEST(a_registered_buffer_of_io_uring)
{
    size_t page = page_size();
    char *base = watch_pages(6);
    struct iovec buffer = { .iov_base = base + 2 * page, .iov_len = page };
    struct io_uring_sqe sqe = {
        .opcode = IORING_OP_READ_FIXED, .fd = file_of(7), .addr = (uintptr_t)base + 2 * page, .len = page
    };
    struct ring ring;
    ssize_t nr;
    int err;

    WANTS(WW_CAP_KERNEL_WRITES);
    err = open_ring(&ring);
    if (err) {
        SKIP("io_uring: %s", strerror(-err));
    }
    write_map(base, ".##.#.");
    reset_pages(base, 6);
    if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &buffer, 1)) {
        SKIP("IORING_REGISTER_BUFFERS: %s", strerror(errno));
    }
    /* Pinning a page for writing counts as a write. */
    expect_map(ctx, base, "..#...");
    ck_assert_int_eq(run_request(&ring, &sqe), page);
    ck_assert_int_eq(base[3 * page - 1], 7);
    expect_map(ctx, base, "..#...");
    reset_pages(base, 6);
    close(sqe.fd);
    sqe.fd = file_of(9);
    ck_assert_int_eq(run_request(&ring, &sqe), page);
    ck_assert_int_eq(base[2 * page], 9);
    ck_assert_int_eq(base[3 * page - 1], 9);
    nr = ww_count(ctx, base, 6 * page);
    inform("%s, a read into a registered buffer after a reset: %s", backend->name,
           nr ? "reported" : "not reported, as documented");
    expect_map(ctx, base, nr ? "..#..." : "......");
    /* The limit concerns writes through the pin only. */
    write_page(base, 2, 1);
    expect_map(ctx, base, "..#...");
    /* Without a registered buffer each request pins the page anew, which is recorded. */
    reset_pages(base, 6);
    sqe = (struct io_uring_sqe){
        .opcode = IORING_OP_READ, .fd = sqe.fd, .addr = (uintptr_t)base + 4 * page, .len = page
    };
    ck_assert_int_eq(run_request(&ring, &sqe), page);
    ck_assert_int_eq(base[4 * page], 9);
    expect_map(ctx, base, "....#.");
    close(ring.fd);
}
END_TEST

/* ---- AIO ---- */

#define NR_REQUESTS 32

/* A file of NR_REQUESTS pages, page i full of i + 1, opened with O_DIRECT; or a negative errno. */
static int open_direct(void)
{
    char name[] = "ww-aio-XXXXXX", path[64], *data = map_pages(1);
    int file = mkstemp(name), fd;

    if (file < 0) {
        return -errno;
    }
    unlink(name);
    for (int i = 0; i < NR_REQUESTS; i++) {
        memset(data, i + 1, page_size());
        ck_assert_int_eq(write(file, data, page_size()), page_size());
    }
    ck_assert_int_eq(fsync(file), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    fd = fd < 0 ? -errno : fd;
    close(file);
    return fd;
}

static void finish_request(aio_context_t aio, size_t want)
{
    struct io_event event;
    long nr;

    do {
        nr = syscall(SYS_io_getevents, aio, 1, 1, &event, NULL);
    } while (nr < 0 && errno == EINTR);
    ck_assert_int_eq(nr, 1);
    ck_assert_int_eq(event.res, want);
}

START_TEST(a_direct_read_in_flight)
{
    size_t page = page_size(), nr_seen = 0;
    char *base = watch_pages(NR_REQUESTS);
    aio_context_t aio = 0;
    int fd = open_direct();

    WANTS(WW_CAP_KERNEL_WRITES);
    if (fd < 0) {
        SKIP("O_DIRECT in the working directory: %s", strerror(-fd));
    }
    if (syscall(SYS_io_setup, 4, &aio)) {
        SKIP("io_setup: %s", strerror(errno));
    }
    for (size_t i = 0; i < NR_REQUESTS; i++) {
        struct iocb request = { .aio_lio_opcode = IOCB_CMD_PREAD,
                                .aio_fildes = fd,
                                .aio_buf = (uintptr_t)base + i * page,
                                .aio_nbytes = page,
                                .aio_offset = i * page };
        struct iocb *requests[] = { &request };
        char *to = base + i * page;

        write_page(base, i, 100);
        reset_pages(base, NR_REQUESTS);
        ck_assert_int_eq(syscall(SYS_io_submit, aio, 1, requests), 1);
        if (i % 2) {
            /* Without a reset in between, the read is reported after its end. */
            finish_request(aio, page);
            ck_assert_int_eq(ww_count(ctx, to, page), 1);
        } else {
            ck_assert_int_eq(ww_reset(ctx, to, page), 0);
            finish_request(aio, page);
            nr_seen += ww_count(ctx, to, page);
        }
        ck_assert_int_eq(to[0], i + 1);
        ck_assert_int_eq(to[page - 1], i + 1);
        ck_assert_int_eq(ww_count(ctx, base, i * page + 1), ww_count(ctx, to, page));
    }
    inform("%s, %d direct reads with a reset between submission and completion: %zu reported after it, the "
           "others not, as documented where they were in flight",
           backend->name, NR_REQUESTS / 2, nr_seen);
    syscall(SYS_io_destroy, aio);
    close(fd);
}
END_TEST

void add_pinned_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "pinned");

    tcase_add_test(tcase, a_registered_buffer_of_io_uring);
    tcase_add_test(tcase, a_direct_read_in_flight);
}
