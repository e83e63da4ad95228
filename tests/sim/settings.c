/* SPDX-License-Identifier: Apache-2.0
 *
 * Values stay near the defaults, where an optimizer does what it was made for: weights that run
 * away to infinity are all alike, and show no mistake. Numbers of steps are small, because a run
 * has few.
 */
#include "tests/sim/settings.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

const struct setting_names setting_lists[SETTING_LISTS] = {
    {"betas", {"beta1", "beta2"}},
    {"etas", {"etaminus", "etaplus"}},
    {"step_sizes", {"step_min", "step_max"}},
    {"eps", {"eps1", "eps2"}},
    {"ns_coefficients", {"ns_a", "ns_b", "ns_c"}},
};

/* ---- Lists ----------------------------------------------------------------------------------- */

void *drawing_alloc(struct drawing *drawing, size_t count, size_t size)
{
    void *memory = stepd_arena_calloc(&drawing->arena, count, size);
    assert_non_null(memory);
    return memory;
}

double drawing_number(struct drawing *drawing, double least, double most)
{
    const double unit = (double)(random_next(&drawing->random) >> 11) * 0x1p-53;
    return least + (most - least) * unit;
}

struct stepd_settings setting_list_keep(struct drawing *drawing, const struct setting_list *list)
{
    struct stepd_setting *at = drawing_alloc(drawing, list->count, sizeof *at);
    for (size_t i = 0; i < list->count; i++)
        at[i] = list->at[i];
    return (struct stepd_settings){.count = list->count, .at = at};
}

bool setting_list_has(const struct setting_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->at[i].name, name) == 0)
            return true;
    }
    return false;
}

static void add(struct setting_list *list, struct stepd_setting setting)
{
    assert_true(list->count < STEPD_SETTINGS_MAX);
    assert_false(setting_list_has(list, setting.name));
    list->at[list->count++] = setting;
}

static void add_numbers(struct setting_list *list, const char *name, size_t values,
                        const double *value)
{
    add(list, (struct stepd_setting){.name = name, .values = values, .value = value, .word = ""});
}

void setting_list_number(struct drawing *drawing, struct setting_list *list, const char *name,
                         double value)
{
    double *at = drawing_alloc(drawing, 1, sizeof *at);
    *at = value;
    add_numbers(list, name, 1, at);
}

void setting_list_word(struct setting_list *list, const char *name, const char *word)
{
    add(list, (struct stepd_setting){.name = name, .word = word});
}

/* ---- Optimizers ------------------------------------------------------------------------------ */

static bool in_range(const struct optimizer *optimizer, const char *name, double value)
{
    struct optim_hyper hyper;
    optimizer_hyper_defaults(optimizer, &hyper);
    return optimizer_hyper_set(optimizer, name, value, &hyper, NULL) == STEPD_OK;
}

/* A number between half and twice the default. */
static double near(struct drawing *drawing, const struct optim_hyper_spec *spec)
{
    const double factor = drawing_number(drawing, 0.5, 2.0);
    if (spec->fallback == 0.0)
        return drawing_number(drawing, 0.0, 0.25);
    if (spec->fallback >= 1e3) /* a number of steps */
        return (double)random_below(&drawing->random, 5);
    if (strncmp(spec->name, "ns_", 3) == 0) /* the iteration leads somewhere near these only */
        return spec->fallback * (0.97 + factor / 40.0);
    if (strcmp(spec->name, "lr") == 0 && spec->fallback < 0.05 &&
        random_once_in(&drawing->random, 2))
        return 0.05 * factor;
    return spec->fallback * factor;
}

static double hyper_value(struct drawing *drawing, const struct optimizer *optimizer,
                          const struct optim_hyper_spec *spec)
{
    if (spec->whole && spec->most <= 1.0)
        return (double)random_below(&drawing->random, 2);
    if (spec->whole)
        return spec->least + (double)random_below(&drawing->random, 5);
    const double value = near(drawing, spec);
    if (in_range(optimizer, spec->name, value))
        return value;
    /* What must be below 1: as far from it as the default, more or less. */
    const double below = 1.0 - (1.0 - spec->fallback) * drawing_number(drawing, 0.5, 2.0);
    return in_range(optimizer, spec->name, below) ? below : spec->fallback;
}

static const struct optim_hyper_spec *find_spec(const struct optimizer *optimizer, const char *name)
{
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (strcmp(optimizer->hyper[i].name, name) == 0)
            return &optimizer->hyper[i];
    }
    return NULL;
}

static void add_names(struct drawing *drawing, const struct optimizer *optimizer,
                      const struct setting_names *names, struct setting_list *list)
{
    double *value = drawing_alloc(drawing, 4, sizeof *value);
    size_t values = 0;
    for (; names->of[values] != NULL; values++) {
        const struct optim_hyper_spec *spec = find_spec(optimizer, names->of[values]);
        if (spec == NULL)
            return;
        value[values] = hyper_value(drawing, optimizer, spec);
    }
    add_numbers(list, names->name, values, value);
}

void settings_of_optimizer(struct drawing *drawing, const struct optimizer *optimizer,
                           struct setting_list *list)
{
    for (size_t i = 0; i < SETTING_LISTS; i++) {
        if (random_once_in(&drawing->random, 4))
            add_names(drawing, optimizer, &setting_lists[i], list);
    }
    for (size_t i = 0; i < optimizer->hypers; i++) {
        const struct optim_hyper_spec *spec = &optimizer->hyper[i];
        if (random_once_in(&drawing->random, 2))
            continue;
        if (spec->word != NULL)
            setting_list_word(list, spec->name,
                              spec->word[random_between(&drawing->random, (uint64_t)spec->least,
                                                        (uint64_t)spec->most)]);
        else
            setting_list_number(drawing, list, spec->name, hyper_value(drawing, optimizer, spec));
    }
    if (random_once_in(&drawing->random, 4))
        setting_list_word(list, "preset",
                          random_once_in(&drawing->random, 3) ? "torch" : "lecture");
}

/* ---- The treatment --------------------------------------------------------------------------- */

void settings_of_treatment(struct drawing *drawing, uint64_t seldom, struct setting_list *list)
{
    struct random *random = &drawing->random;
    if (random_once_in(random, 2 * seldom))
        setting_list_number(drawing, list, "maximize", (double)(random_below(random, 4) > 0));
    if (random_once_in(random, seldom))
        setting_list_number(drawing, list, "clip_value", drawing_number(drawing, 0.3, 1.2));
    if (random_once_in(random, seldom))
        setting_list_number(drawing, list, "ema_decay", drawing_number(drawing, 0.3, 0.99));
    if (random_once_in(random, seldom))
        setting_list_number(drawing, list, "swa_start", (double)random_below(random, 5));
    if (random_once_in(random, seldom))
        setting_list_number(drawing, list, "swa_every", (double)random_between(random, 1, 3));
}

/* ---- Consistency ----------------------------------------------------------------------------- */

static void add_whole(struct drawing *drawing, struct setting_list *list, const char *name,
                      uint64_t least, uint64_t most)
{
    setting_list_number(drawing, list, name, (double)random_between(&drawing->random, least, most));
}

/* What of a stale gradient is left. */
static void add_staleness(struct drawing *drawing, struct setting_list *list)
{
    struct random *random = &drawing->random;
    if (random_once_in(random, 4))
        add_whole(drawing, list, "staleness_max", 0, 6);
    if (random_once_in(random, 3))
        setting_list_number(drawing, list, "lr_by_staleness", 1.0);
    if (random_once_in(random, 3))
        setting_list_number(drawing, list, "delay_compensation",
                            drawing_number(drawing, 0.01, 1.0));
}

/* Rounds that do not wait for all. */
static void add_closing(struct drawing *drawing, uint32_t workers, struct setting_list *list)
{
    struct random *random = &drawing->random;
    if (random_once_in(random, 2) && workers > 1)
        add_whole(drawing, list, "backup", 1, workers - 1);
    else
        add_whole(drawing, list, "close_examples", 1, 100);
    if (random_once_in(random, 2))
        return;
    setting_list_word(list, "late", "apply");
    if (random_once_in(random, 2))
        add_whole(drawing, list, "staleness_max", 0, 2);
}

/* Several pushes of every worker make a step. */
static void add_accumulation(struct drawing *drawing, struct setting_list *list)
{
    if (random_once_in(&drawing->random, 2))
        add_whole(drawing, list, "accumulate", 2, 4);
    else
        add_whole(drawing, list, "accumulate_examples", 1, 300);
}

/* Steps that all slices make together, or none. */
static void add_together(struct drawing *drawing, bool norms, bool may_be_whole,
                         struct setting_list *list)
{
    struct random *random = &drawing->random;
    if (norms && random_once_in(random, 2))
        setting_list_number(drawing, list, "clip_global_norm", drawing_number(drawing, 0.3, 6.0));
    if (random_once_in(random, 6))
        setting_list_word(list, "nonfinite", random_once_in(random, 3) ? "halt" : "skip");
    if (may_be_whole && random_once_in(random, 6))
        setting_list_word(list, "atomic", "job");
}

void settings_of_consistency(struct drawing *drawing, enum stepd_mode mode, uint32_t workers,
                             bool norms, struct setting_list *list)
{
    struct random *random = &drawing->random;
    if (mode == STEPD_BOUNDED)
        add_whole(drawing, list, "staleness", 0, 3);
    if (mode != STEPD_SYNC) {
        add_staleness(drawing, list);
        return;
    }
    const bool closing = random_once_in(random, 3);
    const bool arrival = random_once_in(random, 4);
    if (closing)
        add_closing(drawing, workers, list);
    if (arrival)
        setting_list_word(list, "reduction", "arrival");
    const bool accumulates = !closing && random_once_in(random, 4);
    if (accumulates)
        add_accumulation(drawing, list);
    add_together(drawing, norms, !closing && !arrival && !accumulates, list);
}

/* ---- Schedules ------------------------------------------------------------------------------- */

/* Ranges of numbers whose default says nothing about them. */
static const struct {
    const char *name;
    double least;
    double most;
} number_ranges[] = {
    {"max_lr", 0.01, 0.2},        {"base_lr", 0.001, 0.05},      {"gamma", 0.3, 1.2},
    {"eta_min", 0.0, 0.01},       {"min_lr", 0.0, 0.01},         {"threshold", 0.0, 0.3},
    {"base_momentum", 0.3, 0.85}, {"max_momentum", 0.85, 0.99},  {"factor", 0.1, 0.9},
    {"pct_start", 0.0, 1.0},      {"final_div_factor", 1., 50.}, {"warmup_factor", 0.0, 1.0},
    {"start_factor", 0.1, 1.0},   {"end_factor", 0.1, 1.0},      {"power", 0.3, 3.0},
};

static double number_of(struct drawing *drawing, const struct schedule_param_spec *spec)
{
    for (size_t i = 0; i < sizeof number_ranges / sizeof number_ranges[0]; i++) {
        if (strcmp(number_ranges[i].name, spec->name) == 0)
            return fmin(drawing_number(drawing, number_ranges[i].least, number_ranges[i].most),
                        spec->most);
    }
    return fmax(spec->fallback * drawing_number(drawing, 0.5, 2.0), spec->least);
}

/* Numbers of steps that rise, or factors. */
static void add_list(struct drawing *drawing, const struct schedule_param_spec *spec, size_t values,
                     struct setting_list *list)
{
    double *value = drawing_alloc(drawing, values, sizeof *value);
    double step = spec->least;
    for (size_t i = 0; i < values; i++) {
        step += (double)random_below(&drawing->random, 3) + (i > 0);
        value[i] = strcmp(spec->name, "factors") == 0 ? drawing_number(drawing, 0.2, 2.0) : step;
    }
    add_numbers(list, spec->name, values, value);
}

static void add_param(struct drawing *drawing, const struct schedule_param_spec *spec,
                      size_t values, struct setting_list *list)
{
    struct random *random = &drawing->random;
    switch (spec->type) {
    case SCHEDULE_NUMBER:
        setting_list_number(drawing, list, spec->name, number_of(drawing, spec));
        return;
    case SCHEDULE_WHOLE:
        if (spec->least == 0.0 && spec->most == 1.0 && random_once_in(random, 2))
            setting_list_word(list, spec->name, random_once_in(random, 2) ? "true" : "false");
        else
            setting_list_number(drawing, list, spec->name,
                                spec->least +
                                    (double)random_below(random, spec->most == 1.0 ? 2 : 5));
        return;
    case SCHEDULE_WORD:
        setting_list_word(list, spec->name,
                          spec->word[random_between(random, 0, (uint64_t)spec->most)]);
        return;
    case SCHEDULE_LIST: add_list(drawing, spec, values, list); return;
    }
}

void settings_of_schedule(struct drawing *drawing, const struct schedule_kind *kind,
                          struct setting_list *list)
{
    const size_t values = random_between(&drawing->random, 1, 3); /* of every list */
    for (size_t i = 0; i < kind->params; i++) {
        const struct schedule_param_spec *spec = &kind->param[i];
        const bool needed = isnan(spec->fallback) || spec->type == SCHEDULE_LIST;
        if (needed || random_once_in(&drawing->random, 2))
            add_param(drawing, spec, values, list);
    }
}
