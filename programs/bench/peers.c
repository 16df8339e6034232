/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The peers of a benchmark. Each is tried first, in a process of its own: a peer that does not work here, or
 * that cannot tell a written page from another, is refused with the reason. Callers add other peers
 * themselves.
 */
#include <errno.h>
#include <string.h>

#include "bench.h"

#define TRIAL_LIMIT_S 20

/* Returns 0, or -EOPNOTSUPP or -ENOSPC with the reason. */
int bench_add_peer(struct bench_peers *peers, const struct bench_peer *peer, const char **ret_reason)
{
    static struct bench_report report;

    if (peers->nr == MAX_PEERS) {
        *ret_reason = "there are too many peers";
        return -ENOSPC;
    }
    if (bench_try(peer, &bench_trial, TRIAL_LIMIT_S, &report)) {
        *ret_reason = report.message;
        return -EOPNOTSUPP;
    }
    peers->peer[peers->nr++] = *peer;
    return 0;
}

int bench_add_backend(struct bench_peers *peers, const char *name, const char **ret_reason)
{
    struct ww_probe probe[16];
    size_t capacity = sizeof(probe) / sizeof(probe[0]);
    ssize_t nr = ww_probe(probe, capacity);

    for (ssize_t i = 0; i < nr && i < (ssize_t)capacity; i++) {
        if (strcmp(probe[i].name, name)) {
            continue;
        }
        if (probe[i].error) {
            *ret_reason = probe[i].reason;
            return -EOPNOTSUPP;
        }
        return bench_add_peer(
            peers,
            &(struct bench_peer){ .name = probe[i].name, .ops = &bench_library_ops, .caps = probe[i].caps },
            ret_reason);
    }
    *ret_reason = "there is no such backend";
    return -EINVAL;
}

int bench_add_bare(struct bench_peers *peers, const char **ret_reason)
{
    static const struct bench_peer bare = {
        .name = "bare",
        .ops = &bench_bare_ops,
        .caps = WW_CAP_ATOMIC_RESET | WW_CAP_KERNEL_WRITES | WW_CAP_FREE_ARMING | WW_CAP_EXACT,
    };

    return bench_add_peer(peers, &bare, ret_reason);
}

const struct bench_peer *bench_find_peer(const struct bench_peers *peers, const char *name)
{
    for (size_t i = 0; i < peers->nr; i++) {
        if (!strcmp(peers->peer[i].name, name)) {
            return &peers->peer[i];
        }
    }
    return NULL;
}
