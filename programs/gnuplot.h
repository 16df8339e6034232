/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gnuplot, for all that is drawn. */
#ifndef WW_PROGRAMS_GNUPLOT_H
#define WW_PROGRAMS_GNUPLOT_H

#include <stdio.h>

/*
 * Runs gnuplot with a script, inside a folder, which is made if it is not there: so no name in the script
 * needs quoting. 0 or a negative errno: -ENOENT: no gnuplot, -ENOTDIR: no folder, -EIO: gnuplot failed and
 * has said why.
 */
int gnuplot_run(FILE *script, const char *folder);

#endif
