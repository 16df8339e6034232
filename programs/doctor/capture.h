/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another program's words, within bounds of time and size. */
#ifndef WW_PROGRAMS_CAPTURE_H
#define WW_PROGRAMS_CAPTURE_H

#include <stddef.h>

#define CAPTURE_TIMED_OUT (-1000)

/*
 * Runs a program, found in PATH, with no input, and keeps the beginning of what it says on both outputs in
 * @ret, a string. Returns its exit code (128 and more: by a signal), a negative errno if it does not run, or
 * CAPTURE_TIMED_OUT after so many seconds, when it and what it has started are killed.
 */
int capture(char *const command[], unsigned int seconds, char *ret, size_t size);

#endif
