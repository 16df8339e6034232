/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the fuzz harnesses share: numbers from the input's bytes, and a check that ends
 * the process. A harness decodes operations as long as there are bytes; after the end
 * every number is 0, so that any input is valid.
 *
 * A harness leaves no state behind that could change the result of a later input, so
 * that an input that fails also fails alone.
 */
#ifndef WW_TESTS_FUZZ_FUZZ_H
#define WW_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): this one also works with NDEBUG, prints although a harness has replaced stderr, and aborts,
 * so that libFuzzer keeps the input. */
#define must(cond, ...)                                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            dprintf(2, "%s:%d: not so: %s: ", __FILE__, __LINE__, #cond);                                    \
            dprintf(2, __VA_ARGS__);                                                                         \
            dprintf(2, "\n");                                                                                \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* The rest of an input. */
struct input {
    const uint8_t *at;
    size_t left;
};

/* A number of @nr bytes, the lowest byte first. */
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

/* The address of a harness's own memory, the same in every run. Nothing else is mapped there, also after the
 * harness has unmapped a part. */
#define APART ((char *)(sizeof(void *) == 8 ? (uintptr_t)0x500000000000 : (uintptr_t)0x50000000))

#endif
