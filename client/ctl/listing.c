/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/listing.h"

#include <getopt.h>
#include <stdio.h>

#include "client/ctl/ctl.h"
#include "client/ctl/terminal.h"
#include "proto/error.h"

/* ---- What can be set ------------------------------------------------------------------------- */

/* From here on a bound is there to keep products finite, and says nothing to a person. */
#define UNBOUNDED 1e9

json_t *listing_range_to_json(const struct listing_range *range)
{
    return json_pack("{s:f, s:f, s:b, s:b, s:b}", "least", range->least, "most", range->most,
                     "least_open", range->least_open, "most_open", range->most_open, "whole",
                     range->whole);
}

json_t *listing_words(const char *const *word, size_t words)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < words; i++)
        (void)json_array_append_new(list, json_string(word[i]));
    return list;
}

/* "0 to 1"; "above 0, below 1"; "at least 0". */
static void print_range(const json_t *range, char *text, size_t size)
{
    const double least = json_number_value(json_object_get(range, "least"));
    const double most = json_number_value(json_object_get(range, "most"));
    const bool least_open = json_is_true(json_object_get(range, "least_open"));
    const bool most_open = json_is_true(json_object_get(range, "most_open"));
    const bool closed = !least_open && !most_open;
    if (most >= UNBOUNDED)
        (void)snprintf(text, size, "%s %.6g", least_open ? "above" : "at least", least);
    else if (closed)
        (void)snprintf(text, size, "%.6g to %.6g", least, most);
    else
        (void)snprintf(text, size, "%s %.6g, %s %.6g", least_open ? "above" : "at least", least,
                       most_open ? "below" : "at most", most);
}

static void join(const json_t *words, char *text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < json_array_size(words) && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i > 0 ? ", " : "",
                               json_string_value(json_array_get(words, i)));
}

static void values_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const range = json_object_get(row, "range");
    const json_t *const words = json_object_get(row, "words");
    const bool list = json_is_true(json_object_get(row, "list"));
    const bool whole = json_is_true(json_object_get(range, "whole"));
    char shown[128] = "";
    if (words != NULL) {
        join(words, text, size);
    } else if (range != NULL) {
        print_range(range, shown, sizeof shown);
        (void)snprintf(text, size, "%s%s%s",
                       list    ? "list, "
                       : whole ? "whole, "
                               : "",
                       list && whole ? "whole, " : "", shown);
    } else {
        (void)snprintf(text, size, "true, false");
    }
}

static void print_value(const json_t *value, char *text, size_t size)
{
    if (json_is_boolean(value))
        (void)snprintf(text, size, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_string(value))
        (void)snprintf(text, size, "%s", json_string_value(value));
    else if (json_is_real(value))
        (void)snprintf(text, size, "%.6g", json_real_value(value));
}

static void default_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const value = json_object_get(row, "default");
    if (json_is_true(json_object_get(row, "needed")))
        (void)snprintf(text, size, "(needed)");
    print_value(value, text, size);
}

static void lecture_cell(const json_t *row, char *text, size_t size)
{
    print_value(json_object_get(row, "lecture"), text, size);
}

void listing_print_values(const char *header, const json_t *values, bool lecture, unsigned width)
{
    struct table_column columns[4] = {{.header = header, .key = "name"},
                                      {.header = "DEFAULT", .cell = default_cell}};
    size_t count = 2;
    if (lecture)
        columns[count++] = (struct table_column){.header = "LECTURE", .cell = lecture_cell};
    columns[count++] = (struct table_column){.header = "VALUES", .cell = values_cell};
    table_print_within(stdout, 0, columns, count, values, width);
}

/* ---- Running --------------------------------------------------------------------------------- */

static int fail_memory(const struct listing *listing)
{
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED, "no memory for the table");
    return ctl_fail(listing->command, &error);
}

static int print_json(json_t *json)
{
    const bool failed = json_dumpf(json, stdout, JSON_INDENT(2)) != 0;
    (void)printf("\n");
    return failed ? CTL_FAILURE : CTL_OK;
}

static int show_all(const struct listing *listing, bool as_json)
{
    json_t *const rows = json_array();
    int result = CTL_OK;
    for (size_t i = 0; i < listing->rows; i++) {
        if (json_array_append_new(rows, listing->row(i)) == 0)
            continue;
        json_decref(rows);
        return fail_memory(listing);
    }
    if (as_json)
        result = print_json(rows);
    else
        table_print_within(stdout, 0, listing->column, listing->columns, rows,
                           terminal_columns(/* otherwise= */ 0));
    json_decref(rows);
    return result;
}

static int show_one(const struct listing *listing, const char *name, bool as_json)
{
    struct stepd_error error;
    size_t index = 0;
    int result = CTL_OK;
    if (listing->find(name, &index, &error) != STEPD_OK)
        return ctl_fail(listing->command, &error);
    json_t *const row = listing->row(index);
    if (row == NULL)
        return fail_memory(listing);
    if (as_json)
        result = print_json(row);
    else
        listing->show(row, terminal_columns(/* otherwise= */ 0));
    json_decref(row);
    return result;
}

int listing_run(const struct listing *listing, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    bool as_json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'o': as_json = true; break;
        case 'h': return fputs(listing->help, stdout) < 0 ? CTL_FAILURE : CTL_OK;
        default: return ctl_usage(listing->command);
        }
    }
    if (optind + 1 < argc) {
        (void)fprintf(stderr, "stepctl %s: unexpected argument '%s'\n", listing->command,
                      argv[optind + 1]);
        return ctl_usage(listing->command);
    }
    return optind < argc ? show_one(listing, argv[optind], as_json) : show_all(listing, as_json);
}
