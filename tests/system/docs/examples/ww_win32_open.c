/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_win32_open(3): an image with imports, and an entry point that calls them. */
#include "frame.h"

#include <stddef.h>

#include "ww_win32_open-1.c"

#define MS_ABI __attribute__((ms_abi))

static uint64_t table[2];

static MS_ABI int entry(void)
{
    uint32_t (*MS_ABI last_error)(void) = (uint32_t(*MS_ABI)(void))(uintptr_t)table[1];
    void *(*MS_ABI alloc)(void *, size_t, uint32_t, uint32_t) =
        (void *(*MS_ABI)(void *, size_t, uint32_t, uint32_t))(uintptr_t)table[0];

    /* An unknown allocation type fails with ERROR_INVALID_PARAMETER. */
    return !alloc(NULL, 4096, 0x40, 4) && last_error() == 87 && alloc(NULL, 4096, 0x203000, 4) ? 42 : 1;
}

static const struct {
    char head[8], alloc[20], error[20], beep[20];
} image = { .alloc = "\0\0VirtualAlloc", .error = "\0\0GetLastError", .beep = "\0\0Beep" };

#define NAME(name) offsetof(__typeof__(image), name)

int main(void)
{
    int code = 0;

    require(
        !run((const char *)&image, (const uint64_t[]){ NAME(alloc), NAME(error), 0 }, table, entry, &code));
    require(code == 42);
    require(run((const char *)&image, (const uint64_t[]){ NAME(error), NAME(beep), 0 }, table, entry,
                &code) == -ENOENT);
    return 0;
}
