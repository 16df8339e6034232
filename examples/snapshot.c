/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Incremental snapshot: two threads change memory at random while this program
 * copies what they have written into a file, again and again, and never stops
 * them. After the last round, made when they have ended, the file holds the
 * memory byte for byte.
 *
 * usage: snapshot [SECONDS]
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <writewatch.h>

#define SIZE ((size_t)64 << 20)
#define NR_RANGES 256

static char *memory;
static atomic_bool stop;

static void fail(const char *what)
{
    fprintf(stderr, "snapshot: %s\n", what);
    exit(EXIT_FAILURE);
}

/* Changes words in one small part of the memory after the other, as programs do. */
static void *write_at_random(void *arg)
{
    unsigned int seed = (uintptr_t)arg;

    for (unsigned int value = 1; !stop; value++) {
        size_t part = (size_t)rand_r(&seed) % (SIZE >> 20) << 20;

        for (int i = 0; i < 20; i++) {
            memcpy(memory + part + (rand_r(&seed) & 0xffffc), &value, sizeof(value));
        }
        usleep(1000);
    }
    return NULL;
}

/*
 * One round: every page written since the round before goes to its place in the
 * file. A page that is written while it is copied is reported again next time:
 * it was made clean before its content was read. Returns the bytes copied.
 */
static size_t copy_written(struct ww_context *ctx, int file)
{
    struct ww_range ranges[NR_RANGES];
    char *from = memory, *end = memory + SIZE;
    size_t copied = 0;
    ssize_t nr;

    do {
        nr = ww_get_ranges(ctx, from, end - from, WW_GET_RESET, ranges, NR_RANGES);
        if (nr < 0) {
            fail("ww_get_ranges");
        }
        for (ssize_t i = 0; i < nr; i++) {
            size_t len = ranges[i].end - ranges[i].start;

            if (pwrite(file, (void *)ranges[i].start, len, ranges[i].start - (uintptr_t)memory) !=
                (ssize_t)len) {
                fail("cannot write the file");
            }
            copied += len;
            from = (char *)ranges[i].end;
        }
    } while (nr == NR_RANGES && from < end);
    return copied;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    double end = now() + (argc > 1 ? atof(argv[1]) : 3);
    size_t copied = 0, rounds = 0;
    FILE *file = tmpfile();
    struct ww_context *ctx;
    pthread_t threads[2];
    char *image;

    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || !file || ftruncate(fileno(file), SIZE)) {
        fail("no memory, or no temporary file");
    }
    if (ww_open(&ctx, NULL) || ww_watch(ctx, memory, SIZE, WW_WATCH_FRESH)) {
        fail("cannot watch");
    }
    for (uintptr_t i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, write_at_random, (void *)(i + 1));
    }
    for (; now() < end; rounds++) {
        copied += copy_written(ctx, fileno(file));
        usleep(20000);
    }
    stop = 1;
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    copied += copy_written(ctx, fileno(file));
    image = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fileno(file), 0);
    if (image == MAP_FAILED || memcmp(image, memory, SIZE)) {
        fail("the file differs from the memory");
    }
    printf("%s: %zu rounds copied %zu MB; whole copies would have been %zu MB; the file equals the memory\n",
           ww_backend_name(ctx), rounds + 1, copied >> 20, (rounds + 1) * SIZE >> 20);
    ww_close(ctx);
    fclose(file);
    return EXIT_SUCCESS;
}
