/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_util.c - the helpers all groups share: memory, queries, and page sets as text.
 *
 * A query is turned into a text before it is compared, whether it is an error, a malformed
 * answer or a set of pages. So each check has one verdict, and its message shows everything.
 */
#include <stdlib.h>
#include <string.h>
#include "conformance.h"

PVOID results[MAX_RESULTS];

static void fill_results(void)
{
    size_t i;

    for (i = 0; i < MAX_RESULTS; i++)
        results[i] = (PVOID)(ULONG_PTR)SENTINEL;
}

void query_native(struct answer *answer, ULONG flags, void *base, SIZE_T size, ULONG_PTR capacity)
{
    fill_results();
    *answer = (struct answer){ .count = capacity, .granularity = SENTINEL };
    answer->status = NtGetWriteWatch(GetCurrentProcess(), flags, base, size, results, &answer->count,
                                     &answer->granularity);
}

void query_kernel32(struct answer *answer, ULONG flags, void *base, SIZE_T size, ULONG_PTR capacity)
{
    fill_results();
    *answer = (struct answer){ .count = capacity, .granularity = SENTINEL };
    SetLastError(SENTINEL);
    answer->ret = GetWriteWatch(flags, base, size, results, &answer->count, &answer->granularity);
    answer->error = GetLastError();
    if (!answer->ret)
        return;
    answer->status = answer->error == ERROR_NOACCESS ? (NTSTATUS)STATUS_ACCESS_VIOLATION
                                                     : (NTSTATUS)STATUS_INVALID_PARAMETER;
}

/* Ends the program if a call fails without which write watches cannot be tested. */
static void require(bool good, const char *what)
{
    if (good)
        return;
    printf("%s failed, error %lu\n", what, GetLastError());
    fflush(stdout);
    ExitProcess(255);
}

bool is_wow64(void)
{
    BOOL wow64 = FALSE;

    return IsWow64Process(GetCurrentProcess(), &wow64) && wow64;
}

char *watch_pages(unsigned int nr_pages, DWORD type, DWORD protect)
{
    char *base = VirtualAlloc(NULL, PAGES(nr_pages), type | MEM_WRITE_WATCH, protect);

    require(base != NULL, "allocating watched memory");
    return base;
}

void free_pages(void *base)
{
    require(VirtualFree(base, 0, MEM_RELEASE), "VirtualFree(MEM_RELEASE)");
}

void run_each(void (*const tests[])(char *), size_t nr, unsigned int nr_pages)
{
    size_t i;

    for (i = 0; i < nr; i++) {
        char *base = watch_pages(nr_pages, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

        tests[i](base);
        free_pages(base);
    }
}

DWORD protect_pages(char *base, unsigned int first, unsigned int nr_pages, DWORD protect)
{
    DWORD old = 0;

    require(VirtualProtect(base + PAGES(first), PAGES(nr_pages), protect, &old), "VirtualProtect");
    return old;
}

void decommit_pages(char *base, unsigned int first, unsigned int nr_pages)
{
    require(VirtualFree(base + PAGES(first), PAGES(nr_pages), MEM_DECOMMIT), "VirtualFree(MEM_DECOMMIT)");
}

void commit_pages(char *base, unsigned int first, unsigned int nr_pages)
{
    char *addr = base + PAGES(first);

    require(VirtualAlloc(addr, PAGES(nr_pages), MEM_COMMIT, PAGE_READWRITE) == addr,
            "VirtualAlloc(MEM_COMMIT)");
}

void write_page(char *base, unsigned int page)
{
    *(volatile char *)(base + PAGES(page) + 8) = 0x55;
}

void write_range(char *base, unsigned int first, unsigned int nr_pages)
{
    unsigned int i;

    for (i = 0; i < nr_pages; i++)
        write_page(base, first + i);
}

char read_page(const char *base, unsigned int page)
{
    return *(const volatile char *)(base + PAGES(page) + 8);
}

void clean(char *base, unsigned int nr_pages)
{
    require(!ResetWriteWatch(base, PAGES(nr_pages)), "ResetWriteWatch");
}

/* What is malformed in an answer, or NULL. */
static const char *find_flaw(const struct answer *answer, const char *start, const char *end,
                             ULONG_PTR capacity)
{
    ULONG_PTR i;

    if (answer->granularity != PAGE_BYTES)
        return "granularity is not 4096";
    if (answer->count > capacity)
        return "count exceeds the array";
    for (i = 0; i < answer->count; i++) {
        if ((ULONG_PTR)results[i] & (PAGE_BYTES - 1))
            return "an address is not that of a page";
        if ((char *)results[i] < start || (char *)results[i] >= end)
            return "an address lies outside the range";
        if (i && (ULONG_PTR)results[i] <= (ULONG_PTR)results[i - 1])
            return "addresses do not ascend";
    }
    for (; i < MAX_RESULTS; i++)
        if (results[i] != (PVOID)(ULONG_PTR)SENTINEL)
            return "an entry beyond count was touched";
    return NULL;
}

static void describe_pages(char *text, size_t len, const char *base, ULONG_PTR count)
{
    ULONG_PTR i, last;
    size_t used = 0;

    text[0] = 0;
    for (i = 0; i < count && used + 24 < len; i = last + 1) {
        unsigned int first = ((char *)results[i] - base) / PAGE_BYTES;

        for (last = i; last + 1 < count; last++)
            if ((char *)results[last + 1] != (char *)results[last] + PAGE_BYTES)
                break;
        used += sprintf(text + used, used ? " %u" : "%u", first);
        if (last > i)
            used += sprintf(text + used, "-%u", first + (unsigned int)(last - i));
    }
    if (i < count)
        strcpy(text + used, " ...");
}

static void describe_answer(char *text, size_t len, const struct answer *answer, char *base, SIZE_T offset,
                            SIZE_T size, ULONG_PTR capacity)
{
    ULONG_PTR start = (ULONG_PTR)(base + offset) & ~(ULONG_PTR)(PAGE_BYTES - 1);
    const char *flaw;

    if (answer->status) {
        snprintf(text, len, "failed %#lx", (unsigned long)answer->status);
        return;
    }
    flaw = find_flaw(answer, (char *)start, base + offset + size, capacity);
    if (flaw)
        snprintf(text, len, "%s", flaw);
    else
        describe_pages(text, len, base, answer->count);
}

/* A query without a reset is made through ntdll and then through kernel32, which must give the same answer.
 */
static void describe_query(char *text, size_t len, char *base, SIZE_T offset, SIZE_T size, ULONG_PTR capacity,
                           ULONG flags)
{
    struct answer answer;
    char native[400];

    query_native(&answer, flags, base + offset, size, capacity);
    describe_answer(text, len, &answer, base, offset, size, capacity);
    if (flags & RESET)
        return;

    snprintf(native, sizeof(native), "%.390s", text);
    query_kernel32(&answer, flags, base + offset, size, capacity);
    describe_answer(text, len, &answer, base, offset, size, capacity);
    if (strcmp(native, text))
        snprintf(text, len, "first \"%.200s\", then another answer", native);
}

void describe_watch(char *text, size_t len, char *base, unsigned int nr_pages, ULONG flags)
{
    describe_query(text, len, base, 0, PAGES(nr_pages), MAX_RESULTS, flags);
}

void check_answer(const char *file, int line, char *base, SIZE_T offset, SIZE_T size, ULONG_PTR capacity,
                  ULONG flags, const char *want)
{
    char text[400];

    describe_query(text, sizeof(text), base, offset, size, capacity, flags);
    wwtest_ok(file, line, !strcmp(text, want), "expected pages \"%s\", got \"%s\"", want, text);
}

static bool in_set(const char *set, unsigned long page)
{
    while (*set) {
        char *end;
        unsigned long first = strtoul(set, &end, 10), last = first;

        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        if (page >= first && page <= last)
            return true;
        set = end + strspn(end, " ");
    }
    return false;
}

bool is_between(const char *text, unsigned int nr_pages, const char *must, const char *may)
{
    unsigned int page;

    if (text[0] && (text[0] < '0' || text[0] > '9'))
        return false;
    for (page = 0; page < nr_pages; page++) {
        bool got = in_set(text, page);

        if ((in_set(must, page) && !got) || (!in_set(may, page) && got))
            return false;
    }
    return true;
}

void check_between(const char *file, int line, char *base, unsigned int nr_pages, ULONG flags,
                   const char *must, const char *may)
{
    char text[400];
    bool good;

    describe_query(text, sizeof(text), base, 0, PAGES(nr_pages), MAX_RESULTS, flags);
    good = is_between(text, nr_pages, must, may);
    wwtest_ok(file, line, good, "expected pages \"%s\", at most \"%s\", got \"%s\"", must, may, text);
}

void check_stride(const char *file, int line, char *base, unsigned int nr_pages, unsigned int stride,
                  ULONG flags)
{
    unsigned int want = (nr_pages + stride - 1) / stride, wrong = 0;
    struct answer answer;
    const char *flaw;
    ULONG_PTR i;

    query_native(&answer, flags, base, PAGES(nr_pages), MAX_RESULTS);
    flaw = answer.status ? "failed" : find_flaw(&answer, base, base + PAGES(nr_pages), MAX_RESULTS);
    for (i = 0; !flaw && i < answer.count; i++)
        if ((char *)results[i] != base + PAGES(i * stride))
            wrong++;
    wwtest_ok(file, line, !flaw && answer.count == want && !wrong,
              "every %u. of %u pages: %s, expected %u, got %u, %u of them wrong", stride, nr_pages,
              flaw ? flaw : "well formed", want, (unsigned int)answer.count, wrong);
}

/*
 * The answer must be the first nr_max pages of set within the range, and no others; with a reset they
 * leave the set. For thousands of pages, for which a text would be too long.
 */
void check_set(const char *file, int line, char *base, unsigned int first, unsigned int nr_pages,
               ULONG_PTR nr_max, ULONG flags, bool *set)
{
    char *start = base + PAGES(first);
    unsigned int i, want = 0, wrong = 0, first_wrong = 0;
    struct answer answer;
    const char *flaw;

    query_native(&answer, flags, start, PAGES(nr_pages), nr_max);
    flaw = answer.status ? "failed" : find_flaw(&answer, start, start + PAGES(nr_pages), nr_max);
    for (i = first; !flaw && i < first + nr_pages && want < nr_max; i++) {
        if (!set[i])
            continue;
        if (want >= answer.count || results[want] != base + PAGES(i))
            first_wrong = wrong++ ? first_wrong : i;
        if (flags & RESET)
            set[i] = false;
        want++;
    }
    wwtest_ok(
        file, line, !flaw && answer.count == want && !wrong,
        "pages %u+%u, room for %u: %s (status %#lx), expected %u pages, got %u, %u wrong from page %u on",
        first, nr_pages, (unsigned int)nr_max, flaw ? flaw : "well formed", (DWORD)answer.status, want,
        (unsigned int)answer.count, wrong, first_wrong);
}
