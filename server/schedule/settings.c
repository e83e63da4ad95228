/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters by name: found in the row of their kind, held to their type and range, set. What a
 * file or a peer may get wrong is answered with the parameter's name, what it takes, and what it
 * was given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/error.h"
#include "server/base/nearest.h"
#include "server/schedule/schedule_internal.h"

/* Upper and lower case are the same, because PyTorch writes T_max. */
static enum stepd_status find(const struct schedule_kind *kind, const char *name,
                              const struct schedule_param_spec **ret_spec,
                              struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < kind->params; i++) {
        if (strcasecmp(name, kind->param[i].name) == 0) {
            *ret_spec = &kind->param[i];
            return STEPD_OK;
        }
        nearest_offer(&nearest, kind->param[i].name);
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "schedule %s has no parameter '%s': %s",
                      kind->name, name, nearest_hint(&nearest));
}

/* A list's numbers are whole where they are steps. */
bool schedule_param_is_whole(const struct schedule_param_spec *spec)
{
    return spec->type == SCHEDULE_WHOLE ||
           (spec->type == SCHEDULE_LIST && spec->most == STEPS_MOST);
}

static enum stepd_status check_range(const struct schedule_kind *kind,
                                     const struct schedule_param_spec *spec, double value,
                                     struct stepd_error *reterr)
{
    /* NaN is in no range: each comparison with it is false. */
    const bool whole = schedule_param_is_whole(spec);
    const bool in_range = value >= spec->least && value <= spec->most;
    if (in_range && !(whole && value != floor(value)))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "parameter '%s' of schedule %s must be %s in [%g, %g], and %g is not",
                      spec->name, kind->name, whole ? "a whole number" : "a number", spec->least,
                      spec->most, value);
}

static enum stepd_status set_list(struct schedule_list *list, size_t values, const double *value,
                                  struct stepd_error *reterr)
{
    double *const at = calloc(values, sizeof *at);
    if (at == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a schedule");
    for (size_t i = 0; i < values; i++)
        at[i] = value[i];
    free(list->at);
    *list = (struct schedule_list){.count = values, .at = at};
    return STEPD_OK;
}

/* "one of min, max" of a parameter that is a word. */
static enum stepd_status fail_word(const struct schedule_kind *kind,
                                   const struct schedule_param_spec *spec, const char *given,
                                   struct stepd_error *reterr)
{
    char known[128] = "";
    size_t bytes = 0;
    for (size_t i = 0; (double)i <= spec->most && bytes < sizeof known; i++)
        bytes += (size_t)snprintf(known + bytes, sizeof known - bytes, "%s%s", i > 0 ? ", " : "",
                                  spec->word[i]);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "parameter '%s' of schedule %s must be one of %s, and %s is not", spec->name,
                      kind->name, known, given);
}

static enum stepd_status check_values(const struct schedule_kind *kind,
                                      const struct schedule_param_spec *spec, size_t values,
                                      const double *value, struct stepd_error *reterr)
{
    const bool is_list = spec->type == SCHEDULE_LIST;
    if (is_list && (values == 0 || values > SCHEDULE_LIST_MAX))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "parameter '%s' of schedule %s takes 1 to %u numbers, not %zu",
                          spec->name, kind->name, SCHEDULE_LIST_MAX, values);
    if (!is_list && values != 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "parameter '%s' of schedule %s takes one number, not %zu", spec->name,
                          kind->name, values);
    for (size_t i = 0; i < values; i++) {
        const enum stepd_status status = check_range(kind, spec, value[i], reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

static void *field(const struct schedule_param_spec *spec, struct schedule *schedule)
{
    return (char *)schedule->params + spec->offset;
}

bool schedule_takes_list(const struct schedule *schedule, const char *name)
{
    const struct schedule_param_spec *spec = NULL;
    return find(schedule->kind, name, &spec, NULL) != STEPD_OK || spec->type == SCHEDULE_LIST;
}

enum stepd_status schedule_set(struct schedule *schedule, const char *name, size_t values,
                               const double *value, struct stepd_error *reterr)
{
    const struct schedule_kind *const kind = schedule->kind;
    const struct schedule_param_spec *spec = NULL;
    enum stepd_status status = find(kind, name, &spec, reterr);
    if (status != STEPD_OK)
        return status;
    if (spec->type == SCHEDULE_WORD)
        return fail_word(kind, spec, "a number", reterr);
    status = check_values(kind, spec, values, value, reterr);
    if (status != STEPD_OK)
        return status;
    if (spec->type == SCHEDULE_LIST)
        return set_list(field(spec, schedule), values, value, reterr);
    *(double *)field(spec, schedule) = value[0];
    return STEPD_OK;
}

/* true and false are 1 and 0 where nothing else is in range. */
static bool is_boolean(const struct schedule_param_spec *spec)
{
    return spec->type == SCHEDULE_WHOLE && spec->least == 0.0 && spec->most == 1.0;
}

enum stepd_status schedule_set_word(struct schedule *schedule, const char *name, const char *word,
                                    struct stepd_error *reterr)
{
    static const char *const booleans[] = {"false", "true"};
    const struct schedule_kind *const kind = schedule->kind;
    const struct schedule_param_spec *spec = NULL;
    const enum stepd_status status = find(kind, name, &spec, reterr);
    if (status != STEPD_OK)
        return status;
    if (spec->type != SCHEDULE_WORD && !is_boolean(spec))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "parameter '%s' of schedule %s takes numbers, and '%s' is none",
                          spec->name, kind->name, word);
    const char *const *const words = spec->type == SCHEDULE_WORD ? spec->word : booleans;
    for (size_t i = 0; (double)i <= spec->most; i++) {
        if (strcmp(word, words[i]) == 0) {
            *(double *)field(spec, schedule) = (double)i;
            return STEPD_OK;
        }
    }
    char quoted[80];
    (void)snprintf(quoted, sizeof quoted, "'%.70s'", word);
    return spec->type == SCHEDULE_WORD
               ? fail_word(kind, spec, quoted, reterr)
               : stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "parameter '%s' of schedule %s must be true or false, and %s is not",
                            spec->name, kind->name, quoted);
}

const double *schedule_get(const struct schedule *schedule, const struct schedule_param_spec *spec,
                           size_t *ret_values)
{
    const char *const at = (const char *)schedule->params + spec->offset;
    if (spec->type == SCHEDULE_LIST) {
        const struct schedule_list *const list = (const void *)at;
        *ret_values = list->count;
        return list->count > 0 ? list->at : NULL;
    }
    const double *const value = (const void *)at;
    *ret_values = 1;
    return isnan(*value) ? NULL : value;
}

static bool missing(const struct schedule_param_spec *spec, const struct schedule *schedule)
{
    size_t values = 0;
    return isnan(spec->fallback) && schedule_get(schedule, spec, &values) == NULL;
}

/* All but the parts. */
static enum stepd_status check_own(const struct schedule *schedule, struct stepd_error *reterr)
{
    const struct schedule_kind *const kind = schedule->kind;
    for (size_t i = 0; i < kind->params; i++) {
        if (missing(&kind->param[i], schedule))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "schedule %s needs its parameter '%s'", kind->name,
                              kind->param[i].name);
    }
    return kind->check == NULL ? STEPD_OK : kind->check(schedule, reterr);
}

enum stepd_status schedule_check(const struct schedule *schedule, struct stepd_error *reterr)
{
    for (size_t i = 0; i < schedule->parts; i++) {
        const enum stepd_status status = check_own(&schedule->part[i], reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "part %zu of schedule %s", i + 1,
                                 schedule->kind->name);
    }
    return check_own(schedule, reterr);
}

size_t schedule_list_rank(const struct schedule_list *list, uint64_t x)
{
    size_t rank = 0;
    while (rank < list->count && list->at[rank] <= (double)x)
        rank++;
    return rank;
}

enum stepd_status schedule_list_rises(const struct schedule *schedule, const char *name,
                                      const struct schedule_list *list, bool strictly,
                                      struct stepd_error *reterr)
{
    for (size_t i = 1; i < list->count; i++) {
        const double before = list->at[i - 1];
        if (list->at[i] < before || (strictly && list->at[i] == before))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "'%s' of schedule %s must rise, and %.17g comes after %.17g", name,
                              schedule->kind->name, list->at[i], before);
    }
    return STEPD_OK;
}
