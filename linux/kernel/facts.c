/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Facts that do not change while the kernel runs (facts.h). Knows neither regions nor backends.
 *
 * Ubuntu, and distributions that build on its kernels, call a kernel 6.8.0-49-generic whatever stable release
 * it contains. The last word of /proc/version_signature is that release: "Ubuntu 6.8.0-49.49-generic 6.8.12".
 * Other names begin with the stable release: 6.7.4-zen1-1-zen, 6.12.9-amd64. No function here uses stdio,
 * since callers may have signals blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kernel/facts.h"
#include "kernel/fd.h"

unsigned int ww_page_shift;

static void learn_page_size(void)
{
    ww_page_shift = __builtin_ctzl(sysconf(_SC_PAGESIZE));
}

/* Only once, since threads of other contexts read it. */
void ww_page_size_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, learn_page_size);
}

/* ---- the release ---- */

static const char *parse_decimal(const char *at, unsigned int *ret)
{
    unsigned int number = 0;

    if (*at < '0' || *at > '9') {
        return NULL;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned int digit = *at - '0';

        if (number > (UINT_MAX - digit) / 10) {
            return NULL;
        }
        number = number * 10 + digit;
    }
    *ret = number;
    return at;
}

/* "6.8" or "6.8.12", and any suffix. */
static bool parse_release(const char *text, struct ww_release *ret)
{
    struct ww_release release = { .micro = 0 };
    const char *at = parse_decimal(text, &release.major);

    at = at && *at == '.' ? parse_decimal(at + 1, &release.minor) : NULL;
    if (!at) {
        return false;
    }
    if (*at == '.') {
        const char *micro = parse_decimal(at + 1, &release.micro);

        at = micro ? micro : at;
    }
    release.candidate = !strncmp(at, "-rc", 3) || !strncmp(at, "~rc", 3);
    *ret = release;
    return true;
}

/* The beginning of the last word of @text. Trailing blanks and newlines belong to that word. */
static const char *last_word(const char *text)
{
    size_t end = strlen(text);

    while (end && (text[end - 1] == ' ' || text[end - 1] == '\n')) {
        end--;
    }
    while (end && text[end - 1] != ' ' && text[end - 1] != '\n') {
        end--;
    }
    return text + end;
}

bool ww_release_parse(const char *name, const char *signature, struct ww_release *ret)
{
    return (signature && parse_release(last_word(signature), ret)) || parse_release(name, ret);
}

/* From 6.7, which introduced PAGEMAP_SCAN, to 6.8.9. The fix came after the last candidates of 6.9. */
bool ww_release_loses_bits(const struct ww_release *release)
{
    if (release->major != 6) {
        return false;
    }
    return release->minor == 7 || (release->minor == 8 && release->micro < 10) ||
           (release->minor == 9 && !release->micro && release->candidate);
}

/* Before 6.12.11 and 6.13. */
bool ww_release_moves_bits(const struct ww_release *release)
{
    return release->major < 6 ||
           (release->major == 6 && (release->minor < 12 || (release->minor == 12 && release->micro < 11)));
}

/* Reads as much of a small file as fits. False: the file cannot be read, or is empty. */
static bool read_text(const char *path, char *ret, size_t size)
{
    int fd = ww_open_file(path, O_RDONLY);
    ssize_t len;

    if (fd < 0) {
        return false;
    }
    do {
        len = read(fd, ret, size - 1);
    } while (len < 0 && errno == EINTR);
    close(fd);
    ret[len > 0 ? len : 0] = '\0';
    return len > 0;
}

bool ww_release_now(struct ww_release *ret)
{
    char signature[256];
    struct utsname name;

    if (uname(&name)) {
        return false;
    }
    return ww_release_parse(
        name.release, read_text("/proc/version_signature", signature, sizeof(signature)) ? signature : NULL,
        ret);
}

bool ww_kernel_loses_bits(void)
{
    struct ww_release release;

    return ww_release_now(&release) && ww_release_loses_bits(&release);
}

bool ww_kernel_moves_bits(void)
{
    struct ww_release release;

    return !ww_release_now(&release) || ww_release_moves_bits(&release);
}

/* ---- limits ---- */

/* Does not use strtol(): programs built with glibc 2.38 would need a symbol that older versions lack. */
long ww_mapping_limit(void)
{
    char text[24];
    long limit = 0;

    if (!read_text("/proc/sys/vm/max_map_count", text, sizeof(text))) {
        return WW_DEFAULT_MAPPING_LIMIT;
    }
    for (const char *at = text; *at >= '0' && *at <= '9'; at++) {
        limit = limit < LONG_MAX / 10 ? limit * 10 + *at - '0' : LONG_MAX;
    }
    return limit ? limit : WW_DEFAULT_MAPPING_LIMIT;
}
