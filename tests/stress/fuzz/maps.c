/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The readers of /proc text: lists of mappings (linux/kernel/proc_maps.c) and the numbers of
 * /proc/PID/status (programs/common/proc.c), over the input's bytes.
 *
 * read(2) may return less than was asked for, and may be interrupted; that must not
 * change the result. Mappings must ascend and not overlap, their addresses must stand
 * in the text, and after the end there must be no more.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/proc.h"
#include "fuzz.h"
#include "kernel/proc_maps.h"

/* ---- read(2) and fopen(3) of the files in question ---- */

static int list_fd = -1;
static size_t read_at_most; /* 0: as much as was asked for */
static unsigned int nr_reads, fail_after;
static const char *status_text;
static size_t status_size;

ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
    if (fd < 0 || fd != list_fd) {
        return __real_read(fd, buffer, size);
    }
    must(size, "a read of nothing");
    nr_reads++;
    if (fail_after && nr_reads >= fail_after) {
        errno = ESRCH;
        return -1;
    }
    if (read_at_most && nr_reads % 5 == 0) {
        errno = EINTR;
        return -1;
    }
    return __real_read(fd, buffer, read_at_most && read_at_most < size ? read_at_most : size);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
    return status_text && !strncmp(path, "/proc/", 6) ? fmemopen((void *)status_text, status_size, "r")
                                                      : __real_fopen(path, mode);
}

/* ---- lists of mappings ---- */

#define MAX_TOLD 512

static struct told {
    struct ww_mapping mapping;
    uint64_t path_hash;
} told[2][MAX_TOLD];

static uint64_t hash(const char *text)
{
    uint64_t hash = 14695981039346656037u;

    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    }
    return hash;
}

/* Whether the text has the number as the kernel writes it: all of its digits, followed by @after and preceded
 * by
 * @before, or at the beginning where @before is a newline. */
static bool is_in_text(const uint8_t *text, size_t size, char before, uint64_t number, char after)
{
    const uint8_t *at = text, *found, *first;
    char digits[32];
    int len = snprintf(digits, sizeof(digits), "%llx%c", (unsigned long long)number, after);

    while ((found = memmem(at, size - (at - text), digits, len))) {
        for (first = found; first > text && first[-1] == '0'; first--) {
            ;
        }
        if (first == text ? before == '\n' : first[-1] == before) {
            return true;
        }
        at = found + 1;
    }
    return false;
}

static void check_mapping(const struct ww_mapping *mapping, uint64_t last_end, const uint8_t *text,
                          size_t size)
{
    must(mapping->start < mapping->end && mapping->start >= last_end, "%#llx-%#llx behind %#llx",
         (unsigned long long)mapping->start, (unsigned long long)mapping->end, (unsigned long long)last_end);
    must(mapping->start == last_end || is_in_text(text, size, '\n', mapping->start, '-'), "start %#llx",
         (unsigned long long)mapping->start);
    must(is_in_text(text, size, '-', mapping->end, ' '), "end %#llx", (unsigned long long)mapping->end);
    must(!(mapping->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)), "prot %d", mapping->prot);
    must(strlen(mapping->path) < WW_MAPS_PATH, "a path without an end");
    must(!strchr(mapping->path, '\n'), "a path of two lines");
}

/* Reads the list to its end or an error. Returns 0 or the error; *ret_nr is the number of mappings. */
static int read_list(unsigned int flags, struct told *ret_told, size_t *ret_nr, const uint8_t *text,
                     size_t size)
{
    static struct ww_maps maps;
    struct ww_mapping mapping;
    uint64_t last_end = 0;
    int found;

    nr_reads = 0;
    *ret_nr = 0;
    must(!ww_maps_init(&maps, list_fd, flags), "ww_maps_init");
    while (true) {
        memset(&mapping, 0x5a, sizeof(mapping));
        found = ww_maps_next(&maps, &mapping);
        if (found != 1) {
            break;
        }
        must(*ret_nr < size, "more mappings than bytes");
        check_mapping(&mapping, last_end, text, size);
        last_end = mapping.end;
        if (*ret_nr < MAX_TOLD) {
            ret_told[*ret_nr] = (struct told){ .mapping = mapping, .path_hash = hash(mapping.path) };
            ret_told[*ret_nr].mapping.path = NULL;
        }
        ++*ret_nr;
    }
    must(mapping.start == 0x5a5a5a5a5a5a5a5a, "a mapping is told with %d", found);
    must(found == 0 || found == -EIO || (fail_after && found == -ESRCH), "%d", found);
    must(found || ww_maps_next(&maps, &mapping) == 0, "the end is none");
    ww_maps_close(&maps);
    return found;
}

static bool is_same(const struct told *a, const struct told *b)
{
    const struct ww_mapping *x = &a->mapping, *y = &b->mapping;

    return x->start == y->start && x->end == y->end && x->offset == y->offset && x->inode == y->inode &&
           x->major == y->major && x->minor == y->minor && x->prot == y->prot && x->shared == y->shared &&
           x->path_cut == y->path_cut && x->vm_flags == y->vm_flags && x->page_size == y->page_size &&
           a->path_hash == b->path_hash;
}

static void lists(struct input *input, unsigned int how)
{
    unsigned int flags = how & 1 ? WW_MAPS_VM_FLAGS : 0;
    size_t cut = take(input, 1), nr[2];
    int ends[2];

    fail_after = how & 2 ? 1 + cut % 16 : 0;
    must(!ftruncate(list_fd, 0) && pwrite(list_fd, input->at, input->left, 0) == (ssize_t)input->left,
         "pwrite");
    read_at_most = 0;
    ends[0] = read_list(flags, told[0], &nr[0], input->at, input->left);
    read_at_most = 1 + cut;
    ends[1] = read_list(flags, told[1], &nr[1], input->at, input->left);
    if (fail_after) {
        return;
    }
    must(ends[0] == ends[1] && nr[0] == nr[1], "%d after %zu, in pieces %d after %zu", ends[0], nr[0],
         ends[1], nr[1]);
    for (size_t i = 0; i < nr[0] && i < MAX_TOLD; i++) {
        must(is_same(&told[0][i], &told[1][i]), "mapping %zu differs in pieces", i);
    }
}

/* ---- /proc/PID/status ---- */

/* A number may be returned only if the text has the name. */
static void status(struct input *input)
{
    long kb;

    status_text = (const char *)input->at;
    status_size = input->left;
    kb = read_status(1, "VmPTE");
    status_text = NULL;
    must(kb < 0 || memmem(input->at, input->left, "VmPTE:", 6), "%ld kB from nowhere", kb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .at = data, .left = size };
    unsigned int how = take(&input, 1);

    if (list_fd < 0) {
        list_fd = memfd_create("maps", MFD_CLOEXEC);
        must(list_fd >= 0, "memfd_create");
    }
    if (how & 4) {
        status(&input);
    } else {
        lists(&input, how);
    }
    return 0;
}
