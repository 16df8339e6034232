/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gnuplot, for all that is drawn. */
#ifndef WW_PROGRAMS_GNUPLOT_H
#define WW_PROGRAMS_GNUPLOT_H

#include <stdio.h>

/*
 * Runs gnuplot with a script that writes files to the current folder, so that no name in it needs quoting.
 * The files move to @folder, which is made if need be, and replace files of the same names; after an error,
 * nothing has changed. 0 or a negative errno: -ENOPKG: no gnuplot, -EIO: gnuplot failed and has said why,
 * -ENOSPC: a picture or the script is not whole.
 */
int gnuplot_run(FILE *script, const char *folder);

#endif
