/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conformance_io.c - what the system writes into watched memory on the program's behalf.
 *
 * Windows documents none of this. Wine's own tests have found on Windows that a read marks its
 * whole buffer when it is issued, and that a failing call marks nothing. If fewer bytes arrive
 * than the buffer holds, the pages that received bytes must be marked, the rest of the buffer
 * may be, and pages outside of it must not.
 */
#include <winsock2.h>
#include <string.h>
#include "conformance.h"

#define NR_PAGES 16

static char data[PAGES(NR_PAGES)];

/* A file of nr_bytes that the system deletes when its handle is closed. */
static HANDLE create_file(DWORD access, DWORD flags, DWORD nr_bytes)
{
    char dir[MAX_PATH], path[MAX_PATH];
    HANDLE file;
    DWORD done;

    GetTempPathA(sizeof(dir), dir);
    GetTempFileNameA(dir, "ww", 0, path);
    memset(data, 'x', sizeof(data));
    file = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    WriteFile(file, data, nr_bytes, &done, NULL);
    CloseHandle(file);
    file = CreateFileA(path, access, 0, NULL, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE | flags, NULL);
    ok(file != INVALID_HANDLE_VALUE && done == nr_bytes, "no file of %lu bytes, error %lu", nr_bytes,
       GetLastError());
    return file;
}

static void read_file(HANDLE file, char *addr, DWORD size, DWORD want)
{
    DWORD done = 0;

    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    ok(ReadFile(file, addr, size, &done, NULL), "ReadFile: error %lu", GetLastError());
    ok(done == want && addr[0] == 'x' && addr[want - 1] == 'x', "read %lu bytes instead of %lu", done, want);
}

static void test_file_reads(char *base)
{
    HANDLE file = create_file(GENERIC_READ | GENERIC_WRITE, 0, PAGES(8));
    DWORD done = 0;
    unsigned int round;

    /* Into fresh memory, then into memory that was written and reset. */
    for (round = 0; round < 2; round++) {
        read_file(file, base + PAGES(2), PAGES(3), PAGES(3));
        expect_pages(base, 0, NR_PAGES, RESET, "2-4");
        read_file(file, base + PAGES(6) + 5, 1, 1);
        expect_pages(base, 0, NR_PAGES, RESET, "6");
        read_file(file, base + PAGES(9) - 1, 2, 2);
        expect_pages(base, 0, NR_PAGES, RESET, "8-9");
        expect_pages(base, 0, NR_PAGES, KEEP, "");
    }

    /* The file has fewer bytes than the buffer. */
    read_file(file, base + PAGES(4), PAGES(10), PAGES(8));
    expect_between(base, NR_PAGES, RESET, "4-11", "4-13");
    ok(!memcmp(base + PAGES(4), data, PAGES(8)), "wrong content");

    /* Writing to a file only reads watched memory. */
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    ok(WriteFile(file, base, PAGES(NR_PAGES), &done, NULL) && done == PAGES(NR_PAGES), "error %lu",
       GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    CloseHandle(file);
}

static void test_failing_reads(char *base)
{
    HANDLE file = create_file(GENERIC_WRITE, 0, PAGES(2));
    DWORD done = SENTINEL;
    unsigned int round;

    for (round = 0; round < 2; round++) {
        ok(!ReadFile((HANDLE)(ULONG_PTR)0xdead0, base, PAGES(4), &done, NULL),
           "ReadFile on no handle succeeds");
        expect_pages(base, 0, NR_PAGES, KEEP, "");
        ok(!ReadFile(file, base, PAGES(4), &done, NULL), "ReadFile on a file opened to write succeeds");
        expect_pages(base, 0, NR_PAGES, KEEP, "");
        write_range(base, 0, 4);
        clean(base, NR_PAGES);
    }
    CloseHandle(file);
}

static void test_overlapped_file(char *base)
{
    HANDLE file = create_file(GENERIC_READ, FILE_FLAG_OVERLAPPED, PAGES(4));
    OVERLAPPED overlapped = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
    DWORD done = 0;

    if (!ReadFile(file, base + PAGES(1), PAGES(4), NULL, &overlapped))
        ok(GetLastError() == ERROR_IO_PENDING, "error %lu", GetLastError());
    ok(GetOverlappedResult(file, &overlapped, &done, TRUE) && done == PAGES(4), "%lu bytes, error %lu", done,
       GetLastError());
    expect_pages(base, 0, NR_PAGES, RESET, "1-4");
    CloseHandle(overlapped.hEvent);
    CloseHandle(file);
}

void test_file_io(void)
{
    void (*const tests[])(char *) = { test_file_reads, test_failing_reads, test_overlapped_file };

    run_each(tests, ARRAYSIZE(tests), NR_PAGES);
}

static void test_anonymous_pipe(char *base)
{
    HANDLE reader, writer;
    DWORD done;
    unsigned int round;

    if (!CreatePipe(&reader, &writer, NULL, 0)) {
        skip("no pipe, error %lu", GetLastError());
        return;
    }
    for (round = 0; round < 2; round++) {
        ok(WriteFile(writer, "ten bytes", 10, &done, NULL), "error %lu", GetLastError());
        ok(ReadFile(reader, base + PAGES(3), PAGES(2), &done, NULL) && done == 10, "%lu bytes, error %lu",
           done, GetLastError());
        ok(!strcmp(base + PAGES(3), "ten bytes"), "wrong content");
        expect_between(base, NR_PAGES, RESET, "3", "3-4");

        ok(WriteFile(writer, "ten bytes", 10, &done, NULL), "error %lu", GetLastError());
        ok(ReadFile(reader, base + PAGES(7) - 5, 10, &done, NULL) && done == 10, "%lu bytes, error %lu", done,
           GetLastError());
        ok(!strcmp(base + PAGES(7) - 5, "ten bytes"), "wrong content");
        expect_pages(base, 0, NR_PAGES, RESET, "6-7");

        ok(WriteFile(writer, base, 100, &done, NULL), "error %lu", GetLastError());
        expect_pages(base, 0, NR_PAGES, KEEP, "");
        ok(ReadFile(reader, data, 100, &done, NULL), "error %lu", GetLastError());
    }
    CloseHandle(writer);
    ok(!ReadFile(reader, base, PAGES(2), &done, NULL) && GetLastError() == ERROR_BROKEN_PIPE, "error %lu",
       GetLastError());
    expect_between(base, NR_PAGES, RESET, "", "0-1");
    CloseHandle(reader);
}

/* A read that has to wait: issued, reset while it waits, completed. */
static void test_waiting_pipe(char *base)
{
    char name[64];
    OVERLAPPED overlapped = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
    HANDLE reader, writer;
    DWORD done = 0;

    sprintf(name, "\\\\.\\pipe\\ww_conformance_%lx", GetCurrentProcessId());
    reader = CreateNamedPipeA(name, PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE, 1, 4096, 4096,
                              0, NULL);
    writer = CreateFileA(name, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    ok(reader != INVALID_HANDLE_VALUE && writer != INVALID_HANDLE_VALUE, "no pipe, error %lu",
       GetLastError());

    write_page(base, 12);
    ok(!ReadFile(reader, base, PAGES(8), NULL, &overlapped) && GetLastError() == ERROR_IO_PENDING,
       "error %lu", GetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "0-7 12");
    clean(base, NR_PAGES);
    ok(WriteFile(writer, "ten bytes", 10, &done, NULL), "error %lu", GetLastError());
    done = 0;
    ok(GetOverlappedResult(reader, &overlapped, &done, TRUE) && done == 10, "%lu bytes, error %lu", done,
       GetLastError());
    ok(!strcmp(base, "ten bytes"), "wrong content");
    expect_between(base, NR_PAGES, RESET, "0", "0-7");
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    CloseHandle(overlapped.hEvent);
    CloseHandle(writer);
    CloseHandle(reader);
}

void test_pipe_io(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    test_anonymous_pipe(base);
    clean(base, NR_PAGES);
    test_waiting_pipe(base);
    free_pages(base);
}

static bool connect_pair(SOCKET *ret_sender, SOCKET *ret_receiver)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    SOCKET listener = socket(AF_INET, SOCK_STREAM, 0);
    int len = sizeof(addr);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *ret_sender = *ret_receiver = INVALID_SOCKET;
    if (!bind(listener, (struct sockaddr *)&addr, sizeof(addr)) && !listen(listener, 1) &&
        !getsockname(listener, (struct sockaddr *)&addr, &len)) {
        *ret_sender = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(*ret_sender, (struct sockaddr *)&addr, sizeof(addr)))
            *ret_receiver = accept(listener, NULL, NULL);
    }
    closesocket(listener);
    return *ret_receiver != INVALID_SOCKET;
}

static void test_ready_socket(char *base, SOCKET sender, SOCKET receiver)
{
    DWORD flags, done;
    WSABUF bufs[2];
    unsigned int round;
    int ret;

    for (round = 0; round < 2; round++) {
        ok(send(sender, "ten bytes", 10, 0) == 10, "send: error %d", WSAGetLastError());
        bufs[0] = (WSABUF){ .buf = base + PAGES(2), .len = PAGES(2) };
        flags = done = 0;
        ret = WSARecv(receiver, bufs, 1, &done, &flags, NULL, NULL);
        ok(!ret && done == 10 && !strcmp(base + PAGES(2), "ten bytes"), "WSARecv: %lu bytes, error %d", done,
           WSAGetLastError());
        expect_between(base, NR_PAGES, RESET, "2", "2-3");

        /* Two buffers, filled one after the other, of which the second has the lower address. */
        ok(send(sender, "ten bytes", 10, 0) == 10, "send: error %d", WSAGetLastError());
        bufs[0] = (WSABUF){ .buf = base + PAGES(9) - 2, .len = 4 };
        bufs[1] = (WSABUF){ .buf = base + PAGES(5), .len = 6 };
        flags = done = 0;
        ret = WSARecv(receiver, bufs, 2, &done, &flags, NULL, NULL);
        ok(!ret && done == 10, "WSARecv: %lu bytes, error %d", done, WSAGetLastError());
        ok(!memcmp(base + PAGES(9) - 2, "ten ", 4) && !strcmp(base + PAGES(5), "bytes"), "wrong content");
        expect_pages(base, 0, NR_PAGES, RESET, "5 8-9");

        ok(send(sender, base, 10, 0) == 10, "send: error %d", WSAGetLastError());
        expect_pages(base, 0, NR_PAGES, KEEP, "");
        ok(recv(receiver, base + PAGES(11), 10, 0) == 10, "recv: error %d", WSAGetLastError());
        expect_pages(base, 0, NR_PAGES, RESET, "11");
    }
}

static void test_waiting_socket(char *base, SOCKET sender, SOCKET receiver)
{
    WSAOVERLAPPED overlapped = { .hEvent = WSACreateEvent() };
    WSABUF buf = { .buf = base + PAGES(1), .len = PAGES(4) };
    DWORD flags = 0, done = 0;
    int ret;

    write_page(base, 12);
    ret = WSARecv(receiver, &buf, 1, NULL, &flags, &overlapped, NULL);
    ok(ret == SOCKET_ERROR && WSAGetLastError() == WSA_IO_PENDING, "got %d, error %d", ret,
       WSAGetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "1-4 12");
    clean(base, NR_PAGES);
    ok(send(sender, "ten bytes", 10, 0) == 10, "send: error %d", WSAGetLastError());
    ok(WSAGetOverlappedResult(receiver, &overlapped, &done, TRUE, &flags) && done == 10,
       "%lu bytes, error %d", done, WSAGetLastError());
    ok(!strcmp(base + PAGES(1), "ten bytes"), "wrong content");
    /* Windows does not report data that arrives after a reset (winetest, ws2_32 sock.c), nor does stock
     * Wine; under the shim the kernel records the page that its recvmsg writes: writewatch(7), differences.
     */
    todo_if(wwtest.on_wine && !wwtest.stock) expect_pages(base, 0, NR_PAGES, RESET, "");
    clean(base, NR_PAGES);
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    WSACloseEvent(overlapped.hEvent);
}

static void test_failing_socket(char *base)
{
    WSABUF buf = { .buf = base, .len = PAGES(4) };
    SOCKET unconnected = socket(AF_INET, SOCK_STREAM, 0);
    DWORD flags = 0, done = 0;
    int ret;

    ret = WSARecv((SOCKET)0xdead0, &buf, 1, &done, &flags, NULL, NULL);
    ok(ret == SOCKET_ERROR && WSAGetLastError() == WSAENOTSOCK, "got %d, error %d", ret, WSAGetLastError());
    expect_pages(base, 0, NR_PAGES, KEEP, "");
    ret = WSARecv(unconnected, &buf, 1, &done, &flags, NULL, NULL);
    ok(ret == SOCKET_ERROR && WSAGetLastError() == WSAENOTCONN, "got %d, error %d", ret, WSAGetLastError());
    /* This handle is a socket, so Wine may have touched the buffer before it looked at the connection. */
    expect_between(base, NR_PAGES, KEEP, "", "0-3");
    closesocket(unconnected);
}

void test_socket_io(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    SOCKET sender, receiver;
    WSADATA info;

    if (!WSAStartup(MAKEWORD(2, 2), &info) && connect_pair(&sender, &receiver)) {
        test_ready_socket(base, sender, receiver);
        test_waiting_socket(base, sender, receiver);
        clean(base, NR_PAGES);
        test_failing_socket(base);
        closesocket(sender);
        closesocket(receiver);
        WSACleanup();
    } else {
        skip("no sockets, error %d", WSAGetLastError());
    }
    free_pages(base);
}

void test_process_memory(void)
{
    char *base = watch_pages(NR_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), *plain = data;
    SIZE_T done = 0;
    unsigned int round;

    memset(data, 'y', sizeof(data));
    for (round = 0; round < 2; round++) {
        ok(WriteProcessMemory(GetCurrentProcess(), base + PAGES(3) - 1, plain, PAGES(1), &done) &&
               done == PAGES(1),
           "error %lu", GetLastError());
        ok(base[PAGES(3)] == 'y', "wrong content");
        /* Wine's server can write in spite of the protection on which Wine's emulation relies. */
        todo_stock expect_pages(base, 0, NR_PAGES, RESET, "2-3");
        ok(ReadProcessMemory(GetCurrentProcess(), plain, base + PAGES(6), PAGES(2), &done) &&
               done == PAGES(2),
           "error %lu", GetLastError());
        ok(base[PAGES(6)] == 'y', "wrong content");
        expect_pages(base, 0, NR_PAGES, RESET, "6-7");
        ok(ReadProcessMemory(GetCurrentProcess(), base, plain, PAGES(2), &done), "error %lu", GetLastError());
        expect_pages(base, 0, NR_PAGES, KEEP, "");
        memset(data, 'y', sizeof(data));
    }
    free_pages(base);
}
