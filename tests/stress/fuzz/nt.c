/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The NT calls with pointers of any kind: NULL, unmapped, read-only, watched,
 * misaligned, at the end of a mapping or of the address space. They call a small Wine
 * (nt-wine.h). A fault ends the call as it does under Wine, whose SIGSEGV handler jumps
 * back to the system call's dispatcher, over our frames, and keeps the signal mask that
 * was set when the fault came.
 *
 * After every call no lock may be held and no signal blocked, a call that failed must
 * have written nothing, and every written page must still be reported.
 */
#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "nt-wine.h"

static struct nt nt;
static struct ww_context *contexts[2];

/* Other targets of the program's pointers. */
static char *read_only;
static char *read_only_alias; /* the same page, writable for the harness */
static char scratch_before[SCRATCH_SIZE];

/* ---- faults ---- */

static sigjmp_buf dispatcher;
static volatile bool in_call;

static void handle_fault(int signal, siginfo_t *siginfo, void *ucontext)
{
    ucontext_t *uc = ucontext;

    (void)siginfo;
    if (!in_call) {
        static const char text[] = "a fault outside of a call\n";

        (void)!write(2, text, sizeof(text) - 1);
        abort();
    }
    in_call = false;
    /* The mask that returning from the handler would restore. */
    pthread_sigmask(SIG_SETMASK, &uc->uc_sigmask, NULL);
    siglongjmp(dispatcher, signal);
}

/* ---- the program ---- */

static bool is_scratch(const void *pointer, size_t size)
{
    return (uintptr_t)pointer - (uintptr_t)scratch <= SCRATCH_SIZE - size;
}

/* The program stores to the arena, only where that makes no fault. */
static void store(void *to, const void *value, size_t size)
{
    size_t first = page_of(to), last = page_of((char *)to + size - 1);
    struct ww_range range;

    if (first >= NR_PAGES || last >= NR_PAGES || !(model.prot[first] & PROT_WRITE) ||
        !(model.prot[last] & PROT_WRITE)) {
        return;
    }
    memcpy(to, value, size);
    for (size_t i = first; i <= last; i++) {
        model.written[i] |= !ww_find(nt.ctx, arena + i * PAGE, &range);
    }
}

/* A pointer to @size bytes, which hold @value if the program can write there. */
static void *take_pointer(struct input *input, const void *value, size_t size)
{
    unsigned int kind = take(input, 1) % 16, offset = take(input, 2);
    char *pointer;

    switch (kind) {
    case 0:
        return NULL;
    case 1:
        return scratch + SCRATCH_SIZE + offset % PAGE;
    case 2:
        memcpy(read_only_alias + offset % 256, value, size);
        return read_only + offset % 256;
    case 3:
        pointer = scratch + SCRATCH_SIZE - offset % 16;
        memcpy(pointer, value, is_scratch(pointer, size) ? size : 0);
        return pointer;
    case 4:
        return (void *)(uintptr_t) - (intptr_t)(1 + offset % 64);
    case 5:
        return (void *)(UINTPTR_MAX / 2 + offset);
    case 6:
    case 7:
        /* Half of the time the program does not write there, and an earlier call's arguments may be left. */
        pointer = arena + (offset % 0x8000 * 8) % (NR_PAGES * PAGE - 8) + (kind == 7);
        if (offset < 0x8000) {
            store(pointer, value, size);
        }
        return pointer;
    default:
        pointer = scratch + (offset * (kind == 8 ? 1 : 8)) % (SCRATCH_SIZE - 256);
        memcpy(pointer, value, size);
        return pointer;
    }
}

static HANDLE take_handle(struct input *input)
{
    static const uintptr_t handles[] = { 42, 43, 0, 7 };
    unsigned int kind = take(input, 1);

    return kind < 4 ? (HANDLE)handles[kind] : SELF;
}

/* An address, mostly inside an allocation. */
static PVOID take_base(struct input *input)
{
    unsigned int kind = take(input, 1);

    if (kind < 16) {
        return NULL;
    }
    return kind < 24
               ? (PVOID)(uintptr_t)take(input, 8)
               : arena + kind % (NR_PLACES * PLACE_STEP) * PAGE + (kind & 1 ? take(input, 2) % PAGE : 0);
}

static SIZE_T take_size(struct input *input)
{
    unsigned int kind = take(input, 1);

    return kind < 8    ? (SIZE_T)take(input, 8)
           : kind < 40 ? take(input, 2)
           : kind < 48 ? ~(SIZE_T)0 - kind
                       : (kind % (PLACE_PAGES + 2)) * PAGE;
}

static ULONG take_flags(struct input *input)
{
    return take(input, 1) == 255 ? take(input, 4) : take(input, 1) & 1;
}

/* ---- what must hold after every call ---- */

static void check_at_rest(void)
{
    struct ww_region *region;
    sigset_t mask, empty;

    sigemptyset(&empty);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    must(!memcmp(&mask, &empty, _NSIG / 8), "signals are blocked");
    must(!in_original, "changes to mappings are still taken for those of a call");
    must(!pthread_rwlock_trywrlock(&nt.ctx->table_lock), "the table is locked");
    for (region = ww_region_first(nt.ctx, 0, UINTPTR_MAX); region;
         region = ww_region_first(nt.ctx, region->range.end, UINTPTR_MAX)) {
        must(!pthread_mutex_trylock(&region->lock), "a region is locked");
        pthread_mutex_unlock(&region->lock);
    }
    pthread_rwlock_unlock(&nt.ctx->table_lock);
    must(!pthread_mutex_trylock(&nt.ctx->tracker_lock), "the trackers are locked");
    pthread_mutex_unlock(&nt.ctx->tracker_lock);
}

/* Queries which pages are reported. */
static void read_reported(bool *ret_reported)
{
    struct ww_range range = { .end = (uintptr_t)arena };
    uintptr_t end = (uintptr_t)arena + NR_PAGES * PAGE;
    void *pages[NR_PAGES];

    memset(ret_reported, 0, NR_PAGES * sizeof(*ret_reported));
    while (!ww_find_next(nt.ctx, range.end, end, &range)) {
        ssize_t nr = ww_get_pages(nt.ctx, (void *)range.start, range.end - range.start, 0, pages, NR_PAGES);

        must(nr >= 0, "%zd pages", nr);
        for (ssize_t i = 0; i < nr; i++) {
            ret_reported[page_of(pages[i])] = true;
        }
    }
}

static void check_written(void)
{
    bool reported[NR_PAGES];

    read_reported(reported);
    for (size_t i = 0; i < NR_PAGES; i++) {
        must(!model.written[i] || reported[i], "page %zu was written", i);
    }
}

/* A call that failed must have written nothing, and so marked no page. */
static void check_unchanged(const char *call, bool exact_failure, const bool *reported_before)
{
    bool reported[NR_PAGES];

    must(!memcmp(scratch, scratch_before, SCRATCH_SIZE), "%s failed and wrote something", call);
    read_reported(reported);
    for (size_t i = 0; i < NR_PAGES && exact_failure; i++) {
        must(reported_before[i] || !reported[i], "%s failed and marked page %zu", call, i);
    }
}

/* ---- the calls ---- */

enum { FAULTED = 1 }; /* no NTSTATUS of any call here */

/* Makes a call, goes on after a fault as Wine does, and checks. */
#define MAKE_CALL(status, ...)                                                                               \
    do {                                                                                                     \
        memcpy(scratch_before, scratch, SCRATCH_SIZE);                                                       \
        if (sigsetjmp(dispatcher, 0)) {                                                                      \
            status = FAULTED;                                                                                \
        } else {                                                                                             \
            in_call = true;                                                                                  \
            status = __VA_ARGS__;                                                                            \
            in_call = false;                                                                                 \
        }                                                                                                    \
        must(!mprotect(scratch, SCRATCH_SIZE, PROT_READ | PROT_WRITE), "mprotect");                          \
        check_at_rest();                                                                                     \
    } while (0)

static void fuzz_allocate(struct input *input, bool extended)
{
    static const ULONG types[] = {
        MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
        MEM_RESERVE | MEM_WRITE_WATCH,
        MEM_COMMIT,
        MEM_RESET,
        MEM_RESERVE | MEM_COMMIT,
        MEM_COMMIT | MEM_WRITE_WATCH,
        MEM_RESET | MEM_WRITE_WATCH,
        0,
    };
    HANDLE process = take_handle(input);
    PVOID base = take_base(input);
    SIZE_T size = take_size(input);
    ULONG type = types[take(input, 1) % 8], more = take(input, 1) == 255 ? take(input, 4) : 0, count;
    MEM_EXTENDED_PARAMETER none[2], *parameters;
    bool before[NR_PAGES];
    volatile NTSTATUS status;
    PVOID *ret;
    SIZE_T *size_ptr;

    type |= more;
    memset(none, 0, sizeof(none));
    none[1].Type = take(input, 1) & 1;
    ret = take_pointer(input, &base, sizeof(base));
    size_ptr = take_pointer(input, &size, sizeof(size));
    parameters = extended ? take_pointer(input, none, sizeof(none)) : NULL;
    count = extended ? take(input, 1) % 4 : 0;
    read_reported(before);
    if (extended) {
        MAKE_CALL(status,
                  nt_allocate_ex(&nt, process, ret, size_ptr, type, PAGE_READWRITE, parameters, count));
    } else {
        MAKE_CALL(status, nt_allocate(&nt, process, ret, 0, size_ptr, type, PAGE_READWRITE));
    }
    must(status <= FAULTED, "%#x", (unsigned int)status);
    if (status < 0) {
        check_unchanged("allocate", ww_backend_caps(nt.ctx) & WW_CAP_EXACT, before);
    }
}

static void fuzz_free(struct input *input)
{
    static const ULONG types[] = { MEM_RELEASE, MEM_DECOMMIT, 0, MEM_RELEASE | MEM_DECOMMIT };
    HANDLE process = take_handle(input);
    PVOID base = take_base(input);
    SIZE_T size = take_size(input);
    ULONG type = types[take(input, 1) % 4];
    PVOID *addr_ptr = take_pointer(input, &base, sizeof(base));
    SIZE_T *size_ptr = take_pointer(input, &size, sizeof(size));
    bool before[NR_PAGES];
    volatile NTSTATUS status;

    read_reported(before);
    MAKE_CALL(status, nt_free(&nt, process, addr_ptr, size_ptr, type));
    if (status < 0) {
        check_unchanged("free", ww_backend_caps(nt.ctx) & WW_CAP_EXACT, before);
    }
}

static void fuzz_protect(struct input *input)
{
    static const ULONG protections[] = { PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, 0x1234 };
    HANDLE process = take_handle(input);
    PVOID base = take_base(input);
    SIZE_T size = take_size(input);
    ULONG protect = protections[take(input, 1) % 4], old = 7;
    PVOID *addr_ptr = take_pointer(input, &base, sizeof(base));
    SIZE_T *size_ptr = take_pointer(input, &size, sizeof(size));
    ULONG *old_prot = take_pointer(input, &old, sizeof(old));
    bool before[NR_PAGES];
    volatile NTSTATUS status;

    read_reported(before);
    MAKE_CALL(status, nt_protect(&nt, process, addr_ptr, size_ptr, protect, old_prot));
    if (status < 0) {
        check_unchanged("protect", ww_backend_caps(nt.ctx) & WW_CAP_EXACT, before);
    }
}

/* The answer must be ascending pages of the range. They need not be reported again if they were reset. */
static void check_answer(PVOID base, SIZE_T size, const PVOID *addresses, ULONG_PTR count, bool reset)
{
    uintptr_t last = nt_page_down((uintptr_t)base) - PAGE;

    for (ULONG_PTR i = 0; i < count; i++) {
        uintptr_t page = (uintptr_t)addresses[i];

        must(page > last && page < (uintptr_t)base + size && page % PAGE == 0, "answer %zu is %#zx",
             (size_t)i, (size_t)page);
        model.written[page_of((void *)page)] &= !reset;
        last = page;
    }
}

/* The status if the program's pointers are good, from the order of checks in Wine's tests. */
static NTSTATUS expected_status(HANDLE process, ULONG flags, PVOID base, SIZE_T size, const PVOID *addresses,
                                ULONG_PTR capacity)
{
    struct ww_range range;

    if ((process != SELF && process != (HANDLE)42) || ww_find(nt.ctx, base, &range)) {
        return STATUS_FROM_ORIGINAL;
    }
    if (!capacity || !size || (flags & ~1u)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!addresses) {
        return STATUS_ACCESS_VIOLATION;
    }
    return size > range.end - (uintptr_t)base ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

static void fuzz_get(struct input *input)
{
    HANDLE process = take_handle(input);
    volatile ULONG flags = take_flags(input); /* volatile: used after sigsetjmp() returns again */
    ULONG granularity = 7;
    PVOID base = take_base(input), none[PLACE_PAGES] = { NULL };
    SIZE_T size = take_size(input);
    ULONG_PTR capacity = take(input, 1);
    PVOID *addresses;
    ULONG_PTR *count;
    ULONG *granularity_ptr;
    volatile NTSTATUS status, expected;
    bool good;

    capacity = capacity == 255 ? ~(ULONG_PTR)0 >> (capacity & 7) : capacity % 16;
    addresses = take_pointer(input, none, sizeof(none));
    granularity_ptr = take_pointer(input, &granularity, sizeof(granularity));
    count = take_pointer(input, &capacity, sizeof(capacity));
    good = is_scratch(count, sizeof(*count)) && is_scratch(granularity_ptr, sizeof(*granularity_ptr)) &&
           (!addresses || is_scratch(addresses, sizeof(none))) &&
           (uintptr_t)count - (uintptr_t)addresses + 8 >= sizeof(none) + 16 &&
           (uintptr_t)granularity_ptr - (uintptr_t)addresses + 8 >= sizeof(none) + 16 &&
           (uintptr_t)granularity_ptr - (uintptr_t)count + 8 >= 24;
    expected = good ? expected_status(process, flags, base, size, addresses, capacity) : 0;
    MAKE_CALL(status, nt_get_write_watch(&nt, process, flags, base, size, addresses, count, granularity_ptr));
    must(!good || status == expected, "%#x instead of %#x", (unsigned int)status, (unsigned int)expected);
    if (status) {
        check_unchanged("get", false, NULL);
    } else if (good) {
        must(*count <= capacity && *granularity_ptr == PAGE, "%zu of %zu", (size_t)*count, (size_t)capacity);
        check_answer(base, size, addresses, *count, flags & 1);
    } else if (flags & 1) {
        /* The answer cannot be read: the count may have overwritten it, for instance. */
        forget_pages(nt_page_down((uintptr_t)base), nt_page_up((uintptr_t)base + size));
    }
}

static void fuzz_reset(struct input *input)
{
    HANDLE process = take_handle(input);
    PVOID base = take_base(input);
    SIZE_T size = take_size(input);
    volatile NTSTATUS status;

    MAKE_CALL(status, nt_reset_write_watch(&nt, process, base, size));
    must(status == STATUS_SUCCESS || status == STATUS_FROM_ORIGINAL || status == STATUS_INVALID_PARAMETER,
         "%#x", (unsigned int)status);
    if (!status) {
        forget_pages(nt_page_down((uintptr_t)base), nt_page_up((uintptr_t)base + size));
    }
}

static void fuzz_store(struct input *input)
{
    size_t at = take_below(input, NR_PAGES) * PAGE;
    char byte = 1;

    at += take(input, 2) % PAGE;
    store(arena + at, &byte, 1);
}

/* ---- one input ---- */

/* Ordinary calls of another thread, which hang if a lock is still held. */
static void *call_from_elsewhere(void *arg)
{
    (void)arg;
    must(!ww_watch(nt.ctx, arena + (NR_PAGES - 1) * PAGE, PAGE, 0), "a watch by another thread");
    must(!ww_unwatch(nt.ctx, arena, NR_PAGES * PAGE), "no watch by another thread");
    return NULL;
}

static void clean_up(void)
{
    struct timespec limit;
    pthread_t thread;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    must(!pthread_create(&thread, NULL, call_from_elsewhere, NULL), "pthread_create");
    must(!pthread_timedjoin_np(thread, NULL, &limit), "another thread waits for ever");
    must(!ww_watches_any(nt.ctx), "something is watched still");
    replace_pages((uintptr_t)arena, (uintptr_t)arena + NR_PAGES * PAGE);
    memset(&model, 0, sizeof(model));
}

static char *map(size_t size, int prot, int fd)
{
    void *addr = mmap(NULL, size, prot, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

    must(addr != MAP_FAILED, "mmap");
    return addr;
}

static void set_up(void)
{
    struct sigaction action = { .sa_sigaction = handle_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
    int fd = memfd_create("read-only", MFD_CLOEXEC);

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    arena = map(NR_PAGES * PAGE, PROT_NONE, -1);
    scratch = map(SCRATCH_SIZE + 2 * PAGE, PROT_NONE, -1) + PAGE;
    must(!mprotect(scratch, SCRATCH_SIZE, PROT_READ | PROT_WRITE), "mprotect");
    must(fd >= 0 && !ftruncate(fd, PAGE), "memfd_create");
    read_only = map(PAGE, PROT_READ, fd);
    read_only_alias = map(PAGE, PROT_READ | PROT_WRITE, fd);
    must(!ww_open(&contexts[0], "none"), "none");
    if (ww_open(&contexts[1], "uffd")) {
        contexts[1] = contexts[0];
    }
    nt = (struct nt){ .original = original, .check_handle = check_handle, .set_own = set_own };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .at = data, .left = size };

    if (!arena) {
        set_up();
    }
    nt.ctx = contexts[take(&input, 1) != 0];
    for (int nr = 0; input.left && nr < 100; nr++) {
        unsigned int operation = take(&input, 1);

        vanishing = (operation & 0xc0) == 0xc0;
        refuses = (operation & 0x30) == 0x30;
        switch (operation % 8) {
        case 0:
            fuzz_allocate(&input, false);
            break;
        case 1:
            fuzz_allocate(&input, true);
            break;
        case 2:
            fuzz_free(&input);
            break;
        case 3:
            fuzz_protect(&input);
            break;
        case 4:
            fuzz_get(&input);
            break;
        case 5:
            fuzz_reset(&input);
            break;
        default:
            fuzz_store(&input);
            break;
        }
        check_written();
    }
    clean_up();
    return 0;
}
