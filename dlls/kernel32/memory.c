/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Windows' memory without Windows or Wine: the fallback of the NT calls of dlls/ntdll. Owns the table of
 * allocations, with a protection for each page, and the mappings behind it. Of write watches it only knows
 * that they may own the protection of a page.
 *
 * All calls that change memory are made with ww_win32.lock held. Decommitting and MEM_RESET are called with
 * the engine's region held as well (hold.h), so they make no call on the context. The order of the checks and
 * the codes are those of winetest's kernel32 and ntdll virtual.c, which were run on Windows.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel32.h"
#include "process/heap.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17 */
#endif

/* Reservations begin at multiples of this, and nothing lies below the first. */
#define GRANULARITY ((uintptr_t)0x10000)

/* The end of what Windows gives a 64-bit program; on 32 bits the kernel knows. */
#define USER_LIMIT (sizeof(void *) == 8 ? (uintptr_t)0x7fffffff0000 : ~(GRANULARITY - 1))

#define CACHE_MODIFIERS (PAGE_NOCACHE | PAGE_WRITECOMBINE)

struct win32_allocation {
    RB_ENTRY(win32_allocation) entry;
    uintptr_t start, end;
    ULONG cache;      /* modifiers: Windows keeps them for an allocation, not for a page */
    uint8_t *protect; /* by page: PAGE_ without modifiers, 0 where it is only reserved */
};

/* ---- the table ---- */

static int compare_allocations(struct win32_allocation *a, struct win32_allocation *b)
{
    return a->start < b->start ? -1 : a->start > b->start;
}

#define MAYBE_UNUSED static __attribute__((unused))
RB_PROTOTYPE_INTERNAL(win32_allocation_tree, win32_allocation, entry, compare_allocations, MAYBE_UNUSED)
RB_GENERATE_INTERNAL(win32_allocation_tree, win32_allocation, entry, compare_allocations, MAYBE_UNUSED)

static struct win32_allocation *find(struct ww_win32 *w, uintptr_t addr)
{
    struct win32_allocation *alloc = RB_ROOT(&w->allocations);

    while (alloc && (addr < alloc->start || addr >= alloc->end)) {
        alloc = addr < alloc->start ? RB_LEFT(alloc, entry) : RB_RIGHT(alloc, entry);
    }
    return alloc;
}

/* The allocation that the whole range is in. */
static struct win32_allocation *find_range(struct ww_win32 *w, uintptr_t start, uintptr_t end)
{
    struct win32_allocation *alloc = find(w, start);

    return alloc && end <= alloc->end ? alloc : NULL;
}

static uint8_t *page_of(struct win32_allocation *alloc, uintptr_t addr)
{
    return alloc->protect + (addr - alloc->start) / NT_PAGE_SIZE;
}

static struct win32_allocation *add(struct ww_win32 *w, uintptr_t start, uintptr_t end)
{
    struct win32_allocation *alloc = ww_heap_alloc(sizeof(*alloc));

    if (!alloc) {
        return NULL;
    }
    alloc->start = start;
    alloc->end = end;
    /* Only the written part of a large array takes memory. */
    alloc->protect = ww_heap_alloc((end - start) / NT_PAGE_SIZE);
    if (!alloc->protect) {
        ww_heap_free(alloc);
        return NULL;
    }
    RB_INSERT(win32_allocation_tree, &w->allocations, alloc);
    return alloc;
}

static void drop(struct ww_win32 *w, struct win32_allocation *alloc)
{
    RB_REMOVE(win32_allocation_tree, &w->allocations, alloc);
    ww_heap_free(alloc->protect);
    ww_heap_free(alloc);
}

/* ---- arguments ---- */

static const struct {
    ULONG protect;
    int prot;
} protections[] = {
    { PAGE_NOACCESS, PROT_NONE },
    { PAGE_READONLY, PROT_READ },
    { PAGE_READWRITE, PROT_READ | PROT_WRITE },
    { PAGE_EXECUTE, PROT_READ | PROT_EXEC },
    { PAGE_EXECUTE_READ, PROT_READ | PROT_EXEC },
    { PAGE_EXECUTE_READWRITE, PROT_READ | PROT_WRITE | PROT_EXEC },
};

/* Maps Windows' protection to the kernel's; -1: there is none. Copy-on-write is for files only. */
static int unix_prot(ULONG protect)
{
    for (size_t i = 0; i < sizeof(protections) / sizeof(protections[0]); i++) {
        if (protections[i].protect == protect) {
            return protections[i].prot;
        }
    }
    return -1;
}

static ULONG without_modifiers(ULONG protect)
{
    return protect & ~(ULONG)(CACHE_MODIFIERS | PAGE_GUARD);
}

static NTSTATUS check_protection(ULONG protect)
{
    ULONG access = without_modifiers(protect), cache = protect & CACHE_MODIFIERS;

    if (unix_prot(access) < 0 || cache == CACHE_MODIFIERS ||
        ((protect & PAGE_GUARD) && (cache || access == PAGE_NOACCESS)) ||
        (cache && access == PAGE_NOACCESS)) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    /* The first access would have to raise an exception in the guest, once. */
    return protect & PAGE_GUARD ? STATUS_NOT_SUPPORTED : STATUS_SUCCESS;
}

static NTSTATUS check_type(ULONG type)
{
    const ULONG kinds = MEM_COMMIT | MEM_RESERVE | MEM_RESET;

    if ((type & ~(kinds | MEM_TOP_DOWN | MEM_WRITE_WATCH)) || !(type & kinds) ||
        ((type & MEM_RESET) && type != MEM_RESET)) {
        return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

/* Rounds a range out: its start to @alignment, its end to pages. False: it leaves user space. */
static bool round_range(PVOID addr, SIZE_T size, uintptr_t alignment, struct ww_range *ret)
{
    if ((uintptr_t)addr > USER_LIMIT || size > USER_LIMIT - (uintptr_t)addr) {
        return false;
    }
    ret->start = (uintptr_t)addr & ~(alignment - 1);
    ret->end = nt_page_up((uintptr_t)addr + size);
    return true;
}

static void set_range(const struct ww_range *range, PVOID *ret, SIZE_T *size_ptr)
{
    *ret = (PVOID)range->start;
    *size_ptr = range->end - range->start;
}

/* ---- mappings ---- */

#define MAP_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS)

/* Maps memory that begins at a multiple of the granularity, at an address of the kernel's choice. */
static int map_anywhere(size_t size, int prot, struct ww_range *ret)
{
    size_t spare = GRANULARITY - NT_PAGE_SIZE;
    char *area = mmap(NULL, size + spare, prot, MAP_FLAGS, -1, 0);
    size_t before;

    if (area == MAP_FAILED) {
        return -errno;
    }
    before = -(uintptr_t)area & (GRANULARITY - 1);
    if (before) {
        munmap(area, before);
    }
    if (before < spare) {
        munmap(area + before + size, spare - before);
    }
    ret->start = (uintptr_t)area + before;
    ret->end = ret->start + size;
    return 0;
}

static int map_at(const struct ww_range *range, int prot)
{
    size_t size = range->end - range->start;
    void *area = mmap((void *)range->start, size, prot, MAP_FLAGS | MAP_FIXED_NOREPLACE, -1, 0);

    if (area == MAP_FAILED) {
        return -errno;
    }
    /* Kernels before 4.17 do not know the flag and take the address for a hint. */
    if ((uintptr_t)area != range->start) {
        munmap(area, size);
        return -EEXIST;
    }
    return 0;
}

/* Watched memory goes through the engine, which may own its protection; no region is held. */
static int change_prot(struct ww_win32 *w, uintptr_t start, uintptr_t end, int prot)
{
    int err = ww_protect(w->nt.ctx, (void *)start, end - start, prot);

    if (err == -ENOENT) {
        err = mprotect((void *)start, end - start, prot) ? -errno : 0;
    }
    return err;
}

/* After a change that failed in the middle: sets the protections that the table has. */
static void restore_prot(struct ww_win32 *w, struct win32_allocation *alloc, uintptr_t start, uintptr_t end)
{
    while (start < end) {
        uintptr_t next = start;
        uint8_t protect = *page_of(alloc, start);

        while (next < end && *page_of(alloc, next) == protect) {
            next += NT_PAGE_SIZE;
        }
        change_prot(w, start, next, protect ? unix_prot(protect) : PROT_NONE);
        start = next;
    }
}

static NTSTATUS set_protection(struct ww_win32 *w, struct win32_allocation *alloc, uintptr_t start,
                               uintptr_t end, ULONG protect)
{
    ULONG access = without_modifiers(protect);
    int err = change_prot(w, start, end, unix_prot(access));

    if (err) {
        restore_prot(w, alloc, start, end);
        return nt_status(err);
    }
    memset(page_of(alloc, start), access, (end - start) / NT_PAGE_SIZE);
    return STATUS_SUCCESS;
}

/* ---- allocate ---- */

/* Maps a new allocation: at range->start, or with 0 there at any address, which is then set. */
static NTSTATUS reserve(struct ww_win32 *w, ULONG type, ULONG protect, struct ww_range *range)
{
    ULONG access = without_modifiers(protect);
    int prot = type & MEM_COMMIT ? unix_prot(access) : PROT_NONE, err;
    struct win32_allocation *alloc;

    /* The flag comes here only if the range could not be watched, and nothing else can watch it. */
    if (type & MEM_WRITE_WATCH) {
        return STATUS_NO_MEMORY;
    }
    err = range->start ? map_at(range, prot) : map_anywhere(range->end, prot, range);
    if (err) {
        return err == -EEXIST ? STATUS_CONFLICTING_ADDRESSES : nt_status(err);
    }
    alloc = add(w, range->start, range->end);
    if (!alloc) {
        munmap((void *)range->start, range->end - range->start);
        return STATUS_NO_MEMORY;
    }
    alloc->cache = protect & CACHE_MODIFIERS;
    if (type & MEM_COMMIT) {
        memset(alloc->protect, access, (range->end - range->start) / NT_PAGE_SIZE);
    }
    return STATUS_SUCCESS;
}

/* MEM_COMMIT and MEM_RESET work on memory that is reserved already. */
static NTSTATUS change_existing(struct ww_win32 *w, ULONG type, ULONG protect, const struct ww_range *range)
{
    struct win32_allocation *alloc = find_range(w, range->start, range->end);

    if (!alloc) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    if (type & MEM_COMMIT) {
        return set_protection(w, alloc, range->start, range->end, protect);
    }
    return nt_status(madvise((void *)range->start, range->end - range->start, MADV_DONTNEED) ? -errno : 0);
}

static NTSTATUS allocate(struct ww_win32 *w, PVOID *ret, SIZE_T *size_ptr, ULONG type, ULONG protect)
{
    bool is_new = (type & MEM_RESERVE) || !*ret;
    NTSTATUS status = check_type(type);
    struct ww_range range;

    if (!status) {
        status = check_protection(protect);
    }
    if (status) {
        return status;
    }
    if (!*size_ptr || !round_range(*ret, *size_ptr, is_new ? GRANULARITY : NT_PAGE_SIZE, &range) ||
        ((*ret || (type & MEM_RESET)) && range.start < GRANULARITY)) {
        return STATUS_INVALID_PARAMETER;
    }
    status = is_new ? reserve(w, type, protect, &range) : change_existing(w, type, protect, &range);
    if (!status) {
        set_range(&range, ret, size_ptr);
    }
    return status;
}

/* ---- free ---- */

/* Replaces the pages by fresh memory, which gives their memory back. */
static NTSTATUS decommit(struct win32_allocation *alloc, const struct ww_range *range)
{
    uint8_t *page = page_of(alloc, range->start);

    if (mmap((void *)range->start, range->end - range->start, PROT_NONE, MAP_FLAGS | MAP_FIXED, -1, 0) ==
        MAP_FAILED) {
        return nt_status(-errno);
    }
    /* Not memset(): most of a large array was never written and takes no memory. */
    for (uint8_t *end = page + (range->end - range->start) / NT_PAGE_SIZE; page < end; page++) {
        if (*page) {
            *page = 0;
        }
    }
    return STATUS_SUCCESS;
}

/*
 * The watch has ended already, unless the backend owns protections. Such a backend must be told while the
 * mapping is there (see ww_detach()). If munmap() fails then (only at vm.max_map_count), the memory stays, no
 * longer watched. If the watch cannot end for the same reason, both stay.
 */
static NTSTATUS release(struct ww_win32 *w, struct win32_allocation *alloc)
{
    size_t size = alloc->end - alloc->start;
    int err = ww_unwatch(w->nt.ctx, (void *)alloc->start, size);

    if (err == -ENOMEM) {
        return nt_status(err);
    }
    if (munmap((void *)alloc->start, size)) {
        return nt_status(-errno);
    }
    drop(w, alloc);
    return STATUS_SUCCESS;
}

static NTSTATUS free_memory(struct ww_win32 *w, PVOID *addr_ptr, SIZE_T *size_ptr, ULONG type)
{
    struct win32_allocation *alloc;
    struct ww_range range;
    NTSTATUS status;

    if ((type != MEM_DECOMMIT && type != MEM_RELEASE) ||
        !round_range(*addr_ptr, *size_ptr, NT_PAGE_SIZE, &range) || range.start < GRANULARITY) {
        return STATUS_INVALID_PARAMETER;
    }
    alloc = find(w, range.start);
    if (!alloc) {
        return STATUS_MEMORY_NOT_ALLOCATED;
    }
    if (!*size_ptr) {
        if (range.start != alloc->start) {
            return STATUS_FREE_VM_NOT_AT_BASE;
        }
        range.end = alloc->end;
    }
    /* kernel32.c makes sure that a release has size 0 and is of the whole. */
    if (range.end > alloc->end) {
        return STATUS_UNABLE_TO_FREE_VM;
    }
    status = type == MEM_RELEASE ? release(w, alloc) : decommit(alloc, &range);
    if (!status) {
        set_range(&range, addr_ptr, size_ptr);
    }
    return status;
}

/* ---- protect ---- */

NTSTATUS win32_memory_protect(struct ww_win32 *w, PVOID *addr_ptr, SIZE_T *size_ptr, ULONG protect,
                              ULONG *old_protect)
{
    NTSTATUS status = check_protection(protect);
    struct win32_allocation *alloc;
    struct ww_range range;

    if (status) {
        return status;
    }
    if (!*size_ptr || !round_range(*addr_ptr, *size_ptr, NT_PAGE_SIZE, &range)) {
        return STATUS_INVALID_PARAMETER;
    }
    alloc = find_range(w, range.start, range.end);
    if (!alloc) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    if (memchr(page_of(alloc, range.start), 0, (range.end - range.start) / NT_PAGE_SIZE)) {
        return STATUS_NOT_COMMITTED;
    }
    *old_protect = *page_of(alloc, range.start) | alloc->cache;
    set_range(&range, addr_ptr, size_ptr);
    return set_protection(w, alloc, range.start, range.end, protect);
}

/* ---- what the NT calls see ---- */

/* The range begins outside of watched memory, which Windows checks last. */
static NTSTATUS get_unwatched(ULONG flags, SIZE_T size, PVOID *addresses, const ULONG_PTR *count,
                              const ULONG *granularity)
{
    NTSTATUS status = nt_check_get_arguments(flags, size, addresses, count, granularity);

    return status ? status : STATUS_INVALID_PARAMETER;
}

#define ARG(n, type) (*(type *)args[n])

static NTSTATUS original(struct nt *nt, enum nt_call call, void **args)
{
    struct ww_win32 *w = (struct ww_win32 *)((char *)nt - offsetof(struct ww_win32, nt));

    switch (call) {
    case NT_ALLOCATE:
        return allocate(w, ARG(1, PVOID *), ARG(3, SIZE_T *), ARG(4, ULONG), ARG(5, ULONG));
    case NT_FREE:
        return free_memory(w, ARG(1, PVOID *), ARG(2, SIZE_T *), ARG(3, ULONG));
    case NT_GET_WRITE_WATCH:
        return get_unwatched(ARG(1, ULONG), ARG(3, SIZE_T), ARG(4, PVOID *), ARG(5, ULONG_PTR *),
                             ARG(6, ULONG *));
    case NT_RESET_WRITE_WATCH:
        return STATUS_INVALID_PARAMETER;
    default:
        return STATUS_NOT_SUPPORTED;
    }
}

/* Guests have only the pseudo handle. */
static NTSTATUS check_handle(struct nt *nt, HANDLE process)
{
    (void)nt;
    (void)process;
    return STATUS_INVALID_HANDLE;
}

/* Every change of the guest's memory passes these calls, so there is no queue to drain. */
void win32_memory_init(struct ww_win32 *w)
{
    w->nt.original = original;
    w->nt.check_handle = check_handle;
    RB_INIT(&w->allocations);
}

void win32_memory_destroy(struct ww_win32 *w)
{
    struct win32_allocation *alloc;

    while ((alloc = RB_ROOT(&w->allocations))) {
        if (release(w, alloc)) {
            drop(w, alloc);
        }
    }
}
