/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libffi closures that receive calls from Windows code, and prepared calls of Wine's own functions. Both take
 * the calling convention of Wine's unix side as data. One call finds out which it is (abi.h).
 */
#include "abi.h"
#include "closure.h"
#include "hook.h"
#include "filter.h"
#include "remote.h"

const char *const hook_names[NR_NT_CALLS] = {
    [NT_ALLOCATE] = "NtAllocateVirtualMemory", [NT_ALLOCATE_EX] = "NtAllocateVirtualMemoryEx",
    [NT_FREE] = "NtFreeVirtualMemory",         [NT_PROTECT] = "NtProtectVirtualMemory",
    [NT_GET_WRITE_WATCH] = "NtGetWriteWatch",  [NT_RESET_WRITE_WATCH] = "NtResetWriteWatch",
};

#define MAX_ARGS 7

/* For closure_prepare(); each returns NTSTATUS. */
static const char *const signatures[NR_NT_CALLS] = {
    [NT_ALLOCATE] = "uppppuu", [NT_ALLOCATE_EX] = "upppuupu",     [NT_FREE] = "upppu",
    [NT_PROTECT] = "upppup",   [NT_GET_WRITE_WATCH] = "upuppppp", [NT_RESET_WRITE_WATCH] = "uppp",
};

/* One process has one Wine. The closures keep this address. */
static struct {
    struct nt nt;
    ffi_abi abi;
    void *originals[NR_NT_CALLS];
    ffi_cif cifs[NR_NT_CALLS];
    ffi_type *types[NR_NT_CALLS][MAX_ARGS];
    void *compare_objects, *query_object, *query_process, *query_virtual_memory;
    ffi_cif compare_cif, query_cif, memory_cif;
    ffi_type *compare_types[MAX_ARGS], *query_types[MAX_ARGS], *memory_types[MAX_ARGS];
} wine_side;

/* ---- the convention ---- */

/* Stands for "not written": nothing that a function would write by itself. */
#define UNTOUCHED 0x5a5a5a5a5a5a5a5aLL

static bool has_effect(const struct abi_convention *convention, const struct abi_effect *effect)
{
    for (int i = 0; i < ABI_NR_PLACES; i++) {
        if (convention->written[i] != (effect->target[i] != UNTOUCHED)) {
            return false;
        }
    }
    return convention->popped == effect->popped;
}

const char *hook_learn_convention(const struct hook_wine *wine)
{
    struct abi_effect effect = { .popped = false };

    if (!abi.nr_conventions) {
        return NULL;
    }
    for (int i = 0; i < ABI_NR_PLACES; i++) {
        effect.target[i] = UNTOUCHED;
    }
    abi.call_all(wine->query_performance_counter, &effect);
    for (size_t i = 0; i < abi.nr_conventions; i++) {
        if (has_effect(&abi.conventions[i], &effect)) {
            wine_side.abi = abi.conventions[i].abi;
            return abi.conventions[i].name;
        }
    }
    return NULL;
}

/* ---- calls of Wine's functions ---- */

static NTSTATUS call_out(ffi_cif *cif, void *function, void **args)
{
    ffi_arg ret = 0;

    ffi_call(cif, FFI_FN(function), &ret, args);
    return (NTSTATUS)ret;
}

static NTSTATUS call_original(struct nt *nt, enum nt_call call, void **args)
{
    (void)nt;
    return call_out(&wine_side.cifs[call], wine_side.originals[call], args);
}

/* NtQueryObject() and NtQueryInformationProcess() take the same arguments. */
static NTSTATUS query(void *function, HANDLE handle, ULONG class, void *info, ULONG len)
{
    ULONG *ret_len = NULL;
    void *args[] = { &handle, &class, &info, &len, &ret_len };

    return call_out(&wine_side.query_cif, function, args);
}

/*
 * Every call on virtual memory asks for a handle to a process with PROCESS_VM_OPERATION (Microsoft's
 * documentation of VirtualAllocEx() and ObReferenceObjectByHandle(); ReactOS asks NtGetWriteWatch() and
 * NtResetWriteWatch() for the same). Wine's originals of these two look at no handle. Another process'
 * watches cannot be reached from here, so access to them is denied.
 */
static NTSTATUS check_handle(struct nt *nt, HANDLE process)
{
    PROCESS_BASIC_INFORMATION process_info;
    OBJECT_BASIC_INFORMATION info;
    HANDLE self = NtCurrentProcess();
    void *args[] = { &process, &self };
    NTSTATUS status = call_out(&wine_side.compare_cif, wine_side.compare_objects, args);

    (void)nt;
    if (status == STATUS_NOT_SAME_OBJECT) {
        status = query(wine_side.query_process, process, ProcessBasicInformation, &process_info,
                       sizeof(process_info));
        return status == STATUS_OBJECT_TYPE_MISMATCH ? status : STATUS_ACCESS_DENIED;
    }
    if (!status) {
        status = query(wine_side.query_object, process, ObjectBasicInformation, &info, sizeof(info));
    }
    return status || info.GrantedAccess & PROCESS_VM_OPERATION ? status : STATUS_ACCESS_DENIED;
}

/* Wine shows a placeholder like memory that is reserved and was allocated without access (8.0 and 10.0). If
 * such memory was ever watched here, it counts as still allocated. */
static bool is_gone(struct nt *nt, uintptr_t addr, uintptr_t *ret_until)
{
    MEMORY_BASIC_INFORMATION info = { .State = 0 };
    HANDLE process = NtCurrentProcess();
    ULONG class = MemoryBasicInformation;
    SIZE_T len = sizeof(info), *ret_len = NULL;
    void *buffer = &info, *args[] = { &process, &addr, &class, &buffer, &len, &ret_len };

    /* An answer that leads no further is none. */
    if (call_out(&wine_side.memory_cif, wine_side.query_virtual_memory, args) ||
        (uintptr_t)info.BaseAddress + info.RegionSize <= addr) {
        *ret_until = UINTPTR_MAX;
        return false;
    }
    *ret_until = (uintptr_t)info.BaseAddress + info.RegionSize;
    return info.Type != MEM_PRIVATE ||
           (info.State == MEM_RESERVE && info.AllocationProtect == PAGE_NOACCESS &&
            !atomic_load(&nt->watches_no_access));
}

/* ---- calls from Windows code ---- */

#define ARG(n, type) (*(type *)args[n])

/* Every call reads the clock first and is counted last. */
static void leave(struct nt *nt, enum nt_call call, uint64_t began, NTSTATUS status, void *ret)
{
    stats_called(nt->counters, (enum counters_call)call, status != 0, stats_now(nt->counters) - began);
    *(ffi_arg *)ret = (ULONG)status;
}

static void enter_allocate(ffi_cif *cif, void *ret, void **args, void *nt)
{
    uint64_t began = stats_now(((struct nt *)nt)->counters);

    (void)cif;
    leave(nt, NT_ALLOCATE, began,
          nt_allocate(nt, ARG(0, HANDLE), ARG(1, PVOID *), ARG(2, ULONG_PTR), ARG(3, SIZE_T *), ARG(4, ULONG),
                      ARG(5, ULONG)),
          ret);
}

static void enter_allocate_ex(ffi_cif *cif, void *ret, void **args, void *nt)
{
    uint64_t began = stats_now(((struct nt *)nt)->counters);

    (void)cif;
    leave(nt, NT_ALLOCATE_EX, began,
          nt_allocate_ex(nt, ARG(0, HANDLE), ARG(1, PVOID *), ARG(2, SIZE_T *), ARG(3, ULONG), ARG(4, ULONG),
                         ARG(5, MEM_EXTENDED_PARAMETER *), ARG(6, ULONG)),
          ret);
}

static void enter_free(ffi_cif *cif, void *ret, void **args, void *nt)
{
    uint64_t began = stats_now(((struct nt *)nt)->counters);

    (void)cif;
    leave(nt, NT_FREE, began, nt_free(nt, ARG(0, HANDLE), ARG(1, PVOID *), ARG(2, SIZE_T *), ARG(3, ULONG)),
          ret);
}

static void enter_protect(ffi_cif *cif, void *ret, void **args, void *nt)
{
    uint64_t began = stats_now(((struct nt *)nt)->counters);

    (void)cif;
    leave(nt, NT_PROTECT, began,
          nt_protect(nt, ARG(0, HANDLE), ARG(1, PVOID *), ARG(2, SIZE_T *), ARG(3, ULONG), ARG(4, ULONG *)),
          ret);
}

static void enter_get_write_watch(ffi_cif *cif, void *ret, void **args, void *nt)
{
    uint64_t began = stats_now(((struct nt *)nt)->counters);

    (void)cif;
    leave(nt, NT_GET_WRITE_WATCH, began,
          nt_get_write_watch(nt, ARG(0, HANDLE), ARG(1, ULONG), ARG(2, PVOID), ARG(3, SIZE_T),
                             ARG(4, PVOID *), ARG(5, ULONG_PTR *), ARG(6, ULONG *)),
          ret);
}

static void enter_reset_write_watch(ffi_cif *cif, void *ret, void **args, void *nt)
{
    uint64_t began = stats_now(((struct nt *)nt)->counters);

    (void)cif;
    leave(nt, NT_RESET_WRITE_WATCH, began,
          nt_reset_write_watch(nt, ARG(0, HANDLE), ARG(1, PVOID), ARG(2, SIZE_T)), ret);
}

static const closure_enter enter[NR_NT_CALLS] = {
    [NT_ALLOCATE] = enter_allocate,
    [NT_ALLOCATE_EX] = enter_allocate_ex,
    [NT_FREE] = enter_free,
    [NT_PROTECT] = enter_protect,
    [NT_GET_WRITE_WATCH] = enter_get_write_watch,
    [NT_RESET_WRITE_WATCH] = enter_reset_write_watch,
};

static int prepare_entry(enum nt_call call, void **ret_entry)
{
    ffi_closure *closure; /* lives as long as the process */
    int err = closure_prepare(&wine_side.cifs[call], wine_side.types[call], wine_side.abi, signatures[call]);

    return err ? err : closure_make(&wine_side.cifs[call], enter[call], &wine_side.nt, &closure, ret_entry);
}

_Static_assert((int)NR_NT_CALLS == (int)COUNTERS_NR_CALLS && (int)NT_GET_WRITE_WATCH == (int)COUNTERS_GET &&
                   (int)NT_RESET_WRITE_WATCH == (int)COUNTERS_RESET,
               "the calls are counted by their own numbers");

void hook_count(struct counters *counters)
{
    wine_side.nt.counters = counters;
}

int hook_prepare(const struct hook_wine *wine, struct ww_context *ctx, void *entries[NR_NT_CALLS])
{
    int err;

    wine_side.nt.ctx = ctx;
    wine_side.nt.original = call_original;
    wine_side.nt.check_handle = check_handle;
    wine_side.nt.is_gone = is_gone;
    wine_side.nt.drain = remote_drain;
    wine_side.nt.pause_drain = remote_pause_drain;
    wine_side.nt.set_own = remote_set_own;
    wine_side.nt.before_watch = filter_add;
    wine_side.nt.after_watch = filter_remove;
    wine_side.compare_objects = wine->compare_objects;
    wine_side.query_object = wine->query_object;
    wine_side.query_process = wine->query_process;
    wine_side.query_virtual_memory = wine->query_virtual_memory;
    err = closure_prepare(&wine_side.compare_cif, wine_side.compare_types, wine_side.abi, "upp");
    if (!err) {
        err = closure_prepare(&wine_side.query_cif, wine_side.query_types, wine_side.abi, "upupup");
    }
    if (!err) {
        err = closure_prepare(&wine_side.memory_cif, wine_side.memory_types, wine_side.abi, "uppuppp");
    }
    for (int call = 0; call < NR_NT_CALLS && !err; call++) {
        wine_side.originals[call] = wine->functions[call];
        err = prepare_entry(call, &entries[call]);
    }
    for (int call = 0; call < NR_NT_CALLS && !err; call++) {
        closure_seal(entries[call]);
    }
    return err;
}
