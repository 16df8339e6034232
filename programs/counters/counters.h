/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other side of what the preload publishes (dlls/ntdll/counters.h): the folders, and the
 * counters of a process as numbers of one moment. For run --stats, top and record.
 *
 * A command that is run with --stats has a folder of its own, run-XXXXXX, below $XDG_RUNTIME_DIR/writewatch,
 * or /tmp/writewatch-UID where there is no such directory. It is locked (flock) while the command runs, so
 * that one that was left behind is known, and removed by whoever comes next.
 */
#ifndef WW_PROGRAMS_COUNTERS_H
#define WW_PROGRAMS_COUNTERS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../dlls/ntdll/counters.h"

/* One region, at one moment. */
struct region_sample {
    uint64_t start, end, serial, nr_gets, nr_resets, nr_pages, time_ns;
    uint32_t part[COUNTERS_NR_PARTS];
};

/* One process, at one moment. */
struct sample {
    pid_t pid;
    uint32_t page_size;
    char backend[16], convention[16];
    char name[64]; /* of the program, for people */
    uint64_t now_ns, began_ns;
    struct {
        uint64_t nr, nr_failed, nr_passed, time_ns;
    } call[COUNTERS_NR_CALLS];
    uint64_t nr_pages, nr_clean, nr_watched, watched_bytes, most_pages, slowest_get_ns;
    size_t nr_regions;
    struct region_sample region[COUNTERS_NR_REGIONS]; /* by address */
};

/* The file of one process, mapped. It stays readable when the process has ended and the file is gone. */
struct counters_file {
    struct counters *counters;
    pid_t pid;
    ino_t inode;
};

/* A folder for a command about to be run, and the lock that says so. */
struct counters_folder {
    char path[PATH_MAX - 16];
    int lock;
};

/* Makes a folder, and removes those that nobody holds any more. 0 or a negative errno. */
int counters_folder_make(struct counters_folder *ret);

/* Removes it, with all files in it. */
void counters_folder_remove(struct counters_folder *folder);

/* Maps every file in a folder that is one of this version's, and adds it to *files unless it is there
 * already; a list begins with NULL and 0, and ends with counters_close(). 0 or a negative errno, and then the
 * list has what was found. */
int counters_look_into(const char *path, struct counters_file **files, size_t *nr);

/* Maps those of all commands of this user that run. Returns how many there are in *ret_files, to be closed as
 * well, or a negative errno. */
ssize_t counters_open_all(struct counters_file **ret_files);

void counters_close(struct counters_file *files, size_t nr);

/* Whether the process has asked for a write watch at any time. */
bool counters_in_use(const struct counters_file *file);

void counters_read(const struct counters_file *file, struct sample *ret);

#endif
