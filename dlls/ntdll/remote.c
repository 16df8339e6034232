/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notes of changes that were made past our calls, and their effect on what is
 * watched. The mapping calls run under Wine's own lock, in any thread, also in
 * signal handlers: so they only leave a note, without a lock, and the next of our
 * calls settles it. Wine's lock is held from the change to the note, so no later
 * owner of the same addresses can be taken for the earlier one as long as notes
 * are settled before a new watch.
 *
 *   protected   what is dirty goes into the latch, as VirtualProtect does
 *   dropped     the pages or the mapping are gone: armed again, or, if Wine has no
 *               allocation there any more, watched no more
 *   released    watched no more, even if there is another allocation by now
 *
 * What cannot be told apart any more errs on the side of reporting. tests/stress/models/notes.pml is
 * the model of notes and settling.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "near.h"
#include "remote.h"

enum note_kind { NOTE_PROTECTED, NOTE_DROPPED, NOTE_RELEASED };

struct note {
    uintptr_t start, end;
    enum note_kind kind;
    atomic_uint turn; /* the note's number plus 1, once it is complete */
};

#define NR_NOTES 1024

static struct note notes[NR_NOTES];
static atomic_uint nr_written, nr_settled;
static atomic_uint nr_overflows, nr_overflows_settled; /* notes that there was no room for */
static struct ww_context *watched_by;
static pthread_mutex_t settle_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool is_own __attribute__((tls_model("initial-exec")));

/* ---- taking notes ---- */

void remote_set_own(bool own)
{
    is_own = own;
}

static void take_note(enum note_kind kind, void *addr, size_t len)
{
    uintptr_t start = nt_page_down((uintptr_t)addr), end = nt_page_up((uintptr_t)addr + len);
    unsigned int turn = atomic_load(&nr_written);
    struct note *note;

    /* Most changes are made elsewhere and are not worth a note. */
    if (is_own || start >= end || !near_watch(start, end)) {
        return;
    }
    /* Only what is dirty now goes into the latch: a guard page, say, that Wine
     * opens for the write which is about to come, has nothing to keep. */
    if (kind == NOTE_PROTECTED && !ww_peek(watched_by, start, end)) {
        return;
    }
    do {
        if (turn - atomic_load(&nr_settled) >= NR_NOTES) {
            atomic_fetch_add(&nr_overflows, 1);
            return;
        }
    } while (!atomic_compare_exchange_weak(&nr_written, &turn, turn + 1));
    note = &notes[turn % NR_NOTES];
    note->start = start;
    note->end = end;
    note->kind = kind;
    atomic_store(&note->turn, turn + 1);
}

/* Released memory inside Wine's own reservations becomes reserved again, which Wine
 * maps without claiming swap; decommitted memory it maps with (strace, 8.0 and 10.0). */
static enum note_kind kind_of_mmap(int prot, int flags)
{
    return prot == PROT_NONE && (flags & MAP_NORESERVE) ? NOTE_RELEASED : NOTE_DROPPED;
}

static void *note_mmap(void *ret, size_t len, int prot, int flags)
{
    if (ret != MAP_FAILED && (flags & MAP_FIXED)) {
        take_note(kind_of_mmap(prot, flags), ret, len);
    }
    return ret;
}

static void *noting_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    return note_mmap(mmap(addr, len, prot, flags, fd, offset), len, prot, flags);
}

/* For 32-bit Wines, whose offsets are 64 bits wide. */
static void *noting_mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
    return note_mmap(mmap64(addr, len, prot, flags, fd, offset), len, prot, flags);
}

static int noting_munmap(void *addr, size_t len)
{
    int ret = munmap(addr, len);

    if (!ret) {
        take_note(NOTE_RELEASED, addr, len);
    }
    return ret;
}

static int noting_mprotect(void *addr, size_t len, int prot)
{
    int ret = mprotect(addr, len, prot);

    if (!ret) {
        take_note(NOTE_PROTECTED, addr, len);
    }
    return ret;
}

static int noting_madvise(void *addr, size_t len, int advice)
{
    int ret = madvise(addr, len, advice);

    if (!ret && (advice == MADV_DONTNEED || advice == MADV_REMOVE)) {
        take_note(NOTE_DROPPED, addr, len);
    }
    return ret;
}

/* ---- ntdll.so's imports ---- */

/* An import has one of two names; which, depends on the width of off_t. */
static const struct import {
    const char *name;
    void *function, *replacement;
} imports[REMOTE_NR_IMPORTS][2] = {
    { { "mmap", (void *)mmap, (void *)noting_mmap }, { "mmap64", (void *)mmap64, (void *)noting_mmap64 } },
    { { "munmap", (void *)munmap, (void *)noting_munmap } },
    { { "mprotect", (void *)mprotect, (void *)noting_mprotect } },
    { { "madvise", (void *)madvise, (void *)noting_madvise } },
};

/*
 * Whether the slot leads to somewhere else than what the loader binds the name to: ours call the
 * function by its name, and would cut off whoever stands there. The address that the loader gives
 * us may be an entry of the program's; one within ntdll.so itself is not bound yet.
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

/* ---- settling ---- */

/* Applies a change to the part of each watched region that lies in the range. */
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

/* Holds the region at @start, which another thread may have cut meanwhile: up to *end, at most. */
static bool hold_part(struct nt *nt, uintptr_t start, uintptr_t *end, struct ww_hold *hold)
{
    if (ww_hold_to_change_at(nt->ctx, start, hold)) {
        return false;
    }
    *end = *end < hold->range.end ? *end : hold->range.end;
    return true;
}

static void settle_protected(struct nt *nt, uintptr_t start, uintptr_t end)
{
    struct ww_hold hold;

    if (hold_part(nt, start, &end, &hold)) {
        ww_hold_latch(&hold, start, end);
        ww_hold_end(&hold);
    }
}

/* Anything may have happened there: all of it counts as written. */
static void settle_unknown(struct nt *nt, uintptr_t start, uintptr_t end)
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

/* Memory that has no allocation any more is watched no more, all that was one region of it. */
static void settle_dropped(struct nt *nt, uintptr_t start, uintptr_t end)
{
    if (nt->is_free(nt, (void *)start)) {
        nt_forget(nt, start, end);
    } else {
        ww_discard(nt->ctx, (void *)start, end - start);
    }
}

static void settle_released(struct nt *nt, uintptr_t start, uintptr_t end)
{
    nt_forget(nt, start, end);
}

static void settle_note(struct nt *nt, const struct note *note)
{
    static void (*const settle[])(struct nt *, uintptr_t, uintptr_t) = {
        [NOTE_PROTECTED] = settle_protected,
        [NOTE_DROPPED] = settle_dropped,
        [NOTE_RELEASED] = settle_released,
    };

    for_each_region(nt, note->start, note->end, settle[note->kind]);
}

/*
 * A page that was protected before it was dropped would have kept its dirt in
 * the latch. Whether it had any cannot be seen any more: it counts as written.
 */
static void settle_earlier_protection(struct nt *nt, unsigned int first, unsigned int dropped)
{
    const struct note *drop = &notes[dropped % NR_NOTES];

    for (; first != dropped; first++) {
        const struct note *note = &notes[first % NR_NOTES];
        uintptr_t start = note->start > drop->start ? note->start : drop->start;
        uintptr_t end = note->end < drop->end ? note->end : drop->end;

        if (note->kind == NOTE_PROTECTED && start < end) {
            for_each_region(nt, start, end, settle_unknown);
        }
    }
}

void remote_settle(struct nt *nt)
{
    unsigned int first, turn, overflows;
    sigset_t saved;

    /* An original that faulted did not come back to say that it was over. */
    is_own = false;
    if (atomic_load(&nr_written) == atomic_load(&nr_settled) &&
        atomic_load(&nr_overflows) == atomic_load(&nr_overflows_settled)) {
        return;
    }
    ww_block_signals(&saved);
    pthread_mutex_lock(&settle_lock);
    first = atomic_load(&nr_settled);
    for (turn = first; atomic_load(&notes[turn % NR_NOTES].turn) == turn + 1; turn++) {
        settle_note(nt, &notes[turn % NR_NOTES]);
        if (notes[turn % NR_NOTES].kind == NOTE_DROPPED) {
            settle_earlier_protection(nt, first, turn);
        }
    }
    atomic_store(&nr_settled, turn);
    /* Settled only when it is applied: who finds nothing to settle does not wait for us. */
    overflows = atomic_load(&nr_overflows);
    if (overflows != atomic_load(&nr_overflows_settled)) {
        for_each_region(nt, 0, UINTPTR_MAX - NT_PAGE_SIZE, settle_unknown);
        atomic_store(&nr_overflows_settled, overflows);
    }
    pthread_mutex_unlock(&settle_lock);
    ww_restore_signals(&saved);
}
