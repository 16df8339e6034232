/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the operations of the model share: calls that may fail, the state of pages, random ranges.
 * For model.c (START HERE), model-changes.c and model-behind.c alone.
 */
#ifndef WW_TESTS_UNIT_MODEL_OPS_H
#define WW_TESTS_UNIT_MODEL_OPS_H

#include <errno.h>

#include "context.h"
#include "model.h"
#include "util.h"

#define ASSERT(model, cond)                                                                                  \
    ck_assert_msg(cond, "%s, seed %lu, step %lu: %s", (model)->name, (model)->seed, (model)->step, #cond)

static inline size_t below(struct model *model, size_t limit)
{
    return random_below(&model->random, limit);
}

static inline char *addr_of(const struct model *model, size_t page)
{
    return model->base + page * page_size();
}

static inline const struct ww_region *region_of(const struct model *model)
{
    return ww_region_find(model->ctx, (uintptr_t)model->base);
}

/* Whether the tracker that has the region now reports written pages only. */
static inline bool region_is_exact(const struct model *model)
{
    return region_of(model)->tracker->caps & WW_CAP_EXACT;
}

/* Whether ww_fill() may have failed with @err: after faults the memory may not be tracked at the moment, may
 * have huge pages, which bring in neighbours, may be armed with markers because the library could not look at
 * its mapping, or may be tracked by a backend without WW_CAP_FILL. */
static inline bool cannot_fill(const struct model *model, size_t page, int err)
{
    const struct ww_region *region = region_of(model);

    return (model->unsure[page] && (err == -ENOENT || err == -EOPNOTSUPP)) ||
           (model->unsure[page] && model->faults && err == -EEXIST) || (err == -EINVAL && region->markers) ||
           (err == -EOPNOTSUPP && !(region->tracker->caps & WW_CAP_FILL));
}

/* ---- calls that may fail ---- */

static inline void begin_call(struct model *model)
{
    if (model->faults) {
        model->faults->resume();
    }
}

/* After a fault the library may report pages that were not written. */
static inline void end_call(struct model *model)
{
    const struct ww_region *region = region_of(model);
    unsigned long nr;

    if (!model->faults) {
        return;
    }
    model->faults->pause();
    nr = model->faults->nr();
    /* The library may replace a broken tracker in a later call, in which no system call fails. */
    model->faulty = nr != model->nr_faults;
    if (region && region->tracker != model->tracker) {
        model->faulty = true;
        model->tracker = region->tracker;
    }
    model->nr_faults = nr;
    if (model->faulty) {
        memset(model->unsure, true, sizeof(model->unsure));
        model->vague = true;
    }
}

/* A call of the library, in which system calls may fail. */
#define CALL(model, ret, call)                                                                               \
    do {                                                                                                     \
        begin_call(model);                                                                                   \
        (ret) = (call);                                                                                      \
        end_call(model);                                                                                     \
    } while (0)

/* Whether the call succeeded. Nothing but a fault may make it fail. */
static inline bool worked(struct model *model, const char *what, ssize_t ret)
{
    ck_assert_msg(ret >= 0 || model->faulty, "%s, seed %lu, step %lu: %s: %s", model->name, model->seed,
                  model->step, what, strerror(-ret));
    model->nr_failed += ret < 0;
    return ret >= 0;
}

/* Before a failed call is repeated, which must succeed then. */
static inline void stop_faults(struct model *model)
{
    model->faults->stop();
    model->faulty = false;
}

/* ---- the state of pages ---- */

/* Whether the library must report the page. Where the kernel splits a huge page, pages of zeros in it become
 * zero pages; one that was written and never reported looks like one that was only read. */
static inline bool is_marked(const struct model *model, size_t page)
{
    return model->latched[page] || (model->dirty[page] && !(model->huge && !model->value[page]));
}

static inline void mark_clean(struct model *model, size_t from, size_t to)
{
    memset(model->dirty + from, 0, to - from);
    memset(model->latched + from, 0, to - from);
    if (!model->faulty) {
        memset(model->unsure + from, 0, to - from);
    }
}

static inline void set_value(struct model *model, size_t page, char value)
{
    if (model->prot[page] & PROT_WRITE) {
        write_page(model->base, page, value);
        model->value[page] = value;
        model->dirty[page] = model->exists[page] = true;
        model->undefined[page] = false;
    }
}

/* Mostly short, now and then long, sometimes everything. */
static inline void random_range(struct model *model, size_t *ret_from, size_t *ret_to)
{
    static const size_t longest[] = { 4, 16, 16, 60, 200, MODEL_PAGES };
    size_t from = below(model, MODEL_PAGES), len = 1 + below(model, longest[below(model, 6)]);

    if (!below(model, 12)) {
        from = 0;
        len = MODEL_PAGES;
    }
    *ret_from = from;
    *ret_to = len < MODEL_PAGES - from ? from + len : MODEL_PAGES;
}

/* model.c: queries, and compares the answer with the model. */
void model_get_pages(struct model *model, size_t from, size_t to, unsigned int flags, size_t capacity);

/* model-changes.c: changes by calls of the library. */
void model_reset(struct model *model);
void model_latch(struct model *model);
void model_drop(struct model *model);
void model_fill(struct model *model);
void model_protect(struct model *model);
void model_watch_again(struct model *model);
void model_cut(struct model *model);

/* model-behind.c: changes that the library is not told of. */
void model_change_behind(struct model *model);

#endif
