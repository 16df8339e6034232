/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds the backends that work here and runs a suite on each.
 */
#include <errno.h>
#include <limits.h>

#include "backends.h"

const struct ww_probe *backend;
struct ww_probe backends[MAX_BACKENDS];
size_t nr_backends;
struct ww_context *ctx;

void open_context(void)
{
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
}

void close_context(void)
{
    ww_close(ctx);
}

TCase *new_context_case(Suite *suite, const char *name, double seconds)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, seconds);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int run_on_each_backend(int (*run)(void))
{
    int failed = 0;

    nr_backends = find_backends(backends, 0);
    for (size_t i = 0; i < nr_backends; i++) {
        backend = &backends[i];
        failed += run();
    }
    if (!nr_backends) {
        printf("SKIP: no backend works here\n");
        return EXIT_SKIPPED;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

bool backend_works(const char *name)
{
    for (size_t i = 0; i < nr_backends; i++) {
        if (!strcmp(backends[i].name, name)) {
            return true;
        }
    }
    return false;
}

struct ww_probe probe_backend(const char *name)
{
    struct ww_probe probes[MAX_BACKENDS];
    ssize_t nr = ww_probe(probes, MAX_BACKENDS);

    for (ssize_t i = 0; i < nr; i++) {
        if (!strcmp(probes[i].name, name)) {
            ck_assert(probes[i].error ? probes[i].reason[0] != 0 : !probes[i].remedy);
            return probes[i];
        }
    }
    ck_abort_msg("ww_probe() does not know %s", name);
    return (struct ww_probe){ .error = -EINVAL };
}

unsigned long kb_after(const char *line, const char *field, unsigned long otherwise)
{
    size_t len = strlen(field);

    return strncmp(line, field, len) || line[len] != ':' ? otherwise : strtoul(line + len + 1, NULL, 10);
}

unsigned long status_kb(const char *field)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long value = ULONG_MAX;
    char line[512];

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file)) {
        value = kb_after(line, field, value);
    }
    fclose(file);
    ck_assert_msg(value != ULONG_MAX, "/proc/self/status has no %s", field);
    return value;
}

int put_nothing(void *arg, uintptr_t addr, void *buffer, size_t len)
{
    (void)arg;
    (void)addr;
    (void)buffer;
    (void)len;
    return 0;
}
