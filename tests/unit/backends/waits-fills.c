/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fills that are stopped before their content is written, and stores that wait for them. */
#include "waits.h"

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

/* The child has no thread that completes the fill, so its store must not wait for it. */
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

void add_fill_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_store_sleeps_until_its_page_is_filled);
    tcase_add_test(tcase, a_fork_in_the_middle_of_a_fill);
}
