/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_model.c - random sequences of operations, compared with a model after each.
 *
 * The model is the two levels of Windows in an array: what the page tables know (dirty), what
 * VirtualProtect has moved into the allocation's bitmap (latched). The sequences depend only on
 * the seed, which a failure names together with the step.
 */
#include <stdio.h>
#include <string.h>
#include "conformance.h"

#define NR_PAGES 64
#define NR_SEEDS 40
#define NR_STEPS 600

struct model {
    char *base;
    unsigned int random;
    struct {
        bool committed, dirty, latched;
        DWORD protect;
    } pages[NR_PAGES];
};

static unsigned int pick(struct model *model, unsigned int limit)
{
    model->random = model->random * 1664525 + 1013904223;
    return (model->random >> 8) % limit;
}

static bool can_write(const struct model *model, unsigned int page)
{
    return model->pages[page].committed && model->pages[page].protect == PAGE_READWRITE;
}

static void do_access(struct model *model, unsigned int first, unsigned int nr, bool writing)
{
    unsigned int i;

    for (i = first; i < first + nr; i++) {
        if (writing && can_write(model, i)) {
            /* Zero as often as not: content must not matter. */
            *(volatile char *)(model->base + PAGES(i) + pick(model, PAGE_BYTES)) = pick(model, 2);
            model->pages[i].dirty = true;
        } else if (!writing && model->pages[i].committed && model->pages[i].protect != PAGE_NOACCESS) {
            read_page(model->base, i);
        }
    }
}

/* Only where every page is committed and the protection new, so that each page's changes for certain. */
static void do_protect(struct model *model, unsigned int first, unsigned int nr)
{
    static const DWORD protections[] = { PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS };
    DWORD protect = protections[pick(model, ARRAYSIZE(protections))];
    unsigned int i;

    for (i = first; i < first + nr; i++)
        if (!model->pages[i].committed || model->pages[i].protect == protect)
            return;
    protect_pages(model->base, first, nr, protect);
    for (i = first; i < first + nr; i++) {
        model->pages[i].protect = protect;
        model->pages[i].latched |= model->pages[i].dirty;
    }
}

static void do_decommit(struct model *model, unsigned int first, unsigned int nr)
{
    unsigned int i;

    decommit_pages(model->base, first, nr);
    for (i = first; i < first + nr; i++)
        model->pages[i].committed = model->pages[i].dirty = false;
}

static void do_commit(struct model *model, unsigned int first, unsigned int nr)
{
    unsigned int i;

    for (i = first; i < first + nr; i++) {
        if (model->pages[i].committed)
            continue;
        commit_pages(model->base, i, 1);
        model->pages[i].committed = true;
        model->pages[i].protect = PAGE_READWRITE;
    }
}

static void do_reset(struct model *model, unsigned int first, unsigned int nr)
{
    unsigned int i;

    ResetWriteWatch(model->base + PAGES(first), PAGES(nr));
    for (i = first; i < first + nr; i++)
        model->pages[i].dirty = model->pages[i].latched = false;
}

/* Returns whether the answer is that of the model; text tells the first difference. */
static bool do_get(struct model *model, unsigned int first, unsigned int nr, unsigned int capacity,
                   ULONG flags, char *text)
{
    struct answer answer;
    unsigned int i, nr_seen = 0;

    query_native(&answer, flags, model->base + PAGES(first), PAGES(nr), capacity);
    if (answer.status) {
        sprintf(text, "status %#lx", (DWORD)answer.status);
        return false;
    }
    for (i = first; i < first + nr && nr_seen < capacity; i++) {
        bool got = nr_seen < answer.count && results[nr_seen] == model->base + PAGES(i);
        bool want = model->pages[i].dirty || model->pages[i].latched;

        if (got != want) {
            sprintf(text, "page %u: got %d, expected dirty %d, latched %d", i, got, model->pages[i].dirty,
                    model->pages[i].latched);
            return false;
        }
        nr_seen += got;
        if (got && flags)
            model->pages[i].dirty = model->pages[i].latched = false;
    }
    sprintf(text, "%u pages, expected %u", (unsigned int)answer.count, nr_seen);
    return answer.count == nr_seen;
}

static bool do_step(struct model *model, char *text)
{
    unsigned int first = pick(model, NR_PAGES), nr = 1 + pick(model, NR_PAGES - first);
    unsigned int small = 1 + nr % 5, op = pick(model, 20);

    if (small > nr)
        small = nr;
    switch (op) {
    case 0 ... 5:
        do_access(model, first, small, true);
        break;
    case 6:
        do_access(model, first, nr, true);
        break;
    case 7:
        do_access(model, first, nr, false);
        break;
    case 8 ... 10:
        do_protect(model, first, small);
        break;
    /* Wine's own emulation treats decommitted pages in a way of its own, so there they stay. */
    case 11:
        if (!wwtest.stock)
            do_decommit(model, first, small);
        break;
    case 12:
        do_commit(model, first, nr);
        break;
    case 13:
        do_reset(model, first, nr);
        break;
    case 14:
        return do_get(model, first, nr, 1 + pick(model, nr), KEEP, text);
    case 15 ... 16:
        return do_get(model, first, nr, 1 + pick(model, nr), RESET, text);
    case 17:
        return do_get(model, 0, NR_PAGES, NR_PAGES, RESET, text);
    }
    return do_get(model, 0, NR_PAGES, NR_PAGES, KEEP, text);
}

void test_model(void)
{
    struct model model;
    unsigned int seed, step, i;
    char text[200] = "";

    for (seed = 1; seed <= NR_SEEDS; seed++) {
        /* Half of the sequences begin with memory that is only reserved. */
        DWORD type = seed & 1 ? MEM_RESERVE | MEM_COMMIT : MEM_RESERVE;
        bool good = true;

        memset(&model, 0, sizeof(model));
        model.random = seed;
        model.base = watch_pages(NR_PAGES, type, PAGE_READWRITE);
        for (i = 0; i < NR_PAGES; i++) {
            model.pages[i].committed = type & MEM_COMMIT;
            model.pages[i].protect = PAGE_READWRITE;
        }
        for (step = 0; good && step < NR_STEPS; step++)
            good = do_step(&model, text);
        ok(good, "seed %u, step %u: %s", seed, step, text);
        free_pages(model.base);
    }
}
