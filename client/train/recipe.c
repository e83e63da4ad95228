/* SPDX-License-Identifier: Apache-2.0
 *
 * A recipe is words with blanks between them. "then" begins the next phase; the first word of each
 * phase is an optimizer, and the others are its settings, of which "from" is the phase's own.
 */
#include "client/train/recipe.h"

#include <inttypes.h>
#include <string.h>

#include "client/lib/launcher.h"
#include "proto/decimal.h"
#include "proto/error.h"

static const char blanks[] = " \t";
static const char from_name[] = "from=";

/* Part of the command line. */
struct word {
    const char *text;
    size_t length; /* 0: there is none */
};

/* The first word of what *text points to, which moves behind it. */
static struct word next_word(const char **text)
{
    const char *const begin = *text + strspn(*text, blanks);
    const struct word word = {.text = begin, .length = strcspn(begin, blanks)};
    *text = begin + word.length;
    return word;
}

static bool is_then(struct word word)
{
    return word.length == 4 && strncmp(word.text, "then", 4) == 0;
}

static enum stepd_status copy_name(struct word word, char *name, struct stepd_error *reterr)
{
    if (word.length == 0 || is_then(word))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "expected an optimizer and its settings, as in 'adam lr=0.001'");
    if (word.length > TRAIN_OPTIMIZER_NAME_MAX || memchr(word.text, '=', word.length) != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%.*s' is not the name of an optimizer",
                          (int)word.length, word.text);
    memcpy(name, word.text, word.length);
    name[word.length] = '\0';
    return STEPD_OK;
}

enum stepd_status recipe_name(const char *name, size_t length, struct train_recipe *recipe,
                              struct stepd_error *reterr)
{
    return copy_name((struct word){.text = name, .length = length}, recipe->optimizer, reterr);
}

/* Puts a setting in, in the place of what was known before, but not of one of the same phase, which
 * `own` holds. */
static enum stepd_status read_setting(struct word word, struct train_params *own,
                                      struct train_params *hyper, struct stepd_error *reterr)
{
    const size_t before = own->count;
    const enum stepd_status status = params_read(word.text, word.length, own, reterr);
    if (status != STEPD_OK)
        return status;
    if (own->count == before)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%.*s': it is set twice; keep one",
                          (int)word.length, word.text);
    return params_read(word.text, word.length, hyper, reterr);
}

/* Reads settings up to the end or "then", which is taken. *ret_more: it was "then". */
static enum stepd_status read_settings(const char **text, uint64_t *from,
                                       struct train_params *hyper, bool *ret_more,
                                       struct stepd_error *reterr)
{
    const size_t name_length = strlen(from_name);
    enum stepd_status status = STEPD_OK;
    struct train_params own = {.count = 0};
    struct word word = next_word(text);
    for (; word.length > 0 && !is_then(word) && status == STEPD_OK; word = next_word(text)) {
        double number = 0;
        if (from == NULL || strncmp(word.text, from_name, name_length) != 0)
            status = read_setting(word, &own, hyper, reterr);
        else if (stepd_decimal_read(word.text + name_length, word.length - name_length, &number) &&
                 number >= 1 && number <= 0x1p53 && number == (double)(uint64_t)number)
            *from = (uint64_t)number;
        else
            status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                                "'%.*s': expected a number of steps, at least 1", (int)word.length,
                                word.text);
    }
    *ret_more = is_then(word);
    return status;
}

/* Reads one phase. *ret_more: another one follows. */
static enum stepd_status read_phase(const char **text, struct train_recipe *recipe, bool *ret_more,
                                    struct stepd_error *reterr)
{
    if (recipe->phases == TRAIN_PHASES_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "more than %u phases", TRAIN_PHASES_MAX);
    struct train_phase *const phase = &recipe->phase[recipe->phases];
    *phase = (struct train_phase){.from = 0};
    enum stepd_status status = copy_name(next_word(text), phase->optimizer, reterr);
    if (status == STEPD_OK)
        status = read_settings(text, &phase->from, &phase->hyper, ret_more, reterr);
    if (status != STEPD_OK)
        return status;
    if (phase->from == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "when does '%s' take over? Say it as in '%s from=300'", phase->optimizer,
                          phase->optimizer);
    if (recipe->phases > 0 && phase->from <= phase[-1].from)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%s' takes over at step %" PRIu64 ", and '%s' before it at %" PRIu64
                          ": phases come in the order of their steps",
                          phase->optimizer, phase->from, phase[-1].optimizer, phase[-1].from);
    recipe->phases++;
    return STEPD_OK;
}

enum stepd_status recipe_add_phase(const char *text, struct train_recipe *recipe,
                                   struct stepd_error *reterr)
{
    bool more = false;
    const enum stepd_status status = read_phase(&text, recipe, &more, reterr);
    if (status != STEPD_OK || !more)
        return status;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "one phase at a time, without 'then'");
}

enum stepd_status recipe_read(const char *text, struct train_recipe *recipe,
                              struct stepd_error *reterr)
{
    bool more = false;
    enum stepd_status status = copy_name(next_word(&text), recipe->optimizer, reterr);
    if (status == STEPD_OK)
        status = read_settings(&text, /* from= */ NULL, &recipe->hyper, &more, reterr);
    while (status == STEPD_OK && more)
        status = read_phase(&text, recipe, &more, reterr);
    return status;
}

void recipe_format(const struct train_recipe *recipe, char *text, size_t size)
{
    char settings[RECIPE_TEXT_BYTES];
    params_format(&recipe->hyper, settings, sizeof settings);
    size_t used = stepd_format(text, size, "%s%s%s", recipe->optimizer,
                               settings[0] == '\0' ? "" : " ", settings);
    for (size_t i = 0; i < recipe->phases; i++) {
        const struct train_phase *const phase = &recipe->phase[i];
        params_format(&phase->hyper, settings, sizeof settings);
        used +=
            stepd_format(text + used, size - used, " then %s from=%" PRIu64 "%s%s",
                         phase->optimizer, phase->from, settings[0] == '\0' ? "" : " ", settings);
    }
}
