/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mappings of the process, of which vm.max_map_count allows so many: a watch in the middle of a mapping
 * cuts it and costs two. Regions of ours may not take the last ones, since a program that can map nothing any
 * more ends sooner or later. Knows neither regions nor backends, and allocates nothing.
 *
 * The kernel tells how many there are by listing them, which takes milliseconds where there are many. So they
 * are counted seldom: after that, as many watches go uncounted as can use up half of what is free.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "kernel/facts.h"
#include "kernel/headroom.h"

/* So many watches go uncounted at first, and between two counts at least. */
#define UNCOUNTED_FIRST 1024
#define UNCOUNTED_LEAST 64

static atomic_long nr_regions; /* of all contexts */
static atomic_long nr_uncounted = UNCOUNTED_FIRST;

void ww_headroom_add_region(long nr)
{
    atomic_fetch_add_explicit(&nr_regions, nr, memory_order_relaxed);
}

static ssize_t read_some(int fd, char *buffer, size_t len)
{
    ssize_t nr;

    do {
        nr = read(fd, buffer, len);
    } while (nr < 0 && errno == EINTR);
    return nr;
}

/* Negative where /proc/self/maps cannot be read. */
static long count_mappings(void)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    char buffer[4096];
    long count = fd < 0 ? -1 : 0;
    ssize_t nr = 0;

    while (count >= 0 && (nr = read_some(fd, buffer, sizeof(buffer))) > 0) {
        for (const char *at = buffer; (at = memchr(at, '\n', buffer + nr - at)); at++) {
            count++;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return nr < 0 ? -1 : count;
}

int ww_headroom_take(void)
{
    long limit, nr_mappings, kept, more;

    if (atomic_fetch_sub(&nr_uncounted, 1) > 0) {
        return 0;
    }
    /* A process with few regions is not refused: then the program itself has taken the mappings. */
    limit = ww_mapping_limit();
    kept = limit / WW_HEADROOM_PART;
    nr_mappings = count_mappings();
    if (nr_mappings > limit - kept && 2 * atomic_load(&nr_regions) >= kept) {
        atomic_store(&nr_uncounted, 0);
        return -ENOMEM;
    }
    more = nr_mappings < 0 ? 0 : (limit - kept - nr_mappings) / 4;
    atomic_store(&nr_uncounted, more > UNCOUNTED_LEAST ? more : UNCOUNTED_LEAST);
    return 0;
}
