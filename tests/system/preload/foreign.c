/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another preload: leaves a mark in the environment. */
#include <stdlib.h>

__attribute__((constructor)) static void leave_mark(void)
{
    setenv("FOREIGN", "was here", 1);
}
