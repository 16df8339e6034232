/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line of a subcommand: a table of its options, read in one place for all subcommands, and the
 * messages about wrong ones.
 */
#ifndef WW_PROGRAMS_COMMON_OPTIONS_H
#define WW_PROGRAMS_COMMON_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROGRAM "writewatch"

/* Exit codes; those of run are env(1)'s where the command cannot be executed. */
enum exit_code {
    GO_ON = -1, /* none yet: options and operands are right so far */
    EXIT_USAGE = 1,
    EXIT_UNUSABLE = 77, /* as "skipped" for test programs */
    EXIT_CANNOT_EXECUTE = 126,
    EXIT_NOT_FOUND = 127,
};

/* What an option takes, and what @to of its row points to. */
enum option_kind {
    OPTION_FLAG,             /* nothing; bool */
    OPTION_SHOW,             /* nothing; a text, which is shown at once and ends the program */
    OPTION_TEXT,             /* const char * */
    OPTION_PID,              /* pid_t */
    OPTION_PAGES,            /* uint64_t */
    OPTION_ROUNDS,           /* uint64_t, in the row's range */
    OPTION_SECONDS,          /* double, in the row's range */
    OPTION_DURATION,         /* the same, of a range that no message names */
    OPTION_OTHER,            /* what take() says */
    OPTION_OTHER_OR_NOTHING, /* the same, or no value: NULL */
};

/* A table ends with a row without a name. */
struct option_row {
    const char *name;
    enum option_kind kind;
    void *to;
    double least, most;
    /* Returns GO_ON or what usage_error() does. */
    int (*take)(const struct option_row *row, const char *text);
};

/*
 * Reads options up to the first operand, argv[optind] then. --help is added to the table. Returns GO_ON, or
 * an exit code after a message or a text. @command is the subcommand, NULL for the program itself.
 */
int read_options(const char *command, const char *help, const struct option_row *rows, int argc, char **argv);

/* One line that says what is wrong and where help is. Returns EXIT_USAGE. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a name to the list in @text. What does not fit is cut off. */
void append_name(char *text, size_t size, const char *separator, const char *name);

/* Reads a number that is the whole text up to @end: neither blanks nor signs. @ret_end is where it stopped.
 */
bool parse_number(const char *text, int base, char end, uint64_t *ret_number, const char **ret_end);

/* Closes standard output. Returns @status, or an error if output was lost, as on a full disk. */
int finish_output(int status);

/* Writes a text to standard output, and closes it. */
int show(const char *text);

#endif
