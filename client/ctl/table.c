/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/table.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define CELL_BYTES 512
#define GAP        2u /* between two columns */

/* A table that is being printed. */
struct table_layout {
    unsigned indent;
    unsigned width; /* of a line; 0: any */
    size_t count;
    const struct table_column *columns;
    unsigned widths[TABLE_COLUMNS_MAX];
};

size_t table_columns(const char *text)
{
    size_t columns = 0;
    for (const char *at = text; *at != '\0'; at++)
        columns += ((unsigned char)*at & 0xC0U) != 0x80U; /* not inside a character */
    return columns;
}

static void copy_value(const json_t *value, char *text, size_t size)
{
    if (json_is_string(value))
        (void)snprintf(text, size, "%s", json_string_value(value));
    else if (json_is_integer(value))
        (void)snprintf(text, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        (void)snprintf(text, size, "%.6g", json_real_value(value));
}

static void make_cell(const struct table_column *column, const json_t *row, char *ret_cell)
{
    ret_cell[0] = '\0';
    if (column->cell != NULL)
        column->cell(row, ret_cell, CELL_BYTES);
    else
        copy_value(json_object_get(row, column->key), ret_cell, CELL_BYTES);
}

static unsigned width_of(const struct table_column *column, const json_t *rows)
{
    size_t width = table_columns(column->header);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char cell[CELL_BYTES];
        make_cell(column, json_array_get(rows, i), cell);
        if (table_columns(cell) > width)
            width = table_columns(cell);
    }
    return (unsigned)width;
}

/* The bytes of text up to the last blank at which it fits into `columns`, or to the first one. */
static size_t fitting(const char *text, size_t columns)
{
    size_t fits = 0;
    size_t taken = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] == ' ' && (taken <= columns || fits == 0))
            fits = i;
        taken += ((unsigned char)text[i] & 0xC0U) != 0x80U;
    }
    return taken <= columns || fits == 0 ? strlen(text) : fits;
}

void table_print_text(FILE *out, unsigned indent, const char *text, unsigned width)
{
    const size_t room = width > indent ? width - indent : 1;
    size_t n = width == 0 ? strlen(text) : fitting(text, room);
    (void)fprintf(out, "%.*s\n", (int)n, text);
    while (text[n] != '\0') {
        text += n + 1;
        n = fitting(text, room);
        (void)fprintf(out, "%*s%.*s\n", (int)indent, "", (int)n, text);
    }
}

/* Cells begin where their columns do. What is padded is the next cell that says something, so that
 * no line ends in blanks. row NULL: the headers. */
static void print_row(FILE *out, const struct table_layout *layout, const json_t *row)
{
    unsigned begin = layout->indent;
    unsigned at = 0;
    for (size_t c = 0; c < layout->count; c++) {
        char cell[CELL_BYTES];
        if (row != NULL)
            make_cell(&layout->columns[c], row, cell);
        else
            (void)snprintf(cell, sizeof cell, "%s", layout->columns[c].header);
        if (cell[0] != '\0') {
            (void)fprintf(out, "%*s", (int)(begin - at), "");
            at = begin + (unsigned)table_columns(cell);
        }
        if (c + 1 < layout->count)
            (void)fputs(cell, out);
        else
            table_print_text(out, begin, cell, layout->width);
        begin += layout->widths[c] + GAP;
    }
}

void table_print_within(FILE *out, unsigned indent, const struct table_column *columns,
                        size_t count, const json_t *rows, unsigned width)
{
    struct table_layout layout = {
        .indent = indent, .width = width, .count = count, .columns = columns};
    assert(count <= TABLE_COLUMNS_MAX);
    for (size_t c = 0; c < count; c++)
        layout.widths[c] = width_of(&columns[c], rows);
    print_row(out, &layout, NULL);
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_row(out, &layout, json_array_get(rows, i));
}

void table_print(FILE *out, unsigned indent, const struct table_column *columns, size_t count,
                 const json_t *rows)
{
    table_print_within(out, indent, columns, count, rows, /* width= */ 0);
}

void table_bytes(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double amount = (double)bytes / 1024;
    size_t unit = 0;
    if (bytes < 1024) {
        (void)snprintf(text, size, "%" PRIu64 " B", bytes);
        return;
    }
    while (amount >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        amount /= 1024;
        unit++;
    }
    (void)snprintf(text, size, "%.1f %s", amount, units[unit]);
}

void table_duration(uint64_t ms, char *text, size_t size)
{
    const uint64_t s = ms / 1000, min = s / 60, h = min / 60;
    if (s < 60)
        (void)snprintf(text, size, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
    else if (min < 60)
        (void)snprintf(text, size, "%" PRIu64 " min %" PRIu64 " s", min, s % 60);
    else if (h < 48)
        (void)snprintf(text, size, "%" PRIu64 " h %" PRIu64 " min", h, min % 60);
    else
        (void)snprintf(text, size, "%" PRIu64 " d %" PRIu64 " h", h / 24, h % 24);
}
