/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups are resolved once, when a job is defined: names become rows of tables and checked
 * numbers, and no name is compared again while training. Each error is led by the group's name,
 * because a definition has many and the person must find the line.
 */
#include "server/model/group.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

/* More than any optimizer or schedule has. */
#define SETTINGS_MAX 64u

/* A setting of one number; lists are for optimizers and schedules that take them. */
static enum stepd_status one_value(const struct stepd_setting *setting, double *ret_value,
                                   struct stepd_error *reterr)
{
    if (setting->values != 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes one number, not %zu",
                          setting->name, setting->values);
    *ret_value = setting->value[0];
    return STEPD_OK;
}

/* Each setting stands once. */
static enum stepd_status check_settings(const struct stepd_settings *settings,
                                        struct stepd_error *reterr)
{
    if (settings->count > SETTINGS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu settings; the most are %u",
                          settings->count, SETTINGS_MAX);
    for (size_t i = 0; i < settings->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(settings->at[i].name, settings->at[k].name) == 0)
                return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is set twice",
                                  settings->at[i].name);
        }
    }
    return STEPD_OK;
}

/* betas = (beta1, beta2), as PyTorch has them. */
static enum stepd_status set_betas(const struct stepd_setting *setting, struct group *group,
                                   struct stepd_error *reterr)
{
    if (setting->values != 2)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "betas takes two numbers, not %zu",
                          setting->values);
    const enum stepd_status status =
        optimizer_hyper_set(group->optimizer, "beta1", setting->value[0], &group->hyper, reterr);
    return status != STEPD_OK ? status
                              : optimizer_hyper_set(group->optimizer, "beta2", setting->value[1],
                                                    &group->hyper, reterr);
}

static enum stepd_status set_hyper(const struct stepd_setting *setting, struct group *group,
                                   struct stepd_error *reterr)
{
    if (strcmp(setting->name, "betas") == 0)
        return set_betas(setting, group, reterr);
    double value = 0;
    const enum stepd_status status = one_value(setting, &value, reterr);
    return status != STEPD_OK
               ? status
               : optimizer_hyper_set(group->optimizer, setting->name, value, &group->hyper, reterr);
}

static enum stepd_status set_optimizer(const struct stepd_group *def, struct group *group,
                                       struct stepd_error *reterr)
{
    enum stepd_status status = optimizer_find(def->optimizer, &group->optimizer, reterr);
    if (status == STEPD_OK)
        status = check_settings(&def->settings, reterr);
    if (status != STEPD_OK)
        return status;
    optimizer_hyper_defaults(group->optimizer, &group->hyper);
    for (size_t i = 0; i < def->settings.count && status == STEPD_OK; i++)
        status = set_hyper(&def->settings.at[i], group, reterr);
    return status;
}

static enum stepd_status set_param(const struct stepd_setting *setting, struct group *group,
                                   struct stepd_error *reterr)
{
    double value = 0;
    const enum stepd_status status = one_value(setting, &value, reterr);
    return status != STEPD_OK ? status
                              : schedule_set(&group->schedule, setting->name, value, reterr);
}

static enum stepd_status set_schedule(const struct stepd_group *def, struct group *group,
                                      struct stepd_error *reterr)
{
    enum stepd_status status = schedule_init(def->schedule, &group->schedule, reterr);
    if (status == STEPD_OK)
        status = check_settings(&def->schedule_settings, reterr);
    for (size_t i = 0; i < def->schedule_settings.count && status == STEPD_OK; i++)
        status = set_param(&def->schedule_settings.at[i], group, reterr);
    return status != STEPD_OK ? status : schedule_check(&group->schedule, reterr);
}

enum stepd_status group_init(const struct stepd_group *def, struct group *ret_group,
                             struct stepd_error *reterr)
{
    const char *match = def->match[0] != '\0' ? def->match : "*";
    const char *name = def->name[0] != '\0' ? def->name : match;
    struct group group = {.name = strdup(name), .match = strdup(match)};
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    if (group.name == NULL || group.match == NULL) {
        (void)stepd_fail(reterr, status, "no memory for the group");
        goto fail_deinit;
    }
    status = set_optimizer(def, &group, reterr);
    if (status != STEPD_OK)
        goto fail_deinit;
    status = set_schedule(def, &group, reterr);
    if (status != STEPD_OK)
        goto fail_deinit;
    *ret_group = group;
    return STEPD_OK;

fail_deinit:
    group_deinit(&group);
    return stepd_fail_in(reterr, status, "group '%s'", name);
}

void group_deinit(struct group *group)
{
    free(group->name);
    free(group->match);
    *group = (struct group){.name = NULL};
}

bool group_matches(const struct group *group, const char *tensor_name)
{
    return fnmatch(group->match, tensor_name, 0) == 0;
}
