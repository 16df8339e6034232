/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regions that threads share, the stamps in them, and the shadow of each: a copy such
 * as an incremental snapshot, for which each page is copied after it was reported.
 *
 * Several threads may copy a page at once, and one of them may be suspended half way. So
 * a word of the shadow takes only a higher stamp: each word has one writer, whose stamps
 * ascend. A word that the kernel is just writing may be read torn; its check bits show
 * that, and the page will be reported again.
 *
 * A thread that drops memory or makes it unreadable for a while keeps others from
 * copying by the region's gate. Copying threads take it after the answer, so that
 * queries meet every state of the memory. It is no lock of the system's: a collector
 * only tries it, because it may have suspended the thread that holds it.
 */
#include <stdlib.h>
#include <string.h>

#include "soak.h"

/* ---- stamps: sequence, id, check ---- */

#define ID_SHIFT 16
#define SEQUENCE_SHIFT 24

static uint64_t check_of(uint64_t stamp)
{
    uint64_t bits = (stamp >> ID_SHIFT) * UINT64_C(0x9e3779b97f4a7c15);

    return bits >> 48;
}

uint64_t soak_stamp(struct soak_actor *actor)
{
    uint64_t stamp = ++actor->sequence << SEQUENCE_SHIFT | (uint64_t)actor->id << ID_SHIFT;

    actor->nr_stamps++;
    return stamp | check_of(stamp);
}

bool soak_is_stamp(uint64_t value)
{
    return (value & 0xffff) == check_of(value);
}

unsigned int soak_stamp_id(uint64_t stamp)
{
    return stamp >> ID_SHIFT & 0xff;
}

void soak_words_of(unsigned int id, size_t *ret_first, size_t *ret_nr)
{
    *ret_nr = SOAK_WORDS / soak.nr_ids;
    *ret_first = id * *ret_nr;
}

void soak_part_of(const struct soak_region *region, unsigned int changer, size_t *ret_first, size_t *ret_nr)
{
    *ret_nr = (region->nr_pages - region->nr_common) / soak.options.changers;
    *ret_first = region->nr_common + changer * *ret_nr;
}

/* ---- regions ---- */

void soak_region_open(struct soak_region *region, size_t nr_pages)
{
    region->nr_pages = nr_pages;
    region->nr_common = soak.options.changers ? nr_pages - nr_pages / 4 : nr_pages;
    region->base = soak_system.allocate(nr_pages * SOAK_PAGE);
    region->shadow = calloc(nr_pages, SOAK_PAGE);
    if (!region->base || !region->shadow) {
        soak_say("no memory for %u pages\n", (unsigned int)nr_pages);
        soak_system.die(1);
    }
}

void soak_region_close(struct soak_region *region)
{
    soak_must(NULL, "release", soak_system.release(region->base, region->nr_pages * SOAK_PAGE));
    free((void *)region->shadow);
}

void soak_log(struct soak_region *region, const struct soak_actor *actor, const char *what, size_t first,
              size_t nr, size_t result)
{
    unsigned int at = atomic_fetch_add_explicit(&region->nr_logged, 1, memory_order_relaxed);
    struct soak_log_entry *entry = &region->log[at % SOAK_NR_LOGGED];

    atomic_store_explicit(&entry->actor, actor->number, memory_order_relaxed);
    atomic_store_explicit(&entry->first, first, memory_order_relaxed);
    atomic_store_explicit(&entry->nr, nr, memory_order_relaxed);
    atomic_store_explicit(&entry->result, result, memory_order_relaxed);
    atomic_store_explicit(&entry->what, what, memory_order_relaxed);
}

/* ---- the gate ---- */

#define CHANGING (1u << 31)

bool soak_try_copy(struct soak_region *region)
{
    unsigned int gate = atomic_load(&region->gate);

    while (!(gate & CHANGING)) {
        if (atomic_compare_exchange_weak(&region->gate, &gate, gate + 1)) {
            return true;
        }
    }
    return false;
}

void soak_begin_copy(struct soak_region *region)
{
    while (!soak_try_copy(region)) {
        soak_system.nap(0);
    }
}

void soak_end_copy(struct soak_region *region)
{
    atomic_fetch_sub(&region->gate, 1);
}

void soak_begin_change(struct soak_region *region)
{
    while (atomic_fetch_or(&region->gate, CHANGING) & CHANGING) {
        soak_system.nap(0);
    }
    while (atomic_load(&region->gate) != CHANGING) {
        soak_system.nap(0);
    }
}

void soak_end_change(struct soak_region *region)
{
    atomic_fetch_and(&region->gate, ~CHANGING);
}

/* ---- harvests ---- */

static void copy_word(_Atomic uint64_t *from, _Atomic uint64_t *to)
{
    uint64_t value = atomic_load_explicit(from, memory_order_relaxed);
    uint64_t old = atomic_load_explicit(to, memory_order_relaxed);

    while (value > old && soak_is_stamp(value) && !atomic_compare_exchange_weak(to, &old, value)) {
        ;
    }
}

void soak_copy(struct soak_region *region, size_t first, size_t nr)
{
    for (size_t page = first; page < first + nr; page++) {
        for (size_t word = 0; word < SOAK_WORDS; word++) {
            copy_word(soak_word(region, page, word), &region->shadow[page * SOAK_WORDS + word]);
        }
    }
}

void soak_copy_answer(struct soak_region *region, void **pages, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        soak_copy(region, ((char *)pages[i] - region->base) / SOAK_PAGE, 1);
    }
}

/* An answer must hold pages of the range, ascending, each once. Returns how many do. */
static size_t check_answer(const struct soak_actor *actor, char *start, size_t nr_pages, ssize_t nr)
{
    char *pos = start;

    if (nr < 0) {
        soak_must(actor, "get", nr);
        return 0;
    }
    for (ssize_t i = 0; i < nr; i++) {
        char *page = actor->pages[i];

        if (page < pos || page >= start + nr_pages * SOAK_PAGE || (page - start) % SOAK_PAGE) {
            soak_say("%s %u: address %d of an answer is %p, out of order or of [%p, +%u pages)\n",
                     actor->role, actor->kind, (int)i, (void *)page, (void *)start, (unsigned int)nr_pages);
            atomic_fetch_add(&soak.nr_spurious, 1);
            return i;
        }
        pos = page + SOAK_PAGE;
    }
    return nr;
}

size_t soak_ask(struct soak_actor *actor, struct soak_region *region, size_t first, size_t nr, bool reset,
                size_t capacity)
{
    char *start = region->base + first * SOAK_PAGE;
    size_t found;

    soak_doing(actor, reset ? "get and reset" : "get");
    found =
        check_answer(actor, start, nr, soak_system.get(start, nr * SOAK_PAGE, reset, actor->pages, capacity));
    soak_log(region, actor, reset ? "get and reset" : "get", first, nr, found);
    actor->nr_harvests++;
    actor->nr_pages += found;
    return found;
}

size_t soak_harvest_all(struct soak_actor *actor, struct soak_region *region, size_t capacity)
{
    size_t first = 0, found, total = 0;

    while (first < region->nr_pages) {
        found = soak_ask(actor, region, first, region->nr_pages - first, true, capacity);
        soak_begin_copy(region);
        soak_copy_answer(region, actor->pages, found);
        soak_end_copy(region);
        total += found;
        if (found < capacity) {
            break;
        }
        first = ((char *)actor->pages[found - 1] - region->base) / SOAK_PAGE + 1;
    }
    return total;
}

void soak_reset_and_copy(struct soak_actor *actor, struct soak_region *region, size_t first, size_t nr)
{
    soak_doing(actor, "reset");
    soak_must(actor, "reset", soak_system.reset(region->base + first * SOAK_PAGE, nr * SOAK_PAGE));
    soak_log(region, actor, "reset", first, nr, nr);
    soak_copy(region, first, nr);
    actor->nr_harvests++;
    actor->nr_pages += nr;
}
