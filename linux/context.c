/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens and closes contexts, and tells what backend one has. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "context.h"
#include "hold.h"

/* False: a sandbox denies it, or the kernel is older than 4.14. */
static bool wipe_on_fork(void *page)
{
    struct ww_failure failure;
    struct ww_signals saved;
    uint64_t barred;
    int err;

    ww_block_signals(&saved);
    err = ww_dry_run(WW_STEP_BIT(WW_STEP_MADVISE), 0, &barred, &failure);
    ww_restore_signals(&saved);
    return !err && !madvise(page, ww_page_size(), MADV_WIPEONFORK);
}

/* Maps a page that reads 1 here and 0 in every copy that fork makes of this address space: cheaper to ask
 * than the pid, and right for vfork and for PID namespaces as well. */
static bool map_alive_page(struct ww_context *ctx)
{
    unsigned int *page =
        mmap(NULL, ww_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        return false;
    }
    if (!wipe_on_fork(page)) {
        ctx->pid = syscall(SYS_getpid);
    }
    *page = 1;
    ctx->alive = page;
    return true;
}

static int init_context(struct ww_context *ctx, const char *backend)
{
    pthread_rwlockattr_t attr;

    if (!map_alive_page(ctx)) {
        return -ENOMEM;
    }
    RB_INIT(&ctx->regions);
    pthread_rwlockattr_init(&attr);
#ifdef __GLIBC__
    /* Readers that poll without a pause must not starve ww_watch(). musl has no such attribute. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(&ctx->table_lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&ctx->tracker_lock, NULL);
    ww_demand_init(&ctx->demand, ctx);
    ctx->fallback.backend = &ww_backend_none;
    ctx->fallback.caps = ww_backend_none.caps;
    return ww_backend_choose(ctx, backend);
}

static void free_context(struct ww_context *ctx)
{
    if (ctx->alive) {
        ww_workers_end(&ctx->workers, ww_is_alive(ctx));
        pthread_rwlock_destroy(&ctx->table_lock);
        pthread_mutex_destroy(&ctx->tracker_lock);
        ww_demand_destroy(&ctx->demand);
        ww_lockless_destroy(&ctx->lockless);
        munmap((void *)ctx->alive, ww_page_size());
    }
    ww_scratch_destroy(&ctx->scratch);
    free(ctx);
}

WW_API int ww_open_with(struct ww_context **ret_ctx, const char *backend, uint32_t required)
{
    struct ww_context *ctx;
    int err;

    if (!ret_ctx || (required & ~WW_PUBLIC_CAPS)) {
        return -EINVAL;
    }
    ww_page_size_init();
    ww_backend_prepare();
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx) {
        return -ENOMEM;
    }
    ctx->required = required;
    if (!backend) {
        backend = secure_getenv("WW_BACKEND");
    }
    err = init_context(ctx, backend && backend[0] ? backend : NULL);
    if (err) {
        free_context(ctx);
        return err;
    }
    *ret_ctx = ctx;
    return 0;
}

WW_API int ww_open(struct ww_context **ret_ctx, const char *backend)
{
    return ww_open_with(ret_ctx, backend, 0);
}

/* Waits for callbacks first, because one that fails looks its region up. Threads that still wait for a page
 * get zeros when its region is disarmed. */
static void end_demand(struct ww_context *ctx)
{
    struct ww_signals saved;

    if (ww_enter(ctx, &saved)) {
        return;
    }
    ww_demand_end(&ctx->demand, 0, UINTPTR_MAX);
    ww_restore_signals(&saved);
    ww_demand_wait(&ctx->demand, 0, UINTPTR_MAX);
}

WW_API void ww_close(struct ww_context *ctx)
{
    struct ww_region *region;
    struct ww_signals saved;
    bool alive, is_whole;

    if (!ctx) {
        return;
    }
    end_demand(ctx);
    ww_block_signals(&saved);
    alive = ww_is_alive(ctx);
    if (alive) {
        /* The library's own thread may look a region up. */
        ww_lock_table(ctx, 0, UINTPTR_MAX);
    }
    /* In a child of fork a thread of the parent may have been changing the table. Then nobody may walk it. */
    is_whole = alive || !pthread_rwlock_tryrdlock(&ctx->table_lock);
    while (is_whole && (region = RB_ROOT(&ctx->regions))) {
        if (!alive) {
            /* A thread of the parent may have held it at the fork. */
            pthread_mutex_init(&region->lock, NULL);
            atomic_init(&region->nr_refs, 1);
        }
        /* Before the descriptor goes: its release would wait for pinned pages. A
         * child's descriptor is the parent's, but its protections are its own. */
        if (alive || (region->tracker->caps & WW_CAP_OWNS_PROT)) {
            ww_backend_disarm(region);
        }
        ww_region_remove(ctx, region);
        ww_region_free(region);
    }
    if (alive) {
        ww_unlock_rw(&ctx->table_lock, WW_RANK_TABLE);
    }
    ww_trackers_close(ctx);
    ww_restore_signals(&saved);
    free_context(ctx);
}

WW_API const char *ww_backend_name(const struct ww_context *ctx)
{
    return atomic_load(&ctx->tracker)->backend->name;
}

WW_API uint32_t ww_backend_caps(const struct ww_context *ctx)
{
    return atomic_load(&ctx->tracker)->caps & WW_PUBLIC_CAPS;
}

WW_API const char *ww_version(void)
{
    return PACKAGE_VERSION;
}

int ww_range_exact(const struct ww_context *ctx, const void *addr, size_t len, struct ww_range *ret)
{
    uintptr_t start = (uintptr_t)addr, mask = ww_page_size() - 1;

    if (!ctx || !len || (start & mask) || (len & mask) || start + len < start) {
        return -EINVAL;
    }
    *ret = (struct ww_range){ .start = start, .end = start + len };
    return ww_is_alive(ctx) ? 0 : -ECHILD;
}

int ww_range_rounded(const struct ww_context *ctx, const void *addr, size_t len, struct ww_range *ret)
{
    uintptr_t start = (uintptr_t)addr, mask = ww_page_size() - 1;

    if (!ctx || !len || len > UINTPTR_MAX - mask || start > UINTPTR_MAX - mask - len) {
        return -EINVAL;
    }
    *ret = (struct ww_range){ .start = start & ~mask, .end = (start + len + mask) & ~mask };
    return ww_is_alive(ctx) ? 0 : -ECHILD;
}
