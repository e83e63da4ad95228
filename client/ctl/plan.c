/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags and file become what a worker would send in DefineJob, and from there the daemon's own code
 * says what they come to: the same names, the same errors, the same numbers.
 */
#include "client/ctl/plan.h"

#include <stdlib.h>
#include <string.h>

#include "client/lib/core/definition.h"
#include "proto/error.h"
#include "server/base/nearest.h"
#include "server/config/config.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the schedule");
}

/* ---- Flags ----------------------------------------------------------------------------------- */

enum stepd_status plan_add_part(struct plan_flags *flags, const char *text,
                                struct stepd_error *reterr)
{
    if (flags->parts == PLAN_PARTS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "more than %u parts", PLAN_PARTS_MAX);
    char *const words = strdup(text);
    char *rest = NULL;
    if (words == NULL)
        return no_memory(reterr);
    struct plan_part *const part = &flags->part[flags->parts++];
    const char *const kind = strtok_r(words, " ", &rest);
    enum stepd_status status = STEPD_OK;
    if (kind == NULL || strchr(kind, '=') != NULL || strlen(kind) > STEPD_ARGUMENT_NAME_MAX)
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "'%s': expected a kind of schedule, and then NAME=VALUE...", text);
    else
        memcpy(part->kind, kind, strlen(kind) + 1);
    for (const char *word = strtok_r(NULL, " ", &rest); word != NULL && status == STEPD_OK;
         word = strtok_r(NULL, " ", &rest))
        status = stepd_arguments_set_pair(&part->params, word, reterr);
    free(words);
    return status;
}

static enum stepd_status take_group(const struct stepd_group *defaults,
                                    const struct stepd_group *def, struct plan *plan,
                                    struct stepd_error *reterr)
{
    struct group *const more = realloc(plan->group, (plan->groups + 1) * sizeof *more);
    if (more == NULL)
        return no_memory(reterr);
    plan->group = more;
    const enum stepd_status status = group_init(defaults, def, &plan->group[plan->groups], reterr);
    plan->groups += status == STEPD_OK;
    return status;
}

enum stepd_status plan_from_flags(const struct plan_flags *flags, struct plan *ret_plan,
                                  struct stepd_error *reterr)
{
    struct stepd_param hyper[STEPD_ARGUMENTS_MAX];
    struct stepd_param params[STEPD_ARGUMENTS_MAX];
    struct stepd_param part_params[PLAN_PARTS_MAX][STEPD_ARGUMENTS_MAX];
    struct stepd_schedule_item items[PLAN_PARTS_MAX];
    for (size_t i = 0; i < flags->parts; i++)
        items[i] = (struct stepd_schedule_item){
            .kind = flags->part[i].kind,
            .params = part_params[i],
            .params_count = stepd_arguments_describe(&flags->part[i].params, part_params[i])};
    const struct stepd_param_group group = {
        .name = flags->kind,
        .match = "*",
        .optimizer = flags->optimizer,
        .params = hyper,
        .params_count = stepd_arguments_describe(&flags->hyper, hyper),
        .schedule = flags->kind,
        .schedule_params = params,
        .schedule_params_count = stepd_arguments_describe(&flags->params, params),
        .schedule_items = items,
        .schedule_items_count = flags->parts,
    };
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_define_job define;
    struct stepd_arena arena;
    struct plan plan = {.groups = 0};
    job.groups = &group;
    job.groups_count = 1;
    stepd_arena_init(&arena, STEPD_DEFINITION_MAX_BYTES);
    enum stepd_status status = stepd_definition_of_job(&job, &arena, &define, reterr);
    if (status == STEPD_OK)
        status = take_group(&define.defaults, define.group, &plan, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        *ret_plan = plan;
    else
        plan_deinit(&plan);
    return status;
}

/* ---- The file -------------------------------------------------------------------------------- */

static enum stepd_status find_job(const struct config *config, const char *name,
                                  const struct config_job **ret_job, struct stepd_error *reterr)
{
    struct nearest nearest;
    if (name == NULL && config->jobs == 1) {
        *ret_job = &config->job[0];
        return STEPD_OK;
    }
    if (name == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the file defines %zu jobs; say which one with --job", config->jobs);
    nearest_init(&nearest, name);
    for (size_t i = 0; i < config->jobs; i++) {
        if (strcmp(name, config->job[i].name) == 0) {
            *ret_job = &config->job[i];
            return STEPD_OK;
        }
        nearest_offer(&nearest, config->job[i].name);
    }
    return stepd_fail(reterr, STEPD_NOT_FOUND, "the file defines no job '%s': %s", name,
                      nearest_hint(&nearest));
}

static enum stepd_status take_groups(const struct config_job *job, const char *name,
                                     struct plan *plan, struct stepd_error *reterr)
{
    const struct stepd_define_job *const define = &job->definition;
    struct nearest nearest;
    nearest_init(&nearest, name == NULL ? "" : name);
    for (size_t i = 0; i < define->groups; i++) {
        nearest_offer(&nearest, define->group[i].name);
        if (name != NULL && strcmp(name, define->group[i].name) != 0)
            continue;
        const enum stepd_status status =
            take_group(&define->defaults, &define->group[i], plan, reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "job '%s'", job->name);
    }
    if (plan->groups == 0)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "job '%s' has no group '%s': %s", job->name,
                          name, nearest_hint(&nearest));
    return STEPD_OK;
}

enum stepd_status plan_from_file(const char *path, const char *job, const char *group,
                                 struct plan *ret_plan, struct stepd_error *reterr)
{
    char *const copy = strdup(path);
    char program[] = "stepctl";
    char flag[] = "--config";
    char *const argv[] = {program, flag, copy, NULL};
    char *const environment[] = {NULL};
    const struct config_job *found = NULL;
    struct plan plan = {.groups = 0};
    struct config config;
    if (copy == NULL)
        return no_memory(reterr);
    enum stepd_status status = config_load(3, argv, environment, &config, reterr);
    if (status != STEPD_OK) {
        free(copy);
        return status;
    }
    status = find_job(&config, job, &found, reterr);
    if (status == STEPD_OK)
        status = take_groups(found, group, &plan, reterr);
    config_deinit(&config);
    free(copy);
    if (status == STEPD_OK)
        *ret_plan = plan;
    else
        plan_deinit(&plan);
    return status;
}

void plan_deinit(struct plan *plan)
{
    for (size_t i = 0; i < plan->groups; i++)
        group_deinit(&plan->group[i]);
    free(plan->group);
    *plan = (struct plan){.groups = 0};
}

/* ---- Step by step ---------------------------------------------------------------------------- */

enum stepd_status plan_follow(const struct group *group, size_t steps, const double *losses,
                              size_t count, struct plan_values *ret_values)
{
    struct plan_values values = {.steps = steps,
                                 .lr = calloc(steps, sizeof(double)),
                                 .momentum = calloc(steps, sizeof(double))};
    struct schedule_state state = {.seen = false};
    if (values.lr == NULL || values.momentum == NULL) {
        plan_values_deinit(&values);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    for (size_t step = 0; step < steps && !group->frozen; step++) {
        const struct phase *const phase = group_phase(group, step);
        struct optim_hyper hyper = phase->hyper;
        const double *const momentum = optimizer_momentum(phase->optimizer, &hyper);
        const struct schedule_value base = {.lr = hyper.lr,
                                            .momentum = momentum == NULL ? 0.0 : *momentum};
        const struct schedule_value value = schedule_at(&group->schedule, base, step, &state);
        values.lr[step] = value.lr;
        values.momentum[step] = value.cycled ? value.momentum : base.momentum;
        values.cycled = values.cycled || (value.cycled && momentum != NULL);
        if (step < count)
            schedule_observe(&group->schedule, &state, losses[step]);
    }
    *ret_values = values;
    return STEPD_OK;
}

void plan_values_deinit(struct plan_values *values)
{
    free(values->lr);
    free(values->momentum);
    *values = (struct plan_values){.steps = 0};
}
