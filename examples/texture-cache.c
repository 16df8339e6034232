/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An emulator's texture cache. The guest has its textures in memory, and the host
 * keeps a copy of each, as if it were on the GPU. A guest thread draws into a few
 * of them each frame. The host uploads only those on written pages, once while
 * the guest draws and once at the end of the frame; then every copy must equal the
 * guest's memory.
 * Exits with 77 if no backend works, and with 1 if anything is wrong.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <writewatch.h>

#define NR_TEXTURES 256
#define TEXTURE_SIZE 40000 /* no multiple of the page size: neighbours share a page */
#define NR_FRAMES 100
#define NR_DRAWN 8 /* textures that the guest changes in a frame */
#define NR_RANGES 16

static pthread_barrier_t frame_begins, frame_ends;
static char *guest; /* texture after texture */
static char cache[NR_TEXTURES][TEXTURE_SIZE];

static void require(int condition, const char *what)
{
    if (!condition) {
        printf("failed: %s\n", what);
        exit(1);
    }
}

static void *run_guest(void *arg)
{
    unsigned int seed = 1;

    for (int frame = 0; frame < NR_FRAMES; frame++) {
        pthread_barrier_wait(&frame_begins);
        for (int i = 0; i < NR_DRAWN; i++) {
            char *texture = guest + (size_t)rand_r(&seed) % NR_TEXTURES * TEXTURE_SIZE;
            size_t begin = (size_t)rand_r(&seed) % TEXTURE_SIZE;

            memset(texture + begin, rand_r(&seed), (TEXTURE_SIZE - begin) / 4 + 1);
        }
        pthread_barrier_wait(&frame_ends);
    }
    return arg;
}

/*
 * Uploads what has changed; returns the number of textures. Pages are clean before
 * their content is read: what the guest writes meanwhile is reported the next time.
 */
static size_t upload_written(struct ww_context *ctx, size_t len)
{
    char wanted[NR_TEXTURES] = { 0 }, *from = guest, *end = guest + len;
    struct ww_range ranges[NR_RANGES];
    size_t uploads = 0;
    ssize_t nr;

    do {
        nr = ww_get_ranges(ctx, from, end - from, WW_GET_RESET, ranges, NR_RANGES);
        require(nr >= 0, "ask which pages were written");
        for (ssize_t i = 0; i < nr; i++) {
            size_t first = (ranges[i].start - (uintptr_t)guest) / TEXTURE_SIZE;
            size_t last = (ranges[i].end - 1 - (uintptr_t)guest) / TEXTURE_SIZE;

            for (size_t texture = first; texture <= last && texture < NR_TEXTURES; texture++) {
                wanted[texture] = 1;
            }
            from = (char *)ranges[i].end;
        }
    } while (nr == NR_RANGES && from < end);
    for (size_t texture = 0; texture < NR_TEXTURES; texture++) {
        if (wanted[texture]) {
            memcpy(cache[texture], guest + texture * TEXTURE_SIZE, TEXTURE_SIZE);
            uploads++;
        }
    }
    return uploads;
}

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), len = (sizeof(cache) + page - 1) / page * page, uploads = 0;
    const size_t all = NR_FRAMES * NR_TEXTURES; /* as many as without a watch */
    struct ww_context *ctx;
    pthread_t thread;

    if (ww_open(&ctx, NULL)) {
        printf("SKIP: no backend works here (writewatch probe says why)\n");
        return 77;
    }
    guest = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(guest != MAP_FAILED && !ww_watch(ctx, guest, len, WW_WATCH_FRESH), "watch the guest's memory");
    require(!pthread_barrier_init(&frame_begins, NULL, 2) && !pthread_barrier_init(&frame_ends, NULL, 2) &&
                !pthread_create(&thread, NULL, run_guest, NULL),
            "start the guest");
    for (int frame = 0; frame < NR_FRAMES; frame++) {
        pthread_barrier_wait(&frame_begins);
        uploads += upload_written(ctx, len);
        pthread_barrier_wait(&frame_ends);
        uploads += upload_written(ctx, len);
        require(!memcmp(cache, guest, sizeof(cache)), "the cache equals the guest's memory");
    }
    pthread_join(thread, NULL);
    printf("%s: %zu uploads, %zu saved\n", ww_backend_name(ctx), uploads, uploads < all ? all - uploads : 0);
    require(!(ww_backend_caps(ctx) & WW_CAP_EXACT) || uploads < all / 2, "most uploads are saved");
    ww_close(ctx);
    return 0;
}
