/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libwritewatch: which pages of a range were written since the last reset?
 *
 * This is the whole public contract. Every backend meets it; where a backend
 * cannot, a capability bit says so (see enum ww_cap).
 *
 * Errors are negative errno values; the ones a function can return stand in its
 * comment. Nothing here prints, aborts or changes errno's meaning for the caller.
 *
 * Threads: every call but ww_close() may be made from any thread at any time.
 * All signals but the synchronous ones are blocked while a lock is held, so a
 * thread that is suspended by a signal never holds one. No call but ww_strerror()
 * may be made from a signal handler.
 *
 * Fork: a child inherits neither watches nor the right to use the handle: every
 * call on it returns -ECHILD and touches nothing of the parent's. ww_close()
 * then frees the child's copy.
 */
#ifndef WRITEWATCH_H
#define WRITEWATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WW_VERSION_MAJOR 0
#define WW_VERSION_MINOR 2

/* One set of watched ranges of this process, tracked by one backend. */
struct ww_context;

/* The bytes from start up to, not including, end; both multiples of the page size. */
struct ww_range {
    uintptr_t start;
    uintptr_t end;
};

/* What a backend can do. Tests and callers decide by these, never by a name. */
enum ww_cap {
    WW_CAP_ATOMIC_RESET = 1u << 0,   /* get with WW_GET_RESET loses no concurrent write */
    WW_CAP_KERNEL_WRITES = 1u << 1,  /* read(2), recv(2)... into clean pages work and are recorded */
    WW_CAP_LOST_DETECTED = 1u << 2,  /* a mapping replaced behind our back is noticed and re-armed */
    WW_CAP_FREE_ARMING = 1u << 3,    /* watching costs no time and no memory per untouched page */
    WW_CAP_OWNS_PROT = 1u << 4,      /* protections must be changed with ww_protect() */
    WW_CAP_EXACT = 1u << 5,          /* no page is reported that was not written */
    WW_CAP_SHARED = 1u << 6,         /* shared anonymous memory and memfds can be watched */
    WW_CAP_FILL = 1u << 7,           /* ww_fill() works */
    WW_CAP_FILL_ON_DEMAND = 1u << 8, /* ww_fill_on_demand() works */
    WW_CAP_KERNEL_FILLS = 1u << 9,   /* read(2), write(2)... may be the first to touch a page on demand */
    WW_CAP_FILES = 1u << 10,         /* file mappings can be watched */
    WW_CAP_HUGETLB = 1u << 11,       /* pages of hugetlbfs can be watched, each reported as a whole */
};

/* Flags of ww_watch(). */
enum ww_watch_flag {
    /* The caller promises that the program touched no page of the range since it
     * was mapped. Without it, pages that exist already are made clean first, which
     * costs time in proportion to them. What the kernel brings in by itself is no
     * touch, and is made clean as well, for the same cost: by MAP_POPULATE, where
     * mlockall(2) has MCL_FUTURE, or in a huge page for a fault beside the range. */
    WW_WATCH_FRESH = 1u << 0,
    /* The caller promises that the range is private anonymous memory of small pages.
     * Spares looking that up, whose cost grows with the number of mappings. If it
     * is something else, reads of shared or file pages may count as writes, and the kernel may lose a write
     * when it reclaims the page. */
    WW_WATCH_PRIVATE_ANONYMOUS = 1u << 1,
};

/* Flags of ww_get_pages() and ww_get_ranges(). */
enum ww_get_flag {
    /* Reset what is reported, and only that, atomically against writers. */
    WW_GET_RESET = 1u << 0,
};

/* Whether one backend works here. */
struct ww_probe {
    const char *name;   /* as ww_open() takes it */
    uint32_t caps;      /* enum ww_cap */
    int error;          /* 0: usable; else the negative errno that stopped it */
    const char *reason; /* step, errno and meaning: a sentence without a full stop, never NULL */
    const char *remedy; /* what would make it usable; NULL where it is usable or nothing would */
};

/*
 * Reports which backends work in this process, best first. Tests each by its effect on a few pages of its
 * own.
 *
 * Writes at most @capacity entries. Returns how many backends there are, or -EINVAL (ret_probes NULL with
 * a capacity). Costs well under a millisecond; under a seccomp filter also a child for each backend, as
 * for ww_open(), which tries first what the filter allows.
 */
ssize_t ww_probe(struct ww_probe *ret_probes, size_t capacity);

/*
 * Opens a context.
 *
 * @backend names one backend ("uffd", "uffd-sync", "mprotect", "softdirty", "none"); NULL takes the
 * environment variable WW_BACKEND (ignored in setuid programs), and without it the best one whose effect was
 * seen to work.
 *
 * Returns 0; -EINVAL (ret_ctx NULL, unknown backend); -ENOMEM; -EMFILE, -ENFILE;
 * -EAGAIN (uffd-sync: no thread can be started; under a seccomp filter: no child);
 * or the errno of the step at which the backend does not work here, which ww_probe() names. The
 * usual ones are -EPERM and -ENOSYS (it is denied or missing, or a seccomp filter would end the program
 * for it), -EOPNOTSUPP (the kernel's EINVAL) and -ENOTTY (the kernel lacks the feature), -EACCES and
 * -ENOENT (no /proc), -EIO (the self test gave wrong answers, or the kernel is known to give some).
 */
int ww_open(struct ww_context **ret_ctx, const char *backend);

/*
 * Opens a context with a backend that has all capabilities of @required, bits of enum
 * ww_cap: the one that @backend names as for ww_open(), or else the best of those that
 * have them. ww_open() requires none.
 *
 * If the backend begins to fail later, only one that has them takes over. Where there is
 * none, every page counts as written from then on, and ww_backend_caps() tells what is left.
 *
 * Returns what ww_open() returns; -EINVAL (unknown bits in @required); -EOPNOTSUPP (the named
 * backend, or each one that works here, lacks one of them). Costs what ww_open() costs.
 */
int ww_open_with(struct ww_context **ret_ctx, const char *backend, uint32_t required);

/* Ends all watches of a context and frees it. NULL is allowed. No other thread may be inside a call on it. */
void ww_close(struct ww_context *ctx);

/* The name of the backend in use, for display. Static. */
const char *ww_backend_name(const struct ww_context *ctx);

/* The capabilities of the backend in use: bits of enum ww_cap. */
uint32_t ww_backend_caps(const struct ww_context *ctx);

/*
 * Starts watching [@addr, @addr + @len), memory of this process. Both must be multiples of the page size,
 * @len not 0. After the return, a page is reported if it was written, and if the backend has WW_CAP_EXACT
 * only then. One exception: near vm.max_map_count the mprotect backend reports more, since it then opens
 * whole runs.
 *
 * Every backend can watch private anonymous memory. Shared anonymous memory and memfds need WW_CAP_SHARED,
 * file mappings WW_CAP_FILES; only writes through this mapping are seen, not those through another one or by
 * write(2) to the file. hugetlb memory needs WW_CAP_HUGETLB (else -EINVAL), and is tracked and reported by
 * whole huge pages, which the range must not cut.
 *
 * One call makes one region. Regions that touch stay apart: no call below takes
 * a range that leaves its region. Watched memory gets no huge pages and is not
 * merged by KSM (MADV_NOHUGEPAGE and MADV_UNMERGEABLE are
 * applied and remain after ww_unwatch()). Where a program asks for merging again
 * (MADV_MERGEABLE), the first write to a merged page may be lost.
 *
 * A region cuts the mapping that it lies in: two mappings more, of which
 * vm.max_map_count allows 65,530 by default, until the memory is unmapped; none
 * where it is a whole mapping or touches other regions on both sides. Where regions
 * have taken many, a sixteenth of that limit is kept for the program.
 *
 * Returns 0; -EINVAL (not aligned, empty, wraps around, unknown flag, or a
 * mapping that the backend cannot track); -EEXIST (overlaps a region); -EBUSY
 * (another context or userfaultfd tracks it); -ENOMEM (no memory, part of the
 * range is not mapped, or too few mappings are left); -EPERM (may never be written); -EMFILE, -ENFILE,
 * -ENOENT, -EACCES (mprotect: /proc/self/maps); -EBADF, -EIO (the program has closed a descriptor of
 * the library's, and no other can be opened now); -ECHILD. On error nothing is
 * watched.
 * O(log regions) with WW_WATCH_FRESH and WW_WATCH_PRIVATE_ANONYMOUS where the backend has
 * WW_CAP_FREE_ARMING; without the latter also O(mappings of the process); shared
 * memory and files: O(pages).
 */
int ww_watch(struct ww_context *ctx, void *addr, size_t len, unsigned int flags);

/*
 * Stops watching [@addr, @addr + @len). The range may cover any number of regions and unwatched memory
 * between them; a region that is cut goes on as one or two smaller ones. Call it before the memory is
 * unmapped.
 *
 * Returns 0, -EINVAL (not aligned, empty, wraps around, cuts a huge page), -ENOMEM (no memory to split a
 * region, or no mapping is left to cut one: all of it stays watched, pages of the range may count as
 * written, and pages on demand that are touched meanwhile may become zeros), -EDEADLK (a callback of
 * ww_fill_on_demand() made the call, and it would wait for itself), -ECHILD.
 */
int ww_unwatch(struct ww_context *ctx, void *addr, size_t len);

/*
 * Finds the region that holds @addr. Returns 0 and sets *@ret_range, or
 * -ENOENT, -EINVAL, -ECHILD. O(log regions).
 */
int ww_find(struct ww_context *ctx, const void *addr, struct ww_range *ret_range);

/*
 * Finds the first region that ends behind @addr: the one that holds it, or else the
 * next one. A loop that begins with NULL and goes on with @ret_range->end visits all
 * regions by ascending ends, each as it is at that moment; those that come or go during
 * the loop may be left out.
 *
 * Returns 0 and sets *@ret_range, or -ENOENT (there is none), -EINVAL (NULL), -ECHILD.
 * O(log regions).
 */
int ww_next(struct ww_context *ctx, const void *addr, struct ww_range *ret_range);

/*
 * The addresses of the pages of [@addr, @addr + @len) that were written since they were last reset,
 * ascending, each once. The range is rounded out to pages and must lie within one region.
 *
 * Writes at most @capacity addresses and nothing beyond those it returns. With WW_GET_RESET it resets
 * exactly the pages that it returns. If it returns @capacity, there may be more: go on after the last
 * address (a backend without WW_CAP_EXACT may report what was reset again and again). If another thread
 * unwatches the range in the middle, the answer ends there.
 *
 * A write that is over when the call begins is reported by this call (or was by one that reset it). A
 * write that runs at the same time is reported by this call or the next. None is lost. A page may be
 * reported that was about to be written. If the kernel fails in the middle, all pages whose state is
 * unknown are reported.
 *
 * Returns the number of addresses; -EINVAL (NULL, empty, wraps around, unknown flag, capacity 0); -ENOENT
 * (not within one region); -ENOMEM; -ECHILD.
 */
ssize_t ww_get_pages(struct ww_context *ctx, const void *addr, size_t len, unsigned int flags,
                     void **ret_pages, size_t capacity);

/*
 * As ww_get_pages(), but returns runs. Runs ascend, do not overlap, and may touch: join them if that
 * matters. Returns the number of runs.
 */
ssize_t ww_get_ranges(struct ww_context *ctx, const void *addr, size_t len, unsigned int flags,
                      struct ww_range *ret_ranges, size_t capacity);

/* How many pages ww_get_pages() would return now. Resets nothing. Same errors. */
ssize_t ww_count(struct ww_context *ctx, const void *addr, size_t len);

/*
 * Resets [@addr, @addr + @len), rounded out to pages, within one region: its pages are clean then. Returns
 * 0, -EINVAL, -ENOENT, -ENOMEM, -ECHILD. If the kernel refuses, the pages stay reported.
 */
int ww_reset(struct ww_context *ctx, const void *addr, size_t len);

/*
 * Records in the library's own memory which pages of the range are dirty, so that they stay reported when
 * the pages themselves are dropped (ww_discard()). It changes no answer. Same range rules and errors as
 * ww_reset().
 */
int ww_latch(struct ww_context *ctx, const void *addr, size_t len);

/*
 * Tells the library that the pages of the range were dropped (MADV_DONTNEED), or that fresh private anonymous
 * memory has replaced its mapping (mmap with MAP_FIXED). What was written there no longer counts, unless it
 * was latched; the range is armed again. Same range rules and errors as ww_reset(), and those of ww_watch():
 * if the range cannot be armed again, all of it counts as written. With WW_CAP_OWNS_PROT the range gets the
 * protections again that it had: set others with ww_protect().
 *
 * Without this call nothing is lost either: a replaced mapping is noticed where
 * the backend has WW_CAP_LOST_DETECTED and its pages then count as written; and
 * pages that were reported or filled before they were dropped (all that were dropped, where
 * the range has shared memory or a file beside it) may be reported once more: when they are
 * read, or at once where all of the range that is asked for, or 32 MB of it in a row, had
 * been reported.
 *
 * New pages that exist when it is called count as written, because the program may have written them already:
 * also those that MAP_POPULATE has brought in, or a huge page for a fault beside the range. Exceptions are
 * those that the kernel brings in after mlockall(2) with MCL_FUTURE, and shared ones that it has swapped out
 * by then.
 */
int ww_discard(struct ww_context *ctx, const void *addr, size_t len);

/*
 * Changes the protection of the range, @prot as for mprotect(2). If the backend has WW_CAP_OWNS_PROT, call
 * it in place of mprotect(2); with other backends it is mprotect(2). Same range rules and errors as
 * ww_reset(), and those of mprotect(2).
 */
int ww_protect(struct ww_context *ctx, void *addr, size_t len, int prot);

/*
 * Gives missing pages their first content. They do not count as written until the program writes them.
 * @dst and @len are multiples of the page size, @len not 0, within one region. Fills up to the first page
 * that exists already, even if that is a zero page that was read; call again after it. Never changes a
 * page that exists, not even if another thread begins to use it at the same time.
 *
 * Pages that were latched before stay reported. Pages that were dropped (ww_discard()) can be filled
 * again, and so can pages that a callback of ww_fill_on_demand() failed for. Protections of the range do
 * not matter. Some backends can also fill memory that is not private and anonymous, but never files on
 * disk, private mappings of /dev/zero and huge pages. With WW_CAP_OWNS_PROT, a thread that reads a page at
 * the very moment may find zeros in it first.
 *
 * Returns the number of bytes, a multiple of the page size, less than @len if a page exists or another
 * error came later; or -EEXIST (the first page exists); -EOPNOTSUPP (WW_CAP_FILL is missing, huge pages, a
 * sandbox that denies it); -EINVAL (not aligned, empty, wraps around, NULL, or memory that cannot be filled);
 * -ENOENT (not within one region, or its mapping was replaced); -EFAULT (@src cannot be read; a signal where
 * a sandbox denies process_vm_readv(2)); -EBADF (the program has closed a descriptor of the library's);
 * -ENOMEM; -ECHILD. Takes about twice as long for a page as the first write to it would.
 */
ssize_t ww_fill(struct ww_context *ctx, void *dst, const void *src, size_t len);

/*
 * Provides the content of [@addr, @addr + @len), one page, or several if threads wait for neighbours:
 * writes it to @page, a buffer of the library's that is all zero. Returns 0, or anything else for an
 * error; after an error for several pages it is called for each of them. It may be called again for a page
 * that it has provided before.
 *
 * Runs in a thread of the library's, one at a time, with no lock held and all signals but the synchronous
 * ones blocked. It must not touch missing pages of an on-demand range of the same context, nor wait for a
 * thread that may.
 */
typedef int (*ww_fill_fn)(void *arg, uintptr_t addr, void *page, size_t len);

/*
 * From now on pages of [@addr, @addr + @len) that do not exist get their content from @fill at the first
 * access, read or write, and count as written only if they are written. The range consists of whole pages and
 * lies within one region. Pages that exist stay as they are. A page that is dropped (MADV_DONTNEED,
 * ww_discard()) comes from @fill again. The first call of a context makes two threads; one of them sleeps
 * until the backend has to be opened again.
 *
 * If @fill fails for a page, or there is no memory for it, accesses to it end in SIGBUS
 * until it is dropped or filled by ww_fill(); where the kernel can do neither (/dev/zero
 * watched with WW_WATCH_PRIVATE_ANONYMOUS), until other memory is mapped there.
 *
 * Demand paging ends with ww_unwatch() of the range or ww_close(). Both wait for a callback that runs for the
 * range, so a callback must call neither; after that none begins. Pages that are still missing then are
 * filled with zeros as usual, also for threads that wait already.
 *
 * A thread that touches such a page waits for @fill. Without WW_CAP_KERNEL_FILLS, a system call (or another
 * process) that touches it gets EFAULT instead. A child of fork finds zeros in pages that were missing in its
 * parent. A thread that reads memory that was mapped over the range finds zeros, too, until ww_discard() puts
 * that memory on demand. A part that mremap(2) moves is not on demand any more. If the kernel begins to
 * refuse, the range stays on demand while that works, and all its pages count as written. The memory must not
 * be that of malloc() or a stack.
 *
 * Returns 0; -EINVAL (not aligned, empty, wraps around, @fill is NULL, a file on disk, a private mapping of
 * /dev/zero); -ENOENT (not within one region); -EEXIST (part of it is on demand already); -EOPNOTSUPP
 * (WW_CAP_FILL_ON_DEMAND is missing); -EAGAIN (no thread); -ENOMEM; -EBADF (the program has closed a
 * descriptor of the library's); -EBUSY;
 * -ECHILD. On error nothing is on demand. Costs time in proportion to the pages that exist; a page later,
 * besides @fill, about six times as much as its first write would.
 */
int ww_fill_on_demand(struct ww_context *ctx, void *addr, size_t len, ww_fill_fn fill, void *arg);

/*
 * Says in words what @error, a negative errno that a call declared in writewatch*.h has
 * returned, means here: one sentence without a full stop. Other errors get the words of the C
 * library, if it has any that are not translated; 0 and what is greater is no error.
 *
 * Never NULL. Static. May be called by any thread, and from a signal handler, at any time.
 */
const char *ww_strerror(int error);

/* "major.minor.micro" of the library that is loaded. Static. */
const char *ww_version(void);

#ifdef __cplusplus
}
#endif

#endif
