/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The SIGSEGV handler of the mprotect backend, and the table of ranges that it reads.
 *
 * The handler takes no lock, uses no thread-local storage (Wine runs Windows code with other segment
 * registers), and never touches errno. It waits only for the end of a fill, and then no longer counts as at
 * work (grace.c). It opens the page first and sets the dirty bit after that. A thread that reads bits calls
 * ww_fault_synchronize() first, so a page that was opened before has its bit by then. Faults that are not
 * ours go on to the previous handler.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "backends/mprotect/mprotect.h"
#include "process/heap.h"
#include "process/raw.h"

/* Ranges by address. A change replaces the whole table, so the handler reads one that does not change.
 * Only if there is no memory for a copy is the table changed in place: then it may hold a range more than
 * once. */
struct fault_table {
    atomic_size_t nr;
    _Atomic(struct ww_prot_map *) maps[];
};

static _Atomic(struct fault_table *) table;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

/* Counts changes of the table, before anything in a new range is armed. */
static atomic_uint table_generation;

/* Counts fills that are over. A futex, on which stores to a range that is being filled wait. */
static atomic_uint nr_fills_over;

/* The last fault of a thread that was not ours: a hash of the thread, the page and table_generation.
 * Threads may share a slot. */
#define NR_UNCLAIMED 256
static _Atomic uint64_t unclaimed[NR_UNCLAIMED];

IN_HANDLER static int raw_mprotect(uintptr_t start, uintptr_t end, int prot)
{
    return raw_syscall(SYS_mprotect, start, end - start, prot, 0);
}

/* ---- a write to an armed page ---- */

enum outcome {
    NOT_OURS,
    OPENED,
    BEING_FILLED, /* open nothing until the fill is over */
};

IN_HANDLER static struct ww_prot_map *find_map(uintptr_t addr)
{
    const struct fault_table *now = atomic_load(&table);
    size_t low = 0, high = now ? now->nr : 0;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (now->maps[mid]->end <= addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return now && low < now->nr && now->maps[low]->start <= addr ? now->maps[low] : NULL;
}

IN_HANDLER static void set_dirty(struct ww_prot_pages *pages, size_t first, size_t last)
{
    for (size_t page = first; page < last; page++) {
        if (page % 64 == 0 && last - page >= 64) {
            atomic_store(&pages->dirty[page / 64], ~UINT64_C(0));
            page += 63;
        } else {
            atomic_fetch_or(&pages->dirty[page / 64], UINT64_C(1) << (page % 64));
        }
    }
}

/* Reads the part of the map that is being filled. Start and end may come from different fills; then the
 * handler leaves a page closed, or not, for no reason, but stays within the map. The thread that fills
 * waits until no such handler is at work. */
IN_HANDLER static bool read_filled(const struct ww_prot_map *map, uintptr_t *ret_start, uintptr_t *ret_end)
{
    *ret_start = atomic_load(&map->fill_start);
    *ret_end = atomic_load(&map->fill_end);
    return *ret_start >= map->start && *ret_start < *ret_end;
}

/*
 * Opens the whole run of pages with this protection, which then counts as written. Each isolated writable
 * page costs two mappings, and at vm.max_map_count mprotect() fails; opening the run merges mappings.
 */
IN_HANDLER static enum outcome open_run(const struct ww_prot_map *map, size_t page, int prot)
{
    struct ww_prot_pages *pages = map->pages;
    size_t low = ww_prot_index(pages, map->start);
    size_t high = ww_prot_index(pages, map->end);
    size_t first = page, last = page + 1;
    uintptr_t fill_start, fill_end;
    bool filled = read_filled(map, &fill_start, &fill_end);

    if (filled) {
        /* Leave out this part; the page lies before or after it. */
        if (page < ww_prot_index(pages, fill_start)) {
            high = ww_prot_index(pages, fill_start);
        } else {
            low = ww_prot_index(pages, fill_end);
        }
    }
    while (first > low && pages->prot[first - 1] == prot) {
        first--;
    }
    while (last < high && pages->prot[last] == prot) {
        last++;
    }
    if (raw_mprotect(pages->base + (first << ww_page_shift), pages->base + (last << ww_page_shift), prot)) {
        /* A fill may be the cause: the run would end inside a mapping. */
        return filled ? BEING_FILLED : NOT_OURS;
    }
    set_dirty(pages, first, last);
    ww_isolated_forget(pages);
    return OPENED;
}

IN_HANDLER static enum outcome open_page(uintptr_t addr)
{
    const struct ww_prot_map *map = find_map(addr);
    struct ww_prot_pages *pages;
    uintptr_t fill_start, fill_end;
    size_t page;
    int prot;

    if (!map) {
        return NOT_OURS;
    }
    if (read_filled(map, &fill_start, &fill_end) && fill_start <= addr && addr < fill_end) {
        return BEING_FILLED;
    }
    pages = map->pages;
    page = ww_prot_index(pages, addr);
    prot = atomic_load(&pages->prot[page]);
    if (!(prot & PROT_WRITE)) {
        return NOT_OURS;
    }
    if (ww_isolated_open_page(pages, page)) {
        return open_run(map, page, prot);
    }
    addr = pages->base + (page << ww_page_shift);
    if (raw_mprotect(addr, addr + ww_page_size(), prot)) {
        return open_run(map, page, prot);
    }
    set_dirty(pages, page, page + 1);
    return OPENED;
}

IN_HANDLER static bool is_write(const ucontext_t *context)
{
#if defined(__x86_64__) || defined(__i386__)
    return context->uc_mcontext.gregs[REG_ERR] & 2;
#else
    (void)context;
    return true;
#endif
}

/*
 * Whether this thread has faulted at this page before, with the same table. A fault that is not ours may
 * be at a page that was watched when the store faulted, and is not any more. The store would then succeed
 * now, and only the store itself can tell. So the thread repeats it, and the program gets the fault only
 * the second time: nothing there was armed in between. If two threads share a slot, a store may be
 * repeated more often.
 */
IN_HANDLER static bool is_second_time(uintptr_t page, unsigned int generation)
{
    unsigned int tid = raw_syscall(SYS_gettid, 0, 0, 0, 0);
    uint64_t mark = ((uint64_t)tid << 32 | generation) * UINT64_C(0x9e3779b97f4a7c15);

    mark = ((mark ^ mark >> 32) + page) * UINT64_C(0xbf58476d1ce4e5b9);
    mark ^= mark >> 29;
    return atomic_exchange(&unclaimed[tid % NR_UNCLAIMED], mark) == mark;
}

/* True: the thread can repeat the write. */
IN_HANDLER static bool handle_write(const siginfo_t *info, const ucontext_t *context)
{
    uintptr_t addr = (uintptr_t)info->si_addr;
    unsigned int generation, nr_over, parity;
    enum outcome outcome;

    if (info->si_code != SEGV_ACCERR || !is_write(context)) {
        return false;
    }
    generation = atomic_load(&table_generation);
    nr_over = atomic_load(&nr_fills_over);
    parity = ww_grace_enter();
    outcome = open_page(addr);
    ww_grace_leave(parity);
    if (outcome == BEING_FILLED) {
        ww_raw_sleep(&nr_fills_over, nr_over);
    }
    return outcome != NOT_OURS || !is_second_time(addr & ~(ww_page_size() - 1), generation);
}

/* ---- the chain of handlers ---- */

/*
 * A handler that the program installs over ours may call ours. If we then install the same entry in front
 * again, the two would call each other in a circle. So each time we go in front, we use a new entry.
 */
#define NR_LAYERS 4

static struct sigaction previous[NR_LAYERS];
static int nr_layers;

IN_HANDLER static void call_previous(int layer, int sig, siginfo_t *info, void *context)
{
    const struct sigaction *action = &previous[layer];
    uint64_t mask, blocked;

    if (action->sa_handler == SIG_IGN && info->si_code <= 0) {
        return; /* somebody has sent the signal */
    }
    if (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN) {
        /* As without us: restore the default action, and the same fault ends the process. A signal that was
         * sent is sent again. */
        sigaction(sig, action, NULL);
        if (info->si_code <= 0) {
            raw_syscall(SYS_tgkill, raw_syscall(SYS_getpid, 0, 0, 0, 0), raw_syscall(SYS_gettid, 0, 0, 0, 0),
                        sig, 0);
        }
        return;
    }
    /* Set the signal mask that the handler would have had if the kernel had called it. */
    memcpy(&mask, &action->sa_mask, sizeof(mask));
    memcpy(&blocked, &((const ucontext_t *)context)->uc_sigmask, sizeof(blocked));
    mask |= blocked;
    if (!(action->sa_flags & SA_NODEFER)) {
        mask |= UINT64_C(1) << (SIGSEGV - 1);
    } else {
        mask &= ~(UINT64_C(1) << (SIGSEGV - 1));
    }
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof(mask));
    if (action->sa_flags & SA_SIGINFO) {
        action->sa_sigaction(sig, info, context);
    } else {
        action->sa_handler(sig);
    }
}

#define DEFINE_LAYER(n)                                                                                      \
    IN_HANDLER static void layer_##n(int sig, siginfo_t *info, void *context)                                \
    {                                                                                                        \
        if (!handle_write(info, context)) {                                                                  \
            call_previous(n, sig, info, context);                                                            \
        }                                                                                                    \
    }
DEFINE_LAYER(0)
DEFINE_LAYER(1)
DEFINE_LAYER(2)
DEFINE_LAYER(3)

static void (*const layers[NR_LAYERS])(int, siginfo_t *, void *) = { layer_0, layer_1, layer_2, layer_3 };

/* Installs our handler in front unless it is there already. registry_lock is held. 0 or a negative errno. */
static int install_handler(void)
{
    struct sigaction ours = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART }, now;

    if (sigaction(SIGSEGV, NULL, &now)) {
        return -errno;
    }
    if ((nr_layers && now.sa_sigaction == layers[nr_layers - 1]) || nr_layers == NR_LAYERS) {
        return 0;
    }
    previous[nr_layers] = now;
    ours.sa_sigaction = layers[nr_layers];
    sigfillset(&ours.sa_mask);
    if (sigaction(SIGSEGV, &ours, NULL)) {
        return -errno;
    }
    nr_layers++;
    return 0;
}

/* ---- the table ---- */

/* Runs in a child of fork. Other threads, which do not exist there, may have been in the middle of faults,
 * fills and changes of the table. */
static void repair_child(void)
{
    const struct fault_table *now = atomic_load(&table);

    pthread_mutex_init(&registry_lock, NULL);
    ww_grace_repair_child();
    for (size_t i = 0; now && i < now->nr; i++) {
        atomic_store(&now->maps[i]->fill_end, 0);
        atomic_store(&now->maps[i]->fill_start, 0);
    }
}

void ww_fault_follow_forks(void)
{
    pthread_atfork(NULL, NULL, repair_child);
}

static void publish(struct fault_table *next)
{
    struct fault_table *old = atomic_exchange(&table, next);

    atomic_fetch_add(&table_generation, 1);
    ww_fault_synchronize();
    ww_heap_free(old);
}

/* A copy of the table without @leave_out, with room for @extra more. */
static struct fault_table *copy_table(size_t extra, const struct ww_prot_map *leave_out)
{
    const struct fault_table *now = atomic_load(&table);
    size_t nr = now ? now->nr : 0;
    struct fault_table *copy = ww_heap_alloc(sizeof(*copy) + (nr + extra) * sizeof(copy->maps[0]));

    if (!copy) {
        return NULL;
    }
    copy->nr = 0;
    for (size_t i = 0; i < nr; i++) {
        if (now->maps[i] != leave_out && (!i || now->maps[i] != now->maps[i - 1])) {
            copy->maps[copy->nr++] = now->maps[i];
        }
    }
    return copy;
}

/* Whether a watch of another context has part of the range. */
static bool is_taken(const struct ww_prot_map *map)
{
    const struct fault_table *now = atomic_load(&table);

    for (size_t i = 0; now && i < now->nr; i++) {
        if (now->maps[i]->start < map->end && now->maps[i]->end > map->start &&
            now->maps[i]->pages != map->pages) {
            return true;
        }
    }
    return false;
}

struct ww_prot_map *ww_fault_find_orphan(uintptr_t start, uintptr_t end)
{
    const struct fault_table *now;
    struct ww_prot_map *found = NULL;

    ww_lock(&registry_lock, WW_RANK_BACKEND);
    now = atomic_load(&table);
    for (size_t i = 0; now && i < now->nr && !found; i++) {
        if (atomic_load(&now->maps[i]->orphaned) && now->maps[i]->start < end && now->maps[i]->end > start) {
            found = now->maps[i];
        }
    }
    ww_unlock(&registry_lock, WW_RANK_BACKEND);
    return found;
}

int ww_fault_add(struct ww_prot_map *map, struct ww_failure *failure)
{
    struct fault_table *next;
    size_t i;
    int err;

    ww_lock(&registry_lock, WW_RANK_BACKEND);
    if (is_taken(map)) {
        ww_unlock(&registry_lock, WW_RANK_BACKEND);
        return ww_fail(failure, WW_STEP_TAKEN, -EBUSY);
    }
    /* Must come first: without the handler, the first store to an armed page would end the program. */
    err = ww_fail(failure, WW_STEP_SIGACTION, install_handler());
    next = err ? NULL : copy_table(1, NULL);
    if (!err && !next) {
        err = ww_fail_memory(failure);
    }
    if (next) {
        for (i = next->nr++; i > 0 && next->maps[i - 1]->start > map->start; i--) {
            next->maps[i] = next->maps[i - 1];
        }
        next->maps[i] = map;
        ww_isolated_init();
        publish(next);
    }
    ww_unlock(&registry_lock, WW_RANK_BACKEND);
    return err;
}

/* Removes a map when there is no memory for a copy. A neighbour takes its place, so a handler misses no
 * other map. */
static void remove_in_place(const struct ww_prot_map *map)
{
    struct fault_table *now = atomic_load(&table);
    size_t first = 0, after;

    while (now->maps[first] != map) {
        first++;
    }
    for (after = first; after < now->nr && now->maps[after] == map; after++) {
        ;
    }
    if (!first && after == now->nr) {
        now->nr = 0;
    }
    for (size_t i = first; now->nr && i < after; i++) {
        now->maps[i] = first ? now->maps[first - 1] : now->maps[after];
    }
    atomic_fetch_add(&table_generation, 1);
    ww_fault_synchronize();
}

void ww_fault_remove(struct ww_prot_map *map)
{
    struct fault_table *next;

    ww_lock(&registry_lock, WW_RANK_BACKEND);
    next = copy_table(0, map);
    if (next) {
        publish(next);
    } else {
        remove_in_place(map);
    }
    ww_unlock(&registry_lock, WW_RANK_BACKEND);
}

void ww_fault_begin_fill(struct ww_prot_map *map, uintptr_t start, uintptr_t end)
{
    atomic_store(&map->fill_start, start);
    atomic_store(&map->fill_end, end);
    ww_fault_synchronize();
}

void ww_fault_end_fill(struct ww_prot_map *map)
{
    atomic_store(&map->fill_end, 0);
    atomic_store(&map->fill_start, 0);
    atomic_fetch_add(&nr_fills_over, 1);
    ww_raw_wake(&nr_fills_over);
}

void ww_fault_uninstall(void)
{
    const struct fault_table *now;
    struct sigaction front;

    ww_lock(&registry_lock, WW_RANK_BACKEND);
    now = atomic_load(&table);
    if (!(now && now->nr) && nr_layers && !sigaction(SIGSEGV, NULL, &front) &&
        front.sa_sigaction == layers[nr_layers - 1]) {
        sigaction(SIGSEGV, &previous[--nr_layers], NULL);
    }
    ww_unlock(&registry_lock, WW_RANK_BACKEND);
}
