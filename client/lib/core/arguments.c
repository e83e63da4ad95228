/* SPDX-License-Identifier: Apache-2.0
 *
 * A value is numbers where it begins like one, and else a word.
 */
#include "client/lib/core/arguments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

static const char word_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

static enum stepd_status take_word(const char *value, struct stepd_argument *param,
                                   struct stepd_error *reterr)
{
    const size_t length = strlen(value);
    const bool yes = strcmp(value, "true") == 0;
    if (yes || strcmp(value, "false") == 0) {
        param->values = 1;
        param->value[0] = yes ? 1.0 : 0.0;
        return STEPD_OK;
    }
    if (length == 0 || length > STEPD_ARGUMENT_NAME_MAX || strspn(value, word_letters) != length)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%s': expected a number, numbers with ',' between them, or a word",
                          value);
    memcpy(param->word, value, length + 1);
    return STEPD_OK;
}

static enum stepd_status take_numbers(const char *value, struct stepd_argument *param,
                                      struct stepd_error *reterr)
{
    for (const char *at = value;; at++) {
        char *end;
        const double number = strtod(at, &end);
        if (end == at || !isfinite(number) || (*end != '\0' && *end != ','))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s': expected numbers", value);
        if (param->values == STEPD_ARGUMENT_VALUES_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s': more than %u numbers", value,
                              STEPD_ARGUMENT_VALUES_MAX);
        param->value[param->values++] = number;
        at = end;
        if (*at == '\0')
            return STEPD_OK;
    }
}

static bool begins_number(const char *value)
{
    return *value != '\0' && strchr("0123456789+-.", *value) != NULL;
}

static size_t find(const struct stepd_arguments *arguments, const char *name)
{
    size_t i = 0;
    while (i < arguments->count && strcmp(arguments->argument[i].name, name) != 0)
        i++;
    return i;
}

static enum stepd_status put(struct stepd_arguments *arguments, const struct stepd_argument *param,
                             struct stepd_error *reterr)
{
    const size_t i = find(arguments, param->name);
    if (i == STEPD_ARGUMENTS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "more than %u parameters",
                          STEPD_ARGUMENTS_MAX);
    arguments->argument[i] = *param;
    arguments->count += i == arguments->count;
    return STEPD_OK;
}

enum stepd_status stepd_arguments_merge(struct stepd_arguments *arguments,
                                        const struct stepd_arguments *over,
                                        struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < over->count && status == STEPD_OK; i++)
        status = put(arguments, &over->argument[i], reterr);
    return status;
}

enum stepd_status stepd_arguments_set(struct stepd_arguments *arguments, const char *name,
                                      size_t name_length, const char *value,
                                      struct stepd_error *reterr)
{
    struct stepd_argument param = {.values = 0};
    if (name_length == 0 || name_length > STEPD_ARGUMENT_NAME_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a parameter's name has 1 to %u characters", STEPD_ARGUMENT_NAME_MAX);
    memcpy(param.name, name, name_length);
    const enum stepd_status status = begins_number(value) ? take_numbers(value, &param, reterr)
                                                          : take_word(value, &param, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "%s", param.name);
    return put(arguments, &param, reterr);
}

enum stepd_status stepd_arguments_set_pair(struct stepd_arguments *arguments, const char *pair,
                                           struct stepd_error *reterr)
{
    const char *const equals = strchr(pair, '=');
    if (equals == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s': expected NAME=VALUE", pair);
    return stepd_arguments_set(arguments, pair, (size_t)(equals - pair), equals + 1, reterr);
}

double stepd_arguments_number(const struct stepd_arguments *arguments, const char *name,
                              double fallback)
{
    const size_t i = find(arguments, name);
    return i < arguments->count && arguments->argument[i].values == 1
               ? arguments->argument[i].value[0]
               : fallback;
}

size_t stepd_arguments_describe(const struct stepd_arguments *arguments,
                                struct stepd_param *ret_public)
{
    for (size_t i = 0; i < arguments->count; i++) {
        const struct stepd_argument *const param = &arguments->argument[i];
        ret_public[i] = (struct stepd_param){.name = param->name};
        if (param->word[0] != '\0')
            ret_public[i].word = param->word;
        else if (param->values == 1)
            ret_public[i].value = param->value[0];
        else {
            ret_public[i].list = param->value;
            ret_public[i].count = param->values;
        }
    }
    return arguments->count;
}
