/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Brings calls from Windows code to our functions, and calls the functions of Wine that they replace. The
 * calling convention of Wine's unix side is found out by its effect.
 */
#ifndef WW_DLLS_NTDLL_HOOK_H
#define WW_DLLS_NTDLL_HOOK_H

#include "nt.h"

/* The names of the calls in ntdll.so, by enum nt_call. */
extern const char *const hook_names[NR_NT_CALLS];

/* Functions of Wine's unix side. */
struct hook_wine {
    void *functions[NR_NT_CALLS];    /* those that are interposed */
    void *query_performance_counter; /* the rest is only called */
    void *compare_objects, *query_object, *query_process;
    void *query_virtual_memory;
};

/* Learns the calling convention of Wine's unix side by one harmless call. Returns its name, or NULL if no
 * known convention has this effect. */
const char *hook_learn_convention(const struct hook_wine *wine);

/* Makes a closure for each of our functions, in the convention that was learned. Its code is in @entries. The
 * functions work on @ctx and fall back on Wine's. 0 or a negative errno. */
int hook_prepare(const struct hook_wine *wine, struct ww_context *ctx, void *entries[NR_NT_CALLS]);

/* Counts calls there. Called before the first of them. */
void hook_count(struct counters *counters);

#endif
