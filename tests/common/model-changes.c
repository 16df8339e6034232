/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes to the watched region by calls of the library; each changes the model as well. A call that fails
 * must have changed nothing, except that ww_protect() may have changed a part of its range.
 */
#include "model-ops.h"
#include "watch.h"

void model_reset(struct model *model)
{
    size_t from, to;
    int err;

    random_range(model, &from, &to);
    CALL(model, err, ww_reset(model->ctx, addr_of(model, from), (to - from) * page_size()));
    if (worked(model, "ww_reset", err)) {
        mark_clean(model, from, to);
    }
}

void model_latch(struct model *model)
{
    size_t from, to;
    int err;

    random_range(model, &from, &to);
    CALL(model, err, ww_latch(model->ctx, addr_of(model, from), (to - from) * page_size()));
    for (size_t i = from; worked(model, "ww_latch", err) && i < to; i++) {
        model->latched[i] |= model->dirty[i];
    }
}

/* Pages dropped in place keep their protection; a new mapping starts out writable. */
static void drop(struct model *model, size_t from, size_t to)
{
    bool remap = !below(model, 4);
    int err;

    for (size_t i = from; i < to; i++) {
        remap &= model->prot[i] == (PROT_READ | PROT_WRITE);
    }
    if (remap) {
        remap_pages(addr_of(model, from), to - from);
    } else {
        ASSERT(model, madvise(addr_of(model, from), (to - from) * page_size(), MADV_DONTNEED) == 0);
    }
    CALL(model, err, ww_discard(model->ctx, addr_of(model, from), (to - from) * page_size()));
    worked(model, "ww_discard", err);
    memset(model->dirty + from, 0, to - from);
    memset(model->exists + from, 0, to - from);
    memset(model->value + from, 0, to - from);
    memset(model->undefined + from, 0, to - from);
}

void model_drop(struct model *model)
{
    size_t from, to;

    random_range(model, &from, &to);
    drop(model, from, to);
}

/* Fills pages that do not exist, up to the first that does. Filled pages are not reported. */
void model_fill(struct model *model)
{
    static char content[64 << 12];
    size_t from, to, first, page = page_size();
    char value = 1 + below(model, 100);
    ssize_t len;

    random_range(model, &from, &to);
    to = to > from + 60 ? from + 60 : to;
    if (!below(model, 2)) {
        drop(model, from, to);
    }
    for (first = from; first < to && !model->exists[first]; first++) {
        ;
    }
    memset(content, value, sizeof(content));
    CALL(model, len, ww_fill(model->ctx, addr_of(model, from), content, (to - from) * page));
    if ((first == from && len == -EEXIST) || cannot_fill(model, from, len)) {
        return;
    }
    if (worked(model, "ww_fill", len)) {
        size_t filled = len / page;
        bool less = filled < first - from && (model->faulty || model->unsure[from + filled]);

        ck_assert_msg(
            len % page == 0 && (filled == first - from || less),
            "%s, seed %lu, step %lu: filled %zd bytes from page %zu on, the first that exists is %zu",
            model->name, model->seed, model->step, len, from, first);
        memset(model->value + from, value, len / page);
        memset(model->exists + from, true, len / page);
    }
}

void model_protect(struct model *model)
{
    static const int protections[] = {
        PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
    };
    int prot = protections[below(model, 5)], err;
    size_t from, to;

    random_range(model, &from, &to);
    if (prot != (PROT_READ | PROT_WRITE) && to - from > 100) {
        to = from + 100;
    }
    CALL(model, err, ww_protect(model->ctx, addr_of(model, from), (to - from) * page_size(), prot));
    if (!worked(model, "ww_protect", err)) {
        /* It may have changed a part of the range. */
        stop_faults(model);
        ASSERT(model, !ww_protect(model->ctx, addr_of(model, from), (to - from) * page_size(), prot));
        model->faults->start();
    }
    for (size_t i = from; i < to; i++) {
        model->prot[i] = prot;
    }
}

static void watch_again(struct model *model)
{
    size_t len = MODEL_PAGES * page_size();
    int err;

    CALL(model, err, ww_watch_internal(model->ctx, model->base, len, model->flags));
    if (!worked(model, "ww_watch", err)) {
        ASSERT(model, ww_count(model->ctx, model->base, 1) == -ENOENT);
        for (size_t i = below(model, 20); i < MODEL_PAGES; i += 20) {
            set_value(model, i, 2);
        }
        stop_faults(model);
        ASSERT(model, !ww_watch_internal(model->ctx, model->base, len, model->flags));
        model->faults->start();
    }
    model->vague = model->faulty;
    model->huge = false;
    mark_clean(model, 0, MODEL_PAGES);
}

void model_watch_again(struct model *model)
{
    int err;

    if (below(model, 8)) {
        return;
    }
    CALL(model, err, ww_unwatch(model->ctx, model->base, MODEL_PAGES * page_size()));
    if (worked(model, "ww_unwatch", err)) {
        ASSERT(model, ww_count(model->ctx, model->base, 1) == -ENOENT);
        for (size_t i = below(model, 20); i < MODEL_PAGES; i += 20) {
            set_value(model, i, 1);
        }
        watch_again(model);
    }
}

/* Ends the watch of a part in the middle: the rest goes on as two regions. */
void model_cut(struct model *model)
{
    size_t page = page_size(), from = 1 + below(model, MODEL_PAGES - 2), to;
    int err;

    if (below(model, 4)) {
        return;
    }
    to = from + 1 + below(model, MODEL_PAGES - from - 1);
    CALL(model, err, ww_unwatch(model->ctx, addr_of(model, from), (to - from) * page));
    if (!worked(model, "ww_unwatch", err)) {
        return;
    }
    ASSERT(model, ww_count(model->ctx, addr_of(model, from), page) == -ENOENT);
    ASSERT(model, ww_count(model->ctx, addr_of(model, from - 1), 2 * page) == -ENOENT);
    model_get_pages(model, 0, from, 0, MODEL_PAGES);
    model_get_pages(model, to, MODEL_PAGES, below(model, 2) ? WW_GET_RESET : 0, MODEL_PAGES);
    set_value(model, from, 1);
    CALL(model, err, ww_unwatch(model->ctx, model->base, MODEL_PAGES * page));
    if (!worked(model, "ww_unwatch", err)) {
        stop_faults(model);
        ASSERT(model, !ww_unwatch(model->ctx, model->base, MODEL_PAGES * page));
        model->faults->start();
    }
    watch_again(model);
}
