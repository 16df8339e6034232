/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checkpoints. All threads that work on shared regions stand still; then a last
 * harvest makes each region's shadow complete, and a difference from memory is a write
 * that no answer has reported. While no thread writes, nothing more may be reported;
 * and after known writes exactly those.
 */
#include <stdio.h>
#include <string.h>

#include "soak.h"

#define MAX_SHOWN 5 /* lost writes of one region */

/* ---- standing still ---- */

void soak_park_if_asked(struct soak_actor *actor)
{
    unsigned int pause;

    while ((pause = atomic_load(&soak.pause)) & 1) {
        soak_doing(actor, "standing still");
        atomic_store(&actor->parked, pause);
        while (atomic_load(&soak.pause) == pause) {
            soak_system.nap(200);
        }
    }
}

static void pause_all(struct soak_actor *actor)
{
    unsigned int pause = atomic_fetch_add(&soak.pause, 1) + 1;

    soak_doing(actor, "waiting for all to stand still");
    for (size_t i = 1; i < soak.nr_actors; i++) {
        struct soak_actor *other = &soak.actors[i];

        while (other->pauses && !atomic_load(&other->gone) && atomic_load(&other->parked) != pause) {
            soak_system.nap(200);
        }
    }
}

static void resume_all(void)
{
    atomic_fetch_add(&soak.pause, 1);
}

/* ---- lost writes ---- */

static void show_log(struct soak_region *region, size_t page)
{
    unsigned int end = atomic_load(&region->nr_logged);

    for (unsigned int at = end > SOAK_NR_LOGGED ? end - SOAK_NR_LOGGED : 0; at < end; at++) {
        struct soak_log_entry *entry = &region->log[at % SOAK_NR_LOGGED];
        const char *what = atomic_load(&entry->what);
        unsigned int first = atomic_load(&entry->first), nr = atomic_load(&entry->nr);

        if (what && first <= page && page < first + nr) {
            struct soak_actor *actor = &soak.actors[atomic_load(&entry->actor)];

            soak_say("  %s %u: %s of pages %u to %u: %u\n", actor->role, actor->kind, what, first,
                     first + nr - 1, atomic_load(&entry->result));
        }
    }
}

static void show_lost(struct soak_region *region, size_t page, size_t word, uint64_t memory, uint64_t shadow)
{
    soak_say("LOST WRITE at %p: page %u of %u, word %u: memory has stamp %llx of writer %u%s, the harvests "
             "saw %llx; the last operations on the page:\n",
             (void *)soak_word(region, page, word), (unsigned int)page, (unsigned int)region->nr_pages,
             (unsigned int)word, (unsigned long long)memory, soak_stamp_id(memory),
             soak_is_stamp(memory) ? "" : " (torn)", (unsigned long long)shadow);
    show_log(region, page);
}

/* Counts lost writes, shows the first few, and corrects the shadow, so that each counts once. */
static void compare(struct soak_region *region)
{
    size_t nr_lost = 0, shown_page = SIZE_MAX, nr_shown = 0;

    for (size_t page = 0; page < region->nr_pages; page++) {
        _Atomic uint64_t *shadow = &region->shadow[page * SOAK_WORDS];

        if (!memcmp(region->base + page * SOAK_PAGE, (void *)shadow, SOAK_PAGE)) {
            continue;
        }
        for (size_t word = 0; word < SOAK_WORDS; word++) {
            uint64_t memory = *soak_word(region, page, word), saw = shadow[word];

            if (memory == saw) {
                continue;
            }
            nr_lost++;
            if (shown_page != page && nr_shown < MAX_SHOWN) {
                shown_page = page;
                nr_shown++;
                show_lost(region, page, word, memory, saw);
            }
            shadow[word] = memory;
        }
    }
    if (nr_lost) {
        soak_say("%u words of a region of %u pages were lost\n", (unsigned int)nr_lost,
                 (unsigned int)region->nr_pages);
        atomic_fetch_add(&soak.nr_lost, nr_lost);
    }
}

/* ---- reports without a write ---- */

static void count_spurious(struct soak_region *region, const char *when, size_t nr, void *first)
{
    if (nr && soak.exact) {
        size_t page = ((char *)first - region->base) / SOAK_PAGE;

        soak_say("%s: %u pages of %u reported that nobody has written, the first is %u:\n", when,
                 (unsigned int)nr, (unsigned int)region->nr_pages, (unsigned int)page);
        show_log(region, page);
        atomic_fetch_add(&soak.nr_spurious, nr);
    }
}

/* Writes a stamp to a page, in the name of the thread that writes to that word. */
static void write_known(struct soak_actor *actor, struct soak_region *region, size_t page)
{
    struct soak_actor *writer = actor;
    size_t first, nr;

    soak_words_of(actor->id, &first, &nr);
    if (page >= region->nr_common) {
        for (size_t i = 0; i < soak.nr_actors; i++) {
            if (soak.actors[i].step == soak_change) {
                size_t first_own, nr_own;

                soak_part_of(region, soak.actors[i].kind, &first_own, &nr_own);
                if (page >= first_own && page < first_own + nr_own) {
                    writer = &soak.actors[i];
                }
            }
        }
    }
    atomic_store(soak_word(region, page, first + soak_below(actor, nr)), soak_stamp(writer));
}

static void expect_written(struct soak_actor *actor, struct soak_region *region, const char *written,
                           bool reset)
{
    size_t nr = soak_ask(actor, region, 0, region->nr_pages, reset, SOAK_MAX_PAGES), at = 0, nr_extra = 0;
    size_t nr_missing = 0;
    void *extra = NULL;

    for (size_t page = 0; page < region->nr_pages; page++) {
        bool reported = at < nr && (char *)actor->pages[at] == region->base + page * SOAK_PAGE;

        nr_missing += written[page] && !reported;
        if (reported && !written[page] && !nr_extra++) {
            extra = actor->pages[at];
        }
        at += reported;
    }
    count_spurious(region, "after known writes", nr_extra, extra);
    if (nr_missing) {
        soak_say("LOST WRITE: %u known writes of a region of %u pages were not reported\n",
                 (unsigned int)nr_missing, (unsigned int)region->nr_pages);
        atomic_fetch_add(&soak.nr_lost, nr_missing);
    }
}

/* Writes to scattered pages, and sometimes to a long run, and checks the answers. */
static void check_known_writes(struct soak_actor *actor, struct soak_region *region)
{
    static char written[SOAK_MAX_PAGES];
    size_t nr = 1 + soak_below(actor, 200), run = soak_below(actor, region->nr_pages);

    memset(written, 0, sizeof(written));
    for (size_t i = 0; i < nr; i++) {
        written[soak_below(actor, region->nr_pages)] = 1;
    }
    for (size_t page = run; page < region->nr_pages && page < run + nr && nr % 2; page++) {
        written[page] = 1;
    }
    for (size_t page = 0; page < region->nr_pages; page++) {
        if (written[page]) {
            write_known(actor, region, page);
        }
    }
    expect_written(actor, region, written, false);
    expect_written(actor, region, written, true);
    for (size_t page = 0; page < region->nr_pages; page++) {
        if (written[page]) {
            soak_copy(region, page, 1);
        }
    }
}

static void check_region(struct soak_actor *actor, struct soak_region *region)
{
    size_t capacity = soak_below(actor, 2) ? SOAK_MAX_PAGES : 1 + soak_below(actor, 700);
    size_t nr;

    soak_harvest_all(actor, region, capacity);
    soak_doing(actor, "comparing");
    compare(region);
    nr = soak_ask(actor, region, 0, region->nr_pages, true, SOAK_MAX_PAGES);
    count_spurious(region, "the second harvest", nr, actor->pages[0]);
    check_known_writes(actor, region);
    nr = soak_ask(actor, region, 0, region->nr_pages, false, SOAK_MAX_PAGES);
    count_spurious(region, "after known writes and a reset", nr, actor->pages[0]);
}

/* Other threads have allocated meanwhile, so the new region may lie anywhere, also in the same place. */
static void replace(struct soak_actor *actor, struct soak_region *region)
{
    size_t nr_pages = region->nr_pages;

    nr_pages = nr_pages / 2 + nr_pages / 4 + soak_below(actor, nr_pages);
    if (nr_pages < 64 || nr_pages > SOAK_MAX_PAGES) {
        nr_pages = region->nr_pages;
    }
    soak_doing(actor, "replacing a region");
    soak_region_close(region);
    soak_region_open(region, nr_pages);
}

void soak_checkpoint(struct soak_actor *actor)
{
    pause_all(actor);
    for (size_t i = 0; i < SOAK_NR_REGIONS; i++) {
        check_region(actor, &soak.regions[i]);
        actor->progress++;
    }
    if (!soak_below(actor, 3)) {
        replace(actor, &soak.regions[soak_below(actor, SOAK_NR_REGIONS)]);
    }
    atomic_fetch_add(&soak.nr_checkpoints, 1);
    actor->nr_operations++;
    resume_all();
}
