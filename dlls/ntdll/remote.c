/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A queue of the changes that other processes make to memory here, and their effect on what is watched. The
 * mapping calls run under Wine's own lock, in any thread, also in signal handlers. So they only queue the
 * change, without a lock, and the next of our calls drains the queue.
 *
 * Wine's lock is held from before the change until it is queued. As long as the queue is drained before a new
 * watch, no later owner of the same addresses can be taken for the earlier one.
 *
 *   protected   what is dirty goes into the latch, as VirtualProtect does
 *   dropped     the pages or the mapping are gone. The range is armed again, or its watch ends where Wine has
 * no allocation any more released    the watch ends, even if there is another allocation by now own         a
 * call of ours drops pages while changes are queued, and applies that itself
 *
 * A page that is protected and then dropped keeps its dirt on Windows. The drain may be too late to find it.
 * So a drop takes its entry in the queue before the pages go, and entries are kept until no drop is under
 * way: the drop then finds the protections before it. Where several causes are possible, more is reported
 * rather than less. tests/stress/models/notes.pml is the model of the queue.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "filter.h"
#include "remote.h"

enum change_kind { CHANGE_PROTECTED, CHANGE_DROPPED, CHANGE_RELEASED, CHANGE_OWN, CHANGE_NONE };

struct change {
    uintptr_t start, end;
    enum change_kind kind;
    atomic_uint seq; /* sequence number plus 1, once the entry is complete */
};

#define QUEUE_LEN 1024

static struct change queue[QUEUE_LEN];
static atomic_uint nr_queued;                          /* entries taken, complete or not */
static atomic_uint nr_done;                            /* of these, entries that may be taken again */
static atomic_uint nr_overflows, nr_overflows_applied; /* changes that found the queue full */
static struct ww_context *watched_by;
static pthread_mutex_t drain_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int nr_applied; /* under drain_lock */
static __thread bool is_own __attribute__((tls_model("initial-exec")));

/* ---- queue ---- */

void remote_set_own(bool own)
{
    is_own = own;
}

/* Takes an entry. False: the queue is full. */
static bool take_entry(unsigned int *ret_seq)
{
    unsigned int seq = atomic_load(&nr_queued);

    do {
        if (seq - atomic_load(&nr_done) >= QUEUE_LEN) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&nr_queued, &seq, seq + 1));
    *ret_seq = seq;
    return true;
}

static void complete_entry(unsigned int seq, enum change_kind kind, uintptr_t start, uintptr_t end)
{
    struct change *change = &queue[seq % QUEUE_LEN];

    change->start = start;
    change->end = end;
    change->kind = kind;
    atomic_store(&change->seq, seq + 1);
}

/* Queues a change that has been made. Most changes are to memory that nobody watches. */
static void queue_change(enum change_kind kind, uintptr_t start, uintptr_t end)
{
    unsigned int seq;

    if (is_own || start >= end || !filter_may_match(start, end)) {
        return;
    }
    /* Only what is dirty now goes into the latch. A guard page, say, which Wine opens for the write that
     * follows, has nothing to keep. */
    if (kind == CHANGE_PROTECTED && !ww_peek(watched_by, start, end)) {
        return;
    }
    if (take_entry(&seq)) {
        complete_entry(seq, kind, start, end);
    } else {
        atomic_fetch_add(&nr_overflows, 1);
    }
}

/* A change that drops pages, from before it is made. */
struct drop {
    uintptr_t start, end;
    enum { NOT_WATCHED, HAS_ENTRY, QUEUE_FULL } state;
    unsigned int seq;
};

/* A drop of our own matters only to the protections that are queued. */
static struct drop begin_drop(void *addr, size_t len)
{
    struct drop drop = { .start = nt_page_down((uintptr_t)addr), .end = nt_page_up((uintptr_t)addr + len) };

    if (drop.start < drop.end && filter_may_match(drop.start, drop.end) &&
        (!is_own || atomic_load(&nr_queued) != atomic_load(&nr_done))) {
        drop.state = take_entry(&drop.seq) ? HAS_ENTRY : QUEUE_FULL;
    }
    return drop;
}

/* CHANGE_NONE: the call has failed. */
static void end_drop(const struct drop *drop, enum change_kind kind)
{
    switch (drop->state) {
    case NOT_WATCHED:
        /* It may be watched by now. */
        if (kind != CHANGE_NONE) {
            queue_change(kind, drop->start, drop->end);
        }
        break;
    case HAS_ENTRY:
        complete_entry(drop->seq, is_own && kind != CHANGE_NONE ? CHANGE_OWN : kind, drop->start, drop->end);
        break;
    case QUEUE_FULL:
        if (kind != CHANGE_NONE) {
            atomic_fetch_add(&nr_overflows, 1);
        }
        break;
    }
}

/* Memory that is released inside Wine's own reservations becomes reserved again. Wine maps it without
 * claiming swap, and decommitted memory with (strace, 8.0 and 10.0). A placeholder becomes a view of a file.
 */
static enum change_kind kind_of_mmap(int prot, int flags)
{
    return !(flags & MAP_ANONYMOUS) || (prot == PROT_NONE && (flags & MAP_NORESERVE)) ? CHANGE_RELEASED
                                                                                      : CHANGE_DROPPED;
}

static void *end_mmap(const struct drop *drop, void *ret, int prot, int flags)
{
    end_drop(drop, ret == MAP_FAILED ? CHANGE_NONE : kind_of_mmap(prot, flags));
    return ret;
}

/* Only with MAP_FIXED does new memory replace other memory. */
static void *hooked_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    struct drop drop = begin_drop(addr, flags & MAP_FIXED ? len : 0);

    return end_mmap(&drop, mmap(addr, len, prot, flags, fd, offset), prot, flags);
}

/* For 32-bit Wines, whose offsets are 64 bits wide. */
static void *hooked_mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
    struct drop drop = begin_drop(addr, flags & MAP_FIXED ? len : 0);

    return end_mmap(&drop, mmap64(addr, len, prot, flags, fd, offset), prot, flags);
}

static int hooked_munmap(void *addr, size_t len)
{
    struct drop drop = begin_drop(addr, len);
    int ret = munmap(addr, len);

    end_drop(&drop, ret ? CHANGE_NONE : CHANGE_RELEASED);
    return ret;
}

static int hooked_mprotect(void *addr, size_t len, int prot)
{
    int ret = mprotect(addr, len, prot);

    if (!ret) {
        queue_change(CHANGE_PROTECTED, nt_page_down((uintptr_t)addr), nt_page_up((uintptr_t)addr + len));
    }
    return ret;
}

static int hooked_madvise(void *addr, size_t len, int advice)
{
    bool drops = advice == MADV_DONTNEED || advice == MADV_REMOVE;
    struct drop drop = begin_drop(addr, drops ? len : 0);
    int ret = madvise(addr, len, advice);

    end_drop(&drop, ret ? CHANGE_NONE : CHANGE_DROPPED);
    return ret;
}

/* ---- ntdll.so's imports ---- */

/* An import has one of two names; which, depends on the width of off_t. */
static const struct import {
    const char *name;
    void *function, *replacement;
} imports[REMOTE_NR_IMPORTS][2] = {
    { { "mmap", (void *)mmap, (void *)hooked_mmap }, { "mmap64", (void *)mmap64, (void *)hooked_mmap64 } },
    { { "munmap", (void *)munmap, (void *)hooked_munmap } },
    { { "mprotect", (void *)mprotect, (void *)hooked_mprotect } },
    { { "madvise", (void *)madvise, (void *)hooked_madvise } },
};

/*
 * Whether another preload has interposed the slot: it holds something else than what the loader binds the
 * name to. Our replacement calls the function by its name, and would cut the other one off. The address that
 * the loader gives us may be a PLT entry of the program. An address within ntdll.so itself is not bound yet.
 */
static bool is_taken(const struct elf_object *ntdll, void *const *slot, const struct import *import)
{
    struct elf_definition next;
    struct elf_object holder;

    if (*slot == import->function ||
        (elf_find_next(import->name, (const void *)is_taken, &next, 1) && *slot == next.function)) {
        return false;
    }
    return elf_find_object(*slot, &holder) || holder.base != ntdll->base;
}

int remote_prepare(const struct elf_object *ntdll, struct ww_context *ctx, void **ret_slots[],
                   void *ret_values[], const char **ret_import)
{
    watched_by = ctx;
    for (int i = 0; i < REMOTE_NR_IMPORTS; i++) {
        const struct import *import = imports[i];
        void **slot = elf_find_import(ntdll, import->name);

        if (!slot && import[1].name) {
            slot = elf_find_import(ntdll, (++import)->name);
        }
        *ret_import = slot ? import->name : imports[i][0].name;
        if (!slot || is_taken(ntdll, slot, import)) {
            return slot ? -EEXIST : -ENOENT;
        }
        ret_slots[i] = slot;
        ret_values[i] = import->replacement;
    }
    return 0;
}

/* ---- drain ---- */

/* Calls @apply for the part of each watched region that lies in the range. It moves *@at to where it has
 * come, or leaves it if no region is there any more: another thread may cut the region meanwhile. Returns 0
 * or -ENOMEM. */
static int for_each_region(struct nt *nt, uintptr_t start, uintptr_t end,
                           int (*apply)(struct nt *, uintptr_t *at, uintptr_t end))
{
    struct ww_range range;
    int err = 0;

    while (!err && start < end && !ww_find_next(nt->ctx, start, end, &range)) {
        start = range.start > start ? range.start : start;
        err = apply(nt, &start, range.end < end ? range.end : end);
    }
    return err;
}

static int apply_to_region(struct nt *nt, uintptr_t *at, uintptr_t end,
                           int (*apply)(struct ww_hold *, uintptr_t start, uintptr_t end))
{
    struct ww_hold hold;

    if (!ww_hold_to_change_at(nt->ctx, *at, &hold)) {
        end = end < hold.range.end ? end : hold.range.end;
        apply(&hold, *at, end);
        ww_hold_end(&hold);
        *at = end;
    }
    return 0;
}

static int discard_and_mark(struct ww_hold *hold, uintptr_t start, uintptr_t end)
{
    int err = ww_hold_discard(hold, start, end);

    ww_hold_mark(hold, start, end);
    return err;
}

static int apply_protected(struct nt *nt, uintptr_t *at, uintptr_t end)
{
    return apply_to_region(nt, at, end, ww_hold_latch);
}

static int apply_released(struct nt *nt, uintptr_t *at, uintptr_t end)
{
    uintptr_t start = *at;

    *at = end;
    return nt_forget(nt, start, end);
}

/* Applies a change up to where Wine's answer changes: allocations may have been released in part since. Where
 * there is none any more, the watch ends. */
static int apply_where_allocated(struct nt *nt, uintptr_t *at, uintptr_t end,
                                 int (*apply)(struct ww_hold *, uintptr_t start, uintptr_t end))
{
    uintptr_t same_until;
    bool is_gone = nt->is_gone(nt, *at, &same_until);

    end = same_until < end ? same_until : end;
    return is_gone ? apply_released(nt, at, end) : apply_to_region(nt, at, end, apply);
}

static int apply_dropped(struct nt *nt, uintptr_t *at, uintptr_t end)
{
    return apply_where_allocated(nt, at, end, ww_hold_discard);
}

/* Anything may have happened there, so all of it counts as written. */
static int apply_unknown(struct nt *nt, uintptr_t *at, uintptr_t end)
{
    return apply_where_allocated(nt, at, end, discard_and_mark);
}

/*
 * A page that was protected before it was dropped would have kept its dirt in the latch. Whether it was dirty
 * can no longer be found out, so it counts as written.
 */
static int apply_earlier_protection(struct nt *nt, unsigned int dropped)
{
    const struct change *drop = &queue[dropped % QUEUE_LEN];
    int err = 0;

    for (unsigned int seq = atomic_load(&nr_done); !err && seq != dropped; seq++) {
        const struct change *change = &queue[seq % QUEUE_LEN];
        uintptr_t start = change->start > drop->start ? change->start : drop->start;
        uintptr_t end = change->end < drop->end ? change->end : drop->end;

        if (change->kind == CHANGE_PROTECTED && start < end) {
            err = for_each_region(nt, start, end, apply_unknown);
        }
    }
    return err;
}

static int apply_entry(struct nt *nt, unsigned int seq)
{
    static int (*const apply[])(struct nt *, uintptr_t *, uintptr_t) = {
        [CHANGE_PROTECTED] = apply_protected,
        [CHANGE_DROPPED] = apply_dropped,
        [CHANGE_RELEASED] = apply_released,
        [CHANGE_NONE] = NULL,
    };
    const struct change *change = &queue[seq % QUEUE_LEN];
    int err = apply[change->kind] ? for_each_region(nt, change->start, change->end, apply[change->kind]) : 0;

    if (!err && (change->kind == CHANGE_DROPPED || change->kind == CHANGE_OWN)) {
        err = apply_earlier_protection(nt, seq);
    }
    return err;
}

/* Applies the entries up to the first that is not complete, or that fails for want of memory, and is tried
 * again. */
static int apply_entries(struct nt *nt)
{
    int err = 0;

    while (!err && atomic_load(&queue[nr_applied % QUEUE_LEN].seq) == nr_applied + 1) {
        err = apply_entry(nt, nr_applied);
        nr_applied += !err;
    }
    /* While a drop is under way, pages that the entries before it concern may be gone already. */
    if (nr_applied == atomic_load(&nr_queued)) {
        atomic_store(&nr_done, nr_applied);
    }
    return err;
}

int remote_drain(struct nt *nt)
{
    unsigned int overflows;
    struct ww_signals saved;
    int err;

    if (atomic_load(&nr_queued) == atomic_load(&nr_done) &&
        atomic_load(&nr_overflows) == atomic_load(&nr_overflows_applied)) {
        return 0;
    }
    ww_block_signals(&saved);
    pthread_mutex_lock(&drain_lock);
    err = apply_entries(nt);
    /* Counted only after it is applied: a thread that finds the queue empty does not wait for this one. */
    overflows = atomic_load(&nr_overflows);
    if (!err && overflows != atomic_load(&nr_overflows_applied)) {
        err = for_each_region(nt, 0, UINTPTR_MAX - NT_PAGE_SIZE, apply_unknown);
        if (!err) {
            atomic_store(&nr_overflows_applied, overflows);
        }
    }
    pthread_mutex_unlock(&drain_lock);
    ww_restore_signals(&saved);
    return err;
}

void remote_pause_drain(bool pause)
{
    pause ? pthread_mutex_lock(&drain_lock) : pthread_mutex_unlock(&drain_lock);
}
