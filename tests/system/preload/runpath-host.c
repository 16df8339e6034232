/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * runpath-host [FILE]: opens a library by a bare name that is found only through this
 * program's RUNPATH, or FILE, whose path begins with $ORIGIN. The dynamic linker finds
 * either only if it takes this program for the caller of dlopen().
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
