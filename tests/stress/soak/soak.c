/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * soak [--seconds=N] [--seed=N] [--ROLE=N]...: the soak test's options, threads and
 * summary (soak.h says what it tests). Exit codes: 0 if no write was lost, no page was
 * reported that was not written, and no thread hung; 1 if a write was lost or a call
 * failed; 2 for a bad command line; 3 for a deadlock; 4 if the only fault is that pages
 * were reported which no thread has written; 77 where the system cannot run it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "soak.h"

/* Defaults for a machine with two processors. */
struct soak soak = {
    .options = {
        .seconds = 10,
        .seed = 1,
        .writers = 3,
        .kernel_writers = 1,
        .harvesters = 2,
        .changers = 2,
        .churners = 2,
        .prowlers = 1,
        .ordinary = 2,
        .collectors = 1,
        .alarms = 1,
        .limit = 60,
        .checkpoint_ms = 700,
    },
};

static const size_t region_pages[SOAK_NR_REGIONS] = { 64, 700, 2048, 9000, 12000 };

uint64_t soak_random(uint64_t *state)
{
    uint64_t bits = *state += UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return (bits ^ bits >> 31) >> 1;
}

void soak_say(const char *format, ...)
{
    char text[512];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len > 0) {
        soak_system.say(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
    }
}

void soak_must(const struct soak_actor *actor, const char *what, long ret)
{
    if (ret < 0 && atomic_fetch_add(&soak.nr_failed, 1) < 20) {
        soak_say("%s %u: %s failed: %ld\n", actor ? actor->role : "main", actor ? actor->kind : 0, what, ret);
    }
}

/* ---- options ---- */

static const struct {
    const char *name;
    unsigned int *value, min, max;
} options[] = {
    { "seconds", &soak.options.seconds, 1, 1000000 },
    { "seed", &soak.options.seed, 0, ~0u },
    { "writers", &soak.options.writers, 1, 8 },
    { "kernel-writers", &soak.options.kernel_writers, 0, 1 },
    { "harvesters", &soak.options.harvesters, 1, 8 },
    { "changers", &soak.options.changers, 0, 4 },
    { "churners", &soak.options.churners, 0, 8 },
    { "prowlers", &soak.options.prowlers, 0, 4 },
    { "ordinary", &soak.options.ordinary, 0, 8 },
    { "collectors", &soak.options.collectors, 0, 1 },
    { "alarms", &soak.options.alarms, 0, 1 },
    { "limit", &soak.options.limit, 1, 100000 },
    { "checkpoint-ms", &soak.options.checkpoint_ms, 1, 1000000 },
    { "stock", &soak.options.stock, 0, 1 },
};

#define NR_OPTIONS (sizeof(options) / sizeof(options[0]))

static bool set_option(const char *arg)
{
    const char *value = strchr(arg, '=');

    for (size_t i = 0; value && !strncmp(arg, "--", 2) && i < NR_OPTIONS; i++) {
        size_t len = strlen(options[i].name);

        if ((size_t)(value - arg) == len + 2 && !strncmp(arg + 2, options[i].name, len)) {
            char *end;
            unsigned long number = strtoul(value + 1, &end, 10);

            *options[i].value = number;
            return !*end && end != value + 1 && number >= options[i].min && number <= options[i].max;
        }
    }
    return false;
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!set_option(argv[i])) {
            soak_say("soak: not an option: %s\nusage: soak", argv[i]);
            for (size_t j = 0; j < NR_OPTIONS; j++) {
                soak_say(" [--%s=%u]", options[j].name, *options[j].value);
            }
            soak_say("\n");
            exit(2);
        }
    }
}

/* ---- threads ---- */

static void be_ready(void)
{
    atomic_fetch_add(&soak.nr_ready, 1);
    while (atomic_load(&soak.nr_ready) < soak.nr_actors) {
        soak_system.nap(200);
    }
}

static void *act(void *arg)
{
    struct soak_actor *actor = arg;
    atomic_bool *stop = actor->step == soak_collect ? &soak.stop_collectors : &soak.stop;

    soak_system.enter(actor);
    be_ready();
    while (!atomic_load(stop)) {
        if (actor->pauses) {
            soak_park_if_asked(actor);
        }
        actor->step(actor);
        actor->nr_operations++;
        atomic_fetch_add_explicit(&actor->progress, 1, memory_order_relaxed);
    }
    if (actor->step == soak_churn) {
        soak_churn_end(actor);
    }
    return NULL;
}

static void add_actors(const char *role, unsigned int nr, void (*step)(struct soak_actor *), bool pauses,
                       bool stamps)
{
    for (unsigned int i = 0; i < nr; i++) {
        struct soak_actor *actor = &soak.actors[soak.nr_actors];

        actor->role = role;
        actor->step = step;
        actor->number = soak.nr_actors++;
        actor->kind = i;
        actor->pauses = pauses;
        actor->id = stamps ? soak.nr_ids++ : 0xff;
        actor->random = soak.options.seed * UINT64_C(1000) + actor->number;
        actor->pages = calloc(SOAK_MAX_PAGES, sizeof(*actor->pages));
        actor->own = calloc(1, SOAK_PAGE);
        soak_doing(actor, "starting");
        if (!actor->pages || !actor->own) {
            soak_say("no memory\n");
            soak_system.die(1);
        }
    }
}

static void set_stage(void)
{
    const struct soak_options *o = &soak.options;

    soak.actors = calloc(SOAK_MAX_ACTORS, sizeof(*soak.actors));
    if (!soak.actors) {
        soak_system.die(1);
    }
    add_actors("main", 1, NULL, false, true);
    add_actors("writer", o->writers, soak_write, true, true);
    add_actors("kernel writer", soak.kernel_writes ? o->kernel_writers : 0, soak_kernel_write, true, true);
    add_actors("changer", o->changers, soak_change, true, true);
    add_actors("harvester", o->harvesters, soak_harvest, true, false);
    add_actors("churner", o->churners, soak_churn, false, false);
    add_actors("prowler", o->prowlers, soak_prowl, false, false);
    add_actors("passer-by", o->ordinary, soak_ordinary, false, false);
    add_actors("collector", o->collectors, soak_collect, true, false);
    for (size_t i = 0; i < SOAK_NR_REGIONS; i++) {
        soak_region_open(&soak.regions[i], region_pages[i]);
    }
    soak_system.enter(&soak.actors[0]);
    for (size_t i = 1; i < soak.nr_actors; i++) {
        if (pthread_create(&soak.actors[i].thread, NULL, act, &soak.actors[i])) {
            soak_say("no thread\n");
            soak_system.die(1);
        }
    }
    be_ready();
}

/* Collectors end first, because they cannot suspend threads that have ended. */
static void join_all(bool collectors)
{
    for (size_t i = 1; i < soak.nr_actors; i++) {
        if ((soak.actors[i].step == soak_collect) == collectors) {
            pthread_join(soak.actors[i].thread, NULL);
            atomic_store(&soak.actors[i].gone, true);
        }
        atomic_fetch_add(&soak.actors[0].progress, 1);
    }
}

static int summarize(double seconds)
{
    struct soak_actor sum = { .role = "sum" };
    unsigned int nr_bad =
        atomic_load(&soak.nr_lost) + atomic_load(&soak.nr_deadlocks) + atomic_load(&soak.nr_failed);

    for (size_t i = 0; i < soak.nr_actors; i++) {
        sum.nr_operations += soak.actors[i].nr_operations;
        sum.nr_stamps += soak.actors[i].nr_stamps;
        sum.nr_harvests += soak.actors[i].nr_harvests;
        sum.nr_pages += soak.actors[i].nr_pages;
        sum.nr_suspends += soak.actors[i].nr_suspends;
        /* A thread that has done nothing has tested nothing. */
        if (!soak.actors[i].nr_operations) {
            soak_say("%s %u never got a turn\n", soak.actors[i].role, soak.actors[i].kind);
            nr_bad++;
        }
    }
    soak_say("soak: seconds=%u threads=%u operations=%llu stamps=%llu harvests=%llu pages=%llu suspends=%llu "
             "checkpoints=%u failed=%u lost=%u spurious=%u deadlocks=%u\n",
             (unsigned int)(seconds + 0.5), (unsigned int)soak.nr_actors,
             (unsigned long long)sum.nr_operations, (unsigned long long)sum.nr_stamps,
             (unsigned long long)sum.nr_harvests, (unsigned long long)sum.nr_pages,
             (unsigned long long)sum.nr_suspends, atomic_load(&soak.nr_checkpoints),
             atomic_load(&soak.nr_failed), atomic_load(&soak.nr_lost), atomic_load(&soak.nr_spurious),
             atomic_load(&soak.nr_deadlocks));
    if (nr_bad) {
        return 1;
    }
    return atomic_load(&soak.nr_spurious) ? 4 : 0;
}

int main(int argc, char **argv)
{
    double start = soak_system.seconds();
    struct soak_actor *self;
    int status;

    read_options(argc, argv);
    status = soak_system.open();
    if (status) {
        return status;
    }
    set_stage();
    self = &soak.actors[0];
    soak_say("soak: %s, seed %u, %u threads, %u seconds\n", soak_system.name, soak.options.seed,
             (unsigned int)soak.nr_actors, soak.options.seconds);
    soak_watchdog_start();
    while (soak_system.seconds() - start < soak.options.seconds) {
        soak_doing(self, "waiting for the next checkpoint");
        soak_system.nap(soak.options.checkpoint_ms * 1000);
        soak_checkpoint(self);
        atomic_fetch_add(&self->progress, 1);
    }
    atomic_store(&soak.stop_collectors, true);
    join_all(true);
    atomic_store(&soak.stop, true);
    join_all(false);
    soak_checkpoint(self);
    soak_watchdog_end();
    for (size_t i = 0; i < SOAK_NR_REGIONS; i++) {
        soak_region_close(&soak.regions[i]);
    }
    soak_system.close();
    return summarize(soak_system.seconds() - start);
}
