/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Demand paging: which ranges of a context have a provider, and how a missing page gets from the pager that
 * reads the fault to the program's callback and back. The pager (a backend's) installs pages; fill.c keeps
 * the promises of the public calls.
 *
 * A callback runs with no lock held. Its content is installed under the lock, and only if its provider still
 * exists: once a provider has ended, none of its content appears.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "context.h"
#include "hold.h"
#include "process/heap.h"

static int compare_providers(struct ww_provider *a, struct ww_provider *b)
{
    return a->range.start < b->range.start ? -1 : a->range.start > b->range.start;
}

#define MAYBE_UNUSED static __attribute__((unused))
RB_PROTOTYPE_INTERNAL(ww_provider_tree, ww_provider, entry, compare_providers, MAYBE_UNUSED)
RB_GENERATE_INTERNAL(ww_provider_tree, ww_provider, entry, compare_providers, MAYBE_UNUSED)

static void clear_bounds(struct ww_demand *demand)
{
    atomic_store(&demand->lowest, UINTPTR_MAX);
    atomic_store(&demand->highest, 0);
}

void ww_demand_init(struct ww_demand *demand, struct ww_context *ctx)
{
    demand->ctx = ctx;
    clear_bounds(demand);
    pthread_mutex_init(&demand->lock, NULL);
    RB_INIT(&demand->providers);
}

void ww_demand_destroy(struct ww_demand *demand)
{
    struct ww_provider *provider;

    /* In a child of fork a thread of the parent may have been changing the tree. */
    if (!pthread_mutex_trylock(&demand->lock)) {
        while ((provider = RB_ROOT(&demand->providers))) {
            RB_REMOVE(ww_provider_tree, &demand->providers, provider);
            ww_heap_free(provider);
        }
        pthread_mutex_unlock(&demand->lock);
    }
    pthread_mutex_destroy(&demand->lock);
}

/* The first provider that ends after @addr. */
static struct ww_provider *first_provider_past(struct ww_demand *demand, uintptr_t addr)
{
    struct ww_provider *provider = RB_ROOT(&demand->providers), *found = NULL;

    while (provider) {
        if (provider->range.end > addr) {
            found = provider;
            provider = RB_LEFT(provider, entry);
        } else {
            provider = RB_RIGHT(provider, entry);
        }
    }
    return found;
}

static uintptr_t lower(uintptr_t a, uintptr_t b)
{
    return a < b ? a : b;
}

static uintptr_t higher(uintptr_t a, uintptr_t b)
{
    return a > b ? a : b;
}

int ww_demand_add(struct ww_demand *demand, const struct ww_range *range, ww_fill_fn fill, void *arg)
{
    struct ww_provider *provider = ww_heap_alloc(sizeof(*provider)), *next;
    bool taken;

    if (!provider) {
        return -ENOMEM;
    }
    *provider = (struct ww_provider){ .range = *range, .fill = fill, .arg = arg };
    ww_lock(&demand->lock, WW_RANK_DEMAND);
    next = first_provider_past(demand, range->start);
    taken = next && next->range.start < range->end;
    if (!taken) {
        provider->id = ++demand->last_id;
        RB_INSERT(ww_provider_tree, &demand->providers, provider);
        atomic_store(&demand->lowest, lower(atomic_load(&demand->lowest), range->start));
        atomic_store(&demand->highest, higher(atomic_load(&demand->highest), range->end));
    }
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
    if (taken) {
        ww_heap_free(provider);
    }
    return taken ? -EEXIST : 0;
}

int ww_demand_cut(struct ww_demand *demand, uintptr_t at)
{
    struct ww_provider *provider, *upper;
    int err = 0;

    ww_lock(&demand->lock, WW_RANK_DEMAND);
    provider = first_provider_past(demand, at);
    if (provider && provider->range.start < at) {
        upper = ww_heap_alloc(sizeof(*upper));
        if (upper) {
            *upper = *provider;
            upper->range.start = at;
            provider->range.end = at;
            RB_INSERT(ww_provider_tree, &demand->providers, upper);
        } else {
            err = -ENOMEM;
        }
    }
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
    return err;
}

void ww_demand_end(struct ww_demand *demand, uintptr_t start, uintptr_t end)
{
    struct ww_provider *provider;

    ww_lock(&demand->lock, WW_RANK_DEMAND);
    while ((provider = first_provider_past(demand, start)) && provider->range.start < end) {
        RB_REMOVE(ww_provider_tree, &demand->providers, provider);
        ww_heap_free(provider);
    }
    if (RB_EMPTY(&demand->providers)) {
        clear_bounds(demand);
    }
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
}

/* Uses a futex, not a condition variable: a signal may suspend a thread that waits, and it would wake up
 * with the lock held. */
void ww_demand_wait(struct ww_demand *demand, uintptr_t start, uintptr_t end)
{
    bool busy;

    do {
        unsigned int nr_returns;
        struct ww_signals saved;

        if (ww_enter(demand->ctx, &saved)) {
            return;
        }
        ww_lock(&demand->lock, WW_RANK_DEMAND);
        nr_returns = atomic_load(&demand->nr_returns);
        busy = false;
        for (const struct ww_pager *pager = demand->pagers; pager; pager = pager->next) {
            busy |= pager->busy.start < end && pager->busy.end > start;
        }
        ww_unlock(&demand->lock, WW_RANK_DEMAND);
        ww_restore_signals(&saved);
        if (busy) {
            syscall(SYS_futex, &demand->nr_returns, FUTEX_WAIT_PRIVATE, nr_returns, NULL, NULL, 0);
        }
    } while (busy);
}

void ww_demand_count_zeros(struct ww_demand *demand, uintptr_t start, uintptr_t end)
{
    struct ww_provider *provider;

    ww_lock(&demand->lock, WW_RANK_DEMAND);
    for (; (provider = first_provider_past(demand, start)) && provider->range.start < end;
         start = provider->range.end) {
        provider->counts_zeros = true;
    }
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
}

/* The first run of the range that has a provider, or one that counts zeros. */
static bool next_run(struct ww_demand *demand, uintptr_t start, uintptr_t end, bool counting,
                     struct ww_range *ret_run)
{
    const struct ww_provider *provider;
    bool found;

    /* Without the lock, which a pager holds while the kernel copies. */
    if (start >= end || end <= atomic_load(&demand->lowest) || start >= atomic_load(&demand->highest)) {
        return false;
    }
    ww_lock(&demand->lock, WW_RANK_DEMAND);
    do {
        provider = first_provider_past(demand, start);
        found = provider && provider->range.start < end;
        if (found) {
            ret_run->start = provider->range.start > start ? provider->range.start : start;
            ret_run->end = lower(provider->range.end, end);
            start = ret_run->end;
        }
    } while (found && counting && !provider->counts_zeros && start < end);
    found = found && (!counting || provider->counts_zeros);
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
    return found;
}

bool ww_demand_next(struct ww_demand *demand, uintptr_t start, uintptr_t end, struct ww_range *ret_run)
{
    return next_run(demand, start, end, false, ret_run);
}

bool ww_demand_next_counting(struct ww_demand *demand, uintptr_t start, uintptr_t end,
                             struct ww_range *ret_run)
{
    return next_run(demand, start, end, true, ret_run);
}

bool ww_demand_in_callback(struct ww_demand *demand)
{
    bool inside = false;
    struct ww_signals saved;

    if (ww_enter(demand->ctx, &saved)) {
        return false;
    }
    ww_lock(&demand->lock, WW_RANK_DEMAND);
    for (const struct ww_pager *pager = demand->pagers; pager; pager = pager->next) {
        inside |= ww_job_is_mine(&pager->job);
    }
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
    ww_restore_signals(&saved);
    return inside;
}

int ww_demand_rearm(struct ww_demand *demand, struct ww_region *region, uintptr_t start, uintptr_t end)
{
    struct ww_range run;
    int err = 0;

    while (!err && ww_demand_next(demand, start, end, &run)) {
        /* After an error too, some of its pages may be armed. */
        region->on_demand = true;
        err = ww_backend_arm_missing(region, run.start, run.end, demand);
        start = run.end;
    }
    return err;
}

void ww_demand_add_pager(struct ww_demand *demand, struct ww_pager *pager)
{
    pager->next = demand->pagers;
    demand->pagers = pager;
}

void ww_demand_remove_pager(struct ww_demand *demand, struct ww_pager *pager)
{
    struct ww_pager **link = &demand->pagers;

    ww_lock(&demand->lock, WW_RANK_DEMAND);
    while (*link != pager) {
        link = &(*link)->next;
    }
    *link = pager->next;
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
}

/* Holds the region at @addr too, whose lock comes before ours. 0 or -ENOENT, both with our lock. */
static int hold_region(struct ww_demand *demand, uintptr_t addr, struct ww_hold *hold)
{
    int err;

    ww_unlock(&demand->lock, WW_RANK_DEMAND);
    err = ww_hold_to_change_at(demand->ctx, addr, hold);
    ww_lock(&demand->lock, WW_RANK_DEMAND);
    return err;
}

static void end_hold(struct ww_demand *demand, struct ww_hold *hold)
{
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
    ww_hold_end(hold);
    ww_lock(&demand->lock, WW_RANK_DEMAND);
}

/* The provider of the page, or NULL. */
static const struct ww_provider *provider_of(struct ww_demand *demand, uintptr_t addr)
{
    const struct ww_provider *provider = first_provider_past(demand, addr);

    return provider && provider->range.start <= addr ? provider : NULL;
}

/*
 * Lets the threads go on that wait where the provider that they asked is no more. If a region here was on
 * demand, its pages may be armed for missing faults still, and get zeros. Otherwise the fault is an old one:
 * its range was unwatched after it was read, and may be somebody else's by now, or another provider's.
 */
static void serve_orphans(struct ww_pager *pager, uintptr_t start, uintptr_t end)
{
    struct ww_demand *demand = pager->demand;

    for (uintptr_t pos = start; pos < end; pos += ww_page_size()) {
        struct ww_hold hold;
        int err = hold_region(demand, pos, &hold);

        if (err || !hold.region->on_demand || provider_of(demand, pos)) {
            pager->ops->wake(pager, pos, pos + ww_page_size());
        } else if (pager->ops->install(pager, pos, pager->zeros, ww_page_size())) {
            pager->ops->poison(pager, pos);
        }
        if (!err) {
            end_hold(demand, &hold);
        }
    }
}

/* Installs the buffer, from @start on, where its provider still exists. */
static int install_content(struct ww_pager *pager, uint64_t id, uintptr_t start, uintptr_t end)
{
    const char *content = pager->buffer;
    uintptr_t stop;
    int err = 0;

    for (uintptr_t pos = start; pos < end && !err; pos = stop) {
        const struct ww_provider *provider = provider_of(pager->demand, pos);

        if (provider && provider->id == id) {
            stop = lower(provider->range.end, end);
            err = pager->ops->install(pager, pos, content + (pos - start), stop - pos);
        } else {
            stop = pos + ww_page_size();
            serve_orphans(pager, pos, stop);
        }
    }
    return err;
}

/* Poisons a page. It looks written for a moment, which no scan may see: so the region is held. */
static void poison_page(struct ww_pager *pager, uint64_t id, uintptr_t addr)
{
    struct ww_demand *demand = pager->demand;
    const struct ww_provider *provider;
    struct ww_hold hold;
    int err = hold_region(demand, addr, &hold);
    bool is_its;

    provider = provider_of(demand, addr);
    is_its = !err && provider && provider->id == id;
    if (is_its && pager->ops->poison(pager, addr)) {
        pager->ops->replace(pager, addr);
    }
    if (!err) {
        end_hold(demand, &hold);
    }
    if (!is_its) {
        serve_orphans(pager, addr, addr + ww_page_size());
    }
}

/*
 * Asks a provider for the content of [start, end) and installs it. A single page that fails is poisoned;
 * several pages that fail stay missing, and the caller tries them one by one.
 */
static int fetch(struct ww_pager *pager, const struct ww_provider *provider, uintptr_t start, uintptr_t end)
{
    struct ww_demand *demand = pager->demand;
    const struct ww_provider from = *provider;
    int err;

    pager->busy = (struct ww_range){ .start = start, .end = end };
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
    memset(pager->buffer, 0, end - start);
    err = from.fill(from.arg, start, pager->buffer, end - start);
    ww_lock(&demand->lock, WW_RANK_DEMAND);
    if (!err) {
        err = install_content(pager, from.id, start, end);
    }
    if (err && end - start == ww_page_size()) {
        poison_page(pager, from.id, start);
    }
    pager->busy = (struct ww_range){ .start = 0 };
    atomic_fetch_add(&demand->nr_returns, 1);
    syscall(SYS_futex, &demand->nr_returns, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    return err;
}

void ww_demand_page_in(struct ww_pager *pager, uintptr_t start, uintptr_t end)
{
    struct ww_demand *demand = pager->demand;
    uintptr_t single_end = start; /* up to here, page by page */

    ww_lock(&demand->lock, WW_RANK_DEMAND);
    while (start < end) {
        const struct ww_provider *provider = first_provider_past(demand, start);
        uintptr_t stop = start < single_end ? start + ww_page_size() : end;

        if (!provider || provider->range.start > start) {
            stop = provider ? lower(provider->range.start, stop) : stop;
            serve_orphans(pager, start, stop);
        } else {
            stop = lower(provider->range.end, stop);
            if (fetch(pager, provider, start, stop) && stop - start > ww_page_size()) {
                single_end = stop;
                continue;
            }
        }
        start = stop;
    }
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
}
