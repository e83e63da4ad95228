/* SPDX-License-Identifier: Apache-2.0
 *
 * Layer by layer, the lower first: the defaults of the job, the group, a later phase's own. Each
 * name overwrites what was there before, and lr_mult multiplies it. What an optimizer does not
 * know is passed over; the drawing saw to it that this is right.
 */
#include "tests/sim/reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { LAYERS_MAX = 3 };

struct layers {
    size_t count;
    const struct stepd_settings *at[LAYERS_MAX];
};

/* A phase that is being read. */
struct reader {
    struct reading_phase *phase;
    struct coverage *coverage;
};

static const struct stepd_setting *find(const struct stepd_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->at[i].name, name) == 0)
            return &settings->at[i];
    }
    return NULL;
}

static bool is_word(const struct stepd_setting *setting)
{
    return setting->word != NULL && setting->word[0] != '\0';
}

/* ---- Hyperparameters ------------------------------------------------------------------------- */

bool reading_has(const struct optimizer *optimizer, const char *name)
{
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (strcmp(optimizer->hyper[i].name, name) == 0)
            return true;
    }
    return false;
}

static void put(const struct reader *reader, const char *name, double value)
{
    const struct optimizer *optimizer = reader->phase->optimizer;
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (strcmp(optimizer->hyper[i].name, name) != 0)
            continue;
        memcpy((char *)&reader->phase->hyper + optimizer->hyper[i].offset, &value, sizeof value);
        coverage_set(reader->coverage, optimizer, i);
    }
}

static void put_word(const struct reader *reader, const struct stepd_setting *setting)
{
    const struct optimizer *optimizer = reader->phase->optimizer;
    for (size_t i = 0; i < optimizer->hypers; i++) {
        const struct optim_hyper_spec *spec = &optimizer->hyper[i];
        if (spec->word == NULL || strcmp(spec->name, setting->name) != 0)
            continue;
        double value = spec->least;
        while (value <= spec->most && strcmp(spec->word[(size_t)value], setting->word) != 0)
            value += 1.0;
        if (value <= spec->most) /* else a higher layer says it anew, or it would be refused */
            put(reader, spec->name, value);
    }
}

/* Only an optimizer that has all numbers of a list has the list. */
static void put_list(const struct reader *reader, const struct stepd_setting *setting)
{
    for (size_t i = 0; i < SETTING_LISTS; i++) {
        const char *const *of = setting_lists[i].of;
        bool all = strcmp(setting_lists[i].name, setting->name) == 0;
        for (size_t k = 0; of[k] != NULL; k++)
            all = all && reading_has(reader->phase->optimizer, of[k]);
        for (size_t k = 0; all && of[k] != NULL; k++)
            put(reader, of[k], setting->value[k]);
    }
}

static void put_layer(const struct reader *reader, const struct stepd_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        const struct stepd_setting *setting = &settings->at[i];
        if (is_word(setting))
            put_word(reader, setting);
        else if (setting->values > 1)
            put_list(reader, setting);
        else
            put(reader, setting->name, setting->value[0]);
    }
    const struct stepd_setting *factor = find(settings, "lr_mult");
    if (factor == NULL)
        return;
    reader->phase->hyper.lr *= factor->value[0];
    coverage_count(reader->coverage, COVERAGE_LR_MULT, 1);
}

/* Defaults of an optimizer in the form that the highest preset names. */
static void put_defaults(const struct reader *reader, const struct layers *layers)
{
    const struct optimizer *optimizer = reader->phase->optimizer;
    bool lecture = false;
    for (size_t i = 0; i < layers->count; i++) {
        const struct stepd_setting *preset = find(layers->at[i], "preset");
        lecture = preset != NULL ? strcmp(preset->word, "lecture") == 0 : lecture;
    }
    optimizer_hyper_defaults(optimizer, &reader->phase->hyper);
    for (size_t i = 0; lecture && i < OPTIMIZER_FIXED_MAX; i++) {
        if (optimizer->lecture[i].name == NULL)
            break;
        put(reader, optimizer->lecture[i].name, optimizer->lecture[i].value);
        coverage_count(reader->coverage, COVERAGE_LECTURE, 1);
    }
}

static void count_defaults(const struct reader *reader, const struct stepd_settings *defaults)
{
    for (size_t i = 0; i < defaults->count; i++) {
        if (reading_has(reader->phase->optimizer, defaults->at[i].name))
            coverage_count(reader->coverage, COVERAGE_DEFAULT_HYPER, 1);
    }
}

static void read_phase(const struct reader *reader, const char *optimizer,
                       const struct layers *layers)
{
    size_t row = 0;
    while (strcmp(optimizer_at(row)->name, optimizer) != 0)
        row++;
    reader->phase->optimizer = optimizer_at(row);
    put_defaults(reader, layers);
    for (size_t i = 0; i < layers->count; i++)
        put_layer(reader, layers->at[i]);
    count_defaults(reader, layers->at[0]);
}

/* The group's optimizer, else the default's; a frozen group may have none, and needs none. */
static const char *first_optimizer(const struct stepd_group *defaults,
                                   const struct stepd_group *group, struct coverage *coverage)
{
    if (group->optimizer[0] != '\0')
        return group->optimizer;
    if (defaults->optimizer[0] == '\0')
        return "sgd";
    coverage_count(coverage, COVERAGE_DEFAULT_OPTIMIZER, 1);
    return defaults->optimizer;
}

static void read_phases(struct reading *reading, const struct stepd_group *defaults,
                        const struct stepd_group *group, struct coverage *coverage)
{
    struct reader reader = {.phase = &reading->phase[0], .coverage = coverage};
    struct layers layers = {.count = 2, .at = {&defaults->settings, &group->settings}};
    read_phase(&reader, first_optimizer(defaults, group, coverage), &layers);
    for (size_t i = 0; i < group->phases; i++) {
        reader.phase = &reading->phase[1 + i];
        reader.phase->from = group->phase[i].from;
        layers.count = 3;
        layers.at[2] = &group->phase[i].settings;
        read_phase(&reader, group->phase[i].optimizer, &layers);
    }
    reading->phases = 1 + group->phases;
}

/* ---- Treatment and schedule ------------------------------------------------------------------ */

static void read_treatment(struct reading *reading, const struct stepd_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        const char *name = settings->at[i].name;
        const double value = settings->at[i].values > 0 ? settings->at[i].value[0] : 0.0;
        if (strcmp(name, "maximize") == 0)
            reading->maximize = value > 0.0;
        if (strcmp(name, "clip_value") == 0)
            reading->clip_value = value;
        if (strcmp(name, "clip_norm") == 0)
            reading->clip_norm = value;
        if (strcmp(name, "ema_decay") == 0)
            reading->ema_decay = value;
        if (strcmp(name, "swa_start") == 0)
            reading->swa_start = (uint64_t)value;
        if (strcmp(name, "swa_every") == 0)
            reading->swa_every = (uint64_t)value;
        reading->swa = reading->swa || strncmp(name, "swa_", 4) == 0;
    }
}

static void set_schedule(struct schedule *schedule, const struct stepd_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        const struct stepd_setting *setting = &settings->at[i];
        const enum stepd_status status =
            is_word(setting)
                ? schedule_set_word(schedule, setting->name, setting->word, NULL)
                : schedule_set(schedule, setting->name, setting->values, setting->value, NULL);
        assert_int_equal(status, STEPD_OK);
    }
}

/* The group's own, or the default's with the group's settings over it. */
static void read_schedule(struct reading *reading, const struct stepd_group *defaults,
                          const struct stepd_group *group, struct coverage *coverage)
{
    const bool own = group->schedule[0] != '\0';
    const struct stepd_group *from = own ? group : defaults;
    assert_int_equal(schedule_init(from->schedule, &reading->schedule, NULL), STEPD_OK);
    set_schedule(&reading->schedule, &from->schedule_settings);
    for (size_t i = 0; i < from->schedule_parts; i++) {
        struct schedule part;
        assert_int_equal(schedule_init(from->schedule_part[i].kind, &part, NULL), STEPD_OK);
        set_schedule(&part, &from->schedule_part[i].settings);
        assert_int_equal(schedule_add(&reading->schedule, &part, NULL), STEPD_OK);
    }
    if (own)
        return;
    set_schedule(&reading->schedule, &group->schedule_settings);
    coverage_count(coverage, COVERAGE_DEFAULT_SCHEDULE, from->schedule[0] != '\0');
}

void reading_init(struct reading *reading, const struct stepd_define_job *job, size_t index,
                  struct coverage *coverage)
{
    const struct stepd_group *group = &job->group[index];
    *reading = (struct reading){.frozen = group->frozen, .swa_every = 1};
    read_phases(reading, &job->defaults, group, coverage);
    read_treatment(reading, &job->defaults.settings);
    read_treatment(reading, &group->settings);
    read_schedule(reading, &job->defaults, group, coverage);
}

void reading_deinit(struct reading *reading)
{
    schedule_deinit(&reading->schedule);
}

/* ---- Questions ------------------------------------------------------------------------------- */

/* Does the text fit a pattern whose stars stand for any text? The last star that was met takes one
 * character more whenever what follows it does not fit. */
static bool fits(const char *pattern, const char *text)
{
    const char *star = NULL;
    const char *rest = NULL; /* of text, behind what the star takes */
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            rest = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++rest;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool takes_dims(const struct stepd_group *group, size_t dims)
{
    bool takes = group->ndim.count == 0;
    for (size_t i = 0; i < group->ndim.count; i++)
        takes = takes || group->ndim.at[i] == dims;
    return takes;
}

size_t reading_group(const struct stepd_define_job *job, const struct stepd_tensor_def *tensor,
                     struct coverage *coverage)
{
    for (size_t i = 0; i < job->groups; i++) {
        const struct stepd_group *group = &job->group[i];
        if (!fits(group->match[0] == '\0' ? "*" : group->match, tensor->name))
            continue;
        if (takes_dims(group, tensor->dims))
            return i;
        coverage_count(coverage, COVERAGE_NDIM, 1);
    }
    fail_msg("no group takes %s", tensor->name);
    return 0;
}

const struct reading_phase *reading_phase_at(const struct reading *reading, uint64_t step)
{
    const struct reading_phase *phase = &reading->phase[0];
    for (size_t i = 1; i < reading->phases; i++)
        phase = step >= reading->phase[i].from ? &reading->phase[i] : phase;
    return phase;
}

enum optim_scope reading_scope(const struct reading *reading)
{
    enum optim_scope scope = OPTIM_SCOPE_ELEMENT;
    for (size_t i = 0; i < reading->phases && !reading->frozen; i++) {
        const enum optim_scope of_phase = reading->phase[i].optimizer->scope;
        scope = of_phase > scope ? of_phase : scope;
    }
    return scope;
}

bool reading_looks_ahead(const struct reading_phase *phase)
{
    return phase->optimizer->looks_ahead != NULL && phase->optimizer->looks_ahead(&phase->hyper);
}

void reading_check_layout(const struct reading *reading, const struct plan *plan)
{
    const struct layout *layout = &plan->job->layout;
    struct coverage uncounted = {.floats = 0};
    size_t slices[DEFINITION_GROUPS_MAX] = {0};
    for (uint32_t s = 0; s < layout->slices; s++) {
        const struct slice_plan *slice = &layout->slice[s];
        const enum optim_scope scope = reading_scope(&reading[slice->group]);
        slices[slice->group]++;
        for (uint32_t i = 0; i < slice->parts; i++) {
            const struct part *part = &layout->part[slice->first_part + i];
            const struct stepd_tensor_def *tensor = &plan->def.page.tensor[part->tensor];
            if (reading_group(&plan->def.job, tensor, &uncounted) != slice->group)
                plan_fail(plan, "%s is in group %u", tensor->name, slice->group);
            uint64_t elements = 1;
            for (size_t d = 0; d < tensor->dims; d++)
                elements *= tensor->shape[d];
            if (scope != OPTIM_SCOPE_ELEMENT && part->elements != elements)
                plan_fail(plan, "%s is cut", tensor->name);
        }
        if (scope == OPTIM_SCOPE_GROUP && slices[slice->group] > 1)
            plan_fail(plan, "group %u, which is stepped as one, is cut", slice->group);
    }
}
