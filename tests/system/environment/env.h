/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the environment suite share. As in the contract suite, each test
 * runs once for each backend, in a process of its own that it may leave unusable, and
 * looks at capability bits, not at names. In every environment the library must report
 * what was written; it may report more.
 */
#ifndef WW_TESTS_UNIT_ENV_H
#define WW_TESTS_UNIT_ENV_H

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "contract.h"
#include "kernel/uapi.h"

#define NOBODY 65534

/* Returns from a test that cannot run here, and prints the reason. */
#define SKIP_TEST(why)                                                                                       \
    do {                                                                                                     \
        printf("SKIP %s on %s: %s\n", __func__, backend->name, why);                                         \
        return;                                                                                              \
    } while (0)

/* A map in which the pages that were not written may be reported as well. */
static inline const char *or_more(const char *map)
{
    static char more[64];
    size_t i;

    for (i = 0; map[i]; i++) {
        more[i] = map[i] == '#' ? '#' : '?';
    }
    more[i] = '\0';
    return more;
}

/* Writes, queries and resets eight pages three times. Pages may have been written before. */
static inline void expect_nothing_lost(char *base)
{
    static const char *const maps[] = { "#..#....", ".#.....#", "########" };
    void *pages[8];

    for (int i = 0; i < 3; i++) {
        write_map(base, maps[i]);
        expect_map(ctx, base, or_more(maps[i]));
        ck_assert_int_ge(ww_get_pages(ctx, base, 8 * page_size(), WW_GET_RESET, pages, 8), i < 2 ? 2 : 8);
    }
}

/* The same; and after a reset an exact backend reports nothing but what was written. */
static inline void expect_works(char *base)
{
    expect_nothing_lost(base);
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    write_map(base, "#..##...");
    expect_map(ctx, base, "#..##...");
    reset_pages(base, 8);
    write_map(base, "..#....#");
    expect_map(ctx, base, "..#....#");
}

/* The errors that ww_open() may give, as its comment lists them. */
static inline bool is_documented(int err)
{
    static const int errors[] = { EINVAL, ENOMEM,     EMFILE, ENFILE, EAGAIN, EPERM,
                                  ENOSYS, EOPNOTSUPP, ENOTTY, EACCES, ENOENT, EIO };

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (err == -errors[i]) {
            return true;
        }
    }
    return false;
}

/* Opens the backend by its name. NULL where that fails with a documented error. */
static inline struct ww_context *try_open(int *ret_err)
{
    struct ww_context *const untouched = (struct ww_context *)1;
    struct ww_context *c = untouched;

    *ret_err = ww_open(&c, backend->name);
    ck_assert_msg(!*ret_err || is_documented(*ret_err), "ww_open: %d (%s)", *ret_err, strerror(-*ret_err));
    ck_assert(!*ret_err || c == untouched);
    return *ret_err ? NULL : c;
}

/* Whatever is denied, ww_open(NULL) finds a backend that works. */
static inline void expect_choice_works(void)
{
    struct ww_context *saved = ctx;

    unsetenv("WW_BACKEND");
    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
    expect_works(watch_pages(8));
    ww_close(ctx);
    ctx = saved;
}

/* Gives up root's privileges, if the process has them, and makes it dumpable, as if the user had started it.
 * False: it cannot. */
static inline bool become_nobody(void)
{
    return (geteuid() || (!setresgid(NOBODY, NOBODY, NOBODY) && !setresuid(NOBODY, NOBODY, NOBODY))) &&
           !prctl(PR_SET_DUMPABLE, 1);
}

void add_limit_cases(Suite *suite);
void add_mapping_limit_cases(Suite *suite);
void add_descriptor_cases(Suite *suite);
void add_sandbox_cases(Suite *suite);
void add_child_cases(Suite *suite);
void add_context_cases(Suite *suite);

#endif
