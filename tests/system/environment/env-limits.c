/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Limits that a process reaches before it opens a context or afterwards: descriptors,
 * address space, threads. A call fails with its documented error or reports more than
 * was written; once there is room again, no write was missed.
 */
#include "env.h"

/* Asserts nothing, because an assertion needs memory. */
static void limit(int resource, rlim_t value)
{
    struct rlimit now;

    if (getrlimit(resource, &now)) {
        abort();
    }
    now.rlim_cur = value < now.rlim_max ? value : now.rlim_max;
    if (setrlimit(resource, &now)) {
        abort();
    }
}

/* ---- descriptors ---- */

static size_t nr_open(void)
{
    size_t nr = 0;

    for (int fd = 0; fd < 1024; fd++) {
        nr += fcntl(fd, F_GETFD) >= 0;
    }
    return nr;
}

/* The lowest number above all descriptors in use. */
static int first_free(void)
{
    int fd = 1023;

    while (fcntl(fd, F_GETFD) < 0) {
        fd--;
    }
    return fd + 1;
}

/* With _i free descriptors ww_open() works, or it fails with EMFILE and leaves none open. */
START_TEST(few_descriptors_to_open_with)
{
    struct ww_context *c;
    size_t before;
    int err;

    ww_close(ctx);
    ctx = NULL;
    for (int fd = 3; fd < first_free(); fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
    }
    before = nr_open();
    limit(RLIMIT_NOFILE, first_free() + _i);
    c = try_open(&err);
    limit(RLIMIT_NOFILE, 1024);
    if (c) {
        ctx = c;
        expect_works(watch_pages(8));
        ww_close(c);
    } else {
        ck_assert_msg(err == -EMFILE, "ww_open: %d (%s)", err, strerror(-err));
    }
    ck_assert_uint_eq(nr_open(), before);
    limit(RLIMIT_NOFILE, first_free() + _i);
    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
    limit(RLIMIT_NOFILE, 1024);
    expect_works(watch_pages(8));
}
END_TEST

/* Only ww_watch() and ww_discard() may need a new descriptor, for /proc/self/maps: with a backend that owns
 * protections or cannot watch all memory. */
START_TEST(no_descriptor_is_free_at_work)
{
    char *base = watch_pages(8), *more = map_pages(8);
    int err;

    limit(RLIMIT_NOFILE, 0);
    expect_works(base);
    ck_assert_int_eq(ww_protect(ctx, base, page_size(), PROT_READ), 0);
    ck_assert_int_eq(ww_protect(ctx, base, page_size(), PROT_READ | PROT_WRITE), 0);
    ck_assert_int_eq(ww_latch(ctx, base, 8 * page_size()), 0);
    expect_works(base);
    ck_assert_int_eq(madvise(base, page_size(), MADV_DONTNEED), 0);
    err = ww_discard(ctx, base, page_size());
    ck_assert_msg(!err || (err == -EMFILE && has_cap(WW_CAP_OWNS_PROT)), "ww_discard: %d", err);
    expect_nothing_lost(base);
    err = ww_watch(ctx, more, 8 * page_size(), 0);
    ck_assert_msg(!err || (err == -EMFILE && (has_cap(WW_CAP_OWNS_PROT) || !has_cap(WW_CAP_SHARED))),
                  "ww_watch: %d", err);
    limit(RLIMIT_NOFILE, 1024);
    if (err) {
        ck_assert_int_eq(ww_watch(ctx, more, 8 * page_size(), 0), 0);
    }
    expect_works(more);
    ck_assert_int_eq(ww_unwatch(ctx, base, 8 * page_size()), 0);
}
END_TEST

/* ---- address space ---- */

#define NR_SPOTS 64
#define SPOT_STEP ((size_t)4096) /* pages from one spot to the next: each has records of its own */
#define NR_STEPS 2000

/* What was written and answered while there was no memory. Assertions wait until there is some again. */
static struct {
    char *base;
    bool written[NR_SPOTS]; /* since they were reset last */
    int nr_errors, nr_answers;
    const char *wrong; /* the first call with an answer that is not allowed */
    long value;
} poor;

static char *spot(size_t i)
{
    return poor.base + i * SPOT_STEP * page_size();
}

static void expect_poor(bool good, const char *what, long value)
{
    if (!good && !poor.wrong) {
        poor.wrong = what;
        poor.value = value;
    }
    if (value == -ENOMEM) {
        poor.nr_errors++;
    } else {
        poor.nr_answers++;
    }
}

static void poor_get(size_t i, unsigned int flags)
{
    void *page;
    ssize_t nr = ww_get_pages(ctx, spot(i), page_size(), flags, &page, 1);

    expect_poor(nr == -ENOMEM || nr == 1 || (nr == 0 && !poor.written[i]), "ww_get_pages", nr);
    if (nr == 1 && (flags & WW_GET_RESET)) {
        poor.written[i] = false;
    }
}

static void poor_reset(size_t i)
{
    int err = ww_reset(ctx, spot(i), page_size());

    expect_poor(!err || err == -ENOMEM, "ww_reset", err);
    poor.written[i] = poor.written[i] && err;
}

static void poor_latch(size_t i)
{
    int err = ww_latch(ctx, spot(i), page_size());

    expect_poor(!err || err == -ENOMEM, "ww_latch", err);
}

/* The page's content is gone, whatever ww_discard() returns; the page may still be reported. */
static void poor_discard(size_t i)
{
    int err;

    madvise(spot(i), page_size(), MADV_DONTNEED);
    poor.written[i] = false;
    err = ww_discard(ctx, spot(i), page_size());
    expect_poor(!err || err == -ENOMEM, "ww_discard", err);
}

/* Ends the watch of the page behind the spot, so that the region is cut in two. */
static void poor_unwatch(size_t i)
{
    int err = ww_unwatch(ctx, spot(i) + page_size(), page_size());

    expect_poor(!err || err == -ENOMEM, "ww_unwatch", err);
}

static void poor_watch(size_t i)
{
    int err = ww_watch(ctx, spot(i) + page_size(), page_size(), WW_WATCH_FRESH);

    expect_poor(!err || err == -ENOMEM || err == -EEXIST || err == -EMFILE, "ww_watch", err);
}

static void poor_step(uint64_t *random)
{
    size_t i = random_below(random, NR_SPOTS);

    switch (random_below(random, 9)) {
    case 0:
        poor_reset(i);
        break;
    case 1:
        poor_latch(i);
        break;
    case 2:
        poor_discard(i);
        break;
    case 3:
        poor_get(i, 0);
        break;
    case 4:
        poor_get(i, WW_GET_RESET);
        break;
    case 5:
        poor_unwatch(i);
        break;
    case 6:
        poor_watch(i);
        break;
    default:
        poor.written[i] = true;
        *(volatile char *)spot(i) = 1;
    }
}

/* Never frees it: the process ends soon. */
static void take_all_memory(void)
{
    for (size_t size = 1 << 20; size >= 16; size /= 2) {
        while (malloc(size)) {
            ;
        }
    }
}

/* No new mapping can be made; in the second half of the cases the heap is used up too. */
START_TEST(no_address_space_loses_no_write)
{
    size_t len = NR_SPOTS * SPOT_STEP * page_size();
    uint64_t random = _i + 1;
    rlim_t used = 0;

    NOT_UNDER_ASAN("its shadow needs address space, and malloc() there ends the process rather than fail");
    poor.base = map_pages(NR_SPOTS * SPOT_STEP);
    ck_assert_int_eq(ww_watch(ctx, poor.base, len, WW_WATCH_FRESH), 0);
    for (int i = 0; i < (_i % 4) * 20; i++) {
        poor_step(&random);
    }
    limit(RLIMIT_AS, used);
    if (_i >= 4) {
        take_all_memory();
    }
    poor.nr_errors = poor.nr_answers = 0;
    for (int i = 0; i < NR_STEPS; i++) {
        poor_step(&random);
    }
    limit(RLIMIT_AS, RLIM_INFINITY);
    ck_assert_msg(!poor.wrong, "%s: %ld (%s)", poor.wrong, poor.value, strerror(-poor.value));
    for (size_t i = 0; i < NR_SPOTS; i++) {
        poor_get(i, 0);
        ck_assert_msg(!poor.wrong, "spot %zu is missing: %ld", i, poor.value);
    }
    ck_assert_int_gt(poor.nr_answers, NR_STEPS / 10);
    ck_assert_int_eq(ww_unwatch(ctx, poor.base, len), 0);
    ck_assert_int_eq(ww_watch(ctx, poor.base, 8 * page_size(), 0), 0);
    expect_works(poor.base);
}
END_TEST

START_TEST(no_address_space_to_open_with)
{
    struct ww_context *c = NULL;
    struct ww_probe probes[MAX_BACKENDS];
    int err;

    NOT_UNDER_ASAN("its shadow needs address space, and malloc() there ends the process rather than fail");
    ww_close(ctx);
    ctx = NULL;
    limit(RLIMIT_AS, 0);
    if (_i) {
        take_all_memory();
    }
    err = ww_open(&c, backend->name);
    ww_probe(probes, MAX_BACKENDS);
    limit(RLIMIT_AS, RLIM_INFINITY);
    ck_assert_msg(!err || err == -ENOMEM || err == -EAGAIN, "ww_open: %d (%s)", err, strerror(-err));
    if (err) {
        ck_assert_ptr_null(c);
        ck_assert_int_eq(ww_open(&c, backend->name), 0);
    }
    ctx = c;
    expect_works(watch_pages(8));
}
END_TEST

/* ---- threads ---- */

/* The user may have no more threads: calls that need one fail with EAGAIN, and all others work. */
START_TEST(no_thread_can_be_started)
{
    struct ww_context *c;
    char *base;
    int err;

    NOT_UNDER_ASAN("the search for leaks at the end needs a thread");
    ww_close(ctx);
    ctx = NULL;
    if (geteuid() || !become_nobody()) {
        SKIP_TEST("the number of threads of a user can be limited by root only");
    }
    limit(RLIMIT_NPROC, 0);
    c = try_open(&err);
    expect_choice_works();
    if (!c) {
        ck_assert_msg(err == -EAGAIN, "ww_open: %d (%s)", err, strerror(-err));
        return;
    }
    ctx = c;
    base = watch_pages(8);
    err = ww_fill_on_demand(ctx, base, 8 * page_size(), put_nothing, NULL);
    ck_assert_int_eq(err, has_cap(WW_CAP_FILL_ON_DEMAND) ? -EAGAIN : -EOPNOTSUPP);
    expect_works(base);
}
END_TEST

void add_limit_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "limits");

    tcase_add_loop_test(tcase, few_descriptors_to_open_with, 0, 6);
    tcase_add_test(tcase, no_descriptor_is_free_at_work);
    tcase_add_loop_test(tcase, no_address_space_loses_no_write, 0, 8);
    tcase_add_loop_test(tcase, no_address_space_to_open_with, 0, 2);
    tcase_add_test(tcase, no_thread_can_be_started);
}
