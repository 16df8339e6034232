/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the uffd-sync backend share: uffd_sync.c (START HERE) meets
 * the backend's contract, track.c registers ranges and finds them
 * again, handler.c answers the faults, wp_ioctl.c says what each
 * ioctl's outcome means, and self_test.c is the self test.
 *
 * While a fault waits, so does the thread that has it. So the handler thread
 * waits for nobody: it takes no lock, allocates nothing, and touches only memory
 * that was mapped for it here, whatever the program watches, be it this
 * library's own heap or a caller's stack.
 *
 * One rule holds whenever the handler is between two batches: a tracked page
 * that can be written has its dirty bit set. The handler opens a page and sets
 * the bit after that; a harvest waits for the batch at work, takes bits, and
 * protects the pages last. So a write that is over when a harvest begins has its
 * bit by the time that bits are taken, and one that runs meanwhile finds its page
 * protected again or its bit set after they were taken.
 */
#ifndef WW_LINUX_BACKENDS_UFFD_SYNC_UFFD_SYNC_H
#define WW_LINUX_BACKENDS_UFFD_SYNC_UFFD_SYNC_H

#include "backends/bits.h"
#include "kernel/fd.h"
#include "backend.h"
#include "kernel/lock.h"
#include "kernel/signal.h"

/* Messages a batch has at most, and pages that one UFFDIO_COPY fills. */
#define WW_SYNC_BATCH 64

/* State of the pages of one watch, a mapping of its own; regions cut from it share it. */
struct ww_sync_pages {
    uintptr_t base;
    size_t nr_pages;
    size_t map_len;
    atomic_uint refs;               /* regions */
    bool private_file;              /* as the region's */
    atomic_bool shared;             /* some of it may be of tmpfs or a memfd: see ww_sync_kind() */
    uintptr_t half_start, half_end; /* where registering failed half way; under table_lock */
    _Atomic uint64_t dirty[];
};

/* Where the handler finds the dirty bit of an address. */
struct ww_sync_entry {
    uintptr_t start;
    uintptr_t end;
    struct ww_sync_pages *pages;
};

/* Entries by address. What the handler reads is never changed, only replaced. */
struct ww_sync_table {
    size_t map_len;
    size_t capacity;
    size_t nr;
    struct ww_sync_entry entries[];
};

struct ww_sync_fault {
    uintptr_t page;
    int kind; /* see handler.c */
};

/* The tracker's priv: a mapping of its own, together with all that the handler uses. */
struct ww_sync {
    size_t map_len;
    const unsigned int *alive;      /* a page that fork wipes: 0 in a child, which has no handler */
    const char *zeroes;             /* WW_SYNC_BATCH pages, what missing pages are made of */
    const volatile char *wake_page; /* a page that is missing: to touch it wakes the handler */
    const char *trap;               /* a page that nothing can be read from */
    int uffd;
    struct ww_fd opened; /* the same, to know it again */
    struct ww_fd epoll;  /* what the handler sleeps in */
    struct ww_fd keeper; /* if `taken`: what has the descriptor's number */
    bool user_mode_only;
    bool tells_lost; /* ww_sync_kind() can tell a mapping that was replaced */
    int kind_error;  /* by this errno it knows private memory */
    struct ww_job job;
    atomic_bool stop;
    atomic_bool broken;  /* faults are answered no more and nothing is tracked */
    atomic_bool taken;   /* broken, and the descriptor's number is kept by another file of ours */
    atomic_bool stuck;   /* broken, and the handler may be anywhere: nothing of it is freed */
    atomic_uint batches; /* odd while the handler is at work on one; a futex */
    atomic_uint nr_waiting;
    pthread_mutex_t table_lock; /* the innermost lock; the handler does not take it */
    _Atomic(struct ww_sync_table *) table;
    struct ww_sync_table *spare;
    atomic_ulong nr_messages, nr_resolved; /* faults, and the ioctls that answered them */
    struct ww_sync_fault faults[WW_SYNC_BATCH];
    struct uffd_msg messages[WW_SYNC_BATCH];
};

enum ww_sync_kind {
    WW_SYNC_LOST, /* not one mapping that is registered as a whole */
    WW_SYNC_PRIVATE,
    WW_SYNC_SHARED,
};

/* ---- wp_ioctl.c; negative errnos; ranges are page aligned ---- */

/* Opens the descriptor and sets what depends on its kind. As ww_userfaultfd_open(). */
int ww_sync_open_uffd(struct ww_sync *sync, uint64_t barred, struct ww_failure *failure);

/* UFFDIO_REGISTER; -EINVAL also for hugetlb pages. Memory that is registered keeps what it knows. */
int ww_sync_register(const struct ww_sync *sync, uintptr_t start, uintptr_t end, bool missing);

/* The mappings there are ordinary ones again, and threads that wait in them go on. 0 or a negative errno. */
int ww_sync_unregister(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* What the range is: enum ww_sync_kind or a negative errno. O(1). In shared memory it opens pages that are
 * protected. */
int ww_sync_kind(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Whether the range is one mapping that is registered: 1, 0 or a negative errno. Opens nothing. O(1). */
int ww_sync_is_registered(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Existing pages fault on the next write. -ENOENT: some part is not tracked, the rest is done. */
int ww_sync_protect(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Opens the pages and wakes who waits for them. */
int ww_sync_unprotect(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Fills pages that are missing, protected if @protect, up to one that exists. Returns how many
 * bytes it filled, or why none. */
ssize_t ww_sync_copy(const struct ww_sync *sync, uintptr_t start, const void *src, size_t len, bool protect);

/* Maps the zero page wherever one is missing. */
int ww_sync_fill_holes(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Who waits there faults again. */
void ww_sync_wake(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Whether the number is still our descriptor's: a program may close all it finds. Not another
 * one's must be read, and not another one may track what we know of. */
bool ww_sync_is_ours(const struct ww_sync *sync);

/* ---- handler.c ---- */

/* Starts the handler: 0, or a negative errno whose step is in *failure, such as -EAGAIN (no thread is idle).
 */
int ww_sync_start(struct ww_sync *sync, struct ww_workers *workers, struct ww_failure *failure);

/* Ends it; no entry is left. False: it may still be at work, and its memory must stay. */
bool ww_sync_stop(struct ww_sync *sync);

/* Ends tracking for good: what waits goes on, and `broken` is set before anything is missed. */
void ww_sync_give_up(struct ww_sync *sync);

/* ---- batches.c ---- */

/* The handler's, around its work on one. */
void ww_sync_begin_batch(struct ww_sync *sync);
void ww_sync_end_batch(struct ww_sync *sync);

/* Waits for the batch at work: its bits are set then. */
void ww_sync_synchronize(struct ww_sync *sync);

/* ---- table.c ---- */

/* An empty table in a mapping of its own, or NULL. */
struct ww_sync_table *ww_sync_new_table(size_t capacity);

/* Sets dirty bits wherever the range is in the table. */
void ww_sync_mark(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Adds an entry in the place of what is there; -ENOMEM, -EIO (the handler is stuck). */
int ww_sync_table_add(struct ww_sync *sync, const struct ww_sync_entry *entry);

/* Cuts an entry in two, 0 or -ENOMEM, and undoes that. */
int ww_sync_table_cut(struct ww_sync *sync, uintptr_t at);
void ww_sync_table_join(struct ww_sync *sync, uintptr_t at);

/* Ends the tracking of the regions in the range; the next harvest finds that. For the handler. */
void ww_sync_let_go(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Removes what is left of an entry. The handler does not use its pages any more then. */
void ww_sync_table_remove(struct ww_sync *sync, const struct ww_sync_entry *entry);

/* ---- track.c ---- */

/* Adds to a registration what its kind needs, and protects what is there. */
int ww_sync_track(const struct ww_sync *sync, struct ww_sync_pages *pages, uintptr_t start, uintptr_t end);

/* The range may be registered for a part of what is needed, and so pass for tracked: it is to be tracked
 * anew. */
void ww_sync_mark_uncertain(struct ww_sync *sync, struct ww_sync_pages *pages, uintptr_t start,
                            uintptr_t end);

/* Makes sure that the range is tracked, and that what was not is dirty. */
int ww_sync_recover(struct ww_region *region, uintptr_t start, uintptr_t end);

/* ---- self_test.c ---- */

int ww_sync_check(struct ww_tracker *tracker);

static inline size_t ww_sync_page_index(const struct ww_sync_pages *pages, uintptr_t addr)
{
    return (addr - pages->base) >> ww_page_shift;
}

static inline uintptr_t ww_sync_page_addr(const struct ww_sync_pages *pages, size_t page)
{
    return pages->base + ((uintptr_t)page << ww_page_shift);
}

#endif
