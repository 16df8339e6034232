/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs gnuplot on a script in a temporary file, and tells its absence from its failure.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gnuplot.h"

#define CANNOT_EXECUTE 127

static void become_gnuplot(FILE *script, const char *folder)
{
    if (chdir(folder) || dup2(fileno(script), STDIN_FILENO) < 0) {
        _exit(EXIT_FAILURE);
    }
    execlp("gnuplot", "gnuplot", "-", (char *)NULL);
    _exit(CANNOT_EXECUTE);
}

int gnuplot_run(FILE *script, const char *folder)
{
    int status = 0;
    pid_t pid;

    if (mkdir(folder, 0777) && errno != EEXIST) {
        return errno == ENOENT ? -ENOTDIR : -errno;
    }
    if (fflush(script) || fseek(script, 0, SEEK_SET)) {
        return -EIO;
    }
    pid = fork();
    if (pid < 0) {
        return -errno;
    }
    if (!pid) {
        become_gnuplot(script, folder);
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_EXECUTE) {
        return -ENOENT;
    }
    return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}
