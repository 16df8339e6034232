/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is fixed while the kernel runs: its release, the size of its pages, how many mappings it allows.
 * Features are found out by their effect; a release decides only where an effect shows too late.
 */
#ifndef WW_LINUX_KERNEL_FACTS_H
#define WW_LINUX_KERNEL_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* log2 of the page size of this machine; 0 until ww_page_size_init(). */
extern unsigned int ww_page_shift;

/* Each public call that needs no context begins with it. */
void ww_page_size_init(void);

static inline uintptr_t ww_page_size(void)
{
    return (uintptr_t)1 << ww_page_shift;
}

struct ww_release {
    unsigned int major, minor, micro;
    bool candidate; /* before the release itself, as in 6.9-rc4 */
};

/*
 * The upstream release that a kernel stands on, of what uname(2) calls it and of what
 * /proc/version_signature holds, NULL where there is no such file. False: neither has one.
 */
bool ww_release_parse(const char *name, const char *signature, struct ww_release *ret);

/* Whether PAGEMAP_SCAN loses dirty bits of swapped and young pages in this release. */
bool ww_release_loses_bits(const struct ww_release *release);

/* The release of the kernel that runs. False: unknown. */
bool ww_release_now(struct ww_release *ret);

/* Whether the kernel that runs is such a release: no test on a few pages would show it. */
bool ww_kernel_loses_bits(void);

/* vm.max_map_count, or the kernel's default where it cannot be read. */
#define WW_DEFAULT_MAPPING_LIMIT 65530
long ww_mapping_limit(void);

#endif
