/* SPDX-License-Identifier: Apache-2.0
 *
 * A setting for each number that a table has a name for. What has no memory leaves a list too
 * short, which is asked about once, at the end.
 */
#include "server/model/definition.h"

#include <string.h>

/* Settings that are being listed. */
struct list {
    struct stepd_arena *arena;
    struct stepd_setting *at; /* STEPD_SETTINGS_MAX of them; NULL: no memory */
    size_t count;
    bool *failed; /* set where there is no memory */
};

static struct list begin(struct stepd_arena *arena, bool *failed)
{
    struct list list = {
        .arena = arena,
        .at = stepd_arena_calloc(arena, STEPD_SETTINGS_MAX, sizeof *list.at),
        .failed = failed,
    };
    *failed = *failed || list.at == NULL;
    return list;
}

static struct stepd_settings end(const struct list *list)
{
    return (struct stepd_settings){.count = list->count, .at = list->at};
}

/* No table has more than STEPD_SETTINGS_MAX, or nobody could set them all. */
static void add(struct list *list, const struct stepd_setting *setting)
{
    if (list->at != NULL && list->count < STEPD_SETTINGS_MAX)
        list->at[list->count++] = *setting;
    else
        *list->failed = true;
}

static void add_number(struct list *list, const char *name, double number)
{
    double *const value = stepd_arena_alloc(list->arena, sizeof *value);
    if (value == NULL) {
        *list->failed = true;
        return;
    }
    *value = number;
    add(list, &(struct stepd_setting){.name = name, .values = 1, .value = value, .word = ""});
}

static void add_word(struct list *list, const char *name, const char *word)
{
    add(list, &(struct stepd_setting){.name = name, .word = word});
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static void add_hypers(struct list *list, const struct phase *phase)
{
    for (size_t i = 0; i < phase->optimizer->hypers; i++) {
        const struct optim_hyper_spec *const spec = &phase->optimizer->hyper[i];
        const double value = optimizer_hyper_get(spec, &phase->hyper);
        if (spec->word == NULL)
            add_number(list, spec->name, value);
        else
            add_word(list, spec->name, spec->word[(size_t)value]);
    }
}

static void add_treatment(struct list *list, const struct treatment *treatment)
{
    if (treatment->maximize)
        add_number(list, "maximize", 1.0);
    if (treatment->clip_norm > 0.0)
        add_number(list, "clip_norm", treatment->clip_norm);
    if (treatment->clip_value > 0.0)
        add_number(list, "clip_value", treatment->clip_value);
    if (treatment->ema_decay > 0.0)
        add_number(list, "ema_decay", treatment->ema_decay);
    if (treatment->swa) {
        add_number(list, "swa_start", (double)treatment->swa_start);
        add_number(list, "swa_every", (double)treatment->swa_every);
    }
}

/* Without its parts. */
static struct stepd_settings schedule_settings(const struct schedule *schedule,
                                               struct stepd_arena *arena, bool *failed)
{
    struct list list = begin(arena, failed);
    for (size_t i = 0; i < schedule->kind->params; i++) {
        const struct schedule_param_spec *const spec = &schedule->kind->param[i];
        size_t values = 0;
        const double *const value = schedule_get(schedule, spec, &values);
        if (value == NULL)
            continue;
        if (spec->type == SCHEDULE_WORD)
            add_word(&list, spec->name, spec->word[(size_t)*value]);
        else
            add(&list, &(struct stepd_setting){
                           .name = spec->name, .values = values, .value = value, .word = ""});
    }
    return end(&list);
}

static void say_schedule(const struct schedule *schedule, struct stepd_arena *arena,
                         struct stepd_group *def, bool *failed)
{
    struct stepd_schedule_part *const part =
        stepd_arena_calloc(arena, schedule->parts, sizeof *part);
    def->schedule = schedule->kind->name;
    def->schedule_settings = schedule_settings(schedule, arena, failed);
    *failed = *failed || part == NULL;
    for (size_t i = 0; i < schedule->parts && !*failed; i++) {
        part[i].kind = schedule->part[i].kind->name;
        part[i].settings = schedule_settings(&schedule->part[i], arena, failed);
    }
    def->schedule_parts = schedule->parts;
    def->schedule_part = part;
}

/* Those behind the first. */
static void say_phases(const struct group *group, struct stepd_arena *arena,
                       struct stepd_group *def, bool *failed)
{
    struct stepd_phase *const phase = stepd_arena_calloc(arena, group->phases - 1, sizeof *phase);
    *failed = *failed || phase == NULL;
    for (size_t i = 1; i < group->phases && !*failed; i++) {
        struct list list = begin(arena, failed);
        add_hypers(&list, &group->phase[i]);
        phase[i - 1] = (struct stepd_phase){
            .from = group->phase[i].from,
            .optimizer = group->phase[i].optimizer->name,
            .settings = end(&list),
        };
    }
    def->phases = group->phases - 1;
    def->phase = phase;
}

enum stepd_status definition_of_group(const struct group *group, struct stepd_arena *arena,
                                      struct stepd_group *ret_def)
{
    bool failed = false;
    struct list list = begin(arena, &failed);
    add_hypers(&list, &group->phase[0]);
    add_treatment(&list, &group->treatment);
    struct stepd_group def = {
        .name = strcmp(group->name, group->match) == 0 ? "" : group->name,
        .match = group->match,
        .optimizer = group->phase[0].optimizer->name,
        .settings = end(&list),
        .ndim = {.count = group->ndims, .at = group->ndim},
        .frozen = group->frozen,
    };
    say_schedule(&group->schedule, arena, &def, &failed);
    say_phases(group, arena, &def, &failed);
    if (failed)
        return STEPD_RESOURCE_EXHAUSTED;
    *ret_def = def;
    return STEPD_OK;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

enum stepd_status definition_of_job(const struct job *job, struct stepd_arena *arena,
                                    struct stepd_define_job *ret_def)
{
    static const struct stepd_group nothing = {
        .name = "", .match = "", .optimizer = "", .schedule = ""};
    struct stepd_group *const group = stepd_arena_calloc(arena, job->groups, sizeof *group);
    struct stepd_setting *const setting =
        stepd_arena_calloc(arena, CONSISTENCY_SETTINGS_MAX, sizeof *setting);
    enum stepd_status status =
        group == NULL || setting == NULL ? STEPD_RESOURCE_EXHAUSTED : STEPD_OK;
    for (size_t i = 0; i < job->groups && status == STEPD_OK; i++)
        status = definition_of_group(&job->group[i], arena, &group[i]);
    if (status != STEPD_OK)
        return status;
    *ret_def = (struct stepd_define_job){
        .mode = job->consistency.mode,
        .workers = job->workers,
        .groups = job->groups,
        .group = group,
        .strict = job->strict,
        .slice_elements = job->slice_elements,
        .defaults = nothing,
        .settings = {.count = consistency_settings(&job->consistency, setting), .at = setting},
    };
    return STEPD_OK;
}
