/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads /proc/PID/maps and smaps: splits a buffer of fixed size into lines, and lines into fields. What a
 * mapping means is its callers' concern.
 *
 * The kernel returns whole lines, about a page of them a read, and goes on at the address where it stopped. A
 * mapping that grew or was merged in between is listed again, now larger; the reader cuts off the part that
 * it has returned already.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/fd.h"
#include "kernel/proc_maps.h"

/* The file is at its beginning. */
static void begin(struct ww_maps *ret_maps, int fd, unsigned int flags)
{
    ret_maps->fd = fd;
    ret_maps->owns_fd = false;
    ret_maps->flags = flags;
    ret_maps->skip = false;
    ret_maps->at_end = false;
    ret_maps->from = 0;
    ret_maps->to = 0;
    ret_maps->last_end = 0;
}

int ww_maps_init(struct ww_maps *ret_maps, int fd, unsigned int flags)
{
    if (lseek(fd, 0, SEEK_SET) < 0) {
        return -errno;
    }
    begin(ret_maps, fd, flags);
    return 0;
}

int ww_maps_open(struct ww_maps *ret_maps, pid_t pid, unsigned int flags)
{
    const char *name = flags & WW_MAPS_VM_FLAGS ? "smaps" : "maps";
    char path[64];
    int fd;

    if (pid) {
        snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    } else {
        snprintf(path, sizeof(path), "/proc/self/%s", name);
    }
    fd = ww_open_file(path, O_RDONLY);
    if (fd < 0) {
        return fd == -ENOENT && pid && !access("/proc/self", F_OK) ? -ESRCH : fd;
    }
    begin(ret_maps, fd, flags);
    ret_maps->owns_fd = true;
    return 0;
}

void ww_maps_close(struct ww_maps *maps)
{
    if (maps->owns_fd) {
        close(maps->fd);
    }
    maps->fd = -1;
    maps->owns_fd = false;
}

/* Reads more after what is there; the buffer has room. 0, also at the end, or a negative errno. */
static int read_more(struct ww_maps *maps)
{
    ssize_t len;

    do {
        len = read(maps->fd, maps->buffer + maps->to, sizeof(maps->buffer) - maps->to);
    } while (len < 0 && errno == EINTR);
    if (len < 0) {
        return -errno;
    }
    maps->to += len;
    maps->at_end = !len;
    return 0;
}

/* Drops the rest of a line whose beginning filled the buffer. 0 or a negative errno. */
static int skip_rest(struct ww_maps *maps)
{
    while (maps->skip) {
        char *newline = memchr(maps->buffer + maps->from, '\n', maps->to - maps->from);
        int err;

        if (newline || maps->at_end) {
            maps->from = newline ? (size_t)(newline + 1 - maps->buffer) : maps->to;
            maps->skip = false;
            break;
        }
        maps->from = maps->to = 0;
        err = read_more(maps);
        if (err) {
            return err;
        }
    }
    return 0;
}

/*
 * Finds the next line, without its newline, and does not consume it. Truncates a line longer than the
 * buffer. 1, 0 at the end, or a negative errno.
 */
static int peek_line(struct ww_maps *maps, char **ret_line, size_t *ret_len)
{
    int err = skip_rest(maps);

    while (!err) {
        char *line = maps->buffer + maps->from;
        size_t len = maps->to - maps->from;
        char *newline = memchr(line, '\n', len);

        if (newline || len == sizeof(maps->buffer) || (maps->at_end && len)) {
            *ret_line = line;
            *ret_len = newline ? (size_t)(newline - line) : len;
            return 1;
        }
        if (maps->at_end) {
            return 0;
        }
        memmove(maps->buffer, line, len);
        maps->from = 0;
        maps->to = len;
        err = read_more(maps);
    }
    return err;
}

/* Consumes the line that peek_line() found. */
static void next_line(struct ww_maps *maps, size_t len)
{
    maps->from += len;
    if (maps->from < maps->to) {
        maps->from++;
    } else {
        maps->skip = !maps->at_end;
    }
}

/* Parses a number in @base up to the first character that is not a digit. NULL: no number, or too large. */
static const char *parse_number(const char *at, const char *end, unsigned int base, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *from = at;

    for (; at < end; at++) {
        unsigned int digit = *at >= '0' && *at <= '9'   ? (unsigned int)(*at - '0')
                             : *at >= 'a' && *at <= 'f' ? (unsigned int)(*at - 'a' + 10)
                                                        : base;

        if (digit >= base) {
            break;
        }
        if (number > (UINT64_MAX - digit) / base) {
            return NULL;
        }
        number = number * base + digit;
    }
    *ret_number = number;
    return at > from ? at : NULL;
}

/* As parse_number(), and skips @after, which must follow the number. */
static const char *parse_field(const char *at, const char *end, unsigned int base, char after,
                               uint64_t *ret_number)
{
    at = at ? parse_number(at, end, base, ret_number) : NULL;
    return at && at < end && *at == after ? at + 1 : NULL;
}

/* "rw-p " */
static const char *parse_mode(const char *at, const char *end, struct ww_mapping *ret)
{
    if (!at || end - at < 5 || at[4] != ' ') {
        return NULL;
    }
    ret->prot =
        (at[0] == 'r' ? PROT_READ : 0) | (at[1] == 'w' ? PROT_WRITE : 0) | (at[2] == 'x' ? PROT_EXEC : 0);
    ret->shared = at[3] == 's';
    return at + 5;
}

/* The first line of a mapping: "start-end mode offset major:minor inode   path". 0 or -EIO. */
static int parse_mapping(struct ww_maps *maps, const char *line, size_t len, struct ww_mapping *ret)
{
    const char *end = line + len, *at;
    struct ww_mapping mapping = { .path = maps->path };
    uint64_t major = 0, minor = 0;
    size_t path_len;

    at = parse_field(line, end, 16, '-', &mapping.start);
    at = parse_field(at, end, 16, ' ', &mapping.end);
    at = parse_mode(at, end, &mapping);
    at = parse_field(at, end, 16, ' ', &mapping.offset);
    at = parse_field(at, end, 16, ':', &major);
    at = parse_field(at, end, 16, ' ', &minor);
    at = at ? parse_number(at, end, 10, &mapping.inode) : NULL;
    if (!at || mapping.end <= mapping.start || major > UINT_MAX || minor > UINT_MAX) {
        return -EIO;
    }
    mapping.major = major;
    mapping.minor = minor;
    while (at < end && *at == ' ') {
        at++;
    }
    path_len = end - at;
    /* If the line fills the buffer, its end is unknown. */
    mapping.path_cut = path_len >= sizeof(maps->path) || len == sizeof(maps->buffer);
    if (path_len >= sizeof(maps->path)) {
        path_len = sizeof(maps->path) - 1;
    }
    memcpy(maps->path, at, path_len);
    maps->path[path_len] = '\0';
    *ret = mapping;
    return 0;
}

static uint32_t parse_vm_flags(const char *at, const char *end)
{
    static const struct {
        char letters[2];
        enum ww_vm_flag flag;
    } names[] = {
        { "pf", WW_VM_PFNMAP },       { "ht", WW_VM_HUGETLB },    { "uw", WW_VM_UFFD_WP },
        { "um", WW_VM_UFFD_MISSING }, { "sd", WW_VM_SOFT_DIRTY },
    };
    uint32_t flags = 0;

    while (end - at >= 2) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            if (!memcmp(at, names[i].letters, 2)) {
                flags |= names[i].flag;
            }
        }
        at += at[0] == ' ' ? 1 : 2;
    }
    return flags;
}

static size_t parse_kilobytes(const char *at, const char *end)
{
    uint64_t number;

    while (at < end && *at == ' ') {
        at++;
    }
    return parse_number(at, end, 10, &number) && number <= SIZE_MAX / 1024 ? number * 1024 : 0;
}

/* Reads the lines that smaps has below a mapping. 0 or a negative errno. */
static int read_details(struct ww_maps *maps, struct ww_mapping *mapping)
{
    static const char vm_flags[] = "VmFlags:", page_size[] = "KernelPageSize:";
    size_t prefix = sizeof(vm_flags) - 1, size_prefix = sizeof(page_size) - 1, len;
    char *line;
    int found;

    while ((found = peek_line(maps, &line, &len)) > 0) {
        /* The names of fields begin with a capital, addresses with a digit or a small letter. */
        if (len && ((line[0] >= '0' && line[0] <= '9') || (line[0] >= 'a' && line[0] <= 'f'))) {
            return 0;
        }
        if (len > prefix && !memcmp(line, vm_flags, prefix)) {
            mapping->vm_flags = parse_vm_flags(line + prefix, line + len);
        } else if (len > size_prefix && !memcmp(line, page_size, size_prefix)) {
            mapping->page_size = parse_kilobytes(line + size_prefix, line + len);
        }
        next_line(maps, len);
    }
    return found;
}

static int read_mapping(struct ww_maps *maps, struct ww_mapping *ret_mapping)
{
    struct ww_mapping mapping;
    char *line;
    size_t len;
    int found = peek_line(maps, &line, &len), err;

    if (found <= 0) {
        return found;
    }
    err = parse_mapping(maps, line, len, &mapping);
    if (err) {
        return err;
    }
    next_line(maps, len);
    if (maps->flags & WW_MAPS_VM_FLAGS) {
        err = read_details(maps, &mapping);
        if (err) {
            return err;
        }
    }
    *ret_mapping = mapping;
    return 1;
}

int ww_maps_next(struct ww_maps *maps, struct ww_mapping *ret_mapping)
{
    struct ww_mapping mapping;
    int found;

    do {
        found = read_mapping(maps, &mapping);
        if (found <= 0) {
            return found;
        }
    } while (mapping.end <= maps->last_end);
    if (mapping.start < maps->last_end) {
        mapping.offset += mapping.inode ? maps->last_end - mapping.start : 0;
        mapping.start = maps->last_end;
    }
    maps->last_end = mapping.end;
    *ret_mapping = mapping;
    return 1;
}
