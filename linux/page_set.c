/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sparse page set: a directory of leaves, 4096 pages (16 MB) each. A leaf
 * that is absent is empty, one whose pages are all members is the shared
 * sentinel, so that long runs cost 8 bytes per 16 MB. The directory is one
 * mapping: for large regions untouched zero pages that cost nothing.
 */
#include <limits.h>
#include <string.h>

#include "kernel/facts.h"
#include "page_set.h"
#include "process/heap.h"

#define LEAF_SHIFT 12
#define LEAF_PAGES ((size_t)1 << LEAF_SHIFT)
#define WORD_PAGES 64

struct ww_leaf {
    uint32_t nr_set;
    uint64_t words[];
};

static struct ww_leaf full_leaf;

static size_t nr_leaves(const struct ww_page_set *set)
{
    return (set->nr_pages + LEAF_PAGES - 1) >> LEAF_SHIFT;
}

/* The last leaf of a set may hold fewer pages than the others. */
static size_t leaf_pages(const struct ww_page_set *set, size_t leaf)
{
    size_t left = set->nr_pages - (leaf << LEAF_SHIFT);

    return left < LEAF_PAGES ? left : LEAF_PAGES;
}

static size_t page_index(const struct ww_page_set *set, uintptr_t addr)
{
    return (addr - set->base) >> ww_page_shift;
}

static uintptr_t page_addr(const struct ww_page_set *set, size_t index)
{
    return set->base + ((uintptr_t)index << ww_page_shift);
}

static uint64_t word_mask(size_t from, size_t to)
{
    return (~UINT64_C(0) << from) & (~UINT64_C(0) >> (WORD_PAGES - to));
}

void ww_page_set_init(struct ww_page_set *set, uintptr_t base, size_t nr_pages)
{
    *set = (struct ww_page_set){ .base = base, .nr_pages = nr_pages };
}

void ww_page_set_destroy(struct ww_page_set *set)
{
    if (set->leaves) {
        for (size_t i = 0; i < nr_leaves(set); i++) {
            if (set->leaves[i] != &full_leaf) {
                ww_heap_free(set->leaves[i]);
            }
        }
        ww_heap_free(set->leaves);
    }
    ww_page_set_init(set, set->base, set->nr_pages);
}

/* Out of memory: from here on every page is a member. */
static void set_all(struct ww_page_set *set)
{
    ww_page_set_destroy(set);
    set->all = true;
}

static bool alloc_directory(struct ww_page_set *set)
{
    if (!set->leaves) {
        set->leaves = ww_heap_alloc(nr_leaves(set) * sizeof(*set->leaves));
    }
    return set->leaves != NULL;
}

/* A leaf that can be written: allocated, or unfolded from the full sentinel. */
static struct ww_leaf *writable_leaf(struct ww_page_set *set, size_t index)
{
    struct ww_leaf *leaf = set->leaves[index];
    size_t pages = leaf_pages(set, index);
    size_t nr_words = (pages + WORD_PAGES - 1) / WORD_PAGES;

    if (leaf && leaf != &full_leaf) {
        return leaf;
    }
    leaf = ww_heap_alloc(sizeof(*leaf) + nr_words * sizeof(leaf->words[0]));
    if (!leaf) {
        return NULL;
    }
    if (set->leaves[index]) {
        memset(leaf->words, 0xff, nr_words * sizeof(leaf->words[0]));
        if (pages % WORD_PAGES) {
            leaf->words[nr_words - 1] = word_mask(0, pages % WORD_PAGES);
        }
        leaf->nr_set = pages;
    }
    set->leaves[index] = leaf;
    return leaf;
}

/* Folds a leaf into its absent or full form where it became one. */
static void fold_leaf(struct ww_page_set *set, size_t index)
{
    struct ww_leaf *leaf = set->leaves[index];

    if (!leaf->nr_set) {
        set->leaves[index] = NULL;
        ww_heap_free(leaf);
    } else if (leaf->nr_set == leaf_pages(set, index)) {
        set->leaves[index] = &full_leaf;
        ww_heap_free(leaf);
    }
}

/* Sets or clears pages from..to-1 of a leaf; returns by how many its members changed. */
static size_t change_words(struct ww_leaf *leaf, size_t from, size_t to, bool add)
{
    size_t changed = 0;

    while (from < to) {
        size_t word = from / WORD_PAGES, stop = (word + 1) * WORD_PAGES;
        uint64_t mask, flip;

        if (stop > to) {
            stop = to;
        }
        mask = word_mask(from % WORD_PAGES, stop - word * WORD_PAGES);
        flip = mask & (add ? ~leaf->words[word] : leaf->words[word]);
        leaf->words[word] ^= flip;
        changed += __builtin_popcountll(flip);
        from = stop;
    }
    leaf->nr_set = add ? leaf->nr_set + changed : leaf->nr_set - changed;
    return changed;
}

/* Adds pages from..to-1 of one leaf (indices within it). False: no memory. */
static bool add_to_leaf(struct ww_page_set *set, size_t index, size_t from, size_t to)
{
    struct ww_leaf *leaf = set->leaves[index];

    if (leaf == &full_leaf) {
        return true;
    }
    if (!leaf && to - from == leaf_pages(set, index)) {
        set->leaves[index] = &full_leaf;
        set->nr_set += to - from;
        return true;
    }
    leaf = writable_leaf(set, index);
    if (!leaf) {
        return false;
    }
    set->nr_set += change_words(leaf, from, to, true);
    if (leaf->nr_set == leaf_pages(set, index)) {
        fold_leaf(set, index);
    }
    return true;
}

/* Removes them. Without memory to unfold a full leaf they stay members. */
static void remove_from_leaf(struct ww_page_set *set, size_t index, size_t from, size_t to)
{
    struct ww_leaf *leaf = set->leaves[index];

    if (!leaf) {
        return;
    }
    if (to - from == leaf_pages(set, index)) {
        set->nr_set -= leaf == &full_leaf ? to - from : leaf->nr_set;
        set->leaves[index] = NULL;
        if (leaf != &full_leaf) {
            ww_heap_free(leaf);
        }
        return;
    }
    leaf = writable_leaf(set, index);
    if (leaf) {
        set->nr_set -= change_words(leaf, from, to, false);
        fold_leaf(set, index);
    }
}

void ww_page_set_add(struct ww_page_set *set, uintptr_t start, uintptr_t end)
{
    size_t from = page_index(set, start), to = page_index(set, end);

    if (set->all || from >= to) {
        return;
    }
    if (!alloc_directory(set)) {
        set_all(set);
        return;
    }
    while (from < to) {
        size_t leaf = from >> LEAF_SHIFT, first = leaf << LEAF_SHIFT;
        size_t stop = to - first < LEAF_PAGES ? to : first + LEAF_PAGES;

        if (!add_to_leaf(set, leaf, from - first, stop - first)) {
            set_all(set);
            return;
        }
        from = stop;
    }
}

/* There may be memory again: from "every page" to a directory of full leaves. */
static bool unfold_all(struct ww_page_set *set)
{
    if (!alloc_directory(set)) {
        return false;
    }
    for (size_t i = 0; i < nr_leaves(set); i++) {
        set->leaves[i] = &full_leaf;
    }
    set->nr_set = set->nr_pages;
    set->all = false;
    return true;
}

void ww_page_set_remove(struct ww_page_set *set, uintptr_t start, uintptr_t end)
{
    size_t from = page_index(set, start), to = page_index(set, end);

    if (set->all && to - from == set->nr_pages) {
        set->all = false;
    } else if (set->all && !unfold_all(set)) {
        return;
    }
    if (!set->nr_set) {
        return;
    }
    while (from < to) {
        size_t leaf = from >> LEAF_SHIFT, first = leaf << LEAF_SHIFT;
        size_t stop = to - first < LEAF_PAGES ? to : first + LEAF_PAGES;

        remove_from_leaf(set, leaf, from - first, stop - first);
        from = stop;
    }
}

void ww_page_set_merge(struct ww_page_set *set, const struct ww_page_set *from)
{
    uintptr_t pos = from->base, end = page_addr(from, from->nr_pages), start, stop;

    while (ww_page_set_next(from, pos, end, &start, &stop)) {
        ww_page_set_add(set, start, stop);
        pos = stop;
    }
}

/* The first page at or after @from, below @to, whose membership is @member; @to if none. */
static size_t find_page(const struct ww_page_set *set, size_t from, size_t to, bool member)
{
    while (from < to) {
        const struct ww_leaf *leaf = set->leaves[from >> LEAF_SHIFT];
        size_t first = from & ~(LEAF_PAGES - 1), in_leaf = from - first;
        uint64_t word;

        if (!leaf || leaf == &full_leaf) {
            if ((leaf != NULL) == member) {
                return from;
            }
            from = first + LEAF_PAGES;
            continue;
        }
        word = leaf->words[in_leaf / WORD_PAGES];
        word = (member ? word : ~word) & (~UINT64_C(0) << (in_leaf % WORD_PAGES));
        if (word) {
            from = first + (in_leaf & ~(size_t)(WORD_PAGES - 1)) + __builtin_ctzll(word);
            return from < to ? from : to;
        }
        from = (from & ~(size_t)(WORD_PAGES - 1)) + WORD_PAGES;
    }
    return to;
}

bool ww_page_set_next(const struct ww_page_set *set, uintptr_t pos, uintptr_t end, uintptr_t *ret_start,
                      uintptr_t *ret_end)
{
    size_t from = page_index(set, pos), to = page_index(set, end), first;

    if (pos >= end || ww_page_set_empty(set)) {
        return false;
    }
    if (set->all) {
        *ret_start = pos;
        *ret_end = end;
        return true;
    }
    first = find_page(set, from, to, true);
    if (first >= to) {
        return false;
    }
    *ret_start = page_addr(set, first);
    *ret_end = page_addr(set, find_page(set, first, to, false));
    return true;
}

uintptr_t ww_page_set_full_run(const struct ww_page_set *set, uintptr_t pos, uintptr_t end)
{
    size_t from = page_index(set, pos), to = page_index(set, end);

    if (set->all || !set->leaves) {
        return pos;
    }
    while (from < to && set->leaves[from >> LEAF_SHIFT] == &full_leaf) {
        from = (from & ~(LEAF_PAGES - 1)) + LEAF_PAGES;
    }
    return page_addr(set, from < to ? from : to);
}

static bool two_full_leaves(const struct ww_page_set *set, size_t leaf)
{
    return set->leaves[leaf] == &full_leaf && leaf + 1 < nr_leaves(set) &&
           set->leaves[leaf + 1] == &full_leaf;
}

uintptr_t ww_page_set_span(const struct ww_page_set *set, uintptr_t pos, uintptr_t end, size_t max_pages)
{
    size_t from = page_index(set, pos), to = page_index(set, end), first = from, met = 0;

    if (set->all) {
        return to - from > max_pages ? page_addr(set, from + max_pages) : end;
    }
    if (set->nr_set <= max_pages) {
        return end;
    }
    while (from < to) {
        const struct ww_leaf *leaf = set->leaves[from >> LEAF_SHIFT];

        if (leaf && from > first && (met >= max_pages || two_full_leaves(set, from >> LEAF_SHIFT))) {
            return page_addr(set, from);
        }
        met += leaf ? leaf == &full_leaf ? LEAF_PAGES : leaf->nr_set : 0;
        from = (from & ~(LEAF_PAGES - 1)) + LEAF_PAGES;
    }
    return end;
}

void ww_page_set_split(struct ww_page_set *set, uintptr_t at, struct ww_page_set *upper)
{
    size_t below = page_index(set, at);
    uintptr_t end = page_addr(set, set->nr_pages), pos = at, start, stop;
    struct ww_page_set lower;

    ww_page_set_init(upper, at, set->nr_pages - below);
    ww_page_set_init(&lower, set->base, below);
    while (ww_page_set_next(set, pos, end, &start, &stop)) {
        ww_page_set_add(upper, start, stop);
        pos = stop;
    }
    for (pos = set->base; ww_page_set_next(set, pos, at, &start, &stop); pos = stop) {
        ww_page_set_add(&lower, start, stop);
    }
    ww_page_set_destroy(set);
    *set = lower;
}

void ww_page_set_join(struct ww_page_set *set, struct ww_page_set *upper)
{
    struct ww_page_set joined;

    ww_page_set_init(&joined, set->base, set->nr_pages + upper->nr_pages);
    ww_page_set_merge(&joined, set);
    ww_page_set_merge(&joined, upper);
    ww_page_set_destroy(set);
    ww_page_set_destroy(upper);
    *set = joined;
}
