/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench.c - what a watch costs a Windows program.
 *
 * Runs one scenario a few times from allocation to release, times each operation and checks
 * each answer: a system that is fast and wrong fails with exit code 1. Every timing is printed
 * at once as a "sample" line, since a system may hang half way; the "bench" lines at the end
 * hold minimum, median and maximum over the rounds. Exit code 77: no room for the scenario.
 * `bench reserve` only reserves 256 GB and waits.
 */
#ifndef __USE_MINGW_ANSI_STDIO
#define __USE_MINGW_ANSI_STDIO 1
#endif
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <io.h>
#include <windows.h>

#define PAGE_BYTES 4096ull
#define MAX_ROUNDS 100
#define SPARE 64 /* room in the array for pages that should not be there */

/* Every stride-th page of size bytes is written; a sparse scenario commits no others. */
struct scenario {
    const char *name;
    unsigned long long size;
    unsigned long long nr_pages, stride;
    bool sparse;
    unsigned int nr_rounds;
};

static const struct scenario scenarios[] = {
    { "64m", 64ull << 20, 16384, 1, false, 5 },
    { "64m10", 64ull << 20, 1639, 10, false, 5 },
    { "512m2", 512ull << 20, 65536, 2, false, 5 },
    { "1g2", 1ull << 30, 131072, 2, false, 1 },
    { "256g", 256ull << 30, 1000, 67108, true, 5 },
};

enum op { ALLOC, COMMIT, FIRST_WRITE_FRESH, GET_RESET, GET_CLEAN, FIRST_WRITE, RESET, RELEASE, NR_OPS };

static const char *const op_names[NR_OPS] = { "alloc", "commit", "first_write_fresh", "get_reset",
                                              "get_clean", "first_write", "reset", "release" };

struct run {
    const struct scenario *scenario;
    char *base;
    PVOID *addresses; /* scenario->nr_pages + SPARE entries */
    unsigned int nr_rounds, round;
    double us[NR_OPS][MAX_ROUNDS];
};

static double now_us(void)
{
    static LARGE_INTEGER frequency;
    LARGE_INTEGER counter;

    if (!frequency.QuadPart)
        QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&counter);
    return counter.QuadPart * 1e6 / frequency.QuadPart;
}

static void fail(const struct run *run, const char *what, const char *detail)
{
    printf("check scenario=%s round=%u op=%s FAILED: %s\n", run->scenario->name, run->round + 1, what,
           detail);
    fflush(stdout);
    ExitProcess(1);
}

static void note(struct run *run, enum op op, double start)
{
    double us = now_us() - start;

    run->us[op][run->round] = us;
    printf("sample scenario=%s round=%u op=%s us=%.1f\n", run->scenario->name, run->round + 1, op_names[op],
           us);
    fflush(stdout);
}

static char *nth_page(const struct run *run, unsigned long long i)
{
    return run->base + (size_t)(i * run->scenario->stride * PAGE_BYTES);
}

static void alloc(struct run *run)
{
    DWORD type = MEM_RESERVE | MEM_WRITE_WATCH | (run->scenario->sparse ? 0 : MEM_COMMIT);
    double start = now_us();

    run->base = VirtualAlloc(NULL, (SIZE_T)run->scenario->size, type, PAGE_READWRITE);
    if (!run->base) {
        printf("check scenario=%s: no memory, error %lu\n", run->scenario->name, GetLastError());
        fflush(stdout);
        ExitProcess(77);
    }
    note(run, ALLOC, start);
}

static void commit(struct run *run)
{
    double start = now_us();
    unsigned long long i;

    for (i = 0; i < run->scenario->nr_pages; i++)
        if (!VirtualAlloc(nth_page(run, i), PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE))
            fail(run, "commit", "no memory");
    note(run, COMMIT, start);
}

static void write_pages(struct run *run, enum op op)
{
    unsigned long long i, nr_pages = run->scenario->nr_pages;
    double start = now_us();

    for (i = 0; i < nr_pages; i++)
        *(volatile char *)nth_page(run, i) = (char)(op + i);
    note(run, op, start);
}

/* Exactly the pages of the scenario, or none. */
static void get(struct run *run, enum op op, bool dirty)
{
    ULONG_PTR want = dirty ? run->scenario->nr_pages : 0, count = run->scenario->nr_pages + SPARE, i;
    ULONG granularity = 0;
    char detail[100];
    double start;
    UINT ret;

    start = now_us();
    ret = GetWriteWatch(op == GET_RESET ? WRITE_WATCH_FLAG_RESET : 0, run->base, (SIZE_T)run->scenario->size,
                        run->addresses, &count, &granularity);
    note(run, op, start);
    if (ret || granularity != PAGE_BYTES)
        fail(run, op_names[op], "GetWriteWatch fails");
    for (i = 0; i < count && i < want; i++) {
        if (run->addresses[i] == nth_page(run, i))
            continue;
        sprintf(detail, "page %u is %p instead of %p", (unsigned int)i, run->addresses[i], nth_page(run, i));
        fail(run, op_names[op], detail);
    }
    if (count == want)
        return;
    sprintf(detail, "%u pages instead of %u", (unsigned int)count, (unsigned int)want);
    fail(run, op_names[op], detail);
}

static void reset(struct run *run)
{
    double start = now_us();
    UINT ret = ResetWriteWatch(run->base, (SIZE_T)run->scenario->size);

    note(run, RESET, start);
    if (ret)
        fail(run, op_names[RESET], "ResetWriteWatch fails");
}

static void release(struct run *run)
{
    double start = now_us();
    BOOL ret = VirtualFree(run->base, 0, MEM_RELEASE);

    note(run, RELEASE, start);
    if (!ret)
        fail(run, op_names[RELEASE], "VirtualFree fails");
}

/* get_clean is timed twice; the second time, after ResetWriteWatch, is the one that counts. */
static void run_round(struct run *run)
{
    alloc(run);
    if (run->scenario->sparse)
        commit(run);
    write_pages(run, FIRST_WRITE_FRESH);
    get(run, GET_RESET, true);
    get(run, GET_CLEAN, false);
    write_pages(run, FIRST_WRITE);
    reset(run);
    get(run, GET_CLEAN, false);
    release(run);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* What concerns the whole range counts all its pages, the rest those that are written. */
static void print_op(struct run *run, enum op op)
{
    bool whole = op == ALLOC || op == GET_CLEAN || op == RELEASE;
    unsigned long long nr_pages = whole ? run->scenario->size / PAGE_BYTES : run->scenario->nr_pages;
    double *us = run->us[op], median;

    qsort(us, run->nr_rounds, sizeof(*us), compare);
    median = (us[(run->nr_rounds - 1) / 2] + us[run->nr_rounds / 2]) / 2;
    printf("bench scenario=%s op=%s pages=%llu n=%u", run->scenario->name, op_names[op], nr_pages,
           run->nr_rounds);
    printf(" min_us=%.1f median_us=%.1f max_us=%.1f per_page_ns=%.3f\n", us[0], median,
           us[run->nr_rounds - 1], median * 1000 / nr_pages);
    fflush(stdout);
}

static int usage(void)
{
    size_t i;

    printf("usage: bench SCENARIO [ROUNDS] | bench reserve\nscenarios:");
    for (i = 0; i < ARRAYSIZE(scenarios); i++)
        printf(" %s", scenarios[i].name);
    printf("\n");
    fflush(stdout);
    return 2;
}

/* Reserves and waits, so that somebody can look at the page tables from outside. */
static int reserve_and_wait(void)
{
    void *base = VirtualAlloc(NULL, (SIZE_T)(256ull << 30), MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE);

    printf(base ? "reserved\n" : "no memory\n");
    fflush(stdout);
    Sleep(2000);
    return base ? 0 : 77;
}

int main(int argc, char **argv)
{
    static struct run run;
    size_t i, nr_entries;
    int op;

    _setmode(_fileno(stdout), _O_BINARY);
    if (argc == 2 && !strcmp(argv[1], "reserve"))
        return reserve_and_wait();
    for (i = 0; argc > 1 && i < ARRAYSIZE(scenarios); i++)
        if (!strcmp(argv[1], scenarios[i].name))
            run.scenario = &scenarios[i];
    if (!run.scenario || argc > 3)
        return usage();
    run.nr_rounds = argc > 2 ? atoi(argv[2]) : (int)run.scenario->nr_rounds;
    if (run.nr_rounds < 1 || run.nr_rounds > MAX_ROUNDS)
        return usage();
    if (run.scenario->size > ~(SIZE_T)0) {
        printf("check scenario=%s: needs a 64-bit program\n", run.scenario->name);
        return 77;
    }

    /* Touched before it is used, so that no round pays for the array itself. */
    nr_entries = run.scenario->nr_pages + SPARE;
    run.addresses = malloc(nr_entries * sizeof(*run.addresses));
    if (!run.addresses)
        return 77;
    memset(run.addresses, 0xff, nr_entries * sizeof(*run.addresses));

    for (run.round = 0; run.round < run.nr_rounds; run.round++)
        run_round(&run);
    for (op = 0; op < NR_OPS; op++)
        if (op != COMMIT || run.scenario->sparse)
            print_op(&run, op);
    printf("check scenario=%s rounds=%u ok\n", run.scenario->name, run.nr_rounds);
    return 0;
}
