/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fault-host BACKEND [crash]: watches some pages, writes to them, prints which
 * were written, and with `crash` writes to address 0 then.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "writewatch.h"

#define NR_PAGES 8

int main(int argc, char **argv)
{
    size_t page = sysconf(_SC_PAGESIZE), len = NR_PAGES * page;
    struct ww_context *ctx;
    void *pages[NR_PAGES];
    char *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ssize_t nr;

    if (argc < 2 || base == MAP_FAILED || ww_open(&ctx, argv[1]) || ww_watch(ctx, base, len, 0)) {
        return 2;
    }
    for (int round = 0; round < 2; round++) {
        base[(2 + round) * page] = base[5 * page + 1] = 1;
        nr = ww_get_pages(ctx, base, len, WW_GET_RESET, pages, NR_PAGES);
        for (ssize_t i = 0; i < nr; i++) {
            printf("%zu%s", (size_t)((char *)pages[i] - base) / page, i + 1 < nr ? " " : "\n");
        }
    }
    fflush(stdout);
    if (argc > 2 && !strcmp(argv[2], "crash")) {
        *(volatile char *volatile *)&base = NULL;
        base[0] = 1;
    }
    ww_close(ctx);
    base[0] = 2;
    return 0;
}
