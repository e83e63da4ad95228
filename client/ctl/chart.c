/* SPDX-License-Identifier: Apache-2.0
 *
 * A panel is a canvas of cells. Lines are drawn dot by dot, each column from its least value to its
 * most and so far that it meets the column before it; then letters are set into the lines, and the
 * cells are printed row by row between the axes.
 */
#include "client/ctl/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/plot.h"
#include "client/ctl/table.h"
#include "proto/error.h"

#define ROWS_LEAST 12u
#define ROWS_MOST  24u
#define MARKS      5u /* letters in one line */

#define Y_TICKS 5u
#define X_TICK  9u /* columns between two ticks, about */

/* Left of a panel: labels, as wide as "momentum"; a blank and the axis. */
#define LABEL_COLUMNS 8u
#define AXIS_COLUMNS  2u

struct cell {
    unsigned char dots; /* of a braille pattern; ASCII: not 0 where there is a line */
    unsigned char line; /* the course that drew here first, 1 first; 0: none */
    char letter;        /* 0: none */
};

struct chart {
    const struct chart_options *options;
    const struct plot *plot;
    FILE *out;
    unsigned columns; /* of the canvas */
    unsigned dots_x;  /* of a cell */
    unsigned dots_y;
    unsigned rows;     /* of the present panel */
    struct cell *cell; /* owned; rows x columns */
};

/* ---- Drawing --------------------------------------------------------------------------------- */

/* The bits of U+2800: 1 2 3 7 down the left side, 4 5 6 8 down the right one. */
static const unsigned char braille[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

static struct cell *cell_at(const struct chart *chart, unsigned row, unsigned column)
{
    return &chart->cell[row * chart->columns + column];
}

static void set_dot(const struct chart *chart, unsigned x, unsigned y, unsigned char line)
{
    struct cell *const cell = cell_at(chart, y / chart->dots_y, x / chart->dots_x);
    cell->dots |= braille[y % chart->dots_y][x % chart->dots_x];
    if (cell->line == 0)
        cell->line = line;
}

/* The row of dots of a value, 0 at the top. */
static unsigned dot_row(const struct chart *chart, const struct axis *axis, double value)
{
    const unsigned last = chart->rows * chart->dots_y - 1;
    return (unsigned)lround((1.0 - axis_share(axis, value)) * last);
}

static void draw_line(const struct chart *chart, const struct plot_panel *panel, size_t line)
{
    const struct series *const series = &panel->line[line];
    unsigned before = 0;
    bool joins = false; /* there is a column before this one */
    for (size_t x = 0; x < series->columns; x++) {
        const struct series_column *const column = &series->column[x];
        if (!column->any) {
            joins = false;
            continue;
        }
        unsigned top = dot_row(chart, &panel->axis, column->most);
        unsigned bottom = dot_row(chart, &panel->axis, column->least);
        if (joins && before + 1 < top)
            top = before + 1;
        if (joins && before > bottom + 1)
            bottom = before - 1;
        for (unsigned y = top; y <= bottom; y++)
            set_dot(chart, (unsigned)x, y, (unsigned char)(line + 1));
        before = dot_row(chart, &panel->axis, column->last);
        joins = true;
    }
}

/* Sets letters into a line, in other columns than those of the other lines. */
static void set_letters(const struct chart *chart, const struct plot_panel *panel, size_t line)
{
    const struct series *const series = &panel->line[line];
    const size_t lines = chart->plot->options.courses->count;
    const size_t distance = chart->columns / MARKS > lines ? chart->columns / MARKS : lines;
    const size_t first = 2 + line * distance / lines;
    for (size_t column = first; series->columns > 0 && column < chart->columns;
         column += distance) {
        const struct series_column *const values = &series->column[column * chart->dots_x];
        if (!values->any)
            continue;
        const unsigned y = dot_row(chart, &panel->axis, values->last);
        struct cell *const cell = cell_at(chart, y / chart->dots_y, (unsigned)column);
        cell->letter = (char)('a' + line);
        cell->line = (unsigned char)(line + 1);
    }
}

/* ---- Printing -------------------------------------------------------------------------------- */

static const char *character(const struct chart *chart, const char *unicode, const char *ascii)
{
    return chart->options->utf8 ? unicode : ascii;
}

/* Readable on black and on white. */
static void begin_colour(const struct chart *chart, unsigned line)
{
    static const char *const colours[] = {"\033[34m", "\033[33m", "\033[32m",
                                          "\033[35m", "\033[36m", "\033[31m"};
    if (chart->options->colours && line > 0)
        (void)fputs(colours[(line - 1) % (sizeof colours / sizeof colours[0])], chart->out);
}

static void end_colour(const struct chart *chart, unsigned line)
{
    if (chart->options->colours && line > 0)
        (void)fputs("\033[0m", chart->out);
}

/* The column in which a step begins. */
static unsigned column_of(const struct chart *chart, double step)
{
    return (unsigned)(step * chart->columns / (double)chart->options->steps);
}

static bool begins_phase(const struct chart *chart, unsigned column)
{
    const struct courses *const courses = chart->options->courses;
    for (size_t i = 0; i < courses->count; i++) {
        for (size_t p = 1; p < courses->at[i].phases && !courses->at[i].frozen; p++) {
            if (column_of(chart, (double)courses->at[i].phase[p].from) == column)
                return true;
        }
    }
    return false;
}

static void print_cell(const struct chart *chart, const struct cell *cell, unsigned column)
{
    begin_colour(chart, cell->line);
    if (cell->letter != 0)
        (void)fputc(cell->letter, chart->out);
    else if (cell->dots == 0)
        (void)fputs(begins_phase(chart, column) ? character(chart, "┊", ":") : " ", chart->out);
    else if (!chart->options->utf8)
        (void)fputc(plot_has_legend(chart->plot) ? 'a' + (int)cell->line - 1 : '*', chart->out);
    else /* U+2800 + dots, as UTF-8 */
        (void)fprintf(chart->out, "\xE2%c%c", 0xA0 + (cell->dots >> 6U),
                      0x80 + (cell->dots & 0x3FU));
    end_colour(chart, cell->line);
}

/* Is the cell, and what is behind it in the row, blank? */
static bool blank_from(const struct chart *chart, unsigned row, unsigned column)
{
    for (unsigned i = column; i < chart->columns; i++) {
        const struct cell *const cell = cell_at(chart, row, i);
        if (cell->dots != 0 || cell->letter != 0 || begins_phase(chart, i))
            return false;
    }
    return true;
}

static void print_rows(const struct chart *chart, const struct plot_panel *panel)
{
    for (unsigned row = 0; row < chart->rows; row++) {
        char label[AXIS_LABEL_BYTES] = "";
        bool tick = false;
        for (unsigned i = 0; i < axis_ticks(&panel->axis); i++) {
            const unsigned y = dot_row(chart, &panel->axis, axis_tick(&panel->axis, i));
            if (y / chart->dots_y != row)
                continue;
            tick = true;
            axis_label(&panel->axis, i, label);
        }
        (void)fprintf(chart->out, "%*s %s", (int)LABEL_COLUMNS, label,
                      tick ? character(chart, "┤", "+") : character(chart, "│", "|"));
        for (unsigned column = 0; !blank_from(chart, row, column); column++)
            print_cell(chart, cell_at(chart, row, column), column);
        (void)fputc('\n', chart->out);
    }
}

static bool is_step_tick(const struct chart *chart, unsigned column)
{
    const struct axis *const x = &chart->plot->x;
    for (unsigned i = 0; i < axis_ticks(x); i++) {
        if (column_of(chart, axis_tick(x, i)) == column)
            return true;
    }
    return false;
}

static void print_axis(const struct chart *chart)
{
    (void)fprintf(chart->out, "%*s %s", (int)LABEL_COLUMNS, "", character(chart, "└", "+"));
    for (unsigned column = 0; column < chart->columns; column++)
        (void)fputs(is_step_tick(chart, column) ? character(chart, "┬", "+")
                                                : character(chart, "─", "-"),
                    chart->out);
    (void)fputc('\n', chart->out);
}

/* Each label in the middle under its tick, as far as it does not touch the one before it. */
static void print_steps(const struct chart *chart)
{
    const struct axis *const x = &chart->plot->x;
    const unsigned begin = LABEL_COLUMNS + AXIS_COLUMNS;
    unsigned at = (unsigned)fprintf(chart->out, "%*s", (int)LABEL_COLUMNS, "step");
    for (unsigned i = 0; i < axis_ticks(x); i++) {
        char label[AXIS_LABEL_BYTES];
        const unsigned length = (unsigned)snprintf(label, sizeof label, "%.0f", axis_tick(x, i));
        const unsigned place = begin + column_of(chart, axis_tick(x, i)) - length / 2;
        if (place <= at || place + length > begin + chart->columns)
            continue;
        (void)fprintf(chart->out, "%*s%s", (int)(place - at), "", label);
        at = place + length;
    }
    (void)fputc('\n', chart->out);
}

static void print_legend(const struct chart *chart)
{
    const struct courses *const courses = chart->options->courses;
    for (size_t i = 0; i < courses->count && plot_has_legend(chart->plot); i++) {
        char text[512];
        const unsigned line = courses->at[i].frozen ? 0 : (unsigned)i + 1;
        plot_legend(&courses->at[i], text, sizeof text);
        (void)fprintf(chart->out, "%*s", (int)(LABEL_COLUMNS + AXIS_COLUMNS), "");
        begin_colour(chart, line);
        (void)fputc(line == 0 ? ' ' : (int)('a' + i), chart->out);
        end_colour(chart, line);
        (void)fputs("  ", chart->out);
        table_print_text(chart->out, LABEL_COLUMNS + AXIS_COLUMNS + 3, text,
                         chart->options->columns);
    }
}

/* ---- Charts ---------------------------------------------------------------------------------- */

static enum stepd_status print_panel(struct chart *chart, const struct plot_panel *panel,
                                     struct stepd_error *reterr)
{
    const size_t lines = chart->options->courses->count;
    chart->cell = calloc((size_t)chart->rows * chart->columns, sizeof *chart->cell);
    if (chart->cell == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the plot");
    for (size_t i = 0; i < lines; i++)
        draw_line(chart, panel, i);
    for (size_t i = 0; i < lines && plot_has_legend(chart->plot); i++)
        set_letters(chart, panel, i);
    (void)fprintf(chart->out, "%*s\n", (int)LABEL_COLUMNS, panel->label);
    print_rows(chart, panel);
    print_axis(chart);
    free(chart->cell);
    chart->cell = NULL;
    return STEPD_OK;
}

/* So many rows that all ticks are equally far apart. */
static unsigned rows_of(const struct chart *chart, size_t panel)
{
    const unsigned pieces = axis_ticks(&chart->plot->panel[panel].axis) - 1;
    unsigned rows = chart->options->columns / 6;
    rows = rows < ROWS_LEAST ? ROWS_LEAST : rows;
    rows = rows > ROWS_MOST ? ROWS_MOST : rows;
    rows = panel == 0 ? rows : rows / 2;
    return rows < pieces ? pieces + 1 : (rows + pieces / 2) / pieces * pieces + 1;
}

enum stepd_status chart_print(const struct chart_options *options, FILE *out,
                              struct stepd_error *reterr)
{
    struct chart chart = {
        .options = options,
        .out = out,
        .columns = options->columns - LABEL_COLUMNS - AXIS_COLUMNS,
        .dots_x = options->utf8 ? 2 : 1,
        .dots_y = options->utf8 ? 4 : 1,
    };
    const struct plot_options plot_options = {
        .title = options->title,
        .courses = options->courses,
        .steps = options->steps,
        .columns = (size_t)chart.columns * chart.dots_x,
        .x_ticks = chart.columns / X_TICK,
        .y_ticks = Y_TICKS,
    };
    struct plot plot;
    enum stepd_status status = plot_init(&plot_options, &plot, reterr);
    if (status != STEPD_OK)
        return status;
    chart.plot = &plot;
    (void)fprintf(out, "%s\n", options->title);
    for (size_t i = 0; i < plot.panels && status == STEPD_OK; i++) {
        chart.rows = rows_of(&chart, i);
        status = print_panel(&chart, &plot.panel[i], reterr);
    }
    if (status == STEPD_OK) {
        print_steps(&chart);
        print_legend(&chart);
    }
    plot_deinit(&plot);
    return status;
}
