/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables for people: columns as wide as their widest cell, the header in capitals.
 */
#ifndef CLIENT_CTL_TABLE_H
#define CLIENT_CTL_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/* One column: its header, and the cell that it makes of a row (a JSON object). */
struct table_column {
    const char *header;
    /* Writes the cell into text, which has `size` bytes. */
    void (*cell)(const json_t *row, char *text, size_t size);
};

/* Prints the rows (a JSON array of objects) after `indent` spaces each. */
void table_print(FILE *out, unsigned indent, const struct table_column *columns, size_t count,
                 const json_t *rows);

/* "12.3 MiB"; "3 h 12 min"; "0.3 s". text has `size` bytes. */
void table_bytes(uint64_t bytes, char *text, size_t size);
void table_duration(uint64_t ms, char *text, size_t size);

#endif
