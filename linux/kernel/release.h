/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which kernel this is, by its names. Features are found out by their effect; names decide only
 * where an effect shows too late.
 */
#ifndef WW_LINUX_KERNEL_RELEASE_H
#define WW_LINUX_KERNEL_RELEASE_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
