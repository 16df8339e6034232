/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wwtest.h - checks for Windows programs, with the names that Wine's tests use.
 *
 * Owns the counters, the printing and the exit code of a test program, and nothing about
 * write watches. One file of a program defines WWTEST_MAIN before it includes this. Only the
 * main thread may call ok(): the counters are plain integers.
 */
#ifndef WWTEST_H
#define WWTEST_H

/* For a printf with %zu and %llx, which the C runtime of old Windows lacks. */
#ifndef __USE_MINGW_ANSI_STDIO
#define __USE_MINGW_ANSI_STDIO 1
#endif
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <fcntl.h>
#include <io.h>
#include <windows.h>

struct wwtest_state {
    const char *name;  /* the program's, for the closing line */
    const char *group; /* the one that runs now, for the message of a failing check */
    bool stock;        /* todo_stock blocks are todo */
    bool permissive;   /* a check that succeeds inside a todo block is no failure */
    bool on_wine;
    bool todo;             /* a todo block is open */
    unsigned int executed; /* all checks, those marked todo included */
    unsigned int todos;    /* failed, as expected, inside a todo block */
    unsigned int failures;
    unsigned int skipped;
};

extern struct wwtest_state wwtest;

void wwtest_begin(const char *name);
int wwtest_end(void);
void wwtest_skip(const char *file, int line, const char *fmt, ...) __attribute__((format(gnu_printf, 3, 4)));
void wwtest_ok(const char *file, int line, bool cond, const char *fmt, ...)
    __attribute__((format(gnu_printf, 4, 5)));

/* Every check prints the values it saw, so that a log alone is enough to understand a failure. */
#define ok(cond, ...) wwtest_ok(__FILE__, __LINE__, (cond), __VA_ARGS__)
#define skip(...) wwtest_skip(__FILE__, __LINE__, __VA_ARGS__)

/* An answer that some version of Windows gives although it is not the expected one; on Wine it is a failure.
 */
#define broken(cond) (!wwtest.on_wine && (cond))

/* todo_if(x) ok(...): while x holds, the check is expected to fail and its success is reported. */
#define todo_if(is_todo)                                                                                     \
    for (bool ww_open = (wwtest.todo = (is_todo), true); ww_open; ww_open = wwtest.todo = false)
#define todo_stock todo_if(wwtest.stock)

#ifdef WWTEST_MAIN
struct wwtest_state wwtest;

/* Output has Unix line ends on every system, because scripts on all of them read it. */
void wwtest_begin(const char *name)
{
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");

    _setmode(_fileno(stdout), _O_BINARY);
    wwtest = (struct wwtest_state){ .name = name, .group = name };
    wwtest.on_wine = ntdll && GetProcAddress(ntdll, "wine_get_version");
}

static void wwtest_print(const char *file, int line, const char *verdict, const char *fmt, va_list args)
{
    const char *p, *base = file;

    for (p = file; *p; p++)
        if (*p == '/' || *p == '\\')
            base = p + 1;
    printf("%s:%d: %s (%s): ", base, line, verdict, wwtest.group);
    vprintf(fmt, args);
    printf("\n");
    fflush(stdout);
}

void wwtest_ok(const char *file, int line, bool cond, const char *fmt, ...)
{
    const char *verdict = NULL;
    va_list args;

    wwtest.executed++;
    if (!cond && wwtest.todo) {
        wwtest.todos++;
        verdict = "Test marked as todo";
    } else if (!cond) {
        wwtest.failures++;
        verdict = "Test failed";
    } else if (wwtest.todo && !wwtest.permissive) {
        wwtest.failures++;
        verdict = "Test succeeded inside todo block";
    }
    if (!verdict)
        return;
    va_start(args, fmt);
    wwtest_print(file, line, verdict, fmt, args);
    va_end(args);
}

void wwtest_skip(const char *file, int line, const char *fmt, ...)
{
    va_list args;

    wwtest.skipped++;
    va_start(args, fmt);
    wwtest_print(file, line, "Tests skipped", fmt, args);
    va_end(args);
}

/* Returns the exit code of the program: the number of failures, as far as an exit code can hold it. */
int wwtest_end(void)
{
    printf("%s: %u tests executed (%u marked as todo, %u failures), %u skipped.\n", wwtest.name,
           wwtest.executed, wwtest.todos, wwtest.failures, wwtest.skipped);
    printf("%u passed, %u failed\n", wwtest.executed - wwtest.todos - wwtest.failures, wwtest.failures);
    fflush(stdout);
    return wwtest.failures < 255 ? (int)wwtest.failures : 255;
}
#endif /* WWTEST_MAIN */

#endif /* WWTEST_H */
