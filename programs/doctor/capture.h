/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The output of another program, within limits of time and size. */
#ifndef WW_PROGRAMS_CAPTURE_H
#define WW_PROGRAMS_CAPTURE_H

#include <stddef.h>

#define CAPTURE_TIMED_OUT (-1000)

/*
 * Runs a program, found in PATH, without input, and keeps the beginning of both its outputs in @ret, a
 * string. Returns its exit code (128 and more: a signal ended it), a negative errno if it does not run, or
 * CAPTURE_TIMED_OUT if it took longer and was killed with all that it had started.
 */
int capture(char *const command[], unsigned int seconds, char *ret, size_t size);

#endif
