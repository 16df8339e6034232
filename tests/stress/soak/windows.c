/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The soak test's system (struct soak_system) for a Windows program: write watches,
 * ReadFile() into watched memory, SuspendThread(). With --stock=1 it expects no
 * more than stock Wine's write watches do.
 */
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "soak.h"

static HANDLE pipe_read, pipe_write, file;

/* ---- threads ---- */

/* All threads stand still when this returns, because GetThreadContext() waits for that. */
static int suspend(struct soak_actor **actors, size_t nr)
{
    CONTEXT context = { .ContextFlags = CONTEXT_CONTROL };
    int ret = 0;

    for (size_t i = 0; i < nr; i++) {
        if (SuspendThread(actors[i]->handle) == ~0u) {
            ret = -1;
        }
    }
    for (size_t i = 0; i < nr; i++) {
        if (!GetThreadContext(actors[i]->handle, &context)) {
            ret = -2;
        }
    }
    return ret;
}

static int resume(struct soak_actor **actors, size_t nr)
{
    int ret = 0;

    for (size_t i = 0; i < nr; i++) {
        if (ResumeThread(actors[i]->handle) == ~0u) {
            ret = -1;
        }
    }
    return ret;
}

static void enter(struct soak_actor *actor)
{
    HANDLE self = GetCurrentProcess();

    DuplicateHandle(self, GetCurrentThread(), self, &actor->handle, 0, FALSE, DUPLICATE_SAME_ACCESS);
}

static double seconds(void)
{
    LARGE_INTEGER counter, frequency;

    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&counter);
    return (double)counter.QuadPart / frequency.QuadPart;
}

static void nap(unsigned int us)
{
    if (us) {
        Sleep((us + 999) / 1000);
    } else {
        SwitchToThread();
    }
}

static void say(const char *text, size_t len)
{
    DWORD nr;

    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), text, len, &nr, NULL);
}

/* Unloads no DLL, because a suspended thread may hold the loader's lock. */
static void die(int status)
{
    TerminateProcess(GetCurrentProcess(), status);
}

/* ---- memory ---- */

static int system_open(void)
{
    char folder[MAX_PATH], path[MAX_PATH];

    if (!CreatePipe(&pipe_read, &pipe_write, NULL, 65536) || !GetTempPathA(sizeof(folder), folder) ||
        !GetTempFileNameA(folder, "ww", 0, path)) {
        soak_say("skipped: no pipe or temporary file: error %u\n", (unsigned int)GetLastError());
        return 77;
    }
    file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE,
                       NULL);
    if (file == INVALID_HANDLE_VALUE) {
        soak_say("skipped: no temporary file: error %u\n", (unsigned int)GetLastError());
        return 77;
    }
    soak.exact = !soak.options.stock;
    soak.kernel_writes = true;
    soak.two_levels = !soak.options.stock;
    return 0;
}

static void system_close(void)
{
    CloseHandle(file);
    CloseHandle(pipe_read);
    CloseHandle(pipe_write);
}

static char *allocate(size_t len)
{
    return VirtualAlloc(NULL, len, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
}

static int release(char *base, size_t len)
{
    (void)len;
    return VirtualFree(base, 0, MEM_RELEASE) ? 0 : -1;
}

static int commit(char *addr, size_t len)
{
    return VirtualAlloc(addr, len, MEM_COMMIT, PAGE_READWRITE) ? 0 : -1;
}

static int decommit(char *addr, size_t len)
{
    return VirtualFree(addr, len, MEM_DECOMMIT) ? 0 : -1;
}

static int protect(char *addr, size_t len, enum soak_access access)
{
    static const DWORD protections[] = {
        [SOAK_NONE] = PAGE_NOACCESS,
        [SOAK_READ] = PAGE_READONLY,
        [SOAK_WRITE] = PAGE_READWRITE,
        [SOAK_EXECUTE] = PAGE_EXECUTE_READWRITE,
    };
    DWORD before;

    return VirtualProtect(addr, len, protections[access], &before) ? 0 : -1;
}

static ssize_t get(char *addr, size_t len, bool reset, void **pages, size_t capacity)
{
    ULONG_PTR count = capacity;
    DWORD granularity;

    if (GetWriteWatch(reset ? WRITE_WATCH_FLAG_RESET : 0, addr, len, pages, &count, &granularity)) {
        return -1;
    }
    return count;
}

static int reset(char *addr, size_t len)
{
    return ResetWriteWatch(addr, len) ? -1 : 0;
}

/* ---- other work ---- */

static int kernel_write(char *dst, const void *src, size_t len, bool by_file)
{
    size_t done = 0;
    DWORD nr;

    if (by_file) {
        SetFilePointer(file, 0, NULL, FILE_BEGIN);
    }
    if (!WriteFile(by_file ? file : pipe_write, src, len, &nr, NULL) || nr != len) {
        return -1;
    }
    if (by_file) {
        SetFilePointer(file, 0, NULL, FILE_BEGIN);
    }
    while (done < len) {
        if (!ReadFile(by_file ? file : pipe_read, dst + done, len - done, &nr, NULL) || !nr) {
            return -2;
        }
        done += nr;
    }
    return 0;
}

static DWORD WINAPI short_life(void *arg)
{
    free(memset(arg, 1, 100));
    return 0;
}

static int start_thread(void)
{
    HANDLE thread = CreateThread(NULL, 0, short_life, malloc(100), 0, NULL);

    if (!thread) {
        return -1;
    }
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    return 0;
}

/* To open a file, the system allocates under its own locks. */
static int look_for_file(void)
{
    HANDLE nothing =
        CreateFileA("c:\\no such folder\\no such file", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);

    if (nothing != INVALID_HANDLE_VALUE) {
        CloseHandle(nothing);
        return -1;
    }
    return 0;
}

static int use_memory(uint64_t *random)
{
    size_t len = (1 + soak_random(random) % 300) * SOAK_PAGE;
    char *base = VirtualAlloc(NULL, len, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    DWORD before;

    if (!base) {
        return -1;
    }
    base[0] = base[len - 1] = 1;
    return VirtualProtect(base, len, PAGE_READONLY, &before) && VirtualFree(base, 0, MEM_RELEASE) ? 0 : -1;
}

static int ordinary(uint64_t *random)
{
    switch (soak_random(random) % 16) {
    case 0:
        return start_thread();
    case 1:
    case 2:
        return look_for_file();
    case 3:
    case 4:
    case 5:
        return use_memory(random);
    default:
        return soak_use_heap(random);
    }
}

const struct soak_system soak_system = {
    .name = "write watches",
    .open = system_open,
    .close = system_close,
    .allocate = allocate,
    .release = release,
    .commit = commit,
    .decommit = decommit,
    .replace = decommit,
    .protect = protect,
    .get = get,
    .reset = reset,
    .kernel_write = kernel_write,
    .ordinary = ordinary,
    .suspend = suspend,
    .resume = resume,
    .enter = enter,
    .seconds = seconds,
    .nap = nap,
    .say = say,
    .die = die,
};
