/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of test-nt share: one struct nt whose original is the test's, and two watched
 * allocations in an area of ordinary memory.
 */
#ifndef NT_TEST_H
#define NT_TEST_H

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "util.h"

#include "filter.h"
#include "nt.h"

#define NR_PAGES 8
#define SIZE ((SIZE_T)NR_PAGES * NT_PAGE_SIZE)
#define SELF ((HANDLE) ~(ULONG_PTR)0)
#define STATUS_FROM_ORIGINAL ((NTSTATUS)0xc0fa4e00)
#define STATUS_OF_HANDLE ((NTSTATUS)0xc0fa4e01)
#define SENTINEL ((ULONG_PTR)0x5a5a5a5a)

extern struct nt nt;
extern char *area;  /* two watched allocations that touch, between guards that are not watched */
extern bool own;    /* the last argument of set_own() */
extern bool serves; /* the original succeeds */
extern char *fresh; /* where the original allocates; NULL: anywhere */
/* If set, runs before the original: what Wine does, or another thread meanwhile. */
extern void (*before_original)(enum nt_call call, void **args);

/* Makes a call that changes mappings or their content. */
NTSTATUS change(enum nt_call call, ULONG type, char *base, SIZE_T size);

void add_fault_tests(TCase *tcase);
void add_span_tests(TCase *tcase);
void add_filter_tests(TCase *tcase);

#endif
