/* SPDX-License-Identifier: Apache-2.0
 *
 * Dots are set in a canvas of bits, a cell for each character. What is between two neighbours is
 * filled, so that a jump is seen.
 */
#include "client/ctl/chart.h"

#include <math.h>
#include <stdlib.h>

#define LABEL_COLUMNS 11u /* of the vertical axis, with the axis */
#define LABEL_EVERY   3u  /* rows */

struct canvas {
    unsigned columns; /* cells */
    unsigned rows;
    unsigned across; /* dots of a cell */
    unsigned down;
    uint8_t *bits; /* owned; by cell: its dots, as Braille numbers them */
};

struct span {
    double least;
    double most;
};

/* Dot (x, y), from the upper left. */
static void set_dot(struct canvas *canvas, size_t x, size_t y)
{
    static const uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    const size_t cell = y / canvas->down * canvas->columns + x / canvas->across;
    canvas->bits[cell] |= bit[y % canvas->down][x % canvas->across];
}

static size_t height_of(const struct canvas *canvas, double most, double value)
{
    const double dots = (double)(canvas->rows * canvas->down - 1);
    return (size_t)lround((1.0 - value / most) * dots);
}

/* The values of the steps that fall into column x of `dots`. */
static struct span span_of(const struct chart *chart, size_t x, size_t dots)
{
    const size_t first = x * chart->steps / dots;
    const size_t end = (x + 1) * chart->steps / dots;
    struct span span = {.least = chart->value[first], .most = chart->value[first]};
    for (size_t i = first; i < end; i++) {
        span.least = fmin(span.least, chart->value[i]);
        span.most = fmax(span.most, chart->value[i]);
    }
    return span;
}

static void draw(struct canvas *canvas, const struct chart *chart, double most)
{
    const size_t dots = (size_t)canvas->columns * canvas->across;
    size_t before_top = 0;
    size_t before_bottom = 0;
    for (size_t x = 0; x < dots; x++) {
        const struct span span = span_of(chart, x, dots);
        size_t top = height_of(canvas, most, span.most);
        size_t bottom = height_of(canvas, most, span.least);
        const size_t own_top = top;
        const size_t own_bottom = bottom;
        if (x > 0 && before_bottom < top)
            top = before_bottom + 1 < top ? before_bottom + 1 : top;
        if (x > 0 && before_top > bottom)
            bottom = before_top - 1 > bottom ? before_top - 1 : bottom;
        for (size_t y = top; y <= bottom; y++)
            set_dot(canvas, x, y);
        before_top = own_top;
        before_bottom = own_bottom;
    }
}

/* U+2800 and the dots' bits. */
static void print_cell(uint8_t bits, bool utf8, FILE *out)
{
    if (bits == 0)
        (void)fputc(' ', out);
    else if (utf8)
        (void)fprintf(out, "\xE2%c%c", 0xA0 | bits >> 6, 0x80 | (bits & 0x3F));
    else
        (void)fputc('*', out);
}

static void print_row(const struct canvas *canvas, const struct chart *chart, unsigned row,
                      double most, FILE *out)
{
    const double share = 1.0 - (double)row / (double)(canvas->rows - 1);
    const uint8_t *const cells = canvas->bits + (size_t)row * canvas->columns;
    const bool labelled = (canvas->rows - 1 - row) % LABEL_EVERY == 0;
    unsigned used = canvas->columns;
    while (used > 0 && cells[used - 1] == 0)
        used--;
    if (labelled)
        (void)fprintf(out, "%*.3g ", (int)LABEL_COLUMNS - 2, share * most);
    else
        (void)fprintf(out, "%*s", (int)LABEL_COLUMNS - 1, "");
    (void)fputs(chart->utf8 ? (labelled ? "\xE2\x94\xA4" : "\xE2\x94\x82") : "|", out);
    for (unsigned column = 0; column < used; column++)
        print_cell(cells[column], chart->utf8, out);
    (void)fputc('\n', out);
}

static void print_steps(const struct canvas *canvas, const struct chart *chart, FILE *out)
{
    char middle[32];
    char last[32];
    const int half = (int)canvas->columns / 2;
    (void)snprintf(middle, sizeof middle, "%zu", (chart->steps - 1) / 2);
    (void)snprintf(last, sizeof last, "step %zu", chart->steps - 1);
    (void)fprintf(out, "%*s0%*s%*s\n", (int)LABEL_COLUMNS, "", half, middle,
                  (int)canvas->columns - half - 1, last);
}

bool chart_print(const struct chart *chart, FILE *out)
{
    struct canvas canvas = {
        .columns = chart->columns - LABEL_COLUMNS,
        .rows = chart->rows,
        .across = chart->utf8 ? 2 : 1,
        .down = chart->utf8 ? 4 : 1,
    };
    double most = 0.0;
    for (size_t i = 0; i < chart->steps; i++)
        most = fmax(most, chart->value[i]);
    most = most > 0.0 ? most : 1.0;
    canvas.bits = calloc((size_t)canvas.columns * canvas.rows, 1);
    if (canvas.bits == NULL)
        return false;
    draw(&canvas, chart, most);
    (void)fprintf(out, "%s\n", chart->title);
    for (unsigned row = 0; row < canvas.rows; row++)
        print_row(&canvas, chart, row, most, out);
    print_steps(&canvas, chart, out);
    free(canvas.bits);
    return true;
}
