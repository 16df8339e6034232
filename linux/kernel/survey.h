/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is mapped in a range. */
#ifndef WW_LINUX_KERNEL_SURVEY_H
#define WW_LINUX_KERNEL_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/proc_maps.h"
#include "writewatch.h"

struct ww_mapped {
    bool private_anonymous;
    bool private_file; /* some of it is private but not anonymous */
    bool shared;       /* all of it */
    size_t page_size;  /* bytes; the huge page size for hugetlb */
};

/* Otherwise a file, or another process, can bring pages in. */
bool ww_mapping_is_private_anonymous(const struct ww_mapping *mapping);

/*
 * Reads the mappings of [@start, @end). Returns 0; -ENOMEM (part of it is not mapped); -EINVAL (two page
 * sizes, or the range cuts a huge page); or the error of opening /proc/self/maps, after which nothing is
 * known.
 */
int ww_mapped_survey(uintptr_t start, uintptr_t end, struct ww_mapped *ret);

/* Finds the first part of the range that is a private mapping of a file or a device. 1, 0 if there is
 * none, or a negative errno. */
int ww_mapped_private_file(uintptr_t start, uintptr_t end, struct ww_range *ret);

#endif
