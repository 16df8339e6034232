/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance.c - does this system answer GetWriteWatch as Windows does?
 *
 * Owns the command line and the table of groups; the conformance_*.c files beside it have the
 * checks, conformance_util.c their common helpers. Without a mode every check expects Windows'
 * answer. The mode "stock" marks the checks that Wine's own mprotect emulation is known to
 * fail, "permissive" marks the same and also accepts it if they succeed.
 */
#define WWTEST_MAIN
#include <string.h>
#include "conformance.h"

static const struct group {
    const char *name;
    void (*run)(void);
    const char *what;
} groups[] = {
    /* Before anything is watched that is allocated with PAGE_NOACCESS, which Wine shows as it shows a
       placeholder. */
    { "their_placeholders", test_their_placeholders, "another process makes watched memory a placeholder" },
    { "get_arguments", test_get_arguments, "what GetWriteWatch refuses, in which order" },
    { "reset_arguments", test_reset_arguments, "what ResetWriteWatch refuses" },
    { "rounding", test_rounding, "base and size that are no multiples of a page" },
    { "adjacent", test_adjacent, "two allocations side by side are two allocations" },
    { "marks", test_marks, "which accesses mark a page" },
    { "ranges", test_ranges, "queries and resets of a part" },
    { "count", test_count, "arrays too small for the answer" },
    { "many", test_many, "thousands of pages, hundreds of runs" },
    { "limits", test_limits, "every limit, and more runs than any buffer holds" },
    { "arrays", test_arrays, "the answer lies in the memory that is asked about" },
    { "bad_pointers", test_bad_pointers, "outputs that cannot be written: nothing is lost" },
    { "allocate", test_allocate, "allocation types and protections" },
    { "allocate_ex", test_allocate_ex, "VirtualAlloc2, with and without a placeholder" },
    { "reserve", test_reserve, "reserved memory, committed bit by bit" },
    { "protect", test_protect, "VirtualProtect changes no answer" },
    { "decommit", test_decommit, "decommit drops what no VirtualProtect has latched" },
    { "levels", test_levels, "every short sequence of write, protect, decommit, commit and reset" },
    { "discard", test_discard, "MEM_RESET, its undoing, DiscardVirtualMemory" },
    { "lock", test_lock, "VirtualLock" },
    { "release", test_release, "released memory is watched no more" },
    { "partial_release", test_partial_release, "released in part" },
    { "placeholders", test_placeholders, "split, replaced, coalesced" },
    { "file_io", test_file_io, "ReadFile and WriteFile on files" },
    { "pipe_io", test_pipe_io, "ReadFile on pipes" },
    { "socket_io", test_socket_io, "WSARecv" },
    { "async_io", test_async_io, "scattered and waiting reads, OVERLAPPED in watched memory" },
    { "datagrams", test_datagrams, "WSARecvFrom" },
    { "process_memory", test_process_memory, "ReadProcessMemory and WriteProcessMemory" },
    { "faults", test_faults, "faults the program asked for still arrive" },
    { "threads", test_threads, "a harvest while other threads write loses nothing" },
    { "suspend", test_suspend, "a harvest while all other threads are suspended" },
    { "stack", test_stack, "a watched stack" },
    { "handles", test_handles, "the process handle of the native calls" },
    { "peers", test_peers, "another process's watched memory, and another process in ours" },
    { "processes", test_processes, "child processes, and requests from another process" },
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
        printf("%-20s %s\n", groups[i].name, groups[i].what);
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
    if (argc > 1 && !strcmp(argv[1], "peer"))
        return run_peer(argc, argv);
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
