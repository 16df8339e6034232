/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs workloads in rounds. In each round every peer takes its turn, in a different order each time, so that
 * what disturbs the machine disturbs all peers. A child makes each measurement: no peer sees the memory, the
 * threads or the signal handlers of another, a child that hangs is killed after its time, and one that
 * crashes damages nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

struct job {
    const struct bench_peer *peer;
    const struct bench_workload *workload;
    bool quick;
    uint64_t seed;
    double limit_s;
};

static void child(const struct job *job, struct bench_report *report) __attribute__((noreturn));
static void child(const struct job *job, struct bench_report *report)
{
    struct bench_run run = {
        .peer = job->peer,
        .quick = job->quick,
        .seed = job->seed,
        .page = sysconf(_SC_PAGESIZE),
        .report = report,
    };
    int err;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (job->peer->run) {
        _exit(job->peer->run(job->peer, job->workload, &run));
    }
    err = job->peer->ops->open(job->peer, &run.state);
    if (err) {
        bench_unable(&run, "it cannot be opened: %s", ww_strerror(err));
    }
    job->workload->run(&run);
    job->peer->ops->close(run.state);
    _exit(BENCH_DONE);
}

/* Waits until the child has ended, which closes the other end of the pipe. False: the time is over. */
static bool wait_for_end(int fd, double limit_s)
{
    double end = bench_now_us() + limit_s * 1e6, left;
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

    for (;;) {
        left = end - bench_now_us();
        if (left <= 0) {
            return false;
        }
        if (poll(&poll_fd, 1, (int)(left / 1e3) + 1) > 0) {
            return true;
        }
    }
}

static int status_of(pid_t pid, struct bench_report *report)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && (WEXITSTATUS(status) == BENCH_DONE || report->message[0])) {
        return WEXITSTATUS(status);
    }
    if (WIFSIGNALED(status)) {
        snprintf(report->message, sizeof(report->message), "it was killed by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(report->message, sizeof(report->message), "it ended with code %d", WEXITSTATUS(status));
    }
    return BENCH_WRONG;
}

/* Makes one measurement. The report also has what was measured before a bad end. */
static int run_job(const struct job *job, struct bench_report *report)
{
    bool in_time;
    int ends[2], status;
    pid_t pid;

    memset(report, 0, sizeof(*report));
    if (pipe2(ends, O_CLOEXEC)) {
        snprintf(report->message, sizeof(report->message), "no pipe: %s", strerror(errno));
        return BENCH_UNABLE;
    }
    signal(SIGCHLD, SIG_DFL); /* where it is ignored, waitpid() fails */
    fflush(NULL);
    pid = fork();
    if (!pid) {
        close(ends[0]);
        child(job, report);
    }
    close(ends[1]);
    if (pid < 0) {
        snprintf(report->message, sizeof(report->message), "no process: %s", strerror(errno));
        close(ends[0]);
        return BENCH_UNABLE;
    }
    in_time = wait_for_end(ends[0], job->limit_s);
    if (!in_time) {
        kill(pid, SIGKILL);
    }
    close(ends[0]);
    status = status_of(pid, report);
    if (!in_time && status != BENCH_DONE) {
        snprintf(report->message, sizeof(report->message), "it took longer than %g s", job->limit_s);
        return BENCH_CUT_OFF;
    }
    return status;
}

static struct bench_report *shared_report(void)
{
    struct bench_report *report =
        mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return report == MAP_FAILED ? NULL : report;
}

int bench_try(const struct bench_peer *peer, const struct bench_workload *workload, double limit_s,
              struct bench_report *report)
{
    const struct job job = {
        .peer = peer, .workload = workload, .quick = true, .seed = 1, .limit_s = limit_s
    };
    struct bench_report *shared = shared_report();
    int status;

    if (!shared) {
        snprintf(report->message, sizeof(report->message), "no memory");
        return BENCH_UNABLE;
    }
    status = run_job(&job, shared);
    *report = *shared;
    munmap(shared, sizeof(*shared));
    return status;
}

/* Adds the samples of a child to the results. */
static int collect(struct bench_results *results, const struct job *job, size_t peer, size_t round,
                   const struct bench_report *report)
{
    size_t nr = __atomic_load_n(&report->nr_samples, __ATOMIC_ACQUIRE);

    for (size_t i = 0; i < nr && i < MAX_SAMPLES; i++) {
        const struct bench_sample *sample = &report->sample[i];
        struct bench_figure *figure = bench_figure_get(results, sample->name, sample->unit);

        if (!figure) {
            return -ENOSPC;
        }
        figure->workload = job->workload->name;
        figure->pages = sample->pages;
        figure->fraction = sample->fraction;
        figure->len = sample->len;
        figure->sample[peer][round] = sample->value;
    }
    return 0;
}

/* Adds a remark once, even if several rounds make it. */
static void note_remark(struct bench_results *results, const struct job *job,
                        const struct bench_report *report)
{
    char note[sizeof(*results->notes)];

    if (!report->message[0]) {
        return;
    }
    snprintf(note, sizeof(note), "workload=%s peer=%s %s", job->workload->name, job->peer->name,
             report->message);
    for (size_t i = 0; i < results->nr_notes; i++) {
        if (!strcmp(results->notes[i], note)) {
            return;
        }
    }
    bench_note(results, "%s", note);
}

/* Returns whether the peer runs this workload in the next round. */
static bool judge(struct bench_results *results, const struct job *job, int status,
                  const struct bench_report *report)
{
    static const char *const words[] = { [BENCH_WRONG] = "WRONG", [BENCH_CUT_OFF] = "cut off" };

    if (status == BENCH_DONE) {
        note_remark(results, job, report);
        return true;
    }
    results->nr_wrong += status == BENCH_WRONG;
    bench_note(results, "workload=%s peer=%s %s: %s", job->workload->name, job->peer->name,
               status == BENCH_UNABLE ? "left out" : words[status], report->message);
    return false;
}

static void show_progress(const struct bench_plan *plan, size_t round, size_t nr_rounds, const char *peer)
{
    if (plan->progress && isatty(fileno(plan->progress))) {
        fprintf(plan->progress, "\r  round %zu of %zu: %-20s\r", round + 1, nr_rounds, peer);
        fflush(plan->progress);
    }
}

static int run_workload(const struct bench_plan *plan, struct bench_results *results,
                        const struct bench_workload *workload, struct bench_report *report)
{
    size_t nr = results->peers.nr;
    bool out[MAX_PEERS] = { false };
    int err = 0;

    for (size_t peer = 0; peer < nr; peer++) {
        out[peer] = !workload->run && !results->peers.peer[peer].run;
        if (workload->needs & ~results->peers.peer[peer].caps) {
            out[peer] = true;
            bench_note(results, "workload=%s peer=%s left out: %s", workload->name,
                       results->peers.peer[peer].name, workload->why);
        }
    }
    for (size_t round = 0; round < results->nr_rounds && !err; round++) {
        for (size_t turn = 0; turn < nr && !err; turn++) {
            size_t peer = (turn + round) % nr;
            struct job job = {
                .peer = &results->peers.peer[peer],
                .workload = workload,
                .quick = plan->quick,
                .seed = round + 1,
                .limit_s = plan->limit_s,
            };
            int status;

            if (out[peer]) {
                continue;
            }
            show_progress(plan, round, results->nr_rounds, job.peer->name);
            status = run_job(&job, report);
            err = collect(results, &job, peer, round, report);
            out[peer] = !judge(results, &job, status, report);
        }
    }
    return err;
}

bool bench_is_wanted(const struct bench_plan *plan, const struct bench_workload *workload)
{
    for (size_t i = 0; i < plan->nr_patterns; i++) {
        if (!fnmatch(plan->patterns[i], workload->name, 0)) {
            return true;
        }
    }
    return !plan->nr_patterns;
}

static int run_if_wanted(const struct bench_plan *plan, struct bench_results *results,
                         const struct bench_workload *workload, struct bench_report *report)
{
    if (!bench_is_wanted(plan, workload)) {
        return 0;
    }
    if (plan->progress) {
        fprintf(plan->progress, "%s: %s\n", workload->name, workload->unit);
    }
    return run_workload(plan, results, workload, report);
}

int bench_run_all(const struct bench_plan *plan, struct bench_results *results)
{
    struct bench_report *report = shared_report();
    int err = report ? 0 : -ENOMEM;

    for (size_t i = 0; i < bench_nr_workloads && !err; i++) {
        err = run_if_wanted(plan, results, &bench_workloads[i], report);
    }
    for (size_t i = 0; i < plan->nr_extra && !err; i++) {
        err = run_if_wanted(plan, results, &plan->extra[i], report);
    }
    if (report) {
        munmap(report, sizeof(*report));
    }
    return err;
}
