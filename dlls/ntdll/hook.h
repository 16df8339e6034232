/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a call from Windows code reaches our functions and leaves them again:
 * Wine's calling convention, learned by effect, as data for libffi.
 */
#ifndef WW_DLLS_NTDLL_HOOK_H
#define WW_DLLS_NTDLL_HOOK_H

#include "nt.h"

/* The names of the calls in ntdll.so, by enum nt_call. */
extern const char *const hook_names[NR_NT_CALLS];

/* What Wine's unix side looks like from here. */
struct hook_wine {
    void *functions[NR_NT_CALLS];    /* the originals */
    void *query_performance_counter; /* and those we only call */
    void *compare_objects, *query_object, *query_process;
    void *query_virtual_memory;
};

/*
 * Learns the calling convention of Wine's unix side by one harmless call.
 * Returns its name, or NULL where the effect is none that is known.
 */
const char *hook_learn_convention(const struct hook_wine *wine);

/*
 * Makes callable code for each of our functions, in @entries, in the convention
 * learned; they work on @ctx and fall back on the originals. 0 or a negative errno.
 */
int hook_prepare(const struct hook_wine *wine, struct ww_context *ctx, void *entries[NR_NT_CALLS]);

/* From now on calls are counted there. Before the first of them. */
void hook_count(struct counters *counters);

#endif
