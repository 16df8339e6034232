/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * selftest.c - the smallest program that uses a write watch.
 *
 * Writes to three pages of sixteen, asks which, resets, writes to another one and asks again.
 * It prints what it is told and ends with 0 if that is what it did.
 */
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <io.h>
#include <windows.h>

#define NR_PAGES 16
#define PAGE_BYTES 4096

/* Prints the dirty pages and resets them; returns whether they are those expected. */
static BOOL show_pages(char *base, const char *want)
{
    ULONG_PTR count = NR_PAGES, i;
    PVOID addresses[NR_PAGES];
    char text[100] = "";
    ULONG granularity;

    if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, base, NR_PAGES * PAGE_BYTES, addresses, &count, &granularity)) {
        printf("GetWriteWatch fails, error %lu\n", GetLastError());
        return FALSE;
    }
    for (i = 0; i < count; i++)
        sprintf(text + strlen(text), " %u", (unsigned int)(((char *)addresses[i] - base) / granularity));
    printf("dirty pages:%s\n", text);
    return !strcmp(text, want);
}

int main(void)
{
    volatile char *base;
    BOOL good;

    _setmode(_fileno(stdout), _O_BINARY);
    base =
        VirtualAlloc(NULL, NR_PAGES * PAGE_BYTES, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (!base) {
        printf("VirtualAlloc fails, error %lu\n", GetLastError());
        return 1;
    }
    base[1 * PAGE_BYTES] = 1;
    base[5 * PAGE_BYTES + 100] = 1;
    base[9 * PAGE_BYTES + 4095] = 1;
    good = show_pages((char *)base, " 1 5 9");
    base[2 * PAGE_BYTES] = 1;
    good = show_pages((char *)base, " 2") && good;
    VirtualFree((char *)base, 0, MEM_RELEASE);
    return good ? 0 : 1;
}
