/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl schedules: the table of schedules as a person looks for one. All of it is read from the
 * daemon's own table.
 */
#include <math.h>
#include <stdio.h>

#include "client/ctl/ctl.h"
#include "client/ctl/listing.h"
#include "server/schedule/schedule.h"

static const char help[] =
    "usage: stepctl schedules [NAME] [--json]\n"
    "\n"
    "Shows the schedules that a group may have. NEEDS are the parameters that have no default;\n"
    "t is the step, 0 first.\n"
    "\n"
    "With NAME: its parameters with their defaults and ranges. What it then does is shown by\n"
    "'stepctl schedule'.\n"
    "\n"
    "options:\n"
    "  --json  a JSON array of all; with NAME, one object\n"
    "  --help  this text\n";

static bool is_boolean(const struct schedule_param_spec *spec)
{
    return spec->type == SCHEDULE_WHOLE && spec->least == 0.0 && spec->most == 1.0;
}

/* An empty list is a list's default, where it need not be given. */
static json_t *default_to_json(const struct schedule_param_spec *spec)
{
    if (isnan(spec->fallback) || spec->type == SCHEDULE_LIST)
        return NULL;
    if (spec->type == SCHEDULE_WORD)
        return json_string(spec->word[(size_t)spec->fallback]);
    return is_boolean(spec) ? json_boolean(spec->fallback != 0.0) : json_real(spec->fallback);
}

static json_t *param_to_json(const struct schedule_param_spec *spec)
{
    const bool word = spec->type == SCHEDULE_WORD;
    const struct listing_range range = {
        .least = spec->least,
        .most = spec->most,
        .whole = schedule_param_is_whole(spec),
    };
    json_t *may_be = NULL;
    if (word)
        may_be = listing_words(spec->word, (size_t)spec->most + 1);
    else if (!is_boolean(spec))
        may_be = listing_range_to_json(&range);
    return json_pack("{s:s, s:b, s:b, s:o*, s:o*}", "name", spec->name, "needed",
                     isnan(spec->fallback), "list", spec->type == SCHEDULE_LIST, "default",
                     default_to_json(spec), word ? "words" : "range", may_be);
}

static json_t *kind_to_json(size_t index)
{
    const struct schedule_kind *const kind = schedule_kind_at(index);
    json_t *const params = json_array();
    for (size_t i = 0; i < kind->params; i++)
        (void)json_array_append_new(params, param_to_json(&kind->param[i]));
    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:s*, s:o}", "name", kind->name, "source",
                     kind->source, "takes_parts", kind->takes_parts, "sets_lr", kind->sets_lr,
                     "wants_loss", kind->wants_loss, "rules", kind->rules, "parameters", params);
}

/* ---- Showing --------------------------------------------------------------------------------- */

/* What must be given: "max_lr, total_steps"; "schedules"; "losses". */
static void needs_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const params = json_object_get(row, "parameters");
    size_t at = 0;
    for (size_t i = 0; i < json_array_size(params) && at < size; i++) {
        const json_t *const param = json_array_get(params, i);
        if (json_is_true(json_object_get(param, "needed")))
            at += (size_t)snprintf(text + at, size - at, "%s%s", at > 0 ? ", " : "",
                                   json_string_value(json_object_get(param, "name")));
    }
    if (json_is_true(json_object_get(row, "takes_parts")))
        (void)snprintf(text, size, "schedules");
    if (json_is_true(json_object_get(row, "wants_loss")))
        (void)snprintf(text, size, "losses");
}

static const struct table_column columns[] = {
    {.header = "NAME", .key = "name"},
    {.header = "NEEDS", .cell = needs_cell},
    {.header = "SOURCE", .key = "source"},
};

/* The command that shows it, as far as it can be written without numbers. */
static void print_example(const json_t *row)
{
    const json_t *const params = json_object_get(row, "parameters");
    const bool parts = json_is_true(json_object_get(row, "takes_parts"));
    const char *gap = ":";
    (void)printf("see     stepctl schedule --kind %s",
                 json_string_value(json_object_get(row, "name")));
    for (size_t i = 0; i < json_array_size(params); i++) {
        const json_t *const param = json_array_get(params, i);
        if (!json_is_true(json_object_get(param, "needed")))
            continue;
        (void)printf("%s%s=...", gap, json_string_value(json_object_get(param, "name")));
        gap = ",";
    }
    (void)printf("%s%s%s --steps ... --plot\n\n", parts ? " --part KIND:... --part KIND:..." : "",
                 json_is_true(json_object_get(row, "sets_lr")) ? "" : " --lr ...",
                 json_is_true(json_object_get(row, "wants_loss")) ? " --losses FILE" : "");
}

static void show(const json_t *row, unsigned width)
{
    const char *const rules = json_string_value(json_object_get(row, "rules"));
    (void)printf("name    %s\nsource  ", json_string_value(json_object_get(row, "name")));
    table_print_text(stdout, LISTING_INDENT, json_string_value(json_object_get(row, "source")),
                     width);
    if (json_is_true(json_object_get(row, "sets_lr")))
        (void)printf("lr      its own; that of the group is not looked at\n");
    if (json_is_true(json_object_get(row, "takes_parts")))
        (void)printf("parts   1 to %u schedules, each with parameters of its own\n",
                     SCHEDULE_PARTS_MAX);
    if (json_is_true(json_object_get(row, "wants_loss")))
        (void)printf("losses  each push must carry one\n");
    if (rules != NULL) {
        (void)printf("rules   ");
        table_print_text(stdout, LISTING_INDENT, rules, width);
    }
    print_example(row);
    listing_print_values("PARAMETER", json_object_get(row, "parameters"), /* lecture= */ false,
                         width);
}

/* ---- The command ----------------------------------------------------------------------------- */

static enum stepd_status find(const char *name, size_t *ret_index, struct stepd_error *reterr)
{
    struct schedule schedule;
    const enum stepd_status status = schedule_init(name, &schedule, reterr);
    if (status != STEPD_OK)
        return status;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        if (schedule_kind_at(i) == schedule.kind)
            *ret_index = i;
    }
    schedule_deinit(&schedule);
    return STEPD_OK;
}

int schedules_run(const struct ctl_options *ctl, int argc, char **argv)
{
    const struct listing listing = {
        .command = "schedules",
        .help = help,
        .rows = schedule_kind_count(),
        .row = kind_to_json,
        .find = find,
        .columns = sizeof columns / sizeof columns[0],
        .column = columns,
        .show = show,
    };
    (void)ctl;
    return listing_run(&listing, argc, argv);
}
