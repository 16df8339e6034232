/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads the options of every subcommand by getopt_long(), numbers within their ranges included, and says what
 * is wrong; also checks that output has arrived. Knows no subcommand.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#define MAX_OPTIONS 16

/*
 * What getopt_long() returns for the first row. It lies beyond the characters, which tells a letter that is
 * no option from an option that takes no value.
 */
#define FIRST_ROW (UCHAR_MAX + 1)

/* By the kind of a number; the range of the row follows the text. */
static const char *const wrong_number[] = {
    [OPTION_PID] = "'%s' is not a process ID",
    [OPTION_PAGES] = "'%s' is not a number of pages",
    [OPTION_ROUNDS] = "'%s' is not a number of rounds, %g to %g",
    [OPTION_SECONDS] = "'%s' is not a number of seconds from %g to %g",
    [OPTION_DURATION] = "'%s' is not a number of seconds",
};

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

void append_name(char *text, size_t size, const char *separator, const char *name)
{
    size_t len = strlen(text);

    snprintf(text + len, size - len, "%s%s", len ? separator : "", name);
}

/* ---- values ---- */

bool parse_number(const char *text, int base, char end, uint64_t *ret_number, const char **ret_end)
{
    char *stop;

    /* strtoull() would take blanks and signs. */
    if (!text[0] || !strchr("0123456789abcdefABCDEF", text[0])) {
        return false;
    }
    errno = 0;
    *ret_number = strtoull(text, &stop, base);
    *ret_end = stop;
    return !errno && stop != text && *stop == end;
}

/* Refuses 0, which no option takes. */
static bool take_whole_number(const struct option_row *row, const char *text)
{
    uint64_t most = row->kind == OPTION_PID     ? INT_MAX
                    : row->kind == OPTION_PAGES ? UINT64_MAX
                                                : (uint64_t)row->most;
    const char *end;
    uint64_t number;

    if (!parse_number(text, 10, '\0', &number, &end) || !number || number > most) {
        return false;
    }
    if (row->kind == OPTION_PID) {
        *(pid_t *)row->to = number;
    } else {
        *(uint64_t *)row->to = number;
    }
    return true;
}

static bool take_seconds(const struct option_row *row, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (*end || end == text || !(seconds >= row->least && seconds <= row->most)) {
        return false;
    }
    *(double *)row->to = seconds;
    return true;
}

static int take_value(const char *command, const struct option_row *row, const char *text)
{
    bool right = true;

    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)row->to = true;
        break;
    case OPTION_SHOW:
        return show(row->to);
    case OPTION_TEXT:
        *(const char **)row->to = text;
        break;
    case OPTION_PID:
    case OPTION_PAGES:
    case OPTION_ROUNDS:
        right = take_whole_number(row, text);
        break;
    case OPTION_SECONDS:
    case OPTION_DURATION:
        right = take_seconds(row, text);
        break;
    default:
        return row->take(row, text);
    }
    return right ? GO_ON : usage_error(command, wrong_number[row->kind], text, row->least, row->most);
}

/* ---- options ---- */

static int argument_of(enum option_kind kind)
{
    return kind == OPTION_FLAG || kind == OPTION_SHOW ? no_argument
           : kind == OPTION_OTHER_OR_NOTHING          ? optional_argument
                                                      : required_argument;
}

static int refuse(const char *command, const char *option)
{
    if (!optopt) {
        return usage_error(command, "unknown option '%s'", option);
    }
    if (optopt >= FIRST_ROW) {
        return usage_error(command, "option '%s' takes no value", option);
    }
    return usage_error(command, "unknown option '-%c'", optopt);
}

int read_options(const char *command, const char *help, const struct option_row *rows, int argc, char **argv)
{
    struct option options[MAX_OPTIONS + 2] = { { .name = NULL } };
    int status = GO_ON, nr = 0, option;

    for (; nr < MAX_OPTIONS && rows[nr].name; nr++) {
        options[nr] = (struct option){ rows[nr].name, argument_of(rows[nr].kind), NULL, FIRST_ROW + nr };
    }
    options[nr] = (struct option){ "help", no_argument, NULL, FIRST_ROW + nr };
    opterr = 0;
    while (status == GO_ON && (option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
        if (option == ':') {
            status = usage_error(command, "option '%s' needs a value", argv[optind - 1]);
        } else if (option == '?') {
            status = refuse(command, argv[optind - 1]);
        } else if (option == 'h' || option == FIRST_ROW + nr) {
            status = show(help);
        } else {
            status = take_value(command, &rows[option - FIRST_ROW], optarg);
        }
    }
    return status;
}
