/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every kind of mapping that a program can have, made one by one. It knows nothing
 * of watches.
 */
#ifndef WW_TESTS_UNIT_MAPPINGS_H
#define WW_TESTS_UNIT_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>

struct mapping {
    const char *name;
    char *base;
    size_t len;
    size_t grain;  /* bytes; the size of its pages */
    int prot;      /* as it was mapped */
    bool ordinary; /* private anonymous memory that can be written: everything works there */
    bool borrowed; /* it was there before, and stays */
    int fd;        /* of what it was mapped from, or -1 */
};

int nr_mappings(void);

/* Makes a mapping. NULL, or why there is none here. The name is set in any case. */
const char *make_mapping(int which, struct mapping *ret);
void unmake_mapping(struct mapping *mapping);

#endif
