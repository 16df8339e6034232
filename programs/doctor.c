/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch doctor`: checks everything between a Windows program and its write watches, and names remedies.
 * Each check is a function in one table and adds findings, which are printed at once or written as JSON. The
 * checks that need Wine are in doctor/wine.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/json.h"
#include "common/options.h"
#include "common/proc.h"
#include "doctor/doctor.h"
#include "kernel/headroom.h"
#include "programs.h"

const char doctor_help[] =
    "usage: writewatch doctor [--wine=PROGRAM] [--quick] [--json]\n"
    "\n"
    "Checks what write watches of Windows programs need on this system: kernel, sandbox,\n"
    "preload, Wine; then runs a small Windows program under Wine, in a Wine prefix of its\n"
    "own that is removed afterwards. Ends with \"Looks good.\" or with a list of remedies.\n"
    "\n"
    "  --wine=PROGRAM  this Wine (default: wine)\n"
    "  --quick         does not run a Windows program; that takes half a minute\n"
    "  --json          the same as JSON, see writewatch-json(5)\n"
    "  -h, --help      shows this help\n"
    "\n"
    "Examples:\n"
    "  writewatch doctor\n"
    "  writewatch doctor --wine=/opt/wine-staging/bin/wine\n"
    "\n"
    "The exit code is 0 if nothing has to be fixed, 1 if something has or these options are\n"
    "wrong.\n";

static const char *const severity_names[] = {
    [FINDING_GOOD] = "ok",
    [FINDING_NOTE] = "note",
    [FINDING_FIX] = "fix",
};

static void print_finding(const struct doctor *doctor, const struct finding *finding)
{
    static const char *const colors[] = {
        [FINDING_GOOD] = "32", [FINDING_NOTE] = "33", [FINDING_FIX] = "31"
    };
    const char *name = severity_names[finding->severity];

    if (doctor->colored) {
        printf("%-10s \033[%sm%-4s\033[0m %s\n", finding->subject, colors[finding->severity], name,
               finding->text);
    } else {
        printf("%-10s %-4s %s\n", finding->subject, name, finding->text);
    }
    fflush(stdout);
}

void add_finding(struct doctor *doctor, enum severity severity, const char *subject, const char *remedy,
                 const char *format, ...)
{
    struct finding *finding = &doctor->finding[doctor->nr];
    va_list args;

    if (doctor->nr == MAX_FINDINGS) {
        return;
    }
    *finding = (struct finding){ .severity = severity, .subject = subject };
    va_start(args, format);
    vsnprintf(finding->text, sizeof(finding->text), format, args);
    va_end(args);
    if (remedy) {
        snprintf(finding->remedy, sizeof(finding->remedy), "%s", remedy);
    }
    doctor->nr++;
    if (!doctor->json) {
        print_finding(doctor, finding);
    }
}

size_t count_fixes(const struct doctor *doctor)
{
    size_t nr = 0;

    for (size_t i = 0; i < doctor->nr; i++) {
        nr += doctor->finding[i].severity == FINDING_FIX;
    }
    return nr;
}

/* ---- checks that need no Wine ---- */

static void check_kernel(struct doctor *doctor)
{
    const struct ww_probe *uffd = find_backend(&doctor->backends, WINE_BACKEND);

    if (!uffd || uffd->error) {
        add_finding(doctor, FINDING_FIX, "kernel", uffd && uffd->remedy ? uffd->remedy : "use another kernel",
                    "Linux %s: %s", kernel_release(), uffd ? uffd->reason : "no backend " WINE_BACKEND);
    } else {
        add_finding(doctor, FINDING_GOOD, "kernel", NULL, "Linux %s tracks writes", kernel_release());
    }
}

static void check_settings(struct doctor *doctor)
{
    struct sysctl unprivileged = read_sysctl("/proc/sys/vm/unprivileged_userfaultfd");
    struct sysctl maps = read_sysctl("/proc/sys/vm/max_map_count");

    if (access("/proc/self/pagemap", R_OK)) {
        add_finding(doctor, FINDING_FIX, "settings", "mount /proc, and do not make programs undumpable",
                    "/proc/self/pagemap cannot be read");
    }
    if (unprivileged.known) {
        add_finding(doctor, FINDING_GOOD, "settings", NULL, "vm.unprivileged_userfaultfd is %ld; 0 is enough",
                    unprivileged.value);
    }
    if (maps.known) {
        long reserved = maps.value / WW_HEADROOM_PART;

        add_finding(
            doctor, FINDING_GOOD, "settings", NULL,
            "vm.max_map_count is %ld: room for %ld watches apart from each other, each of which costs two "
            "mappings; %ld mappings stay for the program; written pages cost none",
            maps.value, (maps.value - reserved) / 2, reserved);
    }
}

/* The kind of sandbox, by the files that it leaves. NULL: no known one. */
static const char *find_sandbox(void)
{
    static const struct {
        const char *path, *name;
    } marks[] = {
        { "/.flatpak-info", "a Flatpak sandbox" },
        { "/run/pressure-vessel", "a Steam Linux Runtime container" },
        { "/run/.containerenv", "a Podman container" },
        { "/.dockerenv", "a Docker container" },
        { "/run/host/container-manager", "a container" },
    };

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (!access(marks[i].path, F_OK)) {
            return marks[i].name;
        }
    }
    return getenv("SNAP") ? "a snap" : NULL;
}

static void check_sandbox(struct doctor *doctor)
{
    const char *sandbox = find_sandbox();
    long seccomp = read_status(getpid(), "Seccomp"); /* the mode of the filter in force */

    if (sandbox) {
        add_finding(doctor, FINDING_NOTE, "sandbox", NULL,
                    "this is %s: these findings hold inside it; other programs may run under other rules",
                    sandbox);
    }
    if (seccomp > 0) {
        add_finding(doctor, FINDING_NOTE, "sandbox", NULL,
                    "a seccomp filter is in force; the findings above show what it denies");
    }
    if (!sandbox && seccomp <= 0) {
        add_finding(doctor, FINDING_GOOD, "sandbox", NULL, "none");
    }
}

static void check_preload(struct doctor *doctor)
{
    const char *obstacle = preload_obstacle(&doctor->preload);

    if (obstacle) {
        add_finding(doctor, FINDING_FIX, "preload",
                    "install all of writewatch, in a folder without spaces and colons", "%s", obstacle);
    } else {
        add_finding(doctor, FINDING_GOOD, "preload", NULL, "%s", doctor->preload.path);
    }
}

static void check_environment(struct doctor *doctor)
{
    const struct ww_probe wine = wine_backend(&doctor->backends);
    const char *preload = getenv("LD_PRELOAD");

    /* If no variable chose the backend, check_kernel() has already reported it. */
    if (wine.error && (forced_backend() || preload_is_disabled())) {
        add_finding(doctor, FINDING_FIX, "settings", wine.remedy ? wine.remedy : "unset WW_BACKEND", "%s",
                    wine.reason);
    } else if (!wine.error && !(wine.caps & WW_CAP_EXACT)) {
        add_finding(doctor, FINDING_FIX, "settings", "unset WW_BACKEND",
                    "with the backend '%s' pages count as written that were not", wine.name);
    }
    if (preload && preload[0]) {
        add_finding(doctor, FINDING_NOTE, "settings", NULL, "LD_PRELOAD has %.200s, which stays behind ours",
                    preload);
    }
}

static const struct {
    void (*check)(struct doctor *doctor);
    bool needs_wine, takes_time;
} checks[] = {
    { check_kernel, false, false },  { check_settings, false, false },    { check_sandbox, false, false },
    { check_preload, false, false }, { check_environment, false, false }, { doctor_find_wine, false, false },
    { doctor_try_wine, true, true },
};

/* ---- the report ---- */

static void print_end(const struct doctor *doctor)
{
    size_t nr = 0;

    if (!count_fixes(doctor)) {
        printf("\n%s\n", doctor->has_run ? "Looks good." : "Looks good, as far as it was looked at.");
        return;
    }
    printf("\nTo be mended:\n");
    for (size_t i = 0; i < doctor->nr; i++) {
        const struct finding *finding = &doctor->finding[i];

        if (finding->severity == FINDING_FIX) {
            printf("%zu. %s: %s\n", ++nr, finding->text, finding->remedy);
        }
    }
}

static void print_json(const struct doctor *doctor)
{
    struct json_object *object = json_object_new_object(), *findings = json_object_new_array();

    for (size_t i = 0; i < doctor->nr; i++) {
        const struct finding *finding = &doctor->finding[i];
        struct json_object *one = json_object_new_object();

        put_text(one, "subject", finding->subject);
        put_text(one, "severity", severity_names[finding->severity]);
        put_text(one, "text", finding->text);
        put_text(one, "remedy", finding->remedy[0] ? finding->remedy : NULL);
        json_object_array_add(findings, one);
    }
    put_text(object, "version", ww_version());
    json_object_object_add(object, "findings", findings);
    put_number(object, "fixes", count_fixes(doctor));
    put_truth(object, "program_run", doctor->has_run);
    print_object(object, stdout);
}

static int examine(struct doctor *doctor, bool quick)
{
    probe_backends(&doctor->backends);
    find_preload(&doctor->preload);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if ((!checks[i].needs_wine || doctor->has_wine) && !(checks[i].takes_time && quick)) {
            checks[i].check(doctor);
        }
    }
    if (doctor->json) {
        print_json(doctor);
    } else {
        print_end(doctor);
    }
    return finish_output(count_fixes(doctor) ? EXIT_FAILURE : EXIT_SUCCESS);
}

int doctor_main(int argc, char **argv)
{
    struct doctor doctor = { .wine = "wine" };
    bool quick = false;
    const struct option_row options[] = {
        { "wine", OPTION_TEXT, .to = &doctor.wine },
        { "quick", OPTION_FLAG, .to = &quick },
        { "json", OPTION_FLAG, .to = &doctor.json },
        { 0 },
    };
    int status = read_options("doctor", doctor_help, options, argc, argv);

    if (status != GO_ON) {
        return status;
    }
    if (optind < argc) {
        return usage_error("doctor", "unexpected '%s'", argv[optind]);
    }
    doctor.colored = !doctor.json && isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    return examine(&doctor, quick);
}
