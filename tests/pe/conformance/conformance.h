/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance.h - what the groups of conformance.exe share.
 *
 * Owns the declarations of the native calls, the page arithmetic and the expect_*() checks.
 * A set of pages is written as text, "1 5-7", counted from the base of the allocation, so
 * that a check reads like its message. Every expect_*() is exactly one check, so that it can
 * stand in a todo block.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <winsock2.h>
#include "wwtest.h"
#include <winternl.h>

#ifndef STATUS_SUCCESS
#define STATUS_SUCCESS ((NTSTATUS)0)
#endif
#ifndef STATUS_ACCESS_VIOLATION
#define STATUS_ACCESS_VIOLATION ((DWORD)0xc0000005)
#endif
#ifndef STATUS_INVALID_PARAMETER
#define STATUS_INVALID_PARAMETER ((DWORD)0xc000000d)
#endif

/* Windows 10, version 1803; older headers lack them. */
#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_PRESERVE_PLACEHOLDER 0x00000002
#define MEM_REPLACE_PLACEHOLDER 0x00004000
#define MEM_RESERVE_PLACEHOLDER 0x00040000
#endif

NTSTATUS NTAPI NtGetWriteWatch(HANDLE process, ULONG flags, PVOID base, SIZE_T size, PVOID *addresses,
                               ULONG_PTR *count, ULONG *granularity);
NTSTATUS NTAPI NtResetWriteWatch(HANDLE process, PVOID base, SIZE_T size);
NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE process, PVOID *base, ULONG_PTR zero_bits, SIZE_T *size,
                                       ULONG type, ULONG protect);
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE process, PVOID *base, SIZE_T *size, ULONG type);

#define PAGE_BYTES 0x1000
#define PAGES(nr) ((SIZE_T)(nr)*PAGE_BYTES)
#define MAX_RESULTS 8192
#define SENTINEL 0x5ca1ab1e
#define KEEP 0
#define RESET WRITE_WATCH_FLAG_RESET

struct answer {
    NTSTATUS status; /* of the native call; of kernel32's, 0 or the status of its error */
    UINT ret;        /* kernel32 only */
    DWORD error;     /* kernel32 only */
    ULONG_PTR count;
    ULONG granularity;
};

/* The entries that the last query stored; all others hold SENTINEL. */
extern PVOID results[MAX_RESULTS];

void query_native(struct answer *answer, ULONG flags, void *base, SIZE_T size, ULONG_PTR capacity);
void query_kernel32(struct answer *answer, ULONG flags, void *base, SIZE_T size, ULONG_PTR capacity);

/* Whether this is a 32-bit program on a 64-bit system, whose WoW64 layer copies arguments and results. */
bool is_wow64(void);
char *watch_pages(unsigned int nr_pages, DWORD type, DWORD protect);

/* Runs each test on newly watched memory. */
void run_each(void (*const tests[])(char *), size_t nr, unsigned int nr_pages);
void free_pages(void *base);
DWORD protect_pages(char *base, unsigned int first, unsigned int nr_pages, DWORD protect);
void decommit_pages(char *base, unsigned int first, unsigned int nr_pages);
void commit_pages(char *base, unsigned int first, unsigned int nr_pages);
void write_page(char *base, unsigned int page);
void write_range(char *base, unsigned int first, unsigned int nr_pages);
char read_page(const char *base, unsigned int page);
void clean(char *base, unsigned int nr_pages);

/* An answer as text: a set of pages, "failed 0xc000000d", or what is wrong with it. */
void describe_watch(char *text, size_t len, char *base, unsigned int nr_pages, ULONG flags);
bool is_between(const char *text, unsigned int nr_pages, const char *must, const char *may);

void check_answer(const char *file, int line, char *base, SIZE_T offset, SIZE_T size, ULONG_PTR capacity,
                  ULONG flags, const char *want);
void check_between(const char *file, int line, char *base, unsigned int nr_pages, ULONG flags,
                   const char *must, const char *may);
void check_set(const char *file, int line, char *base, unsigned int first, unsigned int nr_pages,
               ULONG_PTR nr_max, ULONG flags, bool *set);
void check_stride(const char *file, int line, char *base, unsigned int nr_pages, unsigned int stride,
                  ULONG flags);

/* Expects the pages of a byte range; of a page range; of a page range with an array of nr_max entries. */
#define expect_bytes(base, offset, size, flags, want)                                                        \
    check_answer(__FILE__, __LINE__, base, offset, size, MAX_RESULTS, flags, want)
#define expect_pages(base, first, nr, flags, want)                                                           \
    check_answer(__FILE__, __LINE__, base, PAGES(first), PAGES(nr), MAX_RESULTS, flags, want)
#define expect_some(base, first, nr, nr_max, flags, want)                                                    \
    check_answer(__FILE__, __LINE__, base, PAGES(first), PAGES(nr), nr_max, flags, want)
/* Expects at least the pages of must, and at most those of may, where more than one answer is allowed. */
#define expect_between(base, nr, flags, must, may)                                                           \
    check_between(__FILE__, __LINE__, base, nr, flags, must, may)
/* Expects the pages of an array of booleans in the range, up to nr_max of them. */
#define expect_set(base, first, nr, nr_max, flags, set)                                                      \
    check_set(__FILE__, __LINE__, base, first, nr, nr_max, flags, set)
/* Expects exactly the pages 0, stride, 2 * stride and so on. */
#define expect_stride(base, nr, stride, flags) check_stride(__FILE__, __LINE__, base, nr, stride, flags)

/* conformance_args.c */
void test_get_arguments(void);
void test_reset_arguments(void);
void test_rounding(void);
void test_adjacent(void);
/* conformance_marks.c */
void test_marks(void);
void test_ranges(void);
void test_count(void);
void test_many(void);
/* conformance_state.c */
void test_allocate(void);
void test_allocate_ex(void);
void test_reserve(void);
void test_protect(void);
void test_decommit(void);
void test_release(void);
/* conformance_io.c */
void test_file_io(void);
void test_pipe_io(void);
void test_socket_io(void);
void test_process_memory(void);
/* conformance_run.c */
void test_faults(void);
void test_threads(void);
void test_processes(void);
int run_child(int argc, char **argv);
/* conformance_levels.c */
void test_levels(void);
/* conformance_discard.c */
void test_discard(void);
void test_lock(void);
/* conformance_arrays.c */
void test_limits(void);
void test_arrays(void);
void test_bad_pointers(void);
/* conformance_parts.c */
char *watch_placeholder(SIZE_T size);
char *map_over_placeholder(char *addr, SIZE_T size);
void test_placeholders(void);
void test_partial_release(void);
/* conformance_async.c */
void test_async_io(void);
void test_datagrams(void);
/* conformance_peer.c */
void test_their_placeholders(void);
void test_peers(void);
int run_peer(int argc, char **argv);
/* conformance_handles.c */
void test_handles(void);
/* conformance_stop.c */
void test_suspend(void);
void test_stack(void);

#endif /* CONFORMANCE_H */
