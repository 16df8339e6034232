/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this kernel's pagemap tells, found out by its effect on a few pages of our
 * own: versions lie where features are configured or patched in or out. Knows
 * nothing of handles and scans.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pagemap/pagemap.h"
#include "kernel/release.h"
#include "kernel/userfaultfd.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif

enum { WRITTEN_PAGE, ZERO_PAGE, GUARD_PAGE, NR_PAGES };

static char *map_area(void)
{
    char *area =
        mmap(NULL, NR_PAGES * ww_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED) {
        return NULL;
    }
    /* So that reading maps the page of zeros and not a huge one; kernels without huge pages refuse. */
    madvise(area, NR_PAGES * ww_page_size(), MADV_NOHUGEPAGE);
    return area;
}

/* Reads the entries of the area. False where that fails: then nothing is known. */
static bool read_area(const char *area, uint64_t *ret_entries)
{
    int fd = ww_pagemap_open_file(0, "pagemap");
    ssize_t nr;

    if (fd < 0) {
        return false;
    }
    nr = ww_pagemap_read_entries(fd, (uintptr_t)area, ret_entries, NR_PAGES);
    close(fd);
    return nr == NR_PAGES;
}

void ww_page_facts_learn(struct ww_page_facts *ret_facts)
{
    struct ww_page_facts facts = { .zero_pfn = 0 };
    size_t page = ww_page_size();
    char *area = map_area();
    uint64_t entries[NR_PAGES];
    bool guarded;

    if (area) {
        area[WRITTEN_PAGE * page] = 1;
        (void)*(volatile char *)(area + ZERO_PAGE * page);
        guarded = !madvise(area + GUARD_PAGE * page, page, MADV_GUARD_INSTALL);
        if (read_area(area, entries) && (entries[WRITTEN_PAGE] & PM_PRESENT)) {
            facts.soft_dirty = entries[WRITTEN_PAGE] & PM_SOFT_DIRTY;
            facts.guard = guarded && (entries[GUARD_PAGE] & PM_GUARD_REGION);
            /* The other page has a frame of its own: equal numbers would be no numbers. */
            if ((entries[ZERO_PAGE] & PM_PFN) != (entries[WRITTEN_PAGE] & PM_PFN)) {
                facts.zero_pfn = entries[ZERO_PAGE] & PM_PFN;
            }
        }
        munmap(area, NR_PAGES * page);
    }
    *ret_facts = facts;
}

uint64_t ww_guard_category(int pagemap)
{
    /* An empty range: a kernel that does not know the category says EINVAL all the same. */
    struct page_region none;
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .vec = (uintptr_t)&none,
        .vec_len = 1,
        .category_mask = PAGE_IS_GUARD,
        .return_mask = PAGE_IS_GUARD,
    };
    int saved = errno;
    uint64_t category = ioctl(pagemap, PAGEMAP_SCAN, &arg) ? 0 : PAGE_IS_GUARD;

    errno = saved;
    return category;
}

/* A userfaultfd that can write-protect, or a negative errno. */
static int open_uffd(void)
{
    const uint64_t steps = WW_STEPS_USERFAULTFD | WW_STEP_BIT(WW_STEP_API_WP) |
                           WW_STEP_BIT(WW_STEP_REGISTER) | WW_STEP_BIT(WW_STEP_WRITEPROTECT);
    struct ww_failure failure;
    uint64_t barred;
    bool full;
    int err = ww_rehearse(steps, WW_STEPS_USERFAULTFD, &barred, &failure);

    return err ? err : ww_userfaultfd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP, barred, &full, &failure);
}

/* Write-protects the written page of the area. */
static bool protect_area(int uffd, char *area)
{
    struct uffdio_register reg = {
        .range = { .start = (uintptr_t)area, .len = ww_page_size() },
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    struct uffdio_writeprotect protect = { .range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

    return !ioctl(uffd, UFFDIO_REGISTER, &reg) && !ioctl(uffd, UFFDIO_WRITEPROTECT, &protect);
}

/* Where userfaultfd is denied nothing can be tried; another process may use it all the same. */
static bool is_new_enough(void)
{
    struct ww_release release;

    return ww_release_now(&release) && (release.major > 5 || (release.major == 5 && release.minor >= 14));
}

/* Whether entries show write-protection by a userfaultfd. */
bool ww_page_facts_uffd_wp(void)
{
    uint64_t entries[NR_PAGES];
    char *area = map_area();
    bool shown = false;
    int uffd;

    if (!area) {
        return false;
    }
    area[WRITTEN_PAGE * ww_page_size()] = 1;
    uffd = open_uffd();
    if (uffd >= 0) {
        shown = read_area(area, entries) && !(entries[WRITTEN_PAGE] & PM_UFFD_WP) &&
                protect_area(uffd, area) && read_area(area, entries) && (entries[WRITTEN_PAGE] & PM_UFFD_WP);
        close(uffd);
    } else if (uffd == -EPERM || uffd == -EACCES || uffd == -ENOSYS) {
        shown = is_new_enough();
    }
    munmap(area, NR_PAGES * ww_page_size());
    return shown;
}
