/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch scan`: the pages of a process by category, as text or as JSON. It
 * reads the command line, asks the library range by range and writes each region
 * as it comes, so that any number of them fits. It never write-protects. The
 * names in the JSON form are documented in writewatch-json(5) and do not change.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "programs.h"
#include "writewatch-pagemap.h"

const char scan_help[] =
    "usage: writewatch scan --pid=PID [OPTION...]\n"
    "\n"
    "Shows the pages of a process by what they are. Reads only, changes nothing.\n"
    "\n"
    "  --pid=PID        the process\n"
    "  --range=A-B      only addresses from A up to, not including, B, in hexadecimal,\n"
    "                   rounded out to pages; may be given several times\n"
    "  --require=LIST   only pages that have all of these categories\n"
    "  --any=LIST       only pages that have at least one of these\n"
    "  --exclude=LIST   only pages that have none of these\n"
    "                   (--any=present,swapped holds where none of the three is given,\n"
    "                   and with --require=written)\n"
    "  --return=LIST    the categories to show (default: all that can be told)\n"
    "  --max-pages=N    stops after N pages\n"
    "  --json           the same for programs, see writewatch-json(5)\n"
    "  -h, --help       shows this help\n"
    "\n"
    "LIST is separated by commas, of: wpallowed, written, file, present, swapped,\n"
    "pfnzero, huge, soft-dirty, guard. Neighbouring pages that are alike in what is\n"
    "shown come in one line: addresses, number of pages, categories.\n"
    "\n"
    "Examples:\n"
    "  writewatch scan --pid=1234\n"
    "  writewatch scan --pid=1234 --any=present,swapped --exclude=file --return=swapped\n"
    "\n"
    "The exit code is 0 if the scan is complete, 77 if this kernel cannot tell a category\n"
    "that was asked for, 1 for any other error.\n";

#define NR_REGIONS 4096

static const struct {
    const char *name;
    uint64_t bit;
} categories[] = {
    { "wpallowed", WW_PAGE_IS_WPALLOWED }, { "written", WW_PAGE_IS_WRITTEN },
    { "file", WW_PAGE_IS_FILE },           { "present", WW_PAGE_IS_PRESENT },
    { "swapped", WW_PAGE_IS_SWAPPED },     { "pfnzero", WW_PAGE_IS_PFNZERO },
    { "huge", WW_PAGE_IS_HUGE },           { "soft-dirty", WW_PAGE_IS_SOFT_DIRTY },
    { "guard", WW_PAGE_IS_GUARD },
};

#define NR_CATEGORIES (sizeof(categories) / sizeof(categories[0]))
#define NAMES_LEN 128

struct range {
    uint64_t start;
    uint64_t end;
};

/* What the command line asks for. */
struct request {
    long pid; /* 0: not given */
    struct range *ranges;
    size_t nr_ranges;
    uint64_t require, any, exclude, show;
    bool has_filter, has_show;
    uint64_t max_pages; /* 0: any number */
    bool json;
};

/* What came out. */
struct totals {
    uint64_t pages;
    uint64_t regions;
    bool complete;
};

/* The categories of @bits by name, "-" for none. */
static const char *name_categories(uint64_t bits, const char *separator, char *ret_names)
{
    size_t len = 0;

    strcpy(ret_names, "-");
    for (size_t i = 0; i < NR_CATEGORIES; i++) {
        if (bits & categories[i].bit) {
            len +=
                snprintf(ret_names + len, NAMES_LEN - len, "%s%s", len ? separator : "", categories[i].name);
        }
    }
    return ret_names;
}

/* ---- the command line ---- */

static int parse_categories(const char *option, const char *list, uint64_t *bits)
{
    while (true) {
        size_t len = strcspn(list, ","), i;

        for (i = 0; i < NR_CATEGORIES; i++) {
            if (strlen(categories[i].name) == len && !strncmp(list, categories[i].name, len)) {
                *bits |= categories[i].bit;
                break;
            }
        }
        if (i == NR_CATEGORIES) {
            char names[NAMES_LEN];

            return usage_error("scan", "%s has no category '%.*s'; there are: %s", option, (int)len, list,
                               name_categories(~UINT64_C(0), ", ", names));
        }
        if (!list[len]) {
            return 0;
        }
        list += len + 1;
    }
}

/* A number that is the whole text, up to @end where that is not NULL. */
static bool parse_number(const char *text, int base, char end, uint64_t *ret_number, const char **ret_end)
{
    char *stop;

    /* strtoull() would take blanks and signs. */
    if (!strchr("0123456789abcdefABCDEF", text[0]) || !text[0]) {
        return false;
    }
    errno = 0;
    *ret_number = strtoull(text, &stop, base);
    *ret_end = stop;
    return !errno && *stop == end;
}

static int parse_range(const char *text, struct request *request)
{
    uint64_t page = sysconf(_SC_PAGESIZE);
    struct range range, *ranges;
    const char *end;

    if (!parse_number(text, 16, '-', &range.start, &end) ||
        !parse_number(end + 1, 16, '\0', &range.end, &end)) {
        return usage_error(
            "scan", "'%s' is no range of hexadecimal addresses, as 7f0000000000-7f0000100000 is", text);
    }
    if (range.end <= range.start) {
        return usage_error("scan", "the range '%s' is empty", text);
    }
    ranges = reallocarray(request->ranges, request->nr_ranges + 1, sizeof(*ranges));
    if (!ranges) {
        return usage_error("scan", "no memory for so many ranges");
    }
    range.start -= range.start % page;
    ranges[request->nr_ranges++] = range;
    request->ranges = ranges;
    return 0;
}

static int take_pid(const char *text, struct request *request)
{
    pid_t pid;

    if (parse_pid(text, &pid)) {
        return usage_error("scan", "'%s' is no number of a process", text);
    }
    request->pid = pid;
    return 0;
}

static int parse_max_pages(const char *text, struct request *request)
{
    const char *end;

    if (!parse_number(text, 10, '\0', &request->max_pages, &end) || !request->max_pages) {
        return usage_error("scan", "'%s' is no number of pages", text);
    }
    return 0;
}

static int parse_option(int option, struct request *request)
{
    switch (option) {
    case OPTION_PID:
        return take_pid(optarg, request);
    case OPTION_RANGE:
        return parse_range(optarg, request);
    case OPTION_REQUIRE:
        request->has_filter = true;
        return parse_categories("--require", optarg, &request->require);
    case OPTION_ANY:
        request->has_filter = true;
        return parse_categories("--any", optarg, &request->any);
    case OPTION_EXCLUDE:
        request->has_filter = true;
        return parse_categories("--exclude", optarg, &request->exclude);
    case OPTION_RETURN:
        request->has_show = true;
        return parse_categories("--return", optarg, &request->show);
    case OPTION_MAX_PAGES:
        return parse_max_pages(optarg, request);
    default:
        request->json = true;
        return 0;
    }
}

/* What can be said wrong only by several options together. */
static int check_request(struct request *request)
{
    uint64_t both = (request->require | request->any) & request->exclude;
    char names[NAMES_LEN];

    if (!request->pid) {
        return usage_error("scan", "no process; give one with --pid=PID");
    }
    if (both) {
        return usage_error("scan", "%s cannot be asked for and excluded at once",
                           name_categories(both, ", ", names));
    }
    /* Kernels differ in whether a page that does not exist was written. */
    if (!request->has_filter || (!request->any && (request->require & WW_PAGE_IS_WRITTEN))) {
        request->any = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED;
    }
    return 0;
}

/* ---- output ---- */

static void print_region_text(const struct ww_page_region *region, uint64_t pages)
{
    char names[NAMES_LEN];

    printf("%012" PRIx64 "-%012" PRIx64 " %10" PRIu64 " %s\n", region->start, region->end, pages,
           name_categories(region->categories, ",", names));
}

static struct json_object *categories_to_json(uint64_t bits)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < NR_CATEGORIES; i++) {
        if (bits & categories[i].bit) {
            json_object_array_add(list, json_object_new_string(categories[i].name));
        }
    }
    return list;
}

/* Prints "name": value, and frees it. */
static void print_member(const char *before, const char *name, struct json_object *value)
{
    const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);

    printf("%s\"%s\":%s", before, name, text ? text : "null");
    json_object_put(value);
}

static void print_region_json(const struct ww_page_region *region, uint64_t pages, bool first)
{
    struct json_object *object = json_object_new_object();
    const char *text;

    json_object_object_add(object, "start", json_object_new_int64(region->start));
    json_object_object_add(object, "end", json_object_new_int64(region->end));
    json_object_object_add(object, "pages", json_object_new_int64(pages));
    json_object_object_add(object, "categories", categories_to_json(region->categories));
    text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    printf("%s\n    %s", first ? "" : ",", text ? text : "null");
    json_object_put(object);
}

static void print_region(const struct request *request, const struct ww_page_region *region,
                         struct totals *totals)
{
    uint64_t pages = (region->end - region->start) / sysconf(_SC_PAGESIZE);

    if (request->json) {
        print_region_json(region, pages, !totals->regions);
    } else {
        print_region_text(region, pages);
    }
    totals->pages += pages;
    totals->regions++;
}

static void print_head(const struct request *request, const struct ww_pagemap *pagemap)
{
    if (request->json) {
        print_member("{", "pid", json_object_new_int64(request->pid));
        print_member(",\n ", "source", json_object_new_string(ww_pagemap_source(pagemap)));
        print_member(",\n ", "page_size", json_object_new_int64(sysconf(_SC_PAGESIZE)));
        print_member(",\n ", "returned", categories_to_json(request->show));
        printf(",\n \"regions\":[");
    }
}

static void print_tail(const struct request *request, const struct totals *totals, const char *error)
{
    if (request->json) {
        printf("]");
        print_member(",\n ", "nr_regions", json_object_new_int64(totals->regions));
        print_member(",\n ", "nr_pages", json_object_new_int64(totals->pages));
        print_member(",\n ", "complete", json_object_new_boolean(totals->complete));
        print_member(",\n ", "error", error ? json_object_new_string(error) : NULL);
        printf("}\n");
    } else if (!error) {
        printf("total: %" PRIu64 " page%s in %" PRIu64 " region%s%s\n", totals->pages,
               totals->pages == 1 ? "" : "s", totals->regions, totals->regions == 1 ? "" : "s",
               totals->complete ? "" : "; stopped by --max-pages");
    }
}

/* ---- the scan ---- */

/* Regions that a call ends and the next one goes on with come out as one. */
struct joiner {
    struct ww_page_region region; /* empty: none */
};

static void join_region(const struct request *request, struct joiner *joiner,
                        const struct ww_page_region *region, struct totals *totals)
{
    if (region && joiner->region.end == region->start && joiner->region.categories == region->categories &&
        joiner->region.end) {
        joiner->region.end = region->end;
        return;
    }
    if (joiner->region.end) {
        print_region(request, &joiner->region, totals);
    }
    joiner->region = region ? *region : (struct ww_page_region){ .end = 0 };
}

/* One range. Returns 0 or a negative errno; @left is the number of pages still wanted, 0: any. */
static int scan_range(const struct request *request, struct ww_pagemap *pagemap, const struct range *range,
                      uint64_t *left, struct totals *totals)
{
    static struct ww_page_region regions[NR_REGIONS];
    struct ww_pagemap_scan scan = {
        .start = range->start,
        .end = range->end,
        .category_inverted = request->exclude,
        .category_mask = request->require | request->exclude,
        .category_anyof_mask = request->any,
        .return_mask = request->show,
    };
    struct joiner joiner = { .region = { .end = 0 } };
    ssize_t nr;

    do {
        scan.max_pages = *left;
        nr = ww_pagemap_scan(pagemap, &scan, regions, NR_REGIONS);
        for (ssize_t i = 0; i < nr; i++) {
            join_region(request, &joiner, &regions[i], totals);
            if (*left) {
                *left -= (regions[i].end - regions[i].start) / sysconf(_SC_PAGESIZE);
                totals->complete = *left;
            }
        }
        scan.start = scan.walk_end;
    } while (nr >= 0 && scan.walk_end < range->end && totals->complete && !ferror(stdout));
    join_region(request, &joiner, NULL, totals);
    return nr < 0 ? nr : 0;
}

/* One line about an error of the library, and the exit code for it. */
static int explain(const struct request *request, int error, char *ret_text, size_t size)
{
    switch (-error) {
    case ESRCH:
        snprintf(ret_text, size,
                 "process %ld does not exist, has ended, or has no memory (threads of the kernel have none)",
                 request->pid);
        return EXIT_FAILURE;
    case EACCES:
    case EPERM:
        snprintf(ret_text, size,
                 "not allowed to see the pages of process %ld; run this as its user or as root",
                 request->pid);
        return EXIT_FAILURE;
    case ENOENT:
        snprintf(ret_text, size, "/proc/%ld/pagemap does not exist; mount /proc", request->pid);
        return EXIT_FAILURE;
    case ENOTTY:
        snprintf(ret_text, size,
                 "the kernel has no PAGEMAP_SCAN; unset WW_PAGEMAP, or use kernel 6.8.10 or newer");
        return EXIT_UNUSABLE;
    case EINVAL:
        snprintf(ret_text, size, "WW_PAGEMAP is neither 'ioctl' nor 'read'; unset it");
        return EXIT_FAILURE;
    default:
        snprintf(ret_text, size, "the pages of process %ld cannot be read: %s", request->pid,
                 strerror(-error));
        return EXIT_FAILURE;
    }
}

static int scan_all(struct request *request, struct ww_pagemap *pagemap)
{
    static const struct range everything = { .start = 0, .end = UINT64_MAX };
    struct totals totals = { .complete = true };
    uint64_t left = request->max_pages;
    char text[256];
    int err = 0, status = EXIT_SUCCESS;

    print_head(request, pagemap);
    for (size_t i = 0; i < (request->nr_ranges ? request->nr_ranges : 1) && !err && totals.complete; i++) {
        err = scan_range(request, pagemap, request->nr_ranges ? &request->ranges[i] : &everything, &left,
                         &totals);
    }
    if (err) {
        totals.complete = false;
        status = explain(request, err, text, sizeof(text));
        fprintf(stderr, PROGRAM ": %s\n", text);
    }
    print_tail(request, &totals, err ? text : NULL);
    return finish_output(status);
}

/* Whether all that is asked for can be told. */
static int check_categories(struct request *request, const struct ww_pagemap *pagemap)
{
    uint64_t known = ww_pagemap_categories(pagemap);
    uint64_t unknown = (request->require | request->any | request->exclude | request->show) & ~known;
    char names[NAMES_LEN], all[NAMES_LEN];

    if (!request->has_show) {
        request->show = known;
    }
    if (!unknown) {
        return 0;
    }
    fprintf(stderr, PROGRAM ": %s cannot be told here (by %s); what can is: %s\n",
            name_categories(unknown, ", ", names), ww_pagemap_source(pagemap),
            name_categories(known, ", ", all));
    return EXIT_UNUSABLE;
}

static int scan_process(struct request *request)
{
    struct ww_pagemap *pagemap;
    int err = ww_pagemap_open(&pagemap, request->pid), status;
    char text[256];

    if (err) {
        status = explain(request, err, text, sizeof(text));
        fprintf(stderr, PROGRAM ": %s\n", text);
        return status;
    }
    status = check_categories(request, pagemap);
    if (!status) {
        status = scan_all(request, pagemap);
    }
    ww_pagemap_close(pagemap);
    return status;
}

int scan_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "pid", required_argument, NULL, OPTION_PID },
        { "range", required_argument, NULL, OPTION_RANGE },
        { "require", required_argument, NULL, OPTION_REQUIRE },
        { "any", required_argument, NULL, OPTION_ANY },
        { "exclude", required_argument, NULL, OPTION_EXCLUDE },
        { "return", required_argument, NULL, OPTION_RETURN },
        { "max-pages", required_argument, NULL, OPTION_MAX_PAGES },
        { "json", no_argument, NULL, OPTION_JSON },
        { "help", no_argument, NULL, OPTION_HELP },
        { 0 },
    };
    struct request request = { .pid = 0 };
    int option, status = 0;

    while (!status && (option = next_option("scan", argc, argv, options)) != OPTION_END) {
        if (option == OPTION_HELP) {
            free(request.ranges);
            return show(scan_help);
        }
        status = option == OPTION_BAD ? EXIT_USAGE : parse_option(option, &request);
    }
    if (!status && optind < argc) {
        status = usage_error("scan", "scan takes no '%s'", argv[optind]);
    }
    if (!status) {
        status = check_request(&request);
    }
    if (!status) {
        status = scan_process(&request);
    }
    free(request.ranges);
    return status;
}
