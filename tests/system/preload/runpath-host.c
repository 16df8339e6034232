/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * runpath-host [FILE]: opens a library by bare name that only this program's RUNPATH
 * leads to, or one by a path that begins with $ORIGIN: it is found if and only if
 * the dynamic linker sees this program as the caller.
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (!dlopen(argc > 1 ? argv[1] : "foreign.so", RTLD_NOW)) {
        printf("%s\n", dlerror());
        return 1;
    }
    return 0;
}
