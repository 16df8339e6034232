/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fixture of the tests of the mprotect backend. */
#include "mprotect-test.h"

struct ww_context *ctx;

void open_context(void)
{
    ck_assert_int_eq(ww_open(&ctx, "mprotect"), 0);
}

void close_context(void)
{
    ww_close(ctx);
}

char *watch_pages(size_t nr)
{
    char *base = map_pages(nr);

    ck_assert_int_eq(ww_watch(ctx, base, nr * page_size(), WW_WATCH_FRESH), 0);
    return base;
}
