/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_strerror(3): a watch that is refused says why. */
#include "frame.h"

int main(void)
{
    size_t len = 4 * sysconf(_SC_PAGESIZE);
    char *heap = map(len);
    struct ww_context *ctx = open_context();

    for (int i = 0; i < 2; i++) {
#include "ww_strerror-1.c"
        require(err == (i ? -EEXIST : 0));
    }
    ww_close(ctx);
    return 0;
}
