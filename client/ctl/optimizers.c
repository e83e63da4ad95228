/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl optimizers: the table of optimizers as a person looks for one. All of it is read from
 * the daemon's own table; nothing is known here of any one optimizer.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/listing.h"
#include "server/optim/optimizer.h"

static const char help[] =
    "usage: stepctl optimizers [NAME] [--json]\n"
    "\n"
    "Shows the optimizers that a group may have. SCOPE is what one sees at once: each element\n"
    "for itself, a whole tensor, or all tensors of its group. STATE is how many floats it keeps\n"
    "for each parameter, with its defaults; of a matrix of 1024 x 1024, where that depends on\n"
    "the shape.\n"
    "\n"
    "With NAME: its state, and its hyperparameters with their defaults, what the lecture's\n"
    "printed form sets otherwise (preset: lecture), and their ranges.\n"
    "\n"
    "options:\n"
    "  --json  a JSON array of all; with NAME, one object\n"
    "  --help  this text\n";

static const char *const scopes[] = {
    [OPTIM_SCOPE_ELEMENT] = "element",
    [OPTIM_SCOPE_TENSOR] = "tensor",
    [OPTIM_SCOPE_GROUP] = "group",
};

/* What state is counted for. */
static const uint64_t matrix_dims[] = {1024, 1024};
static const struct optim_shape matrix = {.dims = 2, .dim = matrix_dims, .elements = 1U << 20U};

/* ---- State ----------------------------------------------------------------------------------- */

static double floats_per_parameter(const struct optimizer *optimizer, size_t slot,
                                   const struct optim_hyper *hyper)
{
    return (double)optimizer_slot_floats(optimizer, slot, hyper, 1, &matrix) /
           (double)matrix.elements;
}

static bool is_boolean(const struct optim_hyper_spec *spec)
{
    return spec->whole && spec->word == NULL && spec->least == 0.0 && spec->most == 1.0;
}

static bool is_word(const struct optim_hyper_spec *spec)
{
    return spec->word != NULL;
}

/* A value as it is written. */
static void print_value(const struct optim_hyper_spec *spec, double value, char *text, size_t size)
{
    if (is_word(spec))
        (void)snprintf(text, size, "%s", spec->word[(size_t)value]);
    else if (is_boolean(spec))
        (void)snprintf(text, size, "%s", value != 0.0 ? "true" : "false");
    else
        (void)snprintf(text, size, "%.6g", value);
}

/* Is the slot used when this one hyperparameter has this value? */
static bool used_with(const struct optimizer *optimizer, size_t slot,
                      const struct optim_hyper_spec *spec, double value)
{
    struct optim_hyper hyper;
    optimizer_hyper_defaults(optimizer, &hyper);
    memcpy((char *)&hyper + spec->offset, &value, sizeof value);
    return optimizer_slot_floats(optimizer, slot, &hyper, 1, &matrix) > 0;
}

/*
 * Which hyperparameter brings a slot that the defaults do not use, found by trying: "amsgrad true",
 * or of a number, "momentum above 0". "": none by itself.
 */
static void find_switch(const struct optimizer *optimizer, size_t slot, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < optimizer->hypers; i++) {
        const struct optim_hyper_spec *const spec = &optimizer->hyper[i];
        char value[64];
        const bool steps = spec->whole;
        const double most = steps ? spec->most : spec->least + (spec->most - spec->least) / 2;
        if (!used_with(optimizer, slot, spec, most))
            continue;
        print_value(spec, steps ? most : spec->fallback, value, sizeof value);
        (void)snprintf(text, size, "%s %s%s", spec->name, steps ? "" : "above ", value);
        return;
    }
}

static json_t *slots_to_json(const struct optimizer *optimizer, const struct optim_hyper *hyper)
{
    json_t *const slots = json_array();
    for (size_t i = 0; i < optimizer_slots(optimizer); i++) {
        const double floats = floats_per_parameter(optimizer, i, hyper);
        char with[128] = "";
        if (optimizer->slot[i].used != NULL && !optimizer->slot[i].used(hyper))
            find_switch(optimizer, i, with, sizeof with);
        (void)json_array_append_new(slots, json_pack("{s:s, s:f, s:s*}", "name",
                                                     optimizer->slot[i].name, "floats", floats,
                                                     "with", with[0] == '\0' ? NULL : with));
    }
    return slots;
}

/* ---- Hyperparameters ------------------------------------------------------------------------- */

static json_t *value_to_json(const struct optim_hyper_spec *spec, double value)
{
    if (is_word(spec))
        return json_string(spec->word[(size_t)value]);
    if (is_boolean(spec))
        return json_boolean(value != 0.0);
    return json_real(value);
}

static const struct optim_fixed *find_pinned(const struct optimizer *optimizer, const char *name)
{
    for (size_t i = 0; i < OPTIMIZER_FIXED_MAX && optimizer->lecture[i].name != NULL; i++) {
        if (strcmp(optimizer->lecture[i].name, name) == 0)
            return &optimizer->lecture[i];
    }
    return NULL;
}

static json_t *hyper_to_json(const struct optimizer *optimizer, const struct optim_hyper_spec *spec)
{
    const struct optim_fixed *const pinned = find_pinned(optimizer, spec->name);
    const struct listing_range range = {
        .least = spec->least,
        .most = spec->most,
        .least_open = spec->least_open,
        .most_open = spec->most_open,
        .whole = spec->whole,
    };
    json_t *may_be = NULL;
    if (is_word(spec))
        may_be = listing_words(spec->word + (size_t)spec->least,
                               (size_t)spec->most - (size_t)spec->least + 1);
    else if (!is_boolean(spec))
        may_be = listing_range_to_json(&range);
    return json_pack("{s:s, s:o, s:o*, s:o*}", "name", spec->name, "default",
                     value_to_json(spec, spec->fallback), "lecture",
                     pinned == NULL ? NULL : value_to_json(spec, pinned->value),
                     is_word(spec) ? "words" : "range", may_be);
}

static json_t *optimizer_to_json(size_t index)
{
    const struct optimizer *const optimizer = optimizer_at(index);
    struct optim_hyper hyper;
    double floats = 0.0;
    json_t *const hypers = json_array();
    optimizer_hyper_defaults(optimizer, &hyper);
    for (size_t i = 0; i < optimizer_slots(optimizer); i++)
        floats += floats_per_parameter(optimizer, i, &hyper);
    for (size_t i = 0; i < optimizer->hypers; i++)
        (void)json_array_append_new(hypers, hyper_to_json(optimizer, &optimizer->hyper[i]));
    return json_pack("{s:s, s:s, s:s, s:f, s:b, s:s*, s:o, s:o}", "name", optimizer->name, "scope",
                     scopes[optimizer->scope], "source", optimizer->source, "state_floats", floats,
                     "sync_only", optimizer->sync_only, "rules", optimizer->rules, "slots",
                     slots_to_json(optimizer, &hyper), "hyperparameters", hypers);
}

/* ---- Showing --------------------------------------------------------------------------------- */

/* "2"; "202"; "0.002". */
static void print_floats(double floats, char *text, size_t size)
{
    (void)snprintf(text, size, "%.*g", floats < 1.0 ? 1 : 4, floats);
}

static void state_cell(const json_t *row, char *text, size_t size)
{
    print_floats(json_real_value(json_object_get(row, "state_floats")), text, size);
}

static const struct table_column columns[] = {
    {.header = "NAME", .key = "name"},
    {.header = "SCOPE", .key = "scope"},
    {.header = "STATE", .cell = state_cell},
    {.header = "SOURCE", .key = "source"},
};

static void floats_cell(const json_t *row, char *text, size_t size)
{
    const char *const with = json_string_value(json_object_get(row, "with"));
    const double floats = json_real_value(json_object_get(row, "floats"));
    if (floats > 0.0 || with == NULL)
        print_floats(floats, text, size);
    else
        (void)snprintf(text, size, "with %s", with);
}

static const struct table_column slot_columns[] = {
    {.header = "SLOT", .key = "name"},
    {.header = "FLOATS PER PARAMETER", .cell = floats_cell},
};

static bool has_lecture(const json_t *hypers)
{
    for (size_t i = 0; i < json_array_size(hypers); i++) {
        if (json_object_get(json_array_get(hypers, i), "lecture") != NULL)
            return true;
    }
    return false;
}

static void show(const json_t *row, unsigned width)
{
    const json_t *const hypers = json_object_get(row, "hyperparameters");
    const json_t *const slots = json_object_get(row, "slots");
    const char *const rules = json_string_value(json_object_get(row, "rules"));
    char state[64];
    state_cell(row, state, sizeof state);
    (void)printf("name    %s\nsource  ", json_string_value(json_object_get(row, "name")));
    table_print_text(stdout, LISTING_INDENT, json_string_value(json_object_get(row, "source")),
                     width);
    (void)printf("scope   %s%s\n", json_string_value(json_object_get(row, "scope")),
                 json_is_true(json_object_get(row, "sync_only")) ? "; jobs of mode sync only" : "");
    (void)printf("state   floats per parameter: %s\n", state);
    if (rules != NULL) {
        (void)printf("rules   ");
        table_print_text(stdout, LISTING_INDENT, rules, width);
    }
    (void)printf("\n");
    listing_print_values("HYPERPARAMETER", hypers, has_lecture(hypers), width);
    if (json_array_size(slots) == 0)
        return;
    (void)printf("\n");
    table_print(stdout, 0, slot_columns, sizeof slot_columns / sizeof slot_columns[0], slots);
}

/* ---- The command ----------------------------------------------------------------------------- */

static enum stepd_status find(const char *name, size_t *ret_index, struct stepd_error *reterr)
{
    const struct optimizer *optimizer = NULL;
    const enum stepd_status status = optimizer_find(name, &optimizer, reterr);
    for (size_t i = 0; i < optimizer_count() && status == STEPD_OK; i++) {
        if (optimizer_at(i) == optimizer)
            *ret_index = i;
    }
    return status;
}

int optimizers_run(const struct ctl_options *ctl, int argc, char **argv)
{
    const struct listing listing = {
        .command = "optimizers",
        .help = help,
        .rows = optimizer_count(),
        .row = optimizer_to_json,
        .find = find,
        .columns = sizeof columns / sizeof columns[0],
        .column = columns,
        .show = show,
    };
    (void)ctl;
    return listing_run(&listing, argc, argv);
}
