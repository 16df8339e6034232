/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages of a process must a dump hold? Those that are present or swapped out
 * and cannot be read again from a file. The child here has reserved a terabyte, as
 * sanitizers do, and touched a thousand pages of it. The parent finds them without
 * walking the terabyte, reads them, and checks that it got all of them and no other.
 * Exits with 77 if the pages cannot be scanned, and with 1 if anything is wrong.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <writewatch-pagemap.h>

#define SIZE (UINT64_C(1) << 40)
#define NR_TOUCHED 1000
#define CONTENT(nr) ((char)((nr) | 1)) /* of the touched page of this number */

struct layout {
    uint64_t sparse, file, stride; /* addresses in the child; from one touched page to the next */
};

static void require(int condition, const char *what)
{
    if (!condition) {
        printf("failed: %s\n", what);
        exit(1);
    }
}

/* The child: makes its memory, tells where it is, and waits for its parent to end. */
static void be_dumped(int to_parent, size_t page)
{
    struct layout layout = { .stride = SIZE / NR_TOUCHED / page * page };
    const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *file = mmap(NULL, page, PROT_READ, MAP_PRIVATE, open("/proc/self/exe", O_RDONLY), 0);
    char *sparse = mmap(NULL, (size_t)SIZE, prot, flags, -1, 0);

    if (!prctl(PR_SET_PDEATHSIG, SIGKILL) && sparse != MAP_FAILED && file != MAP_FAILED) {
        layout.sparse = (uintptr_t)sparse;
        layout.file = (uintptr_t)file;
        (void)*(volatile char *)file;
        for (size_t i = 0; i < NR_TOUCHED; i++) {
            sparse[i * layout.stride] = CONTENT(i);
        }
        if (write(to_parent, &layout, sizeof(layout)) == sizeof(layout)) {
            pause();
        }
    }
    _exit(1);
}

/* Reads a page as a dump would. Returns whether it is of the sparse memory. */
static int dump_page(int mem, const struct layout *layout, uint64_t addr)
{
    uint64_t offset = addr - layout->sparse;
    char first;

    require(addr != layout->file, "no page of a file is found");
    if (addr < layout->sparse || offset >= SIZE) {
        return 0;
    }
    require(offset % layout->stride == 0, "no page is found that was not touched");
    require(pread(mem, &first, 1, addr) == 1 && first == CONTENT(offset / layout->stride), "read a page");
    return 1;
}

int main(void)
{
    struct ww_page_region regions[512];
    struct ww_pagemap_scan scan = {
        .end = UINT64_MAX,
        .category_mask = WW_PAGE_IS_FILE,
        .category_inverted = WW_PAGE_IS_FILE,
        .category_anyof_mask = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED,
    };
    size_t page = sysconf(_SC_PAGESIZE), nr_sparse = 0, nr_all = 0;
    struct timespec begin, end;
    struct ww_pagemap *pagemap;
    struct layout layout;
    int pipes[2], mem;
    char path[64];
    pid_t child;

    require(!pipe(pipes) && (child = fork()) >= 0, "start a child");
    if (!child) {
        be_dumped(pipes[1], page);
    }
    close(pipes[1]);
    if (read(pipes[0], &layout, sizeof(layout)) != sizeof(layout) || ww_pagemap_open(&pagemap, child)) {
        printf("SKIP: no terabyte to reserve, or no way to look at another process\n");
        return 77;
    }
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)child);
    mem = open(path, O_RDONLY | O_CLOEXEC);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (; scan.start < scan.end; scan.start = scan.walk_end) {
        ssize_t nr = ww_pagemap_scan(pagemap, &scan, regions, 512);

        require(nr >= 0, "scan");
        for (ssize_t i = 0; i < nr; i++) {
            for (uint64_t addr = regions[i].start; addr < regions[i].end; addr += page, nr_all++) {
                nr_sparse += dump_page(mem, &layout, addr);
            }
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    require(nr_sparse == NR_TOUCHED, "every page that was touched is found");
    printf("%s: %zu pages to dump, %zu of them in a terabyte with %d touched; %.1f ms\n",
           ww_pagemap_source(pagemap), nr_all, nr_sparse, NR_TOUCHED,
           (end.tv_sec - begin.tv_sec) * 1e3 + (end.tv_nsec - begin.tv_nsec) / 1e6);
    ww_pagemap_close(pagemap);
    return 0;
}
