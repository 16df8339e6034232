/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The filter of watched memory (dlls/ntdll/filter.h): a change of memory that it does not match is
 * ignored. */
#include "nt-test.h"

#define GRANULE ((uintptr_t)2 << 20)

/* Memory that is not watched yet, at the start of 2 MB that hold nothing else. */
static char *setup_near(void)
{
    char *room = map_pages(8 * GRANULE / NT_PAGE_SIZE);

    serves = true;
    fresh = (char *)(((uintptr_t)room + 3 * GRANULE) & -GRANULE);
    return fresh;
}

/* Only the preload uses the filter, and it takes no backend with WW_CAP_OWNS_PROT. */
static bool is_preload(void)
{
    return !(ww_backend_caps(nt.ctx) & WW_CAP_OWNS_PROT);
}

#define NEEDS_PRELOAD()                                                                                      \
    do {                                                                                                     \
        if (!is_preload()) {                                                                                 \
            if (!_i) {                                                                                       \
                printf("SKIP %s on %s: only the preload uses the filter, and never with WW_CAP_OWNS_PROT\n", \
                       __func__, ww_backend_name(nt.ctx));                                                   \
            }                                                                                                \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

static void watch_here(char *base, SIZE_T size)
{
    PVOID addr = NULL;

    fresh = base;
    ck_assert_int_eq(nt_allocate(&nt, SELF, &addr, 0, &size, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE),
                     0);
    ck_assert_ptr_eq(addr, base);
}

static bool is_near(const char *base)
{
    return filter_may_match((uintptr_t)base, (uintptr_t)base + 1);
}

static void release_all(char *base, SIZE_T size)
{
    change(NT_FREE, MEM_RELEASE, base, size);
}

static void forget_by_settling(char *base, SIZE_T size)
{
    nt_forget(&nt, (uintptr_t)base, (uintptr_t)base + size);
}

static void allocate_over(char *base, SIZE_T size)
{
    PVOID addr = NULL;

    fresh = base;
    ck_assert_int_eq(nt_allocate(&nt, SELF, &addr, 0, &size, MEM_RESERVE, PAGE_READWRITE), 0);
}

static void (*const endings[])(char *base, SIZE_T size) = { release_all, forget_by_settling, allocate_over };

/* However a watch ends, all at once or in parts, the filter matches nothing nearby afterwards. */
START_TEST(watches_that_end_leave_nothing_near)
{
    char *base = setup_near();

    NEEDS_PRELOAD();
    for (int round = 0; round < 2; round++) {
        ck_assert(!is_near(base));
        watch_here(base, GRANULE + SIZE);
        ck_assert(is_near(base) && is_near(base + GRANULE - 1) && is_near(base + 2 * GRANULE - 1));
        ck_assert(!is_near(base - 1) && !is_near(base + 2 * GRANULE));
        if (round) {
            endings[_i](base + SIZE, SIZE);
            ck_assert(is_near(base) && is_near(base + GRANULE));
            endings[_i](base + GRANULE, SIZE);
            ck_assert(is_near(base) && !is_near(base + GRANULE));
            endings[_i](base, SIZE);
            ck_assert(is_near(base));
            endings[_i](base + 2 * SIZE, GRANULE - 2 * SIZE);
        } else {
            endings[_i](base, GRANULE + SIZE);
        }
        ck_assert(!is_near(base) && !is_near(base + GRANULE));
    }
}
END_TEST

/* The filter still matches a second watch in the same 2 MB when the first one has ended. */
START_TEST(a_second_watch_nearby_stays_known)
{
    char *base = setup_near();

    NEEDS_PRELOAD();
    watch_here(base, SIZE);
    watch_here(base + GRANULE - SIZE, SIZE);
    endings[_i](base, SIZE);
    ck_assert(is_near(base));
    endings[_i](base + GRANULE - SIZE, SIZE);
    ck_assert(!is_near(base));
}
END_TEST

/* A watch that was not ended is replaced by a new one, which is counted once. */
START_TEST(a_watch_in_place_of_another_counts_once)
{
    char *base = setup_near();

    NEEDS_PRELOAD();
    watch_here(base, 2 * SIZE);
    watch_here(base + SIZE, 2 * SIZE);
    endings[_i](base, 3 * SIZE);
    if (_i == 0) {
        /* One release cannot cover two regions. */
        ck_assert(is_near(base));
        endings[_i](base, SIZE);
        endings[_i](base + SIZE, 2 * SIZE);
    }
    ck_assert(!is_near(base));
}
END_TEST

/* Watches that were never ended end where new memory is allocated over them, and only there. */
START_TEST(the_counters_say_how_much_is_watched)
{
    static struct counters counters;
    char *base = setup_near();

    NEEDS_PRELOAD();
    memset(&counters, 0, sizeof(counters));
    nt.counters = &counters;
    watch_here(base + SIZE, SIZE);
    ck_assert_uint_eq(counters.watched_bytes, SIZE);
    watch_here(base, 3 * SIZE);
    ck_assert_uint_eq(counters.watched_bytes, 3 * SIZE);
    watch_here(base + 2 * SIZE, 2 * SIZE);
    ck_assert_uint_eq(counters.watched_bytes, 4 * SIZE);
    allocate_over(base + 3 * SIZE, 2 * SIZE);
    ck_assert_uint_eq(counters.watched_bytes, 3 * SIZE);
    allocate_over(base + SIZE, 3 * SIZE);
    ck_assert_uint_eq(counters.watched_bytes, SIZE);
    allocate_over(base + SIZE, 3 * SIZE);
    ck_assert_uint_eq(counters.watched_bytes, SIZE);
    forget_by_settling(base, 4 * SIZE);
    ck_assert_uint_eq(counters.watched_bytes, 0);
    for (size_t i = 0; i < COUNTERS_NR_REGIONS; i++) {
        ck_assert_uint_eq(counters.region[i].start, 0);
    }
}
END_TEST

/* Neither a watch that could not begin nor a release that failed changes the counts. */
START_TEST(failures_keep_what_is_near)
{
    char *base = setup_near();
    PVOID addr = NULL;
    SIZE_T size = SIZE;

    NEEDS_PRELOAD();
    ck_assert_int_eq(munmap(base, SIZE), 0);
    nt_allocate(&nt, SELF, &addr, 0, &size, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE);
    ck_assert(!is_near(base));
    watch_here(base + SIZE, SIZE);
    serves = false;
    ck_assert_int_eq(change(NT_FREE, MEM_RELEASE, base + SIZE, SIZE), STATUS_FROM_ORIGINAL);
    ck_assert(is_near(base));
    serves = true;
    ck_assert_int_eq(change(NT_FREE, MEM_RELEASE, base + SIZE, SIZE), 0);
    ck_assert(!is_near(base));
}
END_TEST

/* No two addresses at least 2 MB apart share a counter, and a range of any length matches what lies in it. */
START_TEST(distant_addresses_are_not_near)
{
    const uintptr_t at = (uintptr_t)5 << 30, size = 3 * NT_PAGE_SIZE, step = (uintptr_t)1 << 21;
    uint64_t top = sizeof(void *) == 8 ? UINT64_C(1) << 47 : UINT64_C(1) << 32;

    ck_assert_int_eq(filter_add((uintptr_t)(at % top), (uintptr_t)(at % top) + size), 0);
    for (int bit = 21; (UINT64_C(1) << bit) < top; bit++) {
        uintptr_t other = (uintptr_t)(at % top) ^ (uintptr_t)1 << bit;

        ck_assert_msg(!filter_may_match(other, other + step), "bit %d", bit);
    }
    ck_assert(filter_may_match(NT_PAGE_SIZE, UINTPTR_MAX - NT_PAGE_SIZE));
    ck_assert(filter_may_match((uintptr_t)(at % top) + step - 1, (uintptr_t)(at % top) + 5 * step));
    ck_assert(!filter_may_match((uintptr_t)(at % top) + step, UINTPTR_MAX - NT_PAGE_SIZE));
    ck_assert(!filter_may_match(NT_PAGE_SIZE, (uintptr_t)(at % top)));
    filter_remove((uintptr_t)(at % top), (uintptr_t)(at % top) + size);
    ck_assert(!filter_may_match(NT_PAGE_SIZE, UINTPTR_MAX - NT_PAGE_SIZE));
#ifdef __LP64__
    ck_assert_int_eq(filter_add((UINT64_C(1) << 47) - NT_PAGE_SIZE, (UINT64_C(1) << 47) + NT_PAGE_SIZE),
                     -ENOMEM);
    ck_assert(!filter_may_match(NT_PAGE_SIZE, UINTPTR_MAX - NT_PAGE_SIZE));
#endif
}
END_TEST

/* Watches begin and end in pieces of any size, whole blocks of 4 GB included; a map holds what must match. */
START_TEST(what_is_near_is_counted_whatever_the_pieces)
{
#ifdef __LP64__
    enum { UNITS = 4 * 4096 }; /* of 1 MB: half of what one counter is for */
    const uintptr_t unit = 1 << 20, base = UINT64_C(7) << 32;
    static bool watched[UNITS];
    uint64_t seed = 1;

    for (int round = 0; round < 400; round++) {
        size_t from = random_below(&seed, 5) ? random_below(&seed, UNITS) : random_below(&seed, 4) * 4096;
        size_t to =
            random_below(&seed, 5) ? random_below(&seed, UNITS) + 1 : random_below(&seed, 4) * 4096 + 4096;
        bool begin = random_below(&seed, 2);
        int nr_wrong = 0;

        for (size_t next; from < to; from = next) {
            for (next = from + 1; next < to && watched[next] == watched[from]; next++) {
                ;
            }
            if (watched[from] != begin && begin) {
                ck_assert_int_eq(filter_add(base + from * unit, base + next * unit), 0);
            } else if (watched[from] != begin) {
                filter_remove(base + from * unit, base + next * unit);
            }
            memset(watched + from, begin, next - from);
        }
        for (size_t i = 0; i < UNITS; i += 2) {
            nr_wrong +=
                filter_may_match(base + i * unit, base + i * unit + 1) != (watched[i] || watched[i + 1]);
        }
        ck_assert_msg(!nr_wrong, "round %d: %d wrong", round, nr_wrong);
    }
#else
    printf("SKIP %s: there are no blocks of 4 GB in 32 bits\n", __func__);
#endif
}
END_TEST

/* Watches of a whole block of 4 GB that end in pieces, more of them than 15 bits count. The filter then
 * neither misses watched memory nor matches memory that is not watched. */
START_TEST(rounds_that_end_in_pieces_leave_nothing)
{
#ifdef __LP64__
    const uintptr_t size = UINT64_C(1) << 32, base = UINT64_C(9) << 32;

    for (int round = 0; round < 34000; round++) {
        ck_assert_int_eq(filter_add(base, base + size), 0);
        ck_assert_msg(filter_may_match(base + GRANULE, base + 2 * GRANULE), "round %d: missed", round);
        filter_remove(base, base + GRANULE);
        filter_remove(base + GRANULE, base + size);
        ck_assert_msg(!filter_may_match(base, base + GRANULE), "round %d: a match of nothing", round);
    }
#else
    printf("SKIP %s: there are no blocks of 4 GB in 32 bits\n", __func__);
#endif
}
END_TEST

void add_filter_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, watches_that_end_leave_nothing_near, 0, 3);
    tcase_add_loop_test(tcase, a_second_watch_nearby_stays_known, 0, 3);
    tcase_add_loop_test(tcase, a_watch_in_place_of_another_counts_once, 0, 3);
    tcase_add_test(tcase, the_counters_say_how_much_is_watched);
    tcase_add_test(tcase, failures_keep_what_is_near);
    tcase_add_test(tcase, distant_addresses_are_not_near);
    tcase_add_test(tcase, what_is_near_is_counted_whatever_the_pieces);
    tcase_add_test(tcase, rounds_that_end_in_pieces_leave_nothing);
}
