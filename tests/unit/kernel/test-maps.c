/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reader of /proc/PID/maps (linux/kernel/proc_maps.h): real lists, compared with mappings that this test
 * has made, and lists that it has written itself, with what the kernel seldom shows: lines longer than any
 * buffer, mappings that grow while the list is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "kernel/proc_maps.h"
#include "util.h"

static struct ww_maps maps;

/* Looks for the mapping that holds @addr in the list of a process. */
static struct ww_mapping find_mapping(pid_t pid, const void *addr, unsigned int flags)
{
    struct ww_mapping mapping;
    int found;

    ck_assert_int_eq(ww_maps_open(&maps, pid, flags), 0);
    while ((found = ww_maps_next(&maps, &mapping)) > 0) {
        if (mapping.start <= (uintptr_t)addr && (uintptr_t)addr < mapping.end) {
            break;
        }
    }
    ck_assert_int_eq(found, 1);
    ww_maps_close(&maps);
    return mapping;
}

/* Opens a list that this test has written. */
static void open_text(const char *text, unsigned int flags)
{
    int fd = memfd_create("maps", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
    ck_assert_int_eq(ww_maps_init(&maps, fd, flags), 0);
}

static void expect_mapping(uint64_t start, uint64_t end, const char *path)
{
    struct ww_mapping mapping;

    ck_assert_int_eq(ww_maps_next(&maps, &mapping), 1);
    ck_assert_uint_eq(mapping.start, start);
    ck_assert_uint_eq(mapping.end, end);
    ck_assert_str_eq(mapping.path, path);
}

static void expect_end(void)
{
    struct ww_mapping mapping = { .start = 7 };

    ck_assert_int_eq(ww_maps_next(&maps, &mapping), 0);
    ck_assert_int_eq(ww_maps_next(&maps, &mapping), 0);
    ck_assert_uint_eq(mapping.start, 7);
    close(maps.fd);
}

START_TEST(test_protections)
{
    static const int prots[] = {
        PROT_NONE,
        PROT_READ,
        PROT_READ | PROT_WRITE,
        PROT_READ | PROT_EXEC,
        PROT_READ | PROT_WRITE | PROT_EXEC,
    };
    size_t page = page_size(), nr = sizeof(prots) / sizeof(prots[0]);
    char *base = map_pages(nr);

    for (size_t i = 0; i < nr; i++) {
        ck_assert_int_eq(mprotect(base + i * page, page, prots[i]), 0);
    }
    for (size_t i = 0; i < nr; i++) {
        struct ww_mapping mapping = find_mapping(0, base + i * page, 0);

        ck_assert_int_eq(mapping.prot, prots[i]);
        ck_assert(!mapping.shared);
        ck_assert_uint_eq(mapping.inode, 0);
        ck_assert_uint_eq(mapping.vm_flags, 0);
        if (i && i + 1 < nr) {
            ck_assert_uint_eq(mapping.start, (uintptr_t)base + i * page);
            ck_assert_uint_eq(mapping.end, (uintptr_t)base + (i + 1) * page);
        }
    }
}
END_TEST

/* A file with a newline and a blank in its name, shared, from its second page on. */
START_TEST(test_file)
{
    char name[] = "/tmp/ww maps\nXXXXXX", shown[PATH_MAX];
    int fd = mkstemp(name);
    size_t page = page_size();
    struct ww_mapping mapping;
    struct stat status;
    char *base;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 3 * page), 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    base = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, page);
    ck_assert_ptr_ne(base, MAP_FAILED);
    mapping = find_mapping(0, base, 0);
    snprintf(shown, sizeof(shown), "/tmp/ww maps\\012%s", strchr(name, '\n') + 1);
    unlink(name);
    ck_assert_str_eq(mapping.path, shown);
    ck_assert(mapping.shared);
    ck_assert(!mapping.path_cut);
    ck_assert_uint_eq(mapping.inode, status.st_ino);
    ck_assert_uint_eq(mapping.offset, page);
    ck_assert_uint_eq(mapping.start, (uintptr_t)base);
    ck_assert_uint_eq(mapping.end, (uintptr_t)base + 2 * page);
    ck_assert_uint_eq(mapping.major, major(status.st_dev));
    ck_assert_uint_eq(mapping.minor, minor(status.st_dev));
}
END_TEST

/* [vvar] is the one device mapping that every process on x86 has; in Linux 7.2 it is no device mapping. */
START_TEST(test_vm_flags)
{
    char *base = map_pages(4);
    struct ww_mapping mapping = find_mapping(0, base, WW_MAPS_VM_FLAGS);
    struct utsname name;
    bool seen = false;

    ck_assert_int_eq(uname(&name), 0);
    ck_assert(!(mapping.vm_flags & (WW_VM_PFNMAP | WW_VM_HUGETLB | WW_VM_UFFD_WP)));
    ck_assert_int_eq(ww_maps_open(&maps, 0, WW_MAPS_VM_FLAGS), 0);
    while (ww_maps_next(&maps, &mapping) > 0) {
        if (!strcmp(mapping.path, "[vvar]")) {
            seen = mapping.vm_flags & WW_VM_PFNMAP;
            ck_assert(seen || strverscmp(name.release, "7") >= 0);
        }
    }
    ww_maps_close(&maps);
    if (!seen) {
        printf("SKIP test_vm_flags: no device mapping here\n");
    }
}
END_TEST

/* More mappings than any buffer holds: each is returned once, in order, without a gap. */
START_TEST(test_many)
{
    size_t page = page_size(), nr = 4000, seen = 0;
    char *base = map_pages(nr);
    struct ww_mapping mapping;
    int found;

    for (size_t i = 0; i < nr; i += 2) {
        ck_assert_int_eq(mprotect(base + i * page, page, PROT_READ), 0);
    }
    for (unsigned int flags = 0; flags <= WW_MAPS_VM_FLAGS; flags++) {
        ck_assert_int_eq(ww_maps_open(&maps, 0, flags), 0);
        for (seen = 0; (found = ww_maps_next(&maps, &mapping)) > 0;) {
            if (mapping.start >= (uintptr_t)base && mapping.end <= (uintptr_t)base + (nr - 1) * page) {
                ck_assert_uint_eq(mapping.start, (uintptr_t)base + seen * page);
                ck_assert_int_eq(mapping.prot, seen % 2 ? PROT_READ | PROT_WRITE : PROT_READ);
                seen++;
            }
        }
        ck_assert_int_eq(found, 0);
        ck_assert_uint_ge(seen, nr - 1);
        ww_maps_close(&maps);
    }
}
END_TEST

START_TEST(test_processes)
{
    char *base = map_pages(3);
    int status;
    pid_t child = fork();

    if (!child) {
        pause();
        _exit(0);
    }
    ck_assert_int_gt(child, 0);
    ck_assert(!find_mapping(child, base, 0).shared);
    ck_assert_int_eq(ww_maps_open(&maps, child, 0), 0);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(ww_maps_next(&maps, &(struct ww_mapping){ 0 }), -ESRCH);
    ww_maps_close(&maps);
    ck_assert_int_eq(ww_maps_open(&maps, child, 0), -ESRCH);
}
END_TEST

START_TEST(test_grown_meanwhile)
{
    struct ww_mapping mapping;

    open_text("1000-3000 rw-p 00000000 00:00 0 \n"
              "1000-5000 rw-p 00000000 00:00 0 \n"
              "4000-5000 r--p 00000000 00:00 0 \n"
              "4000-8000 r--s 00010000 08:01 77   /a\n",
              0);
    expect_mapping(0x1000, 0x3000, "");
    expect_mapping(0x3000, 0x5000, "");
    ck_assert_int_eq(ww_maps_next(&maps, &mapping), 1);
    ck_assert_uint_eq(mapping.start, 0x5000);
    ck_assert_uint_eq(mapping.end, 0x8000);
    ck_assert_uint_eq(mapping.offset, 0x11000);
    ck_assert_uint_eq(mapping.major, 8);
    ck_assert_uint_eq(mapping.inode, 77);
    expect_end();
}
END_TEST

/* Paths whose lengths are around the sizes of the path and of the buffer, and far beyond. */
START_TEST(test_long_lines)
{
    static const char head[] = "1000-2000 r-xp 00000000 08:01 5 ";
    static const char tail[] = "\n3000-4000 rw-p 00000000 00:00 0    [heap]\n";

    for (size_t len = WW_MAPS_PATH - 3; len < 3 * WW_MAPS_BUFFER + 8; len++) {
        char *text = malloc(len + sizeof(head) + sizeof(tail));
        struct ww_mapping mapping;

        if (len > WW_MAPS_PATH + 3 && (len + sizeof(head)) % WW_MAPS_BUFFER > 8) {
            free(text);
            continue;
        }
        strcpy(text, head);
        memset(text + sizeof(head) - 1, 'x', len);
        strcpy(text + sizeof(head) - 1 + len, tail);
        open_text(text, 0);
        free(text);
        ck_assert_int_eq(ww_maps_next(&maps, &mapping), 1);
        ck_assert_uint_eq(mapping.end, 0x2000);
        ck_assert_uint_eq(strlen(mapping.path), len < WW_MAPS_PATH ? len : WW_MAPS_PATH - 1);
        ck_assert_int_eq(mapping.path_cut, len >= WW_MAPS_PATH);
        expect_mapping(0x3000, 0x4000, "[heap]");
        expect_end();
    }
}
END_TEST

START_TEST(test_details)
{
    struct ww_mapping mapping;

    open_text("1000-3000 rw-p 00000000 00:00 0 \n"
              "Size:                  8 kB\n"
              "AnonHugePages:         0 kB\n"
              "VmFlags: rd wr mr mw me ac uw um \n"
              "a000-b000 r--p 00000000 00:00 0    [odd]\n"
              "c000-d000 r--p 00000000 00:00 0    [vvar]\n"
              "VmFlags: rd mr pf io de dd",
              WW_MAPS_VM_FLAGS);
    ck_assert_int_eq(ww_maps_next(&maps, &mapping), 1);
    ck_assert_uint_eq(mapping.vm_flags, WW_VM_UFFD_WP | WW_VM_UFFD_MISSING);
    ck_assert_int_eq(ww_maps_next(&maps, &mapping), 1);
    ck_assert_str_eq(mapping.path, "[odd]");
    ck_assert_uint_eq(mapping.vm_flags, 0);
    ck_assert_int_eq(ww_maps_next(&maps, &mapping), 1);
    ck_assert_str_eq(mapping.path, "[vvar]");
    ck_assert_uint_eq(mapping.vm_flags, WW_VM_PFNMAP);
    expect_end();
}
END_TEST

/* A text that is no list of mappings is an error, never an empty list. */
START_TEST(test_damaged)
{
    static const char *const texts[] = {
        "x",
        "\n",
        "1000",
        "1000-",
        "1000-2000",
        "1000-2000 rw",
        "1000-2000 rw-p",
        "1000-2000 rw-p 0",
        "1000-2000 rw-p 0 0:",
        "1000-2000 rw-p 0 0:0 ",
        "2000-1000 rw-p 0 0:0 0",
        "1000-1000 rw-p 0 0:0 0",
        "10000000000001000-10000000000002000 rw-p 0 0:0 0",
        "1000-2000 rw-p 0 0:0 18446744073709551616",
        "1000-2000 rw-p 0 100000000:0 0",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        open_text(texts[i], i % 2);
        ck_assert_int_eq(ww_maps_next(&maps, &(struct ww_mapping){ 0 }), -EIO);
        close(maps.fd);
    }
    open_text("", 0);
    expect_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("maps");
    TCase *tcase = tcase_create("maps");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_protections);
    tcase_add_test(tcase, test_file);
    tcase_add_test(tcase, test_vm_flags);
    tcase_add_test(tcase, test_many);
    tcase_add_test(tcase, test_processes);
    tcase_add_test(tcase, test_grown_meanwhile);
    tcase_add_test(tcase, test_long_lines);
    tcase_add_test(tcase, test_details);
    tcase_add_test(tcase, test_damaged);
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
