/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_levels.c - the two levels in which Windows keeps what was written.
 *
 * They are the page tables' dirty bit, and a bitmap per allocation into which VirtualProtect
 * moves the dirty bits of its range. MEM_DECOMMIT drops the first and keeps the second, a reset
 * clears both. Windows documents neither: Wine's own tests have found on Windows that a decommit
 * forgets writes and a change of protection keeps them (todo_wine there); the sequences follow
 * from the model. Wine's emulation has one level, which a decommit does not change.
 */
#include <stdlib.h>
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16

enum action {
    WRITE,
    TO_READONLY,
    TO_NOACCESS,
    TO_EXECUTE,
    TO_READWRITE,
    DECOMMIT,
    COMMIT,
    RESET_PAGE,
    GET_AND_RESET,
    NR_ACTIONS
};

#define NR_STEPS 4
#define NR_SEQUENCES (NR_ACTIONS * NR_ACTIONS * NR_ACTIONS * NR_ACTIONS)

/* The state of a page after a sequence of four actions. Each sequence has its own page, which was written
 * before. */
struct sequence {
    bool committed, dirty, latched;
    bool single; /* dirty, as Wine's single level has it */
    DWORD protect;
};

static struct sequence sequences[NR_SEQUENCES];
/* Pages that are written, or clean, in both models; and pages that a decommit makes clean only on Windows. */
static bool written[NR_SEQUENCES], untouched[NR_SEQUENCES], forgotten[NR_SEQUENCES];

/* Returns whether VirtualProtect succeeded as it should. Does not call it if the page has the protection
 * already: whether that latches is not known. */
static bool change_protection(struct sequence *page, char *addr, DWORD protect)
{
    DWORD old = 0;
    bool done;

    if (page->committed && page->protect == protect)
        return true;
    done = VirtualProtect(addr, PAGE_BYTES, protect, &old);
    if (!page->committed)
        return !done;
    page->latched |= page->dirty;
    page->protect = protect;
    return done;
}

static void forget_page(struct sequence *page)
{
    page->dirty = page->latched = page->single = false;
}

static bool act(struct sequence *page, char *addr, enum action action)
{
    static const DWORD protections[] = { [TO_READONLY] = PAGE_READONLY,
                                         [TO_NOACCESS] = PAGE_NOACCESS,
                                         [TO_EXECUTE] = PAGE_EXECUTE_READWRITE,
                                         [TO_READWRITE] = PAGE_READWRITE };
    bool want = page->dirty || page->latched, single = page->single;
    ULONG_PTR count = 1;
    DWORD granularity;
    PVOID found;

    switch (action) {
    case WRITE:
        if (!page->committed || (page->protect & (PAGE_READONLY | PAGE_NOACCESS)))
            return true;
        write_page(addr, 0);
        page->dirty = page->single = true;
        return true;
    case DECOMMIT:
        page->committed = page->dirty = false;
        return VirtualFree(addr, PAGE_BYTES, MEM_DECOMMIT);
    case COMMIT:
        if (page->committed)
            return true;
        page->committed = true;
        page->protect = PAGE_READWRITE;
        return VirtualAlloc(addr, PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE) == addr;
    case RESET_PAGE:
        forget_page(page);
        return !ResetWriteWatch(addr, PAGE_BYTES);
    case GET_AND_RESET:
        forget_page(page);
        if (GetWriteWatch(RESET, addr, PAGE_BYTES, &found, &count, &granularity))
            return false;
        return count == want || (wwtest.stock && count == single);
    default:
        return change_protection(page, addr, protections[action]);
    }
}

/* How many pages of set are in results[], an answer of count pages; or with !there, how many are not. */
static unsigned int count_pages(const char *base, ULONG_PTR count, const bool *set, bool there)
{
    unsigned int i, nr = 0;
    ULONG_PTR at = 0;

    for (i = 0; i < NR_SEQUENCES; i++) {
        bool got = at < count && results[at] == base + PAGES(i);

        at += got;
        if (set[i] && got == there)
            nr++;
    }
    return at == count ? nr : ~0u;
}

static void compare_sequences(char *base, unsigned int step)
{
    unsigned int i, extra, missing, differ = 0;
    struct answer answer;

    for (i = 0; i < NR_SEQUENCES; i++) {
        bool windows = sequences[i].dirty || sequences[i].latched, wine = sequences[i].single;

        written[i] = windows;
        untouched[i] = !wine;
        forgotten[i] = wine && !windows;
        differ += wine != windows;
    }
    query_native(&answer, KEEP, base, PAGES(NR_SEQUENCES), MAX_RESULTS);
    missing = count_pages(base, answer.count, written, false);
    extra = count_pages(base, answer.count, untouched, true);
    ok(!answer.status && !missing && !extra, "step %u: status %#lx, %u pages, %u missing, %u too many", step,
       (DWORD)answer.status, (unsigned int)answer.count, missing, extra);
    extra = count_pages(base, answer.count, forgotten, true);
    todo_if(wwtest.stock && differ)
        ok(!extra, "step %u: %u of %u pages outlived a decommit that were not latched", step, extra, differ);
}

static void test_sequences(void)
{
    char *base = watch_pages(NR_SEQUENCES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    unsigned int step, i, divisor, wrong;

    write_range(base, 0, NR_SEQUENCES);
    for (i = 0; i < NR_SEQUENCES; i++)
        sequences[i] =
            (struct sequence){ .committed = true, .dirty = true, .single = true, .protect = PAGE_READWRITE };
    for (step = 0, divisor = 1; step < NR_STEPS; step++, divisor *= NR_ACTIONS) {
        for (i = 0, wrong = 0; i < NR_SEQUENCES; i++)
            if (!act(&sequences[i], base + PAGES(i), i / divisor % NR_ACTIONS))
                wrong++;
        ok(!wrong, "step %u: %u pages did not do as they should", step, wrong);
        compare_sequences(base, step);
    }
    clean(base, NR_SEQUENCES);
    expect_pages(base, 0, NR_SEQUENCES, KEEP, "");
    free_pages(base);
}

/* All pages are written, then one range is protected and another one decommitted. */
static void test_overlaps(void)
{
    static const struct {
        unsigned int protect, nr_protect, decommit, nr_decommit;
        const char *want;
    } cases[] = {
        { 0, 16, 4, 4, "0-15" },     { 4, 4, 4, 4, "0-15" },     { 4, 4, 2, 8, "0-1 4-7 10-15" },
        { 4, 4, 6, 4, "0-7 10-15" }, { 4, 4, 2, 4, "0-1 4-15" }, { 4, 4, 5, 1, "0-15" },
        { 4, 4, 8, 4, "0-7 12-15" }, { 4, 4, 0, 4, "4-15" },     { 15, 1, 8, 8, "0-7 15" },
        { 0, 1, 0, 16, "0" },        { 7, 2, 0, 16, "7-8" },     { 0, 8, 0, 16, "0-7" },
    };
    size_t i;

    for (i = 0; i < ARRAYSIZE(cases); i++) {
        char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        bool differs = wwtest.stock && strcmp(cases[i].want, "0-15");

        write_range(base, 0, NR_PAGES);
        protect_pages(base, cases[i].protect, cases[i].nr_protect, i & 1 ? PAGE_READONLY : PAGE_NOACCESS);
        if (i & 2)
            protect_pages(base, cases[i].protect, cases[i].nr_protect, PAGE_READWRITE);
        decommit_pages(base, cases[i].decommit, cases[i].nr_decommit);
        todo_if(differs) expect_pages(base, 0, NR_PAGES, KEEP, cases[i].want);
        commit_pages(base, cases[i].decommit, cases[i].nr_decommit);
        todo_if(differs) expect_pages(base, 0, NR_PAGES, KEEP, cases[i].want);
        todo_if(differs) expect_pages(base, 0, NR_PAGES, RESET, cases[i].want);
        expect_pages(base, 0, NR_PAGES, KEEP, "");
        write_page(base, cases[i].decommit);
        decommit_pages(base, cases[i].decommit, 1);
        todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "");
        free_pages(base);
    }
}

/* One change of protection over clean, dirty and latched pages, and resets after it. */
static void test_spans(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_page(base, 1);
    protect_pages(base, 0, 3, PAGE_READONLY);
    write_range(base, 4, 2);
    protect_pages(base, 2, 8, PAGE_NOACCESS);
    protect_pages(base, 0, NR_PAGES, PAGE_READWRITE);
    write_page(base, 2);
    write_page(base, 5);
    write_page(base, 12);
    expect_pages(base, 0, NR_PAGES, KEEP, "1-2 4-5 12");

    /* A get with reset that fills its array clears both levels of the reported pages, and no others. */
    expect_some(base, 0, NR_PAGES, 3, RESET, "1-2 4");
    expect_pages(base, 0, NR_PAGES, KEEP, "5 12");
    ok(VirtualFree(base, 0, MEM_DECOMMIT), "error %lu", GetLastError());
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "5");
    ok(!ResetWriteWatch(base + PAGES(5), 1), "error %lu", GetLastError());
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "");
    clean(base, NR_PAGES);

    /* Size 0 once more, on memory that is decommitted, and of which half is committed then. */
    ok(VirtualFree(base, 0, MEM_DECOMMIT), "error %lu", GetLastError());
    commit_pages(base, 0, 8);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_range(base, 0, 8);
    protect_pages(base, 2, 2, PAGE_READONLY);
    ok(VirtualFree(base, 0, MEM_DECOMMIT), "error %lu", GetLastError());
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "2-3");
    commit_pages(base, 0, NR_PAGES);
    write_page(base, 9);
    todo_stock expect_some(base, 0, NR_PAGES, 2, RESET, "2-3");
    todo_stock expect_pages(base, 0, NR_PAGES, RESET, "9");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    free_pages(base);
}

/* A refused change of protection latches nothing, because Windows checks before it begins. */
static void test_refused(void)
{
    static const DWORD bad[] = { 0, 0x12345, PAGE_READWRITE | PAGE_READONLY, PAGE_GUARD, PAGE_WRITECOPY };
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    DWORD old = SENTINEL;
    size_t i;

    decommit_pages(base, 14, 2);
    for (i = 0; i < ARRAYSIZE(bad) + 3; i++) {
        char *addr = base;
        bool done;

        write_range(base, 4, 2);
        if (i < ARRAYSIZE(bad))
            done = VirtualProtect(addr, PAGES(8), bad[i], &old);
        else if (i == ARRAYSIZE(bad))
            done = VirtualProtect(addr, PAGES(15), PAGE_READONLY, &old); /* page 14 is not committed */
        else if (i == ARRAYSIZE(bad) + 1)
            done = VirtualProtect(addr, PAGES(17), PAGE_READONLY, &old); /* ends outside */
        else
            done = VirtualProtect(addr, PAGES(8), PAGE_READONLY, NULL);
        ok(!done, "refusal %u: the protection was changed", (unsigned int)i);
        expect_pages(base, 0, NR_PAGES, KEEP, "4-5");
        decommit_pages(base, 4, 2);
        todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "");
        commit_pages(base, 4, 2);
        clean(base, NR_PAGES);
    }
    free_pages(base);
}

/* MEM_COMMIT of committed pages changes nothing but their protection, and may latch or not. */
static void test_commit_again(DWORD protect)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), *addr;

    write_range(base, 2, 3);
    addr = VirtualAlloc(base + PAGES(3), PAGES(4), MEM_COMMIT, protect);
    ok(addr == base + PAGES(3), "got %p, error %lu", addr, GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "2-4");
    decommit_pages(base, 0, 8);
    todo_stock expect_between(base, NR_PAGES, KEEP, "", "3-4");
    commit_pages(base, 0, 8);
    clean(base, NR_PAGES);
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, RESET, "3");
    free_pages(base);
}

static struct {
    char *base;
    unsigned int nr_guards;
} guard;

static LONG CALLBACK count_guard(EXCEPTION_POINTERS *pointers)
{
    EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    char *addr = (char *)record->ExceptionInformation[1];

    if (record->ExceptionCode != (DWORD)STATUS_GUARD_PAGE_VIOLATION || addr < guard.base ||
        addr >= guard.base + PAGES(NR_PAGES))
        return EXCEPTION_CONTINUE_SEARCH;
    guard.nr_guards++;
    return EXCEPTION_CONTINUE_EXECUTION;
}

/* PAGE_GUARD is a change of protection like any other; the guard exception itself marks nothing. */
static void test_guard(void)
{
    void *handler = AddVectoredExceptionHandler(1, count_guard);

    guard.base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    guard.nr_guards = 0;
    write_range(guard.base, 1, 2);
    write_range(guard.base, 10, 2);
    protect_pages(guard.base, 1, 4, PAGE_READWRITE | PAGE_GUARD);
    expect_pages(guard.base, 0, NR_PAGES, KEEP, "1-2 10-11");
    ok(read_page(guard.base, 1) == 0x55 && !read_page(guard.base, 3), "wrong content");
    ok(guard.nr_guards == 2, "%u guard faults", guard.nr_guards);
    expect_pages(guard.base, 0, NR_PAGES, KEEP, "1-2 10-11");
    write_page(guard.base, 4);
    ok(guard.nr_guards == 3, "%u guard faults", guard.nr_guards);
    expect_pages(guard.base, 0, NR_PAGES, KEEP, "1-2 4 10-11");
    decommit_pages(guard.base, 0, 11);
    todo_stock expect_pages(guard.base, 0, NR_PAGES, KEEP, "1-2 11");
    commit_pages(guard.base, 0, 11);
    todo_stock expect_pages(guard.base, 0, NR_PAGES, RESET, "1-2 11");

    /* A write to an armed and guarded page raises one exception and marks the page. */
    write_range(guard.base, 6, 2);
    clean(guard.base, NR_PAGES);
    protect_pages(guard.base, 6, 2, PAGE_READONLY | PAGE_GUARD);
    protect_pages(guard.base, 6, 2, PAGE_EXECUTE_READWRITE | PAGE_GUARD);
    expect_pages(guard.base, 0, NR_PAGES, KEEP, "");
    write_page(guard.base, 6);
    write_page(guard.base, 6);
    ok(guard.nr_guards == 4, "%u guard faults", guard.nr_guards);
    expect_pages(guard.base, 0, NR_PAGES, RESET, "6");
    write_page(guard.base, 7);
    expect_pages(guard.base, 0, NR_PAGES, KEEP, "7");
    RemoveVectoredExceptionHandler(handler);
    free_pages(guard.base);
}

void test_levels(void)
{
    test_sequences();
    test_overlaps();
    test_spans();
    test_refused();
    test_commit_again(PAGE_READWRITE);
    test_commit_again(PAGE_READONLY);
    test_guard();
}
