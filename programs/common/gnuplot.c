/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs gnuplot on a script, and tells a missing gnuplot from one that fails. gnuplot does not check whether
 * its output arrives, so it draws into a new folder inside the target. The pictures move out if all are
 * complete; otherwise the old ones stay.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gnuplot.h"
#include "tree.h"

#define CANNOT_EXECUTE 127

static void become_gnuplot(FILE *script, const char *folder)
{
    if (chdir(folder) || dup2(fileno(script), STDIN_FILENO) < 0) {
        _exit(EXIT_FAILURE);
    }
    signal(SIGINT, SIG_DFL);
    execlp("gnuplot", "gnuplot", "-", (char *)NULL);
    _exit(CANNOT_EXECUTE);
}

/* Ctrl-C ends gnuplot alone, so that its folder can be removed. */
static int run_inside(FILE *script, const char *folder)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
    int status = 0, err;
    pid_t pid;

    signal(SIGCHLD, SIG_DFL); /* where it is ignored, waitpid() fails */
    sigaction(SIGINT, &ignore, &before);
    pid = fork();
    if (!pid) {
        become_gnuplot(script, folder);
    }
    do {
        err = pid < 0 || waitpid(pid, &status, 0) < 0 ? -errno : 0;
    } while (pid > 0 && err == -EINTR);
    sigaction(SIGINT, &before, NULL);
    if (err) {
        return err;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_EXECUTE) {
        return -ENOPKG;
    }
    return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

/* Whether a picture has its end. Other files pass. */
static bool is_whole(int dir, const char *name)
{
    const char *type = strrchr(name, '.');
    const char *end = type && !strcmp(type, ".svg") ? "</svg>" : type && !strcmp(type, ".png") ? "IEND" : "";
    char tail[16] = "";
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    ssize_t nr = size < 0 ? -1 : pread(fd, tail, sizeof(tail), size > 16 ? size - 16 : 0);

    if (fd >= 0) {
        close(fd);
    }
    return nr >= 0 && memmem(tail, nr, end, strlen(end));
}

/* Checks each file of the folder, or moves it out. 0 or a negative errno: -ENOSPC if a picture is not whole.
 */
static int each_file(const char *folder, bool move)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char outside[PATH_MAX];
    int err = dir ? 0 : -errno;

    while (dir && !err && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) {
            continue;
        }
        if (!move) {
            err = is_whole(dirfd(dir), entry->d_name) ? 0 : -ENOSPC;
        } else if (snprintf(outside, sizeof(outside), "%s/../%s", folder, entry->d_name) >= PATH_MAX) {
            err = -ENAMETOOLONG;
        } else if (renameat(dirfd(dir), entry->d_name, AT_FDCWD, outside)) {
            err = -errno;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return err;
}

static int draw(FILE *script, const char *folder)
{
    char inside[PATH_MAX];
    int err;

    if (ferror(script) || fflush(script) || fseek(script, 0, SEEK_SET)) {
        return -ENOSPC;
    }
    if (snprintf(inside, sizeof(inside), "%s/.drawing-XXXXXX", folder) >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    if (!mkdtemp(inside)) {
        return -errno;
    }
    err = run_inside(script, inside);
    if (!err) {
        err = each_file(inside, false);
    }
    if (!err) {
        err = each_file(inside, true);
    }
    remove_tree(inside);
    return err;
}

int gnuplot_run(FILE *script, const char *folder)
{
    bool made = !mkdir(folder, 0777);
    int err = made || errno == EEXIST ? 0 : -errno;

    if (!err) {
        err = draw(script, folder);
    }
    if (err && made) {
        rmdir(folder);
    }
    return err;
}
