/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_watch(3): all regions, one after the other. */
#include "frame.h"

int main(void)
{
    size_t page_size = sysconf(_SC_PAGESIZE);
    char *heap = map(8 * page_size);
    struct ww_context *ctx = open_context();

    require(!ww_watch(ctx, heap, 2 * page_size, WW_WATCH_FRESH));
    require(!ww_watch(ctx, heap + 4 * page_size, 2 * page_size, WW_WATCH_FRESH));
#include "ww_watch-1.c"
    require(range.end == (uintptr_t)(heap + 6 * page_size));
    ww_close(ctx);
    return 0;
}
