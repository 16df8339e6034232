/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of test-kernel share: the kernel's own interface without the
 * library ("bare": userfaultfd and PAGEMAP_SCAN directly), what /proc says, and
 * how a test says that it cannot run or what it found out. util.h and contract.h
 * compare answers of the library.
 */
#ifndef WW_TESTS_UNIT_KERNEL_H
#define WW_TESTS_UNIT_KERNEL_H

#include "contract.h"
#include "kernel/uapi.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define HUGE_BYTES ((size_t)2 << 20)

/* ---- tests that cannot run ---- */

void skip_test(const char *test, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns from a test and prints the reason. */
#define SKIP(...)                                                                                            \
    do {                                                                                                     \
        skip_test(__func__, __VA_ARGS__);                                                                    \
        return;                                                                                              \
    } while (0)

#define WANTS(cap)                                                                                           \
    do {                                                                                                     \
        if (!has_cap(cap)) {                                                                                 \
            SKIP("it lacks " #cap);                                                                          \
        }                                                                                                    \
    } while (0)

/* Prints what this kernel does where several behaviours are right. */
void inform(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- the bare interface ---- */

struct bare {
    int fd;      /* userfaultfd with WP_ASYNC */
    int pagemap; /* /proc/self/pagemap */
};

/* Opened for each bare test, in its process. */
extern struct bare bare;

/* The masks of a PAGEMAP_SCAN. */
enum masks {
    FAST, /* WRITTEN and nothing else */
    LAZY, /* the library's mask for sparse memory: WRITTEN, and present or swapped; zero pages told apart */
    NO_ZERO, /* the same, zero pages excluded by the mask */
};

/* 0 or a negative errno. */
int bare_open(struct bare *ret_bare, int flags);
void bare_close(const struct bare *pair);
int bare_register(const struct bare *pair, const void *base, size_t nr, uint64_t mode);
int bare_arm(const struct bare *pair, const void *base, size_t nr);

/* One PAGEMAP_SCAN. Returns the number of entries or a negative errno. */
long bare_scan(const struct bare *pair, const char *base, size_t nr, enum masks masks, uint64_t flags,
               struct page_region *vec, size_t vec_len, uintptr_t *ret_next);

/*
 * Scans all of the range, always with PM_SCAN_CHECK_WPASYNC, and draws a map of
 * nr characters and a NUL: '#' written, 'z' written and a zero page (LAZY only).
 * 0 or a negative errno.
 */
int bare_map(const struct bare *pair, const char *base, size_t nr, enum masks masks, bool reset,
             char *ret_map);

/* Scans without a reset and expects this map; where reads map no zero page, '#' in place of 'z'. */
void expect_bare(const char *base, enum masks masks, const char *map);
void reset_bare(const char *base, size_t nr);

static inline size_t count_marks(const char *map)
{
    size_t nr = 0;

    for (; *map; map++) {
        nr += *map == '#';
    }
    return nr;
}

/* ---- memory and what /proc says of it ---- */

/* Private anonymous memory that is never huge, whatever the system is set to. */
char *map_small_pages(size_t nr);

/* Memory that begins at a huge page's boundary. */
char *map_huge_area(size_t nr);

/* Whether the page is mapped to the kernel's zero page; false where the kernel cannot say. */
bool is_zero_page(const char *base, size_t page);

/* Bits of the page's entry in /proc/self/pagemap. */
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_SOFT_DIRTY (UINT64_C(1) << 55)
uint64_t pagemap_entry(const char *base, size_t page);

/* The number of kB after @field, for the mapping at @addr in /proc/self/smaps. */
unsigned long smaps_kb(const void *addr, const char *field);

/* Reads a number from a file, or writes one; false where that is not possible. */
bool read_number(const char *path, long *ret_value);
bool write_number(const char *path, long value);

double now(void);

/* WW_TEST_SECONDS, or 2. */
double test_seconds(void);

/* A case that opens and closes `bare` around each test; new_case() makes cases about the library. */
TCase *new_bare_case(Suite *suite, const char *name);

/* A case that opens nothing. */
TCase *new_plain_case(Suite *suite, const char *name);

/* The parts. Facts are about the kernel alone, cases about the library. */
void add_scan_facts(Suite *suite);
void add_soft_dirty_facts(Suite *suite);
void add_marker_facts(Suite *suite);
void add_odd_facts(Suite *suite);
void add_page_facts(Suite *suite);
void add_page_cases(Suite *suite);
void add_ksm_facts(Suite *suite);
void add_ksm_cases(Suite *suite);
void add_replace_cases(Suite *suite);
void add_fork_facts(Suite *suite);
void add_fork_cases(Suite *suite);
void add_sandbox_cases(Suite *suite);
void add_write_facts(Suite *suite);
void add_write_cases(Suite *suite);
void add_pinned_cases(Suite *suite);
void add_harvester_facts(Suite *suite);
void add_harvester_cases(Suite *suite);
void add_stress_cases(Suite *suite);

#endif
