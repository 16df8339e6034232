/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is the uffd-sync backend's own: its handler thread. Faults that come
 * together are answered together; nobody hangs when the handler is stopped,
 * denied its calls, robbed of its descriptor or closed in the middle; and it may
 * be that the library's own heap is watched. Linked with the engine, to see
 * how many ioctls it took.
 *
 * The handler is held still by ptrace from a child, which a sandbox may forbid.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <dirent.h>

#include "uffd_sync.h"
#include "util.h"

#define NR_THREADS 32
#define SYNC "uffd-sync"

static struct ww_context *ctx;

static struct ww_sync *sync_of(void)
{
    return atomic_load(&ctx->tracker)->priv;
}

static bool has_cap(uint32_t cap)
{
    return ww_backend_caps(ctx) & cap;
}

static void open_context(void)
{
    /* What hangs is a failure. */
    alarm(120);
    ck_assert_int_eq(ww_open(&ctx, SYNC), 0);
}

static void close_context(void)
{
    ww_close(ctx);
}

static char *watch_pages(size_t nr)
{
    char *base = map_pages(nr);

    ck_assert_int_eq(ww_watch(ctx, base, nr * page_size(), WW_WATCH_FRESH), 0);
    return base;
}

/* ---- a handler that is held still ---- */

/* The thread id of the handler: the only thread by this name. */
static pid_t find_handler(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    pid_t tid = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir))) {
        char path[300], name[32] = "";
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file && fgets(name, sizeof(name), file) && !strcmp(name, "writewatch\n")) {
            tid = atoi(entry->d_name);
        }
        if (file) {
            fclose(file);
        }
    }
    closedir(dir);
    return tid;
}

struct freezer {
    pid_t child;
    int to_child, from_child;
};

/* In the child: stops the thread until a byte comes, or the parent is gone. Never returns. */
static void freeze(pid_t tid, int in, int out)
{
    char byte = 'n';
    int status;

    if (!ptrace(PTRACE_SEIZE, tid, 0, 0) && !ptrace(PTRACE_INTERRUPT, tid, 0, 0) &&
        waitpid(tid, &status, __WALL) == tid) {
        byte = 'y';
    }
    if (write(out, &byte, 1) == 1 && read(in, &byte, 1) >= 0) {
        ptrace(PTRACE_DETACH, tid, 0, 0);
    }
    _exit(0);
}

/* False, with the reason printed, where one may not trace. */
static bool hold_handler(struct freezer *freezer)
{
    int down[2], up[2];
    pid_t tid = find_handler();
    char answer = 'n';

    ck_assert_int_gt(tid, 0);
    /* It sleeps by then, in the middle of nothing. */
    usleep(20000);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    ck_assert_int_eq(pipe(down) | pipe(up), 0);
    freezer->child = fork();
    if (!freezer->child) {
        close(down[1]);
        close(up[0]);
        freeze(tid, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    freezer->to_child = down[1];
    freezer->from_child = up[0];
    ck_assert_int_eq(read(up[0], &answer, 1), 1);
    if (answer != 'y') {
        printf("SKIP: the handler cannot be traced here\n");
        waitpid(freezer->child, NULL, 0);
    }
    return answer == 'y';
}

static void let_handler_go(const struct freezer *freezer)
{
    int status;

    close(freezer->to_child);
    ck_assert_int_eq(waitpid(freezer->child, &status, 0), freezer->child);
    close(freezer->from_child);
}

/* ---- threads that fault ---- */

struct writer {
    pthread_t thread;
    char *addr;
    bool reads;
    atomic_int tid; /* 0 until it is about to fault */
    atomic_bool done;
};

static void *touch(void *arg)
{
    struct writer *writer = arg;

    atomic_store(&writer->tid, gettid());
    if (writer->reads) {
        (void)*(volatile char *)writer->addr;
    } else {
        *(volatile char *)writer->addr = 1;
    }
    atomic_store(&writer->done, true);
    return NULL;
}

static void start_writers(struct writer *writers, size_t nr, char *base)
{
    for (size_t i = 0; i < nr; i++) {
        writers[i].addr = base + i * page_size();
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, touch, &writers[i]), 0);
    }
}

static void join_writers(struct writer *writers, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        pthread_join(writers[i].thread, NULL);
        ck_assert(atomic_load(&writers[i].done));
    }
}

/* Whether the thread sleeps, by the letter behind its name. */
static bool sleeps(pid_t tid)
{
    char path[64], line[256] = "";
    const char *state;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    file = fopen(path, "r");
    ck_assert(file && fgets(line, sizeof(line), file));
    fclose(file);
    state = strrchr(line, ')');
    return state && (state[2] == 'S' || state[2] == 'D');
}

/* Until every thread waits; there is nothing but its fault that it could wait for. */
static void wait_for_faults(struct writer *writers, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        while (!atomic_load(&writers[i].tid) || !sleeps(atomic_load(&writers[i].tid))) {
            usleep(1000);
            ck_assert_msg(!atomic_load(&writers[i].done), "thread %zu did not have to wait", i);
        }
    }
}

/* 32 neighbours in one call: missing pages, pages that are protected, and missing ones that are read. */
START_TEST(faults_that_wait_together_are_answered_together)
{
    static struct writer writers[NR_THREADS];
    unsigned long messages, resolved;
    char *base = watch_pages(NR_THREADS);
    struct freezer freezer;

    if (_i == 1) {
        for (size_t i = 0; i < NR_THREADS; i++) {
            write_page(base, i, 1);
        }
        ck_assert_int_eq(ww_reset(ctx, base, NR_THREADS * page_size()), 0);
    }
    if (!hold_handler(&freezer)) {
        return;
    }
    messages = atomic_load(&sync_of()->nr_messages);
    resolved = atomic_load(&sync_of()->nr_resolved);
    for (size_t i = 0; i < NR_THREADS; i++) {
        writers[i].reads = _i == 2;
    }
    start_writers(writers, NR_THREADS, base);
    wait_for_faults(writers, NR_THREADS);
    let_handler_go(&freezer);
    join_writers(writers, NR_THREADS);
    ck_assert_uint_eq(atomic_load(&sync_of()->nr_messages) - messages, NR_THREADS);
    ck_assert_uint_eq(atomic_load(&sync_of()->nr_resolved) - resolved, 1);
    ck_assert_int_eq(ww_count(ctx, base, NR_THREADS * page_size()), _i == 2 ? 0 : NR_THREADS);
}
END_TEST

/* One page, wanted by all in both ways, is written once. */
START_TEST(many_wait_for_one_page)
{
    static struct writer writers[NR_THREADS];
    char *base = watch_pages(4);
    struct freezer freezer;

    if (!hold_handler(&freezer)) {
        return;
    }
    for (size_t i = 0; i < NR_THREADS; i++) {
        writers[i].reads = i % 2;
        writers[i].addr = base + page_size() + i;
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, touch, &writers[i]), 0);
    }
    wait_for_faults(writers, NR_THREADS);
    let_handler_go(&freezer);
    join_writers(writers, NR_THREADS);
    expect_map(ctx, base, ".#..");
    for (size_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(base[page_size() + i], i % 2 ? 0 : 1);
    }
}
END_TEST

/* The handler is no help here: unwatching must let them go. */
START_TEST(unwatching_lets_waiters_go)
{
    static struct writer writers[NR_THREADS];
    char *base = watch_pages(NR_THREADS);
    struct freezer freezer;

    for (size_t i = 0; i < NR_THREADS; i += 2) {
        write_page(base, i, 5);
    }
    ck_assert_int_eq(ww_reset(ctx, base, NR_THREADS * page_size()), 0);
    if (!hold_handler(&freezer)) {
        return;
    }
    start_writers(writers, NR_THREADS, base);
    wait_for_faults(writers, NR_THREADS);
    ck_assert_int_eq(ww_unwatch(ctx, base, NR_THREADS * page_size()), 0);
    join_writers(writers, NR_THREADS);
    let_handler_go(&freezer);
    for (size_t i = 0; i < NR_THREADS; i++) {
        ck_assert_int_eq(base[i * page_size()], 1);
    }
}
END_TEST

/* A stuck handler is an error in seconds: its waiters go on, and everything counts as written. */
START_TEST(a_stuck_handler_is_replaced)
{
    static struct writer writers[4];
    struct ww_tracker *tracker = atomic_load(&ctx->tracker);
    char *base = watch_pages(8);
    struct freezer freezer;

    write_map(base, "########");
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    if (!hold_handler(&freezer)) {
        return;
    }
    start_writers(writers, 4, base);
    wait_for_faults(writers, 4);
    ck_assert_int_eq(tracker->backend->check(tracker), -EIO);
    join_writers(writers, 4);
    /* Nobody tracks it now, and nobody may say that nothing was written. */
    write_map(base, "......#.");
    expect_map(ctx, base, "########");
    ck_assert(atomic_load(&ctx->tracker) != tracker);
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    write_map(base, "..#....#");
    expect_map(ctx, base, "..#....#");
    let_handler_go(&freezer);
    write_map(base, "#.......");
    expect_map(ctx, base, "#.#....#");
}
END_TEST

/* ---- shutdown ---- */

static atomic_bool stop_writing;

static void *keep_writing(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    for (char value = 0; !atomic_load(&stop_writing); value++) {
        write_page(arg, random_below(&random, 256), value);
    }
    return NULL;
}

/* The end of a watch, and of a context, in the middle of faults. */
START_TEST(a_watch_ends_with_faults_in_flight)
{
    char *base = map_pages(256);
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_writing, base), 0);
    }
    for (int round = 0; round < 100; round++) {
        ck_assert_int_eq(ww_watch(ctx, base, 256 * page_size(), 0), 0);
        while (ww_count(ctx, base, 256 * page_size()) < 5) {
            ;
        }
        ck_assert_int_ge(ww_reset(ctx, base, 256 * page_size()), 0);
        if (round % 2) {
            ck_assert_int_eq(ww_unwatch(ctx, base, 256 * page_size()), 0);
        } else {
            ww_close(ctx);
            ck_assert_int_eq(ww_open(&ctx, SYNC), 0);
        }
    }
    atomic_store(&stop_writing, true);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}
END_TEST

/* A child has no handler, and closes its copy whatever the parent's handler was doing at the fork. */
START_TEST(a_child_closes_what_was_at_work)
{
    char *base = watch_pages(8);
    int status;
    pid_t pid;

    write_map(base, "#...");
    ck_assert_int_eq(ww_unwatch(ctx, base + 4 * page_size(), page_size()), 0);
    pid = fork();
    if (!pid) {
        alarm(20);
        pthread_mutex_lock(&sync_of()->table_lock);
        atomic_store(&sync_of()->batches, 7);
        ww_close(ctx);
        write_map(base, "########");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    expect_map(ctx, base, "#...");
}
END_TEST

/* ---- what others do to us ---- */

/* A program that closes all descriptors, and then has files of its own by their numbers. */
START_TEST(a_closed_descriptor_loses_no_write)
{
    int fd = sync_of()->uffd, pipe_fds[2];
    char *base = watch_pages(8), text[8] = "";

    write_map(base, "##......");
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert_int_eq(close(fd), 0);
    if (_i) {
        ck_assert_int_eq(dup2(pipe_fds[0], fd), fd);
        ck_assert_int_eq(write(pipe_fds[1], "theirs", 6), 6);
    }
    write_map(base, "#...#...");
    expect_map(ctx, base, "########");
    if (_i) {
        ck_assert_int_eq(read(pipe_fds[0], text, sizeof(text)), 6);
        ck_assert_str_eq(text, "theirs");
    }
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    write_map(base, ".#...#..");
    expect_map(ctx, base, ".#...#..");
}
END_TEST

/* Denies every ioctl of userfaultfd, to all threads. */
static int deny_ioctls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UFFDIO << 8, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        return -errno;
    }
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ? -errno : 0;
}

/* A sandbox that closes behind us: the store goes on, and is not denied afterwards. */
START_TEST(a_later_sandbox_hangs_nobody)
{
    char *base = watch_pages(8);

    write_map(base, "####....");
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page_size()), 0);
    if (deny_ioctls()) {
        printf("SKIP %s: the kernel takes no filter\n", __func__);
        return;
    }
    write_page(base, _i ? 6 : 2, 1);
    expect_map(ctx, base, "########");
}
END_TEST

/* More borders than are looked for one by one, and one page that was replaced among them. */
START_TEST(a_replaced_page_is_found_among_many_mappings)
{
    size_t nr = 2000, page = page_size();
    char *base = watch_pages(nr), *map = malloc(nr);

    if (!has_cap(WW_CAP_LOST_DETECTED)) {
        printf("SKIP %s: it lacks WW_CAP_LOST_DETECTED\n", __func__);
        return;
    }
    for (size_t i = 0; i < nr; i += 2) {
        ck_assert_int_eq(mprotect(base + i * page, page, PROT_READ), 0);
    }
    memset(map, '.', nr);
    expect_map_len(ctx, base, map, nr);
    write_page(base, 7, 1);
    write_page(base, 1601, 1);
    map[7] = map[1601] = '#';
    expect_map_len(ctx, base, map, nr);
    remap_pages(base + 1203 * page, 1);
    write_page(base, 1203, 1);
    map[1203] = '#';
    expect_map_len(ctx, base, map, nr);
    ck_assert_int_eq(ww_reset(ctx, base, nr * page), 0);
    memset(map, '.', nr);
    expect_map_len(ctx, base, map, nr);
    write_page(base, 1203, 2);
    map[1203] = '#';
    expect_map_len(ctx, base, map, nr);
}
END_TEST

/* ---- what the kernel does for system calls ---- */

/* In a child, as a user for whom the kernel's own faults are not answered. */
static void as_a_user(void)
{
    int pipe_fds[2];
    char *base, byte;

    ww_close(ctx);
    if (geteuid() == 0) {
        ck_assert_int_eq(setresgid(65534, 65534, 65534) | setresuid(65534, 65534, 65534), 0);
    }
    ck_assert_int_eq(ww_open(&ctx, SYNC), 0);
    if (!sync_of()->user_mode_only) {
        printf("SKIP user mode only: vm.unprivileged_userfaultfd or /dev/userfaultfd grants more\n");
        return;
    }
    ck_assert(!has_cap(WW_CAP_KERNEL_WRITES) && !has_cap(WW_CAP_FREE_ARMING) && !has_cap(WW_CAP_FILL));
    ck_assert(has_cap(WW_CAP_ATOMIC_RESET) && has_cap(WW_CAP_EXACT));
    base = watch_pages(4);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    /* Out of holes it reads, into clean pages it cannot write, into dirty ones it can. */
    ck_assert_int_eq(write(pipe_fds[1], base, 4 * page_size()), 4 * page_size());
    ck_assert_int_eq(read(pipe_fds[0], base, 1), -1);
    ck_assert_int_eq(errno, EFAULT);
    expect_map(ctx, base, "....");
    write_map(base, "#...");
    ck_assert_int_eq(read(pipe_fds[0], base, 1), 1);
    ck_assert_int_eq(read(pipe_fds[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 0);
    /* The same for pages that were dropped. */
    ck_assert_int_eq(madvise(base, 4 * page_size(), MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base, 4 * page_size()), 0);
    ck_assert_int_eq(write(pipe_fds[1], base, 4 * page_size()), 4 * page_size());
    expect_map(ctx, base, "....");
}

START_TEST(without_privilege_system_calls_cannot_write)
{
    as_a_user();
}
END_TEST

START_TEST(with_privilege_system_calls_are_recorded)
{
    size_t page = page_size();
    char *base = watch_pages(8);
    int pipe_fds[2];

    if (!has_cap(WW_CAP_KERNEL_WRITES)) {
        printf("SKIP %s: it lacks WW_CAP_KERNEL_WRITES\n", __func__);
        return;
    }
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert_int_eq(write(pipe_fds[1], base, 8 * page), 8 * page);
    expect_map(ctx, base, "........");
    ck_assert_int_eq(read(pipe_fds[0], base + 3 * page - 1, page + 2), page + 2);
    expect_map(ctx, base, "..###...");
    ck_assert_int_eq(ww_reset(ctx, base, 8 * page), 0);
    ck_assert_int_eq(read(pipe_fds[0], base + 2 * page, page), page);
    expect_map(ctx, base, "..#.....");
}
END_TEST

/* Shared memory: this mapping's writes, and no other's. */
START_TEST(shared_memory_is_watched)
{
    size_t page = page_size();
    int fd = memfd_create("watched", MFD_CLOEXEC);
    char *base, *other;

    ck_assert_int_eq(ftruncate(fd, 8 * page), 0);
    base = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    other = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(base != MAP_FAILED && other != MAP_FAILED);
    if (!has_cap(WW_CAP_SHARED)) {
        ck_assert_int_eq(ww_watch(ctx, base, 8 * page, 0), -EINVAL);
        return;
    }
    write_map(base, "#.......");
    write_map(other, ".#......");
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page, 0), 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 8; i++) {
            read_page(base, i);
        }
        expect_map(ctx, base, "........");
        write_map(other, "..###...");
        expect_map(ctx, base, "........");
        write_map(base, "#.#...#.");
        expect_map(ctx, base, "#.#...#.");
        ck_assert_int_eq(madvise(base, 8 * page, MADV_DONTNEED), 0);
        if (round) {
            ck_assert_int_eq(ww_discard(ctx, base, 8 * page), 0);
            expect_map(ctx, base, "........");
        }
        ck_assert_int_eq(ww_reset(ctx, base, 8 * page), 0);
    }
    ck_assert_int_eq(read_page(other, 6), 1);
}
END_TEST

/* Neither a file on a disk nor part of it may be taken for something that is tracked. */
START_TEST(file_mappings_are_refused)
{
    size_t page = page_size();
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    char *base = map_pages(8);

    ck_assert_ptr_eq(mmap(base + 4 * page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0),
                     base + 4 * page);
    ck_assert_int_eq(ww_watch(ctx, base, 8 * page, 0), -EINVAL);
    ck_assert_int_eq(ww_watch(ctx, base, 4 * page, 0), 0);
    write_map(base, "#..#");
    expect_map(ctx, base, "#..#");
}
END_TEST

/* ---- fill ---- */

START_TEST(filled_pages_are_clean)
{
    size_t page = page_size();
    char *base = watch_pages(8), *content = malloc(8 * page);
    struct ww_tracker *tracker = atomic_load(&ctx->tracker);
    struct ww_region *region = ww_region_find(ctx, (uintptr_t)base);
    uintptr_t start = (uintptr_t)base;

    if (!has_cap(WW_CAP_FILL)) {
        ck_assert_int_eq(tracker->backend->fill(region, start, content, page), -EOPNOTSUPP);
        return;
    }
    memset(content, 9, 8 * page);
    write_map(base, ".....#..");
    ck_assert_int_eq(tracker->backend->fill(region, start, content, 8 * page), 5 * page);
    ck_assert_int_eq(tracker->backend->fill(region, start + 5 * page, content, 3 * page), -EEXIST);
    ck_assert_int_eq(mprotect(base + 7 * page, page, PROT_READ), 0);
    ck_assert_int_eq(tracker->backend->fill(region, start + 6 * page, content, 2 * page), 2 * page);
    ck_assert_mem_eq(base, content, 5 * page);
    ck_assert_mem_eq(base + 6 * page, content, 2 * page);
    expect_map(ctx, base, ".....#..");
    write_map(base, "#.....#.");
    expect_map(ctx, base, "#....##.");
    ck_assert_int_eq(madvise(base, 8 * page, MADV_DONTNEED), 0);
    ck_assert_int_eq(ww_discard(ctx, base, 8 * page), 0);
    ck_assert_int_eq(tracker->backend->fill(region, start, content, 8 * page), 8 * page);
    expect_map(ctx, base, "........");
    write_map(base, "...#....");
    expect_map(ctx, base, "...#....");
}
END_TEST

/* ---- watched memory that the library itself uses ---- */

/* The heap, as the kernel names it. */
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

/* Every kind of call, with allocations in it, on memory beside what is watched already. */
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

    if (!has_cap(WW_CAP_KERNEL_WRITES)) {
        printf("SKIP %s: it lacks WW_CAP_KERNEL_WRITES\n", __func__);
        return;
    }
    ck_assert(find_heap(&heap));
    ck_assert_uint_ge((uintptr_t)ctx, heap.start);
    ck_assert_uint_lt((uintptr_t)ctx, heap.end);
    nr = (heap.end - heap.start) / page_size();
    ck_assert_int_eq(ww_watch(ctx, (void *)heap.start, heap.end - heap.start, 0), 0);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(ww_reset(ctx, (void *)heap.start, heap.end - heap.start), 0);
        use_library(base, 60);
        /* It was written: the locks of the context are in it. */
        ck_assert_int_gt(ww_count(ctx, (void *)heap.start, heap.end - heap.start), 0);
    }
    ck_assert_int_le(ww_count(ctx, (void *)heap.start, heap.end - heap.start), nr);
    ck_assert_int_eq(ww_unwatch(ctx, (void *)heap.start, heap.end - heap.start), 0);
}
END_TEST

static void *use_library_thread(void *arg)
{
    use_library(arg, 60);
    return NULL;
}

/* The stack of a thread that calls the library, locks held and all, while another resets it. */
START_TEST(the_stack_of_a_caller_is_watched)
{
    size_t nr = 64, page = page_size();
    char *stack = map_pages(nr), *base = map_pages(60);
    pthread_attr_t attr;
    pthread_t thread;

    if (!has_cap(WW_CAP_KERNEL_WRITES)) {
        printf("SKIP %s: it lacks WW_CAP_KERNEL_WRITES\n", __func__);
        return;
    }
    ck_assert_int_eq(ww_watch(ctx, stack, nr * page, 0), 0);
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, nr * page);
    ck_assert_int_eq(pthread_create(&thread, &attr, use_library_thread, base), 0);
    while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
        ck_assert_int_eq(ww_reset(ctx, stack, nr * page), 0);
        usleep(100);
    }
    ck_assert_int_ge(ww_count(ctx, stack, nr * page), 0);
}
END_TEST

/* ---- many operations ---- */

#define RANDOM_PAGES 256
#define RANDOM_STEPS 100000

struct model {
    char *base;
    uint64_t random;
    char map[RANDOM_PAGES + 1];
    char value[RANDOM_PAGES];
};

static void random_write(struct model *model, size_t page)
{
    write_page(model->base, page, ++model->value[page]);
    model->map[page] = '#';
}

static void random_get(struct model *model, size_t from, size_t to)
{
    size_t capacity = 1 + random_below(&model->random, 20), at = from;
    void *pages[20];
    ssize_t nr = ww_get_pages(ctx, model->base + from * page_size(), (to - from) * page_size(), WW_GET_RESET,
                              pages, capacity);

    for (ssize_t i = 0; i < nr; i++, at++) {
        for (; at < to && model->map[at] == '.'; at++) {
            ;
        }
        ck_assert_ptr_eq(pages[i], model->base + at * page_size());
        ck_assert_uint_lt(at, to);
        model->map[at] = '.';
    }
    for (; nr < (ssize_t)capacity && at < to; at++) {
        ck_assert_msg(model->map[at] == '.', "page %zu is missing", at);
    }
}

static void random_drop(struct model *model, size_t from, size_t to)
{
    if (random_below(&model->random, 2)) {
        remap_pages(model->base + from * page_size(), to - from);
    } else {
        madvise(model->base + from * page_size(), (to - from) * page_size(), MADV_DONTNEED);
    }
    ck_assert_int_eq(ww_discard(ctx, model->base + from * page_size(), (to - from) * page_size()), 0);
    memset(model->map + from, '.', to - from);
    memset(model->value + from, 0, to - from);
}

static void random_rewatch(struct model *model)
{
    size_t page = page_size();

    ck_assert_int_eq(ww_unwatch(ctx, model->base, RANDOM_PAGES * page), 0);
    random_write(model, 3);
    ck_assert_int_eq(ww_watch(ctx, model->base, RANDOM_PAGES * page, 0), 0);
    memset(model->map, '.', RANDOM_PAGES);
}

static void random_step(struct model *model, size_t step)
{
    size_t from = random_below(&model->random, RANDOM_PAGES), len = 1 + random_below(&model->random, 8);
    size_t to = from + len < RANDOM_PAGES ? from + len : RANDOM_PAGES;

    switch (random_below(&model->random, 8)) {
    case 0:
        random_drop(model, from, to);
        break;
    case 1:
    case 2:
        random_get(model, from, to);
        break;
    case 3:
        for (size_t i = from; i < to; i++) {
            ck_assert_int_eq(read_page(model->base, i), model->value[i]);
        }
        break;
    case 4:
        mprotect(model->base + from * page_size(), len * page_size(), PROT_NONE);
        mprotect(model->base, RANDOM_PAGES * page_size(), PROT_READ | PROT_WRITE);
        break;
    default:
        random_write(model, from);
        break;
    }
    if (step % 1000 == 0) {
        random_rewatch(model);
    } else if (step % 100 == 0) {
        expect_map(ctx, model->base, model->map);
    }
}

START_TEST(random_operations_equal_the_model)
{
    struct model model = { .base = watch_pages(RANDOM_PAGES), .random = 42 };

    memset(model.map, '.', RANDOM_PAGES);
    for (size_t step = 0; step < RANDOM_STEPS; step++) {
        random_step(&model, step);
    }
    expect_map(ctx, model.base, model.map);
}
END_TEST

static Suite *sync_suite(void)
{
    Suite *suite = suite_create(SYNC);
    TCase *tcase = tcase_create(SYNC);

    tcase_set_timeout(tcase, 600);
    tcase_add_checked_fixture(tcase, open_context, close_context);
    tcase_add_loop_test(tcase, faults_that_wait_together_are_answered_together, 0, 3);
    tcase_add_test(tcase, many_wait_for_one_page);
    tcase_add_test(tcase, unwatching_lets_waiters_go);
    tcase_add_test(tcase, a_stuck_handler_is_replaced);
    tcase_add_test(tcase, a_watch_ends_with_faults_in_flight);
    tcase_add_test(tcase, a_child_closes_what_was_at_work);
    tcase_add_loop_test(tcase, a_closed_descriptor_loses_no_write, 0, 2);
    tcase_add_loop_test(tcase, a_later_sandbox_hangs_nobody, 0, 2);
    tcase_add_test(tcase, a_replaced_page_is_found_among_many_mappings);
    tcase_add_test(tcase, without_privilege_system_calls_cannot_write);
    tcase_add_test(tcase, with_privilege_system_calls_are_recorded);
    tcase_add_test(tcase, shared_memory_is_watched);
    tcase_add_test(tcase, file_mappings_are_refused);
    tcase_add_test(tcase, filled_pages_are_clean);
    tcase_add_test(tcase, the_heap_of_the_library_is_watched);
    tcase_add_test(tcase, the_stack_of_a_caller_is_watched);
    tcase_add_test(tcase, random_operations_equal_the_model);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    int err = ww_open(&ctx, SYNC);

    if (err) {
        printf("SKIP: " SYNC " does not work here: %s\n", strerror(-err));
        return EXIT_SKIPPED;
    }
    ww_close(ctx);
    return run_suite(sync_suite()) ? EXIT_FAILURE : EXIT_SUCCESS;
}
