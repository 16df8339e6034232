/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch run`: finds the preload, puts it in front of LD_PRELOAD and
 * becomes the command. Harmless by design: whatever is amiss is said in one
 * line, and the command runs all the same. Whether the preload then steps in is
 * its own decision, made inside the program.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "programs.h"

const char run_help[] = "usage: writewatch run [--backend=NAME] [--verbose] [--] COMMAND [ARG...]\n"
                        "\n"
                        "Runs COMMAND with the writewatch preload, which gives programs under Wine write\n"
                        "watches that the kernel tracks. Other programs do not notice it.\n"
                        "\n"
                        "  --backend=NAME  uses this backend only (default: uffd; where it does not work,\n"
                        "                  Wine's own write watches stay)\n"
                        "  --verbose       the preload says on stderr what it did\n"
                        "  -h, --help      shows this help\n"
                        "\n"
                        "Options behind COMMAND are the command's.\n"
                        "\n"
                        "Examples:\n"
                        "  writewatch run -- wine game.exe\n"
                        "  writewatch run -- %command%       # launch option in Steam\n"
                        "\n"
                        "The exit code is the command's; 127 if it was not found, 126 if it cannot be\n"
                        "executed, 1 if these options are wrong.\n";

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

static int execute(char **command)
{
    int err;

    execvp(command[0], command);
    err = errno;
    fprintf(stderr, PROGRAM ": cannot run '%s': %s\n", command[0], strerror(err));
    return err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

static int unknown_backend(const struct backends *backends, const char *name)
{
    char names[128] = "";

    for (size_t i = 0, len = 0; i < backends->nr && len < sizeof(names); i++) {
        len += snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "", backends->probe[i].name);
    }
    return usage_error("run", "unknown backend '%s'; there are: %s", name, names);
}

int run_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "backend", required_argument, NULL, OPTION_BACKEND },
        { "verbose", no_argument, NULL, OPTION_VERBOSE },
        { "help", no_argument, NULL, OPTION_HELP },
        { 0 },
    };
    struct backends backends;
    const char *backend = NULL;
    bool verbose = false;
    int option;

    while ((option = next_option("run", argc, argv, options)) != OPTION_END) {
        switch (option) {
        case OPTION_BACKEND:
            backend = optarg;
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
    probe_backends(&backends);
    if (backend && !find_backend(&backends, backend)) {
        return unknown_backend(&backends, backend);
    }
    if (optind >= argc) {
        return usage_error("run", "no command to run");
    }
    if ((backend && setenv("WW_BACKEND", backend, 1)) || (verbose && setenv("WW_DEBUG", "1", 1))) {
        warn_without("no memory to set the preload's options");
    } else if (add_preload() && (verbose || !preload_is_disabled())) {
        warn_if_unusable(&backends);
    }
    return execute(argv + optind);
}
