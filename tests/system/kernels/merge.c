/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * merge COMMAND...: runs a command, all of whose memory KSM may merge although the
 * command does not ask for it (PR_SET_MEMORY_MERGE: Linux 6.4; kept by exec: 6.7).
 * On older kernels the command runs too, and KSM merges only memory for which the
 * command asks.
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: merge COMMAND...\n");
        return 2;
    }
    prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
