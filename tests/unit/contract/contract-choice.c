/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, choice: which backend ww_open() takes. The order of ww_probe(), which backend a name gets,
 * which one ww_open() chooses without a name, and both where system calls are denied or no descriptor is
 * free.
 */
#include <sys/resource.h>
#include <sys/syscall.h>

#include "contract.h"
#include "kernel/uapi.h"

/* The order of preference, 0 for the best: first a backend that loses no write, then one that is exact, then
 * one that breaks no system call. */
static int rank(uint32_t caps)
{
    if (!(caps & WW_CAP_ATOMIC_RESET)) {
        return 3;
    }
    if (!(caps & WW_CAP_EXACT)) {
        return 2;
    }
    return caps & WW_CAP_KERNEL_WRITES ? 0 : 1;
}

/* The first backend in the probe's list that works and loses no write. */
static const struct ww_probe *best_of(const struct ww_probe *probes, ssize_t nr)
{
    for (ssize_t i = 0; i < nr; i++) {
        if (!probes[i].error && probes[i].caps & WW_CAP_ATOMIC_RESET) {
            return &probes[i];
        }
    }
    return NULL;
}

/* What ww_probe() reports, what ww_open() returns for each name, and what it chooses without one must
 * agree. */
static void check_choice(void)
{
    struct ww_probe probes[MAX_BACKENDS];
    ssize_t nr = ww_probe(probes, MAX_BACKENDS);
    const struct ww_probe *best = best_of(probes, nr);
    struct ww_context *other = NULL;

    ck_assert_int_ge(nr, 1);
    for (ssize_t i = 0; i < nr; i++) {
        ck_assert_msg(!i || rank(probes[i - 1].caps) <= rank(probes[i].caps), "%s comes before %s",
                      probes[i - 1].name, probes[i].name);
        other = ctx;
        ck_assert_msg(ww_open(&other, probes[i].name) == probes[i].error, "%s by name: probed as %d",
                      probes[i].name, probes[i].error);
        if (probes[i].error) {
            ck_assert_ptr_eq(other, ctx);
            continue;
        }
        ck_assert_str_eq(ww_backend_name(other), probes[i].name);
        ck_assert_uint_eq(ww_backend_caps(other), probes[i].caps);
        ww_close(other);
    }
    /* There is always one, because the backend "none" needs nothing and cannot fail. */
    ck_assert_ptr_nonnull(best);
    unsetenv("WW_BACKEND");
    ck_assert_int_eq(ww_open(&other, NULL), 0);
    ck_assert_str_eq(ww_backend_name(other), best->name);
    ww_close(other);
}

START_TEST(probe_name_and_choice_agree)
{
    check_choice();
}
END_TEST

START_TEST(an_empty_name_is_none)
{
    struct ww_context *other;

    ck_assert_int_eq(ww_open(&other, ""), 0);
    ck_assert_str_eq(ww_backend_name(other), backends[0].name);
    ww_close(other);
    setenv("WW_BACKEND", "", 1);
    ck_assert_int_eq(ww_open(&other, NULL), 0);
    ck_assert_str_eq(ww_backend_name(other), backends[0].name);
    ww_close(other);
}
END_TEST

START_TEST(what_is_denied_is_not_chosen)
{
    static const struct {
        long nr;
        unsigned int arg;
    } calls[] = {
        { SYS_userfaultfd, 0 },
        { SYS_ioctl, (unsigned int)UFFDIO_API },
        { SYS_ioctl, (unsigned int)UFFDIO_REGISTER },
        { SYS_ioctl, (unsigned int)PAGEMAP_SCAN },
    };
    static const int errors[] = { EPERM, ENOSYS, ENOTTY };

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        deny(calls[i].nr, calls[i].arg, errors[_i]);
        check_choice();
    }
}
END_TEST

START_TEST(a_choice_without_descriptors)
{
    struct rlimit limit;

    NOT_UNDER_ASAN("the search for leaks at the end needs descriptors");
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_choice();
}
END_TEST

/* Another backend takes over regions that cannot be armed any more, and written pages stay reported. */
START_TEST(mprotect_is_denied_at_work)
{
    size_t page = page_size();
    char *base = watch_pages(8), *later = map_pages(4);
    void *pages[8];

    NOT_UNDER_ASAN("the search for leaks at the end calls mprotect()");
    write_map(base, "########");
    deny(SYS_mprotect, 0, EPERM);
    ck_assert_int_eq(ww_get_pages(ctx, base, 8 * page, WW_GET_RESET, pages, 8), 8);
    write_map(base, "#.#.....");
    expect_map(ctx, base, "#?#?????");
    ck_assert_int_eq(ww_watch(ctx, later, 4 * page, WW_WATCH_FRESH), 0);
    write_map(later, ".##.");
    expect_map(ctx, later, "?##?");
    ck_assert_int_ge(ww_get_pages(ctx, later, 4 * page, WW_GET_RESET, pages, 4), 2);
    write_map(later, "#...");
    expect_map(ctx, later, "#???");
    ck_assert_int_eq(ww_protect(ctx, base, page, PROT_READ), -EPERM);
    expect_map(ctx, base, "#?#?????");
}
END_TEST

void add_choice_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "choice");

    tcase_add_test(tcase, probe_name_and_choice_agree);
    tcase_add_test(tcase, an_empty_name_is_none);
    tcase_add_loop_test(tcase, what_is_denied_is_not_chosen, 0, 3);
    tcase_add_test(tcase, a_choice_without_descriptors);
    tcase_add_test(tcase, mprotect_is_denied_at_work);
}
