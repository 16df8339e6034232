/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bitmap, one bit a page, that several threads change without a lock: the dirty pages of backends that
 * track writes themselves. Takes no lock and calls nothing, so signal handlers may use it. Knows no
 * addresses; page_set.h stores runs of pages in few bytes.
 */
#ifndef WW_LINUX_BACKENDS_BITS_H
#define WW_LINUX_BACKENDS_BITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first bit in from..to-1 that is @value, or @to. */
static inline size_t ww_bits_find(const _Atomic uint64_t *bits, size_t from, size_t to, bool value)
{
    while (from < to) {
        uint64_t word = atomic_load(&bits[from / 64]);

        word = (value ? word : ~word) & (~UINT64_C(0) << (from % 64));
        if (word) {
            from = (from & ~(size_t)63) + __builtin_ctzll(word);
            return from < to ? from : to;
        }
        from = (from & ~(size_t)63) + 64;
    }
    return to;
}

/* Sets or clears the bits from..to-1. */
static inline void ww_bits_change(_Atomic uint64_t *bits, size_t from, size_t to, bool value)
{
    while (from < to) {
        size_t stop = (from & ~(size_t)63) + 64;
        uint64_t mask = ~UINT64_C(0) << (from % 64);

        if (stop > to) {
            stop = to;
            mask &= ~UINT64_C(0) >> (64 - to % 64);
        }
        if (value) {
            atomic_fetch_or(&bits[from / 64], mask);
        } else {
            atomic_fetch_and(&bits[from / 64], ~mask);
        }
        from = stop;
    }
}

#endif
