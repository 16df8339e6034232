/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_probe(3): why not. */
#include "frame.h"

int main(void)
{
#include "ww_probe-1.c"
    require(nr > 0);
    return 0;
}
