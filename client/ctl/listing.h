/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands that show a table of the server's own: all of its rows in a line each, or one row with
 * all that is known of it.
 */
#ifndef CLIENT_CTL_LISTING_H
#define CLIENT_CTL_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include <stepd/status.h>

#include "client/ctl/table.h"

/* Where texts begin behind the words at the left of a shown row. */
#define LISTING_INDENT 8u

struct listing {
    const char *command; /* "optimizers" */
    const char *help;    /* what --help prints */
    size_t rows;
    /* A row as a JSON object, which the caller frees; NULL: no memory. */
    json_t *(*row)(size_t index);
    /* The row of a name; the text of a failure names the nearest. */
    enum stepd_status (*find)(const char *name, size_t *ret_index, struct stepd_error *reterr);
    /* Of the table of all rows. */
    size_t columns;
    const struct table_column *column;
    /* Prints one row, on lines of at most `width` columns. */
    void (*show)(const json_t *row, unsigned width);
};

/* The command: [NAME] [--json]. Returns its exit code. */
int listing_run(const struct listing *listing, int argc, char **argv);

/* What a number may be. */
struct listing_range {
    double least;
    double most;
    bool least_open;
    bool most_open;
    bool whole;
};

/* {"least", "most", "least_open", "most_open", "whole"}. NULL: no memory. */
json_t *listing_range_to_json(const struct listing_range *range);

/* An array of strings. NULL: no memory. */
json_t *listing_words(const char *const *word, size_t words);

/*
 * Prints the table of what can be set, on lines of at most `width` columns. values: an array of
 * {"name", "default", "needed", "lecture", "range" or "words", "list"}, where all but the name may
 * be missing: a value with neither range nor words is true or false. header: that of the first
 * column. lecture: with a column for that.
 */
void listing_print_values(const char *header, const json_t *values, bool lecture, unsigned width);

#endif
