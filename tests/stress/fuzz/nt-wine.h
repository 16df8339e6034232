/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small Wine for the harness of the NT calls: the original functions that they call.
 * It has places for a few allocations, follows the program's pointers as real Wine
 * does, with faults, and records the state of each page. It has no write watches.
 */
#ifndef WW_TESTS_FUZZ_NT_WINE_H
#define WW_TESTS_FUZZ_NT_WINE_H

#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "nt.h"

#define SELF ((HANDLE) ~(ULONG_PTR)0)
#define STATUS_FROM_ORIGINAL ((NTSTATUS)0xc0fa4e00)
#define PAGE NT_PAGE_SIZE

/* Places for allocations, each of the maximum length, with a page between them. */
#define NR_PLACES 3
#define PLACE_PAGES 8
#define PLACE_STEP (PLACE_PAGES + 1)
#define NR_PAGES (NR_PLACES * PLACE_STEP)

static char *arena; /* PROT_NONE where nothing is allocated */
static struct {
    bool allocated[NR_PLACES];
    size_t size[NR_PLACES]; /* in pages */
    int prot[NR_PAGES];
    bool written[NR_PAGES]; /* must be reported */
} model;

/* Other memory of the program, which another thread can take away. */
#define SCRATCH_SIZE (2 * PAGE)
static char *scratch;

/* How the small Wine behaves in one call. */
static bool vanishing;   /* another thread takes the scratch memory away during the call */
static bool in_original; /* what the last set_own() said */
static bool refuses;     /* the original fails */

static size_t page_of(const void *addr)
{
    return ((uintptr_t)addr - (uintptr_t)arena) / PAGE;
}

/* The place whose allocation holds the whole range, or -1. */
static int find_place(uintptr_t start, uintptr_t end)
{
    for (int i = 0; i < NR_PLACES; i++) {
        uintptr_t from = (uintptr_t)arena + i * PLACE_STEP * PAGE, to = from + model.size[i] * PAGE;

        if (model.allocated[i] && start >= from && start < to && end <= to && end >= start) {
            return i;
        }
    }
    return -1;
}

static void set_pages(uintptr_t start, uintptr_t end, int prot)
{
    must(!mprotect((void *)start, end - start, prot), "mprotect");
    for (size_t i = page_of((void *)start); i < page_of((void *)end); i++) {
        model.prot[i] = prot;
    }
}

/* The program's writes to these pages need not be reported any more. */
static void forget_pages(uintptr_t start, uintptr_t end)
{
    memset(model.written + page_of((void *)start), 0, page_of((void *)end) - page_of((void *)start));
}

static void replace_pages(uintptr_t start, uintptr_t end)
{
    forget_pages(start, end);
    must(mmap((void *)start, end - start, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
             (void *)start,
         "mmap");
    set_pages(start, end, PROT_NONE);
}

static NTSTATUS reserve(PVOID *ret, SIZE_T *size_ptr, ULONG type)
{
    SIZE_T pages = nt_page_up(*size_ptr) / PAGE;

    for (int i = 0; i < NR_PLACES && !*ret && pages && pages <= PLACE_PAGES; i++) {
        if (!model.allocated[i]) {
            uintptr_t start = (uintptr_t)arena + i * PLACE_STEP * PAGE;

            model.allocated[i] = true;
            model.size[i] = pages;
            replace_pages(start, start + pages * PAGE);
            set_pages(start, start + pages * PAGE, type & MEM_COMMIT ? PROT_READ | PROT_WRITE : PROT_NONE);
            *ret = (PVOID)start;
            *size_ptr = pages * PAGE;
            return STATUS_SUCCESS;
        }
    }
    return STATUS_FROM_ORIGINAL;
}

static NTSTATUS original_allocate(PVOID *ret, SIZE_T *size_ptr, ULONG type)
{
    uintptr_t start = nt_page_down((uintptr_t)*ret), end = nt_page_up((uintptr_t)*ret + *size_ptr);

    if (refuses) {
        return STATUS_FROM_ORIGINAL;
    }
    if ((type & MEM_RESERVE) || !*ret) {
        return reserve(ret, size_ptr, type);
    }
    if (start == end || find_place(start, end) < 0) {
        return STATUS_FROM_ORIGINAL;
    }
    if (type & MEM_RESET) {
        forget_pages(start, end);
        must(!madvise((void *)start, end - start, MADV_DONTNEED), "madvise");
    } else if (type & MEM_COMMIT) {
        set_pages(start, end, PROT_READ | PROT_WRITE);
    } else {
        return STATUS_FROM_ORIGINAL;
    }
    *ret = (PVOID)start;
    *size_ptr = end - start;
    return STATUS_SUCCESS;
}

static NTSTATUS original_free(PVOID *addr_ptr, SIZE_T *size_ptr, ULONG type)
{
    uintptr_t start = nt_page_down((uintptr_t)*addr_ptr), end = nt_page_up((uintptr_t)*addr_ptr + *size_ptr);
    int place = find_place(start, start);
    uintptr_t base = (uintptr_t)arena + place * PLACE_STEP * PAGE;

    if (place >= 0 && !*size_ptr && start == base) {
        end = start + model.size[place] * PAGE;
    }
    if (refuses || place < 0 || start >= end || find_place(start, end) != place) {
        return STATUS_FROM_ORIGINAL;
    }
    if (type == MEM_RELEASE) {
        /* Only a part at the end, or all, can be released. */
        if (end != base + model.size[place] * PAGE) {
            return STATUS_FROM_ORIGINAL;
        }
        model.size[place] = (start - base) / PAGE;
        model.allocated[place] = model.size[place];
    } else if (type != MEM_DECOMMIT) {
        return STATUS_FROM_ORIGINAL;
    }
    replace_pages(start, end);
    *addr_ptr = (PVOID)start;
    *size_ptr = end - start;
    return STATUS_SUCCESS;
}

static NTSTATUS original_protect(PVOID *addr_ptr, SIZE_T *size_ptr, ULONG protect, ULONG *old_prot)
{
    uintptr_t start = nt_page_down((uintptr_t)*addr_ptr), end = nt_page_up((uintptr_t)*addr_ptr + *size_ptr);

    if (refuses || start == end || find_place(start, end) < 0) {
        return STATUS_FROM_ORIGINAL;
    }
    set_pages(start, end,
              protect & PAGE_READWRITE  ? PROT_READ | PROT_WRITE
              : protect & PAGE_READONLY ? PROT_READ
                                        : PROT_NONE);
    *addr_ptr = (PVOID)start;
    *size_ptr = end - start;
    *old_prot = PAGE_READWRITE;
    return STATUS_SUCCESS;
}

#define ARG(n, type) (*(type *)args[n])

static NTSTATUS original(struct nt *self, enum nt_call call, void **args)
{
    (void)self;
    if (ARG(0, HANDLE) != SELF && ARG(0, HANDLE) != (HANDLE)42) {
        return STATUS_FROM_ORIGINAL;
    }
    if (vanishing) {
        must(!mprotect(scratch, SCRATCH_SIZE, PROT_NONE), "mprotect");
    }
    switch (call) {
    case NT_ALLOCATE:
        return original_allocate(ARG(1, PVOID *), ARG(3, SIZE_T *), ARG(4, ULONG));
    case NT_ALLOCATE_EX:
        for (ULONG i = 0; i < ARG(6, ULONG) && i < 4; i++) {
            if (((volatile MEM_EXTENDED_PARAMETER *)ARG(5, MEM_EXTENDED_PARAMETER *))[i].Type) {
                return STATUS_FROM_ORIGINAL;
            }
        }
        return original_allocate(ARG(1, PVOID *), ARG(2, SIZE_T *), ARG(3, ULONG));
    case NT_FREE:
        return original_free(ARG(1, PVOID *), ARG(2, SIZE_T *), ARG(3, ULONG));
    case NT_PROTECT:
        return original_protect(ARG(1, PVOID *), ARG(2, SIZE_T *), ARG(3, ULONG), ARG(4, ULONG *));
    default:
        return STATUS_FROM_ORIGINAL;
    }
}

static NTSTATUS check_handle(struct nt *self, HANDLE process)
{
    (void)self;
    return process == (HANDLE)42 ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

static void set_own(bool own)
{
    in_original = own;
}

#endif
