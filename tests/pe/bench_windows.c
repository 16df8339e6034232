/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benchmark's workloads (programs/bench/bench.h) on Windows: the functions that they
 * need from the system, as programs/bench/system.c has them for Linux, and write watches as
 * the only peer. Samples and messages go to standard output, a line each, where
 * tests/bench/command.c reads them.
 */
#include <errno.h>
#include <stdlib.h>
#include <x86intrin.h>
#include <windows.h>

#include "bench_windows.h"

/* ---- time ---- */

static double ticks_per_us;

static double counter_us(void)
{
    LARGE_INTEGER counter, frequency;

    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&counter);
    return counter.QuadPart * 1e6 / frequency.QuadPart;
}

/* Calibrates the processor's counter by the system's, which has steps of 100 ns and costs a system call. */
void bench_start_clock(void)
{
    double start = counter_us(), us;
    unsigned long long ticks = __rdtsc();

    do {
        us = counter_us() - start;
    } while (us < 20e3);
    ticks_per_us = (__rdtsc() - ticks) / us;
}

double bench_now_us(void)
{
    return __rdtsc() / ticks_per_us;
}

/* ---- input and output ---- */

void bench_say_sample(const struct bench_sample *sample)
{
    printf("sample %s %s %zu %g %zu %.17g\n", sample->name, sample->unit, sample->pages, sample->fraction,
           sample->len, sample->value);
    fflush(stdout);
}

void bench_end(struct bench_run *run, int status)
{
    if (run->report->message[0]) {
        printf("message %s\n", run->report->message);
    }
    fflush(stdout);
    ExitProcess(status);
}

/* Asks the program that started this one, because a Windows program cannot read /proc. */
long bench_ask_status_kb(const char *field)
{
    char line[64];

    printf("status %s\n", field);
    fflush(stdout);
    return fgets(line, sizeof(line), stdin) ? atol(line) : -1;
}

/* Unlimited, because no peer here splits mappings. */
size_t bench_max_map_count(void)
{
    return SIZE_MAX;
}

long bench_page_tables_kb(struct bench_run *run)
{
    (void)run;
    return bench_ask_status_kb("VmPTE");
}

/* ---- write watches ---- */

static int windows_open(const struct bench_peer *peer, void **ret_state)
{
    (void)peer;
    *ret_state = NULL;
    return 0;
}

static void windows_close(void *state)
{
    (void)state;
}

static int windows_allocate(void *state, size_t len, bool sparse, struct bench_area *ret_area)
{
    DWORD type = MEM_RESERVE | MEM_WRITE_WATCH | (sparse ? 0 : MEM_COMMIT);
    char *base = VirtualAlloc(NULL, len, type, PAGE_READWRITE);

    (void)state;
    if (!base) {
        return -ENOMEM;
    }
    *ret_area = (struct bench_area){ .base = base, .len = len };
    return 0;
}

static int windows_release(void *state, const struct bench_area *area)
{
    (void)state;
    return VirtualFree(area->base, 0, MEM_RELEASE) ? 0 : -EINVAL;
}

static int windows_commit(void *state, const struct bench_area *area, size_t nr, size_t stride)
{
    (void)state;
    for (size_t i = 0; i < nr; i++) {
        if (!VirtualAlloc(area->base + i * stride * 4096, 4096, MEM_COMMIT, PAGE_READWRITE)) {
            return -ENOMEM;
        }
    }
    return 0;
}

static ssize_t windows_get(void *state, const struct bench_area *area, bool reset, void **ret_pages,
                           size_t capacity)
{
    ULONG_PTR count = capacity;
    ULONG granularity;

    (void)state;
    if (GetWriteWatch(reset ? WRITE_WATCH_FLAG_RESET : 0, area->base, area->len, ret_pages, &count,
                      &granularity)) {
        return -EIO;
    }
    return count;
}

static int windows_reset(void *state, const struct bench_area *area)
{
    (void)state;
    return ResetWriteWatch(area->base, area->len) ? -EIO : 0;
}

/* Under stock Wine new pages count as written where the old ones did, so a program that is to run there
 * must reset them. */
static int windows_decommit(void *state, const struct bench_area *area)
{
    if (!VirtualFree(area->base, area->len, MEM_DECOMMIT) ||
        !VirtualAlloc(area->base, area->len, MEM_COMMIT, PAGE_READWRITE)) {
        return -EIO;
    }
    return windows_reset(state, area);
}

static int windows_protect(void *state, const struct bench_area *area, bool writable)
{
    DWORD before;

    (void)state;
    return VirtualProtect(area->base, area->len, writable ? PAGE_READWRITE : PAGE_READONLY, &before) ? 0
                                                                                                     : -EIO;
}

const struct bench_ops bench_windows_ops = {
    .open = windows_open,
    .close = windows_close,
    .allocate = windows_allocate,
    .release = windows_release,
    .commit = windows_commit,
    .get = windows_get,
    .reset = windows_reset,
    .decommit = windows_decommit,
    .protect = windows_protect,
};
