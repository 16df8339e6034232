/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the workloads take from Linux: time, memory, limits, the size of the page tables, and the end of a
 * child. tests/pe/bench_windows.c has the same for Windows programs.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../common/proc.h"
#include "kernel/facts.h"
#include "bench.h"

double bench_now_us(void)
{
    return now_ns() / 1e3;
}

/* The report needs no sending: the parent shares it. */
void bench_end(struct bench_run *run, int status)
{
    (void)run;
    _exit(status);
}

size_t bench_max_map_count(void)
{
    return ww_mapping_limit();
}

long bench_page_tables_kb(struct bench_run *run)
{
    (void)run;
    return read_status(getpid(), "VmPTE");
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
