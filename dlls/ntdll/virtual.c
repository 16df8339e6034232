/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Allocates, frees and protects: where watches begin, change and end. The memory itself stays Wine's. These
 * calls remove the MEM_WRITE_WATCH flag, call the original, and update the region table:
 *
 * Allocate: the original comes first, then the range is watched. If that fails, it is freed, and allocated
 * again with the flag, for Wine.
 *
 * Decommit: the region is held, so that no scan sees the mapping while it is replaced.
 *
 * Release: the range leaves the table first, since another thread may get the same addresses before the
 * original returns.
 *
 * Protect: the original comes first, then what is dirty goes into the latch.
 *
 * Under Wine a fault on a pointer of the program ends the call at once and skips our frames. So what pointers
 * lead to is copied before anything is held, the originals get the copies, and results are stored at the end.
 */
#include <errno.h>
#include <string.h>

#include "nt.h"

/* Calls the original where this file applies its effect on watched memory. The effect of others is queued
 * (remote.c), also of those that Wine carries out in a signal handler of this thread, so that none may run
 * meanwhile. The original must return, and does: it gets copies, and touches no memory of the program. */
static NTSTATUS own_original(struct nt *nt, enum nt_call call, void **args)
{
    NTSTATUS status;
    struct ww_signals saved;

    if (!nt->set_own) {
        return nt->original(nt, call, args);
    }
    ww_block_signals(&saved);
    nt->set_own(true);
    status = nt->original(nt, call, args);
    nt->set_own(false);
    ww_restore_signals(&saved);
    return status;
}

/* Stores what the original left in a copy. Calls that fail usually change nothing. Then nothing is stored,
 * since the page that holds it would count as written. */
static void hand_out(NTSTATUS status, void *to, const void *copy, size_t size)
{
    if (!status || memcmp(to, copy, size)) {
        memcpy(to, copy, size);
    }
}

/*
 * Holds the first region that a call is going to change. A range of Windows is inside one allocation, which
 * is one region, unless the watch of a part of it has ended.
 */
static bool hold_first(struct nt *nt, PVOID addr, SIZE_T size, struct ww_hold *hold)
{
    uintptr_t start = nt_page_down((uintptr_t)addr), end = nt_page_up((uintptr_t)addr + size);
    struct ww_range range;

    return !ww_hold_to_change_at(nt->ctx, start, hold) ||
           (start < end && !ww_find_next(nt->ctx, start, end, &range) &&
            !ww_hold_to_change_at(nt->ctx, range.start, hold));
}

/* Applies a change to the part of the held region that lies in the range, and ends the hold. Returns where
 * the region ends. */
static uintptr_t apply_to_held(struct ww_hold *hold, uintptr_t start, uintptr_t end,
                               int (*apply)(struct ww_hold *, uintptr_t, uintptr_t))
{
    uintptr_t region_end = hold->range.end;

    start = start > hold->range.start ? start : hold->range.start;
    end = end < region_end ? end : region_end;
    if (start < end) {
        apply(hold, start, end);
    }
    ww_hold_end(hold);
    return region_end;
}

/* Applies a change to every region in the range that the original reports. @hold is the first of them. */
static void apply_to_all(struct nt *nt, struct ww_hold *hold, PVOID addr, SIZE_T size,
                         int (*apply)(struct ww_hold *, uintptr_t, uintptr_t))
{
    uintptr_t start = nt_page_down((uintptr_t)addr), end = nt_page_up((uintptr_t)addr + size);
    uintptr_t next = apply_to_held(hold, start, end, apply);
    struct ww_range range;

    while (next < end && !ww_find_next(nt->ctx, next, end, &range)) {
        next = range.start > next ? range.start : next;
        next = ww_hold_to_change_at(nt->ctx, next, hold) ? range.end : apply_to_held(hold, start, end, apply);
    }
}

int nt_forget(struct nt *nt, uintptr_t start, uintptr_t end)
{
    struct ww_range part;
    int err = 0;

    while (!err && start < end && !ww_find_next(nt->ctx, start, end, &part)) {
        uint64_t nr_watched = stats_nr_watched(nt->counters);

        part.start = part.start > start ? part.start : start;
        part.end = part.end < end ? part.end : end;
        err = ww_forget(nt->ctx, part.start, part.end, nt->after_watch);
        if (!err) {
            stats_ended(nt->counters, part.start, part.end, nr_watched);
        }
        start = part.end;
    }
    return err;
}

void nt_latch(struct nt *nt, PVOID addr, SIZE_T size)
{
    uintptr_t start = nt_page_down((uintptr_t)addr), end = nt_page_up((uintptr_t)addr + size);
    struct ww_hold hold;

    if (start < end && ww_peek(nt->ctx, start, end) && hold_first(nt, addr, size, &hold)) {
        apply_to_all(nt, &hold, addr, size, ww_hold_latch);
    }
}

/* ---- allocate ---- */

/* The two allocating calls differ only in how the original is called. */
struct allocation {
    enum nt_call call;
    void **args; /* as the original takes them */
    HANDLE process;
    PVOID *ret; /* these three lie in args */
    SIZE_T *size_ptr;
    ULONG *type;
    ULONG protect;
    bool may_fault; /* the original follows more pointers of the program */
    PVOID base;     /* copies of the program's values */
    SIZE_T size;
};

/* An original that may fault is not called as our own, since it need not return. Its effect is queued. */
static NTSTATUS original_allocate(struct nt *nt, struct allocation *alloc)
{
    return alloc->may_fault ? nt->original(nt, alloc->call, alloc->args)
                            : own_original(nt, alloc->call, alloc->args);
}

static NTSTATUS original_free(struct nt *nt, PVOID base, SIZE_T size, ULONG type)
{
    HANDLE process = NtCurrentProcess();
    SIZE_T *size_ptr = &size;
    PVOID *addr_ptr = &base;
    void *args[] = { &process, &addr_ptr, &size_ptr, &type };

    return own_original(nt, NT_FREE, args);
}

/* Watches a fresh allocation. Changes of these addresses that are still queued concern memory that was
 * released before. If they cannot be applied, the next attempt would end this watch. */
static int watch_fresh(struct nt *nt, uintptr_t start, uintptr_t end)
{
    int err = nt->before_watch ? nt->before_watch(start, end) : 0;

    if (err) {
        return err;
    }
    err = nt_drain(nt);
    if (!err) {
        err = ww_watch(nt->ctx, (void *)start, end - start, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS);
    }
    if (err == -EEXIST) {
        err = nt_forget(nt, start, end);
        if (!err) {
            err = ww_watch(nt->ctx, (void *)start, end - start, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS);
        }
    }
    if (!err) {
        stats_watched(nt->counters, start, end);
    } else if (nt->after_watch) {
        nt->after_watch(start, end);
    }
    return err;
}

static NTSTATUS allocate_watched(struct nt *nt, struct allocation *alloc)
{
    PVOID wanted_base = *alloc->ret;
    SIZE_T wanted_size = *alloc->size_ptr;
    ULONG wanted_type = *alloc->type;
    uintptr_t start, end;
    NTSTATUS status;

    if (alloc->protect == PAGE_NOACCESS) {
        atomic_store(&nt->watches_no_access, true);
    }
    *alloc->type &= ~MEM_WRITE_WATCH;
    status = original_allocate(nt, alloc);
    *alloc->type = wanted_type;
    if (status) {
        return status;
    }
    start = nt_page_down((uintptr_t)*alloc->ret);
    end = nt_page_up((uintptr_t)*alloc->ret + *alloc->size_ptr);
    if (!watch_fresh(nt, start, end)) {
        return STATUS_SUCCESS;
    }
    /* It cannot be watched here, so Wine gets the call as it was made. A placeholder becomes a placeholder
     * again. */
    status = wanted_type & MEM_REPLACE_PLACEHOLDER
                 ? original_free(nt, *alloc->ret, *alloc->size_ptr, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER)
                 : original_free(nt, *alloc->ret, 0, MEM_RELEASE);
    if (status) {
        return STATUS_SUCCESS;
    }
    *alloc->ret = wanted_base;
    *alloc->size_ptr = wanted_size;
    stats_passed(nt->counters, (enum counters_call)alloc->call);
    return nt->original(nt, alloc->call, alloc->args);
}

/* New memory that is not watched may lie where a watch has not been ended. If there is no memory to end it,
 * the release is still queued. */
static NTSTATUS allocate_unwatched(struct nt *nt, struct allocation *alloc)
{
    NTSTATUS status = original_allocate(nt, alloc);

    if (!status) {
        uintptr_t start = nt_page_down((uintptr_t)*alloc->ret);

        nt_forget(nt, start, nt_page_up((uintptr_t)*alloc->ret + *alloc->size_ptr));
    }
    return status;
}

/* MEM_RESET: Wine drops the pages of a part of an allocation. If no region can be held, they are holes
 * afterwards, which do not count as written, and they are reported once more at most. */
static NTSTATUS drop_existing(struct nt *nt, struct allocation *alloc)
{
    struct ww_hold hold;
    NTSTATUS status;

    if (alloc->may_fault || !hold_first(nt, *alloc->ret, *alloc->size_ptr, &hold)) {
        return nt->original(nt, alloc->call, alloc->args);
    }
    status = own_original(nt, alloc->call, alloc->args);
    if (!status) {
        apply_to_all(nt, &hold, *alloc->ret, *alloc->size_ptr, ww_hold_discard);
    } else {
        ww_hold_end(&hold);
    }
    return status;
}

/*
 * Committing changes no watch, since reserved memory is tracked already. Pages that are committed already may
 * get another protection, which latches as nt_protect() does. Whether it does on Windows is not known, and
 * only Wine knows which protection they had: it takes milliseconds to say so for a large reservation. So all
 * of them are latched, as where the mprotect() of another process' call is queued.
 */
static NTSTATUS commit(struct nt *nt, struct allocation *alloc)
{
    NTSTATUS status = original_allocate(nt, alloc);

    if (!status) {
        nt_latch(nt, *alloc->ret, *alloc->size_ptr);
    }
    return status;
}

static NTSTATUS allocate_own(struct nt *nt, struct allocation *alloc)
{
    if ((*alloc->type & MEM_RESERVE) || !*alloc->ret) {
        return *alloc->type & MEM_WRITE_WATCH ? allocate_watched(nt, alloc) : allocate_unwatched(nt, alloc);
    }
    return *alloc->type & MEM_RESET ? drop_existing(nt, alloc) : commit(nt, alloc);
}

static NTSTATUS allocate(struct nt *nt, struct allocation *alloc)
{
    PVOID *ret = alloc->ret;
    SIZE_T *size_ptr = alloc->size_ptr;
    NTSTATUS status;

    if (!(*alloc->type & MEM_WRITE_WATCH) && !ww_watches_any(nt->ctx)) {
        return nt->original(nt, alloc->call, alloc->args);
    }
    nt_drain(nt);
    if (!nt_is_self(nt, alloc->process)) {
        return nt->original(nt, alloc->call, alloc->args);
    }
    alloc->base = *ret;
    alloc->size = *size_ptr;
    alloc->ret = &alloc->base;
    alloc->size_ptr = &alloc->size;
    status = allocate_own(nt, alloc);
    hand_out(status, ret, &alloc->base, sizeof(alloc->base));
    hand_out(status, size_ptr, &alloc->size, sizeof(alloc->size));
    return status;
}

NTSTATUS nt_allocate(struct nt *nt, HANDLE process, PVOID *ret, ULONG_PTR zero_bits, SIZE_T *size_ptr,
                     ULONG type, ULONG protect)
{
    struct allocation alloc = {
        .call = NT_ALLOCATE,
        .process = process,
        .ret = ret,
        .size_ptr = size_ptr,
        .type = &type,
        .protect = protect,
    };
    void *args[] = { &process, &alloc.ret, &zero_bits, &alloc.size_ptr, &type, &protect };

    alloc.args = args;
    return allocate(nt, &alloc);
}

NTSTATUS nt_allocate_ex(struct nt *nt, HANDLE process, PVOID *ret, SIZE_T *size_ptr, ULONG type,
                        ULONG protect, MEM_EXTENDED_PARAMETER *parameters, ULONG count)
{
    struct allocation alloc = {
        .call = NT_ALLOCATE_EX,
        .process = process,
        .ret = ret,
        .size_ptr = size_ptr,
        .type = &type,
        .protect = protect,
        .may_fault = count,
    };
    void *args[] = { &process, &alloc.ret, &alloc.size_ptr, &type, &protect, &parameters, &count };

    alloc.args = args;
    return allocate(nt, &alloc);
}

/* ---- free ---- */

/* @args point to @addr and @size, copies of the program's values. */
static NTSTATUS decommit(struct nt *nt, void **args, const PVOID *addr, const SIZE_T *size)
{
    struct ww_hold hold;
    NTSTATUS status;

    if (!hold_first(nt, *addr, *size, &hold)) {
        return nt->original(nt, NT_FREE, args);
    }
    status = own_original(nt, NT_FREE, args);
    if (!status) {
        /* Size 0 means the rest of the allocation. Some versions of Wine do not return how much that was. */
        apply_to_all(nt, &hold, *addr, *size ? *size : hold.range.end - (uintptr_t)*addr, ww_hold_discard);
    } else {
        ww_hold_end(&hold);
    }
    return status;
}

/*
 * Takes the range out of the table, calls the original, and puts the range back if that fails. Changes that
 * others make meanwhile are applied only then. False: it could not be taken out, and nothing was called.
 * Another thread has released a part, there is no memory, or (-EOPNOTSUPP) the original is one of ours and
 * ends the watch itself.
 */
static bool release_detached(struct nt *nt, void **args, uintptr_t start, uintptr_t end, NTSTATUS *ret_status)
{
    struct ww_detached detached;
    struct ww_signals saved;
    uint64_t nr_watched;
    bool is_detached;

    ww_block_signals(&saved);
    nt_pause_drain(nt, true);
    is_detached = !ww_detach(nt->ctx, start, end, &detached);
    if (is_detached) {
        nr_watched = stats_nr_watched(nt->counters);
        *ret_status = own_original(nt, NT_FREE, args);
        if (*ret_status) {
            ww_detached_restore(nt->ctx, &detached);
        } else {
            ww_detached_free(&detached);
            stats_ended(nt->counters, start, end, nr_watched);
        }
    }
    nt_pause_drain(nt, false);
    ww_restore_signals(&saved);
    if (is_detached && !*ret_status && nt->after_watch) {
        nt->after_watch(start, end);
    }
    return is_detached;
}

static NTSTATUS release(struct nt *nt, void **args, PVOID addr, SIZE_T size)
{
    uintptr_t start = nt_page_down((uintptr_t)addr);
    /* Rounded as Wine does: a size that wraps around to 0 is a size of 0. */
    SIZE_T rounded = size ? nt_page_up((uintptr_t)addr + size) - start : 0;
    struct ww_range range;
    NTSTATUS status;

    if (!ww_find(nt->ctx, (void *)start, &range) && rounded <= range.end - start &&
        (rounded || start == range.start) &&
        release_detached(nt, args, start, rounded ? start + rounded : range.end, &status)) {
        return status;
    }
    return nt->original(nt, NT_FREE, args);
}

/* No other thread notices a call that Windows refuses for its type. */
static bool is_release(ULONG type, SIZE_T size)
{
    return type == MEM_RELEASE || (type == (MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) && size);
}

NTSTATUS nt_free(struct nt *nt, HANDLE process, PVOID *addr_ptr, SIZE_T *size_ptr, ULONG type)
{
    void *args[] = { &process, &addr_ptr, &size_ptr, &type };
    PVOID addr, *own_addr = &addr;
    SIZE_T size, *own_size = &size;
    NTSTATUS status;

    if (!ww_watches_any(nt->ctx) || !nt_is_self(nt, process)) {
        return nt->original(nt, NT_FREE, args);
    }
    nt_drain(nt);
    addr = *addr_ptr;
    size = *size_ptr;
    args[1] = &own_addr;
    args[2] = &own_size;
    status = is_release(type, size) ? release(nt, args, addr, size)
             : type == MEM_DECOMMIT ? decommit(nt, args, &addr, &size)
                                    : nt->original(nt, NT_FREE, args);
    hand_out(status, addr_ptr, &addr, sizeof(addr));
    hand_out(status, size_ptr, &size, sizeof(size));
    return status;
}

/* ---- protect ---- */

NTSTATUS nt_protect(struct nt *nt, HANDLE process, PVOID *addr_ptr, SIZE_T *size_ptr, ULONG new_prot,
                    ULONG *old_prot)
{
    void *args[] = { &process, &addr_ptr, &size_ptr, &new_prot, &old_prot };
    PVOID addr, *own_addr = &addr;
    SIZE_T size, *own_size = &size;
    ULONG old, *own_old = &old;
    struct ww_hold hold;
    NTSTATUS status;
    bool held;

    if (!old_prot || !ww_watches_any(nt->ctx) || !nt_is_self(nt, process)) {
        return nt->original(nt, NT_PROTECT, args);
    }
    nt_drain(nt);
    addr = *addr_ptr;
    size = *size_ptr;
    old = *old_prot;
    args[1] = &own_addr;
    args[2] = &own_size;
    args[4] = &own_old;
    held = hold_first(nt, addr, size, &hold);
    status = held ? own_original(nt, NT_PROTECT, args) : nt->original(nt, NT_PROTECT, args);
    if (held && !status) {
        apply_to_all(nt, &hold, addr, size, ww_hold_latch);
    } else if (held) {
        ww_hold_end(&hold);
    }
    hand_out(status, addr_ptr, &addr, sizeof(addr));
    hand_out(status, size_ptr, &size, sizeof(size));
    hand_out(status, old_prot, &old, sizeof(old));
    return status;
}
