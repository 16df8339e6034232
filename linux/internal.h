/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of linux/ share: the context, the region, the backend table.
 *
 * Lock order: ww_context.table_lock, then one ww_region.lock, then
 * ww_context.tracker_lock, then a lock that a backend keeps to itself, then that of the mprotect
 * backend's grace period, then ww_demand.lock. What a layer above calls between ww_hold_to_change() and
 * ww_hold_end() (hold.h) may take its own locks there, and must not take ours. All asynchronous signals are
 * blocked while any of them is held. The caller's memory is never touched under a lock. lock.h has the ranks,
 * which a build with --enable-debug asserts.
 */
#ifndef WW_LINUX_INTERNAL_H
#define WW_LINUX_INTERNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <bsd/sys/tree.h>

#include "kernel/lock.h"
#include "page_set.h"
#include "lockless.h"
#include "kernel/refusal.h"
#include "fill/demand.h"
#include "kernel/uapi.h"
#include "kernel/worker.h"
#include "writewatch.h"

#define WW_API __attribute__((visibility("default")))

/* log2 of the page size of this machine; set once by ww_open() and ww_probe(). */
extern unsigned int ww_page_shift;

static inline uintptr_t ww_page_size(void)
{
    return (uintptr_t)1 << ww_page_shift;
}

/* At most this many regions a scan: the kernel's cost per region is flat from here on. */
#define WW_SCAN_VEC_LEN 512
/* At most this much populated memory a scan, so that mmap() in other threads does not stall. */
#define WW_SCAN_BYTES ((size_t)64 << 20)
/* At most this much of the caller's content is copied at once. */
#define WW_BOUNCE_BYTES ((size_t)64 << 10)
/* Runs one harvest step can hand out: what a scan finds, and as many from the latch. */
#define WW_OUT_LEN (2 * WW_SCAN_VEC_LEN)

/* What one harvest step needs; prefaulted, never in watched memory, one a thread at work. */
struct ww_scratch {
    struct page_region vec[WW_SCAN_VEC_LEN]; /* all zero between scans */
    union {
        struct ww_range out[WW_OUT_LEN];
        char bounce[WW_BOUNCE_BYTES]; /* what ww_fill() installs */
    };
};

/* A backend at work for one context. A context has more than one once a backend has
 * begun to fail and its regions were handed over. */
struct ww_tracker {
    const struct ww_backend *backend;
    uint32_t caps;     /* enum ww_cap: the backend's, less what was missing when it was opened */
    bool no_zero_page; /* in this kernel: a read of a hole makes a page as a write does */
    struct ww_workers *workers;
    void *priv;      /* the backend's */
    uint64_t barred; /* bits of steps that open() must do without: a seccomp filter ends who takes them */
    struct ww_failure failure; /* of the last open() or check() that failed */
    struct ww_tracker *next;
};

/* One watched range: what one ww_watch() made, or what is left of it. */
struct ww_region {
    RB_ENTRY(ww_region) entry;
    struct ww_range range;       /* changes only under table_lock for writing and lock */
    uint64_t watch_id;           /* which ww_watch() it comes from; never used twice */
    pthread_mutex_t lock;        /* covers everything below, and the backend's work on the range */
    struct ww_page_set reported; /* reported before: a zero page counts only there */
    struct ww_page_set latch;    /* dirty whatever the page tables say */
    bool lost;                   /* part of its mapping was replaced behind our back at some time */
    bool arm_again;    /* it could not be armed for want of memory or a thread, and is tracked by nothing */
    bool markers;      /* armed page by page, holes too: not private anonymous memory */
    bool private_file; /* part of it is a private mapping of a file, or of a device such as /dev/zero */
    size_t page_size;  /* bytes: what the kernel tracks as one; the page size but for hugetlb */
    struct ww_demand *demand; /* the context's, if part of the range was ever filled on demand */
    struct ww_tracker *tracker;
    void *priv; /* the tracker's */
};

RB_HEAD(ww_region_tree, ww_region);

#define WW_NR_SPARE_SCRATCH 8

struct ww_context {
    /* What new regions get; the ones before it that have failed follow in ->next. */
    _Atomic(struct ww_tracker *) tracker;
    pthread_mutex_t tracker_lock; /* held while a tracker is replaced */
    bool named;                   /* the caller asked for this backend and no other */
    struct ww_tracker fallback;   /* of the backend that cannot fail */
    const unsigned int *alive;    /* a page that fork wipes: 1 where the context was opened */
    pthread_rwlock_t table_lock;
    struct ww_region_tree regions; /* by address, not overlapping */
    atomic_size_t nr_regions;
    uint64_t last_watch_id;
    atomic_uint nr_lost; /* how often a replaced mapping was noticed */
    struct ww_demand demand;
    struct ww_workers workers;
    struct ww_lockless lockless;
    _Atomic(struct ww_scratch *) spare[WW_NR_SPARE_SCRATCH];
};

/* What ww_mapped_survey() finds. */
struct ww_mapped {
    bool private_anonymous;
    bool private_file; /* some of it is private, and not anonymous */
    size_t page_size;  /* bytes: the size of its pages */
};

/* What a scan is asked for: the written pages of [start, end). */
struct ww_scan {
    uintptr_t start;
    uintptr_t end;
    size_t max_pages; /* not 0 */
    size_t max_runs;  /* not 0; a backend finds at most WW_SCAN_VEC_LEN anyway */
    bool reset;       /* make clean what is reported */
    bool dense;       /* a page without a write-protect bit was written, whether it exists or not: ask
                       * for nothing but WRITTEN. True where every page exists and was reported before,
                       * and where markers stand for those that do not */
};

/*
 * A way to track writes. No entry is NULL. Every call that takes a region is made
 * under the region's lock; ranges are page aligned and inside the region.
 */
struct ww_backend {
    const char *name;
    uint32_t caps;        /* enum ww_cap */
    uint64_t steps;       /* bits of enum ww_step: what open() and check() may do */
    uint64_t dispensable; /* those that open() can do without */
    size_t nr_threads;    /* that must be idle for open() and check() */

    /* Sets tracker->priv, and takes caps away that are missing here. 0, or a negative errno
     * whose step is in tracker->failure. */
    int (*open)(struct ww_tracker *tracker);

    /* Tries the effect on pages of its own: before the first use, when it takes caps away
     * that are missing, and when a scan has failed, with a copy of the tracker.
     * 0, or the negative errno for which this tracker is of no use, as above. */
    int (*check)(struct ww_tracker *tracker);

    /* Starts to track the region's range. Existing pages may come out as written. */
    int (*arm)(struct ww_region *region);

    /* @upper was cut off @region (both ranges are set already): share or divide priv. */
    int (*split)(struct ww_region *region, struct ww_region *upper);

    /* Undoes a split; @upper is released next. */
    void (*join)(struct ww_region *region, struct ww_region *upper);

    /*
     * Finds written pages, ascending, in at most scan->max_runs and WW_SCAN_VEC_LEN
     * entries of @vec, which are zero before. Categories may have PAGE_IS_PFNZERO: such a
     * page is written only if it was reported before. @ret_next is how far the
     * scan got: always beyond start. Returns the number of entries; a negative
     * errno means that nothing was reset and nothing is known.
     */
    ssize_t (*scan)(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                    uintptr_t *ret_next);

    /* Whether a page of the range may be written, of any region or none: a quick
     * look without a lock, for signal handlers too. */
    bool (*peek)(struct ww_tracker *tracker, uintptr_t start, uintptr_t end);

    /* scan() without a reset, with no lock held, of memory that may have been taken away meanwhile.
     * Changes nothing. ww_no_scan_lockless() where a backend cannot. */
    ssize_t (*scan_lockless)(struct ww_tracker *tracker, const struct ww_scan *scan, struct page_region *vec,
                             uintptr_t *ret_next);

    /* The range's pages were dropped or its mapping replaced: nothing there is
     * written; track it again. */
    int (*discard)(struct ww_region *region, uintptr_t start, uintptr_t end);

    /* The range is to have protection @prot; written pages stay written. */
    int (*protect)(struct ww_region *region, uintptr_t start, uintptr_t end, int prot);

    /* Installs @src in the pages from @start on that do not exist yet, without
     * marking them. Returns how many bytes it did before one that exists, or a
     * negative errno: -EEXIST, -EOPNOTSUPP. */
    ssize_t (*fill)(struct ww_region *region, uintptr_t start, const void *src, size_t len);

    /*
     * From now on has missing pages of the range filled by @demand when they are
     * first touched; until the region is disarmed. Called again where the mapping was
     * replaced, and when a scan has failed, to see whether this still works.
     * ww_no_arm_missing() where a backend cannot.
     */
    int (*arm_missing)(struct ww_region *region, uintptr_t start, uintptr_t end, struct ww_demand *demand);

    /* Stops to track the whole range of the region; its mapping is still there. 0, or -ENOMEM
     * (vm.max_map_count): some of it may be tracked still. The region can stay then, and nothing that is
     * written meanwhile is lost, or be released all the same. */
    int (*disarm)(struct ww_region *region);

    /* Frees region->priv. */
    void (*release)(struct ww_region *region);

    /* Frees tracker->priv; no region of it is left. */
    void (*close)(struct ww_tracker *tracker);
};

/* backend.c */
extern const struct ww_backend ww_backend_uffd, ww_backend_uffd_sync, ww_backend_mprotect,
    ww_backend_softdirty, ww_backend_none;
void ww_page_size_init(void);
void ww_backend_prepare(void);
int ww_backend_choose(const char *name, struct ww_context *ctx);
bool ww_backend_replace(struct ww_context *ctx, struct ww_tracker *failing);
bool ww_backend_hand_over(struct ww_context *ctx, struct ww_region *region);
void ww_backend_arm_again(struct ww_context *ctx, struct ww_region *region);
void ww_backend_close(struct ww_context *ctx);

/* survey.c */
int ww_mapped_survey(uintptr_t start, uintptr_t end, struct ww_mapped *ret);
/* The first part of the range that is a private mapping of a file or a device. 1, 0 if there is none, or a
 * negative errno. */
int ww_mapped_private_file(uintptr_t start, uintptr_t end, struct ww_range *ret);
/* Watched memory is neither huge nor merged; holes are passed over. 0 or a negative errno. */
int ww_keep_pages_small(uintptr_t start, uintptr_t end);

/* Pages of our own are missing again, also those that the kernel has brought in and keeps (mlockall(2)). 0 or
 * a negative errno. */
int ww_drop_pages(const volatile void *addr, size_t len);

/* Whether the kernel gives new memory its pages at once (mlockall(2)), tried by its effect. */
bool ww_kernel_populates(void);

/* headroom.c */
#define WW_DEFAULT_MAPPING_LIMIT 65530
/* vm.max_map_count */
long ww_mapping_limit(void);
/* Before a watch begins: 0, or -ENOMEM (regions have taken so many mappings that too few are free). */
int ww_headroom_take(void);
/* So many regions more; negative: less. */
void ww_headroom_add_region(long nr);

/* watch.c */
int ww_range_rounded(const struct ww_context *ctx, const void *addr, size_t len, struct ww_range *ret);
int ww_range_exact(const struct ww_context *ctx, const void *addr, size_t len, struct ww_range *ret);

/* uffd.c */
bool ww_uffd_has_known_bug(void);

/* facts.c: PAGE_IS_GUARD where PAGEMAP_SCAN on this descriptor knows it, else 0. */
uint64_t ww_guard_category(int pagemap);

/* none.c: the entry of a backend that can tell nothing without its lock; -EOPNOTSUPP. */
ssize_t ww_no_scan_lockless(struct ww_tracker *tracker, const struct ww_scan *scan, struct page_region *vec,
                            uintptr_t *ret_next);

/* signal.c */
void ww_block_signals(sigset_t *ret_saved);
void ww_restore_signals(const sigset_t *saved);

/* region.c: table_lock is held by the caller, for writing where something changes. */
struct ww_region *ww_region_find(struct ww_context *ctx, uintptr_t addr);
struct ww_region *ww_region_first(struct ww_context *ctx, uintptr_t start, uintptr_t end);
struct ww_region *ww_region_new(uintptr_t start, uintptr_t end);
void ww_region_insert(struct ww_context *ctx, struct ww_region *region);
void ww_region_remove(struct ww_context *ctx, struct ww_region *region);
int ww_region_split(struct ww_context *ctx, struct ww_region *region, uintptr_t at,
                    struct ww_region **ret_upper);
void ww_region_join(struct ww_region *region, struct ww_region *upper);
void ww_region_free(struct ww_region *region);

/* scan_step.c: the region's lock is held. */
struct ww_scratch *ww_scratch_get(struct ww_context *ctx);
void ww_scratch_put(struct ww_context *ctx, struct ww_scratch *scratch);
size_t ww_scan_step(struct ww_context *ctx, struct ww_region *region, const struct ww_scan *want,
                    struct ww_scratch *scratch, uintptr_t *ret_next);
size_t ww_scratch_take(struct ww_scratch *scratch, size_t nr);
int ww_latch_range(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end);
int ww_reset_range(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end);
int ww_discard_range(struct ww_context *ctx, struct ww_region *region, uintptr_t start, uintptr_t end);

/* Whether this process is the one that opened the context, not a fork of it. */
static inline bool ww_is_alive(const struct ww_context *ctx)
{
    return __atomic_load_n(ctx->alive, __ATOMIC_RELAXED) == 1;
}

#endif
