/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_marks.c - which accesses mark a page, and which pages a query reports.
 *
 * All of it on committed, writable memory: conformance_state.c has protections and commitment,
 * conformance_io.c what the system writes on the program's behalf.
 */
#include <stdlib.h>
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16

/* Packed, so that the compiler stores to any address in one piece; dword stands two bytes in. */
struct __attribute__((packed)) unaligned {
    volatile unsigned short word;
    volatile unsigned int dword;
};

static void test_reads(char *base)
{
    static char copy[PAGES(NR_PAGES)];
    unsigned int i;

    for (i = 0; i < NR_PAGES; i++)
        ok(!read_page(base, i), "page %u is not zero", i);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    memcpy(copy, base, sizeof(copy));
    expect_pages(base, 0, NR_PAGES, KEEP, "");

    /* Reads of armed pages that have been written before. */
    write_range(base, 0, NR_PAGES);
    clean(base, NR_PAGES);
    for (i = 0; i < NR_PAGES; i++)
        ok(read_page(base, i) == 0x55, "page %u lost its content", i);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
}

static void test_zero_writes(char *base)
{
    volatile char *bytes = base;

    bytes[PAGES(1)] = 0;
    expect_pages(base, 0, NR_PAGES, KEEP, "1");
    ok(!read_page(base, 2), "page 2 is not zero");
    bytes[PAGES(2)] = 0;
    expect_pages(base, 0, NR_PAGES, RESET, "1-2");
    bytes[PAGES(2)] = 0;
    bytes[PAGES(4)] = 0;
    expect_pages(base, 0, NR_PAGES, RESET, "2 4");
    memset(base + PAGES(6), 0, PAGES(2));
    expect_pages(base, 0, NR_PAGES, RESET, "6-7");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
}

static void test_positions(char *base)
{
    volatile char *bytes = base;

    bytes[0] = 1;
    expect_pages(base, 0, NR_PAGES, RESET, "0");
    bytes[PAGES(3) - 1] = 1;
    expect_pages(base, 0, NR_PAGES, RESET, "2");
    bytes[PAGES(3)] = 1;
    expect_pages(base, 0, NR_PAGES, RESET, "3");
    bytes[PAGES(NR_PAGES) - 1] = 1;
    expect_pages(base, 0, NR_PAGES, RESET, "15");
    /* A write of the same value counts too. */
    bytes[PAGES(3)] = 1;
    expect_pages(base, 0, NR_PAGES, RESET, "3");
    InterlockedIncrement((LONG volatile *)(base + PAGES(5)));
    expect_pages(base, 0, NR_PAGES, RESET, "5");
    memset(base + 100, 2, PAGES(4));
    expect_pages(base, 0, NR_PAGES, RESET, "0-4");
    memmove(base + PAGES(8), base, PAGES(3));
    expect_pages(base, 0, NR_PAGES, RESET, "8-10");
}

/* A store over a page boundary marks both pages, on fresh, on armed and on half dirty memory. */
static void test_straddling(char *base)
{
    unsigned int round;

    for (round = 0; round < 2; round++) {
        ((struct unaligned *)(base + PAGES(2) - 1))->word = 0x1234;
        expect_pages(base, 0, NR_PAGES, RESET, "1-2");
        ((struct unaligned *)(base + PAGES(6) - 2 - sizeof(short)))->dword = 0x12345678;
        expect_pages(base, 0, NR_PAGES, RESET, "5-6");
    }
    write_page(base, 9);
    ((struct unaligned *)(base + PAGES(9) - 2 - sizeof(short)))->dword = 0x12345678;
    expect_pages(base, 0, NR_PAGES, RESET, "8-9");
    memset(base + PAGES(12) - 3, 5, 7);
    expect_pages(base, 0, NR_PAGES, RESET, "11-12");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
}

static void test_get_and_reset(char *base)
{
    unsigned int i;

    write_page(base, 1);
    for (i = 0; i < 3; i++)
        expect_pages(base, 0, NR_PAGES, KEEP, "1");
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, KEEP, "1 3");
    expect_pages(base, 0, NR_PAGES, RESET, "1 3");
    expect_pages(base, 0, NR_PAGES, RESET, "");

    /* Resets without a query before them, twice, with writes in between. */
    write_range(base, 4, 4);
    clean(base, NR_PAGES);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 6);
    expect_pages(base, 0, NR_PAGES, KEEP, "6");
    clean(base, NR_PAGES);
    clean(base, NR_PAGES);
    write_page(base, 6);
    write_page(base, 6);
    expect_pages(base, 0, NR_PAGES, RESET, "6");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
}

static DWORD WINAPI write_three(void *base)
{
    write_range(base, 2, 3);
    return 0;
}

static void test_other_thread(char *base)
{
    HANDLE thread = CreateThread(NULL, 0, write_three, base, 0, NULL);

    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    expect_pages(base, 0, NR_PAGES, RESET, "2-4");
}

void test_marks(void)
{
    void (*const tests[])(char *) = { test_reads,      test_zero_writes,   test_positions,
                                      test_straddling, test_get_and_reset, test_other_thread };
    size_t i;

    for (i = 0; i < ARRAYSIZE(tests); i++) {
        char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

        expect_pages(base, 0, NR_PAGES, KEEP, "");
        tests[i](base);
        free_pages(base);
    }
}

void test_ranges(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_page(base, 2);
    write_page(base, 4);
    write_page(base, 8);
    expect_pages(base, 3, 2, KEEP, "4");
    expect_pages(base, 3, 1, KEEP, "");
    expect_pages(base, 2, 1, KEEP, "2");
    expect_pages(base, 2, 14, KEEP, "2 4 8");
    expect_pages(base, 3, 13, KEEP, "4 8");

    /* Pages outside the range keep their state. */
    expect_pages(base, 3, 3, RESET, "4");
    expect_pages(base, 0, NR_PAGES, KEEP, "2 8");
    expect_pages(base, 9, 7, RESET, "");
    expect_pages(base, 0, NR_PAGES, KEEP, "2 8");
    ok(!ResetWriteWatch(base, PAGES(3)), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "8");

    write_range(base, 0, NR_PAGES);
    ok(!ResetWriteWatch(base + PAGES(5), PAGES(6)), "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "0-4 11-15");
    expect_pages(base, 4, 8, KEEP, "4 11");
    expect_pages(base, 4, 8, RESET, "4 11");
    expect_pages(base, 0, NR_PAGES, KEEP, "0-3 12-15");
    free_pages(base);
}

/* A full array ends the query: pages that it does not hold stay dirty, whatever the flags are. */
void test_count(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    unsigned int i;

    write_range(base, 0, NR_PAGES);
    expect_some(base, 0, NR_PAGES, 1, KEEP, "0");
    expect_some(base, 0, NR_PAGES, 15, KEEP, "0-14");
    expect_some(base, 0, NR_PAGES, 16, KEEP, "0-15");
    expect_some(base, 0, NR_PAGES, 17, KEEP, "0-15");
    expect_some(base, 0, NR_PAGES, 5, RESET, "0-4");
    expect_pages(base, 0, NR_PAGES, KEEP, "5-15");
    expect_some(base, 0, NR_PAGES, 1, RESET, "5");
    expect_some(base, 8, 8, 3, RESET, "8-10");
    expect_pages(base, 0, NR_PAGES, KEEP, "6-7 11-15");
    expect_some(base, 0, NR_PAGES, 2, RESET, "6-7");
    expect_some(base, 0, NR_PAGES, 4, RESET, "11-14");
    expect_some(base, 0, NR_PAGES, 1, RESET, "15");
    expect_some(base, 0, NR_PAGES, 1, RESET, "");

    /* Single pages: a limit in the middle, at the last page, and one beyond. */
    for (i = 0; i < NR_PAGES; i += 3)
        write_page(base, i);
    expect_some(base, 0, NR_PAGES, 2, RESET, "0 3");
    expect_pages(base, 0, NR_PAGES, KEEP, "6 9 12 15");
    expect_some(base, 7, 9, 1, RESET, "9");
    expect_some(base, 0, NR_PAGES, 3, RESET, "6 12 15");
    expect_pages(base, 0, NR_PAGES, KEEP, "");

    /* Pages of which half were reset, and some of those written again. */
    write_range(base, 0, 8);
    clean(base, 4);
    write_page(base, 2);
    expect_some(base, 0, NR_PAGES, 3, RESET, "2 4-5");
    expect_pages(base, 0, NR_PAGES, KEEP, "6-7");
    free_pages(base);
}

/* Harvests all pages in portions; each page must come once, in order. */
static void harvest_in_portions(char *base, unsigned int nr_pages, unsigned int stride, unsigned int portion)
{
    unsigned int want = (nr_pages + stride - 1) / stride, got = 0, wrong = 0;
    struct answer answer;
    ULONG_PTR i;

    do {
        query_kernel32(&answer, RESET, base, PAGES(nr_pages), portion);
        if (answer.ret || answer.count > portion)
            break;
        for (i = 0; i < answer.count; i++)
            if ((char *)results[i] != base + PAGES((got + i) * stride))
                wrong++;
        if (results[answer.count] != (PVOID)(ULONG_PTR)SENTINEL)
            wrong++;
        got += answer.count;
    } while (answer.count && got <= want);
    ok(got == want && !wrong, "portions of %u: expected %u pages, got %u, %u of them wrong", portion, want,
       got, wrong);
}

void test_many(void)
{
    static const unsigned int portions[] = { 1, 100, 255, 256, 257, 511, 512, 513, 1023, 1024, 4095 };
    static const unsigned int strides[] = { 2, 1, 3, 7 };
    const unsigned int nr_pages = 2048;
    char *base = watch_pages(nr_pages, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    unsigned int page;
    size_t i, j;

    for (i = 0; i < ARRAYSIZE(strides); i++) {
        for (page = 0; page < nr_pages; page += strides[i])
            write_page(base, page);
        expect_stride(base, nr_pages, strides[i], KEEP);
        expect_stride(base, nr_pages, strides[i], RESET);
        expect_pages(base, 0, nr_pages, KEEP, "");
    }
    for (j = 0; j < ARRAYSIZE(portions); j++) {
        for (page = 0; page < nr_pages; page += 1 + (j & 1))
            write_page(base, page);
        harvest_in_portions(base, nr_pages, 1 + (j & 1), portions[j]);
        expect_pages(base, 0, nr_pages, KEEP, "");
    }
    for (page = 0; page < nr_pages; page += 2)
        write_page(base, page);
    clean(base, nr_pages);
    expect_pages(base, 0, nr_pages, KEEP, "");
    free_pages(base);
}
