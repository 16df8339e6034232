/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the mprotect backend (mprotect.c) and its SIGSEGV handler (fault.c): for each page of a watched
 * range a dirty bit and the protection that the program wants, in flat arrays that a handler can read and
 * change without a lock.
 */
#ifndef WW_LINUX_BACKENDS_MPROTECT_MPROTECT_H
#define WW_LINUX_BACKENDS_MPROTECT_MPROTECT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "process/lock.h"
#include "process/signal.h"

/*
 * State of the pages of one watch, shared by all maps that are cut from it. A page is armed if its
 * protection includes PROT_WRITE and its dirty bit is clear: then the kernel has the protection without
 * PROT_WRITE.
 */
struct ww_prot_pages {
    uintptr_t base;
    size_t nr_pages;
    _Atomic uint64_t *dirty;  /* a bit a page */
    _Atomic uint8_t *prot;    /* a PROT_ mask a page */
    _Atomic long nr_isolated; /* runs of dirty pages: about two mappings each */
    atomic_uint refs;         /* number of maps */
};

/* What the handler finds for a fault: the pages of one region. While a map is cut, neighbours overlap for
 * a moment; they share their pages then. */
struct ww_prot_map {
    uintptr_t start;
    _Atomic uintptr_t end;
    /* The range that is being filled, else empty. The handler opens nothing there, and stores wait. */
    _Atomic uintptr_t fill_start, fill_end;
    struct ww_prot_pages *pages;
    bool prot_unknown;    /* some of its mappings may be writable where pages count as clean */
    bool refused;         /* some pages stayed armed when it was last disarmed */
    atomic_bool orphaned; /* refused, and its region has ended; others read it */
};

/* The protection of an armed page. The processor lets programs read what they may write. */
#define WW_ARMED(prot) ((prot)&PROT_WRITE ? ((prot) & ~PROT_WRITE) | PROT_READ : (prot))

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

/* Gives the pages the protection that their state requires. */
int ww_prot_apply(struct ww_prot_pages *pages, size_t from, size_t to);

/* Arms pages whose bits were just cleared. A page that cannot be armed becomes dirty again. */
void ww_prot_arm(struct ww_prot_pages *pages, size_t from, size_t to);

/* Removes write permission from dirty pages while they are filled. */
int ww_prot_arm_dirty(struct ww_prot_pages *pages, size_t from, size_t to);

/* Learns the protections of [start, end) from /proc/self/maps; a writable page becomes dirty. If a page
 * has the armed form of its recorded protection, the record stays. 0; 1: part of the range is not mapped; or
 * a negative errno with its step in *failure. */
int ww_prot_learn(struct ww_prot_pages *pages, uintptr_t start, uintptr_t end, struct ww_failure *failure);

/* ---- fault.c ---- */

/* Adds a map to the table that the handler reads, or removes it; after the removal no handler uses it any
 * more. 0, -ENOMEM, -EBUSY (another watch has part of it), or the error of sigaction(2), with the step in
 * *failure. Installs the handler if it is not the first one. */
int ww_fault_add(struct ww_prot_map *map, struct ww_failure *failure);
void ww_fault_remove(struct ww_prot_map *map);

/* Call once a process, with no lock held: threads that do not exist in a child of fork hold nothing there. */
void ww_fault_follow_forks(void);

/* An orphaned map that shares a page with the range, or NULL. */
struct ww_prot_map *ww_fault_find_orphan(uintptr_t start, uintptr_t end);

/* Between the two, stores to this part of the map wait. */
void ww_fault_begin_fill(struct ww_prot_map *map, uintptr_t start, uintptr_t end);
void ww_fault_end_fill(struct ww_prot_map *map);

/* Removes the handler if the table is empty: after a self test. */
void ww_fault_uninstall(void);

/* ---- isolated.c: runs of dirty pages, about two mappings each ---- */

/* Reads the limit once. registry_lock is held. */
void ww_isolated_init(void);

/* Counts a page that the handler is about to open. True: that would be one run too many. For the handler. */
bool ww_isolated_open_page(struct ww_prot_pages *pages, size_t page);

/* The run first..last-1 is clean now. */
void ww_isolated_close_run(struct ww_prot_pages *pages, size_t first, size_t last);

/* Counts the runs again if all ranges together have many. */
void ww_isolated_recount(struct ww_prot_pages *pages);

/* Forgets all runs. The handler may call it, too. */
void ww_isolated_forget(struct ww_prot_pages *pages);

/* ---- grace.c ---- */

/* Waits for handlers that are in the middle of a page. After that, every page that they opened has its
 * dirty bit, and they see the current protections. Signals are blocked, and the caller holds no lock
 * beyond WW_RANK_BACKEND. */
void ww_fault_synchronize(void);

/* A handler is at work between the two calls, and passes the result of the first to the second. */
unsigned int ww_grace_enter(void);
void ww_grace_leave(unsigned int parity);

/* For a child of fork, which has no handler at work. */
void ww_grace_repair_child(void);

/* Sleeps on a futex while it has this value, maybe less long; wakes all sleepers. Handlers may call them. */
void ww_raw_sleep(atomic_uint *word, unsigned int value);
void ww_raw_wake(atomic_uint *word);

/* ---- install.c ---- */

/* NULL: no memory, or the process lacks permission. */
struct ww_prot_filler;
struct ww_prot_filler *ww_prot_filler_open(void);
void ww_prot_filler_close(struct ww_prot_filler *filler);

/* Installs content from @start on, in private anonymous memory that no store can reach, up to the first
 * page that exists. Returns how many bytes, or -EEXIST, or another negative errno. */
ssize_t ww_prot_fill(const struct ww_prot_filler *filler, uintptr_t start, const void *content, size_t len);

#endif
