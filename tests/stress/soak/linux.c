/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The soak test's system (struct soak_system) over libwritewatch, with any backend, by
 * WW_BACKEND. Memory changes as Wine and the preload change it. A signal suspends
 * threads, as collectors do it, and a timer's signals interrupt any of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "change.h"
#include "soak.h"

static struct ww_context *ctx;
static uint32_t caps;
static int pipe_ends[2], file;
static sem_t stopped, resumed;
static atomic_uint nr_alarms;

/* ---- threads ---- */

static void on_stop(int sig)
{
    int saved = errno;
    sigset_t mask;

    (void)sig;
    sigfillset(&mask);
    sigdelset(&mask, SIGUSR2);
    sem_post(&stopped);
    sigsuspend(&mask);
    sem_post(&resumed);
    errno = saved;
}

static void on_resume(int sig)
{
    (void)sig;
}

static void on_alarm(int sig)
{
    (void)sig;
    atomic_fetch_add_explicit(&nr_alarms, 1, memory_order_relaxed);
}

static int signal_all(struct soak_actor **actors, size_t nr, int sig, sem_t *answers)
{
    for (size_t i = 0; i < nr; i++) {
        int err = pthread_kill(actors[i]->thread, sig);

        if (err) {
            return -err;
        }
    }
    for (size_t i = 0; i < nr; i++) {
        while (sem_wait(answers)) {
            ;
        }
    }
    return 0;
}

static int suspend(struct soak_actor **actors, size_t nr)
{
    return signal_all(actors, nr, SIGUSR1, &stopped);
}

static int resume(struct soak_actor **actors, size_t nr)
{
    return signal_all(actors, nr, SIGUSR2, &resumed);
}

/* The alarm interrupts worker threads, and not the one that checks. */
static void enter(struct soak_actor *actor)
{
    struct itimerval timer = { .it_interval = { .tv_usec = 900 }, .it_value = { .tv_usec = 900 } };
    sigset_t alarm;

    if (!actor->number) {
        sigemptyset(&alarm);
        sigaddset(&alarm, SIGALRM);
        pthread_sigmask(SIG_BLOCK, &alarm, NULL);
    } else if (actor->number == 1 && soak.options.alarms) {
        setitimer(ITIMER_REAL, &timer, NULL);
    }
}

static int handle_signals(void)
{
    struct sigaction stop = { .sa_handler = on_stop, .sa_flags = SA_RESTART };
    struct sigaction go_on = { .sa_handler = on_resume, .sa_flags = SA_RESTART };
    struct sigaction alarm = { .sa_handler = on_alarm }; /* system calls end with EINTR */

    sigfillset(&stop.sa_mask);
    return sigaction(SIGUSR1, &stop, NULL) || sigaction(SIGUSR2, &go_on, NULL) ||
           sigaction(SIGALRM, &alarm, NULL) || sem_init(&stopped, 0, 0) || sem_init(&resumed, 0, 0);
}

static double seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Sleeps the whole time, also if signals interrupt it. */
static void nap(unsigned int us)
{
    struct timespec time = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

    if (!us) {
        sched_yield();
        return;
    }
    while (nanosleep(&time, &time) && errno == EINTR) {
        ;
    }
}

static void say(const char *text, size_t len)
{
    while (len) {
        ssize_t nr = write(STDOUT_FILENO, text, len);

        if (nr < 0 && errno != EINTR) {
            return;
        }
        text += nr > 0 ? nr : 0;
        len -= nr > 0 ? nr : 0;
    }
}

/* ---- memory ---- */

static int system_open(void)
{
    char path[] = "/tmp/soak-XXXXXX";
    int err = ww_open(&ctx, NULL);

    /* One heap for all threads, so that a suspended thread may hold its lock, as in programs with many
     * threads. */
    mallopt(M_ARENA_MAX, 1);
    if (err) {
        soak_say("skipped: no backend: %s\n", strerror(-err));
        return 77;
    }
    caps = ww_backend_caps(ctx);
    if (!(caps & WW_CAP_ATOMIC_RESET)) {
        soak_say("skipped: %s loses writes of running threads, and says so\n", ww_backend_name(ctx));
        return 77;
    }
    file = mkstemp(path);
    if (file < 0 || unlink(path) || pipe(pipe_ends) || handle_signals()) {
        soak_say("skipped: %s\n", strerror(errno));
        return 77;
    }
    soak.exact = caps & WW_CAP_EXACT;
    soak.kernel_writes = caps & WW_CAP_KERNEL_WRITES;
    soak.two_levels = true;
    return 0;
}

static void system_close(void)
{
    ww_close(ctx);
    close(file);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static char *allocate(size_t len)
{
    char *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED) {
        return NULL;
    }
    if (ww_watch(ctx, base, len, WW_WATCH_FRESH | WW_WATCH_PRIVATE_ANONYMOUS)) {
        munmap(base, len);
        return NULL;
    }
    return base;
}

static int release(char *base, size_t len)
{
    int err = ww_unwatch(ctx, base, len);

    return err ? err : munmap(base, len);
}

static int change_protection(char *addr, size_t len, int prot)
{
    return ww_protect(ctx, addr, len, prot);
}

/* As Wine does: replaces the mapping by one without access. */
static int replace_mapping(char *addr, size_t len)
{
    struct ww_hold hold;
    int err = ww_hold_to_change_at(ctx, (uintptr_t)addr, &hold);

    if (err) {
        return err;
    }
    if (mmap(addr, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
        MAP_FAILED) {
        err = -errno;
    } else {
        err = ww_hold_discard(&hold, (uintptr_t)addr, (uintptr_t)addr + len);
    }
    ww_hold_end(&hold);
    return err;
}

/* As other programs do: drops the pages. */
static int drop_pages(char *addr, size_t len)
{
    int err = madvise(addr, len, MADV_DONTNEED) ? -errno : ww_discard(ctx, addr, len);

    return err ? err : change_protection(addr, len, PROT_NONE);
}

static int decommit(char *addr, size_t len)
{
    static atomic_uint nr;

    return (caps & WW_CAP_OWNS_PROT) || atomic_fetch_add(&nr, 1) % 2 ? drop_pages(addr, len)
                                                                     : replace_mapping(addr, len);
}

/* Replaces the mapping without a call of the library, if the backend notices that. */
static int replace(char *addr, size_t len)
{
    void *again;

    if (!(caps & WW_CAP_LOST_DETECTED) || (caps & WW_CAP_OWNS_PROT)) {
        return decommit(addr, len);
    }
    again = mmap(addr, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return again == MAP_FAILED ? -errno : 0;
}

static int commit(char *addr, size_t len)
{
    return change_protection(addr, len, PROT_READ | PROT_WRITE);
}

/* As VirtualProtect() does, latches dirty pages. */
static int protect(char *addr, size_t len, enum soak_access access)
{
    static const int prots[] = {
        [SOAK_NONE] = PROT_NONE,
        [SOAK_READ] = PROT_READ,
        [SOAK_WRITE] = PROT_READ | PROT_WRITE,
        [SOAK_EXECUTE] = PROT_READ | PROT_WRITE | PROT_EXEC,
    };
    int err = change_protection(addr, len, prots[access]);

    return err ? err : ww_latch(ctx, addr, len);
}

static ssize_t get(char *addr, size_t len, bool reset, void **pages, size_t capacity)
{
    return ww_get_pages(ctx, addr, len, reset ? WW_GET_RESET : 0, pages, capacity);
}

static int reset(char *addr, size_t len)
{
    return ww_reset(ctx, addr, len);
}

/* ---- other work ---- */

static int kernel_write(char *dst, const void *src, size_t len, bool by_file)
{
    ssize_t nr = by_file ? pwrite(file, src, len, 0) : write(pipe_ends[1], src, len);
    size_t done = 0;

    if (nr != (ssize_t)len) {
        return -EIO;
    }
    while (done < len) {
        nr = by_file ? pread(file, dst + done, len - done, done) : read(pipe_ends[0], dst + done, len - done);
        if (nr <= 0 && !(nr < 0 && errno == EINTR)) {
            return nr ? -errno : -EIO;
        }
        done += nr > 0 ? nr : 0;
    }
    return 0;
}

static void *short_life(void *arg)
{
    free(memset(arg, 1, 100));
    return malloc(40);
}

static int start_thread(void)
{
    pthread_t thread;
    void *left;

    if (pthread_create(&thread, NULL, short_life, malloc(100)) || pthread_join(thread, &left)) {
        return -1;
    }
    free(left);
    return 0;
}

static int use_memory(uint64_t *random)
{
    size_t len = (1 + soak_random(random) % 300) * SOAK_PAGE;
    char *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED) {
        return -1;
    }
    base[0] = base[len - 1] = 1;
    return mprotect(base, len, PROT_READ) || munmap(base, len) ? -1 : 0;
}

static int ordinary(uint64_t *random)
{
    switch (soak_random(random) % 16) {
    case 0:
        return start_thread();
    case 1:
    case 2:
    case 3:
        return use_memory(random);
    default:
        return soak_use_heap(random);
    }
}

const struct soak_system soak_system = {
    .name = "libwritewatch",
    .open = system_open,
    .close = system_close,
    .allocate = allocate,
    .release = release,
    .commit = commit,
    .decommit = decommit,
    .replace = replace,
    .protect = protect,
    .get = get,
    .reset = reset,
    .kernel_write = kernel_write,
    .ordinary = ordinary,
    .suspend = suspend,
    .resume = resume,
    .enter = enter,
    .seconds = seconds,
    .nap = nap,
    .say = say,
    .die = _exit,
};
