/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch probe`: what this kernel lets this process do, what is missing for more, and what Wine programs
 * get. The library tries each backend by its effect; this file only prints. writewatch-json(5)
 * documents the names in the JSON form, which do not change.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/json.h"
#include "common/options.h"
#include "common/proc.h"
#include "common/survey.h"
#include "programs.h"

const char probe_help[] = "usage: writewatch probe [--json]\n"
                          "\n"
                          "Tells which backends work on this kernel in this process, why others do not and\n"
                          "what would help, and what programs get under 'writewatch run -- wine ...'.\n"
                          "\n"
                          "  --json      the same as JSON, see writewatch-json(5)\n"
                          "  -h, --help  shows this help\n"
                          "\n"
                          "The exit code is 0 if kernel-tracked write watches (uffd) work here, 77 if not,\n"
                          "1 if these options are wrong or the output cannot be written.\n";

static const struct {
    enum ww_cap cap;
    const char *name; /* in JSON */
    const char *words;
} capabilities[] = {
    { WW_CAP_ATOMIC_RESET, "atomic_reset", "get with reset loses no write of running threads" },
    { WW_CAP_KERNEL_WRITES, "kernel_writes", "system calls may write to watched pages, and it is recorded" },
    { WW_CAP_LOST_DETECTED, "lost_detected", "a watched mapping that was replaced is noticed" },
    { WW_CAP_FREE_ARMING, "free_arming", "an untouched page costs neither time nor memory" },
    { WW_CAP_EXACT, "exact", "no page is reported that was not written" },
    { WW_CAP_SHARED, "shared", "shared anonymous memory and memfds can be watched" },
    { WW_CAP_FILES, "files", "file mappings can be watched" },
    { WW_CAP_HUGETLB, "hugetlb", "pages of hugetlbfs can be watched" },
    { WW_CAP_FILL, "fill", "content can be installed without counting as written" },
    { WW_CAP_FILL_ON_DEMAND, "fill_on_demand",
      "content can come from the program when a page is first touched" },
    { WW_CAP_KERNEL_FILLS, "kernel_fills", "system calls may be the first to touch such a page" },
    { WW_CAP_OWNS_PROT, "owns_prot", "protections must be changed through ww_protect()" },
};

#define NR_CAPABILITIES (sizeof(capabilities) / sizeof(capabilities[0]))

/* What both forms of output show. */
struct report {
    const char *kernel;
    struct sysctl unprivileged;
    struct sysctl max_map_count;
    struct backends backends;
    const char *forced;          /* by WW_BACKEND, or NULL */
    const char *library_backend; /* what ww_open() takes, or NULL */
    struct ww_probe wine;
    struct preload preload;
    const char *obstacle; /* why the preload cannot be loaded, or NULL */
};

/* Opens a context to learn which backend ww_open() takes by default. */
static const char *library_backend(void)
{
    struct ww_context *ctx;
    const char *name;

    if (ww_open(&ctx, NULL)) {
        return NULL;
    }
    name = ww_backend_name(ctx);
    ww_close(ctx);
    return name;
}

static void make_report(struct report *ret)
{
    ret->kernel = kernel_release();
    ret->unprivileged = read_sysctl("/proc/sys/vm/unprivileged_userfaultfd");
    ret->max_map_count = read_sysctl("/proc/sys/vm/max_map_count");
    probe_backends(&ret->backends);
    ret->forced = forced_backend();
    ret->library_backend = library_backend();
    ret->wine = wine_backend(&ret->backends);
    find_preload(&ret->preload);
    ret->obstacle = preload_obstacle(&ret->preload);
}

static void print_sysctl(const char *name, struct sysctl sysctl, const char *note)
{
    if (sysctl.known) {
        printf("%-28s %ld%s\n", name, sysctl.value, note);
    } else {
        printf("%-28s not known here\n", name);
    }
}

static void print_backend(const struct ww_probe *probe)
{
    if (probe->error) {
        printf("  %-10s does not work: %s\n", probe->name, probe->reason);
        if (probe->remedy) {
            printf("  %-10s to mend it: %s\n", "", probe->remedy);
        }
        return;
    }
    printf("  %-10s works\n", probe->name);
    for (size_t i = 0; i < NR_CAPABILITIES; i++) {
        if (probe->caps & capabilities[i].cap) {
            printf("  %-10s - %s\n", "", capabilities[i].words);
        }
    }
}

static void print_wine(const struct report *report)
{
    printf("%-28s ", "Wine programs get");
    if (report->obstacle) {
        printf("Wine's own write watches (preload: %s)\n", report->obstacle);
    } else if (report->wine.error) {
        printf("Wine's own write watches (%s)\n", report->wine.reason);
    } else {
        printf("write watches by %s\n", report->wine.name);
    }
}

static void print_text(const struct report *report)
{
    printf("%-28s %s\n", "writewatch", ww_version());
    printf("%-28s %s\n", "kernel", report->kernel);
    printf("%-28s %ld\n", "page size", sysconf(_SC_PAGESIZE));
    print_sysctl("vm.unprivileged_userfaultfd", report->unprivileged, " (0 is enough)");
    print_sysctl("vm.max_map_count", report->max_map_count, "");
    if (report->forced) {
        printf("%-28s %s\n", "WW_BACKEND", report->forced);
    }
    printf("\nbackends, best first:\n");
    for (size_t i = 0; i < report->backends.nr; i++) {
        print_backend(&report->backends.probe[i]);
    }
    printf("\n%-28s %s\n", "the library takes", report->library_backend ? report->library_backend : "none");
    print_wine(report);
    printf("%-28s %s\n", "preload", report->preload.path ? report->preload.path : "not found, looked for:");
    for (size_t i = 0; !report->preload.path && i < NR_PLACES; i++) {
        if (report->preload.place[i][0]) {
            printf("  %s\n", report->preload.place[i]);
        }
    }
}

static void add_sysctl(struct json_object *object, const char *name, struct sysctl sysctl)
{
    if (sysctl.known) {
        put_number(object, name, sysctl.value);
    } else {
        put_text(object, name, NULL);
    }
}

static struct json_object *backend_to_json(const struct ww_probe *probe)
{
    struct json_object *object = json_object_new_object(), *caps = json_object_new_array();

    put_text(object, "name", probe->name);
    put_truth(object, "usable", !probe->error);
    put_number(object, "errno", -probe->error);
    put_text(object, "reason", probe->reason);
    put_text(object, "remedy", probe->remedy);
    for (size_t i = 0; i < NR_CAPABILITIES; i++) {
        if (probe->caps & capabilities[i].cap) {
            json_object_array_add(caps, json_object_new_string(capabilities[i].name));
        }
    }
    json_object_object_add(object, "capabilities", caps);
    return object;
}

static void print_json(const struct report *report)
{
    struct json_object *object = json_object_new_object(), *list = json_object_new_array();

    put_text(object, "version", ww_version());
    put_text(object, "kernel", report->kernel);
    put_number(object, "page_size", sysconf(_SC_PAGESIZE));
    add_sysctl(object, "unprivileged_userfaultfd", report->unprivileged);
    add_sysctl(object, "max_map_count", report->max_map_count);
    put_text(object, "forced_backend", report->forced);
    for (size_t i = 0; i < report->backends.nr; i++) {
        json_object_array_add(list, backend_to_json(&report->backends.probe[i]));
    }
    json_object_object_add(object, "backends", list);
    put_text(object, "library_backend", report->library_backend);
    put_text(object, "wine_backend", report->obstacle || report->wine.error ? NULL : report->wine.name);
    put_text(object, "preload", report->preload.path);
    put_text(object, "preload_obstacle", report->obstacle);
    print_object(object, stdout);
}

int probe_main(int argc, char **argv)
{
    static struct report report;
    const struct ww_probe *kernel_tracked;
    bool json = false;
    const struct option_row options[] = { { "json", OPTION_FLAG, .to = &json }, { 0 } };
    int status = read_options("probe", probe_help, options, argc, argv);

    if (status != GO_ON) {
        return status;
    }
    if (optind < argc) {
        return usage_error("probe", "probe takes no '%s'", argv[optind]);
    }
    make_report(&report);
    if (json) {
        print_json(&report);
    } else {
        print_text(&report);
    }
    kernel_tracked = find_backend(&report.backends, WINE_BACKEND);
    return finish_output(kernel_tracked && !kernel_tracked->error ? EXIT_SUCCESS : EXIT_UNUSABLE);
}
