/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which kernels are refused by their release: pairs of what uname(2) returns and what /proc/version_signature
 * holds, as distributions have them.
 */
#include "kernel/facts.h"
#include "util.h"

static const struct {
    const char *name, *signature;
    bool known;
    unsigned int major, minor, micro;
    bool loses_bits;
} releases[] = {
    /* Ubuntu and Linux Mint: the last word of the signature. */
    { "6.8.0-49-generic", "Ubuntu 6.8.0-49.49-generic 6.8.12\n", true, 6, 8, 12, false },
    { "6.8.0-31-generic", "Ubuntu 6.8.0-31.31-generic 6.8.1\n", true, 6, 8, 1, true },
    { "6.8.0-1020-azure", "Ubuntu 6.8.0-1020.23-azure 6.8.12\n", true, 6, 8, 12, false },
    { "6.8.1-1015-realtime", "Ubuntu 6.8.1-1015.16-realtime 6.8.12\n", true, 6, 8, 12, false },
    { "6.8.0-52-generic", "Ubuntu 6.8.0-52.53~22.04.1-generic 6.8.12\n", true, 6, 8, 12, false },
    { "6.5.0-45-generic", "Ubuntu 6.5.0-45.45~22.04.1-generic 6.5.13\n", true, 6, 5, 13, false },
    { "6.11.0-9-generic", "Ubuntu 6.11.0-9.9-generic 6.11.0", true, 6, 11, 0, false },
    { "6.8.0-49-generic", "Ubuntu 6.8.0-49.49-generic 6.8.12  \n\n", true, 6, 8, 12, false },
    { "6.7.0-7-generic", "6.7.3", true, 6, 7, 3, true },
    /* If the signature has no release, the name decides. */
    { "6.8.0-49-generic", NULL, true, 6, 8, 0, true },
    { "6.8.0-49-generic", "", true, 6, 8, 0, true },
    { "6.8.0-49-generic", " \n", true, 6, 8, 0, true },
    { "6.8.0-49-generic", "Ubuntu something", true, 6, 8, 0, true },
    { "6.8.0-49-generic", "Ubuntu 6.8.12 unknown", true, 6, 8, 0, true },
    { "6.8.11-amd64", "Ubuntu 6.", true, 6, 8, 11, false },
    /* Red Hat: the release of the base, with much that is backported; only the self test tells. */
    { "5.14.0-503.el9.x86_64", NULL, true, 5, 14, 0, false },
    { "6.12.0-55.9.1.el10_0.x86_64", NULL, true, 6, 12, 0, false },
    { "4.18.0-553.el8_10.x86_64", NULL, true, 4, 18, 0, false },
    /* Fedora, SteamOS, Arch, Debian, SUSE, WSL, Proxmox */
    { "6.8.9-300.fc40.x86_64", NULL, true, 6, 8, 9, true },
    { "6.8.10-300.fc40.x86_64", NULL, true, 6, 8, 10, false },
    { "6.11.11-valve19-1-neptune-611-g4b2c3d1e5f6a", NULL, true, 6, 11, 11, false },
    { "6.7.4-zen1-1-zen", NULL, true, 6, 7, 4, true },
    { "6.8.10-zen1-1-zen", NULL, true, 6, 8, 10, false },
    { "6.8.2-arch2-1", NULL, true, 6, 8, 2, true },
    { "6.12.9+bpo-amd64", NULL, true, 6, 12, 9, false },
    { "6.7.12+bpo-amd64", NULL, true, 6, 7, 12, true },
    { "6.1.0-28-rt-amd64", NULL, true, 6, 1, 0, false },
    { "6.8.2-rt11", NULL, true, 6, 8, 2, true },
    { "6.4.0-150600.23.30-default", NULL, true, 6, 4, 0, false },
    { "5.15.167.4-microsoft-standard-WSL2", NULL, true, 5, 15, 167, false },
    { "6.8.12-4-pve", NULL, true, 6, 8, 12, false },
    { "6.8.0+", NULL, true, 6, 8, 0, true },
    { "6.10.0+", NULL, true, 6, 10, 0, false },
    /* Release candidates come before the fix. */
    { "6.8.0-rc1", NULL, true, 6, 8, 0, true },
    { "6.7~rc4-amd64", NULL, true, 6, 7, 0, true },
    { "6.9.0-rc4", NULL, true, 6, 9, 0, true },
    { "6.9~rc6-amd64", NULL, true, 6, 9, 0, true },
    { "6.9-rc7", NULL, true, 6, 9, 0, true },
    { "6.9.0", NULL, true, 6, 9, 0, false },
    { "6.10.0-rc1", NULL, true, 6, 10, 0, false },
    /* Short and odd. */
    { "6.8", NULL, true, 6, 8, 0, true },
    { "6.8.", NULL, true, 6, 8, 0, true },
    { "6.8.x", NULL, true, 6, 8, 0, true },
    { "6.8-generic", NULL, true, 6, 8, 0, true },
    { "6.80.1", NULL, true, 6, 80, 1, false },
    { "16.8.1", NULL, true, 16, 8, 1, false },
    { "7.3.4-amd64", NULL, true, 7, 3, 4, false },
    { "6", NULL, false, 0, 0, 0, false },
    { "6.", NULL, false, 0, 0, 0, false },
    { "", NULL, false, 0, 0, 0, false },
    { "unknown", NULL, false, 0, 0, 0, false },
    { "-6.8", NULL, false, 0, 0, 0, false },
    { "99999999999.8.1", NULL, false, 0, 0, 0, false },
    { "6.99999999999", NULL, false, 0, 0, 0, false },
    { "unknown", "Ubuntu 6.8.0-49.49-generic 6.8.12\n", true, 6, 8, 12, false },
};

START_TEST(a_release_is_known_by_its_names)
{
    struct ww_release release = { .major = 77 };
    bool known = ww_release_parse(releases[_i].name, releases[_i].signature, &release);

    ck_assert_msg(known == releases[_i].known, "%s: %s", releases[_i].name, known ? "known" : "unknown");
    if (!known) {
        ck_assert_uint_eq(release.major, 77);
        return;
    }
    ck_assert_msg(release.major == releases[_i].major && release.minor == releases[_i].minor &&
                      release.micro == releases[_i].micro,
                  "%s (%s): %u.%u.%u", releases[_i].name,
                  releases[_i].signature ? releases[_i].signature : "", release.major, release.minor,
                  release.micro);
    ck_assert_msg(ww_release_loses_bits(&release) == releases[_i].loses_bits, "%s (%s)", releases[_i].name,
                  releases[_i].signature ? releases[_i].signature : "");
}
END_TEST

/* Debian's changelog: the state that mremap(2) carries along is cleared from 6.12.11 on. */
START_TEST(a_release_that_moves_bits_is_known)
{
    static const struct {
        struct ww_release release;
        bool moves;
    } rows[] = {
        { { 6, 8, 12, false }, true },    { { 6, 12, 10, false }, true }, { { 6, 12, 11, false }, false },
        { { 6, 12, 117, false }, false }, { { 6, 13, 0, false }, false }, { { 5, 19, 0, false }, true },
        { { 7, 0, 0, false }, false },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(ww_release_moves_bits(&rows[i].release) == rows[i].moves, "%u.%u.%u",
                      rows[i].release.major, rows[i].release.minor, rows[i].release.micro);
    }
}
END_TEST

START_TEST(this_kernel_has_a_release)
{
    struct ww_release release;

    ck_assert(ww_release_now(&release));
    ck_assert_uint_ge(release.major, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("release");
    TCase *tcase = tcase_create("release");

    tcase_add_loop_test(tcase, a_release_is_known_by_its_names, 0, sizeof(releases) / sizeof(releases[0]));
    tcase_add_test(tcase, a_release_that_moves_bits_is_known);
    tcase_add_test(tcase, this_kernel_has_a_release);
    suite_add_tcase(suite, tcase);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
