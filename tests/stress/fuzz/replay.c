/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a harness over every file of its corpus, or over the files on the command line,
 * without libFuzzer: so every `make check` tests again what was found once, with any
 * compiler. Fails if there is no file.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static size_t nr_files;

/* Each input lies in memory of exactly its size, so that a tool like valgrind finds reads beyond it. */
static int run_file(const char *path)
{
    FILE *file = fopen(path, "re");
    struct stat status;
    uint8_t *data;
    size_t size;

    if (!file || fstat(fileno(file), &status)) {
        printf("%s: %s\n", path, strerror(errno));
        return 1;
    }
    data = malloc(status.st_size ? status.st_size : 1);
    size = data ? fread(data, 1, status.st_size, file) : 0;
    fclose(file);
    if (!data || size != (size_t)status.st_size) {
        printf("%s: cannot be read\n", path);
        free(data);
        return 1;
    }
    /* So the last line of a run that crashes names the input. */
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    nr_files++;
    return 0;
}

static int run_folder(const char *folder)
{
    struct dirent **entries;
    int nr = scandir(folder, &entries, NULL, alphasort), failed = 0;

    for (int i = 0; i < nr; i++) {
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            failed |= run_file(path);
        }
        free(entries[i]);
    }
    if (nr >= 0) {
        free(entries);
    }
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++) {
        failed |= run_file(argv[i]);
    }
    if (argc == 1) {
        failed = run_folder(CORPUS);
    }
    printf("%zu inputs\n", nr_files);
    return failed || !nr_files ? EXIT_FAILURE : EXIT_SUCCESS;
}
