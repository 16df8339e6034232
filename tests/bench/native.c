/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine costs without Wine, next to the bare ioctl: one line a figure,
 *   bench name=get_reset_64m backend=uffd kernel=6.18 page=4096 pages=16384 n=20 min_us= median_us= max_us=
 * with per_page_ns where pages were touched. Not a test: nothing here fails but
 * the set-up.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "uapi.h"
#include "writewatch.h"

#define NR_ROUNDS 20
#define PAGE 4096ul
#define GB (1ul << 30)

static struct ww_context *ctx;
static struct utsname kernel;

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void must(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const char *name, size_t nr_pages, double *us)
{
    qsort(us, NR_ROUNDS, sizeof(*us), compare);
    printf(
        "bench name=%s backend=%s kernel=%s page=%lu pages=%zu n=%d min_us=%.2f median_us=%.2f max_us=%.2f",
        name, ww_backend_name(ctx), kernel.release, PAGE, nr_pages, NR_ROUNDS, us[0], us[NR_ROUNDS / 2],
        us[NR_ROUNDS - 1]);
    printf(" per_page_ns=%.2f\n", nr_pages ? us[NR_ROUNDS / 2] * 1000 / nr_pages : 0);
    fflush(stdout);
}

static char *reserve(size_t len)
{
    char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must(area != MAP_FAILED, "mmap");
    return area;
}

/* Page tables of this process in kB. */
static long page_tables_kb(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kb = -1;

    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "VmPTE: %ld", &kb) == 1) {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return kb;
}

static void write_pages(char *area, size_t nr, size_t stride)
{
    for (size_t i = 0; i < nr; i++) {
        ((volatile char *)area)[i * stride * PAGE] = i;
    }
}

/* 256 GB reserved, 1000 pages spread over it. */
static void bench_sparse(void)
{
    size_t len = 256 * GB, nr = 1000, stride = len / PAGE / nr;
    double watch[NR_ROUNDS], harvest[NR_ROUNDS], clean[NR_ROUNDS], unwatch[NR_ROUNDS], start;
    void **pages = malloc(nr * sizeof(*pages));
    long before, after = 0;

    for (int i = 0; i < NR_ROUNDS; i++) {
        char *area = reserve(len);

        before = page_tables_kb();
        start = now_us();
        must(!ww_watch(ctx, area, len, WW_WATCH_FRESH), "ww_watch");
        watch[i] = now_us() - start;
        after = page_tables_kb() - before;
        write_pages(area, nr, stride);
        start = now_us();
        must(ww_get_pages(ctx, area, len, WW_GET_RESET, pages, nr) == (ssize_t)nr, "1000 pages");
        harvest[i] = now_us() - start;
        start = now_us();
        must(ww_get_pages(ctx, area, len, 0, pages, nr) == 0, "no page");
        clean[i] = now_us() - start;
        start = now_us();
        ww_unwatch(ctx, area, len);
        unwatch[i] = now_us() - start;
        munmap(area, len);
    }
    print("watch_256g", 0, watch);
    printf("bench name=watch_256g_page_tables backend=%s kb=%ld\n", ww_backend_name(ctx), after);
    print("get_reset_256g", nr, harvest);
    print("get_clean_256g", 0, clean);
    print("unwatch_256g", 0, unwatch);
    free(pages);
}

static void bench_dense(const char *what, size_t stride)
{
    size_t len = 64ul << 20, nr = len / PAGE / stride;
    double first[NR_ROUNDS], get[NR_ROUNDS], clean[NR_ROUNDS], reset[NR_ROUNDS], start;
    void **pages = calloc(nr + 1, sizeof(*pages));
    char *area = reserve(len), name[64];

    must(!ww_watch(ctx, area, len, WW_WATCH_FRESH), "ww_watch");
    write_pages(area, nr, stride);
    must(!ww_reset(ctx, area, len), "ww_reset");
    for (int i = 0; i < NR_ROUNDS; i++) {
        start = now_us();
        write_pages(area, nr, stride);
        first[i] = now_us() - start;
        start = now_us();
        must(ww_get_pages(ctx, area, len, WW_GET_RESET, pages, nr + 1) == (ssize_t)nr, "all pages");
        get[i] = now_us() - start;
        start = now_us();
        must(ww_get_pages(ctx, area, len, 0, pages, nr + 1) == 0, "no page");
        clean[i] = now_us() - start;
        write_pages(area, nr, stride);
        start = now_us();
        ww_reset(ctx, area, len);
        reset[i] = now_us() - start;
    }
    snprintf(name, sizeof(name), "first_write_%s", what);
    print(name, nr, first);
    snprintf(name, sizeof(name), "get_reset_%s", what);
    print(name, nr, get);
    snprintf(name, sizeof(name), "get_clean_%s", what);
    print(name, len / PAGE, clean);
    snprintf(name, sizeof(name), "reset_%s", what);
    print(name, nr, reset);
    ww_unwatch(ctx, area, len);
    munmap(area, len);
    free(pages);
}

/* The floor: one ioctl over the same memory with nothing around it. */
static void bench_bare(const char *what, size_t stride)
{
    size_t len = 64ul << 20, nr = len / PAGE / stride;
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    struct page_region *vec = calloc(nr, sizeof(*vec));
    double get[NR_ROUNDS], start;
    char *area = reserve(len), name[64];

    must(pagemap >= 0 && vec, "pagemap");
    must(!ww_watch(ctx, area, len, WW_WATCH_FRESH), "ww_watch");
    for (int i = 0; i < NR_ROUNDS; i++) {
        struct pm_scan_arg arg = {
            .size = sizeof(arg),
            .flags = PM_SCAN_CHECK_WPASYNC | PM_SCAN_WP_MATCHING,
            .start = (uintptr_t)area,
            .end = (uintptr_t)area + len,
            .vec = (uintptr_t)vec,
            .vec_len = nr,
            .category_mask = PAGE_IS_WRITTEN,
            .return_mask = PAGE_IS_WRITTEN,
        };

        write_pages(area, nr, stride);
        start = now_us();
        must(ioctl(pagemap, PAGEMAP_SCAN, &arg) > 0, "PAGEMAP_SCAN");
        get[i] = now_us() - start;
    }
    snprintf(name, sizeof(name), "bare_ioctl_get_reset_%s", what);
    print(name, nr, get);
    ww_unwatch(ctx, area, len);
    munmap(area, len);
    close(pagemap);
    free(vec);
}

int main(void)
{
    if (ww_open(&ctx, NULL)) {
        puts("skipped: no backend works here");
        return 77;
    }
    uname(&kernel);
    if (ww_backend_caps(ctx) & WW_CAP_FREE_ARMING) {
        bench_sparse();
        bench_bare("64m", 1);
        bench_bare("64m_every_tenth", 10);
    }
    bench_dense("64m", 1);
    bench_dense("64m_every_tenth", 10);
    ww_close(ctx);
    return 0;
}
