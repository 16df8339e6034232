/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads damaged copies of a Windows program: cut off at each length, and with bytes
 * replaced at random places, more often in the headers and tables than elsewhere. The
 * loader must load each or refuse it with a message; a crash ends the test. It never
 * runs the program.
 *
 *   damage FILE [SEED]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pe.h"

#define NR_ROUNDS 20000
#define MAX_FILE ((size_t)1 << 20)

static char original[MAX_FILE], *damaged;
static size_t size;
static unsigned int nr_loaded, nr_refused;

/* Knows only the functions that the guest imports, as loader.c does. */
static void *resolve(void *arg, const char *dll, const char *name)
{
    (void)dll;
    return strcmp(name, "GetWriteWatch") && strncmp(name, "Virtual", 7) && strcmp(name, "ResetWriteWatch")
               ? NULL
               : arg;
}

/* Loads a copy of exactly @len bytes, so that a sanitizer finds reads beyond the end. */
static bool try_load(size_t len)
{
    char *file = malloc(len ? len : 1);
    struct pe pe;
    bool loaded;

    memcpy(file, damaged, len);
    loaded = pe_load(&pe, file, len, resolve, &pe);
    free(file);
    if (loaded) {
        nr_loaded++;
    } else if (pe.error[0] && !pe.base) {
        nr_refused++;
    } else {
        printf("refused without a message\n");
        exit(1);
    }
    pe_unload(&pe);
    return loaded;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t mix = *state += UINT64_C(0x9e3779b97f4a7c15);

    mix = (mix ^ (mix >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mix = (mix ^ (mix >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mix ^ (mix >> 31);
}

/* Values at the limits of their types find the most bugs. */
static void damage_once(uint64_t *random)
{
    static const uint32_t values[] = { 0,      1,          4,          8,          0xff,
                                       0x1000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };
    size_t limit = next_random(random) % 4 ? (size < 1024 ? size : 1024) : size;
    size_t at = next_random(random) % limit, len = 1 + next_random(random) % 4;
    uint64_t chance = next_random(random);
    uint32_t value = chance % 3 ? values[chance / 3 % (sizeof(values) / sizeof(values[0]))] : chance >> 32;

    if (len <= size - at) {
        memcpy(damaged + at, &value, len);
    }
}

int main(int argc, char **argv)
{
    uint64_t random = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;

    size = file ? fread(original, 1, MAX_FILE, file) : 0;
    damaged = malloc(MAX_FILE);
    if (!size || size == MAX_FILE || !damaged) {
        printf("cannot read the program\n");
        return 1;
    }
    fclose(file);
    memcpy(damaged, original, size);
    if (!try_load(size)) {
        printf("the undamaged program is refused\n");
        return 1;
    }
    for (size_t len = 0; len < size; len++) {
        try_load(len);
    }
    for (int round = 0; round < NR_ROUNDS; round++) {
        memcpy(damaged, original, size);
        for (uint64_t nr = 1 + next_random(&random) % 4; nr; nr--) {
            damage_once(&random);
        }
        try_load(size);
    }
    free(damaged);
    printf("%u loaded, %u refused\n", nr_loaded, nr_refused);
    return 0;
}
