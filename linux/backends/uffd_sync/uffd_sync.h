/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the parts of the uffd-sync backend: uffd_sync.c (START HERE) implements struct ww_backend,
 * track.c registers ranges and finds them again, table.c finds the dirty bit of an address, handler.c answers
 * the faults, batches.c lets other threads wait for it, wp_ioctl.c knows what each ioctl's result means, and
 * self_test.c is the self test.
 *
 * While a fault waits, so does its thread. So the handler waits for no thread: it takes no lock, allocates
 * nothing, and touches only memory that was mapped for it here, whatever the program watches, be it this
 * library's own heap or a caller's stack.
 *
 * One rule holds whenever the handler is between two batches: a tracked page that can be written has its
 * dirty bit set. The handler opens a page and sets the bit after that; a scan waits for the current batch,
 * takes bits, and protects the pages last. So a write that is over when a scan begins has its bit by the time
 * that bits are taken. A write that runs meanwhile finds its page protected again, or its bit is set after
 * they were taken.
 */
#ifndef WW_LINUX_BACKENDS_UFFD_SYNC_UFFD_SYNC_H
#define WW_LINUX_BACKENDS_UFFD_SYNC_UFFD_SYNC_H

#include "backend.h"
#include "backends/bits.h"
#include "kernel/fd.h"
#include "process/lock.h"
#include "process/signal.h"

/* The most messages of a batch, and the most pages that one UFFDIO_COPY fills. */
#define WW_SYNC_BATCH 64

/* State of the pages of one watch, a mapping of its own. Regions that are cut from the watch share it. */
struct ww_sync_pages {
    uintptr_t base;
    size_t nr_pages;
    size_t map_len;
    atomic_uint refs;                         /* number of regions */
    bool private_file;                        /* as in struct ww_region */
    atomic_bool shared;                       /* some of it may be tmpfs or a memfd: see ww_sync_kind() */
    uintptr_t uncertain_start, uncertain_end; /* where registering failed half way; under table_lock */
    _Atomic uint64_t dirty[];
};

/* Where the handler finds the dirty bit of an address. */
struct ww_sync_entry {
    uintptr_t start;
    uintptr_t end;
    struct ww_sync_pages *pages;
};

/* Entries by address. A table that the handler reads never changes; a new one replaces it. */
struct ww_sync_table {
    size_t map_len;
    size_t capacity;
    size_t nr;
    struct ww_sync_entry entries[];
};

struct ww_sync_fault {
    uintptr_t page;
    int kind; /* enumerated in handler.c */
};

/* The tracker's priv: a mapping of its own, with everything that the handler uses. */
struct ww_sync {
    size_t map_len;
    const unsigned int *alive;      /* a page that fork wipes: 0 in a child, which has no handler */
    const char *zeroes;             /* WW_SYNC_BATCH pages, the content of missing pages */
    const volatile char *wake_page; /* a missing page; a thread wakes the handler by touching it */
    const char *trap;               /* a page that cannot be read */
    int uffd;
    struct ww_fd opened;      /* the same, to check that it is still ours */
    struct ww_fd epoll;       /* the handler sleeps in it */
    struct ww_fd placeholder; /* if `replaced`: the file that has the descriptor's number */
    bool user_mode_only;
    bool tells_lost; /* ww_sync_kind() can recognize a mapping that was replaced */
    int kind_error;  /* the errno that means private memory */
    struct ww_job job;
    atomic_bool stop;
    atomic_bool broken;        /* faults are no longer answered, and nothing is tracked */
    atomic_bool replaced;      /* broken, and another file of ours has the descriptor's number */
    atomic_bool hung;          /* broken, and the handler may be anywhere: nothing of it is freed */
    struct ww_failure failure; /* the last answer that the kernel refused; read it once broken */
    atomic_uint batches;       /* odd during a batch; a futex */
    atomic_uint nr_waiting;
    pthread_mutex_t table_lock; /* innermost lock; the handler does not take it */
    _Atomic(struct ww_sync_table *) table;
    struct ww_sync_table *spare;
    atomic_ulong nr_messages, nr_resolved; /* faults, and the ioctls that answered them */
    struct ww_sync_fault faults[WW_SYNC_BATCH];
    struct uffd_msg messages[WW_SYNC_BATCH];
};

enum ww_sync_kind {
    WW_SYNC_LOST, /* not a single mapping that is registered as a whole */
    WW_SYNC_PRIVATE,
    WW_SYNC_SHARED,
};

/* ---- wp_ioctl.c; negative errnos; ranges are page aligned ---- */

/* Opens the descriptor and sets what depends on its kind. Parameters as for ww_userfaultfd_open(). */
int ww_sync_open_uffd(struct ww_sync *sync, uint64_t barred, struct ww_failure *failure);

/* UFFDIO_REGISTER; -EINVAL also for hugetlb pages. Idempotent: memory that is registered already stays as
 * it is. */
int ww_sync_register(const struct ww_sync *sync, uintptr_t start, uintptr_t end, bool missing);

/* Unregisters the mappings and wakes threads that wait in them. 0 or a negative errno. */
int ww_sync_unregister(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* The kind of the range: enum ww_sync_kind or a negative errno. O(1). In shared memory this opens
 * protected pages. */
int ww_sync_kind(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Whether the range is one registered mapping: 1, 0 or a negative errno. Opens nothing. O(1). */
int ww_sync_is_registered(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Makes existing pages fault at the next write. -ENOENT: some part is not tracked; the rest is done. */
int ww_sync_protect(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Opens the pages and wakes the threads that wait for them. */
int ww_sync_unprotect(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Fills missing pages, protected if @protect, up to the first one that exists. Returns how many bytes it
 * filled, or a negative errno if none. */
ssize_t ww_sync_copy(const struct ww_sync *sync, uintptr_t start, const void *src, size_t len, bool protect);

/* Maps the zero page into all holes. */
int ww_sync_fill_holes(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Wakes threads that wait there; they fault again. */
void ww_sync_wake(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Whether the number is still our descriptor's. The program may close every descriptor that it finds; we
 * must neither read another file nor let another userfaultfd register our ranges. */
bool ww_sync_is_ours(const struct ww_sync *sync);

/* ---- handler.c ---- */

/* Starts the handler: 0, or a negative errno with its step in *failure, such as -EAGAIN (no thread is
 * idle). */
int ww_sync_start(struct ww_sync *sync, struct ww_workers *workers, struct ww_failure *failure);

/* Ends the handler; the table is empty. False: the handler may still be at work, and its memory must stay. */
bool ww_sync_stop(struct ww_sync *sync);

/* Ends tracking for good: threads that wait go on, and `broken` is set before a write is missed. */
void ww_sync_give_up(struct ww_sync *sync);

/* ---- batches.c ---- */

/* The handler calls these around its work on a batch. */
void ww_sync_begin_batch(struct ww_sync *sync);
void ww_sync_end_batch(struct ww_sync *sync);

/* Waits for the current batch: its bits are set then. */
void ww_sync_synchronize(struct ww_sync *sync);

/* ---- table.c ---- */

/* An empty table in a mapping of its own, or NULL. */
struct ww_sync_table *ww_sync_new_table(size_t capacity);

/* Sets dirty bits wherever the range is in the table. */
void ww_sync_mark_dirty(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Adds an entry, which replaces what is there; -ENOMEM, -EIO (the handler is hung). */
int ww_sync_table_add(struct ww_sync *sync, const struct ww_sync_entry *entry);

/* Cuts an entry in two, 0 or -ENOMEM, and undoes that. */
int ww_sync_table_cut(struct ww_sync *sync, uintptr_t at);
void ww_sync_table_join(struct ww_sync *sync, uintptr_t at);

/* Ends the tracking of the regions in the range, which the next scan finds out. For the handler. */
void ww_sync_untrack(const struct ww_sync *sync, uintptr_t start, uintptr_t end);

/* Removes what is left of an entry. The handler no longer uses its pages then. */
void ww_sync_table_remove(struct ww_sync *sync, const struct ww_sync_entry *entry);

/* ---- track.c ---- */

/* The backend's arm(). The step that fails is in *failure, which may be NULL. */
int ww_sync_arm(struct ww_region *region, struct ww_failure *failure);

/* Gives a region's reference to its bits back. */
void ww_sync_put_pages(const struct ww_sync *sync, struct ww_sync_pages *pages);

/* Completes a registration for its kind of memory, and protects existing pages: those of new memory
 * (@keep_written) with their dirty bits set. */
int ww_sync_track(const struct ww_sync *sync, struct ww_sync_pages *pages, uintptr_t start, uintptr_t end,
                  bool keep_written, struct ww_failure *failure);

/* Records that the range may be only partly registered and so look tracked: the next scan tracks it again. */
void ww_sync_mark_uncertain(struct ww_sync *sync, struct ww_sync_pages *pages, uintptr_t start,
                            uintptr_t end);

/* Makes sure that the range is tracked, and marks dirty what was not. */
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
