/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NtGetWriteWatch and NtResetWriteWatch: Windows' checks in Windows' order, then the engine's answer as an
 * array of addresses. The originals answer for ranges that begin outside of watched memory.
 *
 * The order of the checks is that of Wine's winetest (kernel32 and ntdll virtual.c), which was run on
 * Windows. The handle comes after the arguments and before the range (ReactOS: NtGetWriteWatch).
 */
#include "nt.h"

/* Whether the address is watched here. *@ret_left is how many bytes of the allocation there are from @base
 * on, or
 * @size if there are at least as many. */
static bool is_ours(struct nt *nt, PVOID base, SIZE_T size, SIZE_T *ret_left)
{
    uintptr_t end = nt_page_up((uintptr_t)base + size);
    struct ww_range range;

    nt_drain(nt);
    if (ww_lockless_knows(nt->ctx, nt_page_down((uintptr_t)base), end)) {
        *ret_left = size;
        return true;
    }
    if (!ww_watches_any(nt->ctx) || ww_find(nt->ctx, base, &range)) {
        return false;
    }
    *ret_left = range.end - (uintptr_t)base;
    return true;
}

/*
 * Faults before anything is reset if the array cannot be written. Under Wine the fault becomes the call's
 * status. Windows probes output arrays in the same way (ReactOS: ProbeForWrite), so an array inside watched
 * memory counts as written.
 */
static void probe_for_write(void *array, SIZE_T bytes)
{
    uintptr_t start = (uintptr_t)array;

    /* Counts a distance, since an array may reach beyond the end of the address space. */
    for (SIZE_T done = 0; done < bytes; done = nt_page_down(start + done) + NT_PAGE_SIZE - start) {
        nt_touch((void *)(start + done));
    }
}

NTSTATUS nt_check_get_arguments(ULONG flags, SIZE_T size, PVOID *addresses, const ULONG_PTR *count,
                                const ULONG *granularity)
{
    if (!count || !granularity) {
        return STATUS_ACCESS_VIOLATION;
    }
    if (!*count || !size || (flags & ~WRITE_WATCH_FLAG_RESET)) {
        return STATUS_INVALID_PARAMETER;
    }
    return addresses ? STATUS_SUCCESS : STATUS_ACCESS_VIOLATION;
}

NTSTATUS nt_get_write_watch(struct nt *nt, HANDLE process, ULONG flags, PVOID base, SIZE_T size,
                            PVOID *addresses, ULONG_PTR *count, ULONG *granularity)
{
    void *args[] = { &process, &flags, &base, &size, &addresses, &count, &granularity };
    SIZE_T capacity, nr_pages, left;
    NTSTATUS status;
    uint64_t began;
    ssize_t nr;

    if (!is_ours(nt, base, size, &left)) {
        stats_passed(nt->counters, COUNTERS_GET);
        return nt->original(nt, NT_GET_WRITE_WATCH, args);
    }
    status = nt_check_get_arguments(flags, size, addresses, count, granularity);
    if (!status) {
        status = nt_check_handle(nt, process);
    }
    if (status) {
        return status;
    }
    if (size > left) {
        return STATUS_INVALID_PARAMETER;
    }
    capacity = *count;
    nr_pages = (nt_page_up((uintptr_t)base + size) - nt_page_down((uintptr_t)base)) / NT_PAGE_SIZE;
    if (capacity > nr_pages) {
        capacity = nr_pages;
    }
    probe_for_write(count, sizeof(*count));
    probe_for_write(granularity, sizeof(*granularity));
    probe_for_write(addresses, capacity * sizeof(*addresses));
    began = stats_now(nt->counters);
    nr = ww_get_pages(nt->ctx, base, size, flags & WRITE_WATCH_FLAG_RESET ? WW_GET_RESET : 0, addresses,
                      capacity);
    if (nr < 0) {
        return nt_status(nr);
    }
    stats_got(nt->counters, (uintptr_t)base, addresses, nr, stats_now(nt->counters) - began);
    *count = nr;
    *granularity = NT_PAGE_SIZE;
    return STATUS_SUCCESS;
}

NTSTATUS nt_reset_write_watch(struct nt *nt, HANDLE process, PVOID base, SIZE_T size)
{
    void *args[] = { &process, &base, &size };
    uint64_t began = stats_now(nt->counters);
    NTSTATUS status;
    SIZE_T left;
    int err;

    if (!is_ours(nt, base, size, &left)) {
        stats_passed(nt->counters, COUNTERS_RESET);
        return nt->original(nt, NT_RESET_WRITE_WATCH, args);
    }
    status = nt_check_handle(nt, process);
    if (status) {
        return status;
    }
    err = ww_reset(nt->ctx, base, size);
    stats_reset(nt->counters, (uintptr_t)base, stats_now(nt->counters) - began);
    return nt_status(err);
}
