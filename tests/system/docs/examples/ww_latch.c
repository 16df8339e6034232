/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_latch(3): VirtualProtect, then MEM_DECOMMIT. */
#include "frame.h"

int main(void)
{
    size_t page_size = sysconf(_SC_PAGESIZE), len = 16 * page_size;
    char *addr = map(len);
    struct ww_context *ctx = open_context();

    require(!ww_watch(ctx, addr, len, WW_WATCH_FRESH));
    addr[3 * page_size] = addr[4 * page_size] = 1;
#include "ww_latch-1.c"
    addr[9 * page_size] = 1;
#include "ww_latch-2.c"
    require(is_right(ctx, ww_count(ctx, addr, len), 2));
    require(ww_count(ctx, addr + 3 * page_size, 2 * page_size) == 2);
    require(!addr[3 * page_size] && !addr[9 * page_size]);
    ww_close(ctx);
    return 0;
}
