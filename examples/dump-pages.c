/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages of a process must a dump hold? Those that are present or swapped
 * out and can not be read again from a file. The child here has reserved a
 * terabyte, as sanitizers do for their shadow, and touched a thousand pages of
 * it; it has a file mapped as well. The parent finds the pages without walking
 * the terabyte, reads them, and checks that it got all of them and no other.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <writewatch-pagemap.h>

#define SIZE ((size_t)1 << 40)
#define NR_TOUCHED 1000
#define NR_REGIONS 512
#define EXIT_SKIPPED 77

static void fail(const char *what)
{
    fprintf(stderr, "dump-pages: %s\n", what);
    exit(EXIT_FAILURE);
}

/* The child: makes its memory, tells where it is, and waits to be killed. */
static void be_dumped(int to_parent, size_t page, const char *own_path)
{
    char *sparse =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int file = open(own_path, O_RDONLY);
    volatile char *mapped = mmap(NULL, page, PROT_READ, MAP_PRIVATE, file, 0);
    char *where[2] = { sparse, (char *)mapped };

    if (sparse == MAP_FAILED || mapped == MAP_FAILED) {
        where[0] = NULL;
    } else {
        (void)*mapped;
        for (size_t i = 0; i < NR_TOUCHED; i++) {
            sparse[i * (SIZE / NR_TOUCHED / page) * page] = (char)(i | 1);
        }
    }
    if (write(to_parent, where, sizeof(where)) == sizeof(where)) {
        pause();
    }
    _exit(EXIT_SUCCESS);
}

/* Reads the pages of a region as a dump would, and counts those of the sparse memory. */
static size_t dump(int mem, const struct ww_page_region *region, const char *sparse, size_t page,
                   size_t *good)
{
    size_t nr = 0;

    for (uint64_t addr = region->start; addr < region->end; addr += page) {
        size_t offset = addr - (uintptr_t)sparse, i = offset / page / (SIZE / NR_TOUCHED / page);
        char first;

        if (addr >= (uintptr_t)sparse && offset < SIZE) {
            nr++;
            *good += pread(mem, &first, 1, addr) == 1 && first == (char)(i | 1);
        }
    }
    return nr;
}

int main(int argc, char **argv)
{
    struct ww_page_region regions[NR_REGIONS];
    struct ww_pagemap_scan scan = {
        .end = UINT64_MAX,
        .category_mask = WW_PAGE_IS_FILE,
        .category_inverted = WW_PAGE_IS_FILE,
        .category_anyof_mask = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED,
    };
    size_t page = sysconf(_SC_PAGESIZE), nr_sparse = 0, nr_good = 0, nr_file = 0, nr_all = 0;
    struct timespec begin, end;
    struct ww_pagemap *pagemap;
    int pipes[2], mem;
    char path[64], *where[2];
    pid_t child;

    if (pipe(pipes)) {
        fail("no pipe");
    }
    child = fork();
    if (!child) {
        be_dumped(pipes[1], page, argc ? "/proc/self/exe" : argv[0]);
    }
    if (read(pipes[0], where, sizeof(where)) != sizeof(where)) {
        fail("the child did not start");
    }
    if (!where[0] || ww_pagemap_open(&pagemap, child)) {
        kill(child, SIGKILL);
        printf("skipped: no terabyte to reserve, or no way to look at another process\n");
        return EXIT_SKIPPED;
    }
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)child);
    mem = open(path, O_RDONLY | O_CLOEXEC);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (scan.start < scan.end) {
        ssize_t nr = ww_pagemap_scan(pagemap, &scan, regions, NR_REGIONS);

        if (nr < 0) {
            fail("ww_pagemap_scan");
        }
        for (ssize_t i = 0; i < nr; i++) {
            nr_all += (regions[i].end - regions[i].start) / page;
            nr_sparse += dump(mem, &regions[i], where[0], page, &nr_good);
            nr_file += regions[i].start <= (uintptr_t)where[1] && regions[i].end > (uintptr_t)where[1];
        }
        scan.start = scan.walk_end;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%s: %zu pages to dump, %zu of them in a terabyte with %d touched; %.1f ms\n",
           ww_pagemap_source(pagemap), nr_all, nr_sparse, NR_TOUCHED,
           (end.tv_sec - begin.tv_sec) * 1e3 + (end.tv_nsec - begin.tv_nsec) / 1e6);
    ww_pagemap_close(pagemap);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return nr_sparse == NR_TOUCHED && nr_good == NR_TOUCHED && !nr_file ? EXIT_SUCCESS : EXIT_FAILURE;
}
