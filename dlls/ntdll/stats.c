/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts what the NT calls do, in a file that other programs read (counters.h). Every operation is a relaxed
 * atomic one on a mapping that exists before the first call is interposed. A thread may be suspended between
 * any two of them, so two counters need not belong to the same moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stats.h"

#define SLOT_FREE 0
#define SLOT_BUSY 1

static uint64_t load(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *counter, uint64_t value)
{
    uint64_t seen = load(counter);

    while (seen < value && !atomic_compare_exchange_weak(counter, &seen, value)) {
        ;
    }
}

/* ---- the file ---- */

/* Reads the words of the command line, as far as there is room. */
static void read_command(char *ret, size_t size)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, ret, size - 1);

    ret[len < 0 ? 0 : len] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

/* Allocates the file's blocks now: a full disk must not become a SIGBUS later. */
static struct counters *map_file(int fd)
{
    void *map = MAP_FAILED;
    int err = posix_fallocate(fd, 0, sizeof(struct counters));

    if (!err) {
        map = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        err = map == MAP_FAILED ? errno : 0;
    }
    errno = err;
    return map == MAP_FAILED ? NULL : map;
}

static struct counters *create(const char *path)
{
    struct counters *counters;
    int fd, err;

    if (unlink(path) && errno != ENOENT) {
        return NULL;
    }
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return NULL;
    }
    counters = map_file(fd);
    err = errno;
    if (!counters) {
        unlink(path);
    }
    close(fd);
    errno = err;
    return counters;
}

struct counters *stats_open(const char *folder, const char *backend, const char *convention)
{
    struct counters *counters;
    char path[512];
    int len = snprintf(path, sizeof(path), "%s/%d", folder, (int)getpid());

    if (len < 0 || len >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    counters = create(path);
    if (!counters) {
        return NULL;
    }
    counters->version = COUNTERS_VERSION;
    counters->size = sizeof(*counters);
    counters->pid = getpid();
    counters->page_size = sysconf(_SC_PAGESIZE);
    counters->began_ns = stats_now(counters);
    strncpy(counters->backend, backend, sizeof(counters->backend) - 1);
    strncpy(counters->convention, convention, sizeof(counters->convention) - 1);
    read_command(counters->command, sizeof(counters->command));
    atomic_store(&counters->magic, COUNTERS_MAGIC);
    return counters;
}

/* ---- regions ---- */

static void fill_slot(struct counters_of_region *slot, uintptr_t start, uintptr_t end, uint64_t serial)
{
    atomic_store(&slot->serial, serial);
    atomic_store(&slot->end, end);
    atomic_store(&slot->nr_gets, 0);
    atomic_store(&slot->nr_resets, 0);
    atomic_store(&slot->nr_pages, 0);
    atomic_store(&slot->time_ns, 0);
    for (size_t i = 0; i < COUNTERS_NR_PARTS; i++) {
        atomic_store_explicit(&slot->part[i], 0, memory_order_relaxed);
    }
    atomic_store(&slot->start, start);
}

/* Cuts a range that is no longer watched off a slot's region. The part below it stays, or else the part
 * above. */
static void cut_slot(struct counters_of_region *slot, uintptr_t start, uintptr_t end)
{
    uint64_t from = load(&slot->start), to = load(&slot->end);

    if (from <= SLOT_BUSY || from >= end || to <= start) {
        return;
    }
    if (from < start) {
        atomic_store(&slot->end, start);
    } else {
        atomic_store(&slot->start, to > end ? end : SLOT_FREE);
    }
}

void stats_watched(struct counters *counters, uintptr_t start, uintptr_t end)
{
    uint64_t serial;

    if (!counters) {
        return;
    }
    add(&counters->watched_bytes, end - start);
    serial = atomic_fetch_add(&counters->nr_watched, 1) + 1;
    for (size_t i = 0; i < COUNTERS_NR_REGIONS; i++) {
        uint64_t seen = SLOT_FREE;

        if (atomic_compare_exchange_strong(&counters->region[i].start, &seen, SLOT_BUSY)) {
            fill_slot(&counters->region[i], start, end, serial);
            return;
        }
    }
}

uint64_t stats_nr_watched(struct counters *counters)
{
    return counters ? load(&counters->nr_watched) : 0;
}

void stats_ended(struct counters *counters, uintptr_t start, uintptr_t end, uint64_t nr_watched)
{
    if (!counters) {
        return;
    }
    atomic_fetch_sub(&counters->watched_bytes, end - start);
    for (size_t i = 0; i < COUNTERS_NR_REGIONS; i++) {
        if (load(&counters->region[i].serial) <= nr_watched) {
            cut_slot(&counters->region[i], start, end);
        }
    }
}

/* NULL: no region has a slot there. */
static struct counters_of_region *find_slot(struct counters *counters, uintptr_t addr)
{
    for (size_t i = 0; i < COUNTERS_NR_REGIONS; i++) {
        struct counters_of_region *slot = &counters->region[i];
        uint64_t start = load(&slot->start);

        if (start > SLOT_BUSY && addr >= start && addr < load(&slot->end)) {
            return slot;
        }
    }
    return NULL;
}

/* The array belongs to the program, which may change it at the same time. */
static void add_to_parts(struct counters_of_region *slot, void *const *pages, size_t nr)
{
    uintptr_t start = load(&slot->start), size = load(&slot->end) - start;
    uintptr_t step = size / COUNTERS_NR_PARTS + (size % COUNTERS_NR_PARTS != 0), part = 0;

    for (size_t i = 0; i < nr; i++) {
        uintptr_t offset = (uintptr_t)pages[i] - start;

        if (offset >= size) {
            continue;
        }
        if (offset - part * step >= step) {
            part = offset / step;
        }
        atomic_fetch_add_explicit(&slot->part[part], 1, memory_order_relaxed);
    }
}

/* ---- calls ---- */

void stats_got(struct counters *counters, uintptr_t addr, void *const *pages, size_t nr, uint64_t time_ns)
{
    struct counters_of_region *slot;

    if (!counters) {
        return;
    }
    add(&counters->nr_pages, nr);
    add(&counters->nr_clean, nr == 0);
    raise_to(&counters->most_pages, nr);
    raise_to(&counters->slowest_get_ns, time_ns);
    slot = find_slot(counters, addr);
    if (slot) {
        add(&slot->nr_gets, 1);
        add(&slot->nr_pages, nr);
        add(&slot->time_ns, time_ns);
        add_to_parts(slot, pages, nr);
    }
}

void stats_reset(struct counters *counters, uintptr_t addr, uint64_t time_ns)
{
    struct counters_of_region *slot = counters ? find_slot(counters, addr) : NULL;

    if (slot) {
        add(&slot->nr_resets, 1);
        add(&slot->time_ns, time_ns);
    }
}

void stats_called(struct counters *counters, enum counters_call call, bool failed, uint64_t time_ns)
{
    if (counters) {
        add(&counters->call[call].nr, 1);
        add(&counters->call[call].nr_failed, failed);
        add(&counters->call[call].time_ns, time_ns);
    }
}

void stats_passed(struct counters *counters, enum counters_call call)
{
    if (counters) {
        add(&counters->call[call].nr_passed, 1);
    }
}
