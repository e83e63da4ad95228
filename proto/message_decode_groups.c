/* SPDX-License-Identifier: Apache-2.0
 *
 * What DefineJob says of groups: their settings, schedules and phases. What the names and numbers
 * mean is not known here, but their form is: each list has its most, a setting is numbers or a
 * word, and phases follow each other. message_take.h has the rules for taking.
 */
#include "proto/message_take.h"

static struct stepd_setting decode_setting(struct stepd_decoder *d, const struct stepd_place *at,
                                           const Stepd__V1__Setting *wire)
{
    stepd_take_at_most(d, at, "values", wire->n_values, STEPD_VALUES_MAX);
    if (wire->n_values > 0 && wire->word.len > 0)
        stepd_take_refuse(d, at, "word", "a setting is numbers or a word, not both");
    if (wire->n_values == 0 && wire->word.len == 0)
        stepd_take_refuse(d, at, "values", "a setting has a number or a word");
    for (size_t i = 0; i < wire->n_values && d->status == STEPD_OK; i++) {
        const struct stepd_place value = {.above = at, .field = "values", .index = i};
        (void)stepd_take_finite(d, &value, NULL, wire->values[i]);
    }
    return (struct stepd_setting){
        .name = stepd_take_some_name(d, at, "name", &wire->name),
        .values = wire->n_values,
        .value = wire->values,
        .word = stepd_take_name(d, at, "word", &wire->word),
        .list = wire->list != 0,
    };
}

struct stepd_settings stepd_take_settings(struct stepd_decoder *d, const struct stepd_place *above,
                                          const char *field, size_t count,
                                          Stepd__V1__Setting *const *wire)
{
    stepd_take_at_most(d, above, field, count, STEPD_SETTINGS_MAX);
    struct stepd_setting *settings = stepd_take_array(d, count, sizeof *settings);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = field, .index = i};
        settings[i] = decode_setting(d, &at, wire[i]);
    }
    return (struct stepd_settings){.count = count, .at = settings};
}

static const struct stepd_schedule_part *decode_schedule_parts(struct stepd_decoder *d,
                                                               const struct stepd_place *above,
                                                               size_t count,
                                                               Stepd__V1__Schedule *const *wire)
{
    stepd_take_at_most(d, above, "schedule_parts", count, STEPD_SCHEDULE_PARTS_MAX);
    struct stepd_schedule_part *parts = stepd_take_array(d, count, sizeof *parts);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "schedule_parts", .index = i};
        parts[i] = (struct stepd_schedule_part){
            .kind = stepd_take_some_name(d, &at, "kind", &wire[i]->kind),
            .settings =
                stepd_take_settings(d, &at, "settings", wire[i]->n_settings, wire[i]->settings),
        };
    }
    return parts;
}

/* Numbers of dimensions, each once. */
static struct stepd_u32s decode_ndim(struct stepd_decoder *d, const struct stepd_place *above,
                                     size_t count, const uint32_t *ndim)
{
    uint32_t seen = 0; /* bit i: i has been named */
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "ndim", .index = i};
        stepd_take_at_most(d, &at, NULL, ndim[i], STEPD_DIMS_MAX);
        if (d->status == STEPD_OK && (seen >> ndim[i] & 1u) != 0)
            stepd_take_refuse(d, &at, NULL, "%u is given twice", ndim[i]);
        if (d->status == STEPD_OK)
            seen |= 1u << ndim[i];
    }
    return (struct stepd_u32s){.count = count, .at = ndim};
}

/* Each phase begins behind the one before it; the group's own optimizer begins at 0. */
static const struct stepd_phase *decode_phases(struct stepd_decoder *d,
                                               const struct stepd_place *above, size_t count,
                                               Stepd__V1__Phase *const *wire)
{
    stepd_take_at_most(d, above, "phases", count, STEPD_PHASES_MAX);
    struct stepd_phase *phases = stepd_take_array(d, count, sizeof *phases);
    uint64_t before = 0;
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "phases", .index = i};
        if (wire[i]->from <= before)
            stepd_take_refuse(d, &at, "from",
                              "%llu is not above %llu, where the phase before begins",
                              (unsigned long long)wire[i]->from, (unsigned long long)before);
        before = wire[i]->from;
        phases[i] = (struct stepd_phase){
            .from = wire[i]->from,
            .optimizer = stepd_take_some_name(d, &at, "optimizer", &wire[i]->optimizer),
            .settings =
                stepd_take_settings(d, &at, "settings", wire[i]->n_settings, wire[i]->settings),
        };
    }
    return phases;
}

static struct stepd_group decode_group(struct stepd_decoder *d, const struct stepd_place *at,
                                       const Stepd__V1__Group *wire)
{
    return (struct stepd_group){
        .name = stepd_take_name(d, at, "name", &wire->name),
        .match = stepd_take_name(d, at, "match", &wire->match),
        .optimizer = stepd_take_name(d, at, "optimizer", &wire->optimizer),
        .settings = stepd_take_settings(d, at, "settings", wire->n_settings, wire->settings),
        .schedule = stepd_take_name(d, at, "schedule", &wire->schedule),
        .schedule_settings = stepd_take_settings(
            d, at, "schedule_settings", wire->n_schedule_settings, wire->schedule_settings),
        .schedule_parts = wire->n_schedule_parts,
        .schedule_part = decode_schedule_parts(d, at, wire->n_schedule_parts, wire->schedule_parts),
        .ndim = decode_ndim(d, at, wire->n_ndim, wire->ndim),
        .frozen = wire->frozen != 0,
        .phases = wire->n_phases,
        .phase = decode_phases(d, at, wire->n_phases, wire->phases),
    };
}

const struct stepd_group *stepd_take_groups(struct stepd_decoder *d,
                                            const struct stepd_place *above, size_t count,
                                            Stepd__V1__Group *const *wire)
{
    stepd_take_at_most(d, above, "groups", count, STEPD_GROUPS_MAX);
    struct stepd_group *groups = stepd_take_array(d, count, sizeof *groups);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "groups", .index = i};
        groups[i] = decode_group(d, &at, wire[i]);
    }
    return groups;
}

/* What only one group can say. */
static void refuse_own(struct stepd_decoder *d, const struct stepd_place *at,
                       const Stepd__V1__Group *wire)
{
    const struct {
        const char *field;
        bool given;
    } own[] = {
        {"name", wire->name.len > 0},  {"match", wire->match.len > 0}, {"ndim", wire->n_ndim > 0},
        {"frozen", wire->frozen != 0}, {"phases", wire->n_phases > 0},
    };

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (own[i].given)
            stepd_take_refuse(d, at, own[i].field, "it belongs to a group, not to all of them");
    }
}

struct stepd_group stepd_take_defaults(struct stepd_decoder *d, const struct stepd_place *above,
                                       const Stepd__V1__Group *wire)
{
    if (wire == NULL)
        return (struct stepd_group){.name = "", .match = "", .optimizer = "", .schedule = ""};
    const struct stepd_place at = {
        .above = above, .field = "defaults", .index = STEPD_PLACE_NO_INDEX};
    refuse_own(d, &at, wire);
    return decode_group(d, &at, wire);
}

struct stepd_group stepd_take_edit(struct stepd_decoder *d, const struct stepd_place *above,
                                   const Stepd__V1__Group *wire)
{
    if (wire == NULL)
        return (struct stepd_group){.name = "", .match = "", .optimizer = "", .schedule = ""};
    const struct stepd_place at = {.above = above, .field = "group", .index = STEPD_PLACE_NO_INDEX};

    const struct {
        const char *field;
        bool given;
    } fixed[] = {
        {"match", wire->match.len > 0},
        {"ndim", wire->n_ndim > 0},
        {"frozen", wire->frozen != 0},
    };

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (fixed[i].given)
            stepd_take_refuse(d, &at, fixed[i].field, "it is for good, and cannot be changed");
    }
    return decode_group(d, &at, wire);
}
