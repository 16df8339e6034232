/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that the test loader must refuse: it imports one function too many. */
#include <windows.h>

int guest_main(void);
int guest_main(void)
{
    return (int)GetCurrentProcessId();
}
