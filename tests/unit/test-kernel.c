/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* placeholder */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "kernel.h"

const struct ww_probe *backend;
struct ww_probe backends[MAX_BACKENDS];
size_t nr_backends;
struct ww_context *ctx;

/* Shared with the processes that the tests run in. */
static struct {
    atomic_ulong nr_begun, nr_skipped;
} * tally;

/* ---- what tests say ---- */

/* libcheck's function behind START_TEST(name) is name_fn. */
static int name_len(const char *test)
{
    size_t len = strlen(test);

    return len > 3 && !strcmp(test + len - 3, "_fn") ? len - 3 : len;
}

void skip_test(const char *test, int loop, const char *format, ...)
{
    char reason[256];
    va_list args;

    atomic_fetch_add(&tally->nr_skipped, 1);
    if (loop) {
        return;
    }
    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    printf("SKIP %.*s%s%s: %s\n", name_len(test), test, backend ? " on " : "", backend ? backend->name : "",
           reason);
    fflush(stdout);
}

void inform(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("INFO %s\n", text);
    fflush(stdout);
}

/* ---- cases ---- */

static void begin(void)
{
    atomic_fetch_add(&tally->nr_begun, 1);
}

static void open_bare(void)
{
    begin();
    ck_assert_int_eq(bare_open(&bare, UFFD_USER_MODE_ONLY), 0);
}

static void close_bare(void)
{
    bare_close(&bare);
}

static void open_context(void)
{
    begin();
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
}

static void close_context(void)
{
    ww_close(ctx);
}

static TCase *make_case(Suite *suite, const char *name, SFun setup, SFun teardown)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 120 + 20 * test_seconds());
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    return tcase;
}

TCase *new_plain_case(Suite *suite, const char *name)
{
    return make_case(suite, name, begin, NULL);
}

TCase *new_bare_case(Suite *suite, const char *name)
{
    return make_case(suite, name, open_bare, close_bare);
}

TCase *new_case(Suite *suite, const char *name)
{
    return make_case(suite, name, open_context, close_context);
}

/* ---- suites ---- */

/* Whether the bare interface is all there; says what is missing. */
static bool has_interface(void)
{
    void *base = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct bare found;
    char map[2];
    int err = bare_open(&found, UFFD_USER_MODE_ONLY);

    if (err) {
        printf("SKIP facts: userfaultfd with WP_ASYNC: %s\n", strerror(-err));
        return false;
    }
    err = base == MAP_FAILED ? -ENOMEM : bare_register(&found, base, 1, UFFDIO_REGISTER_MODE_WP);
    err = err ? err : bare_map(&found, base, 1, LAZY, false, map);
    bare_close(&found);
    munmap(base, page_size());
    if (err) {
        printf("SKIP facts: PAGEMAP_SCAN: %s\n", strerror(-err));
    }
    return !err;
}

static int run_facts(void)
{
    Suite *suite = suite_create("kernel");

    if (has_interface()) {
        add_scan_facts(suite);
        add_marker_facts(suite);
        add_page_facts(suite);
        add_ksm_facts(suite);
        add_fork_facts(suite);
        add_write_facts(suite);
        add_harvester_facts(suite);
    }
    add_soft_dirty_facts(suite);
    add_sandbox_cases(suite);
    fflush(stdout);
    return run_suite(suite);
}

static int run_backend(void)
{
    Suite *suite = suite_create(backend->name);

    add_page_cases(suite);
    add_ksm_cases(suite);
    add_replace_cases(suite);
    add_fork_cases(suite);
    add_write_cases(suite);
    add_pinned_cases(suite);
    add_harvester_cases(suite);
    add_stress_cases(suite);
    return run_suite(suite);
}

int main(void)
{
    int failed;

    tally = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tally == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    nr_backends = find_backends(backends);
    failed = run_facts();
    for (size_t i = 0; i < nr_backends; i++) {
        backend = &backends[i];
        failed += run_backend();
    }
    printf("%lu tests begun, %lu of them skipped\n", (unsigned long)tally->nr_begun,
           (unsigned long)tally->nr_skipped);
    if (!failed && tally->nr_begun == tally->nr_skipped) {
        return EXIT_SKIPPED;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
