/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_peer.c - two processes: watched memory in another process, and another process at
 * work on watched memory here.
 *
 * Windows documents VirtualAllocEx, VirtualFreeEx, VirtualProtectEx and WriteProcessMemory as the
 * calls without Ex, made on another process; so a watch is the same whichever process allocates
 * it. A system may not know exactly what another process did, so pages that were not written may
 * be reported. A page that was written and is still there must never be missing.
 *
 * The peer is this program. It takes one order after the other from a section that both map.
 */
#include <stdlib.h>
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16
#define PATIENCE 20000 /* ms for one order */
#define NOT_WATCHED "failed 0xc000000d"

enum order {
    QUIT,
    /* In the peer's own memory. */
    OWN_ANSWER,
    OWN_WRITE,
    /* In the memory of the process that gives the orders. */
    THEIR_PROTECT,
    THEIR_DECOMMIT,
    THEIR_COMMIT,
    THEIR_DISCARD,
    THEIR_RELEASE,
    THEIR_FREE, /* by the native call, of any part and type */
    THEIR_ALLOCATE,
    THEIR_WRITE
};

struct mailbox {
    DWORD order, first, nr, value;
    ULONGLONG base;
    DWORD failed; /* 0, or the error */
    volatile LONG is_done;
    char answer[400];
};

struct peer {
    HANDLE process, go, done;
    struct mailbox *mail;
};

static bool open_mailbox(DWORD owner, struct peer *peer)
{
    HANDLE section;
    char name[64];

    sprintf(name, "ww_peer_%lx", owner);
    section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, sizeof(*peer->mail), name);
    peer->mail = section ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0) : NULL;
    sprintf(name, "ww_peer_go_%lx", owner);
    peer->go = CreateEventA(NULL, FALSE, FALSE, name);
    sprintf(name, "ww_peer_done_%lx", owner);
    peer->done = CreateEventA(NULL, FALSE, FALSE, name);
    return peer->mail && peer->go && peer->done;
}

/* ---- the peer's side ---- */

static bool obey_there(HANDLE process, const struct mailbox *mail, char *base)
{
    char *addr = base + PAGES(mail->first), data[2 * PAGE_BYTES];
    SIZE_T size = PAGES(mail->nr), done;
    PVOID rounded = addr;
    DWORD old;

    switch (mail->order) {
    case THEIR_PROTECT:
        return VirtualProtectEx(process, addr, size, mail->value, &old);
    case THEIR_DECOMMIT:
        return VirtualFreeEx(process, addr, size, MEM_DECOMMIT);
    case THEIR_COMMIT:
        return VirtualAllocEx(process, addr, size, MEM_COMMIT, PAGE_READWRITE) == addr;
    case THEIR_DISCARD:
        return VirtualAllocEx(process, addr, size, MEM_RESET, PAGE_READWRITE) == addr;
    case THEIR_RELEASE:
        return VirtualFreeEx(process, addr, 0, MEM_RELEASE);
    case THEIR_FREE:
        return !NtFreeVirtualMemory(process, &rounded, &size, mail->value);
    case THEIR_ALLOCATE:
        return VirtualAllocEx(process, addr, size, mail->value, PAGE_READWRITE) == addr;
    case THEIR_WRITE:
        memset(data, 'p', sizeof(data));
        return WriteProcessMemory(process, addr + mail->value, data, size, &done) && done == size;
    }
    return false;
}

static bool obey(HANDLE process, struct mailbox *mail)
{
    char *base = (char *)(ULONG_PTR)mail->base;

    switch (mail->order) {
    case OWN_ANSWER:
        describe_watch(mail->answer, sizeof(mail->answer), base, mail->nr, mail->value);
        return true;
    case OWN_WRITE:
        write_range(base, mail->first, mail->nr);
        return true;
    }
    return obey_there(process, mail, base);
}

/* conformance peer PID, the number in hexadecimal. Ends with the process that started it. */
int run_peer(int argc, char **argv)
{
    DWORD access = PROCESS_VM_OPERATION | PROCESS_VM_READ | PROCESS_VM_WRITE | SYNCHRONIZE;
    DWORD owner = argc > 2 ? strtoul(argv[2], NULL, 16) : 0;
    HANDLE process = OpenProcess(access, FALSE, owner), events[2];
    struct peer peer;

    if (!process || !open_mailbox(owner, &peer))
        return 3;
    events[0] = peer.go;
    events[1] = process;
    while (WaitForMultipleObjects(2, events, FALSE, INFINITE) == WAIT_OBJECT_0) {
        if (peer.mail->order == QUIT)
            return 0;
        SetLastError(SENTINEL);
        peer.mail->failed = obey(process, peer.mail) ? 0 : GetLastError();
        peer.mail->is_done = 1;
        SetEvent(peer.done);
    }
    return 4;
}

/* ---- this side ---- */

static bool start_peer(struct peer *peer)
{
    char path[MAX_PATH], command[MAX_PATH + 40];
    STARTUPINFOA startup = { .cb = sizeof(startup) };
    PROCESS_INFORMATION info;

    if (!open_mailbox(GetCurrentProcessId(), peer))
        return false;
    GetModuleFileNameA(NULL, path, sizeof(path));
    sprintf(command, "\"%s\" peer %lx", path, GetCurrentProcessId());
    if (!CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &info))
        return false;
    CloseHandle(info.hThread);
    peer->process = info.hProcess;
    return true;
}

static void stop_peer(struct peer *peer)
{
    DWORD code = ~0u;

    peer->mail->order = QUIT;
    SetEvent(peer->go);
    WaitForSingleObject(peer->process, PATIENCE);
    GetExitCodeProcess(peer->process, &code);
    ok(!code, "the peer ends with %lu", code);
    CloseHandle(peer->process);
    CloseHandle(peer->go);
    CloseHandle(peer->done);
    UnmapViewOfFile(peer->mail);
}

static void send_order(struct peer *peer, enum order order, char *base, unsigned int first, unsigned int nr,
                       DWORD value)
{
    peer->mail->order = order;
    peer->mail->base = (ULONG_PTR)base;
    peer->mail->first = first;
    peer->mail->nr = nr;
    peer->mail->value = value;
    peer->mail->is_done = 0;
    SetEvent(peer->go);
}

/* Returns 0, or the error with which the peer failed. */
static DWORD give_order(struct peer *peer, enum order order, char *base, unsigned int first, unsigned int nr,
                        DWORD value)
{
    HANDLE events[2] = { peer->done, peer->process };

    send_order(peer, order, base, first, nr, value);
    if (WaitForMultipleObjects(2, events, FALSE, PATIENCE) != WAIT_OBJECT_0)
        return ERROR_TIMEOUT;
    return peer->mail->failed;
}

/* Gives an order that must succeed, which is a check. */
static void let_peer(struct peer *peer, enum order order, char *base, unsigned int first, unsigned int nr,
                     DWORD value)
{
    DWORD failed = give_order(peer, order, base, first, nr, value);

    ok(!failed, "order %u for pages %u+%u, value %#lx: error %lu", order, first, nr, value, failed);
}

static void check_peer(int line, struct peer *peer, char *base, ULONG flags, const char *must,
                       const char *may)
{
    DWORD failed = give_order(peer, OWN_ANSWER, base, 0, NR_PAGES, flags);
    const char *text = failed ? "no answer" : peer->mail->answer;
    bool good = strcmp(must, may) ? is_between(text, NR_PAGES, must, may) : !strcmp(text, must);

    wwtest_ok(__FILE__, line, good, "in the peer: expected pages \"%s\", at most \"%s\", got \"%s\"", must,
              may, text);
}

#define expect_peer(peer, base, flags, want) check_peer(__LINE__, peer, base, flags, want, want)

/* This process allocates watched memory in the peer, and changes it from here. */
static void test_their_memory(struct peer *peer)
{
    DWORD type = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, old;
    char *base = VirtualAllocEx(peer->process, NULL, PAGES(NR_PAGES), type, PAGE_READWRITE), data[64] = { 1 };
    SIZE_T done;

    ok(base != NULL, "VirtualAllocEx: error %lu", GetLastError());
    if (!base)
        return;
    expect_peer(peer, base, KEEP, "");
    let_peer(peer, OWN_WRITE, base, 3, 2, 0);
    expect_peer(peer, base, KEEP, "3-4");
    expect_peer(peer, base, RESET, "3-4");
    expect_peer(peer, base, KEEP, "");
    let_peer(peer, OWN_WRITE, base, 4, 1, 0);
    ok(VirtualProtectEx(peer->process, base, PAGES(8), PAGE_READONLY, &old), "error %lu", GetLastError());
    expect_peer(peer, base, KEEP, "4");
    ok(VirtualProtectEx(peer->process, base, PAGES(8), PAGE_READWRITE, &old), "error %lu", GetLastError());
    let_peer(peer, OWN_WRITE, base, 6, 1, 0);
    expect_peer(peer, base, RESET, "4 6");

    /* A page that was never touched and one that is armed. Wine's own emulation watches memory that
     * another process allocates here, also with the preload: a known gap. */
    ok(WriteProcessMemory(peer->process, base + PAGES(5) - 32, data, 64, &done), "error %lu", GetLastError());
    todo_if(wwtest.on_wine) expect_peer(peer, base, RESET, "4-5");
    ok(VirtualFreeEx(peer->process, base + PAGES(4), PAGES(4), MEM_DECOMMIT), "error %lu", GetLastError());
    let_peer(peer, OWN_WRITE, base, 9, 1, 0);
    check_peer(__LINE__, peer, base, KEEP, "9", "4-7 9");
    ok(VirtualAllocEx(peer->process, base + PAGES(4), PAGES(4), MEM_COMMIT, PAGE_READWRITE) != NULL,
       "error %lu", GetLastError());
    let_peer(peer, OWN_WRITE, base, 4, 1, 0);
    check_peer(__LINE__, peer, base, RESET, "4 9", "4-7 9");
    expect_peer(peer, base, KEEP, "");
    ok(VirtualFreeEx(peer->process, base, 0, MEM_RELEASE), "error %lu", GetLastError());
    expect_peer(peer, base, KEEP, NOT_WATCHED);
    expect_peer(peer, base, RESET, NOT_WATCHED);
}

static void test_protect_and_write(struct peer *peer)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    write_range(base, 1, 2);
    let_peer(peer, THEIR_PROTECT, base, 0, 8, PAGE_NOACCESS);
    expect_pages(base, 0, NR_PAGES, KEEP, "1-2");
    let_peer(peer, THEIR_PROTECT, base, 0, 8, PAGE_READWRITE);
    write_page(base, 12);
    expect_pages(base, 0, NR_PAGES, RESET, "1-2 12");
    write_page(base, 2);
    let_peer(peer, THEIR_PROTECT, base, 0, 8, PAGE_READONLY);
    expect_pages(base, 0, NR_PAGES, RESET, "2");
    let_peer(peer, THEIR_PROTECT, base, 0, 8, PAGE_EXECUTE_READWRITE);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, RESET, "3");

    /* A change of protection by another process latches, and no decommit drops that, whichever process does
     * it. */
    clean(base, NR_PAGES);
    write_range(base, 1, 2);
    let_peer(peer, THEIR_PROTECT, base, 1, 1, PAGE_READONLY);
    decommit_pages(base, 1, 2);
    todo_stock expect_pages(base, 0, NR_PAGES, KEEP, "1");
    commit_pages(base, 1, 2);
    todo_stock expect_pages(base, 0, NR_PAGES, RESET, "1");
    write_range(base, 1, 2);
    protect_pages(base, 1, 1, PAGE_READONLY);
    let_peer(peer, THEIR_DECOMMIT, base, 1, 2, 0);
    expect_between(base, NR_PAGES, KEEP, "1", "0-15");
    let_peer(peer, THEIR_COMMIT, base, 1, 2, 0);
    expect_between(base, NR_PAGES, RESET, "1", "0-15");
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, RESET, "3");

    /* The peer writes bytes: on an armed page, over a border, on pages that were never touched. */
    let_peer(peer, THEIR_WRITE, base, 3, 1, 0);
    todo_stock expect_pages(base, 0, NR_PAGES, RESET, "3");
    let_peer(peer, THEIR_WRITE, base, 2, 1, 100);
    todo_stock expect_pages(base, 0, NR_PAGES, RESET, "2-3");
    let_peer(peer, THEIR_WRITE, base, 10, 2, 0);
    todo_stock expect_pages(base, 0, NR_PAGES, RESET, "10-11");
    ok(base[PAGES(3)] == 'p' && base[PAGES(12) - 1] == 'p', "wrong content");
    write_page(base, 5);
    expect_pages(base, 0, NR_PAGES, RESET, "5");
    free_pages(base);
}

static void test_commit_and_decommit(struct peer *peer)
{
    static const char *const pages[] = { "2", "3", "4", "5" };
    char *base = watch_pages(NR_PAGES, MEM_RESERVE, PAGE_READWRITE);
    unsigned int round;

    let_peer(peer, THEIR_COMMIT, base, 2, 8, 0);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    write_page(base, 3);
    expect_pages(base, 0, NR_PAGES, RESET, "3");
    for (round = 0; round < 2; round++) {
        write_range(base, 2, 8);
        clean(base, NR_PAGES);
        write_page(base, 3);
        write_page(base, 9);
        let_peer(peer, THEIR_DECOMMIT, base, 5, 2, 0);
        expect_between(base, NR_PAGES, KEEP, "3 9", "0-15");
        let_peer(peer, THEIR_COMMIT, base, 5, 2, 0);
        write_page(base, 5);
        write_page(base, 2);
        expect_between(base, NR_PAGES, RESET, "2-3 5 9", "0-15");
        expect_pages(base, 0, NR_PAGES, KEEP, "");
        write_page(base, 6);
        expect_pages(base, 0, NR_PAGES, RESET, "6");
    }

    /* The peer decommits and commits a part again and again, with a write in it before each answer. */
    for (round = 0; round < 20; round++) {
        let_peer(peer, THEIR_DECOMMIT, base, 2 + round % 4, 3, 0);
        let_peer(peer, THEIR_COMMIT, base, 2 + round % 4, 3, 0);
        write_page(base, 2 + round % 4);
        expect_between(base, NR_PAGES, RESET, pages[round % 4], "0-15");
    }
    expect_pages(base, 0, NR_PAGES, KEEP, "");

    /* The peer gives up contents. */
    write_page(base, 4);
    let_peer(peer, THEIR_DISCARD, base, 3, 3, 0);
    write_page(base, 3);
    expect_between(base, NR_PAGES, RESET, "3", "3-4");
    write_page(base, 4);
    expect_pages(base, 0, NR_PAGES, RESET, "4");

    /* The peer decommits all (size 0), and this process commits it again. */
    let_peer(peer, THEIR_DECOMMIT, base, 0, 0, 0);
    commit_pages(base, 0, NR_PAGES);
    write_range(base, 14, 2);
    expect_between(base, NR_PAGES, RESET, "14-15", "0-15");
    write_page(base, 0);
    expect_pages(base, 0, NR_PAGES, RESET, "0");
    free_pages(base);
}

/* The peer releases the memory, and this process or the peer allocates it again, watched or not. */
static void test_release_and_reuse(struct peer *peer)
{
    const DWORD plain = MEM_RESERVE | MEM_COMMIT, watched = plain | MEM_WRITE_WATCH;
    unsigned int round;

    for (round = 0; round < 4; round++) {
        DWORD type = round & 1 ? watched : plain;
        char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), *again = base;

        write_range(base, 0, 4);
        clean(base, NR_PAGES);
        write_page(base, 1);
        let_peer(peer, THEIR_RELEASE, base, 0, 0, 0);
        if (round < 2)
            expect_pages(base, 0, NR_PAGES, KEEP, NOT_WATCHED);
        if (round & 2)
            let_peer(peer, THEIR_ALLOCATE, base, 0, NR_PAGES, type);
        else
            again = VirtualAlloc(base, PAGES(NR_PAGES), type, PAGE_READWRITE);
        ok(again == base, "got %p instead of %p", again, base);
        if (again != base)
            continue;
        if (type == watched && (round & 2)) {
            /* Another process has done all of it, so all pages may count as written until they are reset. */
            expect_between(base, NR_PAGES, RESET, "", "0-15");
        }
        expect_pages(base, 0, NR_PAGES, KEEP, type == watched ? "" : NOT_WATCHED);
        write_page(base, 2);
        expect_pages(base, 0, NR_PAGES, KEEP, type == watched ? "2" : NOT_WATCHED);
        free_pages(base);
    }
}

/* What is left of an allocation whose pages the peer has decommitted. */
static void expect_rest_watched(char *base, unsigned int first, unsigned int nr)
{
    char *rest = base + PAGES(first), want[12];

    if (!nr)
        return;
    commit_pages(rest, 0, nr);
    clean(rest, nr);
    write_page(rest, nr - 1);
    sprintf(want, "%u", nr - 1);
    expect_pages(rest, 0, nr, RESET, want);
    expect_pages(rest, 0, nr, KEEP, "");
    ok(VirtualFree(rest, 0, MEM_RELEASE), "error %lu", GetLastError());
}

/* The peer decommits all and releases a part, before this process asks. The rest is watched as before. */
static void test_release_of_a_part(struct peer *peer)
{
    static const struct {
        unsigned int first, nr;
    } parts[] = { { 0, 1 }, { 0, 8 }, { 4, 8 }, { 15, 1 } };
    unsigned int i;

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        unsigned int first = parts[i].first, end = first + parts[i].nr;
        char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

        write_range(base, 0, NR_PAGES);
        let_peer(peer, THEIR_DECOMMIT, base, 0, NR_PAGES, 0);
        if (give_order(peer, THEIR_FREE, base, first, end - first, MEM_RELEASE)) {
            skip("no release of a part by another process");
            free_pages(base);
            return;
        }
        expect_pages(base, first, end - first, KEEP, NOT_WATCHED);
        expect_rest_watched(base, 0, first);
        expect_rest_watched(base, end, NR_PAGES - end);
    }
}

/* ---- while this process changes other memory ---- */

static char *other;

static void allocate_and_free(void)
{
    char *memory = VirtualAlloc(NULL, PAGES(NR_PAGES), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    VirtualFree(memory, 0, MEM_RELEASE);
}

static void protect_other(void)
{
    DWORD old;

    VirtualProtect(other, PAGES(NR_PAGES), PAGE_READONLY, &old);
    VirtualProtect(other, PAGES(NR_PAGES), PAGE_READWRITE, &old);
}

static void (*const works[])(void) = { allocate_and_free, protect_other };

/* Works until the peer has carried out an order. Returns whether it did. Makes no call meanwhile in which
 * Wine carries out what other processes ask for, so that it does so in the middle of the work. */
static bool work_meanwhile(struct peer *peer, void (*work)(void))
{
    ULONGLONG end = GetTickCount64() + PATIENCE;

    while (!peer->mail->is_done && GetTickCount64() < end)
        work();
    return WaitForSingleObject(peer->done, PATIENCE) == WAIT_OBJECT_0 && !peer->mail->failed;
}

static void test_busy(struct peer *peer)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    unsigned int nr_failed = 0, nr_lost = 0, nr_watched = 0, round;
    char text[400];

    other = VirtualAlloc(NULL, PAGES(NR_PAGES), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    for (round = 0; round < 120; round++) {
        commit_pages(base, 3, 1);
        clean(base, NR_PAGES);
        write_page(base, 3);
        send_order(peer, THEIR_PROTECT, base, 3, 1, PAGE_READONLY);
        nr_failed += !work_meanwhile(peer, works[round % 2]);
        decommit_pages(base, 3, 1);
        describe_watch(text, sizeof(text), base, NR_PAGES, KEEP);
        nr_lost += strcmp(text, "3") != 0;
    }
    ok(!nr_failed, "%u of %u orders failed", nr_failed, round);
    ok(!nr_lost, "%u of %u pages that the peer protected are gone", nr_lost, round);
    free_pages(base);

    nr_failed = 0;
    for (round = 0; round < 60; round++) {
        base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        send_order(peer, THEIR_RELEASE, base, 0, 0, 0);
        nr_failed += !work_meanwhile(peer, protect_other);
        describe_watch(text, sizeof(text), base, NR_PAGES, KEEP);
        nr_watched += strcmp(text, NOT_WATCHED) != 0;
    }
    ok(!nr_failed, "%u of %u orders failed", nr_failed, round);
    ok(!nr_watched, "%u of %u regions that the peer released are watched", nr_watched, round);
    free_pages(other);
}

/* ---- placeholders ---- */

static void expect_watched_part(char *base, const char *known)
{
    expect_pages(base, 0, NR_PAGES, RESET, known);
    write_page(base, 7);
    expect_pages(base, 0, NR_PAGES, RESET, "7");
}

/* The peer makes a placeholder of all or a third of the memory, and a file may be mapped there. The rest
 * stays watched. */
static void test_their_part(struct peer *peer, unsigned int first, unsigned int nr, bool map)
{
    char *base = watch_placeholder(PAGES(3 * NR_PAGES)), *part = base + PAGES(first * NR_PAGES);
    unsigned int third;

    write_range(base, 0, 3 * NR_PAGES);
    clean(base, 3 * NR_PAGES);
    for (third = 0; third < 3; third++)
        write_page(base + PAGES(third * NR_PAGES), 2);
    let_peer(peer, THEIR_FREE, part, 0, nr * NR_PAGES, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER);
    if (map)
        ok(map_over_placeholder(part, PAGES(nr * NR_PAGES)) == part, "error %lu", GetLastError());
    for (third = 0; third < 3; third++) {
        if (third >= first && third < first + nr)
            expect_pages(base + PAGES(third * NR_PAGES), 0, NR_PAGES, KEEP, NOT_WATCHED);
        else
            expect_watched_part(base + PAGES(third * NR_PAGES), "2");
    }
    for (third = 0; third < 3; third++) {
        VirtualFree(base + PAGES(third * NR_PAGES), 0, MEM_RELEASE);
        UnmapViewOfFile(base + PAGES(third * NR_PAGES));
    }
}

/* What looks like a placeholder afterwards is none: memory that was allocated without access. */
static void test_their_decommit_without_access(struct peer *peer)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);

    let_peer(peer, THEIR_DECOMMIT, base, 0, NR_PAGES, 0);
    expect_between(base, NR_PAGES, RESET, "", "0-15");
    commit_pages(base, 0, NR_PAGES);
    write_page(base, 7);
    expect_pages(base, 0, NR_PAGES, RESET, "7");
    free_pages(base);
}

void test_their_placeholders(void)
{
    char *probe = watch_placeholder(PAGES(NR_PAGES));
    struct peer peer;
    int map;

    if (!start_peer(&peer)) {
        skip("no second process, error %lu", GetLastError());
        return;
    }
    if (probe) {
        free_pages(probe);
        for (map = 0; map < 2; map++) {
            test_their_part(&peer, 0, 3, map);
            test_their_part(&peer, 0, 1, map);
            test_their_part(&peer, 1, 1, map);
            test_their_part(&peer, 2, 1, map);
        }
    } else {
        skip("no watched placeholders, error %lu", GetLastError());
    }
    test_their_decommit_without_access(&peer);
    stop_peer(&peer);
}

void test_peers(void)
{
    struct peer peer;

    if (!start_peer(&peer)) {
        skip("no second process, error %lu", GetLastError());
        return;
    }
    test_their_memory(&peer);
    test_protect_and_write(&peer);
    test_commit_and_decommit(&peer);
    test_release_and_reuse(&peer);
    test_release_of_a_part(&peer);
    test_busy(&peer);
    stop_peer(&peer);
}
