/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the benchmark's workloads take from Linux: time, memory, the size of the
 * page tables, and how a child ends. Windows programs have the same in
 * tests/pe/bench_windows.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

double bench_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

/* The report is in memory that the parent sees. */
void bench_end(struct bench_run *run, int status)
{
    (void)run;
    _exit(status);
}

long bench_status_kb(pid_t pid, const char *field)
{
    char path[64], line[256];
    size_t len = strlen(field);
    long kb = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (!strncmp(line, field, len) && line[len] == ':') {
            kb = atol(line + len + 1);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return kb;
}

long bench_page_tables_kb(struct bench_run *run)
{
    (void)run;
    return bench_status_kb(getpid(), "VmPTE");
}

int bench_map(size_t len, struct bench_area *ret_area)
{
    char *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED) {
        return -errno;
    }
    *ret_area = (struct bench_area){ .base = base, .len = len };
    return 0;
}

int bench_map_watched(int (*watch)(void *state, const struct bench_area *area), void *state, size_t len,
                      struct bench_area *ret_area)
{
    struct bench_area area;
    int err = bench_map(len, &area);

    if (err) {
        return err;
    }
    err = watch(state, &area);
    if (err) {
        bench_unmap(&area);
        return err;
    }
    *ret_area = area;
    return 0;
}

int bench_unmap(const struct bench_area *area)
{
    return munmap(area->base, area->len) ? -errno : 0;
}

int bench_drop(const struct bench_area *area)
{
    return madvise(area->base, area->len, MADV_DONTNEED) ? -errno : 0;
}

int bench_protect_memory(const struct bench_area *area, bool writable)
{
    return mprotect(area->base, area->len, PROT_READ | (writable ? PROT_WRITE : 0)) ? -errno : 0;
}
