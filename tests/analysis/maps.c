/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Windows program that allocates watched memory, gets its written pages, prints "ready" and waits, so that
 * test-hardening.sh can read its mappings from outside. If the program opened /proc/self/maps itself, it
 * would get those of Wine's server.
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
