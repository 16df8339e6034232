/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens a library by bare name that only this program's RUNPATH leads to: it is
 * found if and only if the dynamic linker sees this program as the caller.
 */
#include <dlfcn.h>
#include <stdio.h>

int main(void)
{
    if (!dlopen("foreign.so", RTLD_NOW)) {
        printf("%s\n", dlerror());
        return 1;
    }
    return 0;
}
