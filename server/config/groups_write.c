/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups as YAML that loads to the same values, numbers to the bit. Names and words stand in
 * quotes, so that none is taken for a number or for null.
 */
#include <inttypes.h>

#include "server/config/groups.h"
#include "server/config/value.h"

static void write_setting(const struct stepd_setting *setting, FILE *stream)
{
    const bool list = setting->list || setting->values != 1;
    (void)fprintf(stream, "%s: ", setting->name);
    if (setting->word[0] != '\0') {
        value_write_text(setting->word, stream);
        return;
    }
    (void)fputs(list ? "[" : "", stream);
    for (size_t i = 0; i < setting->values; i++) {
        (void)fputs(i > 0 ? ", " : "", stream);
        value_write_number(setting->value[i], stream);
    }
    (void)fputs(list ? "]" : "", stream);
}

void groups_write_settings(const struct stepd_settings *settings, const char *before, FILE *stream)
{
    for (size_t i = 0; i < settings->count; i++) {
        (void)fputs(before, stream);
        write_setting(&settings->at[i], stream);
    }
}

/* "<before>schedule: {...}", which need not have a kind */
static void write_schedule(const struct stepd_group *group, const char *before, FILE *stream)
{
    const struct stepd_settings *const settings = &group->schedule_settings;
    const char *between = "";
    if (group->schedule[0] == '\0' && settings->count == 0)
        return;
    (void)fprintf(stream, "%sschedule: {", before);
    if (group->schedule[0] != '\0') {
        (void)fputs("kind: ", stream);
        value_write_text(group->schedule, stream);
        between = ", ";
    }
    for (size_t i = 0; i < settings->count; i++, between = ", ") {
        (void)fputs(between, stream);
        write_setting(&settings->at[i], stream);
    }
    for (size_t i = 0; i < group->schedule_parts; i++) {
        (void)fputs(i == 0 ? ", schedules: [{kind: " : "}, {kind: ", stream);
        value_write_text(group->schedule_part[i].kind, stream);
        groups_write_settings(&group->schedule_part[i].settings, ", ", stream);
    }
    (void)fputs(group->schedule_parts > 0 ? "}]}" : "}", stream);
}

static void write_ndim(const struct stepd_u32s *ndim, const char *before, FILE *stream)
{
    for (size_t i = 0; i < ndim->count; i++)
        (void)fprintf(stream, "%s%" PRIu32, i == 0 ? before : ", ", ndim->at[i]);
    (void)fputs(ndim->count > 0 ? "]" : "", stream);
}

static void write_phases(const struct stepd_group *group, FILE *stream)
{
    (void)fputs(group->phases > 0 ? "\n        phases:" : "", stream);
    for (size_t i = 0; i < group->phases; i++) {
        const struct stepd_phase *const phase = &group->phase[i];
        (void)fprintf(stream, "\n          - {from: %" PRIu64 ", optimizer: ", phase->from);
        value_write_text(phase->optimizer, stream);
        groups_write_settings(&phase->settings, ", ", stream);
        (void)fputc('}', stream);
    }
}

/* "<before>optimizer: ..." */
static void write_optimizer(const struct stepd_group *group, const char *before, FILE *stream)
{
    if (group->optimizer[0] == '\0')
        return;
    (void)fprintf(stream, "%soptimizer: ", before);
    value_write_text(group->optimizer, stream);
}

/* line 0: where the group stands is not to be said. */
static void write_group(const struct stepd_group *group, size_t line, FILE *stream)
{
    static const char before[] = "\n        ";
    (void)fputs("      - name: ", stream);
    value_write_text(group->name, stream);
    if (line > 0)
        (void)fprintf(stream, "  # file, line %zu", line);
    (void)fprintf(stream, "%smatch: ", before);
    value_write_text(group->match, stream);
    write_ndim(&group->ndim, "\n        ndim: [", stream);
    write_optimizer(group, before, stream);
    if (group->frozen)
        (void)fprintf(stream, "%sfrozen: true", before);
    groups_write_settings(&group->settings, before, stream);
    write_schedule(group, before, stream);
    write_phases(group, stream);
    (void)fputc('\n', stream);
}

void groups_write_defaults(const struct stepd_group *defaults, FILE *stream)
{
    static const char before[] = "\n      ";
    const bool empty = defaults->optimizer[0] == '\0' && defaults->schedule[0] == '\0' &&
                       defaults->settings.count == 0;
    if (empty)
        return;
    (void)fputs("    defaults:", stream);
    write_optimizer(defaults, before, stream);
    groups_write_settings(&defaults->settings, before, stream);
    write_schedule(defaults, before, stream);
    (void)fputc('\n', stream);
}

void groups_write(const struct config_job *job, bool lines, FILE *stream)
{
    (void)fputs("    groups:\n", stream);
    for (size_t i = 0; i < job->definition.groups; i++)
        write_group(&job->definition.group[i], lines ? job->group_line[i] : 0, stream);
}
