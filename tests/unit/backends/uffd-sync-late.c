/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The handler is late, a file of /proc cannot be read, or the descriptor's number is another userfaultfd's.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "kernel/uapi.h"
#include "uffd-sync.h"

static atomic_bool holds; /* the next read of messages waits when it has some */
static atomic_bool is_held, goes_on;
static atomic_int error_of_maps; /* with which reads of /proc/self/maps fail */

ssize_t __real_read(int fd, void *buffer, size_t len);
ssize_t __wrap_read(int fd, void *buffer, size_t len);
ssize_t __wrap_read(int fd, void *buffer, size_t len)
{
    bool messages = len == sizeof(struct uffd_msg) * WW_SYNC_BATCH;
    ssize_t nr;

    if (!messages && atomic_load(&error_of_maps)) {
        errno = atomic_load(&error_of_maps);
        return -1;
    }
    nr = __real_read(fd, buffer, len);
    if (messages && nr > 0 && atomic_exchange(&holds, false)) {
        atomic_store(&is_held, true);
        while (!atomic_load(&goes_on)) {
            usleep(1000);
        }
    }
    return nr;
}

static void *write_second(void *base)
{
    write_page(base, 1, 5);
    return NULL;
}

static void *let_go(void *arg)
{
    usleep(100000);
    atomic_store(&goes_on, true);
    return arg;
}

/* The handler has read a fault when the watch ends, and answers it when another context watches the memory.
 */
START_TEST(a_late_answer_opens_no_page_of_another_watch)
{
    struct ww_context *second;
    pthread_t writer, releaser;
    char *base = map_pages(4);
    void *pages[4];

    ck_assert_int_eq(ww_open(&second, SYNC), 0);
    write_page(base, 1, 1);
    ck_assert_int_eq(ww_watch(ctx, base, 4 * page_size(), 0), 0);
    atomic_store(&goes_on, false);
    atomic_store(&is_held, false);
    atomic_store(&holds, true);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_second, base), 0);
    while (!atomic_load(&is_held)) {
        usleep(1000);
    }
    ck_assert_int_eq(pthread_create(&releaser, NULL, let_go, NULL), 0);
    ck_assert_int_eq(ww_unwatch(ctx, base, 4 * page_size()), 0);
    pthread_join(writer, NULL);
    ck_assert_int_eq(ww_watch(second, base, 4 * page_size(), 0), 0);
    pthread_join(releaser, NULL);
    usleep(100000);
    for (int round = 0; round < 2; round++) {
        write_page(base, 1, round);
        ck_assert_int_eq(ww_get_pages(second, base, 4 * page_size(), WW_GET_RESET, pages, 4), 1);
        ck_assert_ptr_eq(pages[0], base + page_size());
    }
    ww_close(second);
}
END_TEST

/* Nothing is known then of a mapping that was replaced, and latching must not take that for clean. */
START_TEST(a_list_of_mappings_that_cannot_be_read_hides_no_write)
{
    static const int errors[] = { ENOMEM, EPERM, EIO, EAGAIN };
    char *base = watch_pages(8);

    NEEDS(WW_CAP_LOST_DETECTED);
    write_map(base, "#.......");
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    remap_pages(base + 2 * page_size(), 1);
    write_map(base, "..#...#.");
    atomic_store(&error_of_maps, errors[_i]);
    ww_latch(ctx, base, 8 * page_size());
    atomic_store(&error_of_maps, 0);
    remap_pages(base, 8);
    ck_assert_int_eq(ww_discard(ctx, base, 8 * page_size()), 0);
    expect_map(ctx, base, "..#...#.");
}
END_TEST

/* The program has closed all descriptors, and opened a userfaultfd of its own, in which nobody answers
 * faults. */
START_TEST(a_discard_gives_no_memory_to_the_programs_userfaultfd)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
    int own = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);
    char *base = watch_pages(8);

    ck_assert_int_ge(own, 0);
    ck_assert_int_eq(ioctl(own, UFFDIO_API, &api), 0);
    remap_pages(base, 8);
    ck_assert_int_eq(dup3(own, sync_of()->uffd, O_CLOEXEC), sync_of()->uffd);
    ww_discard(ctx, base, 8 * page_size());
    alarm(10);
    write_map(base, "##......");
    alarm(0);
    expect_map(ctx, base, "##??????");
}
END_TEST

void add_late_cases(TCase *tcase)
{
    tcase_add_test(tcase, a_late_answer_opens_no_page_of_another_watch);
    tcase_add_loop_test(tcase, a_list_of_mappings_that_cannot_be_read_hides_no_write, 0, 4);
    tcase_add_test(tcase, a_discard_gives_no_memory_to_the_programs_userfaultfd);
}
