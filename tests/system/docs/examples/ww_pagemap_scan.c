/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_pagemap_scan(3): what a dump has to hold. */
#include "frame.h"

#include <inttypes.h>
#include <writewatch-pagemap.h>

int main(void)
{
    struct ww_pagemap *pagemap;

    require(!ww_pagemap_open(&pagemap, getpid()));
#include "ww_pagemap_scan-1.c"
    require(nr >= 0);
    ww_pagemap_close(pagemap);
    return 0;
}
