/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the kernel for single numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "proc.h"

struct sysctl read_sysctl(const char *path)
{
    struct sysctl sysctl = { .known = false };
    FILE *file = fopen(path, "re");

    if (file) {
        sysctl.known = fscanf(file, "%ld", &sysctl.value) == 1;
        fclose(file);
    }
    return sysctl;
}

long read_status(pid_t pid, const char *field)
{
    char path[64], line[256];
    size_t len = strlen(field);
    long value = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (!strncmp(line, field, len) && line[len] == ':') {
            value = atol(line + len + 1);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return value;
}

const char *kernel_release(void)
{
    static struct utsname name;

    return uname(&name) ? "unknown" : name.release;
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}
