/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds out what is mapped in a range before it is watched: whether all of it is private anonymous memory,
 * and its page size. A watch needs that once, unless the caller knows the answer.
 */
#include <errno.h>

#include "kernel/facts.h"
#include "kernel/proc_maps.h"
#include "kernel/survey.h"

bool ww_mapping_is_private_anonymous(const struct ww_mapping *mapping)
{
    return !mapping->shared && !mapping->inode;
}

/* True also for /dev/zero, although the kernel treats that as anonymous memory. */
static bool is_private_file(const struct ww_mapping *mapping)
{
    return !mapping->shared && mapping->inode;
}

/* Reads the mappings of the range. smaps has page sizes, and is slower. */
static int survey(uintptr_t start, uintptr_t end, unsigned int maps_flags, struct ww_mapped *ret)
{
    struct ww_mapped mapped = { .private_anonymous = true, .shared = true };
    struct ww_mapping mapping;
    struct ww_maps maps;
    uintptr_t pos = start;
    int found = ww_maps_open(&maps, 0, maps_flags);

    if (found) {
        return found;
    }
    while (pos < end && (found = ww_maps_next(&maps, &mapping)) > 0) {
        if (mapping.end <= pos) {
            continue;
        }
        if (mapping.start > pos) {
            break;
        }
        mapped.private_anonymous &= ww_mapping_is_private_anonymous(&mapping);
        mapped.private_file |= is_private_file(&mapping);
        mapped.shared &= mapping.shared;
        if (pos > start && mapping.page_size != mapped.page_size) {
            found = -EINVAL;
            break;
        }
        mapped.page_size = mapping.page_size;
        pos = mapping.end;
    }
    ww_maps_close(&maps);
    if (found < 0) {
        return found;
    }
    *ret = mapped;
    return pos < end ? -ENOMEM : 0;
}

int ww_mapped_survey(uintptr_t start, uintptr_t end, struct ww_mapped *ret)
{
    struct ww_mapped mapped;
    int err = survey(start, end, 0, &mapped);

    if (!err && !mapped.private_anonymous) {
        err = survey(start, end, WW_MAPS_VM_FLAGS, &mapped);
    }
    if (err) {
        return err;
    }
    if (mapped.page_size < ww_page_size()) {
        mapped.page_size = ww_page_size();
    }
    if ((start | end) & (mapped.page_size - 1)) {
        return -EINVAL;
    }
    *ret = mapped;
    return 0;
}

int ww_mapped_private_file(uintptr_t start, uintptr_t end, struct ww_range *ret)
{
    struct ww_mapping mapping;
    struct ww_maps maps;
    int found = ww_maps_open(&maps, 0, 0);
    bool is_one = false;

    if (found) {
        return found;
    }
    while (!is_one && (found = ww_maps_next(&maps, &mapping)) > 0 && mapping.start < end) {
        is_one = mapping.end > start && is_private_file(&mapping);
    }
    ww_maps_close(&maps);
    if (is_one) {
        ret->start = mapping.start > start ? mapping.start : start;
        ret->end = mapping.end < end ? mapping.end : end;
    }
    return found < 0 ? found : is_one;
}
