/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A preload that reports crashes: it handles SIGSEGV from the start, prints where the
 * fault was and ends the program with exit code 66.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void report(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    dprintf(2, "handler: fault at %p\n", info->si_addr);
    _exit(66);
}

__attribute__((constructor)) static void install(void)
{
    struct sigaction action = { .sa_sigaction = report, .sa_flags = SA_SIGINFO };

    sigaction(SIGSEGV, &action, NULL);
}
