/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Windows' memory calls as a host that is not Wine gets them: called through
 * pointers of the guest's calling convention and of the host's, over every backend
 * that works here. Expected answers and error codes are those of winetest
 * (kernel32 virtual.c), which was run on Windows.
 */
#include "writewatch-win32.h" /* first: it must not need anything of Windows */

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

#define WIN32_NO_STATUS
#include "windef.h"
#include "winnt.h"
#include "winerror.h"

#define PAGE ((SIZE_T)0x1000)
#define SENTINEL 0x5a5a5a5au
#define CALL_FAILED (~0u)
#define RW PAGE_READWRITE
#define FREE_ADDRESS ((void *)0x200000000) /* nothing is ever mapped there */

#if defined(__x86_64__)
#define GUEST __attribute__((ms_abi))
#define GUEST_CONVENTION WW_WIN32_WIN64
#define MISSING_CONVENTION WW_WIN32_STDCALL
#elif defined(__i386__)
#define GUEST __attribute__((stdcall))
#define GUEST_CONVENTION WW_WIN32_STDCALL
#define MISSING_CONVENTION WW_WIN32_WIN64
#else
#define GUEST
#define GUEST_CONVENTION WW_WIN32_SYSV
#define MISSING_CONVENTION WW_WIN32_WIN64
#endif

/* The five functions in one convention. */
#define FUNCTIONS(abi)                                                                                       \
    {                                                                                                        \
        void *(abi * alloc)(void *, SIZE_T, DWORD, DWORD);                                                   \
        BOOL(abi *free)(void *, SIZE_T, DWORD);                                                              \
        BOOL(abi *protect)(void *, SIZE_T, DWORD, DWORD *);                                                  \
        UINT(abi *get)(DWORD, void *, SIZE_T, void **, ULONG_PTR *, ULONG *);                                \
        UINT(abi *reset)(void *, SIZE_T);                                                                    \
    }
struct guest_functions FUNCTIONS(GUEST);
struct host_functions FUNCTIONS();

/* Every function a test calls goes through one of these two, as the loop index says. */
struct world {
    struct ww_context *ctx;
    struct ww_win32 *win32;
    struct guest_functions guest;
    struct host_functions host;
    bool as_guest;
};

static struct ww_probe backends[MAX_BACKENDS];
static int nr_backends;
static struct world world;

/* The linker's --wrap sends the library's calls here, so that they can be made to fail. */
static int watch_error, calloc_countdown;
static bool mprotect_fails, signals_were_open;
int __real_mprotect(void *addr, size_t len, int prot);
int __wrap_mprotect(void *addr, size_t len, int prot);
int __real_ww_watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags);
int __wrap_ww_watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags);
void *__real_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size);

int __wrap_ww_watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags)
{
    sigset_t blocked;

    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    signals_were_open |= !sigismember(&blocked, SIGUSR1);
    return watch_error ? watch_error : __real_ww_watch(ctx, addr, len, flags);
}

/* A failure in the middle, as at vm.max_map_count. */
int __wrap_mprotect(void *addr, size_t len, int prot)
{
    if (!mprotect_fails) {
        return __real_mprotect(addr, len, prot);
    }
    mprotect_fails = false;
    __real_mprotect(addr, len / 2, prot);
    errno = ENOMEM;
    return -1;
}

void *__wrap_calloc(size_t nr, size_t size)
{
    return calloc_countdown && !--calloc_countdown ? NULL : __real_calloc(nr, size);
}

static void bind(struct ww_win32 *win32, const char *name, enum ww_win32_convention convention, void *ret)
{
    ck_assert_int_eq(ww_win32_bind(win32, name, convention, ret), 0);
}

static void open_world(struct world *w, int index)
{
    w->as_guest = index % 2;
    ck_assert_int_eq(ww_open(&w->ctx, backends[index / 2].name), 0);
    ck_assert_int_eq(ww_win32_open(&w->win32, w->ctx), 0);
    bind(w->win32, "VirtualAlloc", GUEST_CONVENTION, &w->guest.alloc);
    bind(w->win32, "VirtualFree", GUEST_CONVENTION, &w->guest.free);
    bind(w->win32, "VirtualProtect", GUEST_CONVENTION, &w->guest.protect);
    bind(w->win32, "GetWriteWatch", GUEST_CONVENTION, &w->guest.get);
    bind(w->win32, "ResetWriteWatch", GUEST_CONVENTION, &w->guest.reset);
    bind(w->win32, "VirtualAlloc", WW_WIN32_SYSV, &w->host.alloc);
    bind(w->win32, "VirtualFree", WW_WIN32_SYSV, &w->host.free);
    bind(w->win32, "VirtualProtect", WW_WIN32_SYSV, &w->host.protect);
    bind(w->win32, "GetWriteWatch", WW_WIN32_SYSV, &w->host.get);
    bind(w->win32, "ResetWriteWatch", WW_WIN32_SYSV, &w->host.reset);
    *ww_win32_last_error() = SENTINEL;
}

static void close_world(struct world *w)
{
    ww_win32_close(w->win32);
    ww_close(w->ctx);
}

/* ---- the calls ---- */

static char *alloc_in(struct world *w, void *addr, SIZE_T size, DWORD type, DWORD protect)
{
    return w->as_guest ? w->guest.alloc(addr, size, type, protect) : w->host.alloc(addr, size, type, protect);
}

static BOOL free_in(struct world *w, void *addr, SIZE_T size, DWORD type)
{
    return w->as_guest ? w->guest.free(addr, size, type) : w->host.free(addr, size, type);
}

static UINT get_in(struct world *w, DWORD flags, void *base, SIZE_T size, void **addresses, ULONG_PTR *count,
                   ULONG *granularity)
{
    return w->as_guest ? w->guest.get(flags, base, size, addresses, count, granularity)
                       : w->host.get(flags, base, size, addresses, count, granularity);
}

static char *vm_alloc(void *addr, SIZE_T size, DWORD type, DWORD protect)
{
    return alloc_in(&world, addr, size, type, protect);
}

static BOOL vm_free(void *addr, SIZE_T size, DWORD type)
{
    return free_in(&world, addr, size, type);
}

static BOOL vm_protect(void *addr, SIZE_T size, DWORD protect, DWORD *old)
{
    return world.as_guest ? world.guest.protect(addr, size, protect, old)
                          : world.host.protect(addr, size, protect, old);
}

static UINT reset(void *base, SIZE_T size)
{
    return world.as_guest ? world.guest.reset(base, size) : world.host.reset(base, size);
}

/* What the call before set as the last error; the next one finds the sentinel again. */
static uint32_t last_error(void)
{
    uint32_t error = *ww_win32_last_error();

    *ww_win32_last_error() = SENTINEL;
    return error;
}

#define expect_error(call, error)                                                                            \
    do {                                                                                                     \
        ck_assert_msg(!(call), "%s succeeds", #call);                                                        \
        ck_assert_uint_eq(last_error(), error);                                                              \
    } while (0)

/* A success leaves the last error alone. */
#define expect_success(call)                                                                                 \
    do {                                                                                                     \
        ck_assert_msg(call, "%s fails, error %u", #call, last_error());                                      \
        ck_assert_uint_eq(last_error(), SENTINEL);                                                           \
    } while (0)

static void expect_protect(void *addr, SIZE_T size, DWORD protect, DWORD old)
{
    DWORD found = SENTINEL;

    expect_success(vm_protect(addr, size, protect, &found));
    ck_assert_uint_eq(found, old);
}

/* Compares the written pages with a map ('#' written), and resets them. */
static void expect_written(char *base, const char *map)
{
    SIZE_T nr = strlen(map);
    char *found = calloc(nr + 1, 1);
    void **addresses = calloc(nr, sizeof(*addresses));
    ULONG_PTR count = nr;
    ULONG granularity = 0;

    ck_assert_uint_eq(
        get_in(&world, WRITE_WATCH_FLAG_RESET, base, nr * PAGE, addresses, &count, &granularity), 0);
    ck_assert_uint_eq(granularity, PAGE);
    memset(found, '.', nr);
    for (ULONG_PTR i = 0; i < count; i++) {
        found[((char *)addresses[i] - base) / PAGE] = '#';
    }
    ck_assert_str_eq(found, map);
    free(found);
    free(addresses);
}

/* Whether the kernel can read there, which a test may ask of memory without access. */
static bool can_read(const void *addr)
{
    int fds[2];
    ssize_t nr;

    ck_assert_int_eq(pipe(fds), 0);
    nr = write(fds[1], addr, 1);
    close(fds[0]);
    close(fds[1]);
    return nr == 1;
}

static void setup(void)
{
    nr_backends = find_backends(backends);
}

/* ---- binding ---- */

START_TEST(names_and_conventions)
{
    ww_win32_function function = (ww_win32_function)abort, again;
    struct ww_win32 *win32;
    struct ww_context *ctx;

    ck_assert_int_eq(ww_open(&ctx, NULL), 0);
    ck_assert_int_eq(ww_win32_open(NULL, ctx), -EINVAL);
    ck_assert_int_eq(ww_win32_open(&win32, NULL), -EINVAL);
    ck_assert_int_eq(ww_win32_open(&win32, ctx), 0);
    ck_assert_int_eq(ww_win32_bind(NULL, "VirtualAlloc", WW_WIN32_SYSV, &function), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, NULL, WW_WIN32_SYSV, &function), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAlloc", WW_WIN32_SYSV, NULL), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAlloc", 0, &function), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAlloc", 4, &function), -EINVAL);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAlloc", MISSING_CONVENTION, &function), -ENOTSUP);
    ck_assert_int_eq(ww_win32_bind(win32, "", WW_WIN32_SYSV, &function), -ENOENT);
    ck_assert_int_eq(ww_win32_bind(win32, "VirtualAllocEx", WW_WIN32_SYSV, &function), -ENOENT);
    ck_assert_int_eq(ww_win32_bind(win32, "virtualalloc", WW_WIN32_SYSV, &function), -ENOENT);
    ck_assert_ptr_eq((void *)function, (void *)abort);
    bind(win32, "VirtualAlloc", WW_WIN32_SYSV, &function);
    bind(win32, "VirtualAlloc", WW_WIN32_SYSV, &again);
    ck_assert_ptr_eq((void *)function, (void *)again);
    bind(win32, "VirtualFree", WW_WIN32_SYSV, &again);
    ck_assert_ptr_ne((void *)function, (void *)again);
    ww_win32_close(win32);
    ww_win32_close(NULL);
    ww_close(ctx);
}
END_TEST

/* ---- VirtualAlloc ---- */

/* Each row fails; `base` is an offset in a reservation of 16 pages, or an address itself. */
static const struct {
    const char *what;
    bool inside;
    uintptr_t base;
    SIZE_T size;
    DWORD type, protect, error;
} alloc_rows[] = {
    { "size 0", false, 0, 0, MEM_RESERVE, PAGE_NOACCESS, ERROR_INVALID_PARAMETER },
    { "no type", false, 0, PAGE, 0, RW, ERROR_INVALID_PARAMETER },
    { "only a flag", false, 0, PAGE, MEM_WRITE_WATCH, RW, ERROR_INVALID_PARAMETER },
    { "unknown type", false, 0, PAGE, MEM_RESERVE | 0x40000000, RW, ERROR_INVALID_PARAMETER },
    { "large pages", false, 0, PAGE, MEM_COMMIT | MEM_LARGE_PAGES, RW, ERROR_INVALID_PARAMETER },
    { "protection 0", false, 0, PAGE, MEM_RESERVE, 0, ERROR_INVALID_PARAMETER },
    { "protection 0, commit", false, 0, PAGE, MEM_COMMIT, 0, ERROR_INVALID_PARAMETER },
    { "two protections", true, 0, PAGE, MEM_COMMIT, PAGE_READONLY | PAGE_EXECUTE, ERROR_INVALID_PARAMETER },
    { "copy-on-write", false, 0, PAGE, MEM_RESERVE, PAGE_WRITECOPY, ERROR_INVALID_PARAMETER },
    { "no access, no cache", false, 0, PAGE, MEM_RESERVE, PAGE_NOACCESS | PAGE_NOCACHE,
      ERROR_INVALID_PARAMETER },
    { "no cache, combined", false, 0, PAGE, MEM_COMMIT, RW | PAGE_NOCACHE | PAGE_WRITECOMBINE,
      ERROR_INVALID_PARAMETER },
    { "guard", false, 0, PAGE, MEM_COMMIT, RW | PAGE_GUARD, ERROR_NOT_SUPPORTED },
    { "below 64 KB", false, 0x1000, PAGE, MEM_RESERVE, RW, ERROR_INVALID_PARAMETER },
    { "below 64 KB, commit", false, 0x1000, PAGE, MEM_COMMIT, RW, ERROR_INVALID_PARAMETER },
    { "wraps around", false, ~(uintptr_t)0xffff, 2 * PAGE * 16, MEM_RESERVE, RW, ERROR_INVALID_PARAMETER },
    { "all there is", false, 0, ~(SIZE_T)0, MEM_RESERVE, RW, ERROR_INVALID_PARAMETER },
#ifdef __LP64__
    { "the kernel's half", false, (uintptr_t)INTPTR_MIN, PAGE, MEM_RESERVE, RW, ERROR_INVALID_PARAMETER },
    { "more than is free", false, 0, ((SIZE_T)1 << 47) - 0x20000, MEM_RESERVE, RW, ERROR_NOT_ENOUGH_MEMORY },
    { "more than is free, watched", false, 0, ((SIZE_T)1 << 47) - 0x20000, MEM_RESERVE | MEM_WRITE_WATCH, RW,
      ERROR_NOT_ENOUGH_MEMORY },
    { "commit of nothing", false, (uintptr_t)FREE_ADDRESS, PAGE, MEM_COMMIT, RW, ERROR_INVALID_ADDRESS },
#endif
    { "reserved already", true, 0, PAGE, MEM_RESERVE, RW, ERROR_INVALID_ADDRESS },
    { "reserved already by 64 KB", true, 8 * PAGE, PAGE, MEM_RESERVE, RW, ERROR_INVALID_ADDRESS },
    { "commit beyond the end", true, 15 * PAGE, 2 * PAGE, MEM_COMMIT, RW, ERROR_INVALID_ADDRESS },
    { "reset beyond the end", true, 15 * PAGE, 2 * PAGE, MEM_RESET, RW, ERROR_INVALID_ADDRESS },
    { "reset of NULL", false, 0, PAGE, MEM_RESET, RW, ERROR_INVALID_PARAMETER },
    { "reset and commit", true, 0, PAGE, MEM_RESET | MEM_COMMIT, RW, ERROR_INVALID_PARAMETER },
};

START_TEST(alloc_errors)
{
    open_world(&world, _i);
    for (size_t i = 0; i < sizeof(alloc_rows) / sizeof(alloc_rows[0]); i++) {
        char *area = vm_alloc(NULL, 16 * PAGE, MEM_RESERVE, RW);
        void *base = alloc_rows[i].inside ? area + alloc_rows[i].base : (void *)alloc_rows[i].base;
        void *found = vm_alloc(base, alloc_rows[i].size, alloc_rows[i].type, alloc_rows[i].protect);
        uint32_t error = last_error();

        ck_assert_msg(!found, "%s: succeeds", alloc_rows[i].what);
        ck_assert_msg(error == alloc_rows[i].error, "%s: error %u", alloc_rows[i].what, error);
        expect_success(vm_free(area, 0, MEM_RELEASE));
    }
    close_world(&world);
}
END_TEST

START_TEST(reserve_and_commit)
{
    char *base, *found;

    open_world(&world, _i);
    base = vm_alloc(NULL, 0xfffc, MEM_RESERVE, PAGE_NOACCESS);
    ck_assert_ptr_nonnull(base);
    ck_assert_uint_eq((uintptr_t)base & 0xffff, 0);
    ck_assert(!can_read(base));
    /* Rounded to pages, and not beyond them. */
    found = vm_alloc(base + PAGE + 1, PAGE, MEM_COMMIT, RW);
    ck_assert_ptr_eq(found, base + PAGE);
    found[0] = found[2 * PAGE - 1] = 1;
    ck_assert(!can_read(base));
    ck_assert(!can_read(base + 3 * PAGE));
    /* Committing again keeps what is there, and changes the protection. */
    ck_assert_ptr_eq(vm_alloc(base, 3 * PAGE, MEM_COMMIT, PAGE_READONLY), base);
    ck_assert_int_eq(base[PAGE], 1);
    ck_assert_int_eq(base[0], 0);
    expect_protect(base + PAGE, PAGE, RW, PAGE_READONLY);
    expect_success(vm_free(base, 0, MEM_RELEASE));
    ck_assert(!can_read(base));
    close_world(&world);
}
END_TEST

START_TEST(granularity_and_bases)
{
    char *base, *other;

    open_world(&world, _i);
    for (int i = 0; i < 8; i++) {
        ck_assert_uint_eq((uintptr_t)vm_alloc(NULL, PAGE, MEM_RESERVE | MEM_TOP_DOWN, RW) & 0xffff, 0);
    }
    base = vm_alloc(NULL, 0x20000, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
    expect_success(vm_free(base, 0, MEM_RELEASE));
    /* A wanted base is rounded down, and the size covers it. */
    other = vm_alloc(base + 0x1001, PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    ck_assert_ptr_eq(other, base);
    other[2 * PAGE] = 1;
    ck_assert(!can_read(base + 3 * PAGE));
    ck_assert_ptr_eq(vm_alloc(base + 0x10000, PAGE, MEM_RESERVE, RW), base + 0x10000);
    expect_success(vm_free(base + 0x10000, 0, MEM_RELEASE));
    /* Memory of the host is not given away. */
    ck_assert_ptr_eq(mmap(base + 0x10000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                     base + 0x10000);
    expect_error(vm_alloc(base + 0x10000, PAGE, MEM_RESERVE, RW), ERROR_INVALID_ADDRESS);
    munmap(base + 0x10000, PAGE);
    close_world(&world);
}
END_TEST

START_TEST(commit_without_memory)
{
    struct rlimit old, none = { 1, RLIM_INFINITY };
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 16 * PAGE, MEM_RESERVE, RW);
    ck_assert_ptr_eq(vm_alloc(base + 4 * PAGE, PAGE, MEM_COMMIT, PAGE_READONLY), base + 4 * PAGE);
    getrlimit(RLIMIT_DATA, &old);
    none.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_DATA, &none);
    expect_error(vm_alloc(base, 16 * PAGE, MEM_COMMIT, RW), ERROR_NOT_ENOUGH_MEMORY);
    expect_error(vm_alloc(NULL, 16 * PAGE, MEM_COMMIT, RW), ERROR_NOT_ENOUGH_MEMORY);
    setrlimit(RLIMIT_DATA, &old);
    mprotect_fails = true;
    expect_error(vm_alloc(base, 16 * PAGE, MEM_COMMIT, RW), ERROR_NOT_ENOUGH_MEMORY);
    /* Everything is as it was. */
    ck_assert(!can_read(base));
    ck_assert(can_read(base + 4 * PAGE));
    expect_error(vm_protect(base, PAGE, RW, &(DWORD){ 0 }), ERROR_INVALID_ADDRESS);
    expect_protect(base + 4 * PAGE, PAGE, RW, PAGE_READONLY);
    close_world(&world);
}
END_TEST

/* What cannot be watched or noted down is given back. */
START_TEST(alloc_without_memory)
{
    struct ww_win32 *win32;
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    expect_success(vm_free(base, 0, MEM_RELEASE));
    watch_error = -ENOMEM;
    expect_error(vm_alloc(base, PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW),
                 ERROR_NOT_ENOUGH_MEMORY);
    expect_error(vm_alloc(NULL, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW), ERROR_NOT_ENOUGH_MEMORY);
    watch_error = 0;
    for (int i = 1; i <= 2; i++) {
        calloc_countdown = i;
        expect_error(vm_alloc(base, PAGE, MEM_RESERVE | MEM_COMMIT, RW), ERROR_NOT_ENOUGH_MEMORY);
        ck_assert_int_eq(calloc_countdown, 0);
        ck_assert(!can_read(base));
    }
    ck_assert_ptr_eq(vm_alloc(base, PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW), base);
    expect_written(base, ".");
    calloc_countdown = 1;
    ck_assert_int_eq(ww_win32_open(&win32, world.ctx), -ENOMEM);
    close_world(&world);
}
END_TEST

/* ---- VirtualFree ---- */

START_TEST(free_errors)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 16 * PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    base[0] = 7;
    expect_error(vm_free(base, 16 * PAGE, 0), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 0, MEM_FREE), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 0, MEM_RELEASE | MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, PAGE, MEM_RELEASE | MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 1, MEM_RELEASE), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 16 * PAGE, MEM_RELEASE), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, 17 * PAGE, MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base, ~(SIZE_T)0, MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(NULL, 0, MEM_RELEASE), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(NULL, PAGE, MEM_DECOMMIT), ERROR_INVALID_PARAMETER);
    expect_error(vm_free(base + PAGE, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    expect_error(vm_free(base + PAGE, 0, MEM_DECOMMIT), ERROR_INVALID_ADDRESS);
    expect_error(vm_free(base - PAGE, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    expect_error(vm_free(base - PAGE, PAGE, MEM_DECOMMIT), ERROR_INVALID_ADDRESS);
    ck_assert_int_eq(base[0], 7);
    /* Anywhere in the first page is the base. */
    expect_success(vm_free(base + 1, 0, MEM_RELEASE));
    expect_error(vm_free(base, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    expect_error(vm_free(base, PAGE, MEM_DECOMMIT), ERROR_INVALID_ADDRESS);
    close_world(&world);
}
END_TEST

START_TEST(decommit)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    memset(base, 1, 4 * PAGE);
    /* Two bytes across a boundary are two pages. */
    expect_success(vm_free(base + 2 * PAGE - 1, 2, MEM_DECOMMIT));
    ck_assert(can_read(base));
    ck_assert(!can_read(base + PAGE));
    ck_assert(!can_read(base + 2 * PAGE));
    ck_assert(can_read(base + 3 * PAGE));
    expect_success(vm_free(base + PAGE, PAGE, MEM_DECOMMIT));
    expect_error(vm_protect(base, 4 * PAGE, RW, &(DWORD){ 0 }), ERROR_INVALID_ADDRESS);
    ck_assert_ptr_eq(vm_alloc(base + PAGE, PAGE, MEM_COMMIT, RW), base + PAGE);
    ck_assert_int_eq(base[PAGE], 0);
    expect_success(vm_free(base, 0, MEM_DECOMMIT));
    ck_assert(!can_read(base + 3 * PAGE));
    expect_success(vm_free(base, 0, MEM_RELEASE));
    close_world(&world);
}
END_TEST

/* ---- VirtualProtect ---- */

START_TEST(protect_errors)
{
    char *base, *next;
    DWORD old = SENTINEL;

    open_world(&world, _i);
    base = vm_alloc(NULL, 0x20000, MEM_RESERVE, RW);
    expect_success(vm_free(base, 0, MEM_RELEASE));
    ck_assert_ptr_eq(vm_alloc(base, 0x10000, MEM_RESERVE, PAGE_NOACCESS), base);
    next = vm_alloc(base + 0x10000, 0x10000, MEM_RESERVE | MEM_COMMIT, RW);
    ck_assert_ptr_eq(next, base + 0x10000);
    expect_error(vm_protect(base, 0xfffc, PAGE_READONLY, &old), ERROR_INVALID_ADDRESS);
    ck_assert_ptr_eq(vm_alloc(base, PAGE, MEM_COMMIT, PAGE_NOACCESS), base);
    expect_error(vm_protect(base, 0xfffc, PAGE_READONLY, &old), ERROR_INVALID_ADDRESS);
    ck_assert_ptr_eq(vm_alloc(base, 0x10000, MEM_COMMIT, PAGE_NOACCESS), base);
    expect_error(vm_protect(base, 0x10001, PAGE_READONLY, &old), ERROR_INVALID_ADDRESS);
    expect_error(vm_protect(base - PAGE, PAGE, PAGE_READONLY, &old), ERROR_INVALID_ADDRESS);
    expect_error(vm_protect(base, 0, PAGE_READONLY, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, ~(SIZE_T)0, PAGE_READONLY, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, PAGE, 0, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, PAGE, RW | PAGE_EXECUTE_WRITECOPY, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, PAGE, PAGE_WRITECOPY, &old), ERROR_INVALID_PARAMETER);
    expect_error(vm_protect(base, PAGE, RW | PAGE_GUARD, &old), ERROR_NOT_SUPPORTED);
    expect_error(vm_protect(base, PAGE, RW, NULL), ERROR_NOACCESS);
    ck_assert_uint_eq(old, SENTINEL);
    expect_protect(base, PAGE, RW, PAGE_NOACCESS);
    close_world(&world);
}
END_TEST

static const DWORD protections[] = { PAGE_NOACCESS,     PAGE_READONLY,          RW, PAGE_EXECUTE,
                                     PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, RW };

START_TEST(protect_by_page)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 8 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
    for (size_t i = 0; i < sizeof(protections) / sizeof(protections[0]); i++) {
        expect_protect(base + i * PAGE, 1, protections[i], RW);
    }
    for (size_t i = 0; i < sizeof(protections) / sizeof(protections[0]); i++) {
        ck_assert_int_eq(can_read(base + i * PAGE), protections[i] != PAGE_NOACCESS);
        /* What is returned is the first page's, over however many. */
        expect_protect(base + i * PAGE, (8 - i) * PAGE, protections[i], protections[i]);
        expect_protect(base + i * PAGE, (8 - i) * PAGE, RW, protections[i]);
        if (i + 1 < sizeof(protections) / sizeof(protections[0])) {
            expect_protect(base + (i + 1) * PAGE, PAGE, protections[i + 1], RW);
        }
        base[i * PAGE] = 1;
    }
    expect_written(base, "#######.");
    /* Two bytes across a boundary are two pages. */
    expect_protect(base + PAGE - 1, 2, PAGE_READONLY, RW);
    expect_protect(base + PAGE, PAGE, RW, PAGE_READONLY);
    close_world(&world);
}
END_TEST

/* "PAGE_NOCACHE cannot be set per page in recent Windows" (winetest). */
START_TEST(cache_modifiers)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 2 * PAGE, MEM_COMMIT, RW | PAGE_NOCACHE);
    expect_protect(base, PAGE, RW, RW | PAGE_NOCACHE);
    expect_protect(base, PAGE, PAGE_READONLY, RW | PAGE_NOCACHE);
    base = vm_alloc(NULL, 2 * PAGE, MEM_COMMIT, RW);
    expect_protect(base, PAGE, PAGE_READONLY | PAGE_NOCACHE, RW);
    expect_protect(base, PAGE, RW, PAGE_READONLY);
    base = vm_alloc(NULL, 2 * PAGE, MEM_COMMIT, RW | PAGE_WRITECOMBINE);
    base[0] = 1;
    expect_protect(base, PAGE, RW, RW | PAGE_WRITECOMBINE);
    close_world(&world);
}
END_TEST

/* ---- write watches ---- */

START_TEST(written_pages)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 8 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
    ck_assert_msg(!signals_were_open, "a thread can be suspended while it holds the lock");
    expect_written(base, "........");
    base[PAGE] = base[8 * PAGE - 1] = 1;
    memset(base + 3 * PAGE - 1, 1, 2);
    expect_written(base, ".###...#");
    expect_written(base, "........");
    base[2 * PAGE] = base[5 * PAGE] = 1;
    ck_assert_uint_eq(reset(base + 2 * PAGE + 9, 1), 0);
    expect_written(base, ".....#..");
    ck_assert_uint_eq(last_error(), SENTINEL);
    /* Commit at NULL reserves as well. */
    base = vm_alloc(NULL, 2 * PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    base[PAGE] = 1;
    expect_written(base, ".#");
    expect_success(vm_free(base, 0, MEM_RELEASE));
    ck_assert_uint_eq(reset(base, PAGE), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    close_world(&world);
}
END_TEST

/* Decommitting forgets what was written, but for what VirtualProtect had seen. */
START_TEST(decommit_and_protect)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 6 * PAGE, MEM_RESERVE | MEM_WRITE_WATCH, RW);
    expect_written(base, "......");
    ck_assert_ptr_eq(vm_alloc(base, 4 * PAGE, MEM_COMMIT, RW), base);
    base[0] = base[PAGE] = 1;
    expect_protect(base, PAGE, PAGE_NOACCESS, RW);
    expect_success(vm_free(base, 4 * PAGE, MEM_DECOMMIT));
    ck_assert_ptr_eq(vm_alloc(base, 6 * PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW), base);
    base[3 * PAGE] = 1;
    expect_written(base, "#..#..");
    base[0] = base[2 * PAGE] = 1;
    expect_protect(base, 6 * PAGE, PAGE_READONLY, RW);
    expect_protect(base, 6 * PAGE, RW, PAGE_READONLY);
    base[5 * PAGE] = 1;
    expect_written(base, "#.#..#");
    base[5 * PAGE] = 1;
    expect_success(vm_free(base, 0, MEM_DECOMMIT));
    expect_written(base, "......");
    close_world(&world);
}
END_TEST

/* MEM_RESET drops pages: where they were written is forgotten, the protection is not. */
START_TEST(mem_reset)
{
    char *base;

    open_world(&world, _i);
    base = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_WRITE_WATCH, RW);
    ck_assert_ptr_eq(vm_alloc(base, 2 * PAGE, MEM_COMMIT, RW), base);
    base[0] = base[PAGE] = 1;
    ck_assert_ptr_eq(vm_alloc(base + PAGE, 2 * PAGE, MEM_RESET, PAGE_NOACCESS), base + PAGE);
    expect_written(base, "#...");
    base[PAGE] = 1;
    expect_written(base, ".#..");
    expect_protect(base, 2 * PAGE, RW, RW);
    ck_assert(!can_read(base + 2 * PAGE));
    close_world(&world);
}
END_TEST

enum { NO_ADDRESSES = 1, NO_COUNT = 2, NO_GRANULARITY = 4, COUNT_0 = 8 };

/* The same checks in the same order, whether the memory is watched or not; then the range. */
static const struct {
    const char *what;
    unsigned int wrong;
    DWORD flags;
    SIZE_T size;
    uint32_t watched, unwatched;
} get_rows[] = {
    { "nothing", 0, 0, 4 * PAGE, SENTINEL, ERROR_INVALID_PARAMETER },
    { "no count", NO_COUNT, 0, PAGE, ERROR_NOACCESS, ERROR_NOACCESS },
    { "no granularity before size 0", NO_GRANULARITY, 0, 0, ERROR_NOACCESS, ERROR_NOACCESS },
    { "count 0 before no addresses", COUNT_0 | NO_ADDRESSES, 0, PAGE, ERROR_INVALID_PARAMETER,
      ERROR_INVALID_PARAMETER },
    { "size 0", 0, 0, 0, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
    { "a flag before no addresses", NO_ADDRESSES, 2, PAGE, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
    { "no addresses before the range", NO_ADDRESSES, 0, 5 * PAGE, ERROR_NOACCESS, ERROR_NOACCESS },
    { "beyond the end", 0, 0, 4 * PAGE + 1, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
    { "wraps around", 0, 0, ~(SIZE_T)0, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
};

START_TEST(get_arguments)
{
    char *areas[2];

    open_world(&world, _i);
    areas[0] = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
    areas[1] = vm_alloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT, RW);
    areas[0][0] = areas[1][0] = 1;
    for (size_t i = 0; i < 2 * sizeof(get_rows) / sizeof(get_rows[0]); i++) {
        unsigned int wrong = get_rows[i / 2].wrong;
        ULONG_PTR count = wrong & COUNT_0 ? 0 : 4;
        void *addresses[4] = { &count };
        ULONG granularity = SENTINEL;
        uint32_t want = i % 2 ? get_rows[i / 2].unwatched : get_rows[i / 2].watched, error;
        UINT ret = get_in(&world, get_rows[i / 2].flags, areas[i % 2], get_rows[i / 2].size,
                          wrong & NO_ADDRESSES ? NULL : addresses, wrong & NO_COUNT ? NULL : &count,
                          wrong & NO_GRANULARITY ? NULL : &granularity);

        error = last_error();
        ck_assert_msg(error == want, "%s (%zu): error %u", get_rows[i / 2].what, i % 2, error);
        ck_assert_uint_eq(ret, want == SENTINEL ? 0 : CALL_FAILED);
        if (ret) {
            ck_assert_uint_eq(count, wrong & COUNT_0 ? 0 : 4);
            ck_assert_ptr_eq(addresses[0], &count);
            ck_assert_uint_eq(granularity, SENTINEL);
        }
    }
    ck_assert_uint_eq(reset(areas[0], 0), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    ck_assert_uint_eq(reset(areas[0], 5 * PAGE), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    ck_assert_uint_eq(reset(areas[1], PAGE), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    close_world(&world);
}
END_TEST

static sigjmp_buf escape;

static void leave(int signo)
{
    (void)signo;
    siglongjmp(escape, 1);
}

/* Whether a call with this pointer faults; a host could raise an exception in the guest then. */
static bool faults(char *base, void *pointer, bool protecting)
{
    ULONG_PTR count = 4;
    ULONG granularity;

    if (sigsetjmp(escape, 1)) {
        return true;
    }
    if (protecting) {
        vm_protect(base, PAGE, PAGE_NOACCESS, pointer);
    } else {
        get_in(&world, WRITE_WATCH_FLAG_RESET, base, 4 * PAGE, pointer, &count, &granularity);
    }
    return false;
}

/* Pointers that cannot be written fault before anything is changed, and with no lock held. */
START_TEST(bad_pointers)
{
    struct sigaction action = { .sa_handler = leave };
    char *base, *bad = map_pages(3);

    /* Before a backend installs a handler of its own in front of it. */
    sigaction(SIGSEGV, &action, NULL);
    mprotect(bad + PAGE, PAGE, PROT_READ);
    open_world(&world, _i);
    base = vm_alloc(NULL, 4 * PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    base[PAGE] = 1;
    /* The second begins in the page before it, the third ends in the one behind. */
    ck_assert(faults(base, bad + PAGE, true));
    ck_assert(faults(base, bad + PAGE - 2, true));
    ck_assert(faults(base, bad + 2 * PAGE - 2, true));
    ck_assert(faults(base, bad + PAGE, false));
    expect_protect(base, PAGE, RW, RW);
    expect_written(base, ".#..");
    close_world(&world);
    munmap(bad, 3 * PAGE);
}
END_TEST

/* A host with an allocator of its own watches the memory itself. */
START_TEST(memory_of_the_host)
{
    char *base = map_pages(4);

    open_world(&world, _i);
    ck_assert_int_eq(ww_watch(world.ctx, base, 4 * PAGE, 0), 0);
    base[PAGE] = 1;
    expect_written(base, ".#..");
    base[0] = base[PAGE] = 1;
    ck_assert_uint_eq(reset(base, PAGE), 0);
    expect_written(base, ".#..");
    expect_error(vm_free(base, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    expect_error(vm_protect(base, PAGE, PAGE_NOACCESS, &(DWORD){ 0 }), ERROR_INVALID_ADDRESS);
    base[2 * PAGE] = 1;
    expect_written(base, "..#.");
    ck_assert_int_eq(ww_unwatch(world.ctx, base, 4 * PAGE), 0);
    close_world(&world);
    munmap(base, 4 * PAGE);
}
END_TEST

/* ---- objects, threads, processes ---- */

START_TEST(several_contexts)
{
    struct world other;
    char *mine, *others;
    ULONG_PTR count = 1;
    ULONG granularity;
    void *address;

    open_world(&world, _i);
    open_world(&other, (_i + 1) % (2 * nr_backends));
    mine = vm_alloc(NULL, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    others = alloc_in(&other, NULL, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    mine[0] = others[0] = 1;
    expect_error(vm_free(others, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
    ck_assert_uint_eq(get_in(&world, 0, others, PAGE, &address, &count, &granularity), CALL_FAILED);
    ck_assert_uint_eq(last_error(), ERROR_INVALID_PARAMETER);
    ck_assert_uint_eq(get_in(&other, 0, others, PAGE, &address, &count, &granularity), 0);
    ck_assert_ptr_eq(address, others);
    close_world(&other);
    ck_assert(!can_read(others));
    expect_written(mine, "#");
    /* Another object on the same context sees the watch, and does not own the memory. */
    ck_assert_int_eq(ww_win32_open(&other.win32, world.ctx), 0);
    bind(other.win32, "GetWriteWatch", WW_WIN32_SYSV, &other.host.get);
    bind(other.win32, "VirtualFree", WW_WIN32_SYSV, &other.host.free);
    mine[0] = 2;
    ck_assert_uint_eq(other.host.get(0, mine, PAGE, &address, &count, &granularity), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert(!other.host.free(mine, 0, MEM_RELEASE));
    ww_win32_close(other.win32);
    ck_assert_int_eq(mine[0], 2);
    close_world(&world);
    ck_assert(!can_read(mine));
}
END_TEST

static void *fail_in_thread(void *arg)
{
    (void)arg;
    ck_assert_uint_eq(*ww_win32_last_error(), 0);
    ck_assert(!vm_free(NULL, 0, MEM_RELEASE));
    ck_assert_uint_eq(*ww_win32_last_error(), ERROR_INVALID_PARAMETER);
    return NULL;
}

START_TEST(last_error_by_thread)
{
    pthread_t thread;

    open_world(&world, _i);
    ck_assert(!vm_protect(FREE_ADDRESS, PAGE, RW, NULL));
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_in_thread, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(*ww_win32_last_error(), ERROR_NOACCESS);
    close_world(&world);
}
END_TEST

#define NR_THREADS 4
#define NR_ROUNDS 200

/* Allocates, writes, protects, decommits and frees: nothing of another thread may show. */
static void *work(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    for (int round = 0; round < NR_ROUNDS; round++) {
        SIZE_T nr = 1 + random_below(&random, 20), page = random_below(&random, nr);
        char *base = vm_alloc(NULL, nr * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
        char map[21] = "";
        DWORD old;

        ck_assert_ptr_nonnull(base);
        memset(map, '.', nr);
        map[page] = '#';
        write_page(base, page, 1);
        ck_assert(vm_protect(base, nr * PAGE, PAGE_READONLY, &old));
        ck_assert(vm_protect(base, nr * PAGE, RW, &old));
        expect_written(base, map);
        write_page(base, page, 2);
        ck_assert(vm_free(base + page * PAGE, PAGE, MEM_DECOMMIT));
        map[page] = '.';
        expect_written(base, map);
        ck_assert(vm_free(base, 0, MEM_RELEASE));
    }
    return NULL;
}

START_TEST(threads)
{
    pthread_t ids[NR_THREADS];

    open_world(&world, _i);
    for (uintptr_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&ids[i], NULL, work, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < NR_THREADS; i++) {
        pthread_join(ids[i], NULL);
    }
    close_world(&world);
}
END_TEST

/* The exit code is the number of the first thing that is wrong. */
static int check_child(char *base)
{
    ww_win32_function function;
    ULONG_PTR count = 1;
    ULONG granularity;
    void *address;

    if (vm_alloc(NULL, PAGE, MEM_COMMIT, RW) || last_error() != ERROR_GEN_FAILURE) {
        return 1;
    }
    if (vm_free(base, 0, MEM_RELEASE) || last_error() != ERROR_GEN_FAILURE || !can_read(base)) {
        return 2;
    }
    if (!get_in(&world, 0, base, PAGE, &address, &count, &granularity) || last_error() != ERROR_GEN_FAILURE) {
        return 3;
    }
    if (!reset(base, PAGE) || last_error() != ERROR_GEN_FAILURE) {
        return 4;
    }
    if (ww_win32_bind(world.win32, "VirtualFree", WW_WIN32_SYSV, &function) != -ECHILD) {
        return 5;
    }
    close_world(&world);
    return can_read(base) ? 6 : 0;
}

START_TEST(child_of_fork)
{
    int status;
    char *base;
    pid_t pid;

    open_world(&world, _i);
    base = vm_alloc(NULL, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, RW);
    base[0] = 1;
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        _exit(check_child(base));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    expect_written(base, "#");
    close_world(&world);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        alloc_errors,
        reserve_and_commit,
        granularity_and_bases,
        commit_without_memory,
        free_errors,
        decommit,
        protect_errors,
        protect_by_page,
        cache_modifiers,
        written_pages,
        get_arguments,
        decommit_and_protect,
        mem_reset,
        memory_of_the_host,
        several_contexts,
        threads,
        last_error_by_thread,
        child_of_fork,
        alloc_without_memory,
        bad_pointers,
    };
    Suite *suite = suite_create("win32");
    TCase *tcase = tcase_create("calls");
    SRunner *runner;
    int nr_failed;

    setup();
    if (!nr_backends) {
        return EXIT_SKIPPED;
    }
    tcase_add_test(tcase, names_and_conventions);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        tcase_add_loop_test(tcase, tests[i], 0, 2 * nr_backends);
    }
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    nr_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return nr_failed != 0;
}
