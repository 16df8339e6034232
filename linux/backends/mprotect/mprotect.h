/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the mprotect backend (mprotect.c) and its SIGSEGV handler
 * (fault.c) share: per watched range a dirty bit and the protection
 * that the program wants, per page, in flat arrays that a handler can read and
 * change without a lock.
 */
#ifndef WW_LINUX_BACKENDS_MPROTECT_MPROTECT_H
#define WW_LINUX_BACKENDS_MPROTECT_MPROTECT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "kernel/lock.h"
#include "kernel/signal.h"

/*
 * State of the pages of one watch; maps cut from it share it. A page is armed
 * when prot wants PROT_WRITE and its dirty bit is clear: then the mapping has
 * prot without PROT_WRITE.
 */
struct ww_prot_pages {
    uintptr_t base;
    size_t nr_pages;
    _Atomic uint64_t *dirty;  /* a bit a page */
    _Atomic uint8_t *prot;    /* a PROT_ mask a page */
    _Atomic long nr_isolated; /* runs of dirty pages: about two mappings each */
    atomic_uint refs;         /* maps */
};

/* What the handler looks faults up in: the part of the pages that one region has.
 * Neighbours may overlap for a moment while one is cut; they share the pages then. */
struct ww_prot_map {
    uintptr_t start;
    _Atomic uintptr_t end;
    /* What is being filled: the handler opens nothing there, and stores wait. Empty but then. */
    _Atomic uintptr_t fill_start, fill_end;
    struct ww_prot_pages *pages;
    bool prot_unknown; /* some of its mappings may be writable where pages count as clean */
    bool refused;      /* when it was disarmed last, some pages were left armed */
    bool orphaned;     /* the same, and its region has ended */
};

/* Protection that arms a page. */
#define WW_ARMED(prot) ((prot) & ~PROT_WRITE)

static inline size_t ww_prot_index(const struct ww_prot_pages *pages, uintptr_t addr)
{
    return (addr - pages->base) >> ww_page_shift;
}

static inline uintptr_t ww_prot_addr(const struct ww_prot_pages *pages, size_t page)
{
    return pages->base + ((uintptr_t)page << ww_page_shift);
}

static inline bool ww_prot_is_dirty(const struct ww_prot_pages *pages, size_t page)
{
    return atomic_load_explicit(&pages->dirty[page / 64], memory_order_relaxed) >> (page % 64) & 1;
}

/* ---- protections.c: pages from..to-1; 0 or a negative errno ---- */

/* Gives them the protection that their state asks for. */
int ww_prot_apply(struct ww_prot_pages *pages, size_t from, size_t to);

/* Arms those whose bits were just cleared. Those that cannot be armed are dirty again. */
void ww_prot_arm(struct ww_prot_pages *pages, size_t from, size_t to);

/* Takes write permission from dirty ones for the time they are filled. */
int ww_prot_arm_dirty(struct ww_prot_pages *pages, size_t from, size_t to);

/* Learns the protections of [start, end) from /proc/self/maps; what can be written is dirty then. A page that
 * has the armed form of what is noted already keeps its note. */
int ww_prot_learn(struct ww_prot_pages *pages, uintptr_t start, uintptr_t end);

/* ---- fault.c ---- */

/* Adds a map to, or takes it from, what the handler sees; after the removal no
 * handler uses it any more. 0, -ENOMEM, -EBUSY (another watch has part of it), or the error of
 * sigaction(2). Installs the handler where it is not the first in line. */
int ww_fault_add(struct ww_prot_map *map);
void ww_fault_remove(struct ww_prot_map *map);

/* Once a process, with nothing held: threads that do not exist in a child of fork hold nothing there. */
void ww_fault_follow_forks(void);

/* A map that was kept and shares a page with the range, or NULL. */
struct ww_prot_map *ww_fault_find_orphan(uintptr_t start, uintptr_t end);

/* From then on stores to this part of the map wait until the fill is over. */
void ww_fault_begin_fill(struct ww_prot_map *map, uintptr_t start, uintptr_t end);
void ww_fault_end_fill(struct ww_prot_map *map);

/* Takes the handler away again if nothing is in the table: after a self test. */
void ww_fault_uninstall(void);

/* Islands are runs of dirty pages: about two mappings each. The run first..last-1 is
 * clean now; all are counted anew if there are many; none is left. */
void ww_fault_close_run(struct ww_prot_pages *pages, size_t first, size_t last);
void ww_fault_count_isolated(struct ww_prot_pages *pages);
void ww_fault_forget_isolated(struct ww_prot_pages *pages);

/* ---- grace.c ---- */

/* Waits for handlers that are in the middle of a page: what they opened carries
 * its dirty bit from then on, and they use protections as they are now. Signals are blocked, and no
 * lock beyond WW_RANK_BACKEND is held. */
void ww_fault_synchronize(void);

/* A handler is at work from the one to the other, to which it gives what the first has returned. */
unsigned int ww_grace_enter(void);
void ww_grace_leave(unsigned int parity);

/* A fork's copy has no handler at work. */
void ww_grace_repair_child(void);

/* Sleeps on a futex as long as it has this value, or less long; wakes who does. For handlers too. */
void ww_raw_sleep(atomic_uint *word, unsigned int value);
void ww_raw_wake(atomic_uint *word);

/* ---- install.c ---- */

/* NULL: no memory, or this process may not. */
struct ww_prot_filler;
struct ww_prot_filler *ww_prot_filler_open(void);
void ww_prot_filler_close(struct ww_prot_filler *filler);

/* Installs content from @start on, in private anonymous memory that no store can reach, up
 * to the first page that exists. Returns how many bytes, or -EEXIST, or another negative errno. */
ssize_t ww_prot_fill(const struct ww_prot_filler *filler, uintptr_t start, const void *content, size_t len);

#endif
