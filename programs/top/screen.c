/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `writewatch top` in a terminal, by ncurses: a head, and a row for each region with a heat map of its pages.
 * Draws the rates of top.c and reads keys; nothing else.
 */
#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "../common/options.h"
#include "../counters/choose.h"
#include "../counters/summary.h"
#include "top.h"

#define MIN_COLUMNS 60
#define MIN_LINES 8
#define HEAD_LINES 5
#define FIXED_COLUMNS 58 /* of a row, in front of its heat map */

/* By the share of pages that a get reports, from none to all. */
static const char heat_marks[] = ".:-=+*#%@";
#define NR_MARKS (sizeof(heat_marks) - 1)

enum order { BY_ADDRESS, BY_PAGES, BY_GETS, BY_SIZE, NR_ORDERS };
static const char *const order_names[NR_ORDERS] = { "address", "pages", "gets", "size" };

struct view {
    enum order order;
    size_t first; /* the first visible row */
    bool paused, quit;
};

/* ---- heat ---- */

/* Returns the mark for a share from 0 to 1; each stands for half as much as the next one. */
static size_t heat_level(double share)
{
    size_t level = NR_MARKS - 1;
    double limit = 0.5;

    while (level && share < limit) {
        limit /= 2;
        level--;
    }
    return level;
}

/* Cold to hot. */
static int heat_color(size_t level)
{
    return 1 + (int)(level * 4 / NR_MARKS);
}

/* Draws the parts of a region in so many columns: the share of their pages that a get reports, on average. */
static void draw_heat(const struct region_rate *region, uint32_t page_size, int columns)
{
    double pages_per_part = (double)(region->end - region->start) / page_size / COUNTERS_NR_PARTS;
    int width = columns < COUNTERS_NR_PARTS ? columns : COUNTERS_NR_PARTS;

    for (int column = 0; column < width; column++) {
        size_t from = column * COUNTERS_NR_PARTS / width, to = (column + 1) * COUNTERS_NR_PARTS / width;
        double pages = 0, share;
        size_t level;

        for (size_t i = from; i < to; i++) {
            pages += region->part[i];
        }
        share = region->gets > 0 ? pages / (region->gets * pages_per_part * (to - from)) : 0;
        if (pages <= 0) {
            addch(' ');
            continue;
        }
        level = heat_level(share);
        attron(COLOR_PAIR(heat_color(level)));
        addch(heat_marks[level]);
        attroff(COLOR_PAIR(heat_color(level)));
    }
}

/* ---- rows ---- */

static enum order sort_order;

static int compare(double a, double b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static int by_order(const void *a, const void *b)
{
    const struct region_rate *x = a, *y = b;
    int result = 0;

    switch (sort_order) {
    case BY_PAGES:
        result = compare(x->pages, y->pages);
        break;
    case BY_GETS:
        result = compare(x->gets, y->gets);
        break;
    case BY_SIZE:
        result = compare(x->end - x->start, y->end - y->start);
        break;
    default:
        break;
    }
    return result ? result : compare(y->start, x->start);
}

static void draw_row(const struct region_rate *region, uint32_t page_size, int line)
{
    double nr_pages = (double)(region->end - region->start) / page_size;
    char bytes[16];

    move(line, 0);
    clrtoeol();
    printw("%12llx %8s %9.0f %11.0f %6.2f%% ", (unsigned long long)region->start,
           bytes_text(region->end - region->start, bytes), region->gets, region->pages,
           region->gets > 0 ? 100 * region->pages / (region->gets * nr_pages) : 0);
    printw("%4.1f%% ", 100 * region->busy);
    if (COLS > FIXED_COLUMNS + 2) {
        addch('|');
        draw_heat(region, page_size, COLS - FIXED_COLUMNS - 2);
        addch('|');
    }
}

static void draw_head(const struct top *top, const struct view *view)
{
    const struct sample *now = top->now;
    unsigned long age = (now->now_ns - now->began_ns) / 1000000000;
    char bytes[16];

    move(0, 0);
    printw("%.40s (pid %d), %s, for %lu:%02lu:%02lu%s", now->name, (int)now->pid, now->backend, age / 3600,
           age / 60 % 60, age % 60, view->paused ? "  PAUSED" : "");
    move(1, 0);
    printw("%zu%s regions, %s; %llu in all.  Sorted by %s.", now->nr_regions,
           now->nr_regions == COUNTERS_NR_REGIONS ? "+" : "", bytes_text(now->watched_bytes, bytes),
           (unsigned long long)now->nr_watched, order_names[view->order]);
    move(2, 0);
    printw("%.0f gets/s (%.0f found none), %.0f resets/s, %.0f pages/s; %.1f%% of the time in them",
           top->rates->gets, top->rates->clean, top->rates->resets, top->rates->pages,
           100 * top->rates->busy);
    move(HEAD_LINES - 1, 0);
    attron(A_REVERSE);
    printw("%12s %8s %9s %11s %7s %5s %-*s", "ADDRESS", "SIZE", "GETS/S", "PAGES/S", "DIRTY", "TIME",
           COLS > FIXED_COLUMNS ? COLS - FIXED_COLUMNS : 0, COLS > FIXED_COLUMNS + 2 ? " WHERE" : "");
    attroff(A_REVERSE);
}

static void draw(struct top *top, struct view *view)
{
    size_t room = LINES > HEAD_LINES ? LINES - HEAD_LINES : 0, nr = top->rates->nr_regions;

    erase();
    if (COLS < MIN_COLUMNS || LINES < MIN_LINES) {
        mvprintw(0, 0, "too small: %dx%d needed", MIN_COLUMNS, MIN_LINES);
        refresh();
        return;
    }
    if (view->first + room > nr) {
        view->first = nr > room ? nr - room : 0;
    }
    draw_head(top, view);
    for (size_t i = 0; i < room && view->first + i < nr; i++) {
        draw_row(&top->rates->region[view->first + i], top->now->page_size, HEAD_LINES + i);
    }
    refresh();
}

/* ---- keys ---- */

static void scroll_by(struct view *view, long rows)
{
    view->first = rows < 0 && view->first < (size_t)-rows ? 0 : view->first + rows;
}

static void take_key(struct view *view, int key)
{
    switch (key) {
    case 'q':
        view->quit = true;
        break;
    case 'p':
        view->paused = !view->paused;
        break;
    case 's':
        view->order = (view->order + 1) % NR_ORDERS;
        break;
    case KEY_DOWN:
        scroll_by(view, 1);
        break;
    case KEY_UP:
        scroll_by(view, -1);
        break;
    case KEY_NPAGE:
        scroll_by(view, LINES - HEAD_LINES);
        break;
    case KEY_PPAGE:
        scroll_by(view, -(LINES - HEAD_LINES));
        break;
    default:
        break;
    }
}

static void set_up(double interval)
{
    cbreak();
    noecho();
    curs_set(0);
    keypad(stdscr, TRUE);
    timeout((int)(interval * 1000));
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(1, COLOR_BLUE, -1);
        init_pair(2, COLOR_GREEN, -1);
        init_pair(3, COLOR_YELLOW, -1);
        init_pair(4, COLOR_RED, -1);
    }
}

int top_screen(struct top *top)
{
    struct view view = { .order = BY_ADDRESS };
    const char *term = getenv("TERM");
    SCREEN *screen;
    bool ended = false;

    setlocale(LC_CTYPE, "");
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        return usage_error("top", "the terminal type '%s' is not known; set TERM, or use --json",
                           term ? term : "");
    }
    set_up(top->interval);
    if (COLS < MIN_COLUMNS || LINES < MIN_LINES) {
        int columns = COLS, lines = LINES;

        endwin();
        delscreen(screen);
        return usage_error("top", "the terminal has %dx%d characters; make it %dx%d at least, or use --json",
                           columns, lines, MIN_COLUMNS, MIN_LINES);
    }
    *top->rates = (struct rates){ .nr_regions = 0 };
    while (!view.quit && !ended) {
        int key;

        sort_order = view.order;
        qsort(top->rates->region, top->rates->nr_regions, sizeof(top->rates->region[0]), by_order);
        draw(top, &view);
        key = getch();
        take_key(&view, key);
        ended = process_has_ended(&top->file);
        if (key == ERR && !view.paused) {
            top_next(top);
        }
    }
    endwin();
    delscreen(screen);
    if (ended) {
        printf("%s (pid %d) has ended\n", top->now->name, (int)top->now->pid);
    }
    return finish_output(EXIT_SUCCESS);
}
