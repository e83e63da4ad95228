/* SPDX-License-Identifier: Apache-2.0
 *
 * The text is cut at its commas. What holds a '=' begins a parameter, and what holds none is one
 * more value of it. A value that is no number is a word; the schedule judges both.
 */
#include "client/ctl/schedule_text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/ctl/number.h"
#include "proto/error.h"

/* More than any schedule has parameters. */
#define NAMES_MAX 32u

/* One parameter that is being read. */
struct setting {
    const char *name; /* NULL: none yet */
    const char *word; /* its only value; NULL: numbers */
    size_t values;
    double value[SCHEDULE_LIST_MAX];
    size_t names; /* that have come before it */
    const char *seen[NAMES_MAX];
};

/* Parameters are known whatever the case of their letters. */
static bool is_seen(const struct setting *setting)
{
    for (size_t i = 0; i < setting->names; i++) {
        if (strcasecmp(setting->seen[i], setting->name) == 0)
            return true;
    }
    return false;
}

static enum stepd_status apply(struct setting *setting, struct schedule *schedule,
                               struct stepd_error *reterr)
{
    if (is_seen(setting))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s' is set twice; keep one",
                          setting->name);
    if (setting->names < NAMES_MAX)
        setting->seen[setting->names++] = setting->name;
    if (setting->word != NULL)
        return schedule_set_word(schedule, setting->name, setting->word, reterr);
    return schedule_set(schedule, setting->name, setting->values, setting->value, reterr);
}

static enum stepd_status add_value(const char *text, struct setting *setting,
                                   struct stepd_error *reterr)
{
    double value = 0.0;
    const bool first = setting->word == NULL && setting->values == 0;
    const bool number = number_parse(text, &value);
    if (first && !number) {
        setting->word = text;
        return STEPD_OK;
    }
    if (setting->word != NULL || !number)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s' of '%s' is no number",
                          setting->word != NULL ? setting->word : text, setting->name);
    if (setting->values == SCHEDULE_LIST_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s' has more than %u numbers",
                          setting->name, SCHEDULE_LIST_MAX);
    setting->value[setting->values++] = value;
    return STEPD_OK;
}

/* Takes one piece between commas: NAME=VALUE, which ends the parameter before it, or VALUE. */
static enum stepd_status take_piece(char *piece, struct setting *setting, struct schedule *schedule,
                                    struct stepd_error *reterr)
{
    char *const equals = strchr(piece, '=');
    if (equals == NULL && setting->name == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%s' is no parameter: it is written NAME=VALUE", piece);
    if (equals == NULL)
        return add_value(piece, setting, reterr);
    const enum stepd_status status =
        setting->name == NULL ? STEPD_OK : apply(setting, schedule, reterr);
    if (status != STEPD_OK)
        return status;
    *equals = '\0';
    setting->name = piece;
    setting->word = NULL;
    setting->values = 0;
    return add_value(equals + 1, setting, reterr);
}

/* Cuts the text, which it changes. */
static enum stepd_status take(char *text, struct schedule *schedule, struct stepd_error *reterr)
{
    struct setting setting = {.name = NULL};
    enum stepd_status status = STEPD_OK;
    for (char *piece = text; piece != NULL && status == STEPD_OK;) {
        char *const comma = strchr(piece, ',');
        if (comma != NULL)
            *comma = '\0';
        status = take_piece(piece, &setting, schedule, reterr);
        piece = comma == NULL ? NULL : comma + 1;
    }
    return status == STEPD_OK ? apply(&setting, schedule, reterr) : status;
}

enum stepd_status schedule_text_set(const char *text, struct schedule *schedule,
                                    struct stepd_error *reterr)
{
    char *const copy = strdup(text);
    if (copy == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a schedule");
    const enum stepd_status status = take(copy, schedule, reterr);
    free(copy);
    return status;
}

enum stepd_status schedule_text_read(const char *text, struct schedule *ret_schedule,
                                     struct stepd_error *reterr)
{
    const size_t bytes = strcspn(text, ":");
    char *const kind = strndup(text, bytes);
    struct schedule schedule = {.kind = NULL};
    if (kind == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a schedule");
    enum stepd_status status = schedule_init(kind, &schedule, reterr);
    free(kind);
    if (status == STEPD_OK && text[bytes] == ':')
        status = schedule_text_set(text + bytes + 1, &schedule, reterr);
    if (status == STEPD_OK)
        *ret_schedule = schedule;
    else
        schedule_deinit(&schedule);
    return status;
}
