/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance.c - does this system answer GetWriteWatch as Windows does?
 *
 * Owns the command line and the table of groups; the checks stand in the conformance_*.c
 * files beside it, their common helpers in conformance_util.c. Without a mode Windows'
 * answers are expected throughout. The mode "stock" marks the checks that Wine's own mprotect
 * emulation is known to fail, "permissive" marks the same and forgives those that succeed.
 */
#define WWTEST_MAIN
#include <string.h>
#include "conformance.h"

static const struct group {
    const char *name;
    void (*run)(void);
    const char *what;
} groups[] = {
    { "get_arguments", test_get_arguments, "what GetWriteWatch refuses, in which order" },
    { "reset_arguments", test_reset_arguments, "what ResetWriteWatch refuses" },
    { "rounding", test_rounding, "base and size that are no multiples of a page" },
    { "adjacent", test_adjacent, "two allocations side by side are two allocations" },
    { "marks", test_marks, "which accesses mark a page" },
    { "ranges", test_ranges, "queries and resets of a part" },
    { "count", test_count, "arrays too small for the answer" },
    { "many", test_many, "thousands of pages, hundreds of runs" },
    { "allocate", test_allocate, "allocation types and protections" },
    { "allocate_ex", test_allocate_ex, "VirtualAlloc2, with and without a placeholder" },
    { "reserve", test_reserve, "reserved memory, committed bit by bit" },
    { "protect", test_protect, "VirtualProtect changes no answer" },
    { "decommit", test_decommit, "decommit drops what no VirtualProtect has latched" },
    { "release", test_release, "released memory is watched no more" },
    { "file_io", test_file_io, "ReadFile and WriteFile on files" },
    { "pipe_io", test_pipe_io, "ReadFile on pipes" },
    { "socket_io", test_socket_io, "WSARecv" },
    { "process_memory", test_process_memory, "ReadProcessMemory and WriteProcessMemory" },
    { "faults", test_faults, "faults the program asked for still arrive" },
    { "threads", test_threads, "a harvest while other threads write loses nothing" },
    { "processes", test_processes, "child processes, and requests from another process" },
    { "model", test_model, "random sequences against a model" },
};

static int usage(void)
{
    printf("usage: conformance [strict|stock|permissive] [GROUP]\n       conformance list\n");
    fflush(stdout);
    return 2;
}

static int list_groups(void)
{
    size_t i;

    for (i = 0; i < ARRAYSIZE(groups); i++)
        printf("%-16s %s\n", groups[i].name, groups[i].what);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    const char *filter = NULL;
    bool found = false;
    int i;
    size_t g;

    wwtest_begin("conformance");
    if (argc > 1 && !strcmp(argv[1], "child"))
        return run_child(argc, argv);
    if (argc == 2 && !strcmp(argv[1], "list"))
        return list_groups();

    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "permissive"))
            wwtest.stock = wwtest.permissive = true;
        else if (!strcmp(argv[i], "stock"))
            wwtest.stock = true;
        else if (!strcmp(argv[i], "strict"))
            wwtest.stock = wwtest.permissive = false;
        else if (!filter)
            filter = argv[i];
        else
            return usage();
    }

    for (g = 0; g < ARRAYSIZE(groups); g++) {
        if (filter && strcmp(filter, groups[g].name))
            continue;
        found = true;
        wwtest.group = groups[g].name;
        groups[g].run();
    }
    return found ? wwtest_end() : usage();
}
