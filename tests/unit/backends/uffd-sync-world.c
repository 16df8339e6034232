/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the rest of the process does to uffd-sync: the program closes its descriptor, a sandbox denies its
 * calls, mappings are replaced. And which system calls, kinds of memory and fills it supports.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "uffd-sync.h"

/* The program closes the descriptor, and with _i 1 uses its number for a file of its own. */
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

/* Denies every ioctl of userfaultfd, in all threads. */
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

/* A sandbox that begins after the watch: the store does not hang, and is reported. */
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

/* More mappings than the backend looks up one by one, and one replaced page among them. */
START_TEST(a_replaced_page_is_found_among_many_mappings)
{
    size_t nr = 2000, page = page_size();
    char *base = watch_pages(nr), *map = malloc(nr);

    NEEDS(WW_CAP_LOST_DETECTED);
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

/* Tests as a user whose userfaultfd does not see the faults of system calls. */
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
    /* System calls can read holes, cannot write to clean pages, and can write to dirty ones. */
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

    NEEDS(WW_CAP_KERNEL_WRITES);
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

/* In shared memory, writes through the watched mapping count, and those through another one do not. */
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

/* A range with a file on a disk in it is refused, because the backend cannot track that. */
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

void add_world_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_closed_descriptor_loses_no_write, 0, 2);
    tcase_add_loop_test(tcase, a_later_sandbox_hangs_nobody, 0, 2);
    tcase_add_test(tcase, a_replaced_page_is_found_among_many_mappings);
    tcase_add_test(tcase, without_privilege_system_calls_cannot_write);
    tcase_add_test(tcase, with_privilege_system_calls_are_recorded);
    tcase_add_test(tcase, shared_memory_is_watched);
    tcase_add_test(tcase, file_mappings_are_refused);
    tcase_add_test(tcase, filled_pages_are_clean);
}
