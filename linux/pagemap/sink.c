/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Collects the answer of a scan. */
#include "pagemap/pagemap.h"

/*
 * Adds pages that match, as many as fit. Extends the last region if they continue it. Returns the end of
 * the pages that were added.
 */
uint64_t ww_page_sink_add(struct ww_page_sink *sink, uint64_t start, uint64_t end, uint64_t categories)
{
    struct ww_page_region *last = sink->nr ? &sink->vec[sink->nr - 1] : NULL;
    uint64_t pages = (end - start) >> ww_page_shift;

    if (pages > sink->room) {
        pages = sink->room;
        end = start + (pages << ww_page_shift);
    }
    if (!pages) {
        return start;
    }
    if (last && last->end == start && last->categories == categories) {
        last->end = end;
    } else if (sink->nr < sink->len) {
        sink->vec[sink->nr++] = (struct ww_page_region){ start, end, categories };
    } else {
        return start;
    }
    sink->room -= pages;
    return end;
}
