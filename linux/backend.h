/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a backend is: a way to track writes, as a table of functions, and a tracker, which is one at work for
 * one context. backend.c chooses, failover.c replaces.
 */
#ifndef WW_LINUX_BACKEND_H
#define WW_LINUX_BACKEND_H

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "kernel/facts.h"
#include "kernel/refusal.h"
#include "kernel/scan.h"
#include "kernel/worker.h"
#include "region.h"
#include "writewatch.h"

struct ww_backend;
struct ww_demand;

/* The bits of enum ww_cap. */
#define WW_PUBLIC_CAPS ((WW_CAP_HUGETLB << 1) - 1)

/* For tests, among the capabilities of backends and trackers, and told to no program: no write is lost if KSM
 * merges watched pages. */
#define WW_CAP_INTERNAL_MERGEABLE (1u << 31)

/* A backend at work for one context. A context has more than one once a backend has
 * begun to fail and its regions were handed over. */
struct ww_tracker {
    const struct ww_backend *backend;
    uint32_t caps;     /* the backend's, less what was missing when it was opened */
    bool no_zero_page; /* in this kernel: a read of a hole makes a page as a write does */
    struct ww_workers *workers;
    void *priv;      /* the backend's */
    uint64_t barred; /* bits of steps that open() must do without: a seccomp filter ends who takes them */
    struct ww_failure failure; /* of the last open() or check() that failed */
    struct ww_tracker *next;
};

/* What a scan is asked for: the written pages of [start, end). */
struct ww_scan {
    uintptr_t start;
    uintptr_t end;
    size_t max_pages; /* not 0 */
    size_t max_runs;  /* not 0; a backend finds at most WW_SCAN_VEC_LEN anyway */
    bool reset;       /* make clean what is reported */
    bool again; /* this scan has returned -ESTALE: track the range again first, as if all that exists there
                 * were written */
    bool dense; /* a page without a write-protect bit was written, whether it exists or not: ask
                 * for nothing but WRITTEN. True where every page exists and was reported before,
                 * and where markers stand for those that do not */
};

/*
 * A way to track writes. Every call that takes a region is made under the region's lock; ranges are page
 * aligned and inside the region. An entry may be NULL where its comment says what that means; the functions
 * at the end of this file know it.
 */
struct ww_backend {
    const char *name;
    uint32_t caps;        /* enum ww_cap, and internal ones */
    uint64_t steps;       /* bits of enum ww_step: what open() and check() may do */
    uint64_t dispensable; /* those that open() can do without */
    size_t nr_threads;    /* that must be idle for open() and check() */

    /* Once in a process, with nothing held, before the first open(): what must not be done under locks. NULL:
     * nothing. */
    void (*prepare)(void);

    /* Sets tracker->priv, and takes caps away that are missing here. 0, or a negative errno
     * whose step is in tracker->failure. NULL: there is nothing to open. */
    int (*open)(struct ww_tracker *tracker);

    /* Tries the effect on pages of its own: before the first use, when it takes caps away
     * that are missing, and when a scan has failed, with a copy of the tracker.
     * 0, or the negative errno for which this tracker is of no use, as above. NULL: it always works. */
    int (*check)(struct ww_tracker *tracker);

    /* Starts to track the region's range. Existing pages may come out as written. NULL: nothing to do. */
    int (*arm)(struct ww_region *region);

    /* @upper was cut off @region (both ranges are set already): share or divide priv. NULL: there is none. */
    int (*split)(struct ww_region *region, struct ww_region *upper);

    /* Undoes a split; @upper is released next. NULL: nothing to do. */
    void (*join)(struct ww_region *region, struct ww_region *upper);

    /*
     * Finds written pages, ascending, in at most scan->max_runs and WW_SCAN_VEC_LEN
     * entries of @vec, which are zero before. Categories may have PAGE_IS_PFNZERO: such a
     * page is written only if it was reported before. @ret_next is how far the
     * scan got: always beyond start. Returns the number of entries; a negative
     * errno means that nothing was reset and nothing is known. -ESTALE: part of the range is a new mapping.
     */
    ssize_t (*scan)(struct ww_region *region, const struct ww_scan *scan, struct page_region *vec,
                    uintptr_t *ret_next);

    /* Whether arm() left pages that count as written, because they existed before. NULL: never. */
    bool (*arm_left_dirty)(const struct ww_region *region);

    /* Whether a page of the range may be written, of any region or none: a quick
     * look without a lock, for signal handlers too. NULL: it may. */
    bool (*peek)(struct ww_tracker *tracker, uintptr_t start, uintptr_t end);

    /* scan() without a reset, with no lock held, of memory that may have been taken away meanwhile.
     * Changes nothing. NULL: it cannot. */
    ssize_t (*scan_lockless)(struct ww_tracker *tracker, const struct ww_scan *scan, struct page_region *vec,
                             uintptr_t *ret_next);

    /* The range's pages were dropped or its mapping replaced: nothing there is
     * written; track it again. NULL: nothing to do. */
    int (*discard)(struct ww_region *region, uintptr_t start, uintptr_t end);

    /* The range is to have protection @prot; written pages stay written. NULL: mprotect(2). */
    int (*protect)(struct ww_region *region, uintptr_t start, uintptr_t end, int prot);

    /* Installs @src in the pages from @start on that do not exist yet, without
     * marking them. Returns how many bytes it did before one that exists, or a
     * negative errno: -EEXIST, -EOPNOTSUPP. NULL: it cannot. */
    ssize_t (*fill)(struct ww_region *region, uintptr_t start, const void *src, size_t len);

    /*
     * From now on has missing pages of the range filled by @demand when they are
     * first touched; until the region is disarmed. Called again where the mapping was
     * replaced, and when a scan has failed, to see whether this still works.
     * NULL: it cannot.
     */
    int (*arm_missing)(struct ww_region *region, uintptr_t start, uintptr_t end, struct ww_demand *demand);

    /* Stops to track the whole range of the region; its mapping is still there. 0, or -ENOMEM
     * (vm.max_map_count): some of it may be tracked still. The region can stay then, and nothing that is
     * written meanwhile is lost, or be released all the same. NULL: nothing to do. */
    int (*disarm)(struct ww_region *region);

    /* Frees region->priv. NULL: there is none. */
    void (*release)(struct ww_region *region);

    /* Frees tracker->priv; no region of it is left. NULL: there is none. */
    void (*close)(struct ww_tracker *tracker);
};

/* backends/all.c: all that this program has, fastest first. */
extern const struct ww_backend *const ww_backends[];
extern const size_t ww_nr_backends;
extern const struct ww_backend ww_backend_uffd, ww_backend_uffd_sync, ww_backend_mprotect,
    ww_backend_softdirty, ww_backend_none;

/* Once in a process, before anything is held. */
void ww_backend_prepare(void);

/* Opens the named backend, or the best that works (NULL), as the context's first tracker; either has what the
 * context requires. Nothing is held. 0, or the negative errno of the first that was tried. */
int ww_backend_choose(struct ww_context *ctx, const char *name);

/* Opens a backend and tries it. 0 or a negative errno: -EOPNOTSUPP if it lacks one of the capabilities of
 * @need here. */
int ww_tracker_open(const struct ww_backend *backend, struct ww_workers *workers, uint32_t need,
                    struct ww_tracker *ret);

/* Opens the best backend whose capabilities have all of @need and none of @avoid. */
int ww_tracker_open_best(struct ww_tracker *ret, struct ww_workers *workers, uint32_t need, uint32_t avoid);

/* Tries a tracker that is open. 0 or a negative errno, as backend->check(). */
int ww_tracker_check(struct ww_tracker *tracker);

/* Makes the tracker the one that new regions get. tracker_lock is held, or nobody knows the context yet. */
void ww_tracker_put_first(struct ww_context *ctx, struct ww_tracker *tracker);

/* Ends all trackers of a context; no region is left. */
void ww_trackers_close(struct ww_context *ctx);

/* ---- a backend's functions, with their defaults ---- */

static inline bool ww_tracker_peek(struct ww_tracker *tracker, uintptr_t start, uintptr_t end)
{
    return !tracker->backend->peek || tracker->backend->peek(tracker, start, end);
}

static inline bool ww_backend_arm_left_dirty(const struct ww_region *region)
{
    const struct ww_backend *backend = region->tracker->backend;

    return backend->arm_left_dirty && backend->arm_left_dirty(region);
}

static inline int ww_backend_arm(struct ww_region *region)
{
    return region->tracker->backend->arm ? region->tracker->backend->arm(region) : 0;
}

static inline int ww_backend_disarm(struct ww_region *region)
{
    return region->tracker->backend->disarm ? region->tracker->backend->disarm(region) : 0;
}

static inline void ww_backend_release(struct ww_region *region)
{
    if (region->tracker->backend->release) {
        region->tracker->backend->release(region);
    }
}

static inline int ww_backend_split(struct ww_region *region, struct ww_region *upper)
{
    return region->tracker->backend->split ? region->tracker->backend->split(region, upper) : 0;
}

static inline void ww_backend_join(struct ww_region *region, struct ww_region *upper)
{
    if (region->tracker->backend->join) {
        region->tracker->backend->join(region, upper);
    }
}

static inline int ww_backend_discard(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    return region->tracker->backend->discard ? region->tracker->backend->discard(region, start, end) : 0;
}

static inline int ww_backend_protect(struct ww_region *region, uintptr_t start, uintptr_t end, int prot)
{
    if (region->tracker->backend->protect) {
        return region->tracker->backend->protect(region, start, end, prot);
    }
    return mprotect((void *)start, end - start, prot) ? -errno : 0;
}

static inline ssize_t ww_backend_fill(struct ww_region *region, uintptr_t start, const void *src, size_t len)
{
    return region->tracker->backend->fill ? region->tracker->backend->fill(region, start, src, len)
                                          : -EOPNOTSUPP;
}

static inline int ww_backend_arm_missing(struct ww_region *region, uintptr_t start, uintptr_t end,
                                         struct ww_demand *demand)
{
    if (!region->tracker->backend->arm_missing) {
        return -EOPNOTSUPP;
    }
    return region->tracker->backend->arm_missing(region, start, end, demand);
}

#endif
