/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mappings of a process, one after the other, as the kernel lists them in /proc/PID/maps or, with their
 * VmFlags, in /proc/PID/smaps. Knows the format of these files, and not why a caller reads them.
 *
 * It allocates nothing and does not use stdio: a reader is a struct of its caller, about 12 KB. So reading
 * the mappings of the own process does not change them. Only one thread at a time may use a reader.
 */
#ifndef WW_LINUX_KERNEL_PROC_MAPS_H
#define WW_LINUX_KERNEL_PROC_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Flags of ww_maps_open() and ww_maps_init(). */
enum ww_maps_flag {
    /* Read smaps, which has ww_mapping.vm_flags and page_size. The kernel then walks all page tables of
     * the process. */
    WW_MAPS_VM_FLAGS = 1u << 0,
};

/* The VmFlags of smaps that our callers use. */
enum ww_vm_flag {
    WW_VM_PFNMAP = 1u << 0,       /* "pf": device memory, which pagemap does not show */
    WW_VM_HUGETLB = 1u << 1,      /* "ht" */
    WW_VM_UFFD_WP = 1u << 2,      /* "uw": registered with a userfaultfd, write-protect mode */
    WW_VM_UFFD_MISSING = 1u << 3, /* "um": the same, missing mode */
    WW_VM_SOFT_DIRTY = 1u << 4,   /* "sd": every page of it counts as soft-dirty */
};

struct ww_mapping {
    uint64_t start;
    uint64_t end;
    uint64_t offset; /* in bytes, where the mapping starts in the file */
    uint64_t inode;  /* 0: no file, but shared anonymous memory has one */
    unsigned int major;
    unsigned int minor;
    int prot; /* PROT_READ, PROT_WRITE, PROT_EXEC */
    bool shared;
    bool path_cut;     /* the name does not fit into path */
    uint32_t vm_flags; /* enum ww_vm_flag; 0 without WW_MAPS_VM_FLAGS */
    size_t page_size;  /* bytes, the huge page size for hugetlb; 0 without WW_MAPS_VM_FLAGS */
    const char *path;  /* "" if none; "[heap]" and the like; a newline is \012, as the kernel writes it. Valid
                          until the next call on the reader. */
};

#define WW_MAPS_BUFFER 8192
#define WW_MAPS_PATH 4096

struct ww_maps {
    int fd;
    bool owns_fd;
    unsigned int flags;
    bool skip;   /* the first line was longer than the buffer: drop its rest */
    bool at_end; /* the kernel has no more */
    size_t from; /* buffer[from..to) is read and not used yet */
    size_t to;
    uint64_t last_end; /* of the previous mapping */
    char buffer[WW_MAPS_BUFFER];
    char path[WW_MAPS_PATH];
};

/*
 * Opens the list of a process; @pid 0 is this process. Returns 0, -ESRCH (no such process), -ENOENT (no
 * /proc), -EACCES or -EPERM (not allowed), -EMFILE, -ENFILE.
 */
int ww_maps_open(struct ww_maps *ret_maps, pid_t pid, unsigned int flags);

/* The same for a descriptor that the caller keeps; reads it from its beginning. 0 or a negative errno. */
int ww_maps_init(struct ww_maps *ret_maps, int fd, unsigned int flags);

/*
 * The next mapping. Mappings ascend and do not overlap, whatever happens to the process meanwhile. Returns
 * 1, 0 at the end, or a negative errno: -ESRCH if the process has ended (a zombie has no mappings), -EIO
 * if the kernel's text is not what it documents.
 */
int ww_maps_next(struct ww_maps *maps, struct ww_mapping *ret_mapping);

void ww_maps_close(struct ww_maps *maps);

#endif
