/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Helpers of test-kernel: userfaultfd and PAGEMAP_SCAN without the library, so
 * that a test can show the kernel behaviour that the library relies on, and what /proc
 * says about memory. Calls no ww_*(), so that no bug of the library can hide here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>

#include "kernel.h"

#define VEC_LEN 512

struct bare bare;

int bare_open(struct bare *ret_bare, int flags)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
    struct bare pair = { .fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags) };
    int err;

    if (pair.fd < 0) {
        return -errno;
    }
    if (ioctl(pair.fd, UFFDIO_API, &api)) {
        err = -errno;
        close(pair.fd);
        return err;
    }
    pair.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pair.pagemap < 0) {
        err = -errno;
        close(pair.fd);
        return err;
    }
    *ret_bare = pair;
    return 0;
}

void bare_close(const struct bare *pair)
{
    close(pair->fd);
    close(pair->pagemap);
}

int bare_register(const struct bare *pair, const void *base, size_t nr, uint64_t mode)
{
    struct uffdio_register reg = {
        .range = { .start = (uintptr_t)base, .len = nr * page_size() },
        .mode = mode,
    };

    /* A process may have all of its memory merged, and a page that KSM merges would be reported. */
    madvise((void *)base, nr * page_size(), MADV_UNMERGEABLE);
    return ioctl(pair->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

int bare_arm(const struct bare *pair, const void *base, size_t nr)
{
    struct uffdio_writeprotect protect = {
        .range = { .start = (uintptr_t)base, .len = nr * page_size() },
        .mode = UFFDIO_WRITEPROTECT_MODE_WP,
    };

    return ioctl(pair->fd, UFFDIO_WRITEPROTECT, &protect) ? -errno : 0;
}

long bare_scan(const struct bare *pair, const char *base, size_t nr, enum masks masks, uint64_t flags,
               struct page_region *vec, size_t vec_len, uintptr_t *ret_next)
{
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .flags = flags,
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + nr * page_size(),
        .vec = (uintptr_t)vec,
        .vec_len = vec_len,
        .category_mask = masks == NO_ZERO ? PAGE_IS_WRITTEN | PAGE_IS_PFNZERO : PAGE_IS_WRITTEN,
        .category_inverted = masks == NO_ZERO ? PAGE_IS_PFNZERO : 0,
        .category_anyof_mask = masks == FAST ? 0 : PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = masks == FAST ? PAGE_IS_WRITTEN : PAGE_IS_WRITTEN | PAGE_IS_PFNZERO,
    };
    long found;

    do {
        found = ioctl(pair->pagemap, PAGEMAP_SCAN, &arg);
    } while (found < 0 && errno == EINTR);
    *ret_next = arg.walk_end;
    return found < 0 ? -errno : found;
}

int bare_map(const struct bare *pair, const char *base, size_t nr, enum masks masks, bool reset,
             char *ret_map)
{
    uint64_t flags = PM_SCAN_CHECK_WPASYNC | (reset ? PM_SCAN_WP_MATCHING : 0);
    struct page_region vec[VEC_LEN] = { { .start = 0 } };
    size_t page = page_size(), at = 0;

    memset(ret_map, '.', nr);
    ret_map[nr] = 0;
    while (at < nr) {
        uintptr_t next;
        long found = bare_scan(pair, base + at * page, nr - at, masks, flags, vec, VEC_LEN, &next);

        if (found < 0) {
            return found;
        }
        for (long i = 0; i < found; i++) {
            memset(ret_map + (vec[i].start - (uintptr_t)base) / page,
                   vec[i].categories & PAGE_IS_PFNZERO ? 'z' : '#', (vec[i].end - vec[i].start) / page);
        }
        if (next <= (uintptr_t)base + at * page) {
            return -EIO;
        }
        at = (next - (uintptr_t)base) / page;
    }
    return 0;
}

void expect_bare(const char *base, enum masks masks, const char *map)
{
    size_t nr = strlen(map);
    char *found = malloc(nr + 1), *wanted = calloc(1, nr + 1);

    ck_assert_int_eq(bare_map(&bare, base, nr, masks, false, found), 0);
    for (size_t i = 0; i < nr; i++) {
        wanted[i] = map[i] == 'z' && !reads_map_zero_page() ? '#' : map[i];
    }
    compare_maps("scan", true, found, wanted, nr);
    free(found);
    free(wanted);
}

void reset_bare(const char *base, size_t nr)
{
    char *map = malloc(nr + 1);

    ck_assert_int_eq(bare_map(&bare, base, nr, LAZY, true, map), 0);
    ck_assert_int_eq(bare_map(&bare, base, nr, LAZY, false, map), 0);
    ck_assert_uint_eq(count_marks(map), 0);
    free(map);
}

/* ---- memory ---- */

char *map_small_pages(size_t nr)
{
    char *base = map_pages(nr);

    /* EINVAL: this kernel has no huge pages. */
    if (madvise(base, nr * page_size(), MADV_NOHUGEPAGE)) {
        ck_assert_int_eq(errno, EINVAL);
    }
    return base;
}

char *map_huge_area(size_t nr)
{
    char *area = map_pages(nr + HUGE_BYTES / page_size());

    return (char *)(((uintptr_t)area + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));
}

bool is_zero_page(const char *base, size_t page)
{
    struct page_region found = { .start = 0 };
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .start = (uintptr_t)base + page * page_size(),
        .end = (uintptr_t)base + (page + 1) * page_size(),
        .vec = (uintptr_t)&found,
        .vec_len = 1,
        .category_mask = PAGE_IS_PFNZERO,
        .return_mask = PAGE_IS_PFNZERO,
    };
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    bool is_zero = fd >= 0 && ioctl(fd, PAGEMAP_SCAN, &arg) == 1;

    close(fd);
    return is_zero;
}

uint64_t pagemap_entry(const char *base, size_t page)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    off_t index = (uintptr_t)base / page_size() + page;
    uint64_t entry = 0;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &entry, sizeof(entry), index * sizeof(entry)), sizeof(entry));
    close(fd);
    return entry;
}

/* ---- what /proc and /sys say ---- */

unsigned long smaps_kb(const void *addr, const char *field)
{
    char line[512];

    smaps_line(addr, field, line, sizeof(line));
    return kb_after(line, field, 0);
}

bool read_number(const char *path, long *ret_value)
{
    FILE *file = fopen(path, "re");
    bool done = file && fscanf(file, "%ld", ret_value) == 1;

    if (file) {
        fclose(file);
    }
    return done;
}

bool write_number(const char *path, long value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && dprintf(fd, "%ld\n", value) > 0;

    close(fd);
    return done;
}

double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

double test_seconds(void)
{
    const char *wanted = getenv("WW_TEST_SECONDS");

    return wanted && atof(wanted) > 0 ? atof(wanted) : 2;
}
