/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of mappings for test-mappings: a row for each kind of memory that Linux has.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mappings.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08 /* Linux 6.11 */
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

#define PAGES 8
#define RW (PROT_READ | PROT_WRITE)

/* The arguments of mmap(), and where its descriptor comes from. */
struct kind {
    const char *name;
    int prot, flags;
    int (*open)(void);                            /* a descriptor, or -1 and errno; NULL: none */
    const char *(*make)(struct mapping *mapping); /* replaces open() and mmap(): NULL, or why not */
    size_t len;                                   /* bytes; 0: PAGES pages; 1: one page */
};

/* ---- descriptors ---- */

static int sized(int fd, size_t nr_pages)
{
    if (fd >= 0 && ftruncate(fd, nr_pages * sysconf(_SC_PAGESIZE))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int open_memfd(void)
{
    return sized(memfd_create("mappings", MFD_CLOEXEC), PAGES);
}

static int open_short_memfd(void)
{
    return sized(memfd_create("mappings", MFD_CLOEXEC), PAGES / 2);
}

static int open_sealed_memfd(void)
{
    int fd = sized(memfd_create("mappings", MFD_CLOEXEC | MFD_ALLOW_SEALING), PAGES);

    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int open_secret(void)
{
    return sized(syscall(SYS_memfd_secret, O_CLOEXEC), PAGES);
}

static int open_temporary(const char *folder)
{
    char path[256], page[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/ww-mappings-XXXXXX", folder);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    unlink(path);
    memset(page, 7, sizeof(page));
    for (size_t done = 0; done < PAGES * (size_t)sysconf(_SC_PAGESIZE); done += sizeof(page)) {
        if (write(fd, page, sizeof(page)) != sizeof(page)) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

static int open_tmpfs(void)
{
    return open_temporary("/dev/shm");
}

static int open_disk(void)
{
    return open_temporary(".");
}

static int open_sparse(void)
{
    int fd = open_temporary(".");

    return fd >= 0 && ftruncate(fd, 0) ? -1 : sized(fd, PAGES);
}

static int open_program(void)
{
    return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static int open_zero(void)
{
    return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

/* Uses struct udmabuf_create and its ioctl as <linux/udmabuf.h> defines them. */
static int open_udmabuf(void)
{
    struct {
        uint32_t memfd, flags;
        uint64_t offset, size;
    } create = { .flags = 1, .size = PAGES * sysconf(_SC_PAGESIZE) };
    int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), memfd, fd;

    if (device < 0) {
        return -1;
    }
    memfd = sized(memfd_create("mappings", MFD_CLOEXEC | MFD_ALLOW_SEALING), PAGES);
    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK);
    create.memfd = memfd;
    fd = ioctl(device, _IOW('u', 0x42, create), &create);
    close(memfd);
    close(device);
    return fd;
}

/* struct io_uring_params is 120 bytes long. */
static int open_io_uring(void)
{
    uint32_t params[30] = { 0 };

    return syscall(SYS_io_uring_setup, 512, params);
}

static int open_perf(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_DUMMY,
        .exclude_kernel = 1,
    };

    return syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* ---- what mmap() does not make ---- */

static const char *make_sysv(struct mapping *mapping)
{
    int id = shmget(IPC_PRIVATE, mapping->len, IPC_CREAT | 0600);
    void *base;

    if (id < 0) {
        return strerror(errno);
    }
    base = shmat(id, NULL, 0);
    shmctl(id, IPC_RMID, NULL);
    if (base == (void *)-1) {
        return strerror(errno);
    }
    mapping->base = base;
    return NULL;
}

/* The code that the kernel maps into each process; [vvar], its data, lies below it. */
static const char *make_vdso(struct mapping *mapping)
{
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);

    if (!vdso) {
        return "no [vdso]";
    }
    mapping->base = (char *)vdso;
    mapping->len = sysconf(_SC_PAGESIZE);
    mapping->borrowed = true;
    return NULL;
}

static const char *make_vvar(struct mapping *mapping)
{
    const char *missing = make_vdso(mapping);

    mapping->base -= sysconf(_SC_PAGESIZE);
    return missing;
}

/* A sealed memfd that was mapped for writing before it was sealed. */
static const char *make_sealed_later(struct mapping *mapping)
{
    mapping->fd = sized(memfd_create("mappings", MFD_CLOEXEC | MFD_ALLOW_SEALING), PAGES);
    mapping->base = mmap(NULL, mapping->len, RW, MAP_SHARED, mapping->fd, 0);
    if (mapping->base == MAP_FAILED || fcntl(mapping->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE)) {
        return strerror(errno);
    }
    return NULL;
}

/* ---- the table ---- */

static const struct kind kinds[] = {
    { .name = "private anonymous", .prot = RW, .flags = MAP_PRIVATE | MAP_ANONYMOUS },
    { .name = "private anonymous, read-only", .prot = PROT_READ, .flags = MAP_PRIVATE | MAP_ANONYMOUS },
    { .name = "private anonymous, no access", .prot = PROT_NONE, .flags = MAP_PRIVATE | MAP_ANONYMOUS },
    { .name = "private anonymous, growing down",
      .prot = RW,
      .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN },
    { .name = "private anonymous, droppable", .prot = RW, .flags = MAP_DROPPABLE | MAP_ANONYMOUS },
    { .name = "shared anonymous", .prot = RW, .flags = MAP_SHARED | MAP_ANONYMOUS },
    { .name = "shared anonymous, no access", .prot = PROT_NONE, .flags = MAP_SHARED | MAP_ANONYMOUS },
    { .name = "System V", .prot = RW, .make = make_sysv },
    { .name = "memfd, shared", .prot = RW, .flags = MAP_SHARED, .open = open_memfd },
    { .name = "memfd, private", .prot = RW, .flags = MAP_PRIVATE, .open = open_memfd },
    { .name = "memfd, sealed, private", .prot = RW, .flags = MAP_PRIVATE, .open = open_sealed_memfd },
    { .name = "memfd, sealed later, shared", .prot = RW, .flags = MAP_SHARED, .make = make_sealed_later },
    { .name = "memfd, short, shared", .prot = RW, .flags = MAP_SHARED, .open = open_short_memfd },
    { .name = "memfd, short, private", .prot = RW, .flags = MAP_PRIVATE, .open = open_short_memfd },
    { .name = "memfd_secret", .prot = RW, .flags = MAP_SHARED, .open = open_secret },
    { .name = "hugetlb, private",
      .prot = RW,
      .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
      .len = (size_t)2 << 20 },
    { .name = "tmpfs, shared", .prot = RW, .flags = MAP_SHARED, .open = open_tmpfs },
    { .name = "tmpfs, private", .prot = RW, .flags = MAP_PRIVATE, .open = open_tmpfs },
    { .name = "disk, shared", .prot = RW, .flags = MAP_SHARED, .open = open_disk },
    { .name = "disk, private", .prot = RW, .flags = MAP_PRIVATE, .open = open_disk },
    { .name = "disk, private, sparse", .prot = RW, .flags = MAP_PRIVATE, .open = open_sparse },
    { .name = "disk, private, read-only", .prot = PROT_READ, .flags = MAP_PRIVATE, .open = open_disk },
    { .name = "disk, never to be written", .prot = PROT_READ, .flags = MAP_SHARED, .open = open_program },
    { .name = "/dev/zero, private", .prot = RW, .flags = MAP_PRIVATE, .open = open_zero },
    { .name = "/dev/zero, private, read-only", .prot = PROT_READ, .flags = MAP_PRIVATE, .open = open_zero },
    { .name = "/dev/zero, shared", .prot = RW, .flags = MAP_SHARED, .open = open_zero },
    { .name = "udmabuf", .prot = RW, .flags = MAP_SHARED, .open = open_udmabuf },
    { .name = "[vdso]", .prot = PROT_READ | PROT_EXEC, .make = make_vdso },
    { .name = "[vvar]", .prot = PROT_READ, .make = make_vvar },
    { .name = "a ring of io_uring", .prot = RW, .flags = MAP_SHARED, .open = open_io_uring },
    { .name = "a buffer of perf", .prot = RW, .flags = MAP_SHARED, .open = open_perf, .len = 1 },
};

int nr_mappings(void)
{
    return sizeof(kinds) / sizeof(kinds[0]);
}

const char *make_mapping(int which, struct mapping *ret)
{
    const struct kind *kind = &kinds[which];
    size_t page = sysconf(_SC_PAGESIZE);

    *ret = (struct mapping){
        .name = kind->name,
        .len = kind->len == 1 ? page
               : kind->len    ? kind->len
                              : PAGES * page,
        .page_size = kind->flags & MAP_HUGETLB ? kind->len : page,
        .prot = kind->prot,
        .ordinary = kind->prot == RW && !kind->make && !kind->open && (kind->flags & MAP_PRIVATE) &&
                    !(kind->flags & (MAP_HUGETLB | MAP_DROPPABLE)),
        .unfillable = kind->open == open_zero && (kind->flags & MAP_PRIVATE),
        .fd = -1,
    };
    if (kind->make) {
        return kind->make(ret);
    }
    if (kind->open) {
        ret->fd = kind->open();
        if (ret->fd < 0) {
            return strerror(errno);
        }
    }
    ret->base = mmap(NULL, ret->len, ret->prot, kind->flags, ret->fd, 0);
    return ret->base == MAP_FAILED ? strerror(errno) : NULL;
}

void unmake_mapping(struct mapping *mapping)
{
    if (mapping->base && mapping->base != MAP_FAILED && !mapping->borrowed) {
        munmap(mapping->base, mapping->len);
    }
    if (mapping->fd > 0) {
        close(mapping->fd);
    }
    *mapping = (struct mapping){ .fd = -1 };
}
