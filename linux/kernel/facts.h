/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Facts that do not change while the kernel runs: its release, its page size, how many mappings it allows.
 * Features are tested by their effect; a release decides only where the effect would show too late.
 */
#ifndef WW_LINUX_KERNEL_FACTS_H
#define WW_LINUX_KERNEL_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* log2 of the machine's page size; 0 until ww_page_size_init(). */
extern unsigned int ww_page_shift;

/* Learns the page size. Each public call that takes no context begins with this. */
void ww_page_size_init(void);

static inline uintptr_t ww_page_size(void)
{
    return (uintptr_t)1 << ww_page_shift;
}

struct ww_release {
    unsigned int major, minor, micro;
    bool candidate; /* a release candidate, as in 6.9-rc4 */
};

/*
 * Finds the upstream release that a kernel is based on. @name is what uname(2) returns, @signature the
 * content of /proc/version_signature, or NULL if there is no such file. False: neither contains a release.
 */
bool ww_release_parse(const char *name, const char *signature, struct ww_release *ret);

/* Whether PAGEMAP_SCAN loses dirty bits of swapped and young pages in this release. */
bool ww_release_loses_bits(const struct ww_release *release);

/* Whether pages that mremap(2) moves out of a watch keep their write-protect bits in this release. */
bool ww_release_moves_bits(const struct ww_release *release);

/* The release of the running kernel. False: unknown. */
bool ww_release_now(struct ww_release *ret);

/* Whether the running kernel is such a release. A test on a few pages would not show it. */
bool ww_kernel_loses_bits(void);
bool ww_kernel_moves_bits(void);

/* vm.max_map_count, or the kernel's default if the file cannot be read. */
#define WW_DEFAULT_MAPPING_LIMIT 65530
long ww_mapping_limit(void);

#endif
