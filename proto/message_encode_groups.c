/* SPDX-License-Identifier: Apache-2.0
 *
 * What DefineJob says of groups, for packing: the mirror of message_decode_groups.c.
 */
#include "proto/message_make.h"

static Stepd__V1__Setting *encode_setting(struct stepd_arena *arena,
                                          const struct stepd_setting *setting)
{
    Stepd__V1__Setting *wire = make(arena, &stepd__v1__setting__descriptor);
    if (wire == NULL)
        return NULL;
    wire->name = borrow_text(setting->name);
    wire->n_values = setting->values;
    wire->values = borrow_double(setting->value);
    wire->word = borrow_text(setting->word);
    wire->list = setting->list;
    return wire;
}

Stepd__V1__Setting **stepd_make_settings(struct stepd_arena *arena,
                                         const struct stepd_settings *settings)
{
    Stepd__V1__Setting **wire = stepd_arena_calloc(arena, settings->count, sizeof *wire);
    for (size_t i = 0; i < settings->count && wire != NULL; i++) {
        wire[i] = encode_setting(arena, &settings->at[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}

static Stepd__V1__Schedule *encode_schedule_part(struct stepd_arena *arena,
                                                 const struct stepd_schedule_part *part)
{
    Stepd__V1__Schedule *wire = make(arena, &stepd__v1__schedule__descriptor);
    Stepd__V1__Setting **settings = stepd_make_settings(arena, &part->settings);
    if (wire == NULL || settings == NULL)
        return NULL;
    wire->kind = borrow_text(part->kind);
    wire->n_settings = part->settings.count;
    wire->settings = settings;
    return wire;
}

static Stepd__V1__Schedule **encode_schedule_parts(struct stepd_arena *arena,
                                                   const struct stepd_group *group)
{
    Stepd__V1__Schedule **wire = stepd_arena_calloc(arena, group->schedule_parts, sizeof *wire);
    for (size_t i = 0; i < group->schedule_parts && wire != NULL; i++) {
        wire[i] = encode_schedule_part(arena, &group->schedule_part[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}

static Stepd__V1__Phase *encode_phase(struct stepd_arena *arena, const struct stepd_phase *phase)
{
    Stepd__V1__Phase *wire = make(arena, &stepd__v1__phase__descriptor);
    Stepd__V1__Setting **settings = stepd_make_settings(arena, &phase->settings);
    if (wire == NULL || settings == NULL)
        return NULL;
    wire->from = phase->from;
    wire->optimizer = borrow_text(phase->optimizer);
    wire->n_settings = phase->settings.count;
    wire->settings = settings;
    return wire;
}

static Stepd__V1__Phase **encode_phases(struct stepd_arena *arena, const struct stepd_group *group)
{
    Stepd__V1__Phase **wire = stepd_arena_calloc(arena, group->phases, sizeof *wire);
    for (size_t i = 0; i < group->phases && wire != NULL; i++) {
        wire[i] = encode_phase(arena, &group->phase[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}

/* Name, optimizer and all that is no list of sub-messages. */
static void fill_group(const struct stepd_group *group, Stepd__V1__Group *wire)
{
    wire->name = borrow_text(group->name);
    wire->match = borrow_text(group->match);
    wire->optimizer = borrow_text(group->optimizer);
    wire->schedule = borrow_text(group->schedule);
    wire->n_ndim = group->ndim.count;
    wire->ndim = borrow_u32(group->ndim.at);
    wire->frozen = group->frozen;
}

Stepd__V1__Group *stepd_make_group(struct stepd_arena *arena, const struct stepd_group *group)
{
    Stepd__V1__Group *wire = make(arena, &stepd__v1__group__descriptor);
    Stepd__V1__Setting **settings = stepd_make_settings(arena, &group->settings);
    Stepd__V1__Setting **schedule_settings = stepd_make_settings(arena, &group->schedule_settings);
    Stepd__V1__Schedule **schedule_parts = encode_schedule_parts(arena, group);
    Stepd__V1__Phase **phases = encode_phases(arena, group);
    if (wire == NULL || settings == NULL || schedule_settings == NULL || schedule_parts == NULL ||
        phases == NULL)
        return NULL;
    fill_group(group, wire);
    wire->n_settings = group->settings.count;
    wire->settings = settings;
    wire->n_schedule_settings = group->schedule_settings.count;
    wire->schedule_settings = schedule_settings;
    wire->n_schedule_parts = group->schedule_parts;
    wire->schedule_parts = schedule_parts;
    wire->n_phases = group->phases;
    wire->phases = phases;
    return wire;
}

Stepd__V1__Group **stepd_make_groups(struct stepd_arena *arena, size_t count,
                                     const struct stepd_group *groups)
{
    Stepd__V1__Group **wire = stepd_arena_calloc(arena, count, sizeof *wire);
    for (size_t i = 0; i < count && wire != NULL; i++) {
        wire[i] = stepd_make_group(arena, &groups[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}
