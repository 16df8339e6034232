/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's side of the soft-dirty backend: reads /proc/self/pagemap, by PAGEMAP_SCAN if that knows the
 * bit (6.8), else entry by entry, and /proc/self/maps, and writes to /proc/self/clear_refs. Knows nothing of
 * regions.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "backends/softdirty/softdirty.h"
#include "kernel/entries.h"
#include "kernel/facts.h"
#include "kernel/proc_maps.h"
#include "kernel/scan.h"
#include "kernel/survey.h"
#include "process/raw.h"

/* The kernel fills it. The owner's lock (softdirty.c) lets one caller at a time use it. */
static union {
    struct page_region runs[WW_SCAN_VEC_LEN];
    uint64_t entries[2048];
    struct ww_maps maps;
} buffer;

static int open_proc_file(struct ww_fd *ret, const char *path, int flags, enum ww_step step,
                          struct ww_failure *failure)
{
    int fd = ww_open_file(path, flags);

    return fd < 0 ? ww_fail(failure, step, fd) : ww_fail(failure, WW_STEP_FSTAT, ww_fd_take(ret, fd));
}

static int open_list(struct ww_fd *ret, struct ww_failure *failure)
{
    int fd = ww_open_file("/proc/self/maps", O_RDONLY);

    return fd < 0 ? ww_fail(failure, WW_STEP_MAPS, fd)
                  : ww_fail(failure, WW_STEP_FSTAT, ww_fd_take_in_place(ret, fd));
}

int ww_softdirty_open(struct softdirty *sd, struct ww_failure *failure)
{
    int err;

    ww_fd_init(&sd->pagemap, -1);
    ww_fd_init(&sd->clear_refs, -1);
    ww_fd_init(&sd->maps, -1);
    err = open_proc_file(&sd->pagemap, "/proc/self/pagemap", O_RDONLY, WW_STEP_PAGEMAP, failure);
    if (!err) {
        err = open_proc_file(&sd->clear_refs, "/proc/self/clear_refs", O_WRONLY, WW_STEP_CLEAR_REFS, failure);
    }
    if (!err) {
        err = open_list(&sd->maps, failure);
    }
    if (err) {
        ww_softdirty_close(sd);
    } else {
        sd->guard = ww_guard_category(sd->pagemap.fd);
    }
    return err;
}

/* Adds the soft-dirty pages of a range to @into, and sets *ret_found if there are any. */
static int read_runs(const struct softdirty *sd, uintptr_t start, uintptr_t end, struct ww_page_set *into,
                     bool *ret_found)
{
    while (start < end) {
        const struct ww_page_scan request = {
            .start = start,
            .end = end,
            .category_inverted = sd->guard,
            .category_mask = PAGE_IS_SOFT_DIRTY | sd->guard,
            .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            .return_mask = PAGE_IS_SOFT_DIRTY,
            .vec = buffer.runs,
            .vec_len = WW_SCAN_VEC_LEN,
        };
        uint64_t walk_end;
        int nr = ww_scan_pages(sd->pagemap.fd, &request, &walk_end);

        if (nr == -EINTR || nr == -EAGAIN) {
            ww_wait_moment();
            continue;
        }
        if (nr < 0 || walk_end <= start) {
            return nr < 0 ? nr : -EIO;
        }
        for (int i = 0; i < nr; i++) {
            ww_page_set_add(into, buffer.runs[i].start, buffer.runs[i].end);
        }
        *ret_found |= nr > 0;
        start = walk_end;
    }
    return 0;
}

static bool is_written(uint64_t entry)
{
    return (entry & PM_SOFT_DIRTY) && (entry & (PM_PRESENT | PM_SWAP)) && !(entry & PM_GUARD_REGION);
}

/* Does the same by reading an entry for every page. */
static int read_entries(const struct softdirty *sd, uintptr_t start, uintptr_t end, struct ww_page_set *into,
                        bool *ret_found)
{
    uint64_t *entries = buffer.entries;

    while (start < end) {
        size_t wanted = (end - start) >> ww_page_shift, first = 0,
               most = sizeof(buffer.entries) / sizeof(*entries);
        ssize_t nr = ww_entries_read(sd->pagemap.fd, start, entries, wanted < most ? wanted : most);

        if (nr <= 0) {
            return nr ? nr : -EIO;
        }
        for (size_t i = 0; i <= (size_t)nr; i++) {
            if (i < (size_t)nr && is_written(entries[i])) {
                continue;
            }
            if (i > first) {
                ww_page_set_add(into, start + (first << ww_page_shift), start + (i << ww_page_shift));
                *ret_found = true;
            }
            first = i + 1;
        }
        start += (uintptr_t)nr << ww_page_shift;
    }
    return 0;
}

int ww_softdirty_read(const struct softdirty *sd, uintptr_t start, uintptr_t end, struct ww_page_set *into,
                      bool *ret_found)
{
    /* The number may be another file's by now. A read of that could succeed and show that nothing was
     * written. */
    if (!ww_fd_is_ours(&sd->pagemap)) {
        return -EBADF;
    }
    return sd->scans ? read_runs(sd, start, end, into, ret_found)
                     : read_entries(sd, start, end, into, ret_found);
}

int ww_softdirty_find_others(const struct softdirty *sd, uintptr_t start, uintptr_t end,
                             struct ww_page_set *into)
{
    struct ww_maps *maps = &buffer.maps;
    struct ww_mapping mapping;
    int found;

    if (!ww_fd_is_ours(&sd->maps)) {
        return -EBADF;
    }
    found = ww_maps_init(maps, sd->maps.fd, 0);
    if (found) {
        return found;
    }
    while ((found = ww_maps_next(maps, &mapping)) > 0 && mapping.start < end) {
        if (mapping.end > start && !ww_mapping_is_private_anonymous(&mapping)) {
            ww_page_set_add(into, mapping.start > start ? mapping.start : start,
                            mapping.end < end ? mapping.end : end);
        }
    }
    return found < 0 ? found : 0;
}

int ww_softdirty_clear(const struct softdirty *sd)
{
    ssize_t len;

    /* The number may be another file's by now, which a write would damage. */
    if (!ww_fd_is_ours(&sd->clear_refs)) {
        return -EBADF;
    }
    do {
        len = write(sd->clear_refs.fd, "4", 1);
    } while (len < 0 && errno == EINTR);
    return len == 1 ? 0 : len < 0 ? -errno : -EIO;
}

int ww_softdirty_look(const struct softdirty *sd)
{
    int looked = ww_fd_look(&sd->pagemap);

    if (looked > 0) {
        looked = ww_fd_look(&sd->clear_refs);
    }
    if (looked > 0) {
        looked = ww_fd_look(&sd->maps);
    }
    return looked > 0 ? 0 : looked ? looked : -EBADF;
}

void ww_softdirty_close(struct softdirty *sd)
{
    ww_fd_close(&sd->pagemap);
    ww_fd_close(&sd->clear_refs);
    ww_fd_close(&sd->maps);
}
