/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The `writewatch` command: reads the program's own options, finds the
 * subcommand in one table, and calls it. The option reader and the check that
 * output has arrived are here for all subcommands. What a subcommand does is
 * told by its own file.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"

static int help_main(int argc, char **argv);

static const char help_help[] = "usage: writewatch help [SUBCOMMAND]\n"
                                "\n"
                                "Shows the help of the program or of a subcommand.\n";

static const struct {
    const char *name;
    const char *help;
    int (*main)(int argc, char **argv);
} commands[] = {
    { "run", run_help, run_main },          { "probe", probe_help, probe_main },
    { "scan", scan_help, scan_main },       { "bench", bench_help, bench_main },
    { "doctor", doctor_help, doctor_main }, { "top", top_help, top_main },
    { "record", record_help, record_main }, { "plot", plot_help, plot_main },
    { "help", help_help, help_main },
};

static const char program_help[] =
    "usage: writewatch run [OPTION...] [--] COMMAND [ARG...]\n"
    "       writewatch probe [--json]\n"
    "       writewatch doctor [OPTION...]\n"
    "       writewatch scan --pid=PID [OPTION...]\n"
    "       writewatch bench [OPTION...]\n"
    "       writewatch top [--pid=PID] [OPTION...]\n"
    "       writewatch record --output=FILE [OPTION...] [--] COMMAND [ARG...]\n"
    "       writewatch plot [OPTION...] FILE\n"
    "       writewatch help [SUBCOMMAND]\n"
    "\n"
    "Gives programs under unmodified Wine write watches that the kernel tracks.\n"
    "\n"
    "  run     runs a command with the writewatch preload\n"
    "  probe   says what works here, and how to mend what does not\n"
    "  doctor  looks for what keeps Windows programs from it, and tries one\n"
    "  scan    shows the pages of a process by what they are\n"
    "  bench   measures what the ways to track writes cost here\n"
    "  top     shows what a running program does with its write watches\n"
    "  record  writes down what a program does with its write watches\n"
    "  plot    draws such a record\n"
    "  help    shows this help, or that of a subcommand\n"
    "\n"
    "  -h, --help  shows this help\n"
    "  --version   shows the version\n"
    "\n"
    "Examples:\n"
    "  writewatch run -- wine game.exe\n"
    "  writewatch run --verbose -- wine game.exe   # what was done, on stderr\n"
    "  writewatch run -- %command%                 # launch option in Steam\n"
    "  writewatch doctor\n"
    "\n"
    "Where write watches cannot be had, the command runs as it would without writewatch.\n"
    "See writewatch(1), and writewatch(7) for what counts as a write.\n";

int usage_error(const char *command, const char *format, ...)
{
    va_list args;

    fprintf(stderr, PROGRAM ": ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see '" PROGRAM " %s%s--help'\n", command ? command : "", command ? " " : "");
    return EXIT_USAGE;
}

/*
 * getopt_long() up to the first operand, with messages that say where help is.
 * Returns an enum option_value. All long options have values beyond the
 * characters, which is how a wrong letter is told from a value that no option takes.
 */
int next_option(const char *command, int argc, char **argv, const struct option *options)
{
    int option;

    opterr = 0;
    option = getopt_long(argc, argv, "+:h", options, NULL);
    switch (option) {
    case 'h':
        return OPTION_HELP;
    case ':':
        usage_error(command, "option '%s' needs a value", argv[optind - 1]);
        return OPTION_BAD;
    case '?':
        if (!optopt) {
            usage_error(command, "unknown option '%s'", argv[optind - 1]);
        } else if (optopt > UCHAR_MAX) {
            usage_error(command, "option '%s' takes no value", argv[optind - 1]);
        } else {
            usage_error(command, "unknown option '-%c'", optopt);
        }
        return OPTION_BAD;
    default:
        return option;
    }
}

int parse_pid(const char *text, pid_t *ret)
{
    char *end;
    long pid;

    errno = 0;
    pid = strtol(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9' || pid <= 0 || pid > INT_MAX) {
        return -EINVAL;
    }
    *ret = pid;
    return 0;
}

int parse_seconds(const char *text, double least, double most, double *ret)
{
    char *end;
    double value = strtod(text, &end);

    if (*end || end == text || !(value >= least && value <= most)) {
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

/* Closes standard output. Returns @status, or an error if output was lost, as on a full disk. */
int finish_output(int status)
{
    bool failed = ferror(stdout);

    errno = 0;
    if (fclose(stdout) || failed) {
        fprintf(stderr, PROGRAM ": cannot write to standard output: %s\n",
                errno ? strerror(errno) : "an earlier write failed");
        return EXIT_FAILURE;
    }
    return status;
}

int show(const char *text)
{
    fputs(text, stdout);
    return finish_output(EXIT_SUCCESS);
}

/* Index into commands, or -1. */
static int find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!strcmp(commands[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static int help_main(int argc, char **argv)
{
    static const struct option options[] = { { "help", no_argument, NULL, OPTION_HELP }, { 0 } };
    int command;

    switch (next_option("help", argc, argv, options)) {
    case OPTION_HELP:
        return show(help_help);
    case OPTION_BAD:
        return EXIT_USAGE;
    }
    if (argc - optind > 1) {
        return usage_error("help", "help takes one subcommand");
    }
    if (argc == optind) {
        return show(program_help);
    }
    command = find_command(argv[optind]);
    if (command < 0) {
        return usage_error(NULL, "unknown subcommand '%s'", argv[optind]);
    }
    return show(commands[command].help);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
    };
    int command;

    switch (next_option(NULL, argc, argv, options)) {
    case OPTION_HELP:
        return show(program_help);
    case OPTION_VERSION:
        printf(PROGRAM " %s\n", ww_version());
        return finish_output(EXIT_SUCCESS);
    case OPTION_BAD:
        return EXIT_USAGE;
    }
    if (optind >= argc) {
        return usage_error(NULL, "no subcommand");
    }
    command = find_command(argv[optind]);
    if (command < 0) {
        return usage_error(NULL, "unknown subcommand '%s'", argv[optind]);
    }
    argc -= optind;
    argv += optind;
    optind = 0; /* start over */
    return commands[command].main(argc, argv);
}
