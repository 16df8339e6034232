/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread that works as garbage collectors do: it suspends other threads wherever they
 * are, queries what was written, and resumes them. In between it takes no lock and
 * allocates nothing, because a suspended thread may hold the lock; the calls about write
 * watches must not need such a lock either.
 */
#include "soak.h"

/* Any threads but the collector itself and the one that checks. */
static size_t choose_actors(struct soak_actor *actor, struct soak_actor **chosen)
{
    size_t nr = 0;

    for (size_t i = 1; i < soak.nr_actors; i++) {
        if (&soak.actors[i] != actor && soak_below(actor, 2)) {
            chosen[nr++] = &soak.actors[i];
        }
    }
    return nr;
}

/* Gets or resets, and copies; only queries a region that a suspended thread is changing. */
static void ask_about(struct soak_actor *actor, struct soak_region *region)
{
    size_t capacity = soak_below(actor, 4) ? SOAK_MAX_PAGES : 1 + soak_below(actor, 100);
    size_t first, nr, found;

    if (!soak_try_copy(region)) {
        soak_ask(actor, region, 0, region->nr_pages, false, capacity);
        return;
    }
    if (soak_below(actor, 4)) {
        found = soak_ask(actor, region, 0, region->nr_pages, true, capacity);
        soak_doing(actor, "copying");
        soak_copy_answer(region, actor->pages, found);
    } else {
        first = soak_below(actor, region->nr_pages);
        nr = region->nr_pages - first > 256 ? 256 : region->nr_pages - first;
        soak_reset_and_copy(actor, region, first, nr);
    }
    soak_end_copy(region);
}

void soak_collect(struct soak_actor *actor)
{
    struct soak_actor *chosen[SOAK_MAX_ACTORS];
    size_t nr = choose_actors(actor, chosen);

    soak_doing(actor, "suspending");
    soak_must(actor, "suspend", soak_system.suspend(chosen, nr));
    for (size_t i = 1 + soak_below(actor, 3); i > 0; i--) {
        ask_about(actor, &soak.regions[soak_below(actor, SOAK_NR_REGIONS)]);
    }
    soak_doing(actor, "resuming");
    soak_must(actor, "resume", soak_system.resume(chosen, nr));
    actor->nr_suspends += nr;
    soak_doing(actor, "waiting for the next collection");
    soak_system.nap(soak_below(actor, 3000));
}
