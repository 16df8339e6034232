/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_async.c - requests that complete later, in pieces, or not at all.
 *
 * As in conformance_io.c: bytes that arrive mark their pages, the rest of a buffer may be marked
 * when the request is issued, and a failing call marks nothing (found by Wine's tests on Windows).
 * Windows documents that the system writes to the OVERLAPPED structure, to the count of bytes and
 * to the sender's address: these mark their pages too.
 */
#include <winsock2.h>
#include <stdlib.h>
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16
#define NR_SEGMENTS 4
#define NO_HANDLE ((HANDLE)(ULONG_PTR)0xdead0)

static HANDLE open_file(DWORD flags, unsigned int nr_pages)
{
    char dir[MAX_PATH], path[MAX_PATH], page[PAGE_BYTES];
    HANDLE file;
    DWORD done;
    unsigned int i;

    GetTempPathA(sizeof(dir), dir);
    GetTempFileNameA(dir, "ww", 0, path);
    file = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    for (i = 0; i < nr_pages; i++) {
        memset(page, 'a' + i, sizeof(page));
        WriteFile(file, page, sizeof(page), &done, NULL);
    }
    CloseHandle(file);
    file = CreateFileA(path, GENERIC_READ, 0, NULL, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE | flags, NULL);
    ok(file != INVALID_HANDLE_VALUE, "CreateFile: error %lu", GetLastError());
    return file;
}

/* Waits for a request that was issued into overlapped; returns the number of bytes, or ~0. */
static DWORD finish(HANDLE file, OVERLAPPED *overlapped, BOOL issued)
{
    DWORD done = 0;

    if (!issued && GetLastError() != ERROR_IO_PENDING)
        return ~0u;
    return GetOverlappedResult(file, overlapped, &done, TRUE) ? done : ~0u;
}

/* Whether the first page of the file can be read by it, into memory that is not watched. */
static bool can_scatter(HANDLE file, OVERLAPPED *overlapped)
{
    void *plain = VirtualAlloc(NULL, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    FILE_SEGMENT_ELEMENT segments[2] = { { .Buffer = plain } };
    DWORD done = finish(file, overlapped, ReadFileScatter(file, segments, PAGE_BYTES, NULL, overlapped));

    free_pages(plain);
    return done == PAGE_BYTES;
}

static void scatter(char *base, HANDLE file, OVERLAPPED *overlapped)
{
    static const unsigned int pages[NR_SEGMENTS] = { 3, 9, 5, 12 };
    FILE_SEGMENT_ELEMENT segments[NR_SEGMENTS + 1] = { 0 };
    unsigned int round, i;
    DWORD done = 0;

    for (i = 0; i < NR_SEGMENTS; i++)
        segments[i].Buffer = base + PAGES(pages[i]);
    for (round = 0; round < 2; round++) {
        BOOL issued = ReadFileScatter(file, segments, PAGES(NR_SEGMENTS), NULL, overlapped);

        done = finish(file, overlapped, issued);
        /* Wine's emulation does not handle this call: the kernel finds the pages armed, and fails. */
        todo_stock ok(done == PAGES(NR_SEGMENTS), "%lu bytes, error %lu", done, GetLastError());
        if (done != PAGES(NR_SEGMENTS))
            return;
        for (i = 0; i < NR_SEGMENTS; i++)
            ok(base[PAGES(pages[i])] == (char)('a' + i) && base[PAGES(pages[i] + 1) - 1] == (char)('a' + i),
               "page %u holds %d", pages[i], base[PAGES(pages[i])]);
        expect_pages(base, 0, NR_PAGES, RESET, "3 5 9 12");
    }
    ok(!ReadFileScatter(NO_HANDLE, segments, PAGES(NR_SEGMENTS), NULL, overlapped), "read from nowhere");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    /* Wine reads one page before it notices that the rest is no whole page, and that page counts as written.
     */
    ok(!ReadFileScatter(file, segments, PAGES(1) + 1, NULL, overlapped), "read of a page and a byte");
    expect_between(base, NR_PAGES, KEEP, "", "3 9");
}

static void test_scatter(char *base)
{
    HANDLE file = open_file(FILE_FLAG_NO_BUFFERING | FILE_FLAG_OVERLAPPED, NR_SEGMENTS);
    OVERLAPPED overlapped = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };

    if (can_scatter(file, &overlapped))
        scatter(base, file, &overlapped);
    else
        skip("no ReadFileScatter, error %lu", GetLastError());
    CloseHandle(overlapped.hEvent);
    CloseHandle(file);
}

/* The request's own structure lies in watched memory, page 14, and the count of bytes on page 13. */
static void test_structure(char *base)
{
    HANDLE file = open_file(FILE_FLAG_OVERLAPPED, 4), sync = open_file(0, 4);
    OVERLAPPED *overlapped = (OVERLAPPED *)(base + PAGES(14) + 100);
    DWORD *count = (DWORD *)(base + PAGES(13) + 8);
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    unsigned int round;
    BOOL issued;

    for (round = 0; round < 2; round++) {
        *overlapped = (OVERLAPPED){ .hEvent = event, .Offset = PAGES(1) };
        expect_pages(base, 0, NR_PAGES, RESET, "14");
        issued = ReadFile(file, base + PAGES(1), PAGES(2), NULL, overlapped);
        ok(finish(file, overlapped, issued) == PAGES(2) && base[PAGES(1)] == 'b', "error %lu",
           GetLastError());
        expect_pages(base, 0, NR_PAGES, RESET, "1-2 14");
        ok(ReadFile(sync, base + PAGES(7), 10, count, NULL) && *count == 10, "error %lu", GetLastError());
        expect_pages(base, 0, NR_PAGES, RESET, "7 13");

        /* At the end of the file, and without a file: only in the first case the buffer may be marked. */
        overlapped->Offset = PAGES(100);
        clean(base, NR_PAGES);
        issued = ReadFile(file, base + PAGES(1), PAGES(2), NULL, overlapped);
        ok(finish(file, overlapped, issued) == ~0u && GetLastError() == ERROR_HANDLE_EOF, "error %lu",
           GetLastError());
        expect_between(base, NR_PAGES, RESET, "", "1-2 14");
        ok(!ReadFile(NO_HANDLE, base + PAGES(1), PAGES(2), NULL, overlapped), "read from nowhere");
        expect_between(base, NR_PAGES, RESET, "", "14");
        clean(base, NR_PAGES);
    }
    CloseHandle(event);
    CloseHandle(sync);
    CloseHandle(file);
}

/* A request that waits: buffer on page 0 to 7, structure on page 14, both reset while it waits. */
static void test_waiting(char *base)
{
    OVERLAPPED *overlapped = (OVERLAPPED *)(base + PAGES(14) + 100);
    HANDLE reader, writer, event = CreateEventA(NULL, TRUE, FALSE, NULL);
    unsigned int round;
    char name[64];
    DWORD done;

    sprintf(name, "\\\\.\\pipe\\ww_async_%lx", GetCurrentProcessId());
    reader = CreateNamedPipeA(name, PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE, 1, 4096, 4096,
                              0, NULL);
    writer = CreateFileA(name, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    for (round = 0; round < 3; round++) {
        *overlapped = (OVERLAPPED){ .hEvent = event };
        ok(!ReadFile(reader, base, PAGES(8), NULL, overlapped) && GetLastError() == ERROR_IO_PENDING,
           "error %lu", GetLastError());
        expect_pages(base, 0, NR_PAGES, RESET, "0-7 14");
        if (round == 1) {
            /* Protected and opened again while the request waits. */
            protect_pages(base, 0, NR_PAGES, PAGE_READONLY);
            protect_pages(base, 0, NR_PAGES, PAGE_READWRITE);
            expect_pages(base, 0, NR_PAGES, KEEP, "");
        }
        if (round == 2) {
            ok(CancelIo(reader), "error %lu", GetLastError());
            ok(!GetOverlappedResult(reader, overlapped, &done, TRUE) &&
                   GetLastError() == ERROR_OPERATION_ABORTED,
               "error %lu", GetLastError());
            expect_between(base, NR_PAGES, RESET, "14", "0-7 14");
            break;
        }
        ok(WriteFile(writer, "ten bytes", 10, &done, NULL), "error %lu", GetLastError());
        ok(GetOverlappedResult(reader, overlapped, &done, TRUE) && done == 10 && !strcmp(base, "ten bytes"),
           "%lu bytes, error %lu", done, GetLastError());
        expect_between(base, NR_PAGES, RESET, "0 14", "0-7 14");
        expect_pages(base, 0, NR_PAGES, KEEP, "");
    }
    /* The writing end cannot be read. Wine's server refuses, after Wine has touched the buffer. */
    clean(base, NR_PAGES);
    ok(!ReadFile(writer, base, PAGES(2), &done, NULL) && GetLastError() == ERROR_ACCESS_DENIED, "error %lu",
       GetLastError());
    expect_between(base, NR_PAGES, KEEP, "", "0-1");
    CloseHandle(event);
    CloseHandle(writer);
    CloseHandle(reader);
}

void test_async_io(void)
{
    void (*const tests[])(char *) = { test_scatter, test_structure, test_waiting };

    run_each(tests, ARRAYSIZE(tests), NR_PAGES);
}

static bool bind_loopback(SOCKET *ret, struct sockaddr_in *ret_addr)
{
    int len = sizeof(*ret_addr);

    *ret = socket(AF_INET, SOCK_DGRAM, 0);
    *ret_addr = (struct sockaddr_in){ .sin_family = AF_INET };
    ret_addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return !bind(*ret, (struct sockaddr *)ret_addr, sizeof(*ret_addr)) &&
           !getsockname(*ret, (struct sockaddr *)ret_addr, &len);
}

/* The data goes to page 2, the sender's address to page 9, its length to page 11. */
static void test_ready_datagram(char *base, SOCKET sender, SOCKET receiver, const struct sockaddr_in *to)
{
    static char large[6000];
    struct sockaddr_in *from = (struct sockaddr_in *)(base + PAGES(9) + 16);
    int *len = (int *)(base + PAGES(11));
    DWORD done = 0, flags, round;
    WSABUF buf = { .buf = base + PAGES(2) };
    int ret;

    for (round = 0; round < 2; round++) {
        *len = sizeof(*from);
        clean(base, NR_PAGES);
        sendto(sender, "ten bytes", 10, 0, (const struct sockaddr *)to, sizeof(*to));
        buf.len = PAGES(2);
        flags = MSG_PEEK;
        ret = WSARecvFrom(receiver, &buf, 1, &done, &flags, (struct sockaddr *)from, len, NULL, NULL);
        ok(!ret && done == 10 && from->sin_family == AF_INET, "error %d", WSAGetLastError());
        expect_between(base, NR_PAGES, RESET, "2 9", "2-3 9 11");
        flags = 0;
        *len = sizeof(*from);
        ret = WSARecvFrom(receiver, &buf, 1, &done, &flags, (struct sockaddr *)from, len, NULL, NULL);
        ok(!ret && done == 10 && !strcmp(base + PAGES(2), "ten bytes"), "error %d", WSAGetLastError());
        expect_between(base, NR_PAGES, RESET, "2 9 11", "2-3 9 11");

        /* A datagram that does not fit: the call fails, but has filled the buffer. */
        memset(large, 'l', sizeof(large));
        sendto(sender, large, sizeof(large), 0, (const struct sockaddr *)to, sizeof(*to));
        buf.len = PAGES(1);
        flags = 0;
        ret = WSARecvFrom(receiver, &buf, 1, &done, &flags, NULL, NULL, NULL, NULL);
        ok(ret == SOCKET_ERROR && WSAGetLastError() == WSAEMSGSIZE && base[PAGES(3) - 1] == 'l',
           "got %d, error %d", ret, WSAGetLastError());
        expect_pages(base, 0, NR_PAGES, RESET, "2");
    }
}

static void test_waiting_datagram(char *base, SOCKET sender, SOCKET receiver, const struct sockaddr_in *to)
{
    struct sockaddr_in *from = (struct sockaddr_in *)(base + PAGES(9) + 16);
    int *len = (int *)(base + PAGES(11)), ret;
    WSAOVERLAPPED *overlapped = (WSAOVERLAPPED *)(base + PAGES(14));
    WSABUF bufs[2] = { { .buf = base + PAGES(6) - 2, .len = 4 },
                       { .buf = base + PAGES(1), .len = PAGES(1) } };
    DWORD flags = 0, done = 0;
    bool arrived;

    *len = sizeof(*from);
    *overlapped = (WSAOVERLAPPED){ .hEvent = WSACreateEvent() };
    ret = WSARecvFrom(receiver, bufs, 2, NULL, &flags, (struct sockaddr *)from, len, overlapped, NULL);
    ok(ret == SOCKET_ERROR && WSAGetLastError() == WSA_IO_PENDING, "got %d, error %d", ret,
       WSAGetLastError());
    expect_between(base, NR_PAGES, RESET, "1 5-6 11 14", "1 5-6 9 11 14");
    sendto(sender, "ten bytes", 10, 0, (const struct sockaddr *)to, sizeof(*to));
    /* The kernel fails to store into pages that Wine's emulation has armed, and drops the datagram. */
    arrived = WSAWaitForMultipleEvents(1, &overlapped->hEvent, TRUE, 2000, FALSE) == WSA_WAIT_EVENT_0;
    todo_stock ok(arrived, "the datagram did not arrive");
    if (arrived) {
        ok(WSAGetOverlappedResult(receiver, overlapped, &done, FALSE, &flags) && done == 10,
           "%lu bytes, error %d", done, WSAGetLastError());
        ok(!memcmp(base + PAGES(6) - 2, "ten ", 4) && !strcmp(base + PAGES(1), "bytes"), "wrong content");
        ok(from->sin_family == AF_INET, "family %d", from->sin_family);
        expect_between(base, NR_PAGES, RESET, "1 5-6 9 14", "1 5-6 9 11 14");
        expect_pages(base, 0, NR_PAGES, KEEP, "");
    } else {
        CancelIo((HANDLE)receiver);
        WSAGetOverlappedResult(receiver, overlapped, &done, TRUE, &flags);
    }
    WSACloseEvent(overlapped->hEvent);
}

static void test_failing_datagram(char *base, SOCKET receiver)
{
    WSABUF buf = { .buf = base, .len = PAGES(4) };
    u_long nonblocking = 1;
    DWORD flags = 0, done = 0;
    int ret;

    ret = WSARecvFrom((SOCKET)0xdead0, &buf, 1, &done, &flags, NULL, NULL, NULL, NULL);
    ok(ret == SOCKET_ERROR && WSAGetLastError() == WSAENOTSOCK, "got %d, error %d", ret, WSAGetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    /* This handle is a socket, so Wine may have touched the buffer. */
    ioctlsocket(receiver, FIONBIO, &nonblocking);
    ret = WSARecvFrom(receiver, &buf, 1, &done, &flags, NULL, NULL, NULL, NULL);
    ok(ret == SOCKET_ERROR && WSAGetLastError() == WSAEWOULDBLOCK, "got %d, error %d", ret,
       WSAGetLastError());
    expect_between(base, NR_PAGES, RESET, "", "0-3");
}

void test_datagrams(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    struct sockaddr_in from, to;
    SOCKET sender, receiver;
    WSADATA info;

    if (!WSAStartup(MAKEWORD(2, 2), &info) && bind_loopback(&sender, &from) &&
        bind_loopback(&receiver, &to)) {
        test_ready_datagram(base, sender, receiver, &to);
        test_waiting_datagram(base, sender, receiver, &to);
        clean(base, NR_PAGES);
        test_failing_datagram(base, receiver);
        closesocket(sender);
        closesocket(receiver);
        WSACleanup();
    } else {
        skip("no sockets, error %d", WSAGetLastError());
    }
    free_pages(base);
}
