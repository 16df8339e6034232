/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract, hand-over: what happens when the backend in use breaks while it works. A program closes
 * descriptors that it does not know, or uses their numbers for files of its own, or a sandbox denies system
 * calls from some moment on. No write may be missed then. A backend that can be repaired is exact again; any
 * other may report more. No test looks at a backend's name: a breakage that does not concern the backend must
 * change nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "contract.h"
#include "kernel/uapi.h"

#define MAX_FDS 64
#define NR_REGIONS 3
#define NR_PAGES 8

/* ---- descriptors ---- */

/* The descriptors that opening a context has added. */
static int own_fds[MAX_FDS];
static size_t nr_own_fds;

static void list_fds(bool *ret_open)
{
    memset(ret_open, 0, MAX_FDS * sizeof(*ret_open));
    for (int fd = 0; fd < MAX_FDS; fd++) {
        ret_open[fd] = fcntl(fd, F_GETFD) >= 0;
    }
}

/* Opens the context again, by name or by ww_open()'s choice, and lists the descriptors that it keeps. False:
 * the choice is not the backend under test. */
static bool reopen(bool named)
{
    bool before[MAX_FDS], after[MAX_FDS];

    if (!named && backend != &backends[0]) {
        return false;
    }
    ww_close(ctx);
    list_fds(before);
    unsetenv("WW_BACKEND");
    ck_assert_int_eq(ww_open(&ctx, named ? backend->name : NULL), 0);
    list_fds(after);
    nr_own_fds = 0;
    for (int fd = 0; fd < MAX_FDS; fd++) {
        if (after[fd] && !before[fd]) {
            own_fds[nr_own_fds++] = fd;
        }
    }
    return true;
}

/* A file whose descriptor replaces the context's. The library must neither write to it nor close it. */
static int other_file = -1;
static struct stat other_stat;

static void open_other_file(void)
{
    int fd = memfd_create("other", MFD_CLOEXEC);

    /* A number above MAX_FDS, so that list_fds() does not see it. */
    other_file = fcntl(fd, F_DUPFD_CLOEXEC, MAX_FDS);
    ck_assert_int_ge(other_file, 0);
    close(fd);
    ck_assert_int_eq(fstat(other_file, &other_stat), 0);
}

static void check_other_file(int fd)
{
    struct stat now;

    ck_assert_msg(!fstat(fd, &now), "descriptor %d of another file was closed", fd);
    ck_assert_msg(now.st_ino == other_stat.st_ino && now.st_dev == other_stat.st_dev,
                  "descriptor %d is another file now", fd);
    ck_assert_msg(now.st_size == 0, "something was written to another file");
}

/* ---- breakages ---- */

static void close_one(int which)
{
    if ((size_t)which < nr_own_fds) {
        close(own_fds[which]);
    }
}

static void close_all(int arg)
{
    (void)arg;
    for (size_t i = 0; i < nr_own_fds; i++) {
        close(own_fds[i]);
    }
}

static void replace_all(int arg)
{
    (void)arg;
    for (size_t i = 0; i < nr_own_fds; i++) {
        ck_assert_int_eq(dup2(other_file, own_fds[i]), own_fds[i]);
    }
}

static void deny_scan(int error)
{
    deny(SYS_ioctl, (unsigned int)PAGEMAP_SCAN, error);
}

static void deny_userfaultfd(int error)
{
    deny(SYS_userfaultfd, 0, error);
    close_all(0);
}

static const struct {
    const char *name;
    void (*apply)(int arg);
    int arg;
    bool can_be_repaired;
    bool replaces;
} breakages[] = {
    { "the first descriptor closed", close_one, 0, true, false },
    { "the second descriptor closed", close_one, 1, true, false },
    { "all descriptors closed", close_all, 0, true, false },
    { "all descriptors are another file", replace_all, 0, true, true },
    { "PAGEMAP_SCAN is no ioctl", deny_scan, ENOTTY, false, false },
    { "PAGEMAP_SCAN is denied", deny_scan, EPERM, false, false },
    { "ioctl is no system call", deny_scan, ENOSYS, false, false },
    { "closed, and userfaultfd is denied", deny_userfaultfd, EPERM, false, false },
};
#define NR_BREAKAGES (sizeof(breakages) / sizeof(breakages[0]))

/* ---- a scene of a few regions ---- */

static char *scene;                            /* regions that touch */
static char written[NR_REGIONS][NR_PAGES + 1]; /* since they were last reset */

static char *region_of(size_t index)
{
    return scene + index * NR_PAGES * page_size();
}

static void write_region(size_t index, const char *map)
{
    write_map(region_of(index), map);
    for (size_t i = 0; i < NR_PAGES; i++) {
        written[index][i] = map[i] == '#' ? '#' : written[index][i];
    }
}

/* Region 0 has latched pages, all pages of region 1 exist and were reported before, and region 2 is new. */
static void make_scene(void)
{
    size_t page = page_size();

    scene = map_pages(NR_REGIONS * NR_PAGES);
    memset(written, '.', sizeof(written));
    for (size_t i = 0; i < NR_REGIONS; i++) {
        ck_assert_int_eq(ww_watch(ctx, region_of(i), NR_PAGES * page, WW_WATCH_FRESH), 0);
    }
    write_region(0, "##......");
    ck_assert_int_eq(ww_latch(ctx, region_of(0), NR_PAGES * page), 0);
    memset(region_of(1), 1, NR_PAGES * page);
    reset_pages(region_of(1), NR_PAGES);
    for (size_t i = 0; i < NR_REGIONS; i++) {
        write_region(i, "..#..#..");
    }
}

/* Gets a region: every page that was written must be reported; others may be. */
static void harvest_region(size_t index, unsigned int flags)
{
    char *map = written[index], copy[NR_PAGES + 1] = "";
    void *pages[NR_PAGES];
    ssize_t nr = ww_get_pages(ctx, region_of(index), NR_PAGES * page_size(), flags, pages, NR_PAGES);

    ck_assert_int_ge(nr, 0);
    for (size_t i = 0; i < NR_PAGES; i++) {
        copy[i] = map[i] == '#' ? '#' : '?';
    }
    take_pages(ctx, region_of(index), copy, NR_PAGES, pages, nr, NR_PAGES);
    for (size_t i = 0; i < NR_PAGES; i++) {
        ck_assert_msg(copy[i] != '#', "page %zu of region %zu is missing", i, index);
    }
    if (flags & WW_GET_RESET) {
        memset(map, '.', NR_PAGES);
    }
}

/* Whether a get reports exactly the pages in @map. None of them may be missing. */
static bool shows(const char *base, const char *map)
{
    size_t page = page_size(), nr = strlen(map);
    void *pages[NR_PAGES];
    ssize_t found = ww_get_pages(ctx, base, nr * page, 0, pages, NR_PAGES);

    ck_assert_int_ge(found, 0);
    for (size_t i = 0, at = 0; i < nr; i++) {
        bool reported = at < (size_t)found && pages[at] == base + i * page;

        at += reported;
        ck_assert_msg(reported || map[i] != '#', "page %zu is missing", i);
        if (reported && map[i] != '#') {
            return false;
        }
    }
    return true;
}

static const char *const maps[NR_REGIONS] = { "#......#", "...##...", "########" };

static bool scene_is_exact(void)
{
    for (size_t i = 0; i < NR_REGIONS; i++) {
        harvest_region(i, WW_GET_RESET);
        if (!shows(region_of(i), "........")) {
            return false;
        }
        write_region(i, maps[i]);
        if (!shows(region_of(i), maps[i])) {
            return false;
        }
        harvest_region(i, WW_GET_RESET);
        if (!shows(region_of(i), "........")) {
            return false;
        }
    }
    return true;
}

/* A backend may notice a breakage at any later time, and report more then. So this tries again after a while
 * if an answer is not exact. */
static void wait_until_exact(bool (*is_so)(void))
{
    for (int tries = 0; !is_so(); tries++) {
        ck_assert_msg(tries < 10, "%s is not exact again", ww_backend_name(ctx));
        usleep(300000);
    }
}

static void check_scene(bool exact_again)
{
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < NR_REGIONS; i++) {
            write_region(i, maps[(i + round) % NR_REGIONS]);
            harvest_region(i, 0);
            harvest_region(i, WW_GET_RESET);
        }
    }
    if (!exact_again) {
        return;
    }
    ck_assert_msg(is_exact(ctx), "%s is not exact any more", ww_backend_name(ctx));
    wait_until_exact(scene_is_exact);
}

/* ---- the first call after the breakage ---- */

static void meet_get(void)
{
    harvest_region(1, 0);
}

/* Must not lose what was written in the rest of the region. */
static void meet_get_of_a_part(void)
{
    ck_assert_int_ge(ww_count(ctx, region_of(1) + page_size(), page_size()), 0);
}

static void meet_get_and_reset(void)
{
    harvest_region(1, WW_GET_RESET);
}

static void meet_latch(void)
{
    ck_assert_int_eq(ww_latch(ctx, region_of(1), NR_PAGES * page_size()), 0);
}

/* May leave pages reported, and must lose none that are written later. */
static void meet_reset(void)
{
    ck_assert_int_eq(ww_reset(ctx, region_of(1), NR_PAGES * page_size()), 0);
    memset(written[1], '.', NR_PAGES);
}

static void meet_discard(void)
{
    size_t page = page_size();

    ck_assert_int_eq(madvise(region_of(1), 4 * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, region_of(1), 4 * page), 0);
    memset(written[1], '.', 4);
    remap_pages(region_of(2) + 2 * page, 2);
    ck_assert_int_eq(ww_discard(ctx, region_of(2) + 2 * page, 2 * page), 0);
    memset(written[2] + 2, '.', 2);
}

static void meet_watch(void)
{
    char *base = watch_pages(4);
    void *pages[4];

    write_map(base, ".##.");
    ck_assert_int_ge(ww_get_pages(ctx, base, 4 * page_size(), WW_GET_RESET, pages, 4), 2);
    write_map(base, "#...");
    ck_assert_int_eq(ww_count(ctx, base, page_size()), 1);
    ck_assert_int_eq(ww_unwatch(ctx, base, 4 * page_size()), 0);
}

static void meet_unwatch(void)
{
    size_t page = page_size();

    ck_assert_int_eq(ww_unwatch(ctx, region_of(1) + 2 * page, 4 * page), 0);
    ck_assert_int_eq(ww_count(ctx, region_of(1) + 2 * page, page), -ENOENT);
    /* Makes it one region again, as make_scene() did. */
    ck_assert_int_eq(ww_unwatch(ctx, region_of(1), NR_PAGES * page), 0);
    ck_assert_int_eq(ww_watch(ctx, region_of(1), NR_PAGES * page, 0), 0);
    memset(written[1], '.', NR_PAGES);
}

static void meet_protect(void)
{
    size_t len = NR_PAGES * page_size();

    ck_assert_int_eq(ww_protect(ctx, region_of(1), len, PROT_READ), 0);
    harvest_region(1, 0);
    ck_assert_int_eq(ww_protect(ctx, region_of(1), len, PROT_READ | PROT_WRITE), 0);
}

static void meet_nothing(void)
{
}

static void (*const meetings[])(void) = {
    meet_get,     meet_get_of_a_part, meet_get_and_reset, meet_latch,   meet_reset,
    meet_discard, meet_watch,         meet_unwatch,       meet_protect, meet_nothing,
};
#define NR_MEETINGS (sizeof(meetings) / sizeof(meetings[0]))

START_TEST(a_breakage_loses_no_write)
{
    size_t at = _i / 2, breakage = at / NR_MEETINGS, meeting = at % NR_MEETINGS;
    bool was_exact = is_exact(ctx);

    open_other_file();
    if (!reopen(_i % 2)) {
        return;
    }
    make_scene();
    breakages[breakage].apply(breakages[breakage].arg);
    for (size_t i = 0; i < NR_REGIONS; i++) {
        write_region(i, "...#...#");
    }
    meetings[meeting]();
    check_scene(breakages[breakage].can_be_repaired && was_exact);
    ww_close(ctx);
    for (size_t i = 0; breakages[breakage].replaces && i < nr_own_fds; i++) {
        check_other_file(own_fds[i]);
    }
    check_other_file(other_file);
    ctx = NULL;
}
END_TEST

/* ww_close() is the first call after the breakage. */
START_TEST(a_broken_context_can_be_closed)
{
    bool before[MAX_FDS], after[MAX_FDS];

    open_other_file();
    list_fds(before);
    if (!reopen(true)) {
        return;
    }
    make_scene();
    breakages[_i].apply(breakages[_i].arg);
    ww_close(ctx);
    list_fds(after);
    for (size_t i = 0; i < nr_own_fds; i++) {
        if (breakages[_i].replaces) {
            check_other_file(own_fds[i]);
        } else {
            ck_assert_msg(!after[own_fds[i]], "descriptor %d stays open", own_fds[i]);
        }
    }
    memset(scene, 2, NR_REGIONS * NR_PAGES * page_size());
    ctx = NULL;
}
END_TEST

#define NR_MANY 300

static char *many;

static char *one_of_many(size_t i)
{
    return many + 4 * i * page_size();
}

static bool many_are_exact(void)
{
    void *pages[4];
    bool exact = true;

    for (size_t i = 0; i < NR_MANY; i++) {
        ck_assert_int_ge(ww_get_pages(ctx, one_of_many(i), 4 * page_size(), WW_GET_RESET, pages, 4), 0);
        write_map(one_of_many(i), "#...");
    }
    for (size_t i = 0; i < NR_MANY; i++) {
        exact = shows(one_of_many(i), "#...") && exact;
    }
    return exact;
}

START_TEST(many_regions_are_handed_over)
{
    size_t page = page_size();
    bool was_exact = is_exact(ctx);
    void *pages[4];

    open_other_file();
    reopen(true);
    many = map_pages(4 * NR_MANY);
    for (size_t i = 0; i < NR_MANY; i++) {
        ck_assert_int_eq(ww_watch(ctx, one_of_many(i), 4 * page, WW_WATCH_FRESH), 0);
        write_map(one_of_many(i), ".#..");
    }
    breakages[_i].apply(breakages[_i].arg);
    for (size_t i = 0; i < NR_MANY; i++) {
        char *region = one_of_many(i * 77 % NR_MANY);

        write_map(region, "...#");
        ck_assert_int_ge(ww_get_pages(ctx, region, 4 * page, WW_GET_RESET, pages, 4), 2);
        ck_assert_int_ge(ww_get_pages(ctx, region, 4 * page, WW_GET_RESET, pages, 4), 0);
        write_map(region, "#...");
    }
    for (size_t i = 0; i < NR_MANY; i++) {
        expect_map(ctx, one_of_many(i), "#???");
    }
    if (breakages[_i].can_be_repaired && was_exact) {
        wait_until_exact(many_are_exact);
    }
    for (size_t i = 0; i < NR_MANY; i++) {
        ck_assert_int_eq(ww_unwatch(ctx, one_of_many(i), 4 * page), 0);
    }
}
END_TEST

/* ---- again and again, with a thread that writes ---- */

#define NR_COUNTERS 256

static struct {
    char *base;
    atomic_bool stop;
    atomic_ulong nr_writes;
    uint64_t image[NR_COUNTERS];
} race;

static _Atomic uint64_t *counter_of(size_t page)
{
    return (_Atomic uint64_t *)(race.base + page * page_size());
}

static void *count_up(void *arg)
{
    uint64_t random = 5;

    (void)arg;
    while (!atomic_load(&race.stop)) {
        atomic_fetch_add(counter_of(random_below(&random, NR_COUNTERS)), 1);
        atomic_fetch_add(&race.nr_writes, 1);
    }
    return NULL;
}

static void copy_what_is_reported(void)
{
    size_t page = page_size();
    void *pages[NR_COUNTERS];
    ssize_t nr = ww_get_pages(ctx, race.base, NR_COUNTERS * page, WW_GET_RESET, pages, NR_COUNTERS);

    ck_assert_int_ge(nr, 0);
    for (ssize_t i = 0; i < nr; i++) {
        size_t at = ((char *)pages[i] - race.base) / page;

        race.image[at] = atomic_load(counter_of(at));
    }
}

/* Breaks the backend more often than the library tries to repair it, so that it gives up in the end.
 * Linux 6.12.117 hangs for ever if a userfaultfd is closed at the moment at which a thread on the same
 * processor faults in its memory: the fault is tried again and again, and never lets the thread continue that
 * closes it. */
START_TEST(breakages_with_a_writer_lose_nothing)
{
    pthread_t writer;

    NEEDS(WW_CAP_ATOMIC_RESET);
    if (use_all_processors() < 2) {
        printf("SKIP %s on %s: with one processor, a kernel may hang\n", __func__, backend->name);
        return;
    }
    open_other_file();
    reopen(true);
    race.base = watch_pages(NR_COUNTERS);
    ck_assert_int_eq(pthread_create(&writer, NULL, count_up, NULL), 0);
    for (int round = 0; round < 200; round++) {
        if (round % 16 == 15 && (breakages[_i].can_be_repaired || round == 79)) {
            breakages[_i].apply(breakages[_i].arg);
        }
        copy_what_is_reported();
        while (atomic_load(&race.nr_writes) < 100ul * round) {
            usleep(10);
        }
    }
    atomic_store(&race.stop, true);
    pthread_join(writer, NULL);
    copy_what_is_reported();
    for (size_t i = 0; i < NR_COUNTERS; i++) {
        ck_assert_msg(race.image[i] == *counter_of(i), "page %zu holds %lu, the last answer saw %lu", i,
                      (unsigned long)*counter_of(i), (unsigned long)race.image[i]);
    }
}
END_TEST

/* ---- no descriptor is free ---- */

/* While no descriptor is free, the backend cannot be repaired: no write is lost, and it is repaired later. */
START_TEST(a_lack_of_descriptors_passes)
{
    struct rlimit limit, low;
    bool was_exact = is_exact(ctx);

    open_other_file();
    reopen(true);
    make_scene();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
    close_all(0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < NR_REGIONS; i++) {
            write_region(i, round % 2 ? "#..#...." : ".....##.");
            harvest_region(i, WW_GET_RESET);
        }
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_scene(was_exact);
}
END_TEST

/* ---- which backend takes over ---- */

/* The best backend that works now and keeps what a program could rely on: system calls can write into watched
 * memory, and the program may change protections itself. */
static const char *best_successor(uint32_t caps)
{
    static struct ww_probe probes[MAX_BACKENDS];
    uint32_t required = WW_CAP_ATOMIC_RESET | (caps & WW_CAP_KERNEL_WRITES);
    uint32_t avoided = ~caps & WW_CAP_OWNS_PROT;
    ssize_t nr = ww_probe(probes, MAX_BACKENDS);

    for (ssize_t i = 0; i < nr; i++) {
        if (!probes[i].error && (probes[i].caps & required) == required && !(probes[i].caps & avoided)) {
            return probes[i].name;
        }
    }
    return "none";
}

/* It may take over only in a later call, because a backend that needs threads waits until they are
 * started. */
START_TEST(the_best_backend_that_is_left_takes_over)
{
    uint32_t caps = ww_backend_caps(ctx);
    char *base;

    if (!reopen(false)) {
        return;
    }
    base = watch_pages(NR_PAGES);
    deny_scan(EPERM);
    for (int i = 0; i < 3; i++) {
        write_map(base, "..#....#");
        expect_map(ctx, base, "??#????#");
    }
    ck_assert_str_eq(ww_backend_name(ctx), best_successor(caps));
}
END_TEST

void add_handover_cases(Suite *suite)
{
    TCase *tcase = new_case(suite, "handover");

    tcase_add_loop_test(tcase, a_breakage_loses_no_write, 0, 2 * NR_BREAKAGES * NR_MEETINGS);
    tcase_add_loop_test(tcase, a_broken_context_can_be_closed, 0, NR_BREAKAGES);
    tcase_add_loop_test(tcase, many_regions_are_handed_over, 0, NR_BREAKAGES);
    tcase_add_loop_test(tcase, breakages_with_a_writer_lose_nothing, 0, NR_BREAKAGES);
    tcase_add_test(tcase, a_lack_of_descriptors_passes);
    tcase_add_test(tcase, the_best_backend_that_is_left_takes_over);
}
