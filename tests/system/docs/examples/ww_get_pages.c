/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_get_pages(3): a copy that follows. */
#include "frame.h"

#define NR_PAGES 2048

int main(void)
{
    size_t page_size = sysconf(_SC_PAGESIZE), size = NR_PAGES * page_size;
    char *memory = map(size), *copy = calloc(1, size);
    struct ww_context *ctx = open_context();

    require(!ww_watch(ctx, memory, size, WW_WATCH_FRESH));
    for (int round = 1; round < 3; round++) {
        /* More ranges than one call returns. */
        for (size_t i = 0; i < NR_PAGES; i += 2 + round) {
            memory[i * page_size + i] = (char)(i + round);
        }
#include "ww_get_pages-1.c"
        require(nr >= 0);
        require(!memcmp(memory, copy, size));
    }
    ww_close(ctx);
    return 0;
}
