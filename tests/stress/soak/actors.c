/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that work on the shared regions: those that write, those that have the
 * kernel write, those that harvest, and those that protect and decommit. A turn of
 * each is short, and leaves every page as other threads expect it: readable, and
 * writable where they write.
 */
#include <stdlib.h>
#include <string.h>

#include "soak.h"

static struct soak_region *choose_region(struct soak_actor *actor)
{
    return &soak.regions[soak_below(actor, SOAK_NR_REGIONS)];
}

/* Often one of the first pages, so that threads write to the same ones; otherwise any page. */
static size_t choose_page(struct soak_actor *actor, const struct soak_region *region)
{
    size_t limit = soak_below(actor, 4) ? region->nr_common : 16;

    return soak_below(actor, limit < region->nr_common ? limit : region->nr_common);
}

/* ---- writing ---- */

void soak_write(struct soak_actor *actor)
{
    struct soak_region *region = choose_region(actor);
    size_t first, nr;

    soak_doing(actor, "writing");
    soak_words_of(actor->id, &first, &nr);
    for (int i = 0; i < 64; i++) {
        atomic_store_explicit(soak_word(region, choose_page(actor, region), first + soak_below(actor, nr)),
                              soak_stamp(actor), memory_order_relaxed);
    }
    if (!soak_below(actor, 64)) {
        soak_system.nap(soak_below(actor, 500));
    }
}

void soak_kernel_write(struct soak_actor *actor)
{
    uint64_t stamps[SOAK_WORDS];
    struct soak_region *region = choose_region(actor);
    size_t page = choose_page(actor, region), first, nr, offset, len;
    int err;

    soak_doing(actor, "having the kernel write");
    soak_words_of(actor->id, &first, &nr);
    offset = soak_below(actor, nr);
    len = 1 + soak_below(actor, nr - offset);
    for (size_t i = 0; i < len; i++) {
        stamps[i] = soak_stamp(actor);
    }
    err = soak_system.kernel_write((char *)soak_word(region, page, first + offset), stamps,
                                   len * sizeof(*stamps), soak_below(actor, 2));
    soak_must(actor, "a write by the kernel", err);
    soak_log(region, actor, "kernel write", page, 1, len);
}

/* ---- harvesting ---- */

static void choose_range(struct soak_actor *actor, const struct soak_region *region, size_t *ret_first,
                         size_t *ret_nr)
{
    size_t longest;

    *ret_first = soak_below(actor, 2) ? 0 : soak_below(actor, region->nr_pages);
    longest = region->nr_pages - *ret_first;
    *ret_nr = soak_below(actor, 3) ? longest : 1 + soak_below(actor, longest);
}

void soak_harvest(struct soak_actor *actor)
{
    struct soak_region *region = choose_region(actor);
    size_t capacity = soak_below(actor, 3) ? SOAK_MAX_PAGES : 1 + soak_below(actor, 40);
    size_t first, nr, found;

    choose_range(actor, region, &first, &nr);
    switch (soak_below(actor, 8)) {
    case 0: /* queries without a reset, and copies half of the time, which is not needed */
        found = soak_ask(actor, region, first, nr, false, capacity);
        found = soak_below(actor, 2) ? 0 : found;
        break;
    case 1:
        soak_begin_copy(region);
        soak_reset_and_copy(actor, region, first, nr > 512 ? 512 : nr);
        soak_end_copy(region);
        return;
    case 2:
        soak_harvest_all(actor, region, capacity < 16 ? SOAK_MAX_PAGES : capacity);
        return;
    default:
        found = soak_ask(actor, region, first, nr, true, capacity);
        break;
    }
    soak_doing(actor, "copying");
    soak_begin_copy(region);
    soak_copy_answer(region, actor->pages, found);
    soak_end_copy(region);
    if (!soak_below(actor, 8)) {
        soak_system.nap(soak_below(actor, 2000));
    }
}

/* ---- changing ---- */

/* Pages that only one changer writes, somewhere in a region. */
struct part {
    struct soak_region *region;
    size_t first, nr;
    char *addr;
    size_t len;
};

static struct part choose_part(struct soak_actor *actor)
{
    struct soak_region *region = choose_region(actor);
    struct part part = { .region = region };
    size_t first, nr;

    soak_part_of(region, actor->kind, &first, &nr);
    part.first = first + soak_below(actor, nr);
    part.nr = 1 + soak_below(actor, first + nr - part.first);
    part.addr = region->base + part.first * SOAK_PAGE;
    part.len = part.nr * SOAK_PAGE;
    return part;
}

static void write_part(struct soak_actor *actor, const struct part *part)
{
    for (int i = 0; i < 16; i++) {
        size_t page = part->first + soak_below(actor, part->nr);

        atomic_store_explicit(soak_word(part->region, page, soak_below(actor, SOAK_WORDS)), soak_stamp(actor),
                              memory_order_relaxed);
    }
}

static void protect(struct soak_actor *actor, const struct part *part, enum soak_access access)
{
    soak_doing(actor, "protecting");
    soak_must(actor, "protect", soak_system.protect(part->addr, part->len, access));
    soak_log(part->region, actor, "protect", part->first, part->nr, access);
}

/* Protects the part against reads too. No thread may copy meanwhile; others may query. */
static void hide(struct soak_actor *actor, const struct part *part)
{
    soak_begin_change(part->region);
    protect(actor, part, SOAK_NONE);
    if (!soak_below(actor, 8)) {
        soak_system.nap(100);
    }
    protect(actor, part, SOAK_WRITE);
    soak_end_change(part->region);
}

/* Decommits the part, and clears it in the shadow. */
static void decommit(struct soak_actor *actor, const struct part *part)
{
    _Atomic uint64_t *shadow = &part->region->shadow[part->first * SOAK_WORDS];
    /* Only in small regions: the library does not scan a region as dense any more once a part was replaced.
     */
    bool replace = part->region->nr_pages < 1500 && soak_below(actor, 2);
    size_t nr_stale = 0;
    int err;

    soak_begin_change(part->region);
    soak_doing(actor, "decommitting");
    err = replace ? soak_system.replace(part->addr, part->len) : soak_system.decommit(part->addr, part->len);
    soak_must(actor, "decommit", err);
    soak_log(part->region, actor, replace ? "replacement" : "decommit", part->first, part->nr, 0);
    for (size_t i = 0; i < part->nr * SOAK_WORDS; i++) {
        atomic_store_explicit(&shadow[i], 0, memory_order_relaxed);
    }
    if (!soak_below(actor, 8)) {
        soak_system.nap(100);
    }
    soak_doing(actor, "committing");
    soak_must(actor, "commit", soak_system.commit(part->addr, part->len));
    for (size_t page = 0; page < part->nr; page++) {
        nr_stale += *soak_word(part->region, part->first + page, soak_below(actor, SOAK_WORDS)) != 0;
    }
    soak_must(actor, "fresh memory after a commit", -(long)nr_stale);
    soak_end_change(part->region);
}

void soak_change(struct soak_actor *actor)
{
    struct part part = choose_part(actor);

    write_part(actor, &part);
    switch (soak_below(actor, 5)) {
    case 0:
        protect(actor, &part, SOAK_READ);
        soak_ask(actor, part.region, part.first, part.nr, false, SOAK_MAX_PAGES);
        protect(actor, &part, SOAK_WRITE);
        break;
    case 1:
        hide(actor, &part);
        break;
    case 2:
        decommit(actor, &part);
        break;
    case 3: /* a range in which others write */
        part.first = soak_below(actor, part.region->nr_common);
        part.nr = 1 + soak_below(actor, part.region->nr_common - part.first);
        part.addr = part.region->base + part.first * SOAK_PAGE;
        part.len = part.nr * SOAK_PAGE;
        protect(actor, &part, SOAK_EXECUTE);
        protect(actor, &part, SOAK_WRITE);
        return;
    default:
        soak_system.nap(soak_below(actor, 1000));
        break;
    }
    write_part(actor, &part);
}

/* Allocates blocks and frees those of any thread, so that threads compete for the heap's locks. */
int soak_use_heap(uint64_t *random)
{
    static _Atomic(char *) kept[64];

    for (int i = 0; i < 32; i++) {
        size_t len = 1 + soak_random(random) % (i % 16 ? 3000 : 300000);
        char *block = malloc(len);

        if (!block) {
            return -1;
        }
        block[0] = block[len - 1] = 1;
        free(atomic_exchange(&kept[soak_random(random) % 64], block));
    }
    return 0;
}

void soak_ordinary(struct soak_actor *actor)
{
    soak_doing(actor, "what has nothing to do with watches");
    soak_must(actor, "ordinary work", soak_system.ordinary(&actor->random));
    soak_system.nap(soak_below(actor, 4) ? 0 : 300);
}
