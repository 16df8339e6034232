/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process may do less than at the start of the tests: filters answer single
 * requests with an error, the root directory has no /proc, the process is not
 * dumpable, or is in a user namespace. If that comes before ww_open(), the call fails
 * with a documented error and another backend works; if it comes afterwards, the
 * library may report more than was written.
 */
#include <sched.h>

#include "env.h"

/* ---- filters ---- */

static const struct {
    const char *name;
    long call;
    unsigned int request; /* ioctl's second argument; 0: any */
} denied[] = {
    { "userfaultfd", SYS_userfaultfd, 0 },
    { "UFFDIO_API", SYS_ioctl, (unsigned int)UFFDIO_API },
    { "UFFDIO_REGISTER", SYS_ioctl, (unsigned int)UFFDIO_REGISTER },
    { "UFFDIO_UNREGISTER", SYS_ioctl, (unsigned int)UFFDIO_UNREGISTER },
    { "UFFDIO_WRITEPROTECT", SYS_ioctl, (unsigned int)UFFDIO_WRITEPROTECT },
    { "UFFDIO_COPY", SYS_ioctl, (unsigned int)UFFDIO_COPY },
    { "UFFDIO_ZEROPAGE", SYS_ioctl, (unsigned int)UFFDIO_ZEROPAGE },
    { "UFFDIO_WAKE", SYS_ioctl, (unsigned int)UFFDIO_WAKE },
    { "PAGEMAP_SCAN", SYS_ioctl, (unsigned int)PAGEMAP_SCAN },
    { "ioctl", SYS_ioctl, 0 },
#ifdef SYS_newfstatat
    { "fstat", SYS_newfstatat, 0 },
#endif
    { "fstat", SYS_fstat, 0 },
    { "madvise", SYS_madvise, 0 },
    { "pread64", SYS_pread64, 0 },
};
#define NR_DENIED (sizeof(denied) / sizeof(denied[0]))

static const int errors[] = { EPERM, ENOSYS };
#define NR_ERRORS 2

/* In all threads, also those of the library. */
static bool deny_everywhere(size_t which, int error)
{
    return deny_call(denied[which].call, 1, denied[which].request, error, SECCOMP_FILTER_FLAG_TSYNC);
}

START_TEST(a_request_is_denied_before)
{
    struct ww_context *c;
    int err;

    ww_close(ctx);
    ctx = NULL;
    if (!deny_everywhere(_i / NR_ERRORS, errors[_i % NR_ERRORS])) {
        SKIP_TEST("the kernel takes no filter");
    }
    alarm(10);
    c = try_open(&err);
    if (c) {
        char *base = map_pages(8);

        ctx = c;
        err = ww_watch(ctx, base, 8 * page_size(), 0);
        ck_assert_msg(!err || err == -errors[_i % NR_ERRORS], "ww_watch: %d", err);
        if (!err) {
            expect_nothing_lost(base);
        }
        ww_close(ctx);
        ctx = NULL;
        memset(base, 3, 8 * page_size());
    }
    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
}
END_TEST

START_TEST(a_request_is_denied_at_work)
{
    char *base = watch_pages(8), *other = watch_pages(8), *more = map_pages(8);
    size_t page = page_size();
    int err;

    write_map(base, "####....");
    reset_pages(base, 8);
    write_map(base, "#...#...");
    write_map(other, ".##.....");
    if (!deny_everywhere(_i / NR_ERRORS, errors[_i % NR_ERRORS])) {
        SKIP_TEST("the kernel takes no filter");
    }
    alarm(10);
    write_map(base, ".#...#..");
    expect_map(ctx, base, or_more("##..##.."));
    /* Pages are replaced, dropped, and cut off, and other memory is watched. */
    if (has_cap(WW_CAP_LOST_DETECTED)) {
        remap_pages(base + 6 * page, 2);
        write_map(base, "......#.");
        expect_map(ctx, base, or_more("##..###."));
    }
    ww_discard(ctx, other, 4 * page);
    write_map(other, "#.......");
    expect_map(ctx, other, or_more("#......."));
    expect_nothing_lost(base);
    expect_nothing_lost(other);
    err = ww_watch(ctx, more, 8 * page, 0);
    if (!err) {
        expect_nothing_lost(more);
    }
    ck_assert_int_eq(ww_unwatch(ctx, base, 4 * page), 0);
    memset(base, 4, 4 * page);
    write_map(base + 4 * page, "#..#");
    expect_map(ctx, base + 4 * page, or_more("#..#"));
    ww_close(ctx);
    ctx = NULL;
    memset(base, 5, 8 * page);
    memset(other, 5, 8 * page);
    memset(more, 5, 8 * page);
}
END_TEST

/* ---- /proc ---- */

/* Changes the root to an empty directory. Needs root, of this system or of a user namespace. */
static bool leave_proc(void)
{
    char path[] = "/tmp/writewatch-XXXXXX";

    if (geteuid() && unshare(CLONE_NEWUSER)) {
        return false;
    }
    if (!mkdtemp(path)) {
        return false;
    }
    if (chroot(path)) {
        rmdir(path);
        return false;
    }
    return !chdir("/");
}

/* A process cannot remove its own root directory, so this process finds the directories by their names. */
static void remove_roots(void)
{
    if (system("rmdir /tmp/writewatch-?????? 2>/dev/null") < 0) {
        perror("rmdir");
    }
}

START_TEST(no_proc_to_open_with)
{
    struct ww_context *c;
    int err;

    NOT_UNDER_ASAN("the search for leaks at the end reads /proc");
    ww_close(ctx);
    ctx = NULL;
    if (!leave_proc()) {
        SKIP_TEST("no right to change the root directory");
    }
    c = try_open(&err);
    ck_assert_msg(c || err == -ENOENT, "ww_open: %d (%s)", err, strerror(-err));
    if (c) {
        char *base = map_pages(8);

        ctx = c;
        err = ww_watch(ctx, base, 8 * page_size(), WW_WATCH_FRESH);
        ck_assert_msg(!err || err == -ENOENT, "ww_watch: %d (%s)", err, strerror(-err));
        if (!err) {
            expect_works(base);
        }
        ww_close(c);
        ctx = NULL;
    }
    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
}
END_TEST

START_TEST(no_proc_at_work)
{
    char *base = watch_pages(8), *more = map_pages(8);
    int err;

    NOT_UNDER_ASAN("the search for leaks at the end reads /proc");
    write_map(base, "##......");
    if (!leave_proc()) {
        SKIP_TEST("no right to change the root directory");
    }
    expect_map(ctx, base, "##......");
    expect_works(base);
    remap_pages(base, 2);
    write_map(base, "#.......");
    expect_map(ctx, base, has_cap(WW_CAP_LOST_DETECTED) ? "#???????" : "????????");
    ck_assert_int_eq(ww_discard(ctx, base, 2 * page_size()), 0);
    expect_nothing_lost(base);
    err = ww_watch(ctx, more, 8 * page_size(), 0);
    ck_assert_msg(!err || err == -ENOENT, "ww_watch: %d (%s)", err, strerror(-err));
    if (!err) {
        expect_works(more);
    }
}
END_TEST

/* ---- users ---- */

START_TEST(not_dumpable_to_open_with)
{
    struct ww_context *c;
    int err;

    ww_close(ctx);
    ctx = NULL;
    if (!become_nobody() || prctl(PR_SET_DUMPABLE, 0)) {
        SKIP_TEST("it cannot become another user");
    }
    c = try_open(&err);
    if (c) {
        char *base = map_pages(8);

        ctx = c;
        err = ww_watch(ctx, base, 8 * page_size(), WW_WATCH_FRESH);
        ck_assert_msg(!err || err == -EACCES, "ww_watch: %d (%s)", err, strerror(-err));
        if (!err) {
            expect_works(base);
        }
        ww_close(c);
    } else {
        ck_assert_msg(err == -EACCES, "ww_open: %d (%s)", err, strerror(-err));
    }
    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
}
END_TEST

START_TEST(not_dumpable_at_work)
{
    char *base;

    ww_close(ctx);
    ctx = NULL;
    if (!become_nobody()) {
        SKIP_TEST("it cannot become another user");
    }
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
    base = watch_pages(8);
    write_map(base, "##......");
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 0), 0);
    expect_map(ctx, base, "##......");
    expect_works(base);
    remap_pages(base, 2);
    write_map(base, "#.......");
    ck_assert_int_eq(ww_discard(ctx, base, 2 * page_size()), 0);
    expect_nothing_lost(base);
}
END_TEST

/* As in an unprivileged container: a user of the system, in a user namespace of its own. */
START_TEST(in_a_user_namespace)
{
    struct ww_context *saved;

    ww_close(ctx);
    ctx = NULL;
    if (!become_nobody() || unshare(CLONE_NEWUSER) || prctl(PR_SET_DUMPABLE, 1)) {
        SKIP_TEST("no user namespace can be made");
    }
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
    saved = ctx;
    expect_works(watch_pages(8));
    expect_choice_works();
    ck_assert_ptr_eq(ctx, saved);
}
END_TEST

START_TEST(into_a_user_namespace)
{
    char *base = watch_pages(8);

    write_map(base, "##......");
    if (unshare(CLONE_NEWUSER)) {
        SKIP_TEST("no user namespace can be made, or the backend has a thread");
    }
    expect_map(ctx, base, "##......");
    expect_works(base);
    expect_works(watch_pages(8));
}
END_TEST

void add_sandbox_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "sandbox");

    tcase_add_unchecked_fixture(tcase, NULL, remove_roots);
    tcase_add_loop_test(tcase, a_request_is_denied_before, 0, NR_DENIED * NR_ERRORS);
    tcase_add_loop_test(tcase, a_request_is_denied_at_work, 0, NR_DENIED * NR_ERRORS);
    tcase_add_test(tcase, no_proc_to_open_with);
    tcase_add_test(tcase, no_proc_at_work);
    tcase_add_test(tcase, not_dumpable_to_open_with);
    tcase_add_test(tcase, not_dumpable_at_work);
    tcase_add_test(tcase, in_a_user_namespace);
    tcase_add_test(tcase, into_a_user_namespace);
}
