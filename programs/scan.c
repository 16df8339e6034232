/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch scan`: the pages of a process by category, as text or as JSON. Scans range by range, and writes
 * each region at once, so that memory limits nothing. Never write-protects. writewatch-json(5) documents the
 * names in the JSON form, which do not change.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/options.h"
#include "pagemap/pagemap.h"
#include "programs.h"

const char scan_help[] =
    "usage: writewatch scan --pid=PID [OPTION...]\n"
    "\n"
    "Shows the pages of a process by category. Reads only, changes nothing.\n"
    "\n"
    "  --pid=PID        the process\n"
    "  --range=A-B      only addresses from A up to, not including, B, in hexadecimal,\n"
    "                   rounded out to pages; may be given several times\n"
    "  --require=LIST   only pages that have all of these categories\n"
    "  --any=LIST       only pages that have at least one of these\n"
    "  --exclude=LIST   only pages that have none of these\n"
    "                   (--any=present,swapped holds where none of the three is given,\n"
    "                   and with --require=written)\n"
    "  --return=LIST    the categories to show (default: all that this system can tell)\n"
    "  --max-pages=N    stops after N pages\n"
    "  --json           the same as JSON, see writewatch-json(5)\n"
    "  -h, --help       shows this help\n"
    "\n"
    "LIST is separated by commas, of: wpallowed, written, file, present, swapped,\n"
    "pfnzero, huge, soft-dirty, guard. Neighbouring pages with the same categories\n"
    "share a line: addresses, number of pages, categories.\n"
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
#define TEXT_LEN 640

struct range {
    uint64_t start;
    uint64_t end;
};

/* What the command line asks for. */
struct request {
    pid_t pid; /* 0: not given */
    struct range *ranges;
    size_t nr_ranges;
    uint64_t require, any, exclude, show;
    uint64_t max_pages; /* 0: any number */
    bool json;
};

/* The sums of the scan. */
struct totals {
    uint64_t pages;
    uint64_t regions;
    bool complete;
};

/* The categories of @bits by name, "-" for none. */
static const char *name_categories(uint64_t bits, const char *separator, char *ret_names)
{
    ret_names[0] = '\0';
    for (size_t i = 0; i < NR_CATEGORIES; i++) {
        if (bits & categories[i].bit) {
            append_name(ret_names, NAMES_LEN, separator, categories[i].name);
        }
    }
    return ret_names[0] ? ret_names : "-";
}

/* ---- the command line ---- */

static int take_categories(const struct option_row *row, const char *list)
{
    uint64_t *bits = row->to;

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

            return usage_error("scan", "--%s has no category '%.*s'; there are: %s", row->name, (int)len,
                               list, name_categories(~UINT64_C(0), ", ", names));
        }
        if (!list[len]) {
            return GO_ON;
        }
        list += len + 1;
    }
}

static int take_range(const struct option_row *row, const char *text)
{
    struct request *request = row->to;
    uint64_t page = sysconf(_SC_PAGESIZE);
    struct range range, *ranges;
    const char *end;

    if (!parse_number(text, 16, '-', &range.start, &end) ||
        !parse_number(end + 1, 16, '\0', &range.end, &end)) {
        return usage_error(
            "scan", "'%s' is not a range of hexadecimal addresses, such as 7f0000000000-7f0000100000", text);
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
    return GO_ON;
}

/* Checks what depends on several options. */
static int check_request(struct request *request)
{
    bool has_filter = request->require || request->any || request->exclude;
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
    if (!has_filter || (!request->any && (request->require & WW_PAGE_IS_WRITTEN))) {
        request->any = WW_PAGE_IS_PRESENT | WW_PAGE_IS_SWAPPED;
    }
    return GO_ON;
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
    printf("%s\"%s\":%s", before, name, json_text(value, JSON_C_TO_STRING_PLAIN));
    json_object_put(value);
}

static void print_region_json(const struct ww_page_region *region, uint64_t pages, bool first)
{
    struct json_object *object = json_object_new_object();

    put_number(object, "start", region->start);
    put_number(object, "end", region->end);
    put_number(object, "pages", pages);
    json_object_object_add(object, "categories", categories_to_json(region->categories));
    printf("%s\n    %s", first ? "" : ",", json_text(object, JSON_C_TO_STRING_PLAIN));
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

/* Joins a region that one call ends with and the next one goes on with. */
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

/* Scans one range. 0 or a negative errno; @left is the number of pages still wanted, 0: any. */
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

/* Says why a scan failed, in one line. Returns the exit code for it. */
static int explain(const struct request *request, const struct ww_failure *failure, char ret_text[TEXT_LEN])
{
    const struct ww_words *words = ww_refusal_words(failure);

    snprintf(ret_text, TEXT_LEN, "the pages of process %d cannot be read: %s%s%s", request->pid,
             words ? words->reason : "no memory to say why", words && words->remedy[0] ? "; " : "",
             words ? words->remedy : "");
    fprintf(stderr, PROGRAM ": %s\n", ret_text);
    return failure->step == WW_STEP_PROC_SCAN && failure->error == -ENOTTY ? EXIT_UNUSABLE : EXIT_FAILURE;
}

static int scan_all(struct request *request, struct ww_pagemap *pagemap)
{
    static const struct range everything = { .start = 0, .end = UINT64_MAX };
    struct totals totals = { .complete = true };
    uint64_t left = request->max_pages;
    char text[TEXT_LEN];
    int err = 0, status = EXIT_SUCCESS;

    print_head(request, pagemap);
    for (size_t i = 0; i < (request->nr_ranges ? request->nr_ranges : 1) && !err && totals.complete; i++) {
        err = scan_range(request, pagemap, request->nr_ranges ? &request->ranges[i] : &everything, &left,
                         &totals);
    }
    if (err) {
        totals.complete = false;
        status = explain(request, &pagemap->failure, text);
    }
    print_tail(request, &totals, err ? text : NULL);
    return finish_output(status);
}

/* Checks that this system can tell all categories in the request. */
static int check_categories(struct request *request, const struct ww_pagemap *pagemap)
{
    uint64_t known = ww_pagemap_categories(pagemap);
    uint64_t unknown = (request->require | request->any | request->exclude | request->show) & ~known;
    char names[NAMES_LEN], all[NAMES_LEN];

    if (!request->show) {
        request->show = known;
    }
    if (!unknown) {
        return 0;
    }
    fprintf(stderr, PROGRAM ": %s cannot be told here (by %s); the others can: %s\n",
            name_categories(unknown, ", ", names), ww_pagemap_source(pagemap),
            name_categories(known, ", ", all));
    return EXIT_UNUSABLE;
}

static int scan_process(struct request *request)
{
    struct ww_pagemap *pagemap;
    struct ww_failure failure;
    char text[TEXT_LEN];
    int status;

    if (ww_pagemap_try(&pagemap, request->pid, &failure)) {
        return explain(request, &failure, text);
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
    struct request request = { .pid = 0 };
    const struct option_row options[] = {
        { "pid", OPTION_PID, .to = &request.pid },
        { "range", OPTION_OTHER, .to = &request, .take = take_range },
        { "require", OPTION_OTHER, .to = &request.require, .take = take_categories },
        { "any", OPTION_OTHER, .to = &request.any, .take = take_categories },
        { "exclude", OPTION_OTHER, .to = &request.exclude, .take = take_categories },
        { "return", OPTION_OTHER, .to = &request.show, .take = take_categories },
        { "max-pages", OPTION_PAGES, .to = &request.max_pages },
        { "json", OPTION_FLAG, .to = &request.json },
        { 0 },
    };
    int status = read_options("scan", scan_help, options, argc, argv);

    if (status == GO_ON && optind < argc) {
        status = usage_error("scan", "scan takes no '%s'", argv[optind]);
    }
    if (status == GO_ON) {
        status = check_request(&request);
    }
    if (status == GO_ON) {
        status = scan_process(&request);
    }
    free(request.ranges);
    return status;
}
