/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pager of the uffd backend: a thread that reads missing faults and installs the pages, in batches.
 * demand.c knows who has their content.
 *
 * Other threads wait for the pager, so it touches no watched memory, and allocates nothing once it runs. To
 * stop it, a thread touches the wake-up page, a page of the pager's own that is registered like the
 * program's. So the pager needs no second descriptor, whose number a program that closes unknown descriptors
 * could reuse.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "backends/uffd/uffd.h"
#include "context.h"
#include "kernel/advice.h"
#include "process/heap.h"
#include "process/raw.h"

#define NR_MESSAGES 64

struct uffd_pager {
    struct ww_pager base;
    struct uffd *uffd;
    volatile char *wake_page;
    bool saw_wake_page; /* only the thread uses it */
    bool refused;       /* the kernel wakes nobody any more, or ends no fault; only the thread uses it */
    atomic_bool gone;   /* the descriptor is not ours any more, and the thread ends */
    struct uffd_msg messages[NR_MESSAGES];
};

/* A sandbox that came later may deny this. Then only the end of the descriptor wakes anybody. */
static void wake(struct ww_pager *base, uintptr_t start, uintptr_t end)
{
    struct uffd_pager *pager = (struct uffd_pager *)base;
    struct uffdio_range range = { .start = start, .len = end - start };

    pager->refused |= ioctl(pager->uffd->fd, UFFDIO_WAKE, &range) && errno != ENOENT && errno != ESRCH;
}

/* The kernel copies into one mapping at a time. It returns ENOENT if a range has more than one, as after a
 * change of protection; then the range is halved. */
ssize_t ww_uffd_copy(const struct uffd *uffd, uintptr_t start, const void *content, size_t len)
{
    size_t page = ww_page_size(), done = 0, most = len;

    while (done < len) {
        struct uffdio_copy copy = {
            .dst = start + done,
            .src = (uintptr_t)content + done,
            .len = len - done < most ? len - done : most,
            .mode = UFFDIO_COPY_MODE_WP,
        };
        int err = ioctl(uffd->fd, UFFDIO_COPY, &copy) ? errno : 0;

        /* EAGAIN: the kernel has copied some pages, or mappings are changing at the moment. */
        if (copy.copy > 0) {
            done += copy.copy;
            most = len;
        } else if (err == EAGAIN) {
            ww_wait_moment();
        } else if (err == ENOENT && copy.len > page) {
            most = copy.len / 2 & ~(page - 1);
        } else if (err != EINTR) {
            return done ? (ssize_t)done : -err;
        }
    }
    return done;
}

/* Whether one page has these categories, by PAGEMAP_SCAN. 1, 0 or a negative errno. */
static int page_has(const struct uffd *uffd, uintptr_t addr, uint64_t categories, uint64_t flags)
{
    struct page_region found = { .start = 0 };
    const struct ww_page_scan request = {
        .start = addr,
        .end = addr + ww_page_size(),
        .flags = flags,
        .category_mask = categories,
        .return_mask = categories,
        .vec = &found,
        .vec_len = 1,
    };
    uint64_t walk_end;
    int nr;

    do {
        nr = ww_scan_pages(uffd->pagemap, &request, &walk_end);
    } while (nr == -EINTR);
    return nr;
}

static int poison_once(const struct uffd *uffd, uintptr_t addr)
{
    struct uffdio_poison poison = { .range = { .start = addr, .len = ww_page_size() } };
    int err;

    while ((err = ioctl(uffd->fd, UFFDIO_POISON, &poison) ? errno : 0) == EAGAIN || err == EINTR) {
        ww_wait_moment();
    }
    return -err;
}

int ww_uffd_poison(const struct uffd *uffd, uintptr_t addr)
{
    struct uffdio_writeprotect unmark = {
        .range = { .start = addr, .len = ww_page_size() },
        .mode = UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
    };
    int err = poison_once(uffd, addr);

    /* A write-protect marker is in the way, as a page would be. */
    if (err == -EEXIST && !page_has(uffd, addr, PAGE_IS_PRESENT, 0)) {
        ioctl(uffd->fd, UFFDIO_WRITEPROTECT, &unmark);
        err = poison_once(uffd, addr);
    }
    if (!err) {
        err = page_has(uffd, addr, PAGE_IS_WRITTEN, PM_SCAN_CHECK_WPASYNC | PM_SCAN_WP_MATCHING);
        if (err == -EPERM) {
            err = -ENOENT; /* other memory was mapped there */
        }
    }
    return err < 0 ? err : 0;
}

static const struct uffd *uffd_of(const struct ww_pager *pager)
{
    return ((const struct uffd_pager *)pager)->uffd;
}

/* ENOENT: the range is not registered any more, so the threads that wait find the new mapping. */
static int serve_install(struct ww_pager *pager, uintptr_t start, const void *content, size_t len)
{
    const struct uffd *uffd = uffd_of(pager);
    size_t page = ww_page_size();

    for (size_t done = 0; done < len;) {
        ssize_t nr = ww_uffd_copy(uffd, start + done, (const char *)content + done, len - done);

        if (nr == -EEXIST) {
            wake(pager, start + done, start + done + page);
            nr = page;
        } else if (nr == -ENOENT || nr == -ESRCH) {
            wake(pager, start + done, start + len);
            nr = len - done;
        } else if (nr < 0) {
            return nr;
        }
        done += nr;
    }
    return 0;
}

/* Whether a retry is useless: the error is not temporary, and nothing else is there by now. */
static bool fails_for_good(const struct uffd *uffd, uintptr_t addr, int err)
{
    return err && err != -EEXIST && err != -ENOENT && err != -ESRCH && err != -ENOMEM &&
           ww_fd_is_ours(&uffd->opened[0]) && !page_has(uffd, addr, PAGE_IS_PRESENT, 0);
}

static int serve_poison(struct ww_pager *pager, uintptr_t addr)
{
    const struct uffd *uffd = uffd_of(pager);
    int err = ww_uffd_poison(uffd, addr);

    if (err) {
        wake(pager, addr, addr + ww_page_size());
    }
    return fails_for_good(uffd, addr, err) ? err : 0;
}

/*
 * Maps a page behind the end of a file, where every access ends in SIGBUS. The kernel reports memory as
 * missing that it lets nobody fill, such as a mapping of /dev/zero. Threads there would fault forever.
 */
static void serve_replace(struct ww_pager *pager, uintptr_t addr)
{
    size_t page = ww_page_size();
    int fd = memfd_create("writewatch", MFD_CLOEXEC);
    bool done = false;

    if (fd >= 0) {
        done = mmap((void *)addr, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
        close(fd);
    }
    /* Nothing is left but to let all of them go. */
    ((struct uffd_pager *)pager)->refused |= !done;
    wake(pager, addr, addr + page);
}

static const struct ww_pager_ops ops = {
    .install = serve_install,
    .poison = serve_poison,
    .replace = serve_replace,
    .wake = wake,
};

/* The pages of the messages, ascending, each one once. Returns how many. */
static size_t sort_pages(const struct uffd_msg *messages, size_t nr_messages, uintptr_t *ret_pages)
{
    size_t nr = 0;

    for (size_t i = 0; i < nr_messages; i++) {
        uintptr_t addr = messages[i].arg.pagefault.address & ~(ww_page_size() - 1);
        size_t at = nr;

        if (messages[i].event != UFFD_EVENT_PAGEFAULT) {
            continue;
        }
        while (at && ret_pages[at - 1] > addr) {
            at--;
        }
        if (at && ret_pages[at - 1] == addr) {
            continue;
        }
        memmove(ret_pages + at + 1, ret_pages + at, (nr - at) * sizeof(*ret_pages));
        ret_pages[at] = addr;
        nr++;
    }
    return nr;
}

static void serve_messages(struct uffd_pager *pager, size_t nr_messages)
{
    uintptr_t pages[NR_MESSAGES], page = ww_page_size();
    struct uffdio_range wake_page = { .start = (uintptr_t)pager->wake_page, .len = page };
    size_t nr = sort_pages(pager->messages, nr_messages, pages), last;

    for (size_t first = 0; first < nr; first = last) {
        for (last = first + 1; last < nr && pages[last] == pages[last - 1] + page; last++) {
            if ((last + 1 - first) * page > WW_PAGE_IN_BYTES) {
                break;
            }
        }
        ww_demand_page_in(&pager->base, pages[first], pages[last - 1] + page);
        pager->saw_wake_page |=
            pages[first] <= (uintptr_t)pager->wake_page && pages[last - 1] >= (uintptr_t)pager->wake_page;
    }
    if (pager->saw_wake_page) {
        /* Wakes the thread that touched the wake-up page, where a read maps a page of zeros then. */
        pager->refused |= ioctl(pager->uffd->fd, UFFDIO_UNREGISTER, &wake_page) != 0;
    }
}

/* Returns whether faults can be served any more: the descriptor is still ours, as far as a sandbox lets
 * anybody see, and nothing is refused that a thread waits for. */
static bool serve_once(struct uffd_pager *pager)
{
    struct pollfd event = { .fd = pager->uffd->fd, .events = POLLIN };
    ssize_t nr;

    /* poll() waits on the file it began with, but when it wakes it looks at the number's new file. So it
     * is called again every WW_FD_RECHECK_MS. */
    if (poll(&event, 1, WW_FD_RECHECK_MS) < 0) {
        return errno == EINTR || errno == ENOMEM || errno == EAGAIN;
    }
    /* A program that has closed the descriptor may use its number for a file that must not be read. */
    if (!ww_fd_look(&pager->uffd->opened[0]) || (event.revents & (POLLNVAL | POLLERR))) {
        return false;
    }
    nr = read(event.fd, pager->messages, sizeof(pager->messages));
    if (nr > 0) {
        serve_messages(pager, nr / sizeof(pager->messages[0]));
    }
    return !pager->refused && (nr > 0 || errno == EAGAIN || errno == EINTR);
}

/*
 * Lets all threads go that wait or will wait, since nobody serves them any more: missing pages become zeros,
 * and all pages count as written when the next scan finds the tracker broken. Unregisters the ranges first,
 * because a forked child may hold the descriptor, and closes the descriptor, because a sandbox may deny that.
 */
static void give_up(struct uffd_pager *pager)
{
    struct uffd *uffd = pager->uffd;
    struct ww_range range = { .end = 0 };
    uintptr_t page = (uintptr_t)pager->wake_page;

    if (!ww_fd_look(&uffd->opened[0])) {
        return; /* closed, so that nobody waits */
    }
    while (ww_demand_next(pager->base.demand, range.end, UINTPTR_MAX, &range)) {
        ww_uffd_unregister(uffd, range.start, range.end);
    }
    ww_uffd_unregister(uffd, page, page + ww_page_size());
    ww_fd_replace(uffd->fd, &uffd->placeholder);
}

static void pager_main(void *arg)
{
    struct uffd_pager *pager = arg;

    prctl(PR_SET_NAME, "ww-fill");
    while (!pager->saw_wake_page) {
        if (!serve_once(pager)) {
            atomic_store(&pager->gone, true);
            give_up(pager);
            break;
        }
    }
}

static void free_pager(struct uffd_pager *pager)
{
    if (pager->wake_page) {
        munmap((void *)pager->wake_page, ww_page_size());
    }
    if (pager->base.buffer) {
        munmap(pager->base.buffer, WW_PAGE_IN_BYTES + ww_page_size());
    }
    ww_heap_free(pager);
}

static int new_pager(struct uffd *uffd, struct uffd_pager **ret)
{
    struct uffd_pager *pager = ww_heap_alloc(sizeof(*pager));
    struct uffdio_register reg = {
        .range.len = ww_page_size(),
        .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
    };
    int err = 0;

    if (!pager) {
        return -ENOMEM;
    }
    pager->base.ops = &ops;
    pager->uffd = uffd;
    pager->base.buffer = ww_heap_map(WW_PAGE_IN_BYTES + ww_page_size(), MAP_POPULATE);
    pager->base.zeros = (char *)pager->base.buffer + WW_PAGE_IN_BYTES;
    pager->wake_page = ww_heap_map(ww_page_size(), 0);
    if (pager->wake_page) {
        ww_drop_pages(pager->wake_page, ww_page_size());
    }
    reg.range.start = (uintptr_t)pager->wake_page;
    if (!pager->base.buffer || !pager->wake_page) {
        err = -ENOMEM;
    } else if (ioctl(uffd->fd, UFFDIO_REGISTER, &reg)) {
        err = -errno;
    } else {
        *ret = pager;
    }
    if (err) {
        free_pager(pager);
    }
    return err;
}

int ww_uffd_start_pager(struct uffd *uffd, struct ww_demand *demand)
{
    struct uffd_pager *pager;
    int err;

    ww_lock(&demand->lock, WW_RANK_DEMAND);
    pager = uffd->pager;
    if (!ww_fd_look(&uffd->opened[0]) || (pager && atomic_load(&pager->gone))) {
        err = -EBADF;
    } else if (pager) {
        err = 0;
    } else {
        err = new_pager(uffd, &pager);
        if (!err) {
            pager->base.demand = demand;
            err = ww_worker_run(&demand->ctx->workers, WW_CALLBACK_STACK_BYTES, pager_main, pager,
                                &pager->base.job);
            if (err) {
                free_pager(pager);
            } else {
                ww_demand_add_pager(demand, &pager->base);
                uffd->pager = pager;
            }
        }
    }
    ww_unlock(&demand->lock, WW_RANK_DEMAND);
    return err;
}

/* A fork's copy has no such thread, and a thread of the parent may have held the lock. */
void ww_uffd_stop_pager(struct uffd *uffd)
{
    struct uffd_pager *pager = uffd->pager;

    if (!pager) {
        return;
    }
    if (ww_is_alive(pager->base.demand->ctx)) {
        if (!atomic_load(&pager->gone)) {
            (void)*pager->wake_page;
        }
        ww_job_wait(&pager->base.job);
        ww_demand_remove_pager(pager->base.demand, &pager->base);
    }
    free_pager(pager);
    uffd->pager = NULL;
}
