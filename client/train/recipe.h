/* SPDX-License-Identifier: Apache-2.0
 *
 * What a run trains with: an optimizer, its settings, and the optimizers that follow it. In words:
 *
 *     adam lr=0.001
 *     adam lr=0.001 betas=0.8,0.95 then sgd from=300 lr=0.05
 */
#ifndef TRAIN_RECIPE_H
#define TRAIN_RECIPE_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/train/params.h"

#define TRAIN_PHASES_MAX         4u
#define TRAIN_OPTIMIZER_NAME_MAX 31u
#define RECIPE_TEXT_BYTES        256u

/* What a later part of the run trains with. */
struct train_phase {
    uint64_t from; /* steps that come before it */
    char optimizer[TRAIN_OPTIMIZER_NAME_MAX + 1];
    struct train_params hyper; /* over the recipe's own */
};

struct train_recipe {
    char optimizer[TRAIN_OPTIMIZER_NAME_MAX + 1];
    struct train_params hyper; /* what is not given is the server's default */
    size_t phases;
    struct train_phase phase[TRAIN_PHASES_MAX];
};

/* Names the optimizer, which is not looked up. INVALID_ARGUMENT: the name is empty or too long. */
enum stepd_status recipe_name(const char *name, size_t length, struct train_recipe *recipe,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Adds the phase that "sgd from=300 lr=0.05" stands for; `from` must be given. text: borrowed as
 * long as *recipe is used. INVALID_ARGUMENT: the text says where it is malformed.
 */
enum stepd_status recipe_add_phase(const char *text, struct train_recipe *recipe,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Reads a whole recipe, as above, over what stands in *recipe: settings that it does not name stay.
 */
enum stepd_status recipe_read(const char *text, struct train_recipe *recipe,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes a recipe as it is read, cut to `size` bytes with their NUL. */
void recipe_format(const struct train_recipe *recipe, char *text, size_t size);

#endif
