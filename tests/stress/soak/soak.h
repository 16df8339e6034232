/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The soak test: threads that write, harvest, protect, decommit, allocate and
 * suspend each other at once, for as long as --seconds says. One source makes a Windows
 * program (with windows.c) and one over the library (with linux.c).
 *
 * It checks that a copy of each region (its shadow), made of reported pages only, equals
 * the region whenever all threads stand still; that nothing is reported then that was
 * not written; and that every thread makes progress.
 */
#ifndef SOAK_H
#define SOAK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SOAK_PAGE 4096
#define SOAK_WORDS (SOAK_PAGE / 8)
#define SOAK_MAX_PAGES 17000 /* of a region that threads share */
#define SOAK_NR_REGIONS 5
#define SOAK_MAX_ACTORS 48

enum soak_access { SOAK_NONE, SOAK_READ, SOAK_WRITE, SOAK_EXECUTE };

struct soak_actor;

/* The system that the test runs on. Calls return a negative number on failure. */
struct soak_system {
    const char *name;
    /* Sets the fields of struct soak that say what to expect. 0, or the exit code of the program. */
    int (*open)(void);
    void (*close)(void);
    /* Allocates watched memory, committed and writable; and releases it. */
    char *(*allocate)(size_t len);
    int (*release)(char *base, size_t len);
    int (*commit)(char *addr, size_t len);
    int (*decommit)(char *addr, size_t len);
    /* As decommit; but where the backend promises to notice it is not told. More pages may be reported then.
     */
    int (*replace)(char *addr, size_t len);
    int (*protect)(char *addr, size_t len, enum soak_access access);
    ssize_t (*get)(char *addr, size_t len, bool reset, void **pages, size_t capacity);
    int (*reset)(char *addr, size_t len);
    /* Has the kernel write into memory, through a pipe or a file; by one thread only. */
    int (*kernel_write)(char *dst, const void *src, size_t len, bool by_file);
    /* Does some work without write watches, as programs do. */
    int (*ordinary)(uint64_t *random);
    /* Suspends threads wherever they are; all stand still when it returns. */
    int (*suspend)(struct soak_actor **actors, size_t nr);
    int (*resume)(struct soak_actor **actors, size_t nr);
    /* Each thread calls it first. */
    void (*enter)(struct soak_actor *actor);
    double (*seconds)(void);
    void (*nap)(unsigned int us); /* 0: only lets others run */
    /* These two take no lock that a suspended thread may hold. */
    void (*say)(const char *text, size_t len);
    void (*die)(int status);
};

extern const struct soak_system soak_system;

/* A thread of the test. Only the thread itself changes its counts, and they are read at the end. */
struct soak_actor {
    const char *role;
    void (*step)(struct soak_actor *actor);
    unsigned int number; /* its number among all */
    unsigned int kind;   /* its number among those of its role */
    bool pauses;         /* stands still at checkpoints */
    unsigned int id;     /* of its stamps; 0: writes none to shared regions */
    uint64_t random, sequence;
    void **pages; /* SOAK_MAX_PAGES answers */
    void *own;    /* the role's */
    pthread_t thread;
    void *handle; /* the system's */
    atomic_uint progress;
    atomic_uint parked; /* the pause in which it stands still */
    atomic_bool gone;   /* it has ended */
    _Atomic(const char *) doing;
    uint64_t nr_operations, nr_stamps, nr_harvests, nr_pages, nr_suspends;
};

#define SOAK_NR_LOGGED 128

/* A recent call on a region, for the message about a lost write. */
struct soak_log_entry {
    _Atomic(const char *) what;
    atomic_uint actor, first, nr, result;
};

/* A watched region that threads share. Members that are not atomic change only while all of them stand still.
 */
struct soak_region {
    char *base;
    size_t nr_pages;
    size_t nr_common;         /* pages for all writers; each changer owns a part of the rest */
    _Atomic uint64_t *shadow; /* the copy of reported pages */
    atomic_uint gate;         /* how many threads copy, and whether one changes memory: see region.c */
    atomic_uint nr_logged;
    struct soak_log_entry log[SOAK_NR_LOGGED];
};

struct soak_options {
    unsigned int seconds, seed, writers, kernel_writers, harvesters, changers, churners, prowlers, ordinary,
        collectors, alarms, limit, checkpoint_ms, stock;
};

struct soak {
    struct soak_options options;
    bool exact;         /* nothing is reported that was not written */
    bool kernel_writes; /* system calls may write into clean pages */
    bool two_levels;    /* decommit makes written pages clean, but not those that a protect has latched */
    unsigned int nr_ids;
    struct soak_region regions[SOAK_NR_REGIONS];
    struct soak_actor *actors;
    size_t nr_actors;
    atomic_uint pause;    /* odd: all threads with ->pauses are to stand still */
    atomic_uint nr_ready; /* threads that have started; none works before all have */
    atomic_bool stop, stop_collectors;
    atomic_uint nr_lost, nr_spurious, nr_deadlocks, nr_failed, nr_checkpoints;
};

extern struct soak soak;

uint64_t soak_random(uint64_t *state);

/* For ->ordinary: allocates and frees. 0 or -1. */
int soak_use_heap(uint64_t *random);

static inline size_t soak_below(struct soak_actor *actor, size_t limit)
{
    return soak_random(&actor->random) % limit;
}
void soak_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Counts and prints a failure if @ret is negative. */
void soak_must(const struct soak_actor *actor, const char *what, long ret);
/* Says what a thread is doing, for the watchdog's and other messages. */
static inline void soak_doing(struct soak_actor *actor, const char *what)
{
    atomic_store_explicit(&actor->doing, what, memory_order_relaxed);
}

/* region.c */
uint64_t soak_stamp(struct soak_actor *actor);
bool soak_is_stamp(uint64_t value);
unsigned int soak_stamp_id(uint64_t stamp);
/* The words of a common page that the thread with this id writes. */
void soak_words_of(unsigned int id, size_t *ret_first, size_t *ret_nr);
static inline _Atomic uint64_t *soak_word(const struct soak_region *region, size_t page, size_t word)
{
    return (_Atomic uint64_t *)(region->base + page * SOAK_PAGE) + word;
}
/* The pages that only this changer writes. */
void soak_part_of(const struct soak_region *region, unsigned int changer, size_t *ret_first, size_t *ret_nr);
void soak_region_open(struct soak_region *region, size_t nr_pages);
void soak_region_close(struct soak_region *region);
void soak_log(struct soak_region *region, const struct soak_actor *actor, const char *what, size_t first,
              size_t nr, size_t result);
/* A thread copies between begin and end. False: memory is being changed. */
bool soak_try_copy(struct soak_region *region);
void soak_begin_copy(struct soak_region *region);
void soak_end_copy(struct soak_region *region);
/* No thread copies between these two. */
void soak_begin_change(struct soak_region *region);
void soak_end_change(struct soak_region *region);
void soak_copy(struct soak_region *region, size_t first, size_t nr);
void soak_copy_answer(struct soak_region *region, void **pages, size_t nr);
/* Queries pages [first, first + nr) and puts the answer into actor->pages. */
size_t soak_ask(struct soak_actor *actor, struct soak_region *region, size_t first, size_t nr, bool reset,
                size_t capacity);
/* Gets and resets until nothing is left, with arrays of @capacity, and copies. Returns the number of pages.
 */
size_t soak_harvest_all(struct soak_actor *actor, struct soak_region *region, size_t capacity);
void soak_reset_and_copy(struct soak_actor *actor, struct soak_region *region, size_t first, size_t nr);

/* actors.c, churn.c, collector.c: one turn of each role */
void soak_write(struct soak_actor *actor);
void soak_kernel_write(struct soak_actor *actor);
void soak_harvest(struct soak_actor *actor);
void soak_change(struct soak_actor *actor);
void soak_ordinary(struct soak_actor *actor);
void soak_churn(struct soak_actor *actor);
void soak_churn_end(struct soak_actor *actor);
void soak_prowl(struct soak_actor *actor);
void soak_collect(struct soak_actor *actor);

/* checkpoint.c */
void soak_park_if_asked(struct soak_actor *actor);
void soak_checkpoint(struct soak_actor *actor);

/* watchdog.c */
void soak_watchdog_start(void);
void soak_watchdog_end(void);

#endif
