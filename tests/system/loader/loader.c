/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a Windows program natively, without Wine: the smallest host of
 * writewatch-win32.h. The program may import that header's functions from
 * KERNEL32.dll and nothing else.
 *
 *   loader FILE           runs it: exit code 0 if it returns 0, else 1
 *   loader --check FILE   loads it only
 *
 * Exit code 125: it cannot be loaded, with the reason; 77: not x86_64, or no backend works here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pe.h"
#include "writewatch-win32.h"

#define EXIT_NOT_LOADED 125
#define EXIT_SKIPPED 77
#define MAX_FILE ((size_t)64 << 20)

#if defined(__x86_64__)
typedef int (*entry_function)(void) __attribute__((ms_abi));
#else
typedef int (*entry_function)(void);
#endif

static void *resolve(void *win32, const char *dll, const char *name)
{
    ww_win32_function function;

    if (strcasecmp(dll, "kernel32.dll") || ww_win32_bind(win32, name, WW_WIN32_WIN64, &function)) {
        return NULL;
    }
    return (void *)function;
}

/* The whole file. NULL, with a message: it cannot be read or is too large. */
static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    char *content = malloc(MAX_FILE);
    size_t size = file && content ? fread(content, 1, MAX_FILE, file) : 0;
    bool good = file && content && !ferror(file) && size < MAX_FILE;

    if (!good) {
        fprintf(stderr, "loader: %s: cannot be read\n", path);
        free(content);
    }
    if (file) {
        fclose(file);
    }
    *ret_size = size;
    return good ? content : NULL;
}

static int run(struct ww_win32 *win32, const char *path, bool check_only)
{
    size_t size;
    char *file = read_file(path, &size);
    int ret = 0;
    struct pe pe;
    bool loaded;

    if (!file) {
        return EXIT_NOT_LOADED;
    }
    loaded = pe_load(&pe, file, size, resolve, win32);
    free(file);
    if (!loaded) {
        fprintf(stderr, "loader: %s: %s\n", path, pe.error);
        return EXIT_NOT_LOADED;
    }
    if (!check_only) {
        ret = ((entry_function)pe.entry)();
        printf("the program returned %d\n", ret);
    }
    pe_unload(&pe);
    return ret != 0;
}

int main(int argc, char **argv)
{
    bool check_only = argc == 3 && !strcmp(argv[1], "--check");
    ww_win32_function function;
    struct ww_context *ctx;
    struct ww_win32 *win32;
    int err, ret;

    if (argc != 2 + check_only) {
        fprintf(stderr, "usage: loader [--check] FILE\n");
        return EXIT_NOT_LOADED;
    }
    err = ww_open(&ctx, NULL);
    if (err) {
        fprintf(stderr, "loader: no write watch here: %s\n", ww_strerror(err));
        return EXIT_SKIPPED;
    }
    err = ww_win32_open(&win32, ctx);
    if (err) {
        fprintf(stderr, "loader: %s\n", ww_strerror(err));
        return EXIT_NOT_LOADED;
    }
    if (ww_win32_bind(win32, "VirtualAlloc", WW_WIN32_WIN64, &function) == -ENOTSUP) {
        fprintf(stderr, "loader: such programs run on x86_64 only\n");
        ret = EXIT_SKIPPED;
    } else {
        ret = run(win32, argv[argc - 1], check_only);
    }
    ww_win32_close(win32);
    ww_close(ctx);
    return ret;
}
