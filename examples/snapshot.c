/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Incremental snapshot: two threads change memory at random while this program
 * copies the written pages into a file, round after round, without stopping
 * them. After the last round, when the threads have ended, the file equals the
 * memory byte for byte. Exits with 77 if no backend works, with 1 if
 * anything is wrong.
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
#include <unistd.h>
#include <writewatch.h>

#define SIZE ((size_t)64 << 20)
#define ROUND_US 20000
#define NR_THREADS 2
#define NR_RANGES 256

static char *memory;
static atomic_bool stop;

static void require(int condition, const char *what)
{
    if (!condition) {
        printf("failed: %s\n", what);
        exit(1);
    }
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
        require(nr >= 0, "ask which pages were written");
        for (ssize_t i = 0; i < nr; i++) {
            for (from = (char *)ranges[i].start; from < (char *)ranges[i].end;) {
                ssize_t len = pwrite(file, from, (char *)ranges[i].end - from, from - memory);

                require(len > 0, "write the file");
                from += len;
                copied += len;
            }
        }
    } while (nr == NR_RANGES && from < end);
    return copied;
}

int main(int argc, char **argv)
{
    size_t rounds = (argc > 1 ? atof(argv[1]) : 3) * 1e6 / ROUND_US, copied = 0;
    FILE *file = tmpfile();
    struct ww_context *ctx;
    pthread_t threads[NR_THREADS];
    char *image;

    if (ww_open(&ctx, NULL)) {
        printf("SKIP: no backend works here (writewatch probe says why)\n");
        return 77;
    }
    require(file && !ftruncate(fileno(file), SIZE), "make a temporary file");
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED && !ww_watch(ctx, memory, SIZE, WW_WATCH_FRESH), "watch");
    for (uintptr_t i = 0; i < NR_THREADS; i++) {
        require(!pthread_create(&threads[i], NULL, write_at_random, (void *)(i + 1)), "start a thread");
    }
    for (size_t round = 0; round < rounds; round++) {
        copied += copy_written(ctx, fileno(file));
        usleep(ROUND_US);
    }
    stop = 1;
    for (int i = 0; i < NR_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    copied += copy_written(ctx, fileno(file));
    image = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fileno(file), 0);
    require(image != MAP_FAILED && !memcmp(image, memory, SIZE), "the file equals the memory");
    printf("%s: %zu rounds copied %zu MB; whole copies would have been %zu MB; the file equals the memory\n",
           ww_backend_name(ctx), rounds + 1, copied >> 20, (rounds + 1) * (SIZE >> 20));
    ww_close(ctx);
    fclose(file);
    return 0;
}
