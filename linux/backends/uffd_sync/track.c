/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes the uffd-sync backend track a range: registers it as its kind of memory requires, protects it, and
 * finds mappings that were replaced without a call of ours. Knows mappings; of dirty bits only that pages
 * that were not tracked must have them.
 */
#include <errno.h>
#include <sys/mman.h>

#include "backends/uffd_sync/uffd_sync.h"
#include "kernel/advice.h"
#include "kernel/entries.h"
#include "kernel/proc_maps.h"
#include "kernel/survey.h"
#include "process/heap.h"

/* The most probes for the borders of mappings before this reads the list of all mappings. */
#define MAX_PROBES 256

static void mark_dirty(void *arg, uintptr_t start, uintptr_t end)
{
    struct ww_sync_pages *pages = arg;

    ww_bits_change(pages->dirty, ww_sync_page_index(pages, start), ww_sync_page_index(pages, end), true);
}

/* The kind of all mappings of the range; -EINVAL if it has both. */
static int kind_of_all(const struct ww_sync *sync, uintptr_t start, uintptr_t end)
{
    int kind = ww_sync_kind(sync, start, end), upper;
    uintptr_t mid = start + ((((end - start) >> ww_page_shift) / 2) << ww_page_shift);

    if (kind != WW_SYNC_LOST) {
        return kind;
    }
    if (mid == start) {
        return -ENOMEM;
    }
    kind = kind_of_all(sync, start, mid);
    upper = kind < 0 ? kind : kind_of_all(sync, mid, end);
    return upper < 0 || upper == kind ? upper : -EINVAL;
}

/* The same for memory that was shared before, of which ww_sync_kind() would open pages. Nobody could tell
 * later which were written. */
static int kind_by_maps(const struct ww_sync *sync, struct ww_sync_pages *pages, uintptr_t start,
                        uintptr_t end)
{
    struct ww_mapped mapped;

    if (!ww_mapped_survey(start, end, &mapped) && (mapped.shared || mapped.private_anonymous)) {
        return mapped.shared ? WW_SYNC_SHARED : WW_SYNC_PRIVATE;
    }
    mark_dirty(pages, start, end);
    return kind_of_all(sync, start, end);
}

/*
 * Registers private memory for missing pages as well: before 6.4 nothing else shows writes to them, and
 * later it would cost page tables. Shared memory is not registered for them: its protection also holds for
 * missing pages, and a page can be missing here while it exists in another process.
 */
static int track_private(const struct ww_sync *sync, struct ww_sync_pages *pages, uintptr_t start,
                         uintptr_t end, bool keep_written, struct ww_failure *failure)
{
    int err = ww_fail(failure, WW_STEP_REGISTER, ww_sync_register(sync, start, end, true));

    /* From here on the handler records a write to a missing page. */
    if (!err && keep_written) {
        ww_existing_pages(start, end, false, mark_dirty, pages);
    }
    if (!err && sync->user_mode_only) {
        err = ww_fail(failure, WW_STEP_ZEROPAGE, ww_sync_fill_holes(sync, start, end));
    }
    return err;
}

int ww_sync_track(const struct ww_sync *sync, struct ww_sync_pages *pages, uintptr_t start, uintptr_t end,
                  bool keep_written, struct ww_failure *failure)
{
    int kind = keep_written && atomic_load(&pages->shared) ? kind_by_maps(sync, pages, start, end)
                                                           : kind_of_all(sync, start, end);
    int err = ww_fail(failure, WW_STEP_CONTINUE, kind < 0 ? kind : 0);

    /* The kernel treats a mapping of /dev/zero as anonymous memory, but lets nobody fill its missing
     * pages. */
    if (!err && kind == WW_SYNC_PRIVATE && pages->private_file && sync->tells_lost) {
        err = -EINVAL;
    }
    if (!err && kind == WW_SYNC_PRIVATE) {
        err = track_private(sync, pages, start, end, keep_written, failure);
    }
    if (err) {
        return err;
    }
    if (kind == WW_SYNC_SHARED) {
        atomic_store(&pages->shared, true);
    }
    err = ww_fail(failure, WW_STEP_WRITEPROTECT, ww_sync_protect(sync, start, end));
    if (!err && kind == WW_SYNC_SHARED && keep_written) {
        ww_existing_pages(start, end, true, mark_dirty, pages);
    }
    return err;
}

static struct ww_sync_pages *new_sync_pages(uintptr_t start, uintptr_t end)
{
    size_t nr_pages = (end - start) >> ww_page_shift;
    size_t len = sizeof(struct ww_sync_pages) + (nr_pages + 63) / 64 * sizeof(uint64_t);
    struct ww_sync_pages *pages = ww_heap_map(len, 0);

    if (!pages) {
        return NULL;
    }
    pages->base = start;
    pages->nr_pages = nr_pages;
    pages->map_len = len;
    pages->refs = 1;
    return pages;
}

void ww_sync_put_pages(const struct ww_sync *sync, struct ww_sync_pages *pages)
{
    if (atomic_fetch_sub(&pages->refs, 1) == 1 && !atomic_load(&sync->hung)) {
        munmap(pages, pages->map_len);
    }
}

int ww_sync_arm(struct ww_region *region, struct ww_failure *failure)
{
    struct ww_sync *sync = region->tracker->priv;
    uintptr_t start = region->range.start, end = region->range.end;
    struct ww_sync_entry entry = { .start = start, .end = end };
    /* The handler answers faults by small pages, which a huge page does not consist of. */
    int err = region->page_size > ww_page_size() ? -EINVAL : ww_keep_pages_small(start, end);

    if (err) {
        return ww_fail(failure, WW_STEP_MADVISE, err);
    }
    if (atomic_load(&sync->broken) || !ww_sync_is_ours(sync)) {
        return ww_fail(failure, WW_STEP_TEST_SYNC, -EIO);
    }
    entry.pages = new_sync_pages(start, end);
    if (!entry.pages) {
        return ww_fail_memory(failure);
    }
    entry.pages->private_file = region->private_file;
    err = ww_sync_table_add(sync, &entry);
    if (err) {
        ww_fail(failure, err == -ENOMEM ? WW_STEP_MEMORY : WW_STEP_TEST_SYNC, err);
        ww_sync_put_pages(sync, entry.pages);
        return err;
    }
    /* If it fails, another descriptor has registered the range, and kernels such as 6.1 would let us end
     * that. After -ENOMEM the kernel could not cut a mapping, and what is registered is ours. */
    err = ww_fail(failure, WW_STEP_REGISTER, ww_sync_register(sync, start, end, false));
    if (!err) {
        err = ww_sync_track(sync, entry.pages, start, end, false, failure);
        if (err) {
            ww_sync_unregister(sync, start, end);
        }
    } else if (err == -ENOMEM) {
        ww_sync_unregister(sync, start, end);
    }
    if (err) {
        ww_sync_table_remove(sync, &entry);
        ww_sync_put_pages(sync, entry.pages);
        return err;
    }
    region->priv = entry.pages;
    return 0;
}

/* ---- mappings that were replaced ---- */

/* Whether the range is still one tracked mapping: 1, 0 or a negative errno. */
static int is_whole(const struct ww_region *region, uintptr_t start, uintptr_t end)
{
    const struct ww_sync *sync = region->tracker->priv;
    struct ww_sync_pages *pages = region->priv;
    int kind;

    if (atomic_load(&pages->shared)) {
        return ww_sync_is_registered(sync, start, end);
    }
    kind = ww_sync_kind(sync, start, end);
    return kind < 0 ? kind : kind != WW_SYNC_LOST;
}

/* Whether all of the range is still tracked: 1, 0 or a negative errno. Returns 0 if finding out takes too
 * many probes. */
static int is_tracked(const struct ww_region *region, uintptr_t start, uintptr_t end, int *nr_probes)
{
    uintptr_t mid = start + ((((end - start) >> ww_page_shift) / 2) << ww_page_shift);
    int ret = is_whole(region, start, end);

    if (ret) {
        return ret;
    }
    if (mid == start || ++*nr_probes > MAX_PROBES) {
        return 0;
    }
    ret = is_tracked(region, start, mid, nr_probes);
    return ret == 1 ? is_tracked(region, mid, end, nr_probes) : ret;
}

void ww_sync_mark_uncertain(struct ww_sync *sync, struct ww_sync_pages *pages, uintptr_t start, uintptr_t end)
{
    ww_lock(&sync->table_lock, WW_RANK_BACKEND);
    if (pages->uncertain_start == pages->uncertain_end) {
        pages->uncertain_start = start;
        pages->uncertain_end = end;
    } else {
        pages->uncertain_start = start < pages->uncertain_start ? start : pages->uncertain_start;
        pages->uncertain_end = end > pages->uncertain_end ? end : pages->uncertain_end;
    }
    ww_unlock(&sync->table_lock, WW_RANK_BACKEND);
}

/* Takes the uncertain part of the region, if what is left is one range. False: there is none. */
static bool take_uncertain(const struct ww_region *region, struct ww_range *ret)
{
    struct ww_sync *sync = region->tracker->priv;
    struct ww_sync_pages *pages = region->priv;
    uintptr_t start, end;

    ww_lock(&sync->table_lock, WW_RANK_BACKEND);
    start = pages->uncertain_start > region->range.start ? pages->uncertain_start : region->range.start;
    end = pages->uncertain_end < region->range.end ? pages->uncertain_end : region->range.end;
    if (start < end && start == pages->uncertain_start) {
        pages->uncertain_start = end;
    } else if (start < end && end == pages->uncertain_end) {
        pages->uncertain_end = start;
    }
    ww_unlock(&sync->table_lock, WW_RANK_BACKEND);
    *ret = (struct ww_range){ .start = start, .end = end };
    return start < end;
}

/* Tracks a mapping again. Nothing is protected, so all of it is dirty, also if this fails. */
static void track_again(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_sync *sync = region->tracker->priv;
    struct ww_sync_pages *pages = region->priv;
    int err, kind;

    region->lost = true;
    ww_bits_change(pages->dirty, ww_sync_page_index(pages, start), ww_sync_page_index(pages, end), true);
    ww_keep_pages_small(start, end);
    err = ww_sync_register(sync, start, end, false);
    kind = err ? WW_SYNC_LOST : ww_sync_kind(sync, start, end);
    if (kind == WW_SYNC_SHARED) {
        atomic_store(&pages->shared, true);
    } else if (kind == WW_SYNC_PRIVATE) {
        err = track_private(sync, pages, start, end, false, NULL);
    } else if (!err) {
        ww_sync_unregister(sync, start, end);
    }
    if (err) {
        ww_sync_mark_uncertain(sync, pages, start, end);
    }
}

/* Works without the list of mappings: halves a range that is not one tracked mapping, down to pages.
 * Tracks again what is not tracked, or everything if @all. */
static int find_lost_by_halves(struct ww_region *region, uintptr_t start, uintptr_t end, bool all)
{
    uintptr_t mid = start + ((((end - start) >> ww_page_shift) / 2) << ww_page_shift);
    int whole = is_whole(region, start, end), err;

    if (whole < 0) {
        return whole;
    }
    if (whole || mid == start) {
        if (!whole || all) {
            track_again(region, start, end);
        }
        return 0;
    }
    err = find_lost_by_halves(region, start, mid, all);
    return err ? err : find_lost_by_halves(region, mid, end, all);
}

/* Checks each mapping of the range. */
static int find_lost(struct ww_region *region, uintptr_t start, uintptr_t end, bool all)
{
    struct ww_mapping mapping;
    struct ww_maps maps;
    int whole = 0, found = 1;

    if (ww_maps_open(&maps, 0, 0)) {
        return find_lost_by_halves(region, start, end, all);
    }
    while (start < end && whole >= 0 && (found = ww_maps_next(&maps, &mapping)) > 0 && mapping.start < end) {
        uintptr_t from = mapping.start > start ? mapping.start : start;
        uintptr_t to = mapping.end < end ? mapping.end : end;

        if (from >= to) {
            continue;
        }
        whole = is_whole(region, from, to);
        if (!whole || (all && whole > 0)) {
            track_again(region, from, to);
        }
        start = to;
    }
    ww_maps_close(&maps);
    if (found < 0) {
        return find_lost_by_halves(region, start, end, all);
    }
    return whole < 0 ? whole : 0;
}

int ww_sync_recover(struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_range uncertain;
    int nr_probes = 0, ret = 0;

    if (take_uncertain(region, &uncertain)) {
        ret = find_lost(region, uncertain.start, uncertain.end, true);
    }
    if (ret) {
        ww_sync_mark_uncertain(region->tracker->priv, region->priv, uncertain.start, uncertain.end);
        return ret;
    }
    ret = is_tracked(region, start, end, &nr_probes);
    if (ret) {
        return ret < 0 ? ret : 0;
    }
    return find_lost(region, start, end, false);
}
