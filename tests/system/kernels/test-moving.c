/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that move between two NUMA nodes all the time while they are written, reported
 * and reset. No write may be lost, and a page that was never written may never be
 * reported.
 *
 * Answers need not be exact otherwise. With userfaultfd a page that the kernel is moving
 * at the moment of its reset comes out of the move as written: PAGEMAP_SCAN
 * write-protects the migration entry but leaves it a writable one, and a writable entry
 * becomes a page without write protection (Linux 6.7 to 7.2 at least). The test prints
 * how many such pages there were. The contract suite, which expects exact answers,
 * therefore does not run in the configuration `moving`.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "util.h"

#define NR_PAGES 512
#define NR_WRITTEN (NR_PAGES / 2) /* the lower half; the rest is never written once it is watched */
#define MIN_ROUNDS 100
#define MIN_MOVED 5000
#define MOVE_ALL 2 /* MPOL_MF_MOVE of <numaif.h>, which is part of libnuma */

static const struct ww_probe *backend;

static struct {
    char *base;
    atomic_bool stop;
    atomic_ulong nr_moved;
} run;

static void *mover_thread(void *arg)
{
    void *pages[NR_PAGES];
    int nodes[NR_PAGES], status[NR_PAGES];

    (void)arg;
    for (int node = 0; !atomic_load(&run.stop); node = !node) {
        unsigned long nr_moved = 0;

        for (size_t i = 0; i < NR_PAGES; i++) {
            pages[i] = run.base + i * page_size();
            nodes[i] = node;
            status[i] = -1;
        }
        if (syscall(SYS_move_pages, 0, (unsigned long)NR_PAGES, pages, nodes, status, MOVE_ALL) < 0) {
            continue;
        }
        for (size_t i = 0; i < NR_PAGES; i++) {
            nr_moved += status[i] == node;
        }
        atomic_fetch_add(&run.nr_moved, nr_moved);
        usleep(1000); /* mprotect() waits while pages move */
    }
    return NULL;
}

/* Writes some pages, gets and resets; returns how many pages were reported that this call did not write. */
static size_t write_and_get(struct ww_context *ctx, uint64_t *random)
{
    bool written[NR_PAGES] = { false };
    void *pages[NR_PAGES];
    size_t nr_written = 0;
    ssize_t nr;

    for (size_t i = 0; i < NR_WRITTEN; i++) {
        if (!random_below(random, 4)) {
            written[i] = true;
            nr_written++;
            write_page(run.base, i, next_random(random));
        }
    }
    nr = ww_get_pages(ctx, run.base, NR_PAGES * page_size(), WW_GET_RESET, pages, NR_PAGES);
    ck_assert_int_ge(nr, 0);
    for (ssize_t i = 0; i < nr; i++) {
        size_t page = ((char *)pages[i] - run.base) / page_size();

        ck_assert_msg(page < NR_WRITTEN, "page %zu was never written", page);
        written[page] = false;
    }
    for (size_t i = 0; i < NR_WRITTEN; i++) {
        ck_assert_msg(!written[i], "the write to page %zu is lost", i);
    }
    return nr - nr_written;
}

START_TEST(pages_that_move_lose_no_write)
{
    struct ww_context *ctx;
    pthread_t mover;
    uint64_t random = 1;
    unsigned long nr_rounds = 0, nr_again = 0;

    run.base = map_pages(NR_PAGES);
    for (size_t i = 0; i < NR_PAGES; i++) {
        write_page(run.base, i, 1);
    }
    ck_assert_int_eq(ww_open(&ctx, backend->name), 0);
    ck_assert_int_eq(ww_watch(ctx, run.base, NR_PAGES * page_size(), 0), 0);
    ck_assert_int_eq(ww_count(ctx, run.base, NR_PAGES * page_size()), 0);
    ck_assert_int_eq(pthread_create(&mover, NULL, mover_thread, NULL), 0);
    while (nr_rounds < MIN_ROUNDS || atomic_load(&run.nr_moved) < MIN_MOVED) {
        nr_again += write_and_get(ctx, &random);
        nr_rounds++;
    }
    atomic_store(&run.stop, true);
    pthread_join(mover, NULL);
    printf("%s: %lu rounds, %lu moves, %lu pages reported again\n", backend->name, nr_rounds, run.nr_moved,
           nr_again);
    fflush(stdout);
    ww_close(ctx);
}
END_TEST

static Suite *moving_suite(void)
{
    Suite *suite = suite_create(backend->name);
    TCase *tcase = tcase_create("moving");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, pages_that_move_lose_no_write);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    struct ww_probe found[MAX_BACKENDS];
    size_t nr = find_backends(found, WW_CAP_ATOMIC_RESET | WW_CAP_EXACT);
    int failed = 0;

    if (access("/sys/devices/system/node/node1", F_OK)) {
        printf("SKIP: this machine has one NUMA node\n");
        return EXIT_SKIPPED;
    }
    for (size_t i = 0; i < nr; i++) {
        backend = &found[i];
        failed += run_suite(moving_suite());
    }
    return failed ? EXIT_FAILURE : nr ? EXIT_SUCCESS : EXIT_SKIPPED;
}
