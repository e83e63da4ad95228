/* SPDX-License-Identifier: Apache-2.0
 *
 * A value is told by its looks: a list has a comma, a word begins with a letter, and all else must
 * be a number. Words and lists stay where they were written until they are sent.
 */
#include "client/train/params.h"

#include <string.h>
#include <strings.h>

#include "proto/decimal.h"
#include "proto/error.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(const char *text, size_t length)
{
    if (length == 0 || !is_letter(text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_letter(text[i]) && strchr("0123456789_-", text[i]) == NULL)
            return false;
    return true;
}

/* Bytes up to the next comma, or the end. */
static size_t item_length(const char *text, size_t length)
{
    const char *const comma = memchr(text, ',', length);
    return comma == NULL ? length : (size_t)(comma - text);
}

/* Reads the numbers of a list into `values` (NULL: nowhere). Returns how many; 0: it is none. */
static size_t read_list(const char *text, size_t length, double *values)
{
    size_t count = 0;
    for (size_t at = 0; at <= length; count++) {
        const size_t item = item_length(text + at, length - at);
        double number;
        if (!stepd_decimal_read(text + at, item, &number))
            return 0;
        if (values != NULL)
            values[count] = number;
        at += item + 1;
    }
    return count;
}

/* Puts a value in under a name. False: it has no room. */
static bool put(const struct train_param *param, struct train_params *params)
{
    size_t i = 0;
    while (i < params->count && strcasecmp(params->param[i].name, param->name) != 0)
        i++;
    if (i == TRAIN_PARAMS_MAX)
        return false;
    params->param[i] = *param;
    if (i == params->count)
        params->count++;
    return true;
}

static enum stepd_status fail_full(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "more than %u parameters", TRAIN_PARAMS_MAX);
}

enum stepd_status params_read(const char *text, size_t length, struct train_params *params,
                              struct stepd_error *reterr)
{
    const char *const equals = memchr(text, '=', length);
    const size_t name_length = equals == NULL ? 0 : (size_t)(equals - text);
    struct train_param param = {.kind = TRAIN_PARAM_NUMBER};
    if (name_length == 0 || name_length > TRAIN_PARAM_NAME_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%.*s': expected NAME=VALUE",
                          (int)length, text);
    memcpy(param.name, text, name_length);
    param.text = equals + 1;
    param.length = length - name_length - 1;
    if (is_word(param.text, param.length))
        param.kind = TRAIN_PARAM_WORD;
    else if (memchr(param.text, ',', param.length) != NULL &&
             read_list(param.text, param.length, NULL) > 0)
        param.kind = TRAIN_PARAM_LIST;
    else if (!stepd_decimal_read(param.text, param.length, &param.value))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%.*s': expected a number, a word, or numbers "
                          "with ',' between them behind the '='",
                          (int)length, text);
    return put(&param, params) ? STEPD_OK : fail_full(reterr);
}

enum stepd_status params_set(const char *name, double value, struct train_params *params,
                             struct stepd_error *reterr)
{
    struct train_param param = {.value = value};
    (void)stepd_format(param.name, sizeof param.name, "%s", name);
    return put(&param, params) ? STEPD_OK : fail_full(reterr);
}

const struct train_param *params_find(const struct train_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (strcasecmp(params->param[i].name, name) == 0)
            return &params->param[i];
    return NULL;
}

double params_number(const struct train_params *params, const char *name, double fallback)
{
    const struct train_param *const param = params_find(params, name);
    return param != NULL && param->kind == TRAIN_PARAM_NUMBER ? param->value : fallback;
}

/* A copy with a NUL behind it, or NULL. */
static char *copy_text(const char *text, size_t length, struct stepd_arena *arena)
{
    char *const copy = stepd_arena_calloc(arena, length + 1, 1);
    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}

/* False: no memory. */
static bool publish(const struct train_param *param, struct stepd_arena *arena,
                    struct stepd_param *ret_public)
{
    *ret_public = (struct stepd_param){
        .name = copy_text(param->name, strlen(param->name), arena),
        .value = param->value,
    };
    if (param->kind == TRAIN_PARAM_WORD) {
        ret_public->word = copy_text(param->text, param->length, arena);
        return ret_public->name != NULL && ret_public->word != NULL;
    }
    if (param->kind == TRAIN_PARAM_LIST) {
        const size_t count = read_list(param->text, param->length, NULL);
        double *const list = stepd_arena_calloc(arena, count, sizeof *list);
        if (list == NULL)
            return false;
        ret_public->count = read_list(param->text, param->length, list);
        ret_public->list = list;
    }
    return ret_public->name != NULL;
}

enum stepd_status params_publish(const struct train_params *params, struct stepd_arena *arena,
                                 struct stepd_param **ret_public, struct stepd_error *reterr)
{
    struct stepd_param *const public = stepd_arena_calloc(arena, params->count, sizeof *public);
    bool done = public != NULL;
    for (size_t i = 0; i < params->count && done; i++)
        done = publish(&params->param[i], arena, &public[i]);
    if (!done)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu parameters",
                          params->count);
    *ret_public = public;
    return STEPD_OK;
}

void params_format(const struct train_params *params, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < params->count && used + 1 < size; i++) {
        const struct train_param *const param = &params->param[i];
        char *const at = text + used;
        const char *const blank = i == 0 ? "" : " ";
        used += param->kind == TRAIN_PARAM_NUMBER
                    ? stepd_format(at, size - used, "%s%s=%.9g", blank, param->name, param->value)
                    : stepd_format(at, size - used, "%s%s=%.*s", blank, param->name,
                                   (int)param->length, param->text);
    }
}
