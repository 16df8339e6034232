/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Folders and files of counters (counters.h). Any program of this user may have written to them: a file is
 * checked before it is used, and its numbers are checked against their bounds. A folder that belongs to
 * somebody else is not used.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/proc.h"
#include "../common/tree.h"
#include "counters.h"

#define FOLDER_PREFIX "run-"

/* ---- folders ---- */

/* Checks that a directory belongs to this user and is closed to others: 0, -EPERM, or the error of lstat().
 */
static int check_private(const char *path)
{
    struct stat stat;

    if (lstat(path, &stat)) {
        return -errno;
    }
    return S_ISDIR(stat.st_mode) && stat.st_uid == geteuid() && !(stat.st_mode & 077) ? 0 : -EPERM;
}

/* Makes the path of the directory for this user's folders, which may not exist. */
static int find_base(char *ret, size_t size)
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    int len;

    if (runtime && runtime[0] == '/' && !access(runtime, W_OK | X_OK)) {
        len = snprintf(ret, size, "%s/writewatch", runtime);
    } else {
        len = snprintf(ret, size, "/tmp/writewatch-%lu", (unsigned long)geteuid());
    }
    return len > 0 && (size_t)len < size ? 0 : -ENAMETOOLONG;
}

/* Locks a folder. Returns the descriptor that holds the lock, or a negative errno: -EWOULDBLOCK if another
 * process holds it. */
static int lock_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), err;

    if (fd < 0) {
        return -errno;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

/* Whether a locked folder still exists. Its last owner may have removed it before the lock was taken. */
static bool is_there(int lock, const char *path)
{
    struct stat locked, found;

    return !fstat(lock, &locked) && !lstat(path, &found) && locked.st_dev == found.st_dev &&
           locked.st_ino == found.st_ino;
}

/* Calls @visit with the path of each folder of the base. */
static void for_each_folder(const char *base, void (*visit)(const char *path, void *arg), void *arg)
{
    DIR *dir = check_private(base) ? NULL : opendir(base);
    const struct dirent *entry;
    char path[PATH_MAX];

    while (dir && (entry = readdir(dir))) {
        int len = snprintf(path, sizeof(path), "%s/%s", base, entry->d_name);

        if (!strncmp(entry->d_name, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) && len > 0 &&
            len < (int)sizeof(path)) {
            visit(path, arg);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static void remove_abandoned(const char *path, void *arg)
{
    int lock = lock_folder(path);

    (void)arg;
    if (lock >= 0 && is_there(lock, path)) {
        remove_tree(path);
    }
    if (lock >= 0) {
        close(lock);
    }
}

/* Makes the base, which the last process that uses it may remove again at any time. */
static int make_base(const char *base)
{
    int err = mkdir(base, 0700) && errno != EEXIST ? -errno : 0;

    return err ? err : check_private(base);
}

/*
 * Makes a folder and locks it. An unlocked folder looks as if its owner was killed: another start may remove
 * it, or hold its lock for a moment to find out. -ENOENT and -EWOULDBLOCK say that this has happened, or that
 * the base is gone.
 */
static int make_locked(const char *base, struct counters_folder *ret)
{
    if (snprintf(ret->path, sizeof(ret->path), "%s/" FOLDER_PREFIX "XXXXXX", base) >=
        (int)sizeof(ret->path)) {
        return -ENAMETOOLONG;
    }
    if (!mkdtemp(ret->path)) {
        return -errno;
    }
    ret->lock = lock_folder(ret->path);
    if (ret->lock < 0) {
        rmdir(ret->path);
        return ret->lock;
    }
    if (!is_there(ret->lock, ret->path)) {
        close(ret->lock);
        return -ENOENT;
    }
    return 0;
}

/* Each failed try means that another command has started or ended, so the number of tries is small. */
#define MAX_TRIES 10000

int counters_folder_make(struct counters_folder *ret)
{
    char base[PATH_MAX / 2];
    int err = find_base(base, sizeof(base));

    if (err) {
        return err;
    }
    for (int i = 0; i < MAX_TRIES; i++) {
        err = make_base(base);
        if (!err) {
            for_each_folder(base, remove_abandoned, NULL);
            err = make_locked(base, ret);
        }
        if (err != -ENOENT && err != -EWOULDBLOCK) {
            break;
        }
    }
    return err;
}

void counters_folder_remove(struct counters_folder *folder)
{
    char *slash;

    remove_tree(folder->path);
    close(folder->lock);
    /* The last command removes the base as well. */
    slash = strrchr(folder->path, '/');
    *slash = '\0';
    rmdir(folder->path);
    *slash = '/';
}

/* ---- files ---- */

/* Maps a file. NULL: it is not one of ours, or of another version. */
static struct counters *map_file(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct counters *counters = MAP_FAILED;
    struct stat stat;

    if (fd < 0) {
        return NULL;
    }
    if (!fstat(fd, &stat) && S_ISREG(stat.st_mode) && stat.st_uid == geteuid() &&
        stat.st_size >= (off_t)sizeof(*counters)) {
        counters = mmap(NULL, sizeof(*counters), PROT_READ, MAP_SHARED, fd, 0);
    }
    close(fd);
    if (counters == MAP_FAILED) {
        return NULL;
    }
    if (atomic_load(&counters->magic) != COUNTERS_MAGIC || counters->version != COUNTERS_VERSION ||
        counters->size != sizeof(*counters)) {
        munmap(counters, sizeof(*counters));
        return NULL;
    }
    return counters;
}

struct list {
    struct counters_file *files;
    size_t nr;
    int err;
};

/* Compares inodes: while this file is mapped, no other one can have its inode. */
static bool is_known(const struct list *list, ino_t inode)
{
    for (size_t i = 0; i < list->nr; i++) {
        if (list->files[i].inode == inode) {
            return true;
        }
    }
    return false;
}

static void add_file(struct list *list, struct counters *counters, ino_t inode)
{
    struct counters_file *more = reallocarray(list->files, list->nr + 1, sizeof(*more));

    if (!more) {
        munmap(counters, sizeof(*counters));
        list->err = -ENOMEM;
        return;
    }
    more[list->nr++] = (struct counters_file){ .counters = counters, .pid = counters->pid, .inode = inode };
    list->files = more;
}

static void add_folder(const char *path, void *arg)
{
    struct list *list = arg;
    const struct dirent *entry;
    struct counters *counters;
    DIR *dir = opendir(path);
    struct stat stat;

    if (!dir) {
        list->err = list->err ? list->err : -errno;
        return;
    }
    while ((entry = readdir(dir))) {
        if (fstatat(dirfd(dir), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) || is_known(list, stat.st_ino)) {
            continue;
        }
        counters = map_file(dirfd(dir), entry->d_name);
        if (counters) {
            add_file(list, counters, stat.st_ino);
        }
    }
    closedir(dir);
}

int counters_look_into(const char *path, struct counters_file **files, size_t *nr)
{
    struct list list = { .files = *files, .nr = *nr };

    add_folder(path, &list);
    *files = list.files;
    *nr = list.nr;
    return list.err;
}

/* Passes over a folder that no command holds: it is about to be removed. */
static void add_held_folder(const char *path, void *arg)
{
    int lock = lock_folder(path);

    if (lock >= 0) {
        close(lock);
    } else if (lock == -EWOULDBLOCK) {
        add_folder(path, arg);
    }
}

ssize_t counters_open_all(struct counters_file **ret_files)
{
    struct list list = { .nr = 0 };
    char base[PATH_MAX / 2];
    int err = find_base(base, sizeof(base));

    if (err) {
        return err;
    }
    for_each_folder(base, add_held_folder, &list);
    if (list.err && list.err != -ENOENT) {
        counters_close(list.files, list.nr);
        return list.err;
    }
    *ret_files = list.files;
    return list.nr;
}

void counters_close(struct counters_file *files, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        munmap(files[i].counters, sizeof(*files[i].counters));
    }
    free(files);
}

bool counters_in_use(const struct counters_file *file)
{
    return atomic_load(&file->counters->nr_watched) || atomic_load(&file->counters->call[COUNTERS_GET].nr);
}

/* ---- samples ---- */

/* Takes the last part of the first word that ends in .exe, or else of the first word. */
static void find_name(const struct counters *counters, char *ret, size_t size)
{
    char command[sizeof(counters->command) + 1], *name = command, *part;

    memcpy(command, counters->command, sizeof(counters->command));
    command[sizeof(counters->command)] = '\0';
    for (char *word = command; word < command + sizeof(counters->command) && *word;
         word += strlen(word) + 1) {
        size_t len = strlen(word);

        if (len >= 4 && !strcasecmp(word + len - 4, ".exe")) {
            name = word;
            break;
        }
    }
    for (part = name; *part; part++) {
        if (*part == '/' || *part == '\\') {
            name = part + 1;
        }
    }
    snprintf(ret, size, "%.*s", (int)size - 1, *name ? name : "?");
    /* Terminals show it. */
    for (part = ret; *part; part++) {
        *part = *part < ' ' || *part == 127 ? '?' : *part;
    }
}

static int by_start(const void *a, const void *b)
{
    const struct region_sample *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static void read_region(struct counters_of_region *slot, struct sample *sample)
{
    struct region_sample *region = &sample->region[sample->nr_regions];

    region->start = atomic_load(&slot->start);
    region->serial = atomic_load(&slot->serial);
    region->end = atomic_load(&slot->end);
    region->nr_gets = atomic_load(&slot->nr_gets);
    region->nr_resets = atomic_load(&slot->nr_resets);
    region->nr_pages = atomic_load(&slot->nr_pages);
    region->time_ns = atomic_load(&slot->time_ns);
    for (size_t i = 0; i < COUNTERS_NR_PARTS; i++) {
        region->part[i] = atomic_load(&slot->part[i]);
    }
    /* Skips a slot that is being filled, or that became another region meanwhile. */
    if (region->start > 1 && region->end > region->start && region->start == atomic_load(&slot->start) &&
        region->serial == atomic_load(&slot->serial)) {
        sample->nr_regions++;
    }
}

void counters_read(const struct counters_file *file, struct sample *ret)
{
    struct counters *counters = file->counters;

    *ret = (struct sample){ .pid = file->pid, .page_size = counters->page_size };
    ret->now_ns = now_ns();
    ret->began_ns = counters->began_ns;
    memcpy(ret->backend, counters->backend, sizeof(ret->backend) - 1);
    memcpy(ret->convention, counters->convention, sizeof(ret->convention) - 1);
    find_name(counters, ret->name, sizeof(ret->name));
    for (int i = 0; i < COUNTERS_NR_CALLS; i++) {
        ret->call[i].nr = atomic_load(&counters->call[i].nr);
        ret->call[i].nr_failed = atomic_load(&counters->call[i].nr_failed);
        ret->call[i].nr_passed = atomic_load(&counters->call[i].nr_passed);
        ret->call[i].time_ns = atomic_load(&counters->call[i].time_ns);
    }
    ret->nr_pages = atomic_load(&counters->nr_pages);
    ret->nr_clean = atomic_load(&counters->nr_clean);
    ret->nr_watched = atomic_load(&counters->nr_watched);
    ret->watched_bytes = atomic_load(&counters->watched_bytes);
    ret->most_pages = atomic_load(&counters->most_pages);
    ret->slowest_get_ns = atomic_load(&counters->slowest_get_ns);
    for (size_t i = 0; i < COUNTERS_NR_REGIONS; i++) {
        read_region(&counters->region[i], ret);
    }
    qsort(ret->region, ret->nr_regions, sizeof(ret->region[0]), by_start);
}
