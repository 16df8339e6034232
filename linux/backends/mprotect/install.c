/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * First content for the mprotect backend. A write to /proc/self/mem reaches pages without write permission
 * and calls no handler; /proc/self/pagemap tells which pages are missing. Kernels can be configured to refuse
 * such writes (proc_mem.force_override): the self test tries one, and removes the capability if it fails.
 *
 * Reading pagemap and writing are two steps. The caller (mprotect.c) makes sure that no store comes in
 * between; a read may, and sees zeros.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/mprotect/mprotect.h"
#include "kernel/entries.h"
#include "kernel/fd.h"
#include "process/heap.h"

#define NR_ENTRIES 64

struct ww_prot_filler {
    struct ww_fd mem, pagemap;
};

void ww_prot_filler_close(struct ww_prot_filler *filler)
{
    if (filler) {
        ww_fd_close(&filler->mem);
        ww_fd_close(&filler->pagemap);
        ww_heap_free(filler);
    }
}

struct ww_prot_filler *ww_prot_filler_open(void)
{
    struct ww_prot_filler *filler = ww_heap_alloc(sizeof(*filler));

    if (!filler) {
        return NULL;
    }
    ww_fd_init(&filler->pagemap, -1);
    if (ww_fd_take(&filler->mem, ww_open_file("/proc/self/mem", O_RDWR | O_LARGEFILE)) ||
        ww_fd_take(&filler->pagemap, ww_open_file("/proc/self/pagemap", O_RDONLY))) {
        ww_prot_filler_close(filler);
        return NULL;
    }
    return filler;
}

/* The number of bytes from @start on, up to @len, that have no page; or a negative errno. */
static ssize_t missing_bytes(const struct ww_prot_filler *filler, uintptr_t start, size_t len)
{
    size_t nr_pages = len >> ww_page_shift, nr = 0;
    uint64_t entries[NR_ENTRIES];

    while (nr < nr_pages) {
        size_t want = nr_pages - nr < NR_ENTRIES ? nr_pages - nr : NR_ENTRIES;
        ssize_t got = ww_entries_read(filler->pagemap.fd, start + (nr << ww_page_shift), entries, want);

        if (got <= 0) {
            return got ? got : -EIO;
        }
        for (ssize_t i = 0; i < got; i++) {
            if (entries[i] & (PM_PRESENT | PM_SWAP)) {
                return (nr + i) << ww_page_shift;
            }
        }
        nr += got;
    }
    return len;
}

ssize_t ww_prot_fill(const struct ww_prot_filler *filler, uintptr_t start, const void *content, size_t len)
{
    ssize_t missing;
    size_t done = 0;

    /* The program may have closed them and use their numbers for its own files. */
    if (!ww_fd_is_ours(&filler->mem) || !ww_fd_is_ours(&filler->pagemap)) {
        return -EBADF;
    }
    missing = missing_bytes(filler, start, len);
    if (missing <= 0) {
        return missing ? missing : -EEXIST;
    }
    while (done < (size_t)missing) {
        ssize_t nr =
            pwrite64(filler->mem.fd, (const char *)content + done, missing - done, (off64_t)(start + done));

        if (nr > 0) {
            done += nr;
        } else if (!nr || errno != EINTR) {
            /* A page that was begun exists now, and stays as it is. */
            done &= ~(ww_page_size() - 1);
            return done ? (ssize_t)done : nr < 0 ? -errno : -EIO;
        }
    }
    return done;
}
