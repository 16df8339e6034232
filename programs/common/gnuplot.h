/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gnuplot, for all that is drawn. */
#ifndef WW_PROGRAMS_GNUPLOT_H
#define WW_PROGRAMS_GNUPLOT_H

#include <stdio.h>

/*
 * Runs gnuplot with a script that writes files to the current folder, which is one of its own, so that no
 * name in it needs quoting. They are moved to @folder, which is made if it is not there, and replace what has
 * their names; if anything fails nothing is changed. 0 or a negative errno: -ENOPKG: no gnuplot, -EIO:
 * gnuplot failed and has said why, -ENOSPC: a picture or the script is not whole.
 */
int gnuplot_run(FILE *script, const char *folder);

#endif
