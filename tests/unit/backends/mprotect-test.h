/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the mprotect backend share: a context of it, which a fixture opens and closes.
 */
#ifndef MPROTECT_TEST_H
#define MPROTECT_TEST_H

#include "util.h"

extern struct ww_context *ctx;

void open_context(void);
void close_context(void);

/* Maps @nr pages and watches them. */
char *watch_pages(size_t nr);

#endif
