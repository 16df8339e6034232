/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, required capabilities: ww_open_with() opens a backend that has them. If that begins to fail,
 * only a backend that has them takes over, or else every page counts as written.
 */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "contract.h"
#include "kernel/uapi.h"

#define NR_BITS 12 /* of enum ww_cap */
#define NR_PAGES 8
#define MAX_FDS 64

/* ww_open_with(); if it fails, it must leave *ret as it was. */
static int open_with(const char *name, uint32_t required, struct ww_context **ret)
{
    int err;

    *ret = ctx;
    err = ww_open_with(ret, name, required);
    ck_assert_msg((*ret == ctx) == (err != 0), "%#x: %d", required, err);
    return err;
}

START_TEST(unknown_capabilities_are_refused)
{
    struct ww_context *other;

    for (unsigned int bit = NR_BITS; bit < 32; bit++) {
        ck_assert_int_eq(open_with(backend->name, 1u << bit, &other), -EINVAL);
        ck_assert_int_eq(open_with(NULL, WW_CAP_KERNEL_WRITES | 1u << bit, &other), -EINVAL);
        ck_assert_uint_eq(ww_backend_caps(ctx) & 1u << bit, 0);
    }
    ck_assert_int_eq(ww_open_with(NULL, backend->name, 0), -EINVAL);
    ck_assert_int_eq(open_with("no such backend", WW_CAP_EXACT, &other), -EINVAL);
}
END_TEST

/* The name is an argument, or comes from the environment. */
START_TEST(a_named_backend_has_what_is_required_or_is_refused)
{
    struct ww_context *other;

    setenv("WW_BACKEND", backend->name, 1);
    for (unsigned int bit = 0; bit < NR_BITS; bit++) {
        int expected = backend->caps & 1u << bit ? 0 : -EOPNOTSUPP;

        for (int named = 0; named < 2; named++) {
            ck_assert_int_eq(open_with(named ? backend->name : NULL, 1u << bit, &other), expected);
            if (!expected) {
                ck_assert_str_eq(ww_backend_name(other), backend->name);
                ck_assert_uint_eq(ww_backend_caps(other), backend->caps);
                ww_close(other);
            }
        }
    }
    ck_assert_int_eq(open_with(backend->name, backend->caps, &other), 0);
    ww_close(other);
    ck_assert_int_eq(open_with(backend->name, 0, &other), 0);
    ww_close(other);
}
END_TEST

/* The best backend that works now and has all of @required and none of @avoided, or NULL. */
static const char *best_with(uint32_t required, uint32_t avoided)
{
    static struct ww_probe probes[MAX_BACKENDS];
    ssize_t nr = ww_probe(probes, MAX_BACKENDS);

    required |= WW_CAP_ATOMIC_RESET;
    for (ssize_t i = 0; i < nr; i++) {
        if (!probes[i].error && (probes[i].caps & required) == required && !(probes[i].caps & avoided)) {
            return probes[i].name;
        }
    }
    return NULL;
}

/* Whether @err is a reason to refuse: -EOPNOTSUPP, or the error of a backend that has all of @required. */
static bool is_reason(int err, uint32_t required)
{
    struct ww_probe probes[MAX_BACKENDS];
    ssize_t nr = ww_probe(probes, MAX_BACKENDS);

    for (ssize_t i = 0; i < nr; i++) {
        if (probes[i].error == err && (probes[i].caps & required) == required) {
            return true;
        }
    }
    return err == -EOPNOTSUPP;
}

START_TEST(the_best_backend_with_what_is_required_is_chosen)
{
    unsigned int first = _i / NR_BITS, second = _i % NR_BITS;
    uint32_t required = 1u << first | 1u << second;
    struct ww_context *other;
    const char *expected;
    int err;

    if (backend != &backends[0] || first > second) {
        return;
    }
    unsetenv("WW_BACKEND");
    expected = best_with(required, 0);
    err = open_with(NULL, required, &other);
    if (expected) {
        ck_assert_msg(!err, "%#x: %d", required, err);
        ck_assert_str_eq(ww_backend_name(other), expected);
        ck_assert_uint_eq(ww_backend_caps(other) & required, required);
        ww_close(other);
    } else {
        ck_assert_msg(err < 0 && is_reason(err, required), "%#x: %d", required, err);
    }
}
END_TEST

/* ---- fail-over ---- */

static bool open_before[MAX_FDS];

static void list_fds(void)
{
    for (int fd = 0; fd < MAX_FDS; fd++) {
        open_before[fd] = fcntl(fd, F_GETFD) >= 0;
    }
}

static bool deny_scans(void)
{
    deny(SYS_ioctl, (unsigned int)PAGEMAP_SCAN, EPERM);
    return true;
}

/* The same backend can be opened again, but without the capabilities that need privilege. */
static bool close_all_without_privilege(void)
{
    if (setresuid(65534, 65534, 65534) || prctl(PR_SET_DUMPABLE, 1)) {
        return false;
    }
    for (int fd = 0; fd < MAX_FDS; fd++) {
        if (!open_before[fd]) {
            close(fd);
        }
    }
    return true;
}

static bool (*const breakages[])(void) = { deny_scans, close_all_without_privilege };
#define NR_BREAKAGES (int)(sizeof(breakages) / sizeof(breakages[0]))

static void ask_and_reset(const char *base)
{
    void *pages[NR_PAGES];

    ck_assert_int_ge(ww_get_pages(ctx, base, NR_PAGES * page_size(), WW_GET_RESET, pages, NR_PAGES), 0);
}

/* The backend in use has all of @required, or it reports every page. */
static void expect_successor(const char *base, const char *before, uint32_t caps_before, uint32_t required,
                             bool named)
{
    const char *expected;

    if ((ww_backend_caps(ctx) & required) != required) {
        ck_assert_uint_eq(ww_backend_caps(ctx) & WW_CAP_EXACT, 0);
        ck_assert_int_eq(ww_reset(ctx, base, NR_PAGES * page_size()), 0);
        ck_assert_int_eq(ww_count(ctx, base, NR_PAGES * page_size()), NR_PAGES);
    }
    if (named || !strcmp(ww_backend_name(ctx), before)) {
        return;
    }
    expected = best_with(required | (caps_before & WW_CAP_KERNEL_WRITES), ~caps_before & WW_CAP_OWNS_PROT);
    ck_assert_str_eq(ww_backend_name(ctx), expected ? expected : "none");
}

/* Requires each capability alone, and all that the backend has. */
START_TEST(who_takes_over_has_what_is_required)
{
    bool named = _i / NR_BREAKAGES % 2;
    unsigned int bit = _i / NR_BREAKAGES / 2;
    uint32_t required = bit < NR_BITS ? 1u << bit : backend->caps, caps_before;
    const char *before;
    char *base;

    if ((required & ~backend->caps) || (!named && backend != &backends[0])) {
        return;
    }
    ww_close(ctx);
    unsetenv("WW_BACKEND");
    list_fds();
    ck_assert_int_eq(ww_open_with(&ctx, named ? backend->name : NULL, required), 0);
    before = ww_backend_name(ctx);
    caps_before = ww_backend_caps(ctx);
    base = watch_pages(NR_PAGES);
    write_map(base, "#..#....");
    if (!breakages[_i % NR_BREAKAGES]()) {
        printf("SKIP %s on %s: there is no privilege to lose\n", __func__, backend->name);
        return;
    }
    write_map(base, ".#......");
    expect_map(ctx, base, "##?#????");
    for (int i = 0; i < 10; i++) {
        ask_and_reset(base);
        write_map(base, "...#..#.");
        expect_map(ctx, base, "???#??#?");
    }
    expect_successor(base, before, caps_before, required, named);
}
END_TEST

void add_required_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "required");

    tcase_add_test(tcase, unknown_capabilities_are_refused);
    tcase_add_test(tcase, a_named_backend_has_what_is_required_or_is_refused);
    tcase_add_loop_test(tcase, the_best_backend_with_what_is_required_is_chosen, 0, NR_BITS * NR_BITS);
    tcase_add_loop_test(tcase, who_takes_over_has_what_is_required, 0, 2 * NR_BREAKAGES * (NR_BITS + 1));
}
