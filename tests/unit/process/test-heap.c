/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that the library allocates while signals are blocked (linux/process/heap.h): blocks are zeroed,
 * aligned, and do not overlap; many threads, and a child forked in the middle, may allocate and free them. No
 * call on a context, except opening and closing it, uses malloc(), whose lock a suspended thread may hold.
 *
 * Link with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free: the wrappers count the calls.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "kernel/facts.h"
#include "process/heap.h"
#include "util.h"

/* ---- calls of malloc() ---- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);

static bool counting;
static unsigned int nr_calls;

void *__wrap_malloc(size_t size)
{
    nr_calls += counting;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t nr, size_t size)
{
    nr_calls += counting;
    return __real_calloc(nr, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    nr_calls += counting;
    return __real_realloc(block, size);
}

void __wrap_free(void *block)
{
    nr_calls += counting;
    __real_free(block);
}

static struct ww_probe backends[MAX_BACKENDS];
static size_t nr_backends;

#define NR_PAGES 64

/* Makes every call that changes a region, which may add to its page sets or free them. Returns how many calls
 * were wrong, because libcheck's assertions would use malloc(). */
static size_t use_everything(struct ww_context *ctx, char *base, char *content)
{
    size_t page = page_size(), len = NR_PAGES * page;
    struct ww_range range, ranges[NR_PAGES];
    void *pages[NR_PAGES];
    size_t nr_wrong = 0;

    nr_wrong += ww_watch(ctx, base, len, WW_WATCH_FRESH) != 0;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < NR_PAGES; i += 3) {
            write_page(base, i, 1);
        }
        nr_wrong += ww_latch(ctx, base, 20 * page) != 0;
        nr_wrong += ww_count(ctx, base, len) <= 0;
        nr_wrong += ww_get_pages(ctx, base, len, WW_GET_RESET, pages, 5) <= 0;
        nr_wrong += ww_get_ranges(ctx, base, len, WW_GET_RESET, ranges, NR_PAGES) <= 0;
        nr_wrong += ww_protect(ctx, base + page, page, PROT_READ) != 0;
        nr_wrong += ww_protect(ctx, base + page, page, PROT_READ | PROT_WRITE) != 0;
        nr_wrong += madvise(base + 8 * page, 8 * page, MADV_DONTNEED) != 0;
        nr_wrong += ww_discard(ctx, base + 8 * page, 8 * page) != 0;
        ww_fill(ctx, base + 9 * page, content, page);
        nr_wrong += ww_reset(ctx, base, len) != 0;
    }
    nr_wrong += ww_find(ctx, base, &range) != 0;
    nr_wrong += ww_unwatch(ctx, base + 30 * page, 2 * page) != 0;
    nr_wrong += ww_unwatch(ctx, base, len) != 0;
    return nr_wrong;
}

START_TEST(calls_do_without_malloc)
{
    struct ww_context *ctx;
    char *base = map_pages(NR_PAGES), *content = map_pages(1);
    size_t nr_wrong;

    ck_assert_int_eq(ww_open(&ctx, backends[_i].name), 0);
    nr_calls = 0;
    counting = true;
    nr_wrong = use_everything(ctx, base, content);
    counting = false;
    ck_assert_uint_eq(nr_wrong, 0);
    ck_assert_msg(!nr_calls, "%s: %u calls of malloc() and its like", backends[_i].name, nr_calls);
    ww_close(ctx);
}
END_TEST

/* ---- blocks ---- */

static bool is_filled(const unsigned char *block, size_t size, unsigned char value)
{
    return !size || (block[0] == value && !memcmp(block, block + 1, size - 1));
}

/* Allocates and frees blocks of all sizes, each filled with @seed. Returns how many were wrong: not zeroed,
 * not aligned, or overwritten. */
static size_t use_blocks(unsigned int seed, size_t nr_steps)
{
    enum { NR_HELD = 200 };
    static __thread unsigned char *held[NR_HELD];
    static __thread size_t sizes[NR_HELD];
    uint64_t random = seed;
    size_t nr_wrong = 0;

    for (size_t step = 0; step < nr_steps; step++) {
        size_t at = random_below(&random, NR_HELD);

        if (held[at]) {
            nr_wrong += !is_filled(held[at], sizes[at], seed);
            ww_heap_free(held[at]);
        }
        sizes[at] = 1 + random_below(&random, random_below(&random, 500) ? 560 : 70000);
        held[at] = ww_heap_alloc(sizes[at]);
        if (!held[at] || (uintptr_t)held[at] % 16 || !is_filled(held[at], sizes[at], 0)) {
            nr_wrong++;
        }
        memset(held[at], seed, sizes[at]);
    }
    for (size_t at = 0; at < NR_HELD; at++) {
        nr_wrong += held[at] && !is_filled(held[at], sizes[at], seed);
        ww_heap_free(held[at]);
        held[at] = NULL;
    }
    return nr_wrong;
}

START_TEST(blocks_are_zeroed_and_apart)
{
    ck_assert_uint_eq(use_blocks(1, 20000), 0);
    ww_heap_free(NULL);
    ck_assert_ptr_null(ww_heap_alloc(SIZE_MAX));
    /* Not SIZE_MAX / 2: a 32-bit program that has the whole address space could get that. */
    ck_assert_ptr_null(ww_heap_alloc(SIZE_MAX / 8 * 7));
}
END_TEST

/* A block that was freed is used again, so that the heap does not grow without end. */
START_TEST(blocks_are_used_again)
{
    void *first = ww_heap_alloc(100), *next;

    for (int i = 0; i < 1000; i++) {
        ww_heap_free(first);
        next = ww_heap_alloc(500);
        ck_assert_ptr_eq(next, first);
    }
    ww_heap_free(first);
}
END_TEST

static void *use_blocks_thread(void *seed)
{
    return (void *)use_blocks((unsigned int)(uintptr_t)seed, 1000000);
}

START_TEST(threads_and_children_share_the_heap)
{
    enum { NR_THREADS = 4 };
    pthread_t threads[NR_THREADS];

    for (size_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_blocks_thread, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        int status;

        if (!pid) {
            _exit(use_blocks(99, 500) ? 1 : 0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    }
    for (size_t i = 0; i < NR_THREADS; i++) {
        void *nr_wrong;

        pthread_join(threads[i], &nr_wrong);
        ck_assert_ptr_null(nr_wrong);
    }
}
END_TEST

/* A fault in our memory could bring a huge page into memory of the program that the kernel has joined with
 * it. */
START_TEST(its_pages_are_never_huge)
{
    static const size_t sizes[] = { 100, 100000 };
    struct ww_release release;
    char flags[256];
    bool known =
        ww_release_now(&release) && (release.major > 6 || (release.major == 6 && release.minor >= 7));

    for (size_t i = 0; i < 2; i++) {
        void *block = ww_heap_alloc(sizes[i]);

        ck_assert_ptr_nonnull(block);
        smaps_line(block, "VmFlags", flags, sizeof(flags));
        if (!known || !flags[0] || access("/sys/kernel/mm/transparent_hugepage", F_OK)) {
            printf("SKIP %s: needs Linux 6.7, huge pages and /proc/self/smaps\n", __func__);
            return;
        }
        ck_assert_msg(strstr(flags, " nh"), "%zu bytes: flags%s", sizes[i], flags);
        ww_heap_free(block);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap");
    TCase *blocks = tcase_create("blocks"), *calls = tcase_create("calls");

    nr_backends = find_backends(backends, 0);
    tcase_set_timeout(blocks, 60);
    tcase_add_test(blocks, blocks_are_zeroed_and_apart);
    tcase_add_test(blocks, blocks_are_used_again);
    tcase_add_test(blocks, threads_and_children_share_the_heap);
    tcase_add_test(blocks, its_pages_are_never_huge);
    tcase_add_loop_test(calls, calls_do_without_malloc, 0, nr_backends);
    suite_add_tcase(suite, blocks);
    suite_add_tcase(suite, calls);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
