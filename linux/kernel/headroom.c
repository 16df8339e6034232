/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leaves mappings for the program. vm.max_map_count limits the mappings of a process, and a watch in the
 * middle of a mapping cuts it, which costs two. Our regions may not take the last ones, since a program that
 * can map nothing sooner or later ends. Knows neither regions nor backends, and allocates nothing.
 *
 * The kernel shows the number of mappings only by listing them, which takes milliseconds if there are many.
 * So we count seldom: after a count, as many watches begin without one as could use up half of what is free.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "kernel/facts.h"
#include "kernel/fd.h"
#include "kernel/headroom.h"

/* How many watches begin without a count at first, and between two counts at least. */
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

/* Negative: /proc/self/maps cannot be read. */
static long count_mappings(void)
{
    int fd = ww_open_file("/proc/self/maps", O_RDONLY);
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
    long limit, nr_mappings, reserved, more;

    if (atomic_fetch_sub(&nr_uncounted, 1) > 0) {
        return 0;
    }
    /* If a process has few regions, the program itself has taken the mappings, and is not refused. */
    limit = ww_mapping_limit();
    reserved = limit / WW_HEADROOM_PART;
    nr_mappings = count_mappings();
    if (nr_mappings > limit - reserved && 2 * atomic_load(&nr_regions) >= reserved) {
        atomic_store(&nr_uncounted, 0);
        return -ENOMEM;
    }
    more = nr_mappings < 0 ? 0 : (limit - reserved - nr_mappings) / 4;
    atomic_store(&nr_uncounted, more > UNCOUNTED_LEAST ? more : UNCOUNTED_LEAST);
    return 0;
}
