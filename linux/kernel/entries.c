/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens files of /proc about a process' memory, reads the entries of pagemap, and finds out which bits of an
 * entry this kernel sets. It tests those on a few pages of our own: a version number is wrong where a feature
 * is a configuration option or was patched in or out.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "kernel/entries.h"
#include "kernel/facts.h"
#include "kernel/fd.h"
#include "kernel/uapi.h"
#include "kernel/userfaultfd.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif

/* Why open(2) failed with ENOENT: the process has no directory, or the directory has no such file. */
static int missing_file(pid_t pid)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/%ld", (long)pid);
    if (!pid || access("/proc/self", F_OK) || !access(path, F_OK)) {
        return -ENOENT;
    }
    /* The process may exist and be hidden by the mount option hidepid. */
    return kill(pid, 0) && errno == ESRCH ? -ESRCH : -EACCES;
}

int ww_proc_open(pid_t pid, const char *name)
{
    char path[64];
    int fd;

    if (pid) {
        snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    } else {
        snprintf(path, sizeof(path), "/proc/self/%s", name);
    }
    fd = ww_open_file(path, O_RDONLY);
    return fd == -ENOENT ? missing_file(pid) : fd;
}

ssize_t ww_entries_read(int fd, uint64_t addr, uint64_t *ret_entries, size_t nr)
{
    off64_t offset = (addr >> ww_page_shift) * sizeof(*ret_entries);
    ssize_t len;

    do {
        len = pread64(fd, ret_entries, nr * sizeof(*ret_entries), offset);
    } while (len < 0 && errno == EINTR);
    return len < 0 ? -errno : len / (ssize_t)sizeof(*ret_entries);
}

/* ---- pages that exist ---- */

#define NR_AT_ONCE 256

/* A marker that write-protects a missing page looks like a page that is swapped out, and so does a guard
 * page. Shared pages that are swapped out have no entry. */
static bool exists(uint64_t entry, bool shared)
{
    return shared ? entry & PM_PRESENT
                  : (entry & (PM_PRESENT | PM_SWAP)) && !(entry & (PM_UFFD_WP | PM_GUARD_REGION));
}

/* Without /proc: mincore(2) finds no page that is swapped out. */
static ssize_t read_residency(uintptr_t start, uint64_t *ret_entries, size_t nr)
{
    unsigned char resident[NR_AT_ONCE];
    struct sysinfo info;
    bool known = !sysinfo(&info) && !info.totalswap && !mincore((void *)start, nr << ww_page_shift, resident);

    for (size_t i = 0; i < nr; i++) {
        ret_entries[i] = known && !(resident[i] & 1) ? 0 : PM_PRESENT;
    }
    return nr;
}

void ww_existing_pages(uintptr_t start, uintptr_t end, bool shared,
                       void (*found)(void *arg, uintptr_t start, uintptr_t end), void *arg)
{
    int fd = ww_proc_open(0, "pagemap");
    uint64_t entries[NR_AT_ONCE];

    while (start < end) {
        size_t left = (end - start) >> ww_page_shift, nr = left < NR_AT_ONCE ? left : NR_AT_ONCE;
        ssize_t nr_read = fd < 0 ? 0 : ww_entries_read(fd, start, entries, nr), i = 0, first;

        if (nr_read <= 0) {
            nr_read = read_residency(start, entries, nr);
        }
        while (i < nr_read) {
            for (; i < nr_read && !exists(entries[i], shared); i++) {
                ;
            }
            for (first = i; i < nr_read && exists(entries[i], shared); i++) {
                ;
            }
            if (first < i) {
                found(arg, start + ((uintptr_t)first << ww_page_shift),
                      start + ((uintptr_t)i << ww_page_shift));
            }
        }
        start += (uintptr_t)nr_read << ww_page_shift;
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* ---- what entries show ---- */

enum { WRITTEN_PAGE, ZERO_PAGE, GUARD_PAGE, NR_PAGES };

static char *map_area(void)
{
    char *area =
        mmap(NULL, NR_PAGES * ww_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED) {
        return NULL;
    }
    /* So that a read maps the small zero page and not the huge one. Kernels without huge pages refuse. */
    madvise(area, NR_PAGES * ww_page_size(), MADV_NOHUGEPAGE);
    return area;
}

/* Reads the entries of the area. False: nothing is known. */
static bool read_area(const char *area, uint64_t *ret_entries)
{
    int fd = ww_proc_open(0, "pagemap");
    ssize_t nr;

    if (fd < 0) {
        return false;
    }
    nr = ww_entries_read(fd, (uintptr_t)area, ret_entries, NR_PAGES);
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
            /* The written page has a frame of its own. If both numbers are equal, the kernel hides them. */
            if ((entries[ZERO_PAGE] & PM_PFN) != (entries[WRITTEN_PAGE] & PM_PFN)) {
                facts.zero_pfn = entries[ZERO_PAGE] & PM_PFN;
            }
        }
        munmap(area, NR_PAGES * page);
    }
    *ret_facts = facts;
}

/* Opens a userfaultfd that can write-protect. A descriptor or a negative errno. */
static int open_uffd(void)
{
    const uint64_t steps = WW_STEPS_USERFAULTFD | WW_STEP_BIT(WW_STEP_API_WP) |
                           WW_STEP_BIT(WW_STEP_REGISTER) | WW_STEP_BIT(WW_STEP_WRITEPROTECT);
    struct ww_failure failure;
    uint64_t barred;
    bool full;
    int err = ww_dry_run(steps, WW_STEPS_USERFAULTFD, &barred, &failure);

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

/* Decides by version where userfaultfd is denied to us: another process may still use it. */
static bool is_new_enough(void)
{
    struct ww_release release;

    return ww_release_now(&release) && (release.major > 5 || (release.major == 5 && release.minor >= 14));
}

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
