/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/table.h"

#include <inttypes.h>
#include <string.h>

#define CELL_BYTES 256

static int width_of(const struct table_column *column, const json_t *rows)
{
    size_t width = strlen(column->header);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char cell[CELL_BYTES] = "";
        column->cell(json_array_get(rows, i), cell, sizeof cell);
        if (strlen(cell) > width)
            width = strlen(cell);
    }
    return (int)width;
}

/* The last cell of a line is not padded, so that no line ends in spaces. */
static void print_cell(FILE *out, const char *cell, int width, bool last)
{
    if (last)
        (void)fprintf(out, "%s\n", cell);
    else
        (void)fprintf(out, "%-*s  ", width, cell);
}

void table_print(FILE *out, unsigned indent, const struct table_column *columns, size_t count,
                 const json_t *rows)
{
    (void)fprintf(out, "%*s", (int)indent, "");
    for (size_t c = 0; c < count; c++)
        print_cell(out, columns[c].header, width_of(&columns[c], rows), c + 1 == count);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        (void)fprintf(out, "%*s", (int)indent, "");
        for (size_t c = 0; c < count; c++) {
            char cell[CELL_BYTES] = "";
            columns[c].cell(json_array_get(rows, i), cell, sizeof cell);
            print_cell(out, cell, width_of(&columns[c], rows), c + 1 == count);
        }
    }
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
