/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the win32 suite share: Windows' memory calls as a host that is not Wine gets them. The
 * tests call them in the guest's calling convention and in the host's, over every exact backend that works
 * here. Expected answers and error codes are those of winetest (kernel32 virtual.c), which was run on
 * Windows.
 */
#ifndef WW_TESTS_UNIT_WIN32_H
#define WW_TESTS_UNIT_WIN32_H

#include "writewatch-win32.h" /* first: it must need no header of Windows */

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

/* The objects of a test. The loop index decides whether it calls the functions of guest or of host. */
struct world {
    struct ww_context *ctx;
    struct ww_win32 *win32;
    struct guest_functions guest;
    struct host_functions host;
    bool as_guest;
};

/* All backends that work here, and the objects of the test that runs. */
extern struct ww_probe backends[MAX_BACKENDS];
extern int nr_backends;
extern struct world world;

/* How wrapped calls of the library fail, and what the wrappers have seen. */
extern int watch_error;            /* not 0: every ww_watch() fails with it */
extern int unwatch_error;          /* the same for ww_unwatch() */
extern bool mprotect_fails;        /* the next mprotect() changes half of its range and fails */
extern int calloc_countdown;       /* 1: the next allocation of either kind fails, 2: the one after it */
extern char *write_before_protect; /* another thread writes there just before the next protection is set */
extern bool signals_were_open;     /* a ww_watch() was made with signals not blocked */

/* @index selects backend and convention; add_loop() runs a test for each. */
void open_world(struct world *w, int index);
void close_world(struct world *w);
void bind_function(struct ww_win32 *win32, const char *name, enum ww_win32_convention convention, void *ret);

/* The calls, in a given world or in the test's. */
char *alloc_in(struct world *w, void *addr, SIZE_T size, DWORD type, DWORD protect);
BOOL free_in(struct world *w, void *addr, SIZE_T size, DWORD type);
UINT get_in(struct world *w, DWORD flags, void *base, SIZE_T size, void **addresses, ULONG_PTR *count,
            ULONG *granularity);
char *vm_alloc(void *addr, SIZE_T size, DWORD type, DWORD protect);
BOOL vm_free(void *addr, SIZE_T size, DWORD type);
BOOL vm_protect(void *addr, SIZE_T size, DWORD protect, DWORD *old);
UINT vm_reset(void *base, SIZE_T size);

/* Returns the last error, and sets it to SENTINEL again. */
uint32_t last_error(void);

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

/* Protects, and compares the old protection with @old. */
void expect_protect(void *addr, SIZE_T size, DWORD protect, DWORD old);

/* Compares the written pages with a map ('#' written), and resets them. */
void expect_written(char *base, const char *map);

/* Whether the kernel can read there. The memory may be inaccessible. */
bool can_read(const void *addr);

/* Adds a test for every backend in both conventions. */
void add_loop(TCase *tcase, const TTest *test);

void add_object_cases(Suite *suite);
void add_memory_cases(Suite *suite);
void add_watch_cases(Suite *suite);

#endif
