/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ranges of a context that are filled on demand, and the way of a missing
 * page from the server that is told of it to the program's callback and back.
 * How pages are installed is the server's (serve.c); what the public calls
 * promise is fill.c's.
 *
 * A callback runs with no lock held. What it returns is installed only where its
 * source is still there, under the lock: when a source has ended, nothing of it
 * comes any more.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/heap.h"
#include "hold.h"
#include "internal.h"

static int compare_sources(struct ww_source *a, struct ww_source *b)
{
    return a->range.start < b->range.start ? -1 : a->range.start > b->range.start;
}

#define MAYBE_UNUSED static __attribute__((unused))
RB_PROTOTYPE_INTERNAL(ww_source_tree, ww_source, entry, compare_sources, MAYBE_UNUSED)
RB_GENERATE_INTERNAL(ww_source_tree, ww_source, entry, compare_sources, MAYBE_UNUSED)

void ww_supply_init(struct ww_supply *supply, struct ww_context *ctx)
{
    supply->ctx = ctx;
    pthread_mutex_init(&supply->lock, NULL);
    RB_INIT(&supply->sources);
}

void ww_supply_destroy(struct ww_supply *supply)
{
    struct ww_source *source;

    while ((source = RB_ROOT(&supply->sources))) {
        RB_REMOVE(ww_source_tree, &supply->sources, source);
        ww_heap_free(source);
    }
    pthread_mutex_destroy(&supply->lock);
}

/* The source that ends behind @addr, the first of those. */
static struct ww_source *first_ending_after(struct ww_supply *supply, uintptr_t addr)
{
    struct ww_source *source = RB_ROOT(&supply->sources), *found = NULL;

    while (source) {
        if (source->range.end > addr) {
            found = source;
            source = RB_LEFT(source, entry);
        } else {
            source = RB_RIGHT(source, entry);
        }
    }
    return found;
}

static uintptr_t lower(uintptr_t a, uintptr_t b)
{
    return a < b ? a : b;
}

int ww_supply_add(struct ww_supply *supply, const struct ww_range *range, ww_fill_fn fill, void *arg)
{
    struct ww_source *source = ww_heap_alloc(sizeof(*source)), *next;
    bool taken;

    if (!source) {
        return -ENOMEM;
    }
    *source = (struct ww_source){ .range = *range, .fill = fill, .arg = arg };
    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    next = first_ending_after(supply, range->start);
    taken = next && next->range.start < range->end;
    if (!taken) {
        source->id = ++supply->last_id;
        RB_INSERT(ww_source_tree, &supply->sources, source);
    }
    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
    if (taken) {
        ww_heap_free(source);
    }
    return taken ? -EEXIST : 0;
}

int ww_supply_cut(struct ww_supply *supply, uintptr_t at)
{
    struct ww_source *source, *upper;
    int err = 0;

    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    source = first_ending_after(supply, at);
    if (source && source->range.start < at) {
        upper = ww_heap_alloc(sizeof(*upper));
        if (upper) {
            *upper = *source;
            upper->range.start = at;
            source->range.end = at;
            RB_INSERT(ww_source_tree, &supply->sources, upper);
        } else {
            err = -ENOMEM;
        }
    }
    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
    return err;
}

void ww_supply_end(struct ww_supply *supply, uintptr_t start, uintptr_t end)
{
    struct ww_source *source;

    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    while ((source = first_ending_after(supply, start)) && source->range.start < end) {
        RB_REMOVE(ww_source_tree, &supply->sources, source);
        ww_heap_free(source);
    }
    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
}

/* No condition variable: a thread that a signal suspends while it waits would wake up with the lock. */
void ww_supply_wait(struct ww_supply *supply, uintptr_t start, uintptr_t end)
{
    bool busy;

    do {
        unsigned int nr_returns;
        sigset_t saved;

        ww_block_signals(&saved);
        ww_lock(&supply->lock, WW_RANK_SUPPLY);
        nr_returns = atomic_load(&supply->nr_returns);
        busy = false;
        for (const struct ww_server *server = supply->servers; server; server = server->next) {
            busy |= server->busy.start < end && server->busy.end > start;
        }
        ww_unlock(&supply->lock, WW_RANK_SUPPLY);
        ww_restore_signals(&saved);
        if (busy) {
            syscall(SYS_futex, &supply->nr_returns, FUTEX_WAIT_PRIVATE, nr_returns, NULL, NULL, 0);
        }
    } while (busy);
}

bool ww_supply_next(struct ww_supply *supply, uintptr_t start, uintptr_t end, struct ww_range *ret_run)
{
    struct ww_source *source;
    bool found;

    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    source = first_ending_after(supply, start);
    found = start < end && source && source->range.start < end;
    if (found) {
        ret_run->start = source->range.start > start ? source->range.start : start;
        ret_run->end = lower(source->range.end, end);
    }
    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
    return found;
}

bool ww_supply_inside(struct ww_supply *supply)
{
    bool inside = false;
    sigset_t saved;

    ww_block_signals(&saved);
    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    for (const struct ww_server *server = supply->servers; server; server = server->next) {
        inside |= ww_job_is_mine(&server->job);
    }
    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
    ww_restore_signals(&saved);
    return inside;
}

int ww_supply_renew(struct ww_supply *supply, struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_range run;
    int err = 0;

    while (!err && ww_supply_next(supply, start, end, &run)) {
        err = region->tracker->backend->supply(region, run.start, run.end, supply);
        start = run.end;
    }
    return err;
}

void ww_supply_add_server(struct ww_supply *supply, struct ww_server *server)
{
    server->next = supply->servers;
    supply->servers = server;
}

void ww_supply_remove_server(struct ww_supply *supply, struct ww_server *server)
{
    struct ww_server **link = &supply->servers;

    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    while (*link != server) {
        link = &(*link)->next;
    }
    *link = server->next;
    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
}

/* Nobody has content for these pages (any more). */
static void put_zeros(struct ww_server *server, uintptr_t start, uintptr_t end)
{
    for (uintptr_t pos = start; pos < end; pos += ww_page_size()) {
        if (server->ops->install(server, pos, server->zeros, ww_page_size())) {
            server->ops->poison(server, pos);
        }
    }
}

/* Installs the buffer, from @start on, where its source is still there; zeros elsewhere. */
static int install(struct ww_server *server, uint64_t id, uintptr_t start, uintptr_t end)
{
    const char *content = server->buffer;
    uintptr_t stop;
    int err = 0;

    for (uintptr_t pos = start; pos < end && !err; pos = stop) {
        const struct ww_source *source = first_ending_after(server->supply, pos);

        if (source && source->range.start <= pos && source->id == id) {
            stop = lower(source->range.end, end);
            err = server->ops->install(server, pos, content + (pos - start), stop - pos);
        } else {
            stop = pos + ww_page_size();
            put_zeros(server, pos, stop);
        }
    }
    return err;
}

/* A poisoned page looks written for a moment, so no harvest must see it: the region's
 * lock comes before ours. */
static void poison(struct ww_server *server, uint64_t id, uintptr_t addr)
{
    struct ww_supply *supply = server->supply;
    const struct ww_source *source;
    struct ww_hold hold;
    int err;

    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
    err = ww_hold_to_change_at(supply->ctx, addr, &hold);
    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    source = first_ending_after(supply, addr);
    if (!err && source && source->range.start <= addr && source->id == id) {
        if (server->ops->poison(server, addr)) {
            server->ops->bury(server, addr);
        }
    } else {
        put_zeros(server, addr, addr + ww_page_size());
    }
    if (!err) {
        ww_unlock(&supply->lock, WW_RANK_SUPPLY);
        ww_hold_end(&hold);
        ww_lock(&supply->lock, WW_RANK_SUPPLY);
    }
}

/*
 * Asks a source for the content of [start, end) and installs it. A single page that
 * fails is poisoned; several that fail are left as they are, for another try.
 */
static int fetch(struct ww_server *server, const struct ww_source *source, uintptr_t start, uintptr_t end)
{
    struct ww_supply *supply = server->supply;
    const struct ww_source from = *source;
    int err;

    server->busy = (struct ww_range){ .start = start, .end = end };
    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
    memset(server->buffer, 0, end - start);
    err = from.fill(from.arg, start, server->buffer, end - start);
    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    if (!err) {
        err = install(server, from.id, start, end);
    }
    if (err && end - start == ww_page_size()) {
        poison(server, from.id, start);
    }
    server->busy = (struct ww_range){ .start = 0 };
    atomic_fetch_add(&supply->nr_returns, 1);
    syscall(SYS_futex, &supply->nr_returns, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    return err;
}

void ww_supply_serve(struct ww_server *server, uintptr_t start, uintptr_t end)
{
    struct ww_supply *supply = server->supply;
    uintptr_t single_end = start; /* up to here page by page */

    ww_lock(&supply->lock, WW_RANK_SUPPLY);
    while (start < end) {
        const struct ww_source *source = first_ending_after(supply, start);
        uintptr_t stop = start < single_end ? start + ww_page_size() : end;

        if (!source || source->range.start > start) {
            stop = source ? lower(source->range.start, stop) : stop;
            put_zeros(server, start, stop);
        } else {
            stop = lower(source->range.end, stop);
            if (fetch(server, source, start, stop) && stop - start > ww_page_size()) {
                single_end = stop;
                continue;
            }
        }
        start = stop;
    }
    ww_unlock(&supply->lock, WW_RANK_SUPPLY);
}

int ww_no_supply(struct ww_region *region, uintptr_t start, uintptr_t end, struct ww_supply *supply)
{
    (void)region;
    (void)start;
    (void)end;
    (void)supply;
    return -EOPNOTSUPP;
}
