/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads (churners) that allocate and release regions of their own all the time, also
 * while the shared ones are being checked. The only writer of such a region is its only
 * harvester, so every answer is known: the pages just written, and no others. Meanwhile
 * other threads (prowlers) query the same addresses, which may be released and allocated
 * again at any moment.
 */
#include <stdlib.h>
#include <string.h>

#include "soak.h"

#define NR_SLOTS 6
#define MAX_WRITTEN 24

struct slot {
    atomic_uintptr_t base; /* 0: no region; prowlers read it */
    atomic_size_t nr_pages;
};

/* A churner's regions. */
struct holding {
    struct slot slots[NR_SLOTS];
};

static size_t choose_size(struct soak_actor *actor)
{
    switch (soak_below(actor, 32)) {
    case 0: /* a 32-bit program has less address space */
        return 1 + soak_below(actor, sizeof(void *) > 4 ? 12000 : 3000);
    case 1:
    case 2:
        return 1 + soak_below(actor, 2000);
    default:
        return 1 + soak_below(actor, 64);
    }
}

static int compare_pages(const void *a, const void *b)
{
    const char *left = *(char *const *)a, *right = *(char *const *)b;

    return (left > right) - (left < right);
}

/* Writes to some pages and leaves their addresses, ascending, in @written. */
static size_t write_some(struct soak_actor *actor, char *base, size_t nr_pages, void **written)
{
    size_t nr = 1 + soak_below(actor, MAX_WRITTEN), kept = 0;

    for (size_t i = 0; i < nr; i++) {
        char *page = base + soak_below(actor, nr_pages) * SOAK_PAGE;

        atomic_store_explicit((_Atomic uint64_t *)page + soak_below(actor, SOAK_WORDS), soak_stamp(actor),
                              memory_order_relaxed);
        written[i] = page;
    }
    qsort(written, nr, sizeof(*written), compare_pages);
    for (size_t i = 0; i < nr; i++) {
        if (!kept || written[kept - 1] != written[i]) {
            written[kept++] = written[i];
        }
    }
    return kept;
}

/* Queries and compares the answer; where answers are not exact it may have more pages. */
static void expect(struct soak_actor *actor, char *base, size_t nr_pages, bool reset, void **expected,
                   size_t nr_expected, const char *when)
{
    size_t at = 0, nr_missing = 0, nr_extra = 0;
    ssize_t nr;

    soak_doing(actor, "harvesting a region of its own");
    nr = soak_system.get(base, nr_pages * SOAK_PAGE, reset, actor->pages, SOAK_MAX_PAGES);
    soak_must(actor, "get of a region of its own", nr < 0 ? nr : 0);
    for (ssize_t i = 0; i < nr; i++) {
        while (at < nr_expected && (char *)expected[at] < (char *)actor->pages[i]) {
            nr_missing++;
            at++;
        }
        if (at < nr_expected && expected[at] == actor->pages[i]) {
            at++;
        } else {
            nr_extra++;
        }
    }
    nr_missing += nr_expected - at;
    nr_extra = soak.exact ? nr_extra : 0;
    actor->nr_harvests++;
    actor->nr_pages += nr > 0 ? nr : 0;
    if (nr_missing || nr_extra) {
        soak_say("churner %u: [%p, +%u pages), %s: %u pages missing, %u not expected\n", actor->kind,
                 (void *)base, (unsigned int)nr_pages, when, (unsigned int)nr_missing,
                 (unsigned int)nr_extra);
        atomic_fetch_add(&soak.nr_lost, nr_missing);
        atomic_fetch_add(&soak.nr_spurious, nr_extra);
    }
}

/* Decommits all of the region. Afterwards pages are reported that a protect latched before, and no others. */
static void drop_all(struct soak_actor *actor, char *base, size_t nr_pages, void **written, size_t nr)
{
    bool latch = soak_below(actor, 2);

    if (!soak.two_levels) {
        expect(actor, base, nr_pages, true, written, nr, "after writes");
        nr = 0;
    } else if (latch) {
        soak_doing(actor, "protecting a region of its own");
        soak_must(actor, "protect", soak_system.protect(base, nr_pages * SOAK_PAGE, SOAK_READ));
        soak_must(actor, "protect", soak_system.protect(base, nr_pages * SOAK_PAGE, SOAK_WRITE));
    } else {
        nr = 0;
    }
    soak_doing(actor, "decommitting a region of its own");
    soak_must(actor, "decommit", soak_system.decommit(base, nr_pages * SOAK_PAGE));
    soak_must(actor, "commit", soak_system.commit(base, nr_pages * SOAK_PAGE));
    expect(actor, base, nr_pages, true, written, nr, "after a decommit");
}

static void exercise(struct soak_actor *actor, char *base, size_t nr_pages)
{
    void *written[MAX_WRITTEN];
    size_t nr = write_some(actor, base, nr_pages, written);

    switch (soak_below(actor, 6)) {
    case 0:
        drop_all(actor, base, nr_pages, written, nr);
        break;
    case 1:
        soak_doing(actor, "resetting a region of its own");
        soak_must(actor, "reset", soak_system.reset(base, nr_pages * SOAK_PAGE));
        break;
    default:
        if (soak_below(actor, 2)) {
            expect(actor, base, nr_pages, false, written, nr, "asked without a reset");
        }
        expect(actor, base, nr_pages, true, written, nr, "after writes");
        break;
    }
    expect(actor, base, nr_pages, soak_below(actor, 2), NULL, 0, "after a reset");
}

static void release(struct soak_actor *actor, struct slot *slot)
{
    char *base = (char *)atomic_load(&slot->base);

    soak_doing(actor, "releasing");
    atomic_store(&slot->base, 0);
    soak_must(actor, "release", soak_system.release(base, atomic_load(&slot->nr_pages) * SOAK_PAGE));
}

void soak_churn(struct soak_actor *actor)
{
    struct holding *holding = actor->own;
    struct slot *slot = &holding->slots[soak_below(actor, NR_SLOTS)];
    char *base = (char *)atomic_load(&slot->base);
    size_t nr_pages = atomic_load(&slot->nr_pages);
    void *written[MAX_WRITTEN];

    if (!base) {
        nr_pages = choose_size(actor);
        soak_doing(actor, "allocating");
        base = soak_system.allocate(nr_pages * SOAK_PAGE);
        soak_must(actor, "allocate", base ? 0 : -1);
        if (!base) {
            return;
        }
        atomic_store(&slot->nr_pages, nr_pages);
        atomic_store(&slot->base, (uintptr_t)base);
        expect(actor, base, nr_pages, false, NULL, 0, "fresh");
    }
    exercise(actor, base, nr_pages);
    if (!soak_below(actor, 3)) {
        /* Releases it with written pages half of the time. */
        if (soak_below(actor, 2)) {
            write_some(actor, base, nr_pages, written);
        }
        release(actor, slot);
    }
}

void soak_churn_end(struct soak_actor *actor)
{
    struct holding *holding = actor->own;

    for (int i = 0; i < NR_SLOTS; i++) {
        if (atomic_load(&holding->slots[i].base)) {
            release(actor, &holding->slots[i]);
        }
    }
}

/* Queries regions that churners allocate and release. The call may fail, but all addresses must lie in the
 * range. It resets nothing, because the churner expects its own writes in its answers. */
void soak_prowl(struct soak_actor *actor)
{
    struct soak_actor *other = &soak.actors[soak_below(actor, soak.nr_actors)];
    struct holding *holding;
    struct slot *slot;
    uintptr_t base, len;
    ssize_t nr;

    if (other->step != soak_churn) {
        soak_system.nap(0);
        return;
    }
    holding = other->own;
    slot = &holding->slots[soak_below(actor, NR_SLOTS)];
    base = atomic_load(&slot->base);
    len = atomic_load(&slot->nr_pages) * SOAK_PAGE;
    if (!base) {
        soak_system.nap(0);
        return;
    }
    soak_doing(actor, "asking about others' memory");
    nr = soak_system.get((char *)base, len, false, actor->pages, SOAK_MAX_PAGES);
    for (ssize_t i = 0; i < nr; i++) {
        if ((uintptr_t)actor->pages[i] < base || (uintptr_t)actor->pages[i] >= base + len) {
            soak_must(actor, "an address within the range", -1);
        }
    }
}
