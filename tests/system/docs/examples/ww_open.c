/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_open(3): a backend, or none. */
#include "frame.h"

int main(void)
{
#include "ww_open-1.c"
    if (err) {
        printf("%s\n", ww_strerror(err));
        return err == -EOPNOTSUPP ? EXIT_SKIPPED : EXIT_FAILURE;
    }
    require(ww_backend_caps(ctx) & WW_CAP_KERNEL_WRITES);
    ww_close(ctx);
    return 0;
}
