/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of the table: the first and the last, those at which something happens in any course,
 * and where that leaves room, round ones between them. JSON is written as it is made, because ten
 * million steps would not fit into a tree.
 */
#include "client/ctl/course_print.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <stepd/types.h>

#include "client/ctl/axis.h"
#include "client/ctl/events.h"
#include "client/ctl/number.h"
#include "client/ctl/table.h"
#include "proto/error.h"
#include "server/base/text.h"

#define ROWS_MOST       20u
#define ROWS_EVERY_MOST 100000u
#define ROUND_STEPS     10u /* so many round ones, or half of that where more do not fit */

#define KEY_BYTES  8
#define WHAT_BYTES 512
#define NAME_BYTES 32

/* What the table is made of. */
struct listed {
    const struct course_print_options *options;
    struct events *events; /* owned; by course */
    size_t rows;
    uint64_t *step;    /* owned; rises */
    uint64_t left_out; /* steps at which something happens, behind the last but one row */
};

/* ---- Which steps ----------------------------------------------------------------------------- */

static int compare_steps(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts, and drops what stands twice. */
static void tidy(struct listed *listed)
{
    size_t kept = 1;
    qsort(listed->step, listed->rows, sizeof *listed->step, compare_steps);
    for (size_t i = 1; i < listed->rows; i++) {
        if (listed->step[i] != listed->step[kept - 1])
            listed->step[kept++] = listed->step[i];
    }
    listed->rows = kept;
}

/* Round steps that are not next to one that is there already; none if they are too many. */
static bool add_round_steps(struct listed *listed, unsigned pieces)
{
    const double last = (double)listed->step[listed->rows - 1];
    const uint64_t tick = (uint64_t)fmax(axis_round(fmax(last, 1), pieces), 1);
    uint64_t found[ROWS_MOST];
    size_t count = 0;
    for (uint64_t step = tick; step < (uint64_t)last; step += tick) {
        bool free = true;
        for (size_t i = 0; i < listed->rows; i++) {
            const uint64_t other = listed->step[i];
            free = free && (other > step ? other - step : step - other) >= (tick + 3) / 4;
        }
        if (free && listed->rows + count == ROWS_MOST)
            return false;
        if (free)
            found[count++] = step;
    }
    memcpy(listed->step + listed->rows, found, count * sizeof *found);
    listed->rows += count;
    tidy(listed);
    return true;
}

static enum stepd_status choose_steps(struct listed *listed, struct stepd_error *reterr)
{
    const struct courses *const courses = listed->options->courses;
    uint64_t unseen = 0;
    listed->step = calloc(courses->count * EVENTS_MAX + 2 + ROWS_MOST, sizeof *listed->step);
    if (listed->step == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the table");
    listed->step[listed->rows++] = 0;
    listed->step[listed->rows++] = listed->options->steps - 1;
    for (size_t i = 0; i < courses->count; i++) {
        const struct events *const events = &listed->events[i];
        for (size_t k = 0; k < events->count; k++)
            listed->step[listed->rows++] = events->at[k].step;
        unseen += events->more;
    }
    tidy(listed);
    if (listed->rows > ROWS_MOST) {
        listed->left_out = listed->rows - ROWS_MOST + unseen;
        listed->step[ROWS_MOST - 1] = listed->step[listed->rows - 1];
        listed->rows = ROWS_MOST;
    } else if (!add_round_steps(listed, ROUND_STEPS)) {
        (void)add_round_steps(listed, ROUND_STEPS / 2);
    }
    return STEPD_OK;
}

static enum stepd_status take_every_step(struct listed *listed, struct stepd_error *reterr)
{
    const uint64_t last = listed->options->steps - 1;
    const uint64_t rows = last / listed->options->every + 1;
    if (rows > ROWS_EVERY_MOST)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a table of %" PRIu64 " rows; the most are %u: take a larger --every, or "
                          "--json",
                          rows, ROWS_EVERY_MOST);
    listed->step = calloc(rows + 1, sizeof *listed->step);
    if (listed->step == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the table");
    for (uint64_t step = 0; step <= last; step += listed->options->every)
        listed->step[listed->rows++] = step;
    listed->step[listed->rows++] = last;
    tidy(listed);
    return STEPD_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* What happens to a course at a step: "top"; "sgd from here"; "": nothing. */
static void describe_course(const struct listed *listed, size_t index, uint64_t step,
                            char ret_text[NAME_BYTES])
{
    const struct events *const events = &listed->events[index];
    const struct course *const course = &listed->options->courses->at[index];
    ret_text[0] = '\0';
    for (size_t i = 0; i < events->count; i++) {
        if (events->at[i].step == step)
            (void)stepd_format(ret_text, NAME_BYTES, "%s", event_text(events->at[i].kind));
    }
    for (size_t i = 1; i < course->phases; i++) {
        if (course->phase[i].from == step)
            (void)stepd_format(ret_text, NAME_BYTES, "%s from here", course->phase[i].optimizer);
    }
}

/* What happens to all courses alike, or to which of them. */
static void describe(const struct listed *listed, uint64_t step, char *text, size_t size)
{
    const struct courses *const courses = listed->options->courses;
    char what[COURSES_SHOWN_MAX][NAME_BYTES];
    const char *common = NULL; /* what happens to those that were looked at */
    bool alike = true;
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < courses->count; i++) {
        describe_course(listed, i, step, what[i]);
        if (courses->at[i].frozen)
            continue;
        alike = common == NULL || (alike && strcmp(what[i], common) == 0);
        common = what[i];
    }
    if (alike && common != NULL)
        (void)stepd_format(text, size, "%s", common);
    for (size_t i = 0; i < courses->count && !alike; i++) {
        if (what[i][0] != '\0')
            at += stepd_format(text + at, size - at, "%s%.*s: %s", at > 0 ? "; " : "", NAME_BYTES,
                               courses->at[i].name, what[i]);
    }
}

struct keys {
    char lr[COURSES_SHOWN_MAX][KEY_BYTES];
    char momentum[COURSES_SHOWN_MAX][KEY_BYTES];
};

static json_t *make_row(const struct listed *listed, const struct keys *keys, uint64_t step)
{
    const struct courses *const courses = listed->options->courses;
    char what[WHAT_BYTES];
    describe(listed, step, what, sizeof what);
    json_t *const row = json_pack("{s:I, s:s}", "step", (json_int_t)step, "what", what);
    for (size_t i = 0; i < courses->count && row != NULL; i++) {
        const struct course_value value = course_at(&courses->at[i], step);
        (void)json_object_set_new(row, keys->lr[i], json_real(value.lr));
        if (!isnan(value.momentum))
            (void)json_object_set_new(row, keys->momentum[i], json_real(value.momentum));
    }
    return row;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* The name as a header, cut to what a column bears. */
static void print_header(const struct listed *listed, size_t course, const char *alone,
                         const char *behind, char ret_header[NAME_BYTES])
{
    const char *const name = listed->options->courses->at[course].name;
    if (!listed->options->named)
        (void)stepd_format(ret_header, NAME_BYTES, "%s", alone);
    else if (strlen(name) < NAME_BYTES - sizeof "..." - strlen(behind))
        (void)stepd_format(ret_header, NAME_BYTES, "%s%s", name, behind);
    else {
        const size_t cut =
            stepd_format(ret_header, NAME_BYTES - sizeof "..." - strlen(behind), "%s", name);
        (void)stepd_format(ret_header + cut, NAME_BYTES - cut, "...%s", behind);
    }
}

struct headers {
    char lr[COURSES_SHOWN_MAX][NAME_BYTES];
    char momentum[COURSES_SHOWN_MAX][NAME_BYTES];
};

static void print_rows(const struct listed *listed, const struct keys *keys, const json_t *rows,
                       FILE *out)
{
    const struct courses *const courses = listed->options->courses;
    struct headers headers;
    struct table_column columns[2 + 2 * COURSES_SHOWN_MAX] = {{.header = "STEP", .key = "step"}};
    size_t count = 1;
    for (size_t i = 0; i < courses->count; i++) {
        if (courses->at[i].frozen)
            continue;
        print_header(listed, i, "LR", "", headers.lr[i]);
        columns[count++] = (struct table_column){.header = headers.lr[i], .key = keys->lr[i]};
        if (!course_cycles(&courses->at[i]))
            continue;
        print_header(listed, i, "MOMENTUM", " (momentum)", headers.momentum[i]);
        columns[count++] =
            (struct table_column){.header = headers.momentum[i], .key = keys->momentum[i]};
    }
    columns[count++] = (struct table_column){.header = "", .key = "what"};
    table_print(out, 0, columns, count, rows);
    if (listed->left_out > 0)
        (void)fprintf(out,
                      "%" PRIu64 " more steps at which something happens lie before the last: "
                      "--plot, --every N or --json shows them\n",
                      listed->left_out);
    for (size_t i = 0; i < courses->count; i++) {
        if (courses->at[i].frozen)
            (void)fprintf(out, "frozen: %s\n", courses->at[i].name);
    }
}

static enum stepd_status print_listed(const struct listed *listed, FILE *out,
                                      struct stepd_error *reterr)
{
    struct keys keys;
    json_t *const rows = json_array();
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < COURSES_SHOWN_MAX; i++) {
        (void)snprintf(keys.lr[i], KEY_BYTES, "lr%zu", i);
        (void)snprintf(keys.momentum[i], KEY_BYTES, "m%zu", i);
    }
    for (size_t i = 0; i < listed->rows && status == STEPD_OK; i++) {
        if (json_array_append_new(rows, make_row(listed, &keys, listed->step[i])) != 0)
            status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the table");
    }
    if (status == STEPD_OK)
        print_rows(listed, &keys, rows, out);
    json_decref(rows);
    return status;
}

enum stepd_status course_print_table(const struct course_print_options *options, FILE *out,
                                     struct stepd_error *reterr)
{
    struct listed listed = {.options = options};
    const size_t count = options->courses->count;
    enum stepd_status status = courses_check_shown(options->courses, reterr);
    if (status != STEPD_OK)
        return status;
    listed.events = calloc(count, sizeof *listed.events);
    if (listed.events == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the table");
    for (size_t i = 0; i < count; i++)
        events_find(&options->courses->at[i], options->steps, &listed.events[i]);
    status = options->every > 0 ? take_every_step(&listed, reterr) : choose_steps(&listed, reterr);
    if (status == STEPD_OK)
        status = print_listed(&listed, out, reterr);
    free(listed.events);
    free(listed.step);
    return status;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* What all points of a course have in common. */
struct points {
    const struct course *course;
    bool cycles;
    char group[sizeof "\"group\": , " + TEXT_QUOTED_BYTES(STEPD_NAME_MAX_BYTES)]; /* or "" */
};

static void print_point(const struct points *points, uint64_t step, FILE *out)
{
    const struct course_value value = course_at(points->course, step);
    char number[NUMBER_BYTES];
    number_shortest(value.lr, number);
    (void)fprintf(out, "{%s\"step\": %" PRIu64 ", \"lr\": %s", points->group, step, number);
    if (points->cycles && !isnan(value.momentum)) {
        number_shortest(value.momentum, number);
        (void)fprintf(out, ", \"momentum\": %s", number);
    }
    (void)fputc('}', out);
}

/* Names are printable, so that their quoted form is JSON's. */
static void name_points(struct points *points)
{
    char quoted[TEXT_QUOTED_BYTES(STEPD_NAME_MAX_BYTES)];
    const char *const name = points->course->name;
    (void)text_quote(name, strlen(name), quoted, sizeof quoted);
    (void)snprintf(points->group, sizeof points->group, "\"group\": %s, ", quoted);
}

static void print_points(const struct course *course, const struct course_print_options *options,
                         FILE *out)
{
    const uint64_t last = options->steps - 1;
    const uint64_t every = options->every > 0 ? options->every : 1;
    struct points points = {.course = course, .cycles = course_cycles(course)};
    if (options->named)
        name_points(&points);
    for (uint64_t step = 0; step < last; step += every) {
        print_point(&points, step, out);
        (void)fputs(",\n", out);
    }
    print_point(&points, last, out);
}

void course_print_json(const struct course_print_options *options, FILE *out)
{
    (void)fputs("[\n", out);
    for (size_t i = 0; i < options->courses->count; i++) {
        (void)fputs(i > 0 ? ",\n" : "", out);
        print_points(&options->courses->at[i], options, out);
    }
    (void)fputs("\n]\n", out);
}
