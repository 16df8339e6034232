/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread that does as garbage collectors do: it suspends others wherever they
 * happen to be, asks what was written, and lets them go on. In between it takes
 * no lock and allocates nothing, for that would be a deadlock of the program's
 * own; the calls about write watches are what must not need any.
 */
#include "soak.h"

/* Anybody but itself, and the thread that checks. */
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

/* Of a region that one of the suspended is changing it only asks. */
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
