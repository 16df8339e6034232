/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watched memory that the library itself uses: its heap, and the stack of a thread that makes a call. The
 * handler thread must need neither.
 */
#include <errno.h>
#include <pthread.h>

#include "uffd-sync.h"

/* The mapping that the kernel calls [heap]. */
static bool find_heap(struct ww_range *ret)
{
    FILE *file = fopen("/proc/self/maps", "r");
    unsigned long start, end;
    char line[512];
    bool found = false;

    while (!found && fgets(line, sizeof(line), file)) {
        found = strstr(line, "[heap]") && sscanf(line, "%lx-%lx ", &start, &end) == 2;
    }
    fclose(file);
    if (found) {
        *ret = (struct ww_range){ .start = start, .end = end };
    }
    return found;
}

/* Makes every kind of call that allocates, on other memory than what is watched already. */
static void use_library(char *base, size_t nr)
{
    size_t page = page_size();
    void *pages[64];

    for (int round = 0; round < 50; round++) {
        ck_assert_int_eq(ww_watch(ctx, base, nr * page, 0), 0);
        for (size_t i = 0; i < nr; i += 3) {
            write_page(base, i, 1);
        }
        ck_assert_int_eq(ww_latch(ctx, base, nr / 2 * page), 0);
        ck_assert_int_eq(ww_get_pages(ctx, base, nr * page, WW_GET_RESET, pages, 64), (nr + 2) / 3);
        ck_assert_int_eq(ww_unwatch(ctx, base + nr / 2 * page, page), 0);
        ck_assert_int_eq(ww_discard(ctx, base, nr / 2 * page), 0);
        ck_assert_int_eq(ww_unwatch(ctx, base, nr * page), 0);
    }
}

START_TEST(the_heap_of_the_library_is_watched)
{
    char *base = map_pages(60);
    struct ww_range heap;
    size_t nr;

    NOT_UNDER_TSAN("its heap is elsewhere");
    NOT_UNDER_ASAN("its heap is elsewhere");
    NEEDS(WW_CAP_KERNEL_WRITES);
    ck_assert(find_heap(&heap));
    ck_assert_uint_ge((uintptr_t)ctx, heap.start);
    ck_assert_uint_lt((uintptr_t)ctx, heap.end);
    nr = (heap.end - heap.start) / page_size();
    ck_assert_int_eq(ww_watch(ctx, (void *)heap.start, heap.end - heap.start, 0), 0);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(ww_reset(ctx, (void *)heap.start, heap.end - heap.start), 0);
        use_library(base, 60);
        /* The calls have written it, because the locks of the context are in it. */
        ck_assert_int_gt(ww_count(ctx, (void *)heap.start, heap.end - heap.start), 0);
    }
    ck_assert_int_le(ww_count(ctx, (void *)heap.start, heap.end - heap.start), nr);
    ck_assert_int_eq(ww_unwatch(ctx, (void *)heap.start, heap.end - heap.start), 0);
}
END_TEST

/* The top of a thread's stack: what the C library and the kernel keep there, and a distance to the frames. */
#define ABOVE_PAGES 16

static void *use_library_thread(void *arg)
{
    volatile char above[ABOVE_PAGES * 4096];

    above[0] = 0;
    use_library(arg, 60);
    return (void *)(uintptr_t)above[0];
}

/*
 * The stack of a thread that calls the library, and holds its locks, is watched, and another thread resets
 * it. Not the top of the stack: when a thread ends, the kernel stores there that it has ended, and no handler
 * answers a fault of that store. If the page were protected at that moment, pthread_join() would never
 * return.
 */
START_TEST(the_stack_of_a_caller_is_watched)
{
    enum { nr = 64 };
    size_t page = page_size(), nr_written = 0;
    void *pages[nr];
    char *stack = map_pages(nr), *base = map_pages(60);
    pthread_attr_t attr;
    pthread_t thread;

    NOT_UNDER_TSAN("it needs more than this stack");
    NEEDS(WW_CAP_KERNEL_WRITES);
    ck_assert_int_eq(ww_watch(ctx, stack, (nr - ABOVE_PAGES) * page, 0), 0);
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, nr * page);
    ck_assert_int_eq(pthread_create(&thread, &attr, use_library_thread, base), 0);
    while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
        ssize_t found = ww_get_pages(ctx, stack, (nr - ABOVE_PAGES) * page, WW_GET_RESET, pages, nr);

        ck_assert_int_ge(found, 0);
        nr_written += found;
        usleep(100);
    }
    ck_assert_uint_gt(nr_written, 0);
}
END_TEST

void add_memory_cases(TCase *tcase)
{
    tcase_add_test(tcase, the_heap_of_the_library_is_watched);
    tcase_add_test(tcase, the_stack_of_a_caller_is_watched);
}
