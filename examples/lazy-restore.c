/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Demand paging with exact tracking: each page of a saved image is read when the
 * program first touches it, and at the end only the changed pages are saved again.
 * Exits with 77 if no backend can fill on demand, and with 1 if anything is wrong.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <writewatch.h>

#define NR_PAGES 4096
#define FIRST_VALUE(page) ((char)((page) % 250 + 1)) /* content of the first image */

struct image {
    int fd; /* the file that it is saved in */
    size_t page_size;
    char *base; /* where it is restored */
    char fetched[NR_PAGES];
};

static void require(int condition, const char *what)
{
    if (!condition) {
        printf("failed: %s\n", what);
        exit(1);
    }
}

static void save_first_image(struct image *image)
{
    char name[] = "/tmp/lazy-restore-XXXXXX";
    char *page = malloc(image->page_size);

    image->fd = mkstemp(name);
    require(image->fd >= 0 && !unlink(name) && page, "create the file");
    for (size_t i = 0; i < NR_PAGES; i++) {
        memset(page, FIRST_VALUE(i), image->page_size);
        require(write(image->fd, page, image->page_size) == (ssize_t)image->page_size, "save the image");
    }
    free(page);
}

/* The provider. Runs in a thread of the library, for pages that are touched for the first time. */
static int fetch(void *arg, uintptr_t addr, void *page, size_t len)
{
    struct image *image = arg;
    size_t offset = addr - (uintptr_t)image->base;

    memset(image->fetched + offset / image->page_size, 1, len / image->page_size);
    return pread(image->fd, page, len, offset) == (ssize_t)len ? 0 : -1;
}

/* The program: looks at every eighth page, changes every sixteenth. */
static void work(const struct image *image)
{
    for (size_t i = 0; i < NR_PAGES; i += 8) {
        char *page = image->base + i * image->page_size;

        require(page[100] == FIRST_VALUE(i), "the page that was saved comes back");
        if (i % 16 == 0) {
            page[200] = -1;
        }
    }
}

/* Saves the pages that were written, and only those; returns how many. */
static size_t save_changes(struct ww_context *ctx, const struct image *image)
{
    char *from = image->base, *end = image->base + NR_PAGES * image->page_size;
    void *pages[64];
    size_t saved = 0;
    ssize_t nr;

    do {
        nr = ww_get_pages(ctx, from, end - from, WW_GET_RESET, pages, 64);
        require(nr >= 0, "ask which pages were written");
        for (ssize_t i = 0; i < nr; i++, saved++) {
            size_t offset = (char *)pages[i] - image->base;

            require(offset / image->page_size % 16 == 0, "only what was changed is reported");
            require(pwrite(image->fd, pages[i], image->page_size, offset) == (ssize_t)image->page_size,
                    "save a page");
            from = (char *)pages[i] + image->page_size;
        }
    } while (nr == 64 && from < end);
    return saved;
}

int main(void)
{
    struct image image = { .page_size = sysconf(_SC_PAGESIZE) };
    size_t len = NR_PAGES * image.page_size, saved, fetched = 0;
    struct ww_context *ctx = NULL;
    char value;
    int err;

    err = ww_open_with(&ctx, NULL, WW_CAP_FILL_ON_DEMAND);
    if (err) {
        printf("SKIP: no backend can fill on demand here: %s (writewatch probe says why)\n",
               ww_strerror(err));
        return 77;
    }
    save_first_image(&image);
    image.base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(image.base != MAP_FAILED && !ww_watch(ctx, image.base, len, WW_WATCH_FRESH), "watch");
    require(!ww_fill_on_demand(ctx, image.base, len, fetch, &image), "fill on demand");

    work(&image);
    saved = save_changes(ctx, &image);
    for (size_t i = 0; i < NR_PAGES; i++) {
        fetched += image.fetched[i];
        require(image.fetched[i] == (i % 8 == 0), "only what was touched is fetched");
        require(pread(image.fd, &value, 1, i * image.page_size + 200) == 1, "read the file");
        require(value == (i % 16 ? FIRST_VALUE(i) : -1), "the file holds the changed image");
    }
    ww_close(ctx);
    printf("%d pages saved, %zu fetched, %zu changed and saved again\n", NR_PAGES, fetched, saved);
    return saved == NR_PAGES / 16 ? 0 : 1;
}
