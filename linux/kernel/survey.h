/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is mapped in a range. */
#ifndef WW_LINUX_KERNEL_SURVEY_H
#define WW_LINUX_KERNEL_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "writewatch.h"

struct ww_mapped {
    bool private_anonymous;
    bool private_file; /* some of it is private, and not anonymous */
    size_t page_size;  /* bytes; that of hugetlb pages where it is made of them */
};

/*
 * Looks at the mappings of [@start, @end). Returns 0; -ENOMEM (a part is not
 * mapped); -EINVAL (pages of two sizes, or the range cuts a large one); or the
 * error of opening /proc/self/maps, which leaves everything unknown.
 */
int ww_mapped_survey(uintptr_t start, uintptr_t end, struct ww_mapped *ret);

/* The first part of the range that is a private mapping of a file or a device. 1, 0 if there is none, or a
 * negative errno. */
int ww_mapped_private_file(uintptr_t start, uintptr_t end, struct ww_range *ret);

#endif
