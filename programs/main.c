/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * START HERE for the `writewatch` command: reads the program's own options, finds the subcommand in one
 * table, and calls it. Each subcommand has a file of its own.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/options.h"
#include "programs.h"
#include "writewatch.h"

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
    "  probe   tells which backends work here, and how to fix the others\n"
    "  doctor  checks what Windows programs need for it, and runs one\n"
    "  scan    shows the pages of a process by category\n"
    "  bench   measures what each method of tracking writes costs here\n"
    "  top     shows what a running program does with its write watches\n"
    "  record  records what a program does with its write watches\n"
    "  plot    draws such a record\n"
    "  help    shows this help, or that of a subcommand\n"
    "\n"
    "  -h, --help  shows this help\n"
    "  --version   shows the version\n"
    "\n"
    "Examples:\n"
    "  writewatch run -- wine game.exe\n"
    "  writewatch run --verbose -- wine game.exe   # reports on stderr\n"
    "  writewatch run -- %command%                 # launch option in Steam\n"
    "  writewatch doctor\n"
    "\n"
    "Where the kernel cannot track writes, the command runs as it would without writewatch.\n"
    "See writewatch(1), and writewatch(7) for what counts as a write.\n";

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
    static const struct option_row options[] = { { 0 } };
    int status = read_options("help", help_help, options, argc, argv), command;

    if (status != GO_ON) {
        return status;
    }
    if (argc - optind > 1) {
        return usage_error("help", "help takes one subcommand");
    }
    if (argc == optind) {
        return show(program_help);
    }
    command = find_command(argv[optind]);
    return command < 0 ? usage_error(NULL, "unknown subcommand '%s'", argv[optind])
                       : show(commands[command].help);
}

/* Keeps files that this program opens off descriptors 0 to 2 where these are closed: what it or a command
 * prints would go into the file. O_PATH refuses reads and writes as a closed descriptor does, and a command
 * finds the descriptor closed. */
static void occupy_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/", O_PATH | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

int main(int argc, char **argv)
{
    char version[64];
    const struct option_row options[] = { { "version", OPTION_SHOW, .to = version }, { 0 } };
    int status, command;

    occupy_standard_descriptors();
    snprintf(version, sizeof(version), PROGRAM " %s\n", ww_version());
    status = read_options(NULL, program_help, options, argc, argv);
    if (status != GO_ON) {
        return status;
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
