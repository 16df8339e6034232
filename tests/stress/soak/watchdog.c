/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watchdog: a thread that is never suspended, which ends the run if another thread
 * has made no progress for too long and is not standing still at a checkpoint. It prints
 * what each thread is doing, and needs no lock that one of them may hold.
 */
#include "soak.h"

static struct {
    pthread_t thread;
    atomic_bool end;
    unsigned int progress[SOAK_MAX_ACTORS];
    double since[SOAK_MAX_ACTORS];
} dog;

static void die_of_deadlock(double now)
{
    soak_say("DEADLOCK: no progress for %u seconds\n", soak.options.limit);
    for (size_t i = 0; i < soak.nr_actors; i++) {
        struct soak_actor *actor = &soak.actors[i];

        soak_say("  %s %u: %u turns, the last began %u s ago: %s\n", actor->role, actor->kind,
                 atomic_load(&actor->progress), (unsigned int)(now - dog.since[i]),
                 atomic_load(&actor->doing));
    }
    soak_say("soak: deadlocks=1 lost=%u spurious=%u failed=%u seed=%u\n", atomic_load(&soak.nr_lost),
             atomic_load(&soak.nr_spurious), atomic_load(&soak.nr_failed), soak.options.seed);
    soak_system.die(3);
}

static bool is_stuck(size_t i, double now)
{
    struct soak_actor *actor = &soak.actors[i];
    unsigned int progress = atomic_load(&actor->progress), pause = atomic_load(&soak.pause);

    if (progress != dog.progress[i] || atomic_load(&actor->gone) ||
        ((pause & 1) && atomic_load(&actor->parked) == pause)) {
        dog.progress[i] = progress;
        dog.since[i] = now;
    }
    return now - dog.since[i] > soak.options.limit;
}

static void *watch(void *arg)
{
    double start = soak_system.seconds();

    for (size_t i = 0; i < soak.nr_actors; i++) {
        dog.since[i] = start;
    }
    while (!atomic_load(&dog.end)) {
        double now;

        soak_system.nap(200000);
        now = soak_system.seconds();
        for (size_t i = 0; i < soak.nr_actors; i++) {
            if (is_stuck(i, now)) {
                die_of_deadlock(now);
            }
        }
    }
    return arg;
}

void soak_watchdog_start(void)
{
    if (pthread_create(&dog.thread, NULL, watch, NULL)) {
        soak_say("no thread for the watchdog\n");
        soak_system.die(1);
    }
}

void soak_watchdog_end(void)
{
    atomic_store(&dog.end, true);
    pthread_join(dog.thread, NULL);
}
