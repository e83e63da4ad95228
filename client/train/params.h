/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of an optimizer or a schedule as the command line has them, NAME=VALUE:
 *
 *     lr=0.001            a number
 *     eps_mode=inside     a word
 *     betas=0.8,0.95      a list of numbers
 *
 * Whether there is such a setting, and what it may be, is the server's to say; it answers with
 * better texts than could stand here.
 */
#ifndef TRAIN_PARAMS_H
#define TRAIN_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/client.h>

#include "proto/arena.h"

#define TRAIN_PARAMS_MAX     16u
#define TRAIN_PARAM_NAME_MAX 31u

enum train_param_kind {
    TRAIN_PARAM_NUMBER,
    TRAIN_PARAM_WORD,
    TRAIN_PARAM_LIST,
};

struct train_param {
    char name[TRAIN_PARAM_NAME_MAX + 1];
    double value; /* of a number */
    enum train_param_kind kind;
    const char *text; /* of a word or list, as it was written; borrowed from the command line */
    size_t length;    /* of the text */
};

struct train_params {
    size_t count;
    struct train_param param[TRAIN_PARAMS_MAX];
};

/*
 * Reads one "NAME=VALUE" of `length` bytes, over an earlier one of that name (upper case is lower
 * case). text: borrowed as long as *params is used. INVALID_ARGUMENT: it is no setting, or there
 * are too many.
 */
enum stepd_status params_read(const char *text, size_t length, struct train_params *params,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Sets a number by its name, likewise. */
enum stepd_status params_set(const char *name, double value, struct train_params *params,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The setting of this name, or NULL. */
const struct train_param *params_find(const struct train_params *params, const char *name);

/* The value of a setting; fallback where it was not given, or is no number. */
double params_number(const struct train_params *params, const char *name, double fallback);

/* Copies them into the arena, all of them, in the form that libstepd takes. RESOURCE_EXHAUSTED: no
 * memory. */
enum stepd_status params_publish(const struct train_params *params, struct stepd_arena *arena,
                                 struct stepd_param **ret_public,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes them as "lr=0.001 betas=0.8,0.95", cut to `size` bytes with their NUL. */
void params_format(const struct train_params *params, char *text, size_t size);

#endif
