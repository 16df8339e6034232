/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The win32 suite's world: the five functions bound in two conventions, the calls
 * that go through them, and the library's own calls that can be made to fail. It
 * knows no test.
 */
#include "win32.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct world world;

/* ---- the linker's --wrap sends the library's calls here ---- */

int watch_error, unwatch_error, calloc_countdown;
bool mprotect_fails, signals_were_open;
char *write_before_protect;
int __real_mprotect(void *addr, size_t len, int prot);
int __wrap_mprotect(void *addr, size_t len, int prot);
int __real_ww_protect(struct ww_context *ctx, void *addr, size_t len, int prot);
int __wrap_ww_protect(struct ww_context *ctx, void *addr, size_t len, int prot);
int __real_ww_watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags);
int __wrap_ww_watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags);
int __real_ww_unwatch(struct ww_context *ctx, void *addr, size_t len);
int __wrap_ww_unwatch(struct ww_context *ctx, void *addr, size_t len);
void *__real_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__real_ww_heap_alloc(size_t size);
void *__wrap_ww_heap_alloc(size_t size);

int __wrap_ww_watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags)
{
    sigset_t blocked;

    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    signals_were_open |= !sigismember(&blocked, SIGUSR1);
    return watch_error ? watch_error : __real_ww_watch(ctx, addr, len, flags);
}

int __wrap_ww_unwatch(struct ww_context *ctx, void *addr, size_t len)
{
    return unwatch_error ? unwatch_error : __real_ww_unwatch(ctx, addr, len);
}

static void *write_byte(void *byte)
{
    *(volatile char *)byte = 1;
    return byte;
}

int __wrap_ww_protect(struct ww_context *ctx, void *addr, size_t len, int prot)
{
    pthread_t thread;

    if (write_before_protect) {
        ck_assert_int_eq(pthread_create(&thread, NULL, write_byte, write_before_protect), 0);
        pthread_join(thread, NULL);
        write_before_protect = NULL;
    }
    return __real_ww_protect(ctx, addr, len, prot);
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

void *__wrap_ww_heap_alloc(size_t size)
{
    return calloc_countdown && !--calloc_countdown ? NULL : __real_ww_heap_alloc(size);
}

/* ---- the world ---- */

void bind_function(struct ww_win32 *win32, const char *name, enum ww_win32_convention convention, void *ret)
{
    ck_assert_int_eq(ww_win32_bind(win32, name, convention, ret), 0);
}

void open_world(struct world *w, int index)
{
    w->as_guest = index % 2;
    ck_assert_int_eq(ww_open(&w->ctx, backends[index / 2].name), 0);
    ck_assert_int_eq(ww_win32_open(&w->win32, w->ctx), 0);
    bind_function(w->win32, "VirtualAlloc", GUEST_CONVENTION, &w->guest.alloc);
    bind_function(w->win32, "VirtualFree", GUEST_CONVENTION, &w->guest.free);
    bind_function(w->win32, "VirtualProtect", GUEST_CONVENTION, &w->guest.protect);
    bind_function(w->win32, "GetWriteWatch", GUEST_CONVENTION, &w->guest.get);
    bind_function(w->win32, "ResetWriteWatch", GUEST_CONVENTION, &w->guest.reset);
    bind_function(w->win32, "VirtualAlloc", WW_WIN32_SYSV, &w->host.alloc);
    bind_function(w->win32, "VirtualFree", WW_WIN32_SYSV, &w->host.free);
    bind_function(w->win32, "VirtualProtect", WW_WIN32_SYSV, &w->host.protect);
    bind_function(w->win32, "GetWriteWatch", WW_WIN32_SYSV, &w->host.get);
    bind_function(w->win32, "ResetWriteWatch", WW_WIN32_SYSV, &w->host.reset);
    *ww_win32_last_error() = SENTINEL;
}

void close_world(struct world *w)
{
    ww_win32_close(w->win32);
    ww_close(w->ctx);
}

/* ---- the calls ---- */

char *alloc_in(struct world *w, void *addr, SIZE_T size, DWORD type, DWORD protect)
{
    return w->as_guest ? w->guest.alloc(addr, size, type, protect) : w->host.alloc(addr, size, type, protect);
}

BOOL free_in(struct world *w, void *addr, SIZE_T size, DWORD type)
{
    return w->as_guest ? w->guest.free(addr, size, type) : w->host.free(addr, size, type);
}

UINT get_in(struct world *w, DWORD flags, void *base, SIZE_T size, void **addresses, ULONG_PTR *count,
            ULONG *granularity)
{
    return w->as_guest ? w->guest.get(flags, base, size, addresses, count, granularity)
                       : w->host.get(flags, base, size, addresses, count, granularity);
}

char *vm_alloc(void *addr, SIZE_T size, DWORD type, DWORD protect)
{
    return alloc_in(&world, addr, size, type, protect);
}

BOOL vm_free(void *addr, SIZE_T size, DWORD type)
{
    return free_in(&world, addr, size, type);
}

BOOL vm_protect(void *addr, SIZE_T size, DWORD protect, DWORD *old)
{
    return world.as_guest ? world.guest.protect(addr, size, protect, old)
                          : world.host.protect(addr, size, protect, old);
}

UINT vm_reset(void *base, SIZE_T size)
{
    return world.as_guest ? world.guest.reset(base, size) : world.host.reset(base, size);
}

uint32_t last_error(void)
{
    uint32_t error = *ww_win32_last_error();

    *ww_win32_last_error() = SENTINEL;
    return error;
}

void expect_protect(void *addr, SIZE_T size, DWORD protect, DWORD old)
{
    DWORD found = SENTINEL;

    expect_success(vm_protect(addr, size, protect, &found));
    ck_assert_uint_eq(found, old);
}

void expect_written(char *base, const char *map)
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

bool can_read(const void *addr)
{
    int fds[2];
    ssize_t nr;

    ck_assert_int_eq(pipe(fds), 0);
    nr = write(fds[1], addr, 1);
    close(fds[0]);
    close(fds[1]);
    return nr == 1;
}
