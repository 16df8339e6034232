/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A queue of the changes that other processes make to memory here, and their effect on what is watched. The
 * mapping calls run under Wine's own lock, in any thread, also in signal handlers. So they only queue the
 * change, without a lock, and the next of our calls drains the queue.
 *
 * Wine's lock is held from the change until it is queued. As long as the queue is drained before a new watch,
 * no later owner of the same addresses can be taken for the earlier one.
 *
 *   protected   what is dirty goes into the latch, as VirtualProtect does
 *   dropped     the pages or the mapping are gone. The range is armed again, or its watch ends if Wine has no
 *               allocation there any more
 *   released    the watch ends, even if there is another allocation by now
 *
 * Where several causes are possible, more is reported rather than less. tests/stress/models/notes.pml is the
 * model of the queue.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "filter.h"
#include "remote.h"

enum change_kind { CHANGE_PROTECTED, CHANGE_DROPPED, CHANGE_RELEASED };

struct change {
    uintptr_t start, end;
    enum change_kind kind;
    atomic_uint seq; /* sequence number plus 1, once the entry is complete */
};

#define QUEUE_LEN 1024

static struct change queue[QUEUE_LEN];
static atomic_uint nr_queued, nr_applied;
static atomic_uint nr_overflows, nr_overflows_applied; /* changes that found the queue full */
static struct ww_context *watched_by;
static pthread_mutex_t drain_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool is_own __attribute__((tls_model("initial-exec")));

/* ---- queue ---- */

void remote_set_own(bool own)
{
    is_own = own;
}

static void queue_change(enum change_kind kind, void *addr, size_t len)
{
    uintptr_t start = nt_page_down((uintptr_t)addr), end = nt_page_up((uintptr_t)addr + len);
    unsigned int seq = atomic_load(&nr_queued);
    struct change *change;

    /* Most changes are to memory that nobody watches. */
    if (is_own || start >= end || !filter_may_match(start, end)) {
        return;
    }
    /* Only what is dirty now goes into the latch. A guard page, say, which Wine opens for the write that
     * follows, has nothing to keep. */
    if (kind == CHANGE_PROTECTED && !ww_peek(watched_by, start, end)) {
        return;
    }
    do {
        if (seq - atomic_load(&nr_applied) >= QUEUE_LEN) {
            atomic_fetch_add(&nr_overflows, 1);
            return;
        }
    } while (!atomic_compare_exchange_weak(&nr_queued, &seq, seq + 1));
    change = &queue[seq % QUEUE_LEN];
    change->start = start;
    change->end = end;
    change->kind = kind;
    atomic_store(&change->seq, seq + 1);
}

/* Memory that is released inside Wine's own reservations becomes reserved again. Wine maps it without
 * claiming swap, and decommitted memory with (strace, 8.0 and 10.0). */
static enum change_kind kind_of_mmap(int prot, int flags)
{
    return prot == PROT_NONE && (flags & MAP_NORESERVE) ? CHANGE_RELEASED : CHANGE_DROPPED;
}

static void *queue_mmap(void *ret, size_t len, int prot, int flags)
{
    if (ret != MAP_FAILED && (flags & MAP_FIXED)) {
        queue_change(kind_of_mmap(prot, flags), ret, len);
    }
    return ret;
}

static void *hooked_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    return queue_mmap(mmap(addr, len, prot, flags, fd, offset), len, prot, flags);
}

/* For 32-bit Wines, whose offsets are 64 bits wide. */
static void *hooked_mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
    return queue_mmap(mmap64(addr, len, prot, flags, fd, offset), len, prot, flags);
}

static int hooked_munmap(void *addr, size_t len)
{
    int ret = munmap(addr, len);

    if (!ret) {
        queue_change(CHANGE_RELEASED, addr, len);
    }
    return ret;
}

static int hooked_mprotect(void *addr, size_t len, int prot)
{
    int ret = mprotect(addr, len, prot);

    if (!ret) {
        queue_change(CHANGE_PROTECTED, addr, len);
    }
    return ret;
}

static int hooked_madvise(void *addr, size_t len, int advice)
{
    int ret = madvise(addr, len, advice);

    if (!ret && (advice == MADV_DONTNEED || advice == MADV_REMOVE)) {
        queue_change(CHANGE_DROPPED, addr, len);
    }
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

/* Calls @apply for the part of each watched region that lies in the range. */
static void for_each_region(struct nt *nt, uintptr_t start, uintptr_t end,
                            void (*apply)(struct nt *, uintptr_t start, uintptr_t end))
{
    struct ww_range range;

    while (start < end && !ww_find_next(nt->ctx, start, end, &range)) {
        uintptr_t from = range.start > start ? range.start : start;
        uintptr_t to = range.end < end ? range.end : end;

        apply(nt, from, to);
        start = to;
    }
}

/* Holds the region at @start. Another thread may have cut it meanwhile, so *end may become less. */
static bool hold_part(struct nt *nt, uintptr_t start, uintptr_t *end, struct ww_hold *hold)
{
    if (ww_hold_to_change_at(nt->ctx, start, hold)) {
        return false;
    }
    *end = *end < hold->range.end ? *end : hold->range.end;
    return true;
}

static void apply_protected(struct nt *nt, uintptr_t start, uintptr_t end)
{
    struct ww_hold hold;

    if (hold_part(nt, start, &end, &hold)) {
        ww_hold_latch(&hold, start, end);
        ww_hold_end(&hold);
    }
}

/* Anything may have happened there, so all of it counts as written. */
static void apply_unknown(struct nt *nt, uintptr_t start, uintptr_t end)
{
    struct ww_hold hold;

    if (nt->is_free(nt, (void *)start)) {
        nt_forget(nt, start, end);
    } else if (hold_part(nt, start, &end, &hold)) {
        ww_hold_discard(&hold, start, end);
        ww_hold_mark(&hold, start, end);
        ww_hold_end(&hold);
    }
}

/* Where there is no allocation any more, the watch ends, for the whole part of the region. */
static void apply_dropped(struct nt *nt, uintptr_t start, uintptr_t end)
{
    if (nt->is_free(nt, (void *)start)) {
        nt_forget(nt, start, end);
    } else {
        ww_discard(nt->ctx, (void *)start, end - start);
    }
}

static void apply_released(struct nt *nt, uintptr_t start, uintptr_t end)
{
    nt_forget(nt, start, end);
}

static void apply_change(struct nt *nt, const struct change *change)
{
    static void (*const apply[])(struct nt *, uintptr_t, uintptr_t) = {
        [CHANGE_PROTECTED] = apply_protected,
        [CHANGE_DROPPED] = apply_dropped,
        [CHANGE_RELEASED] = apply_released,
    };

    for_each_region(nt, change->start, change->end, apply[change->kind]);
}

/*
 * A page that was protected before it was dropped would have kept its dirt in the latch. Whether it was dirty
 * can no longer be found out, so it counts as written.
 */
static void apply_earlier_protection(struct nt *nt, unsigned int first, unsigned int dropped)
{
    const struct change *drop = &queue[dropped % QUEUE_LEN];

    for (; first != dropped; first++) {
        const struct change *change = &queue[first % QUEUE_LEN];
        uintptr_t start = change->start > drop->start ? change->start : drop->start;
        uintptr_t end = change->end < drop->end ? change->end : drop->end;

        if (change->kind == CHANGE_PROTECTED && start < end) {
            for_each_region(nt, start, end, apply_unknown);
        }
    }
}

void remote_drain(struct nt *nt)
{
    unsigned int first, seq, overflows;
    sigset_t saved;

    /* An original that faulted did not return to clear it. */
    is_own = false;
    if (atomic_load(&nr_queued) == atomic_load(&nr_applied) &&
        atomic_load(&nr_overflows) == atomic_load(&nr_overflows_applied)) {
        return;
    }
    ww_block_signals(&saved);
    pthread_mutex_lock(&drain_lock);
    first = atomic_load(&nr_applied);
    for (seq = first; atomic_load(&queue[seq % QUEUE_LEN].seq) == seq + 1; seq++) {
        apply_change(nt, &queue[seq % QUEUE_LEN]);
        if (queue[seq % QUEUE_LEN].kind == CHANGE_DROPPED) {
            apply_earlier_protection(nt, first, seq);
        }
    }
    atomic_store(&nr_applied, seq);
    /* Counted only after it is applied: a thread that finds the queue empty does not wait for this one. */
    overflows = atomic_load(&nr_overflows);
    if (overflows != atomic_load(&nr_overflows_applied)) {
        for_each_region(nt, 0, UINTPTR_MAX - NT_PAGE_SIZE, apply_unknown);
        atomic_store(&nr_overflows_applied, overflows);
    }
    pthread_mutex_unlock(&drain_lock);
    ww_restore_signals(&saved);
}
