/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A generational collector's remembered set. Old objects that point to young ones
 * are the roots of a minor collection, and only those that were written since the
 * last one can do so: the collector scans the written pages of the old generation
 * and moves what it finds there. A scan of all of it shows that nothing is missed.
 * Exits with 77 if no backend works, and with 1 if anything is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <writewatch.h>

#define NR_OLD ((size_t)1 << 20)
#define NR_YOUNG ((size_t)1 << 12)
#define OLD_LEN (NR_OLD * sizeof(struct object))
#define NR_COLLECTIONS 50
#define NR_STORES 300 /* of pointers to young objects, before each collection */

/* Its size divides that of a page, so that none lies on two. */
struct object {
    struct object *child;
    size_t value;
};

static struct object *old, *young;
static size_t nr_old; /* in use */

static void require(int condition, const char *what)
{
    if (!condition) {
        printf("failed: %s\n", what);
        exit(1);
    }
}

/* The program: makes young objects, and has old ones point to some of them. */
static void mutate(void)
{
    for (size_t i = 0; i < NR_YOUNG; i++) {
        young[i] = (struct object){ .value = i };
    }
    for (int i = 0; i < NR_STORES; i++) {
        old[(size_t)rand() % nr_old].child = &young[(size_t)rand() % NR_YOUNG];
    }
}

/* Moves a young object, unless that was done already: its child says where it is then. */
static struct object *promote(struct object *object)
{
    if (!object->child) {
        require(nr_old < NR_OLD, "there is room in the old generation");
        old[nr_old] = *object;
        object->child = &old[nr_old++];
    }
    return object->child;
}

/* Looks for pointers to young objects in [from, to), and returns how many there are. */
static size_t scan(struct object *from, struct object *to, int promoting)
{
    size_t found = 0;

    for (struct object *object = from; object < to; object++) {
        if (object->child >= young && object->child < young + NR_YOUNG) {
            found++;
            if (promoting) {
                object->child = promote(object->child);
            }
        }
    }
    return found;
}

/* A minor collection, while the program stands still. Returns how many pages it has scanned. */
static size_t collect(struct ww_context *ctx, size_t page)
{
    size_t expected = scan(old, old + nr_old, 0), found = 0, scanned = 0;
    char *from = (char *)old, *end = from + OLD_LEN;
    void *pages[64];
    ssize_t nr;

    do {
        nr = ww_get_pages(ctx, from, end - from, WW_GET_RESET, pages, 64);
        require(nr >= 0, "ask which pages were written");
        for (ssize_t i = 0; i < nr; i++, scanned++) {
            from = (char *)pages[i] + page;
            found += scan(pages[i], (struct object *)from, 1);
        }
    } while (nr == 64 && from < end);
    require(!ww_reset(ctx, old, OLD_LEN), "forget the collector's own writes");
    require(found == expected && !scan(old, old + nr_old, 0), "no pointer to a young object is missed");
    return scanned;
}

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), all = NR_COLLECTIONS * OLD_LEN / page, scanned = 0;
    struct ww_context *ctx;

    if (ww_open(&ctx, NULL)) {
        printf("SKIP: no backend works here (writewatch probe says why)\n");
        return 77;
    }
    old = mmap(NULL, OLD_LEN + NR_YOUNG * sizeof(*young), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0);
    require(old != MAP_FAILED && !ww_watch(ctx, old, OLD_LEN, WW_WATCH_FRESH), "watch the old generation");
    young = old + NR_OLD;
    nr_old = NR_OLD / 2; /* without children yet */
    for (int i = 0; i < NR_COLLECTIONS; i++) {
        mutate();
        scanned += collect(ctx, page);
    }
    printf("%s: scanned %zu of %zu pages\n", ww_backend_name(ctx), scanned, all);
    require(!(ww_backend_caps(ctx) & WW_CAP_EXACT) || scanned < all / 4, "most pages are left alone");
    ww_close(ctx);
    return 0;
}
