/* SPDX-License-Identifier: Apache-2.0
 *
 * A group's schedule: its own, or where it names none that of the job's defaults, with the group's
 * settings over the default's. What a schedule is made of comes before it is checked as a whole.
 *
 * A schedule that cycles the momentum needs one that it can cycle. PyTorch's classes refuse an
 * optimizer that has no such setting, and give one to SGD and RMSprop, which have a buffer as soon
 * as their momentum is not 0; here sgd is an optimizer of its own, and memory is planned before the
 * first step, so both are refused.
 */
#include <string.h>

#include "proto/error.h"
#include "server/model/group_internal.h"

static enum stepd_status take_settings(const struct stepd_settings *settings,
                                       struct schedule *schedule, struct stepd_error *reterr)
{
    enum stepd_status status = group_check_once(settings, reterr);
    for (size_t i = 0; i < settings->count && status == STEPD_OK; i++) {
        const struct stepd_setting *const setting = &settings->at[i];
        const char *const word = group_text(setting->word);
        if (setting->list && setting->values == 1 && !schedule_takes_list(schedule, setting->name))
            return group_refuse_list(setting, reterr);
        status = word[0] != '\0' ? schedule_set_word(schedule, setting->name, word, reterr)
                                 : schedule_set(schedule, setting->name, setting->values,
                                                setting->value, reterr);
    }
    return status;
}

static enum stepd_status add_part(const struct stepd_schedule_part *def, struct schedule *schedule,
                                  struct stepd_error *reterr)
{
    struct schedule part;
    enum stepd_status status = schedule_init(group_text(def->kind), &part, reterr);
    if (status != STEPD_OK)
        return status;
    status = take_settings(&def->settings, &part, reterr);
    if (status != STEPD_OK) {
        schedule_deinit(&part);
        return status;
    }
    return schedule_add(schedule, &part, reterr);
}

static enum stepd_status take_parts(const struct stepd_group *def, struct schedule *schedule,
                                    struct stepd_error *reterr)
{
    for (size_t i = 0; i < def->schedule_parts; i++) {
        const enum stepd_status status = add_part(&def->schedule_part[i], schedule, reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "part %zu of schedule %s", i + 1,
                                 schedule->kind->name);
    }
    return STEPD_OK;
}

enum stepd_status group_init_schedule(const struct stepd_group *defaults,
                                      const struct stepd_group *def, struct schedule *ret_schedule,
                                      struct stepd_error *reterr)
{
    const bool own = group_text(def->schedule)[0] != '\0';
    const struct stepd_group *const from = own ? def : defaults;
    if (!own && def->schedule_parts > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "parts of a schedule, but no schedule that they are parts of");
    struct schedule schedule;
    enum stepd_status status = schedule_init(group_text(from->schedule), &schedule, reterr);
    if (status != STEPD_OK)
        return status;
    status = take_settings(&from->schedule_settings, &schedule, reterr);
    if (status == STEPD_OK)
        status = take_parts(from, &schedule, reterr);
    if (status == STEPD_OK && !own)
        status = take_settings(&def->schedule_settings, &schedule, reterr);
    if (status == STEPD_OK)
        status = schedule_check(&schedule, reterr);
    if (status != STEPD_OK) {
        schedule_deinit(&schedule);
        return status;
    }
    *ret_schedule = schedule;
    return STEPD_OK;
}

enum stepd_status group_lay_schedule(const struct stepd_settings *settings,
                                     struct schedule *schedule, struct stepd_error *reterr)
{
    const enum stepd_status status = take_settings(settings, schedule, reterr);
    return status == STEPD_OK ? schedule_check(schedule, reterr) : status;
}

/* ---- Cycled momentum ------------------------------------------------------------------------- */

/* rmsprop has a buffer for its momentum only where that is not 0. */
static bool keeps_buffer(const struct phase *phase)
{
    const struct optimizer *const optimizer = phase->optimizer;
    const struct optim_shape one = {.elements = 1};
    for (size_t k = 0; k < optimizer_slots(optimizer); k++) {
        if (strcmp(optimizer->slot[k].name, "momentum_buffer") == 0)
            return optimizer_slot_floats(optimizer, k, &phase->hyper, 1, &one) > 0;
    }
    return false;
}

static enum stepd_status check_cycle(const struct group *group, const struct phase *phase,
                                     struct stepd_error *reterr)
{
    const struct optimizer *const optimizer = phase->optimizer;
    const char *const kind = group->schedule.kind->name;
    if (optimizer_knows(optimizer, "beta1"))
        return STEPD_OK;
    if (!optimizer_knows(optimizer, "momentum"))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "schedule %s cycles the momentum, and %s has none; set its "
                          "cycle_momentum to 0, or take an optimizer with momentum",
                          kind, optimizer->name);
    if (!keeps_buffer(phase))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "schedule %s cycles the momentum, and %s keeps none while its own is 0; "
                          "set momentum to what it is when nothing cycles it, or cycle_momentum "
                          "to 0",
                          kind, optimizer->name);
    return STEPD_OK;
}

enum stepd_status group_check_cycle(const struct group *group, struct stepd_error *reterr)
{
    const bool cycles = !group->frozen && schedule_cycles_momentum(&group->schedule);
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; cycles && i < group->phases && status == STEPD_OK; i++)
        status = check_cycle(group, &group->phase[i], reterr);
    return status;
}
