/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mappings of a process, one after the other, as the kernel lists them in
 * /proc/PID/maps or, with their VmFlags, in /proc/PID/smaps. It knows the format
 * of these files and nothing of what the mappings are asked for.
 *
 * Nothing is allocated and nothing buffered by stdio: a reader is a struct of
 * its caller, about 12 KB. Reading one's own mappings therefore does not change
 * them. A reader is used by one thread at a time.
 */
#ifndef WW_LINUX_KERNEL_PROC_MAPS_H
#define WW_LINUX_KERNEL_PROC_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Flags of ww_maps_open() and ww_maps_init(). */
enum ww_maps_flag {
    /* Read smaps, for ww_mapping.vm_flags and page_size. The kernel walks all page tables of the process for
       it. */
    WW_MAPS_VM_FLAGS = 1u << 0,
};

/* What smaps tells in VmFlags, as far as anybody here asks. */
enum ww_vm_flag {
    WW_VM_PFNMAP = 1u << 0,       /* "pf": device memory, of which pagemap says nothing */
    WW_VM_HUGETLB = 1u << 1,      /* "ht" */
    WW_VM_UFFD_WP = 1u << 2,      /* "uw": registered with a userfaultfd, write-protect mode */
    WW_VM_UFFD_MISSING = 1u << 3, /* "um": the same, missing mode */
    WW_VM_SOFT_DIRTY = 1u << 4,   /* "sd": every page of it counts as soft-dirty */
};

struct ww_mapping {
    uint64_t start;
    uint64_t end;
    uint64_t offset; /* of start in the file, in bytes */
    uint64_t inode;  /* 0: no file, though shared anonymous memory has one */
    unsigned int major;
    unsigned int minor;
    int prot; /* PROT_READ, PROT_WRITE, PROT_EXEC */
    bool shared;
    bool path_cut;     /* the name is longer than path */
    uint32_t vm_flags; /* enum ww_vm_flag; 0 without WW_MAPS_VM_FLAGS */
    size_t
        page_size; /* in bytes, that of hugetlb pages where it is made of them; 0 without WW_MAPS_VM_FLAGS */
    const char *path; /* "" where there is none; "[heap]" and the like; a newline stands as \012, as the
                       * kernel writes it. Until the next call on the reader. */
};

#define WW_MAPS_BUFFER 8192
#define WW_MAPS_PATH 4096

struct ww_maps {
    int fd;
    bool owns_fd;
    unsigned int flags;
    bool skip;   /* the line at the front was longer than the buffer: its rest is dropped */
    bool at_end; /* the kernel has no more */
    size_t from; /* what is read and not used yet lies in buffer[from..to) */
    size_t to;
    uint64_t last_end; /* of the mapping before */
    char buffer[WW_MAPS_BUFFER];
    char path[WW_MAPS_PATH];
};

/*
 * Opens the list of a process; @pid 0 is this one. Returns 0, -ESRCH (no such
 * process), -ENOENT (no /proc), -EACCES or -EPERM (not allowed), -EMFILE, -ENFILE.
 */
int ww_maps_open(struct ww_maps *ret_maps, pid_t pid, unsigned int flags);

/* The same over a descriptor that stays the caller's, from its beginning. 0 or a negative errno. */
int ww_maps_init(struct ww_maps *ret_maps, int fd, unsigned int flags);

/*
 * The next mapping, behind the one before: mappings ascend and do not overlap,
 * whatever happens to the process meanwhile. Returns 1, 0 at the end, or a
 * negative errno: -ESRCH where the process has ended (a zombie just has no
 * mappings), -EIO where the kernel writes something else than it documents.
 */
int ww_maps_next(struct ww_maps *maps, struct ww_mapping *ret_mapping);

void ww_maps_close(struct ww_maps *maps);

#endif
