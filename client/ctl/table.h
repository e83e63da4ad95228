/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables for people: columns as wide as their widest cell, the header in capitals. Widths are those
 * on a terminal, where a character of UTF-8 takes one column however many bytes it has.
 */
#ifndef CLIENT_CTL_TABLE_H
#define CLIENT_CTL_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#define TABLE_COLUMNS_MAX 64u

/* One column: its header, and the cell that it makes of a row (a JSON object). */
struct table_column {
    const char *header;
    /* Writes the cell into text, which has `size` bytes. NULL: what stands under `key` in the row,
     * nothing where that is null or missing. */
    void (*cell)(const json_t *row, char *text, size_t size);
    const char *key;
};

/* Prints the rows (a JSON array of objects) after `indent` spaces each, in 1 to TABLE_COLUMNS_MAX
 * columns. */
void table_print(FILE *out, unsigned indent, const struct table_column *columns, size_t count,
                 const json_t *rows);

/* The same on lines of at most `width` columns, as far as wrapping the last cell between words
 * makes them so; 0: of any width. */
void table_print_within(FILE *out, unsigned indent, const struct table_column *columns,
                        size_t count, const json_t *rows, unsigned width);

/* Prints a text between words on lines of at most `width` columns (0: on one line), the first one
 * behind what stands there already, `indent` columns, and the others behind as many spaces. */
void table_print_text(FILE *out, unsigned indent, const char *text, unsigned width);

/* The columns of a terminal that a text of UTF-8 takes. */
size_t table_columns(const char *text);

/* "12.3 MiB"; "3 h 12 min"; "0.3 s". text has `size` bytes. */
void table_bytes(uint64_t bytes, char *text, size_t size);
void table_duration(uint64_t ms, char *text, size_t size);

#endif
