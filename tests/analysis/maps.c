/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Windows program that allocates watched memory, asks for its writes, says so and
 * waits, so that its mappings can be looked at from outside: a file of /proc that it opened itself would be
 * that of Wine's server.
 */
#include <stdio.h>
#include <windows.h>

int main(void)
{
    char *base = VirtualAlloc(NULL, 65536, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    void *pages[16];
    ULONG_PTR count = 16;
    ULONG granularity;

    if (!base) {
        return 1;
    }
    base[5000] = 1;
    if (GetWriteWatch(0, base, 65536, pages, &count, &granularity) || count != 1) {
        return 2;
    }
    puts("ready");
    fflush(stdout);
    Sleep(6000);
    return 0;
}
