/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checks of `writewatch doctor` that need Wine: its version, and a small Windows program
 * (programs/doctor/selftest.c), which runs with the preload in a new Wine prefix. Wine starts services beside
 * the program, so the counters that the preload publishes tell whether it answered the program; the messages
 * of the preload (dlls/ntdll/attach.c) name the ntdll.so, or the reason why it stayed out.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/tree.h"
#include "../counters/counters.h"
#include "capture.h"
#include "doctor.h"

#define VERSION_SECONDS 20
#define PREFIX_SECONDS 180
#define PROGRAM_SECONDS 60

/* The ntdll.so of Wine 10.7 and later, and of Proton, has this text if it can track writes in the kernel
 * itself. */
static const char own_watches[] = "sing kernel write watches";

static const char report[] = "see 'writewatch run --verbose', and report it with this output";
static const char above[] = "mend the findings above first";

void doctor_find_wine(struct doctor *doctor)
{
    char said[1024];
    char *command[] = { (char *)doctor->wine, "--version", NULL }, *line;
    int status = capture(command, VERSION_SECONDS, said, sizeof(said));

    if (status == -ENOENT) {
        add_finding(doctor, FINDING_NOTE, "wine", NULL,
                    "'%s' is not installed, so Wine was not checked; for Proton that does not matter",
                    doctor->wine);
        return;
    }
    line = strstr(said, "wine-");
    if (status || !line) {
        add_finding(doctor, FINDING_FIX, "wine", "mend that Wine, or name another one by --wine",
                    "'%s --version' %s", doctor->wine,
                    status == CAPTURE_TIMED_OUT ? "does not end" : "prints no version");
        return;
    }
    line[strcspn(line, "\r\n")] = '\0';
    add_finding(doctor, FINDING_GOOD, "wine", NULL, "%s is %s", doctor->wine, line);
    doctor->has_wine = true;
}

/* ---- the program ---- */

/* Looks for the test program in the build tree, in an installation that was moved, and where configure put
 * it. */
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

/* Whether a file contains this text. */
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

/* The word size of an ELF file by its head, 0 for other files. */
static int word_size(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned char head[EI_NIDENT];
    int bits = 0;

    if (file && fread(head, sizeof(head), 1, file) == 1 && !memcmp(head, ELFMAG, SELFMAG)) {
        bits = head[EI_CLASS] == ELFCLASS64 ? 64 : head[EI_CLASS] == ELFCLASS32 ? 32 : 0;
    }
    if (file) {
        fclose(file);
    }
    return bits;
}

/* One of the two programs, and how it ran. */
struct trial {
    const char *subject, *name;
    int bits;
    int status;      /* as capture() returns it */
    bool is_there;   /* the program is installed */
    bool answered;   /* it printed dirty pages, the right ones or not */
    bool had_watch;  /* the preload answered one of its processes */
    char said[8192]; /* by all that ran meanwhile, Wine's services too */
};

#define ATTACHED "writewatch: attached to "
#define REFUSED "writewatch: staying out: "

/* Finds the preload's message about an ntdll.so of this word size, and the path in it. */
static bool find_attached(const struct trial *trial, int bits, char words[PATH_MAX], char path[PATH_MAX])
{
    for (const char *at = trial->said; (at = strstr(at, ATTACHED));) {
        char *end;

        at += strlen(ATTACHED);
        snprintf(words, PATH_MAX, "%.*s", (int)strcspn(at, "\r\n"), at);
        snprintf(path, PATH_MAX, "%s", words);
        end = strrchr(path, '(');
        if (end && end > path) {
            end[-1] = '\0';
        }
        if (word_size(path) == bits) {
            return true;
        }
    }
    return false;
}

static bool answered_rightly(const struct trial *trial)
{
    return !trial->status && strstr(trial->said, "dirty pages: 1 5 9") &&
           strstr(trial->said, "dirty pages: 2");
}

/* Reports that it works. A 32-bit program may run in a 64-bit process of Wine. */
static void praise(struct doctor *doctor, const struct trial *trial)
{
    char words[PATH_MAX] = "", ntdll[PATH_MAX] = "";

    if (!find_attached(trial, trial->bits, words, ntdll)) {
        find_attached(trial, 64, words, ntdll);
    }
    add_finding(doctor, FINDING_GOOD, trial->subject, NULL,
                "a Windows program has its write watches from the kernel: %s", words);
    if (file_has(ntdll, own_watches)) {
        add_finding(doctor, FINDING_NOTE, trial->subject, NULL,
                    "this Wine can track writes in the kernel itself; it does not do so under the preload");
    }
}

/* Reports why the preload did not answer, though Wine's own write watch answered rightly. */
static void explain_absence(struct doctor *doctor, const struct trial *trial)
{
    const char *refused = strstr(trial->said, REFUSED);

    if (refused) {
        refused += strlen(REFUSED);
        add_finding(doctor, FINDING_FIX, trial->subject, count_fixes(doctor) ? above : report,
                    "the preload stays out: %.*s", (int)strcspn(refused, "\r\n"), refused);
    } else {
        add_finding(doctor, FINDING_FIX, trial->subject,
                    "install the preload for this word size (Debian: writewatch-preload, also for i386)",
                    "the preload was not loaded into a Windows program");
    }
}

/* Reports on one program; @other_answered: the one of the other word size works. */
static void judge(struct doctor *doctor, const struct trial *trial, bool other_answered)
{
    const char *subject = trial->subject;
    const char *remedy = count_fixes(doctor)             ? above
                         : strstr(trial->said, ATTACHED) ? report
                                                         : "mend Wine first: the program does not work in it";
    char words[PATH_MAX], ntdll[PATH_MAX];

    if (!trial->is_there) {
        add_finding(doctor, FINDING_NOTE, subject, NULL, "%s is not installed, so no program was run",
                    trial->name);
    } else if (trial->status == CAPTURE_TIMED_OUT) {
        add_finding(doctor, FINDING_FIX, subject, remedy, "a Windows program did not end within %d s",
                    PROGRAM_SECONDS);
    } else if (!trial->answered && other_answered && !find_attached(trial, trial->bits, words, ntdll)) {
        add_finding(doctor, FINDING_NOTE, subject, NULL, "this Wine runs no programs of this word size");
    } else if (!answered_rightly(trial)) {
        add_finding(doctor, FINDING_FIX, subject, remedy, "a Windows program ended with exit code %d and %s",
                    trial->status, trial->answered ? "the wrong answer" : "no answer");
    } else if (trial->had_watch) {
        praise(doctor, trial);
    } else {
        explain_absence(doctor, trial);
    }
}

/* Whether the preload, and not Wine, answered a process that published in this folder. */
static bool had_watch(const char *folder)
{
    struct counters_file *files = NULL;
    size_t nr = 0;
    bool had = false;

    counters_look_into(folder, &files, &nr);
    for (size_t i = 0; i < nr; i++) {
        struct counters_of_call *get = &files[i].counters->call[COUNTERS_GET];

        had |= atomic_load(&get->nr) > atomic_load(&get->nr_passed);
    }
    counters_close(files, nr);
    return had;
}

/* Runs a program with a folder of its own for counters. */
static void try_program(const struct doctor *doctor, const char *prefix, struct trial *trial)
{
    char path[PATH_MAX], folder[PATH_MAX];
    char *command[] = { (char *)doctor->wine, path, NULL };

    trial->is_there = find_program(trial->name, path);
    if (trial->is_there && snprintf(folder, sizeof(folder), "%s/%s", prefix, trial->subject) < PATH_MAX &&
        !mkdir(folder, 0700) && !setenv("WW_STATS", folder, 1)) {
        trial->status = capture(command, PROGRAM_SECONDS, trial->said, sizeof(trial->said));
        trial->answered = strstr(trial->said, "dirty pages:");
        trial->had_watch = had_watch(folder);
    }
}

/* ---- the prefix ---- */

static const char *temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");

    return folder && folder[0] == '/' ? folder : "/tmp";
}

/* Makes a new prefix: nothing changes in the user's. */
static bool make_prefix(char ret[PATH_MAX])
{
    return snprintf(ret, PATH_MAX, "%s/writewatch-doctor-XXXXXX", temporary_folder()) < PATH_MAX &&
           mkdtemp(ret);
}

/* The server of Debian's Wine leaves the folder wine-XXXXXX of its socket among the temporary files; a file
 * in the prefix has its name. TMPDIR cannot move it: Wine 10.0 aborts where that is set. */
static void remove_servers_folder(const char *prefix)
{
    char path[PATH_MAX], name[32] = "";
    FILE *file;

    if (snprintf(path, sizeof(path), "%s/wineserver", prefix) >= PATH_MAX || !(file = fopen(path, "re"))) {
        return;
    }
    if (fgets(name, sizeof(name), file) && !strncmp(name, "wine-", 5) && !strpbrk(name, "/\n") &&
        snprintf(path, sizeof(path), "%s/%s", temporary_folder(), name) < PATH_MAX) {
        remove_tree(path);
    }
    fclose(file);
}

/* Sets the environment of the programs that follow. */
static bool set_environment(const struct doctor *doctor, const char *prefix)
{
    return !setenv("WINEPREFIX", prefix, 1) && !unsetenv("WINEARCH") && !setenv("WINEDEBUG", "-all", 1) &&
           !setenv("WINEDLLOVERRIDES", "winemenubuilder.exe,mscoree,mshtml=", 1) && !unsetenv("DISPLAY") &&
           !unsetenv("WAYLAND_DISPLAY") && !setenv("WW_DEBUG", "1", 1) &&
           !setenv("LD_PRELOAD", doctor->preload.entry, 1);
}

static void run_in_prefix(struct doctor *doctor, const char *prefix)
{
    static struct trial trials[] = {
        { .subject = "64-bit", .name = "selftest.exe", .bits = 64 },
        { .subject = "32-bit", .name = "selftest32.exe", .bits = 32 },
    };
    char *boot[] = { (char *)doctor->wine, "wineboot", "-i", NULL }, said[256];
    int status = capture(boot, PREFIX_SECONDS, said, sizeof(said));

    if (status) {
        add_finding(
            doctor, FINDING_FIX, "wine",
            getenv("TMPDIR")
                ? "unset TMPDIR, with which Debian's Wine 10.0 aborts; if it is not that, mend that Wine"
                : "mend that Wine: 'wineboot -i' in a new prefix must work",
            "a new Wine prefix could not be made (%s)",
            status == CAPTURE_TIMED_OUT ? "it took too long" : "exit code not 0");
        return;
    }
    for (int i = 0; i < 2; i++) {
        try_program(doctor, prefix, &trials[i]);
    }
    for (int i = 0; i < 2; i++) {
        doctor->has_run |= trials[i].answered;
        judge(doctor, &trials[i], trials[!i].answered);
    }
}

/* Finds the server of this Wine, which need not be the one in PATH. */
static void find_server(const char *wine, char ret[PATH_MAX])
{
    const char *slash = strrchr(wine, '/');

    if (!slash || snprintf(ret, PATH_MAX, "%.*s/wineserver", (int)(slash - wine), wine) >= PATH_MAX ||
        access(ret, X_OK)) {
        snprintf(ret, PATH_MAX, "wineserver");
    }
}

/* Ends what runs in the prefix by Wine's own server, and removes it. */
static void end_prefix(const struct doctor *doctor, const char *prefix)
{
    char server[PATH_MAX], said[256];
    char *kill_server[] = { server, "-k", NULL }, *wait_server[] = { server, "-w", NULL };

    find_server(doctor->wine, server);
    capture(kill_server, VERSION_SECONDS, said, sizeof(said));
    capture(wait_server, VERSION_SECONDS, said, sizeof(said));
    remove_servers_folder(prefix);
    remove_tree(prefix);
}

void doctor_try_wine(struct doctor *doctor)
{
    char prefix[PATH_MAX];

    if (preload_obstacle(&doctor->preload)) {
        return;
    }
    /* A reader that ends before the report does must not leave the prefix and its server behind. */
    signal(SIGPIPE, SIG_IGN);
    if (!make_prefix(prefix)) {
        add_finding(doctor, FINDING_NOTE, "wine", NULL,
                    "no folder for a Wine prefix (%s), so no program was run", strerror(errno));
        return;
    }
    if (!doctor->json) {
        printf("%-10s      running a Windows program in a new Wine prefix ...\n", "wine");
        fflush(stdout);
    }
    if (set_environment(doctor, prefix)) {
        run_in_prefix(doctor, prefix);
    }
    end_prefix(doctor, prefix);
}
