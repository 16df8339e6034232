/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch run`: finds the preload, puts it in front of LD_PRELOAD and
 * becomes the command; with --stats the command is a child, and in the end it is said what was done. Harmless
 * by design: whatever is amiss is said in one line, and the command runs all the same, unless something was
 * asked for that cannot be given. Whether the preload
 * then steps in is its own decision, made inside the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counters/counters.h"
#include "programs.h"
#include "counters/summary.h"

const char run_help[] = "usage: writewatch run [OPTION...] [--] COMMAND [ARG...]\n"
                        "\n"
                        "Runs COMMAND with the writewatch preload, which gives programs under Wine write\n"
                        "watches that the kernel tracks. Other programs do not notice it.\n"
                        "\n"
                        "  --backend=NAME  uses this backend only (default: uffd; where it does not work,\n"
                        "                  Wine's own write watches stay)\n"
                        "  --stats[=FILE]  says on stderr in the end what was watched and what it cost, or\n"
                        "                  writes it to FILE as JSON; meanwhile 'writewatch top' shows it\n"
                        "  --verbose       the preload says on stderr what it did\n"
                        "  -h, --help      shows this help\n"
                        "\n"
                        "Options behind COMMAND are the command's.\n"
                        "\n"
                        "Examples:\n"
                        "  writewatch run -- wine game.exe\n"
                        "  writewatch run --stats -- wine game.exe\n"
                        "  writewatch run -- %command%       # launch option in Steam\n"
                        "\n"
                        "The exit code is the command's; 127 if it was not found, 126 if it cannot be\n"
                        "executed, 1 if these options are wrong or FILE cannot be written.\n";

/* An answer takes a few milliseconds. */
#define ASK_MS 20000

static void warn_without(const char *problem)
{
    fprintf(stderr, PROGRAM ": %s; running without it\n", problem);
}

static void warn_not_found(const struct preload *preload)
{
    const char *comma = "";

    fprintf(stderr, PROGRAM ": " PRELOAD_NAME " not found (looked in ");
    for (size_t i = 0; i < NR_PLACES; i++) {
        const char *place = preload->place[i];

        if (place[0]) {
            fprintf(stderr, "%s%.*s", comma, (int)(strrchr(place, '/') - place), place);
            comma = ", ";
        }
    }
    fprintf(stderr, "); running without it\n");
}

/* Puts the preload in front of what LD_PRELOAD holds already. False: it was left as it is. */
static bool add_preload(void)
{
    const char *present = getenv("LD_PRELOAD"), *obstacle;
    struct preload preload;
    char *value;
    int len, err;

    find_preload(&preload);
    if (!preload.path) {
        warn_not_found(&preload);
        return false;
    }
    obstacle = preload_obstacle(&preload);
    if (obstacle) {
        fprintf(stderr, PROGRAM ": '%s': %s; running without it\n", preload.path, obstacle);
        return false;
    }
    present = present ? present : "";
    len = asprintf(&value, "%s%s%s", preload.entry, present[0] ? ":" : "", present);
    if (len < 0) {
        warn_without("no memory to set LD_PRELOAD");
        return false;
    }
    err = setenv("LD_PRELOAD", value, 1);
    free(value);
    if (err) {
        warn_without("no memory to set LD_PRELOAD");
    }
    return !err;
}

/* Says so if Wine programs will not get what they are run for. Who has switched it off knows. */
static void warn_if_unusable(const struct backends *backends)
{
    struct ww_probe wine = wine_backend(backends);

    if (wine.error) {
        fprintf(stderr, PROGRAM ": write watches stay with Wine: %s%s%s%s\n", wine.reason,
                wine.remedy ? " (" : "", wine.remedy ? wine.remedy : "", wine.remedy ? ")" : "");
    }
}

#define ANSWER_BYTES 128

/*
 * What is only asked to be said runs in a child, which has some seconds: whatever comes of it, the
 * command runs. Returns what @ask answered, "" where that never came.
 */
static void in_child(void (*ask)(const void *arg, char *ret_answer), const void *arg,
                     char ret_answer[ANSWER_BYTES])
{
    struct pollfd end;
    int fds[2];
    pid_t child;

    memset(ret_answer, 0, ANSWER_BYTES);
    if (pipe2(fds, O_CLOEXEC)) {
        return;
    }
    child = fork();
    if (!child) {
        ask(arg, ret_answer);
        _exit(write(fds[1], ret_answer, ANSWER_BYTES) != ANSWER_BYTES);
    }
    close(fds[1]);
    end = (struct pollfd){ .fd = fds[0], .events = POLLIN };
    while (child > 0 && poll(&end, 1, ASK_MS) < 0 && errno == EINTR) {
        ;
    }
    if (child > 0) {
        if (!end.revents) {
            kill(child, SIGKILL);
        }
        if (read(fds[0], ret_answer, ANSWER_BYTES) != ANSWER_BYTES) {
            ret_answer[0] = '\0';
        }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
            ;
        }
    }
    close(fds[0]);
}

static void warn_of_backends(const void *arg, char *ret_answer)
{
    struct backends backends;

    (void)arg;
    (void)ret_answer;
    probe_backends(&backends);
    warn_if_unusable(&backends);
}

bool run_prepare(const char *backend, bool verbose)
{
    if ((backend && setenv("WW_BACKEND", backend, 1)) || (verbose && setenv("WW_DEBUG", "1", 1))) {
        warn_without("no memory to set the preload's options");
        return false;
    }
    if (!add_preload()) {
        return false;
    }
    if (verbose || !preload_is_disabled()) {
        char nothing[ANSWER_BYTES];

        in_child(warn_of_backends, NULL, nothing);
    }
    return true;
}

int run_failed(const char *command, int err)
{
    fprintf(stderr, PROGRAM ": cannot run '%s': %s\n", command, strerror(err));
    return err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

static int execute(char **command)
{
    execvp(command[0], command);
    return run_failed(command[0], errno);
}

/* ---- with statistics ---- */

/* What the processes in the folder have done: into the file, or for people where there is none. */
static void tell(const struct counters_folder *folder, double seconds, struct stats_file *file)
{
    struct counters_file *files = NULL;
    size_t nr = 0;
    int err = counters_look_into(folder->path, &files, &nr);

    if (!err && file) {
        err = stats_write(files, nr, seconds, file);
    } else if (!err) {
        stats_print(files, nr, seconds, stderr);
    } else if (file) {
        stats_file_drop(file);
    }
    if (err) {
        fprintf(stderr, PROGRAM ": no statistics%s%s: %s\n", file ? " in " : "", file ? file->path : "",
                strerror(-err));
    }
    counters_close(files, nr);
}

/* Runs the command as a child, so that somebody is there when it has ended. */
static int execute_and_tell(char **command, struct stats_file *file)
{
    struct counters_folder folder;
    uint64_t began = counters_now();
    int err = counters_folder_make(&folder), status;

    if (err) {
        fprintf(stderr, PROGRAM ": no statistics: no folder for them: %s\n", strerror(-err));
        if (file) {
            stats_file_drop(file);
        }
        return execute(command);
    }
    err = setenv("WW_STATS", folder.path, 1) ? -errno : child_start(command);
    if (!err) {
        child_wait(CHILD_FOR_EVER, &status);
        tell(&folder, (counters_now() - began) / 1e9, file);
    } else if (file) {
        stats_file_drop(file);
    }
    counters_folder_remove(&folder);
    return err ? run_failed(command[0], -err) : child_end_as(status);
}

/* Answers with the names that there are, if this is none of them. */
static void look_for_backend(const void *name, char *ret_answer)
{
    struct backends backends;

    probe_backends(&backends);
    if (find_backend(&backends, name)) {
        return;
    }
    for (size_t i = 0, len = 0; i < backends.nr && len < ANSWER_BYTES; i++) {
        len += snprintf(ret_answer + len, ANSWER_BYTES - len, "%s%s", i ? ", " : "", backends.probe[i].name);
    }
}

bool check_backend(const char *command, const char *name)
{
    char names[ANSWER_BYTES];

    in_child(look_for_backend, name, names);
    if (names[0]) {
        usage_error(command, "unknown backend '%s'; there are: %s", name, names);
    }
    return !names[0];
}

int run_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "backend", required_argument, NULL, OPTION_BACKEND },
        { "stats", optional_argument, NULL, OPTION_STATS },
        { "verbose", no_argument, NULL, OPTION_VERBOSE },
        { "help", no_argument, NULL, OPTION_HELP },
        { 0 },
    };
    const char *backend = NULL, *stats_path = NULL;
    bool verbose = false, stats = false;
    struct stats_file file;
    int option, err;

    while ((option = next_option("run", argc, argv, options)) != OPTION_END) {
        switch (option) {
        case OPTION_BACKEND:
            backend = optarg;
            break;
        case OPTION_STATS:
            stats = true;
            stats_path = optarg;
            break;
        case OPTION_VERBOSE:
            verbose = true;
            break;
        case OPTION_HELP:
            return show(run_help);
        default:
            return EXIT_USAGE;
        }
    }
    if (backend && !check_backend("run", backend)) {
        return EXIT_USAGE;
    }
    if (optind >= argc) {
        return usage_error("run", "no command to run");
    }
    if (stats_path && !stats_path[0]) {
        return usage_error("run", "--stats= needs the name of a file");
    }
    /* Who waits for a file must not learn after hours that there is none. */
    err = stats_path ? stats_file_open(&file, stats_path) : 0;
    if (err) {
        fprintf(stderr, PROGRAM ": cannot write statistics to '%s': %s\n", stats_path, strerror(-err));
        return EXIT_USAGE;
    }
    run_prepare(backend, verbose);
    return stats ? execute_and_tell(argv + optind, stats_path ? &file : NULL) : execute(argv + optind);
}
