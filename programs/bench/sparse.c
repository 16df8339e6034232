/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workloads on reservations far larger than memory: what the address space itself costs, in time and in
 * page tables, when the program touches next to nothing of it.
 */
#include "bench.h"

static void sparse(struct bench_run *run, uint64_t wanted, size_t nr)
{
    size_t len = wanted, stride = len / run->page / nr;
    const struct bench_ops *ops = run->peer->ops;
    struct bench_sample tables = { .unit = "kb", .fraction = -1 };
    struct bench_area area = { .len = len };
    double start;
    char size[16];

    if (len != wanted) {
        bench_unable(run, "a 32-bit program cannot address as much");
    }
    bench_size_name(len, size);
    bench_reserve_pages(run, 2 * nr + 1);
    start = bench_now_us();
    bench_must(run, "allocate", ops->allocate(run->state, len, true, &area));
    bench_release(run, &area);
    bench_emit(run, 0, bench_now_us() - start, "allocate_and_release_%s", size);
    tables.value = -bench_page_tables_kb(run);
    start = bench_now_us();
    bench_must(run, "allocate", ops->allocate(run->state, len, true, &area));
    bench_emit(run, 0, bench_now_us() - start, "allocate_%s", size);
    tables.value += bench_page_tables_kb(run);
    snprintf(tables.name, sizeof(tables.name), "page_tables_%s", size);
    bench_emit_sample(run, &tables);
    bench_must(run, "commit", ops->commit(run->state, &area, nr, stride));
    bench_write(run, &area, nr, stride);
    bench_emit(run, nr, bench_get(run, &area, true, nr, stride), "get_reset_%s_%zu_pages", size, nr);
    bench_emit(run, 0, bench_get(run, &area, false, 0, stride), "get_%s_clean", size);
    bench_write(run, &area, nr, stride);
    bench_emit(run, nr, bench_get(run, &area, true, nr, stride), "get_reset_again_%s_%zu_pages", size, nr);
    start = bench_now_us();
    bench_release(run, &area);
    bench_emit(run, 0, bench_now_us() - start, "release_%s", size);
}

void bench_sparse(struct bench_run *run)
{
    sparse(run, UINT64_C(1) << (run->quick ? 30 : 38), run->quick ? 50 : 1000);
}

void bench_sparse_huge(struct bench_run *run)
{
    sparse(run, UINT64_C(1) << (run->quick ? 34 : 42), run->quick ? 50 : 1000);
}
