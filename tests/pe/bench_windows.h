/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Windows side of the benchmark: bench_windows.c for bench.c.
 */
#ifndef WW_TESTS_PE_BENCH_WINDOWS_H
#define WW_TESTS_PE_BENCH_WINDOWS_H

#include "../../programs/bench/bench.h"

extern const struct bench_ops bench_windows_ops;

/* Call it before the first bench_now_us(); it takes 20 ms. */
void bench_start_clock(void);
void bench_say_sample(const struct bench_sample *sample);
/* A number of the Linux process, as /proc/PID/status names it; negative: not known. */
long bench_ask_status_kb(const char *field);

#endif
