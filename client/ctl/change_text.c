/* SPDX-License-Identifier: Apache-2.0
 *
 * A piece between two commas with an = in it begins a setting; one without is another number of the
 * list before it.
 */
#include "client/ctl/change_text.h"

#include <math.h>
#include <string.h>

#include "client/ctl/number.h"
#include "proto/error.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for what is to change");
}

static char *copy(struct stepd_arena *arena, const char *text, size_t n)
{
    char *const bytes = stepd_arena_calloc(arena, n + 1, 1);
    if (bytes != NULL)
        memcpy(bytes, text, n);
    return bytes;
}

static enum stepd_status add_number(struct stepd_param *param, double number,
                                    struct stepd_arena *arena, struct stepd_error *reterr)
{
    double *const list = stepd_arena_calloc(arena, param->count + 1, sizeof *list);
    if (list == NULL)
        return no_memory(reterr);
    if (param->count > 0)
        memcpy(list, param->list == NULL ? &param->value : param->list,
               param->count * sizeof *list);
    list[param->count] = number;
    param->list = param->count > 0 ? list : NULL; /* one alone is a number */
    param->count++;
    param->value = number;
    return STEPD_OK;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static enum stepd_status add_value(struct stepd_param *param, char *value,
                                   struct stepd_arena *arena, struct stepd_error *reterr)
{
    double number;
    if (number_parse(value, &number) && param->word == NULL)
        return add_number(param, number, arena, reterr);
    if (number_parse_any(value, &number) && !isfinite(number))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s' of %s: not a finite number", value,
                          param->name);
    if (!is_letter(value[0]) || param->word != NULL || param->count > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%s' of %s: expected a number, a word, or numbers with ',' between them",
                          value, param->name);
    param->word = value;
    return STEPD_OK;
}

static enum stepd_status take_piece(char *piece, struct change_params *params, size_t before,
                                    struct stepd_arena *arena, struct stepd_error *reterr)
{
    char *const equals = strchr(piece, '=');
    if (equals == piece || (equals == NULL && params->count == before))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s': expected NAME=VALUE", piece);
    if (equals == NULL)
        return add_value(&params->param[params->count - 1], piece, arena, reterr);
    if (params->count == CHANGE_PARAMS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "more than %u settings",
                          CHANGE_PARAMS_MAX);
    *equals = '\0';
    params->param[params->count] = (struct stepd_param){.name = piece};
    return add_value(&params->param[params->count++], equals + 1, arena, reterr);
}

enum stepd_status change_text_params(const char *text, struct stepd_arena *arena,
                                     struct change_params *params, struct stepd_error *reterr)
{
    const size_t before = params->count;
    char *const bytes = copy(arena, text, strlen(text));
    if (bytes == NULL)
        return no_memory(reterr);
    enum stepd_status status = STEPD_OK;
    for (char *piece = bytes; piece != NULL && status == STEPD_OK;) {
        char *const comma = strchr(piece, ',');
        if (comma != NULL)
            *comma = '\0';
        status = take_piece(piece, params, before, arena, reterr);
        piece = comma == NULL ? NULL : comma + 1;
    }
    return status;
}

/* NAME[:PARAMS], the name and then the params. */
static enum stepd_status take_named(const char *text, struct stepd_arena *arena,
                                    const char **ret_name, struct change_params **ret_params,
                                    struct stepd_error *reterr)
{
    const size_t bytes = strcspn(text, ":");
    *ret_name = copy(arena, text, bytes);
    *ret_params = stepd_arena_calloc(arena, 1, sizeof **ret_params);
    if (*ret_name == NULL || *ret_params == NULL)
        return no_memory(reterr);
    return text[bytes] == ':' ? change_text_params(text + bytes + 1, arena, *ret_params, reterr)
                              : STEPD_OK;
}

enum stepd_status change_text_schedule(const char *text, struct stepd_arena *arena,
                                       struct stepd_schedule_item *ret_schedule,
                                       struct stepd_error *reterr)
{
    const char *kind = NULL;
    struct change_params *params = NULL;
    const enum stepd_status status = take_named(text, arena, &kind, &params, reterr);
    if (status == STEPD_OK)
        *ret_schedule = (struct stepd_schedule_item){
            .kind = kind, .params = params->param, .params_count = params->count};
    return status;
}

enum stepd_status change_text_phase(const char *text, struct stepd_arena *arena,
                                    struct stepd_param_phase *ret_phase, struct stepd_error *reterr)
{
    const size_t digits = strcspn(text, ":");
    const char *const number = copy(arena, text, digits);
    const char *optimizer = NULL;
    struct change_params *params = NULL;
    uint64_t from = 0;
    if (number == NULL)
        return no_memory(reterr);
    if (text[digits] != ':' || !number_parse_whole(number, 1, UINT64_MAX, &from))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%s': expected FROM:OPTIMIZER[:NAME=VALUE,...]", text);
    const enum stepd_status status =
        take_named(text + digits + 1, arena, &optimizer, &params, reterr);
    if (status == STEPD_OK)
        *ret_phase = (struct stepd_param_phase){.from = from,
                                                .optimizer = optimizer,
                                                .params = params->param,
                                                .params_count = params->count};
    return status;
}
