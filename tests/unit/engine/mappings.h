/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes every kind of mapping that a program can have, one at a time. Knows nothing of watches.
 */
#ifndef WW_TESTS_UNIT_MAPPINGS_H
#define WW_TESTS_UNIT_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>

struct mapping {
    const char *name;
    char *base;
    size_t len;
    size_t page_size; /* its page size in bytes */
    int prot;         /* with which it was mapped */
    bool ordinary;    /* writable private anonymous memory: every call works there */
    bool unfillable;  /* for the kernel anonymous memory whose missing pages nobody can fill */
    bool borrowed;    /* existed before; unmake_mapping() leaves it mapped */
    int fd;           /* the file that is mapped, or -1 */
};

int nr_mappings(void);

/* Makes a mapping. Returns NULL, or the reason why this kernel or process cannot. Always sets ret->name. */
const char *make_mapping(int which, struct mapping *ret);
void unmake_mapping(struct mapping *mapping);

#endif
