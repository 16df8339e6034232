/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the fuzz harnesses share: numbers out of the input's bytes, and a check
 * that ends the process. A harness decodes operations as long as there are
 * bytes; behind the end every number is 0, so that any input is a valid one.
 *
 * A harness leaves no state behind that a later input could notice: what one
 * input shows, it shows alone as well.
 */
#ifndef WW_TESTS_FUZZ_FUZZ_H
#define WW_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it stays whatever NDEBUG is, prints past a stream that a harness has replaced, and the
 * libFuzzer keeps the input. */
#define must(cond, ...)                                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            dprintf(2, "%s:%d: not so: %s: ", __FILE__, __LINE__, #cond);                                    \
            dprintf(2, __VA_ARGS__);                                                                         \
            dprintf(2, "\n");                                                                                \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* What is left of an input. */
struct input {
    const uint8_t *at;
    size_t left;
};

/* A number of @nr bytes, the lowest first. */
static inline uint64_t take(struct input *input, size_t nr)
{
    uint64_t number = 0;

    for (size_t i = 0; i < nr && input->left; i++, input->left--) {
        number |= (uint64_t)*input->at++ << (8 * i);
    }
    return number;
}

/* A number below @limit, which is not 0. */
static inline size_t take_below(struct input *input, size_t limit)
{
    return take(input, limit <= 256 ? 1 : limit <= 65536 ? 2 : 4) % limit;
}

static inline bool take_bool(struct input *input)
{
    return take(input, 1) & 1;
}

/* Where nothing else is mapped, nor will be, when a part of it is unmapped: memory of the harness's own, and
 * the same in every run. */
#define APART ((char *)(sizeof(void *) == 8 ? (uintptr_t)0x500000000000 : (uintptr_t)0x50000000))

#endif
