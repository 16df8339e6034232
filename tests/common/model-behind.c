/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes to the watched region without a call of the library, as a program or another library makes them:
 * advice, protections, mappings that are replaced, moved or cut out. The library may then report more pages
 * than were written, but a written page that is still there must never be missing.
 */
#include "model-ops.h"

#ifndef MADV_COLD
#define MADV_COLD 20    /* Linux 5.4 */
#define MADV_PAGEOUT 21 /* Linux 5.4 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

static bool has(const struct model *model, uint32_t cap)
{
    return ww_backend_caps(model->ctx) & cap;
}

/* Until these pages are reset, the library may report them although nobody wrote them. */
static void mark_unsure(struct model *model, size_t from, size_t to)
{
    memset(model->unsure + from, true, to - from);
}

/* Pages that are gone. The library does not know: each time a read maps a zero page there, it takes the page
 * for a written one. */
static void forget_pages(struct model *model, size_t from, size_t to)
{
    mark_unsure(model, from, to);
    model->vague = true;
    memset(model->dirty + from, 0, to - from);
    memset(model->exists + from, 0, to - from);
    memset(model->value + from, 0, to - from);
    memset(model->undefined + from, 0, to - from);
}

static void advise(struct model *model, size_t from, size_t to)
{
    static const int advices[] = { MADV_DONTNEED, MADV_FREE,    MADV_HUGEPAGE, MADV_MERGEABLE,
                                   MADV_COLD,     MADV_PAGEOUT, MADV_COLLAPSE };
    int advice = advices[below(model, sizeof(advices) / sizeof(advices[0]))];

    if (advice == MADV_MERGEABLE && !(atomic_load(&model->ctx->tracker)->caps & WW_CAP_INTERNAL_MERGEABLE)) {
        return;
    }
    /* A kernel may lack an advice or refuse it for the moment; a failed MADV_COLLAPSE may have done a part.
     */
    if (madvise(addr_of(model, from), (to - from) * page_size(), advice) && advice != MADV_COLLAPSE) {
        return;
    }
    switch (advice) {
    case MADV_DONTNEED:
        forget_pages(model, from, to);
        break;
    case MADV_FREE:
        /* The kernel chooses whether and when it frees the pages. */
        mark_unsure(model, from, to);
        memset(model->dirty + from, 0, to - from);
        memset(model->undefined + from, true, to - from);
        model->vague = true;
        break;
    case MADV_HUGEPAGE:
    case MADV_COLLAPSE:
        model->huge = true;
        mark_unsure(model, 0, MODEL_PAGES);
        break;
    case MADV_MERGEABLE:
        mark_unsure(model, from, to);
        break;
    }
}

static void protect(struct model *model, size_t from, size_t to)
{
    int prot = below(model, 3) ? PROT_READ | PROT_WRITE : PROT_READ;

    ASSERT(model, !mprotect(addr_of(model, from), (to - from) * page_size(), prot));
    for (size_t i = from; i < to; i++) {
        model->prot[i] = prot;
    }
}

static void begin_anew(struct model *model, size_t from, size_t to)
{
    forget_pages(model, from, to);
    for (size_t i = from; i < to; i++) {
        model->prot[i] = PROT_READ | PROT_WRITE;
    }
}

/* Maps fresh pages over the old ones, or into the hole that they left. */
static void replace(struct model *model, size_t from, size_t to)
{
    if (below(model, 2)) {
        ASSERT(model, !munmap(addr_of(model, from), (to - from) * page_size()));
    }
    remap_pages(addr_of(model, from), to - from);
    begin_anew(model, from, to);
}

static bool move_pages(char *from, char *to, size_t len)
{
    return mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to;
}

/* Moves pages to another address; then moves them back, or maps fresh ones in their place. A move may fail
 * (before Linux 6.17 wherever the range has more than one mapping) or stop half way: then fresh pages take
 * their place as well. */
static void move(struct model *model, size_t from, size_t to)
{
    size_t len = (to - from) * page_size();
    char *there = map_pages(to - from), *here = addr_of(model, from);

    if (move_pages(here, there, len) && below(model, 2) && move_pages(there, here, len)) {
        mark_unsure(model, from, to);
        return;
    }
    munmap(there, len);
    remap_pages(here, to - from);
    begin_anew(model, from, to);
}

void model_change_behind(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    switch (below(model, 5)) {
    case 0:
        if (!has(model, WW_CAP_OWNS_PROT)) {
            protect(model, from, to);
        }
        break;
    case 1:
        if (has(model, WW_CAP_LOST_DETECTED)) {
            replace(model, from, to);
        }
        break;
    case 2:
        if (has(model, WW_CAP_LOST_DETECTED)) {
            move(model, from, to);
        }
        break;
    default:
        advise(model, from, to);
    }
}
