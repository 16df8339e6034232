/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removes folders: of counters, of half-drawn pictures, Wine prefixes. */
#include <ftw.h>
#include <stdio.h>

#include "tree.h"

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    remove(path);
    return 0;
}

void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
