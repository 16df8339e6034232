/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of `writewatch doctor` that needs Wine: its version, and a small Windows program
 * (tests/pe/hello.c) that is run with the preload, in a new Wine prefix that is removed afterwards. What the
 * preload says then (dlls/ntdll/attach.c) tells which ntdll.so it met, and why it stayed out if it did.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture.h"
#include "doctor.h"

#define VERSION_SECONDS 20
#define PREFIX_SECONDS 180
#define PROGRAM_SECONDS 60

/* Wine from 10.7 on has this in its ntdll.so where it can track writes in the kernel itself, and so has
 * Proton. */
static const char own_watches[] = "sing kernel write watches";

static const char reinstall[] = "see 'writewatch run --verbose', and report it with this output";

void doctor_find_wine(struct doctor *doctor)
{
    char said[1024];
    char *command[] = { (char *)doctor->wine, "--version", NULL }, *line;
    int status = capture(command, VERSION_SECONDS, said, sizeof(said));

    if (status == -ENOENT) {
        found(doctor, FINDING_NOTE, "wine", NULL,
              "'%s' is not installed: nothing of it was looked at; for Proton that does not matter",
              doctor->wine);
        return;
    }
    line = strstr(said, "wine-");
    if (status || !line) {
        found(doctor, FINDING_FIX, "wine", "mend that Wine, or name another one by --wine",
              "'%s --version' %s", doctor->wine,
              status == CAPTURE_TIMED_OUT ? "does not end" : "says no version");
        return;
    }
    line[strcspn(line, "\r\n")] = '\0';
    found(doctor, FINDING_GOOD, "wine", NULL, "%s is %s", doctor->wine, line);
    doctor->has_wine = true;
}

/* ---- the program ---- */

/* Where the test program is: in the build tree, in an installation that was moved, or where it was
 * configured. */
static bool find_program(const char *name, char ret[PATH_MAX])
{
    const char *const below[] = { "programs", "../share/writewatch" };
    char dir[PATH_MAX];

    for (size_t i = 0; own_directory(dir, sizeof(dir)) && i < sizeof(below) / sizeof(below[0]); i++) {
        if (snprintf(ret, PATH_MAX, "%s/%s/%s", dir, below[i], name) < PATH_MAX && !access(ret, R_OK)) {
            return true;
        }
    }
    return snprintf(ret, PATH_MAX, "%s/%s", PKGDATADIR, name) < PATH_MAX && !access(ret, R_OK);
}

/* Whether a file has this text somewhere. */
static bool file_has(const char *path, const char *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    void *map = MAP_FAILED;
    bool has = false;

    if (fd >= 0 && !fstat(fd, &stat) && stat.st_size > 0) {
        map = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (map != MAP_FAILED) {
        has = memmem(map, stat.st_size, text, strlen(text));
        munmap(map, stat.st_size);
    }
    if (fd >= 0) {
        close(fd);
    }
    return has;
}

/* The rest of the first line that begins so, or NULL; the text is cut there. */
static char *line_after(char *text, const char *beginning)
{
    char *at = strstr(text, beginning);

    if (at) {
        at += strlen(beginning);
        at[strcspn(at, "\r\n")] = '\0';
    }
    return at;
}

/* What became of one run of the program. */
static void judge(struct doctor *doctor, const char *subject, int status, char *said)
{
    bool right = !status && strstr(said, "dirty pages: 1 5 9") && strstr(said, "dirty pages: 2");
    char *attached, *refused, ntdll[PATH_MAX];

    refused = strstr(said, "writewatch: staying out: ");
    attached = strstr(said, "writewatch: attached to ");
    if (status == CAPTURE_TIMED_OUT) {
        found(doctor, FINDING_FIX, subject, reinstall, "a Windows program did not end within %d s",
              PROGRAM_SECONDS);
    } else if (!right) {
        found(doctor, FINDING_FIX, subject,
              attached ? reinstall : "mend Wine first: the program does not work in it",
              "a Windows program ended with exit code %d and the wrong answer", status);
    } else if (attached) {
        attached = line_after(attached, "writewatch: attached to ");
        found(doctor, FINDING_GOOD, subject, NULL,
              "a Windows program has its write watches from the kernel: %s", attached);
        if (sscanf(attached, "%4095s", ntdll) == 1 && file_has(ntdll, own_watches)) {
            found(doctor, FINDING_NOTE, subject, NULL,
                  "this Wine can track writes in the kernel itself; that rests while the preload is there");
        }
    } else if (refused) {
        found(doctor, FINDING_FIX, subject, reinstall, "the preload stays out: %s",
              line_after(refused, "writewatch: staying out: "));
    } else {
        found(doctor, FINDING_FIX, subject,
              "install the preload for this word size (Debian: writewatch-preload, also for i386)",
              "the preload was not loaded into a Windows program");
    }
}

static void try_program(struct doctor *doctor, const char *subject, const char *name)
{
    char path[PATH_MAX], said[8192];
    char *command[] = { (char *)doctor->wine, path, NULL };
    int status;

    if (!find_program(name, path)) {
        found(doctor, FINDING_NOTE, subject, NULL, "%s is not installed, so no program was run", name);
        return;
    }
    status = capture(command, PROGRAM_SECONDS, said, sizeof(said));
    if (!strstr(said, "dirty pages:")) {
        found(doctor, FINDING_NOTE, subject, NULL, "this Wine runs no programs of this word size");
        return;
    }
    doctor->has_run = true;
    judge(doctor, subject, status, said);
}

/* ---- the prefix ---- */

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    remove(path);
    return 0;
}

/* A folder of its own: what the user has in his stays as it is. */
static bool make_prefix(char ret[PATH_MAX])
{
    const char *cache = getenv("TMPDIR");

    return snprintf(ret, PATH_MAX, "%s/writewatch-doctor-XXXXXX", cache && cache[0] == '/' ? cache : "/tmp") <
               PATH_MAX &&
           mkdtemp(ret);
}

/* What the programs that follow are started with. */
static bool set_environment(const struct doctor *doctor, const char *prefix)
{
    return !setenv("WINEPREFIX", prefix, 1) && !setenv("WINEDEBUG", "-all", 1) &&
           !setenv("WINEDLLOVERRIDES", "winemenubuilder.exe,mscoree,mshtml=", 1) && !unsetenv("DISPLAY") &&
           !unsetenv("WAYLAND_DISPLAY") && !setenv("WW_DEBUG", "1", 1) &&
           !setenv("LD_PRELOAD", doctor->preload.entry, 1);
}

static void run_in_prefix(struct doctor *doctor)
{
    char *boot[] = { (char *)doctor->wine, "wineboot", "-i", NULL }, said[256];
    int status = capture(boot, PREFIX_SECONDS, said, sizeof(said));

    if (status) {
        found(doctor, FINDING_FIX, "wine", "mend that Wine: 'wineboot -i' in a new prefix must work",
              "a new Wine prefix could not be made (%s)",
              status == CAPTURE_TIMED_OUT ? "it took too long" : "exit code not 0");
        return;
    }
    try_program(doctor, "64-bit", "selftest.exe");
    try_program(doctor, "32-bit", "selftest32.exe");
}

/* Ends what runs in the prefix, by Wine's own means. */
static void end_prefix(const char *prefix)
{
    char *kill_server[] = { "wineserver", "-k", NULL }, *wait_server[] = { "wineserver", "-w", NULL },
         said[256];

    capture(kill_server, VERSION_SECONDS, said, sizeof(said));
    capture(wait_server, VERSION_SECONDS, said, sizeof(said));
    nftw(prefix, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void doctor_try_wine(struct doctor *doctor)
{
    char prefix[PATH_MAX];

    if (preload_obstacle(&doctor->preload)) {
        return;
    }
    if (!make_prefix(prefix)) {
        found(doctor, FINDING_NOTE, "wine", NULL, "no folder for a Wine prefix (%s), so no program was run",
              strerror(errno));
        return;
    }
    if (!doctor->json) {
        printf("%-10s      running a Windows program in a new Wine prefix ...\n", "wine");
        fflush(stdout);
    }
    if (set_environment(doctor, prefix)) {
        run_in_prefix(doctor);
    }
    end_prefix(prefix);
}
