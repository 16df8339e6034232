/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many isolated runs of dirty pages the mprotect backend has made. Each costs about two mappings, of
 * which vm.max_map_count allows a limited number. The handler (fault.c) counts the runs that it opens, a scan
 * those that it arms again. It knows pages and bits, neither regions nor signals.
 *
 * Handlers that work on neighbouring pages at the same time do not see each other's bits, so the count
 * drifts. A scan counts the runs of its pages again before the drift matters.
 */
#include "backends/mprotect/mprotect.h"
#include "kernel/facts.h"
#include "process/raw.h"

static atomic_long nr_isolated; /* of all ranges */
static long max_isolated;       /* half the mappings that the process may have, at two a run */

void ww_isolated_init(void)
{
    if (!max_isolated) {
        max_isolated = ww_mapping_limit() / 4;
    }
}

/* How many of the two pages beside the run first..last-1 are dirty. */
IN_HANDLER static long dirty_beside(const struct ww_prot_pages *pages, size_t first, size_t last)
{
    return (first > 0 && ww_prot_is_dirty(pages, first - 1)) +
           (last < pages->nr_pages && ww_prot_is_dirty(pages, last));
}

/* Returns how many isolated runs all ranges have then. */
IN_HANDLER static long add_isolated(struct ww_prot_pages *pages, long nr)
{
    atomic_fetch_add(&pages->nr_isolated, nr);
    return atomic_fetch_add(&nr_isolated, nr) + nr;
}

IN_HANDLER bool ww_isolated_open_page(struct ww_prot_pages *pages, size_t page)
{
    /* The page begins a run, makes one longer, or joins two. */
    long nr_new = 1 - dirty_beside(pages, page, page + 1);

    return add_isolated(pages, nr_new) > max_isolated && nr_new > 0;
}

void ww_isolated_close_run(struct ww_prot_pages *pages, size_t first, size_t last)
{
    add_isolated(pages, dirty_beside(pages, first, last) - 1);
}

void ww_isolated_recount(struct ww_prot_pages *pages)
{
    long nr = 0;
    uint64_t before = 0;

    if (atomic_load(&nr_isolated) < max_isolated / 2) {
        return;
    }
    for (size_t i = 0; i < (pages->nr_pages + 63) / 64; i++) {
        uint64_t word = atomic_load_explicit(&pages->dirty[i], memory_order_relaxed);

        /* A run begins where a bit is set and the one below it is not. */
        nr += __builtin_popcountll(word & ~(word << 1 | before >> 63));
        before = word;
    }
    add_isolated(pages, nr - atomic_load(&pages->nr_isolated));
}

IN_HANDLER void ww_isolated_forget(struct ww_prot_pages *pages)
{
    atomic_fetch_sub(&nr_isolated, atomic_exchange(&pages->nr_isolated, 0));
}
