/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * maps-host PATH/ntdll.so: opens a fake ntdll.so as Wine's loader does, at which the preload attaches, and
 * prints the mappings of the process.
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    void *ntdll = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];

    if (!ntdll || !maps) {
        fprintf(stderr, "maps-host: %s\n", ntdll ? "no /proc/self/maps" : dlerror());
        return 1;
    }
    while (fgets(line, sizeof(line), maps)) {
        fputs(line, stdout);
    }
    fclose(maps);
    return 0;
}
