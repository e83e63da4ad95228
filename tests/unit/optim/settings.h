/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of a row of the table that lead through the branches of its kernels: every combination
 * of its words and booleans, each with the numbers at their defaults and with numbers moved away
 * from them (0 becomes something, everything else shrinks to a third where its range allows that,
 * which takes a beta below 1/2).
 */
#ifndef TESTS_OPTIM_SETTINGS_H
#define TESTS_OPTIM_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "server/optim/optimizer.h"

/* Is it one of a few: a word or a boolean? */
static inline bool settings_is_choice(const struct optim_hyper_spec *spec)
{
    return spec->word != NULL || (spec->whole && spec->least == 0.0 && spec->most == 1.0);
}

static inline size_t settings_choices(const struct optim_hyper_spec *spec)
{
    return settings_is_choice(spec) ? (size_t)(spec->most - spec->least) + 1 : 1;
}

static inline size_t settings_count(const struct optimizer *optimizer)
{
    size_t count = 2;
    for (size_t i = 0; i < optimizer->hypers; i++)
        count *= settings_choices(&optimizer->hyper[i]);
    return count;
}

static inline enum stepd_status settings_choose(const struct optimizer *optimizer,
                                                const struct optim_hyper_spec *spec, size_t choice,
                                                struct optim_hyper *hyper)
{
    const size_t value = (size_t)spec->least + choice;
    if (spec->word != NULL)
        return optimizer_hyper_set_word(optimizer, spec->name, spec->word[value], hyper, NULL);
    return optimizer_hyper_set(optimizer, spec->name, (double)value, hyper, NULL);
}

/* A number out of its range stays at its default. */
static inline void settings_move(const struct optimizer *optimizer,
                                 const struct optim_hyper_spec *spec, struct optim_hyper *hyper)
{
    const double moved = spec->fallback == 0.0 ? 0.3 : spec->fallback / 3.0;
    const enum stepd_status status = optimizer_hyper_set(optimizer, spec->name, moved, hyper, NULL);
    (void)status;
}

/* Setting number index; false: the row's own rules do not allow it. */
static inline bool settings_make(const struct optimizer *optimizer, size_t index,
                                 struct optim_hyper *ret_hyper)
{
    optimizer_hyper_defaults(optimizer, ret_hyper);
    size_t rest = index / 2;
    for (size_t i = 0; i < optimizer->hypers; i++) {
        const struct optim_hyper_spec *const spec = &optimizer->hyper[i];
        const size_t choices = settings_choices(spec);
        if (choices > 1 && settings_choose(optimizer, spec, rest % choices, ret_hyper) != STEPD_OK)
            return false;
        if (choices == 1 && index % 2 == 1)
            settings_move(optimizer, spec, ret_hyper);
        rest /= choices;
    }
    return optimizer_hyper_check(optimizer, ret_hyper, NULL) == STEPD_OK;
}

#endif
