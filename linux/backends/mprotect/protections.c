/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The protection that the pages of an mprotect watch must have by their recorded state, and the one that they
 * have by /proc/self/maps. Knows neither regions nor faults.
 */
#include <errno.h>
#include <sys/mman.h>

#include "backends/bits.h"
#include "backends/mprotect/mprotect.h"
#include "kernel/proc_maps.h"

/* The end of the run of pages from @from on that want the same protection. */
static size_t same_prot(const struct ww_prot_pages *pages, size_t from, size_t to)
{
    size_t page = from;

    while (page < to && pages->prot[page] == pages->prot[from]) {
        page++;
    }
    return page;
}

int ww_prot_apply(struct ww_prot_pages *pages, size_t from, size_t to)
{
    while (from < to) {
        size_t same = same_prot(pages, from, to);
        int prot = pages->prot[from];
        bool dirty = ww_prot_is_dirty(pages, from);
        size_t stop = prot & PROT_WRITE ? ww_bits_find(pages->dirty, from, same, !dirty) : same;

        if (mprotect((void *)ww_prot_addr(pages, from), (stop - from) << ww_page_shift,
                     dirty ? prot : WW_ARMED(prot))) {
            return -errno;
        }
        from = stop;
    }
    return 0;
}

void ww_prot_arm(struct ww_prot_pages *pages, size_t from, size_t to)
{
    while (from < to) {
        size_t stop = same_prot(pages, from, to);
        int prot = pages->prot[from];

        if ((prot & PROT_WRITE) &&
            mprotect((void *)ww_prot_addr(pages, from), (stop - from) << ww_page_shift, WW_ARMED(prot))) {
            ww_bits_change(pages->dirty, from, stop, true);
        }
        from = stop;
    }
}

int ww_prot_arm_dirty(struct ww_prot_pages *pages, size_t from, size_t to)
{
    while ((from = ww_bits_find(pages->dirty, from, to, true)) < to) {
        size_t stop = same_prot(pages, from, ww_bits_find(pages->dirty, from, to, false));
        int prot = pages->prot[from];

        if ((prot & PROT_WRITE) &&
            mprotect((void *)ww_prot_addr(pages, from), (stop - from) << ww_page_shift, WW_ARMED(prot))) {
            return -errno;
        }
        from = stop;
    }
    return 0;
}

int ww_prot_learn(struct ww_prot_pages *pages, uintptr_t start, uintptr_t end, struct ww_failure *failure)
{
    struct ww_mapping mapping;
    struct ww_maps maps;
    uintptr_t pos = start;
    int found = ww_maps_open(&maps, 0, 0);

    if (found) {
        return ww_fail(failure, WW_STEP_MAPS, found);
    }
    while (pos < end && (found = ww_maps_next(&maps, &mapping)) > 0) {
        if (mapping.end <= pos) {
            continue;
        }
        if (mapping.start > pos) {
            break;
        }
        for (; pos < mapping.end && pos < end; pos += ww_page_size()) {
            size_t page = ww_prot_index(pages, pos);

            if (mapping.prot != WW_ARMED(pages->prot[page])) {
                pages->prot[page] = mapping.prot;
            }
            if (mapping.prot & PROT_WRITE) {
                ww_bits_change(pages->dirty, page, page + 1, true);
            }
        }
    }
    ww_maps_close(&maps);
    return found < 0 ? ww_fail(failure, WW_STEP_READ_MAPS, found) : pos < end;
}
