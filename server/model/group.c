/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups are resolved once, when a job is defined: names become rows of tables and checked
 * numbers, and no name is compared again while training. Each error is led by the group's name,
 * because a definition has many and the person must find the line.
 *
 * A group is made of what it says and, below that, of what the job's defaults say:
 * group_settings.c lays the settings over each other, group_schedule.c makes the schedule.
 */
#include "server/model/group.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/mode.h"
#include "server/base/glob.h"
#include "server/model/group_internal.h"

static_assert(STEPD_SCHEDULE_PARTS_MAX <= SCHEDULE_PARTS_MAX, "the wire takes parts too many");
static_assert(STEPD_VALUES_MAX <= SCHEDULE_LIST_MAX, "the wire takes values too many");

/* A frozen group needs no optimizer; so that it has one all the same, the plainest. */
static const char frozen_optimizer[] = "sgd";

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the group");
}

/* ---- Parts of a definition ------------------------------------------------------------------- */

static enum stepd_status take_ndim(const struct stepd_u32s *ndim, struct group *group,
                                   struct stepd_error *reterr)
{
    for (size_t i = 0; i < ndim->count; i++) {
        if (ndim->at[i] > STEPD_DIMS_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "ndim is %" PRIu32 "; a tensor has 0 to %u dimensions", ndim->at[i],
                              STEPD_DIMS_MAX);
        for (size_t k = 0; k < i; k++) {
            if (ndim->at[k] == ndim->at[i])
                return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "ndim names %" PRIu32 " twice",
                                  ndim->at[i]);
        }
        group->ndim[group->ndims++] = ndim->at[i];
    }
    return STEPD_OK;
}

/* The optimizer that the group starts with. */
static const char *first_optimizer(const struct stepd_group *defaults,
                                   const struct stepd_group *def)
{
    const char *own = group_text(def->optimizer);
    if (own[0] != '\0')
        return own;
    own = group_text(defaults->optimizer);
    return own[0] == '\0' && def->frozen ? frozen_optimizer : own;
}

static enum stepd_status take_first_phase(const struct stepd_group *defaults,
                                          const struct stepd_group *def, struct group *group,
                                          struct stepd_error *reterr)
{
    const struct group_layers layers = {.count = 2, .at = {&defaults->settings, &def->settings}};
    const char *const optimizer = first_optimizer(defaults, def);
    if (optimizer[0] == '\0')
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "no optimizer, and the job's defaults have none either");
    enum stepd_status status = group_check_settings(&def->settings, GROUP_LAYER_GROUP, reterr);
    if (status == STEPD_OK)
        status = group_init_treatment(&layers, &group->treatment, reterr);
    if (status == STEPD_OK)
        status = group_init_phase(optimizer, &layers, &group->phase[0], reterr);
    if (status == STEPD_OK)
        group->phases = 1;
    return status;
}

/* A phase begins behind the one before it. */
static enum stepd_status take_phase(const struct stepd_group *defaults,
                                    const struct stepd_group *def, const struct stepd_phase *phase,
                                    struct group *group, struct stepd_error *reterr)
{
    const struct group_layers layers = {
        .count = 3, .at = {&defaults->settings, &def->settings, &phase->settings}};
    const uint64_t before = group->phase[group->phases - 1].from;
    if (phase->from <= before)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "it must begin behind %" PRIu64 ", where the one before it begins",
                          before);
    const char *const optimizer = group_text(phase->optimizer);
    if (optimizer[0] == '\0')
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "it names no optimizer");
    enum stepd_status status = group_check_settings(&phase->settings, GROUP_LAYER_PHASE, reterr);
    if (status == STEPD_OK)
        status = group_init_phase(optimizer, &layers, &group->phase[group->phases], reterr);
    if (status == STEPD_OK)
        group->phase[group->phases++].from = phase->from;
    return status;
}

static enum stepd_status take_phases(const struct stepd_group *defaults,
                                     const struct stepd_group *def, uint64_t from,
                                     struct group *group, struct stepd_error *reterr)
{
    group->phase = calloc(1 + def->phases, sizeof *group->phase);
    if (group->phase == NULL)
        return no_memory(reterr);
    enum stepd_status status = take_first_phase(defaults, def, group, reterr);
    if (status == STEPD_OK)
        group->phase[0].from = from;
    for (size_t i = 0; i < def->phases && status == STEPD_OK; i++) {
        status = take_phase(defaults, def, &def->phase[i], group, reterr);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reterr, status, "the phase from %" PRIu64 " on",
                                def->phase[i].from);
    }
    return status;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* Which definitions a group may have. */
struct bounds {
    uint64_t from; /* where the first phase begins */
    size_t phases; /* behind it, at most */
};

static enum stepd_status check_phases(const struct stepd_group *def, size_t most,
                                      struct stepd_error *reterr)
{
    if (def->phases > most)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu phases; the most are %zu",
                          def->phases, most);
    return STEPD_OK;
}

static enum stepd_status init_group(const struct stepd_group *defaults,
                                    const struct stepd_group *def, struct bounds bounds,
                                    struct group *ret_group, struct stepd_error *reterr)
{
    const char *match = group_text(def->match);
    const char *name = group_text(def->name);
    match = match[0] != '\0' ? match : "*";
    name = name[0] != '\0' ? name : match;
    struct group group = {.name = strdup(name), .match = strdup(match), .frozen = def->frozen};
    enum stepd_status status = STEPD_OK;
    if (group.name == NULL || group.match == NULL)
        status = no_memory(reterr);
    if (status == STEPD_OK)
        status = take_ndim(&def->ndim, &group, reterr);
    if (status == STEPD_OK)
        status = check_phases(def, bounds.phases, reterr);
    if (status == STEPD_OK)
        status = take_phases(defaults, def, bounds.from, &group, reterr);
    if (status == STEPD_OK)
        status = group_init_schedule(defaults, def, &group.schedule, reterr);
    if (status == STEPD_OK)
        status = group_check_cycle(&group, reterr);
    if (status != STEPD_OK) {
        group_deinit(&group);
        return stepd_fail_in(reterr, status, "group '%s'", name);
    }
    *ret_group = group;
    return STEPD_OK;
}

enum stepd_status group_init(const struct stepd_group *defaults, const struct stepd_group *def,
                             struct group *ret_group, struct stepd_error *reterr)
{
    const struct bounds bounds = {.phases = STEPD_PHASES_MAX};
    return init_group(defaults, def, bounds, ret_group, reterr);
}

enum stepd_status group_init_changed(const struct stepd_group *def, uint64_t from,
                                     struct group *ret_group, struct stepd_error *reterr)
{
    static const struct stepd_group nothing = {.name = ""};
    const struct bounds bounds = {.from = from, .phases = GROUP_PHASES_MAX};
    return init_group(&nothing, def, bounds, ret_group, reterr);
}

/* What belongs to one group and not to all of them. */
static enum stepd_status check_common(const struct stepd_group *defaults,
                                      struct stepd_error *reterr)
{
    const struct {
        const char *key;
        bool given;
    } own[] = {
        {"name", group_text(defaults->name)[0] != '\0'},
        {"match", group_text(defaults->match)[0] != '\0'},
        {"ndim", defaults->ndim.count > 0},
        {"frozen", defaults->frozen},
        {"phases", defaults->phases > 0},
    };

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (own[i].given)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "%s belongs to a group, not to all of them", own[i].key);
    }
    return group_check_settings(&defaults->settings, GROUP_LAYER_DEFAULTS, reterr);
}

static enum stepd_status check_default_settings(const struct stepd_group *defaults,
                                                struct stepd_error *reterr)
{
    const struct group_layers layers = {.count = 1, .at = {&defaults->settings}};
    const char *const optimizer = group_text(defaults->optimizer);
    struct treatment treatment;
    struct phase phase;
    const enum stepd_status status = group_init_treatment(&layers, &treatment, reterr);
    if (status != STEPD_OK)
        return status;
    return optimizer[0] == '\0' ? group_check_known(&defaults->settings, reterr)
                                : group_init_phase(optimizer, &layers, &phase, reterr);
}

enum stepd_status group_check_defaults(const struct stepd_group *defaults,
                                       struct stepd_error *reterr)
{
    const struct stepd_group nothing = {.name = ""};
    struct schedule schedule;
    enum stepd_status status = check_common(defaults, reterr);
    if (status == STEPD_OK)
        status = check_default_settings(defaults, reterr);
    if (status == STEPD_OK)
        status = group_init_schedule(defaults, &nothing, &schedule, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "defaults");
    schedule_deinit(&schedule);
    return STEPD_OK;
}

enum stepd_status group_check_mode(const struct group *group, enum stepd_mode mode,
                                   struct stepd_error *reterr)
{
    if (mode == STEPD_SYNC || group->frozen)
        return STEPD_OK;
    if (group->treatment.clip_norm > 0.0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "group '%s': clip_norm needs the gradient of a whole round, so the job's "
                          "mode must be sync, and it is %s",
                          group->name, stepd_mode_name(mode));
    for (size_t i = 0; i < group->phases; i++) {
        const struct optimizer *const optimizer = group->phase[i].optimizer;
        if (optimizer->sync_only)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "group '%s': %s needs the mean gradient of all workers, so the job's "
                              "mode must be sync, and it is %s",
                              group->name, optimizer->name, stepd_mode_name(mode));
    }
    return STEPD_OK;
}

enum stepd_status group_copy(const struct group *group, struct group *ret_copy)
{
    struct group copy = *group;
    copy.name = strdup(group->name);
    copy.match = strdup(group->match);
    copy.phase = calloc(group->phases, sizeof *copy.phase);
    copy.schedule = (struct schedule){.kind = NULL};
    enum stepd_status status = schedule_copy(&group->schedule, &copy.schedule);
    if (copy.name == NULL || copy.match == NULL || copy.phase == NULL)
        status = STEPD_RESOURCE_EXHAUSTED;
    if (status != STEPD_OK) {
        group_deinit(&copy);
        return status;
    }
    memcpy(copy.phase, group->phase, group->phases * sizeof *copy.phase);
    *ret_copy = copy;
    return STEPD_OK;
}

void group_deinit(struct group *group)
{
    schedule_deinit(&group->schedule);
    free(group->phase);
    free(group->name);
    free(group->match);
    *group = (struct group){.name = NULL};
}

bool group_matches(const struct group *group, const char *tensor_name, size_t dims, uint64_t *steps)
{
    bool any = group->ndims == 0;
    for (size_t i = 0; i < group->ndims; i++)
        any = any || group->ndim[i] == dims;
    return any && glob_matches(group->match, tensor_name, steps);
}

const struct phase *group_phase(const struct group *group, uint64_t step)
{
    size_t i = group->phases - 1;
    while (i > 0 && group->phase[i].from > step)
        i--;
    return &group->phase[i];
}

enum optim_scope group_scope(const struct group *group)
{
    enum optim_scope widest = OPTIM_SCOPE_ELEMENT;
    for (size_t i = 0; i < group->phases && !group->frozen; i++) {
        const enum optim_scope scope = group->phase[i].optimizer->scope;
        widest = scope > widest ? scope : widest;
    }
    return widest;
}

bool phase_looks_ahead(const struct phase *phase)
{
    const struct optimizer *const optimizer = phase->optimizer;
    return optimizer->looks_ahead != NULL && optimizer->looks_ahead(&phase->hyper);
}

bool group_looks_ahead(const struct group *group)
{
    bool any = false;
    for (size_t i = 0; i < group->phases && !group->frozen; i++)
        any = any || phase_looks_ahead(&group->phase[i]);
    return any;
}
