/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_stop.c - what garbage collectors do with threads and stacks.
 *
 * The collector suspends threads wherever they are, also in the middle of a query of their own,
 * and then queries what was written: Windows documents no restriction, so nothing may hang and
 * no write may be missing. And a stack is memory like any other: it may be watched while the
 * program runs on it.
 */
#include <stdlib.h>
#include <string.h>
#include "conformance.h"

#define NR_STOPS 2000
#define NR_WRITERS 2
#define PAGES_PER_WRITER 32
#define NR_WRITTEN (NR_WRITERS * PAGES_PER_WRITER)
#define NR_ACTORS (NR_WRITERS + 2)
#define TIME_LIMIT 60000 /* ms without a stop */

static struct {
    char *written; /* by the writers, harvested by the main thread while all stand still */
    char *side;    /* written and harvested by the harvester; page 0 takes its other calls */
    char *copy, *side_copy;
    volatile LONG stop;
    HANDLE actors[NR_ACTORS];
    unsigned int nr_writes[NR_WRITERS], nr_harvests, nr_faults;
    volatile LONG nr_handled, nr_foreign, nr_failed;
    char *fault_page;
    volatile unsigned int nr_stops; /* for the watchdog, as is the next one */
    const char *volatile doing;
} stage;

/* Ends the process after a deadlock, in which no other thread may be able to. An emulated processor may need
 * longer than the limit for all stops, but not for one. A thread that stands still may hold the locks of
 * stdout and of the loader. */
static DWORD WINAPI watch_the_clock(void *done)
{
    static char line[256];
    unsigned int nr_seen = 0;
    DWORD written;

    while (WaitForSingleObject(done, TIME_LIMIT) == WAIT_TIMEOUT) {
        int len;

        if (stage.nr_stops != nr_seen) {
            nr_seen = stage.nr_stops;
            continue;
        }
        len = snprintf(line, sizeof(line),
                       "conformance_stop.c: Test failed (%s): nothing moves any more, the last was: %s\n",
                       wwtest.group, stage.doing);

        WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), line, min(len, (int)sizeof(line) - 1), &written, NULL);
        TerminateProcess(GetCurrentProcess(), 255);
    }
    return 0;
}

static DWORD WINAPI write_on(void *arg)
{
    unsigned int number = (unsigned int)(ULONG_PTR)arg, random = 99 + number;
    char *base = stage.written + PAGES(number * PAGES_PER_WRITER);

    while (!stage.stop) {
        random = random * 1103515245 + 12345;
        ++*(volatile LONG *)(base + PAGES((random >> 16) % PAGES_PER_WRITER) + 64);
        /* Lets other threads run now and then, because there may be fewer processors than threads. */
        if (!(++stage.nr_writes[number] % 256))
            SwitchToThread();
    }
    return 0;
}

static int harvest_into(char *base, unsigned int nr_pages, char *copy, PVOID *pages, ULONG flags)
{
    ULONG_PTR count = nr_pages, i;
    DWORD granularity;

    if (GetWriteWatch(flags, base, PAGES(nr_pages), pages, &count, &granularity))
        return -1;
    for (i = 0; copy && i < count; i++)
        memcpy(copy + ((char *)pages[i] - base), pages[i], PAGE_BYTES);
    return count;
}

/* Harvests, protects, decommits and allocates without end, so that it is suspended within them. */
static DWORD WINAPI harvest_on(void *arg)
{
    static PVOID pages[NR_WRITTEN];
    unsigned int random = 7;
    DWORD old;

    (void)arg;
    while (!stage.stop) {
        char *page, *extra;

        random = random * 1103515245 + 12345;
        page = stage.side + PAGES(1 + (random >> 16) % (PAGES_PER_WRITER - 1));
        ++*(volatile LONG *)(page + 64);
        if (harvest_into(stage.side, PAGES_PER_WRITER, stage.side_copy, pages, RESET) < 0)
            InterlockedIncrement(&stage.nr_failed);
        if (harvest_into(stage.written, NR_WRITTEN, NULL, pages, KEEP) < 0)
            InterlockedIncrement(&stage.nr_failed);
        VirtualProtect(stage.side, PAGE_BYTES, PAGE_READONLY, &old);
        VirtualFree(stage.side, PAGE_BYTES, MEM_DECOMMIT);
        VirtualAlloc(stage.side, PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE);
        extra = VirtualAlloc(NULL, PAGES(4), MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
        write_page(extra, 1);
        VirtualFree(extra, 0, MEM_RELEASE);
        if (!(++stage.nr_harvests % 8))
            SwitchToThread();
    }
    return 0;
}

/* Faults on purpose, which the program's own handler repairs. */
static DWORD WINAPI fault_on(void *arg)
{
    DWORD old;

    (void)arg;
    while (!stage.stop) {
        VirtualProtect(stage.fault_page, PAGE_BYTES, PAGE_READONLY, &old);
        ++*(volatile LONG *)stage.fault_page;
        if (!(++stage.nr_faults % 8))
            SwitchToThread();
    }
    return 0;
}

static LONG CALLBACK repair(EXCEPTION_POINTERS *pointers)
{
    EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    DWORD old;

    if (record->ExceptionCode != (DWORD)STATUS_ACCESS_VIOLATION ||
        record->ExceptionInformation[1] != (ULONG_PTR)stage.fault_page) {
        InterlockedIncrement(&stage.nr_foreign);
        return EXCEPTION_CONTINUE_SEARCH;
    }
    InterlockedIncrement(&stage.nr_handled);
    VirtualProtect(stage.fault_page, PAGE_BYTES, PAGE_READWRITE, &old);
    return EXCEPTION_CONTINUE_EXECUTION;
}

/* All threads stand still when this returns, because GetThreadContext() waits for that. */
static bool suspend_all(void)
{
    CONTEXT context = { .ContextFlags = CONTEXT_CONTROL };
    unsigned int i;
    bool good = true;

    stage.doing = "suspending";
    for (i = 0; i < NR_ACTORS; i++)
        good = SuspendThread(stage.actors[i]) != ~0u && good;
    for (i = 0; i < NR_ACTORS; i++)
        good = GetThreadContext(stage.actors[i], &context) && good;
    return good;
}

static void resume_all(void)
{
    unsigned int i;

    stage.doing = "resuming";
    for (i = 0; i < NR_ACTORS; i++)
        ResumeThread(stage.actors[i]);
}

/* All other threads are suspended. This must not print or use the heap, because one of them may hold the
 * lock. */
static bool collect(unsigned int round)
{
    static PVOID pages[NR_WRITTEN];
    char *extra;
    bool good;

    stage.doing = "harvesting";
    good = harvest_into(stage.written, NR_WRITTEN, stage.copy, pages, RESET) >= 0;
    good = !memcmp(stage.written, stage.copy, PAGES(NR_WRITTEN)) && good;
    stage.doing = "harvesting what another one harvests";
    good = harvest_into(stage.side, PAGES_PER_WRITER, NULL, pages, KEEP) >= 0 && good;
    if (round % 8)
        return good;
    stage.doing = "allocating";
    extra = VirtualAlloc(NULL, PAGES(16), MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    write_page(extra, 5);
    good = harvest_into(extra, 16, NULL, pages, RESET) == 1 && pages[0] == extra + PAGES(5) && good;
    stage.doing = "freeing";
    VirtualFree(extra, 0, MEM_RELEASE);
    return good;
}

static void open_stage(void)
{
    const DWORD type = MEM_RESERVE | MEM_COMMIT;
    unsigned int i;

    memset(&stage, 0, sizeof(stage));
    stage.written = watch_pages(NR_WRITTEN, type, PAGE_READWRITE);
    stage.side = watch_pages(PAGES_PER_WRITER, type, PAGE_READWRITE);
    stage.fault_page = watch_pages(1, type, PAGE_READWRITE);
    stage.copy = calloc(NR_WRITTEN, PAGE_BYTES);
    stage.side_copy = calloc(PAGES_PER_WRITER, PAGE_BYTES);
    for (i = 0; i < NR_WRITERS; i++)
        stage.actors[i] = CreateThread(NULL, 0, write_on, (void *)(ULONG_PTR)i, 0, NULL);
    stage.actors[i++] = CreateThread(NULL, 0, harvest_on, NULL, 0, NULL);
    stage.actors[i] = CreateThread(NULL, 0, fault_on, NULL, 0, NULL);
}

static void close_stage(void)
{
    static PVOID pages[NR_WRITTEN];
    unsigned int i;

    stage.stop = 1;
    for (i = 0; i < NR_ACTORS; i++) {
        WaitForSingleObject(stage.actors[i], INFINITE);
        CloseHandle(stage.actors[i]);
    }
    for (i = 0; i < NR_WRITERS; i++)
        ok(stage.nr_writes[i] > 0, "writer %u did not write", i);
    ok(harvest_into(stage.written, NR_WRITTEN, stage.copy, pages, RESET) >= 0 &&
           harvest_into(stage.side, PAGES_PER_WRITER, stage.side_copy, pages, RESET) >= 0,
       "the last harvest fails");
    ok(!memcmp(stage.written, stage.copy, PAGES(NR_WRITTEN)), "a write was lost");
    ok(!memcmp(stage.side + PAGES(1), stage.side_copy + PAGES(1), PAGES(PAGES_PER_WRITER - 1)),
       "a write of the harvester was lost");
    expect_pages(stage.written, 0, NR_WRITTEN, KEEP, "");
    ok(stage.nr_harvests && !stage.nr_failed, "%u harvests, %ld failed", stage.nr_harvests, stage.nr_failed);
    ok(stage.nr_faults && (LONG)stage.nr_faults == stage.nr_handled && !stage.nr_foreign,
       "%u faults, %ld handled, %ld of other kinds", stage.nr_faults, stage.nr_handled, stage.nr_foreign);
    free_pages(stage.written);
    free_pages(stage.side);
    free_pages(stage.fault_page);
    free(stage.copy);
    free(stage.side_copy);
}

void test_suspend(void)
{
    HANDLE done = CreateEventA(NULL, TRUE, FALSE, NULL), watchdog;
    void *handler = AddVectoredExceptionHandler(1, repair);
    unsigned int round, nr_unstopped = 0, nr_wrong = 0;

    open_stage();
    stage.doing = "starting";
    watchdog = CreateThread(NULL, 0, watch_the_clock, done, 0, NULL);
    for (round = 0; round < NR_STOPS; round++) {
        bool stopped = suspend_all(), good = !stopped || collect(round);

        resume_all();
        nr_unstopped += !stopped;
        nr_wrong += !good;
        stage.doing = "running";
        stage.nr_stops++;
        if (round % 16 == 0)
            Sleep(1);
    }
    ok(!nr_unstopped, "%u of %u times a thread was not suspended", nr_unstopped, round);
    ok(!nr_wrong, "%u of %u harvests missed a write", nr_wrong, round);
    close_stage();
    SetEvent(done);
    WaitForSingleObject(watchdog, INFINITE);
    CloseHandle(watchdog);
    CloseHandle(done);
    RemoveVectoredExceptionHandler(handler);
}

/* ---- a watched stack ---- */

#define STACK_PAGES 64
#define FAR_PAGE 3 /* of the same allocation, far below the part that the stack uses */
#define NR_ROUNDS 100

static struct {
    char *base;
    char *trap; /* a page that cannot be read until the handler has run */
    unsigned int nr_wrong, nr_lost, nr_traps;
    NTSTATUS status;
} stack;

/* Runs a function with the stack pointer at the end of the watched memory. */
static void __attribute__((noinline)) call_on_stack(void (*function)(void), char *top)
{
#ifdef __x86_64__
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "lea -64(%[top]), %%rsp\n\t"
                     "call *%[function]\n\t"
                     "mov %%rbx, %%rsp"
                     : [function] "+r"(function), [top] "+r"(top)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3",
                       "xmm4", "xmm5", "memory", "cc");
#elif defined(__i386__)
    __asm__ volatile("mov %%esp, %%ebx\n\t"
                     "lea -64(%[top]), %%esp\n\t"
                     "call *%[function]\n\t"
                     "mov %%ebx, %%esp"
                     : [function] "+S"(function), [top] "+D"(top)
                     :
                     : "eax", "ebx", "ecx", "edx", "memory", "cc");
#else
    (void)function;
    (void)top;
#endif
}

/* Where the system keeps the bounds of this thread's stack. */
static NT_TIB *get_tib(void)
{
    NT_TIB *tib = NULL;

#ifdef __x86_64__
    __asm__("mov %%gs:0x30, %[tib]" : [tib] "=r"(tib));
#elif defined(__i386__)
    __asm__("mov %%fs:0x18, %[tib]" : [tib] "=r"(tib));
#endif
    return tib;
}

static LONG CALLBACK open_trap(EXCEPTION_POINTERS *pointers)
{
    EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    DWORD old;

    if (record->ExceptionCode != (DWORD)STATUS_ACCESS_VIOLATION ||
        record->ExceptionInformation[1] != (ULONG_PTR)stack.trap)
        return EXCEPTION_CONTINUE_SEARCH;
    stack.nr_traps++;
    VirtualProtect(stack.trap, PAGE_BYTES, PAGE_READWRITE, &old);
    return EXCEPTION_CONTINUE_EXECUTION;
}

/* Queries: the far page must be reported if far_written, and otherwise only pages that the stack may have
 * used. */
static void ask_about_stack(ULONG flags, bool far_written, char *lowest)
{
    PVOID pages[STACK_PAGES];
    ULONG_PTR count = STACK_PAGES, i;
    ULONG granularity = 0;
    bool found = false;

    stack.status |= NtGetWriteWatch(GetCurrentProcess(), flags, stack.base, PAGES(STACK_PAGES), pages, &count,
                                    &granularity);
    for (i = 0; i < count; i++) {
        if (pages[i] == stack.base + PAGES(FAR_PAGE))
            found = true;
        else if ((char *)pages[i] < lowest || (char *)pages[i] >= stack.base + PAGES(STACK_PAGES))
            stack.nr_wrong++;
    }
    if (found != far_written)
        stack.nr_lost++;
}

static void __attribute__((noinline)) use_stack(unsigned int depth)
{
    volatile char locals[PAGE_BYTES];

    locals[depth] = 1;
    if (depth)
        use_stack(depth - 1);
    locals[depth + 1] = locals[depth];
}

static void run_on_stack(void)
{
    char *lowest = stack.base + PAGES(STACK_PAGES / 4);
    unsigned int round;
    DWORD old;

    for (round = 0; round < NR_ROUNDS; round++) {
        use_stack(round % 8);
        write_page(stack.base, FAR_PAGE);
        ask_about_stack(KEEP, true, lowest);
        ask_about_stack(RESET, true, lowest);
        ask_about_stack(RESET, false, lowest);
        /* Raises an exception, whose record the system writes to this stack while its pages are armed. */
        VirtualProtect(stack.trap, PAGE_BYTES, PAGE_NOACCESS, &old);
        ask_about_stack(RESET, false, lowest);
        read_page(stack.trap - 8, 0);
        use_stack(8);
    }
}

void test_stack(void)
{
    NT_TIB *tib = get_tib(), saved = *tib;
    void *handler = AddVectoredExceptionHandler(1, open_trap);

    stack.base = watch_pages(STACK_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    stack.trap = VirtualAlloc(NULL, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    stack.nr_wrong = stack.nr_lost = stack.nr_traps = 0;
    stack.status = 0;
    /* The system looks here when it delivers an exception. */
    tib->StackBase = stack.base + PAGES(STACK_PAGES);
    tib->StackLimit = stack.base;
    call_on_stack(run_on_stack, stack.base + PAGES(STACK_PAGES));
    tib->StackBase = saved.StackBase;
    tib->StackLimit = saved.StackLimit;
    RemoveVectoredExceptionHandler(handler);

    ok(!stack.status, "a query from a watched stack fails: %#lx", (DWORD)stack.status);
    ok(!stack.nr_lost, "%u answers about the page far from the stack were wrong", stack.nr_lost);
    ok(!stack.nr_wrong, "%u pages reported that nobody has written", stack.nr_wrong);
    ok(stack.nr_traps == NR_ROUNDS, "%u of %u exceptions arrived", stack.nr_traps, NR_ROUNDS);
    expect_between(stack.base, STACK_PAGES, RESET, "63", "16-63");
    expect_pages(stack.base, 0, STACK_PAGES, KEEP, "");
    VirtualFree(stack.trap, 0, MEM_RELEASE);
    free_pages(stack.base);
}
