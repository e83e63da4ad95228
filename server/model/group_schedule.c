/* SPDX-License-Identifier: Apache-2.0
 *
 * A group's schedule: its own, or where it names none that of the job's defaults, with the group's
 * settings over the default's. What a schedule is made of comes before it is checked as a whole.
 */
#include "proto/error.h"
#include "server/model/group_internal.h"

static enum stepd_status take_settings(const struct stepd_settings *settings,
                                       struct schedule *schedule, struct stepd_error *reterr)
{
    enum stepd_status status = group_check_once(settings, reterr);
    for (size_t i = 0; i < settings->count && status == STEPD_OK; i++) {
        const struct stepd_setting *const setting = &settings->at[i];
        const char *const word = group_text(setting->word);
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
    if (status == STEPD_OK)
        status = schedule_check(&part, reterr);
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
            return stepd_fail_in(reterr, status, "schedule %zu of %zu", i + 1, def->schedule_parts);
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
