/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads what the preload publishes (dlls/ntdll/counters.h): the folders, and the counters of a process as
 * numbers of one moment. For run --stats, top, record and doctor.
 *
 * A command under --stats has a folder of its own, run-XXXXXX, below $XDG_RUNTIME_DIR/writewatch, or below
 * /tmp/writewatch-UID where there is no such directory. The folder is locked (flock) while the command runs;
 * the next start removes a folder that nobody has locked.
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

/* The mapped file of one process. It stays readable after the process has ended and the file is gone. */
struct counters_file {
    struct counters *counters;
    pid_t pid;
    ino_t inode;
};

/* The folder of a command that is about to run, and its lock. */
struct counters_folder {
    char path[PATH_MAX - 16];
    int lock;
};

/* Makes a folder, and removes abandoned ones. 0 or a negative errno. */
int counters_folder_make(struct counters_folder *ret);

/* Removes the folder with all its files. */
void counters_folder_remove(struct counters_folder *folder);

/* Maps every file of this version in a folder, and adds it to *files unless it is in it already. A list
 * begins with NULL and 0, and ends with counters_close(). 0 or a negative errno; the list has what was found
 * in both cases. */
int counters_look_into(const char *path, struct counters_file **files, size_t *nr);

/* Maps the files of all running commands of this user. Returns their number in *ret_files, which the caller
 * closes, or a negative errno. */
ssize_t counters_open_all(struct counters_file **ret_files);

void counters_close(struct counters_file *files, size_t nr);

/* Whether the process has ever used a write watch. */
bool counters_in_use(const struct counters_file *file);

void counters_read(const struct counters_file *file, struct sample *ret);

#endif
