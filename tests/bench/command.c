/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Benchmark peers that are other programs: Windows programs under some Wine, with or without
 * the shim. /bin/sh runs the command with the workload's name, the seed and "full" or
 * "quick" as further arguments. The command must exec the program, because this file reads
 * that process's status and ends it when its time is over. The program writes lines,
 *   sample NAME UNIT PAGES FRACTION LEN VALUE
 *   message TEXT
 *   status FIELD          (to be answered by a line with that number of /proc/PID/status, in kB)
 * and others, which are ignored; its exit code is one of enum bench_end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../programs/common/proc.h"
#include "peers.h"

static void exec_command(const char *command, const char *workload, const struct bench_run *run, int in,
                         int out) __attribute__((noreturn));
static void exec_command(const char *command, const char *workload, const struct bench_run *run, int in,
                         int out)
{
    char script[1024], seed[24];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in, 0);
    dup2(out, 1);
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
    snprintf(script, sizeof(script), "exec %s \"$@\"", command);
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)run->seed);
    execl("/bin/sh", "sh", "-c", script, "sh", workload, seed, run->quick ? "quick" : "full", (char *)NULL);
    _exit(BENCH_WRONG);
}

static void hear(struct bench_run *run, const char *line, pid_t pid, int replies)
{
    struct bench_sample sample = { .len = 0 };
    char field[32];

    if (sscanf(line, "sample %63s %15s %zu %lf %zu %lf", sample.name, sample.unit, &sample.pages,
               &sample.fraction, &sample.len, &sample.value) == 6) {
        bench_emit_sample(run, &sample);
    } else if (!strncmp(line, "message ", 8)) {
        snprintf(run->report->message, sizeof(run->report->message), "%.*s", (int)strcspn(line + 8, "\r\n"),
                 line + 8);
    } else if (sscanf(line, "status %31s", field) == 1) {
        dprintf(replies, "%ld\n", read_status(pid, field));
    }
}

/* Reads lines until the process has ended and nothing is left, not until the end of the pipe: a process that
 * it has started may live on and keep its end open. */
static void hear_all(struct bench_run *run, pid_t pid, int from, int replies)
{
    struct pollfd polled[] = {
        { .fd = from, .events = POLLIN },
        { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN },
    };
    char text[1024];
    size_t used = 0;

    for (;;) {
        char *line = text, *end;
        ssize_t nr = 0;

        if (poll(polled, 2, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            break;
        }
        if (polled[0].revents) {
            nr = read(from, text + used, sizeof(text) - 1 - used);
        }
        if (nr <= 0) {
            break;
        }
        used += nr;
        text[used] = '\0';
        for (; (end = strchr(line, '\n')); line = end + 1) {
            hear(run, line, pid, replies);
        }
        used = text + used - line;
        memmove(text, line, used);
        if (used == sizeof(text) - 1) {
            used = 0; /* no line that is for us is as long */
        }
    }
    if (polled[1].fd >= 0) {
        close(polled[1].fd);
    }
}

int command_run(const struct bench_peer *peer, const struct bench_workload *workload, struct bench_run *run)
{
    int requests[2], replies[2], status = 0;
    pid_t pid;

    if (pipe2(requests, O_CLOEXEC) || pipe2(replies, O_CLOEXEC)) {
        bench_unable(run, "no pipe: %s", strerror(errno));
    }
    signal(SIGPIPE, SIG_IGN);
    pid = fork();
    if (!pid) {
        exec_command(peer->command, workload->name, run, replies[0], requests[1]);
    }
    close(requests[1]);
    close(replies[0]);
    if (pid < 0) {
        bench_unable(run, "no process: %s", strerror(errno));
    }
    hear_all(run, pid, requests[0], replies[1]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        bench_wrong(run, "it was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    return WEXITSTATUS(status);
}
