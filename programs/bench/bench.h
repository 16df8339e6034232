/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benchmark's core, for `writewatch bench` and tests/bench/native alike: peers
 * (what tracks writes), workloads, and the results of running each workload
 * with each peer in turn. Only print.c and
 * curves.c write results, and only progress is printed besides.
 *
 *   peers.c           the peers: the library's backends (library.c), the bare ioctl (bare.c)
 *   rounds.c          START HERE: rounds, a child a measurement, its time limit
 *   results.c         samples, medians, ratios
 *   workloads.c       the table of workloads, and what they share; system.c has the parts for Linux
 *   dense.c  sparse.c  threads.c  mixes.c   the workloads
 *   print.c           lines for programs, a table for people; json.c, curves.c
 */
#ifndef WW_BENCH_H
#define WW_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "writewatch.h"

#define KB ((size_t)1 << 10)
#define MB ((size_t)1 << 20)
#define GB ((size_t)1 << 30)

/* ---- peers ---- */

/* Memory under watch. */
struct bench_area {
    char *base;
    size_t len;
    bool dense; /* every page exists and was reported before; for peers without tables of their own */
};

struct bench_peer;
struct bench_workload;
struct bench_run;

/*
 * What a peer does. No entry is NULL; what a peer cannot do returns -EOPNOTSUPP. Calls return 0, a count or a
 * negative errno. Several threads may call get and reset on different areas at once.
 */
struct bench_ops {
    int (*open)(const struct bench_peer *peer, void **ret_state);
    void (*close)(void *state);

    /* New private memory, zero and under watch. In a sparse area, commit() comes before a page is written. */
    int (*allocate)(void *state, size_t len, bool sparse, struct bench_area *ret_area);
    int (*release)(void *state, const struct bench_area *area);
    int (*commit)(void *state, const struct bench_area *area, size_t nr, size_t stride);

    /* The addresses of written pages, ascending; with @reset they are clean afterwards. */
    ssize_t (*get)(void *state, const struct bench_area *area, bool reset, void **ret_pages, size_t capacity);
    int (*reset)(void *state, const struct bench_area *area);

    /* Drops all pages with their contents; they read as zeros and are clean. */
    int (*decommit)(void *state, const struct bench_area *area);

    /* As Windows' VirtualProtect(), to read-only or back: what was written before stays reported. */
    int (*protect)(void *state, const struct bench_area *area, bool writable);
};

struct bench_peer {
    const char *name;
    const struct bench_ops *ops;
    uint32_t caps; /* enum ww_cap: which answers to expect */

    /* For a peer that is another program: runs the workload by its name, and returns an enum bench_end. NULL:
     * the child runs the workload itself. */
    int (*run)(const struct bench_peer *peer, const struct bench_workload *workload, struct bench_run *run);
    const char *command; /* for run */
};

#define MAX_PEERS 12

struct bench_peers {
    struct bench_peer peer[MAX_PEERS];
    size_t nr;
};

/* library.c, bare.c */
extern const struct bench_ops bench_library_ops, bench_bare_ops;

/* bare.c: also for other peers that use the kernel's interface alone. */
struct bench_kernel {
    int fd;      /* userfaultfd with WP_ASYNC */
    int pagemap; /* /proc/self/pagemap */
};

/* What one PAGEMAP_SCAN asks for. */
struct bench_scan {
    uint64_t anyof_mask;
    size_t vec_len; /* at most BENCH_VEC_LEN */
    bool reset;
};

/* Up to 341 regions fit the kernel's own buffer of 8 kB, which is cheaper to allocate than the next size. */
#define BENCH_VEC_LEN 256

int bench_kernel_open(struct bench_kernel *ret);
void bench_kernel_close(struct bench_kernel *kernel);
int bench_kernel_register(const struct bench_kernel *kernel, const struct bench_area *area);
int bench_kernel_unregister(const struct bench_kernel *kernel, const struct bench_area *area);
ssize_t bench_kernel_scan(const struct bench_kernel *kernel, const struct bench_area *area,
                          const struct bench_scan *how, void **ret_pages, size_t capacity);
int bench_kernel_reset(const struct bench_kernel *kernel, const struct bench_area *area,
                       const struct bench_scan *how);

/* Entries of struct bench_ops for peers whose state is a struct bench_kernel. */
int bench_kernel_ops_open(const struct bench_peer *peer, void **ret_state);
void bench_kernel_ops_close(void *state);
int bench_kernel_ops_release(void *state, const struct bench_area *area);
int bench_kernel_ops_commit(void *state, const struct bench_area *area, size_t nr, size_t stride);
int bench_kernel_ops_protect(void *state, const struct bench_area *area, bool writable);

/* peers.c. A reason is a sentence without a full stop. */
int bench_add_backend(struct bench_peers *peers, const char *name, const char **ret_reason);
int bench_add_bare(struct bench_peers *peers, const char **ret_reason);
int bench_add_peer(struct bench_peers *peers, const struct bench_peer *peer, const char **ret_reason);
const struct bench_peer *bench_find_peer(const struct bench_peers *peers, const char *name);

/* ---- results ---- */

#define MAX_FIGURES 200
#define MAX_ROUNDS 99
#define FIGURE_NAME 64
#define UNIT_NAME 16

/* One thing that is measured, such as get_reset_64m_1pct_scattered. */
struct bench_figure {
    char name[FIGURE_NAME];
    char unit[UNIT_NAME]; /* "us" but for page tables and throughput */
    const char *workload; /* the workload it comes from */
    size_t pages;         /* the time is for; 0: not for pages */
    double fraction;      /* of its pages that are dirty, in percent; negative: not a point of that curve */
    size_t len;           /* of the region, in bytes; 0: not a point of that curve */
    double sample[MAX_PEERS][MAX_ROUNDS]; /* NAN: not measured */
};

struct bench_results {
    struct bench_peers peers;
    size_t nr_rounds;
    struct bench_figure figure[MAX_FIGURES];
    size_t nr_figures;
    size_t nr_wrong; /* wrong answers of peers, children that died */
    size_t nr_notes;
    char (*notes)[200]; /* what was left out or cut off, and what was wrong, a line each */
};

/* Quartiles, of samples or of ratios. n is 0 where nothing was measured. */
struct bench_summary {
    size_t n;
    double min, q1, median, q3, max;
};

struct bench_results *bench_results_new(const struct bench_peers *peers, size_t nr_rounds);
void bench_results_free(struct bench_results *results);
struct bench_figure *bench_figure_get(struct bench_results *results, const char *name, const char *unit);
struct bench_figure *bench_figure_find(struct bench_results *results, const char *name); /* NULL: none */
void bench_note(struct bench_results *results, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct bench_summary bench_summarize(const double *values, size_t nr);
struct bench_summary bench_ratio(const struct bench_results *results, const struct bench_figure *figure,
                                 size_t peer, size_t to);

/* ---- workloads ---- */

/* One measurement as it comes out of a child. */
struct bench_sample {
    char name[FIGURE_NAME];
    char unit[UNIT_NAME];
    size_t pages;
    double fraction;
    size_t len;
    double value;
};

#define MAX_SAMPLES 64

/* Shared with the child that measures. */
struct bench_report {
    size_t nr_samples; /* written after the sample itself */
    struct bench_sample sample[MAX_SAMPLES];
    char message[160]; /* why the child ended early, or a remark */
};

/* What a workload works with: one peer, in a process of its own. */
struct bench_run {
    const struct bench_peer *peer;
    void *state;
    bool quick;
    uint64_t seed; /* the same for all peers of a round */
    size_t page;   /* bytes */
    struct bench_report *report;
    void (*on_sample)(const struct bench_sample *sample); /* NULL, or called for each sample at once */
    void **pages;                                         /* touched, capacity entries */
    size_t capacity;
};

struct bench_workload {
    const char *name;
    const char *unit;                   /* what it does, for people */
    uint32_t needs;                     /* enum ww_cap: it leaves out peers without them */
    const char *why;                    /* what is wrong with those peers; NULL where needs is 0 */
    void (*run)(struct bench_run *run); /* NULL: only for peers that are other programs */
};

extern const struct bench_workload bench_workloads[];
extern const size_t bench_nr_workloads;

/* system.c, or a file of its kind for another system */
double bench_now_us(void);
void bench_end(struct bench_run *run, int status) __attribute__((noreturn));
long bench_page_tables_kb(struct bench_run *run); /* of this process; negative: not known */
size_t bench_max_map_count(void);
/* Maps private, anonymous, untouched memory. 0 or a negative errno. */
int bench_map(size_t len, struct bench_area *ret_area);
/* The same, and calls @watch for it. */
int bench_map_watched(int (*watch)(void *state, const struct bench_area *area), void *state, size_t len,
                      struct bench_area *ret_area);
int bench_unmap(const struct bench_area *area);
int bench_drop(const struct bench_area *area); /* its pages are zero again */
int bench_protect_memory(const struct bench_area *area, bool writable);

/* workloads.c */
uint64_t bench_random(uint64_t *state);
/* These end the child with a message: after a wrong answer, and where the system lacks something. */
#define bench_wrong(run, ...) (bench_remark(run, __VA_ARGS__), bench_end(run, BENCH_WRONG))
#define bench_unable(run, ...) (bench_remark(run, __VA_ARGS__), bench_end(run, BENCH_UNABLE))
/* Leaves a message about this peer without stopping. */
void bench_remark(struct bench_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the child if @result, which a call of the peer returned, is negative. Returns it. */
ssize_t bench_must(struct bench_run *run, const char *what, ssize_t result);
/* Makes room for @nr addresses in run->pages, and touches it. */
void bench_reserve_pages(struct bench_run *run, size_t nr);
struct bench_area bench_allocate(struct bench_run *run, size_t len);
void bench_release(struct bench_run *run, const struct bench_area *area);
/* Writes a byte of every stride-th page. */
void bench_write(const struct bench_run *run, const struct bench_area *area, size_t nr, size_t stride);
/* Times one get in us. It must report exactly every stride-th page, nr of them. */
double bench_get(struct bench_run *run, const struct bench_area *area, bool reset, size_t nr, size_t stride);
/* Writes and collects every page: the area is dense from then on. */
void bench_make_dense(struct bench_run *run, struct bench_area *area);
/* A time in us. */
void bench_emit(struct bench_run *run, size_t pages, double value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void bench_emit_sample(struct bench_run *run, const struct bench_sample *sample);
/* "64m" for 64 MB. */
const char *bench_size_name(size_t len, char ret_name[16]);

/* workloads.c: not in the table; tests whether a peer can tell one written page from the rest. */
extern const struct bench_workload bench_trial;

/* the workloads' files */
void bench_first_write(struct bench_run *run);
void bench_dense_small(struct bench_run *run);
void bench_dense_medium(struct bench_run *run);
void bench_dense_large(struct bench_run *run);
void bench_cycle(struct bench_run *run);
void bench_isolated(struct bench_run *run);
void bench_protect(struct bench_run *run);
void bench_sparse(struct bench_run *run);
void bench_sparse_huge(struct bench_run *run);
void bench_writers(struct bench_run *run);
void bench_pollers(struct bench_run *run);
void bench_regions(struct bench_run *run);
void bench_gc(struct bench_run *run);
void bench_textures(struct bench_run *run);

/* ---- running ---- */

/* How a child ends, as its exit code. */
enum bench_end { BENCH_DONE, BENCH_WRONG = 1, BENCH_CUT_OFF = 2, BENCH_UNABLE = 77 };

struct bench_plan {
    const struct bench_workload *extra; /* more workloads than the table has */
    size_t nr_extra;
    bool quick;
    double limit_s;              /* after this, a peer's workload in a round is cut off */
    const char *const *patterns; /* names of workloads, as fnmatch(3) takes them; none: all */
    size_t nr_patterns;
    FILE *progress; /* NULL: silent */
};

bool bench_is_wanted(const struct bench_plan *plan, const struct bench_workload *workload);
/* Runs the wanted workloads and fills @results. 0 or a negative errno. */
int bench_run_all(const struct bench_plan *plan, struct bench_results *results);
/* Runs any workload with one peer, once: 0, or the child's reason. */
int bench_try(const struct bench_peer *peer, const struct bench_workload *workload, double limit_s,
              struct bench_report *report);

/* ---- output ---- */

/* A value with three digits and a unit that suits it; @unit as of a figure. */
void bench_humanize(double value, const char *unit, char ret_text[32]);
void bench_print_lines(const struct bench_results *results, FILE *out);
void bench_print_table(const struct bench_results *results, FILE *out);
void bench_print_notes(const struct bench_results *results, FILE *out, const char *before);
/* json.c, of the command alone. */
void bench_print_json(const struct bench_results *results, FILE *out);
/* 0 or a negative errno: -ENODATA: nothing to draw; others as those of gnuplot_run(). */
int bench_plot(const struct bench_results *results, const char *folder);

#endif
