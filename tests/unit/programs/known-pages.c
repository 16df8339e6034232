/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process whose memory test-scan.sh knows: eight pages, of which it writes some. It prints the addresses
 * where the kind of page changes, in the form that the command uses, and waits to be killed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    static const int printed[] = { 0, 2, 3, 4, 5, 6, 7, 8 };
    size_t page = sysconf(_SC_PAGESIZE);
    char *base = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED || munmap(base + 4 * page, page) ||
        mmap(base + 5 * page, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) == MAP_FAILED) {
        return 1;
    }
    base[0] = base[page] = base[3 * page] = base[5 * page] = base[7 * page] = 1;
    for (size_t i = 0; i < sizeof(printed) / sizeof(printed[0]); i++) {
        printf("%012" PRIxPTR "%c", (uintptr_t)base + printed[i] * page, i < 7 ? ' ' : '\n');
    }
    fflush(stdout);
    while (1) {
        pause();
    }
}
