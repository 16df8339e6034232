/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench.exe WORKLOAD SEED [full|quick]: one of the benchmark's workloads (programs/bench/bench.h)
 * as a Windows program, which tracks writes by this system's GetWriteWatch().
 * Prints its figures as tests/bench/command.c reads them; the exit code is one of enum
 * bench_end, or 2 for a bad command line.
 */
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <io.h>
#include <windows.h>
#include <winternl.h>

#include "bench_windows.h"

/* ---- the cost for a program without write watches ---- */

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void emit_kb(struct bench_run *run, const char *name, long kb)
{
    struct bench_sample sample = { .unit = "kb", .fraction = -1, .value = kb };

    snprintf(sample.name, sizeof(sample.name), "%s", name);
    bench_emit_sample(run, &sample);
}

/* Sorts numbers, and makes and drops strings of all sizes, large ones by VirtualAlloc() as heaps do. */
static void ordinary(struct bench_run *run)
{
    size_t nr = run->quick ? 10000 : 2000000, nr_strings = run->quick ? 1000 : 200000;
    uint64_t *numbers, random = run->seed;
    char *strings[256] = { NULL };
    double start;

    emit_kb(run, "resident_at_start", bench_ask_status_kb("VmRSS"));
    start = bench_now_us();
    numbers = malloc(nr * sizeof(*numbers));
    if (!numbers) {
        bench_unable(run, "no memory");
    }
    for (size_t i = 0; i < nr; i++) {
        numbers[i] = bench_random(&random);
    }
    qsort(numbers, nr, sizeof(*numbers), compare_numbers);
    free(numbers);
    bench_emit(run, 0, bench_now_us() - start, "ordinary_sort");
    start = bench_now_us();
    for (size_t i = 0; i < nr_strings; i++) {
        size_t which = bench_random(&random) % 256,
               len = 1 + bench_random(&random) % (i % 64 ? 4096 : 2 * MB);

        free(strings[which]);
        strings[which] = malloc(len);
        if (strings[which]) {
            strings[which][0] = strings[which][len - 1] = 1;
        }
    }
    for (size_t i = 0; i < 256; i++) {
        free(strings[i]);
    }
    bench_emit(run, 0, bench_now_us() - start, "ordinary_heap");
}

/* ---- calls about memory that is not watched ---- */

typedef UINT(WINAPI *get_write_watch)(DWORD, PVOID, SIZE_T, PVOID *, ULONG_PTR *, ULONG *);

static void unwatched(struct bench_run *run)
{
    size_t repeat = run->quick ? 100 : 20000, len = 64 * KB;
    char *memory = VirtualAlloc(NULL, len, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    /* Called by a pointer, because the declaration tells the compiler that some arguments are not allowed. */
    get_write_watch get =
        (get_write_watch)(void *)GetProcAddress(GetModuleHandleA("kernel32"), "GetWriteWatch");
    ULONG_PTR count = 1;
    ULONG granularity;
    DWORD before;
    double start;

    if (!memory || !get) {
        bench_unable(run, "no memory");
    }
    start = bench_now_us();
    for (size_t i = 0; i < repeat; i++) {
        VirtualProtect(memory, len, i % 2 ? PAGE_READWRITE : PAGE_READONLY, &before);
    }
    bench_emit(run, 0, (bench_now_us() - start) / repeat, "call_protect_64k_unwatched");
    start = bench_now_us();
    for (size_t i = 0; i < repeat; i++) {
        VirtualFree(VirtualAlloc(NULL, len, MEM_RESERVE, PAGE_READWRITE), 0, MEM_RELEASE);
    }
    bench_emit(run, 0, (bench_now_us() - start) / repeat, "call_reserve_and_release_64k_unwatched");
    start = bench_now_us();
    for (size_t i = 0; i < repeat; i++) {
        if (get(0, memory, 0, (PVOID *)memory, &count, &granularity) == 0) {
            bench_wrong(run, "a size of 0 is accepted");
        }
    }
    bench_emit(run, 0, (bench_now_us() - start) / repeat, "call_get_of_nothing");
}

static const struct bench_workload own[] = {
    { .name = "unwatched", .run = unwatched },
    { .name = "ordinary", .run = ordinary },
};

static const struct bench_workload *find(const char *name)
{
    if (!strcmp(name, bench_trial.name)) {
        return &bench_trial;
    }
    for (size_t i = 0; i < bench_nr_workloads; i++) {
        if (!strcmp(name, bench_workloads[i].name)) {
            return &bench_workloads[i];
        }
    }
    for (size_t i = 0; i < ARRAYSIZE(own); i++) {
        if (!strcmp(name, own[i].name)) {
            return &own[i];
        }
    }
    return NULL;
}

static int usage(void)
{
    fprintf(stderr, "usage: bench WORKLOAD SEED [full|quick]\nworkloads: %s", bench_trial.name);
    for (size_t i = 0; i < bench_nr_workloads; i++) {
        fprintf(stderr, " %s", bench_workloads[i].name);
    }
    for (size_t i = 0; i < ARRAYSIZE(own); i++) {
        fprintf(stderr, " %s", own[i].name);
    }
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct bench_peer peer = {
        .name = "windows",
        .ops = &bench_windows_ops,
        .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_FREE_ARMING | WW_CAP_EXACT,
    };
    static struct bench_report report;
    const struct bench_workload *workload = argc > 2 ? find(argv[1]) : NULL;
    struct bench_run run = { .peer = &peer, .page = 4096, .report = &report, .on_sample = bench_say_sample };

    _setmode(_fileno(stdout), _O_BINARY);
    if (!workload || argc > 4) {
        return usage();
    }
    run.seed = strtoul(argv[2], NULL, 10);
    run.quick = argc > 3 && !strcmp(argv[3], "quick");
    if (!run.seed) {
        return usage();
    }
    bench_start_clock();
    workload->run(&run);
    bench_end(&run, BENCH_DONE);
}
