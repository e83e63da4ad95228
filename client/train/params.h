/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of an optimizer, a schedule or a job as they are given on the command line: by name,
 * a number, numbers with ',' between them, or a word. What they mean is the server's to say.
 */
#ifndef TRAIN_PARAMS_H
#define TRAIN_PARAMS_H

#include <stddef.h>

#include <stepd/client.h>

#define TRAIN_PARAMS_MAX       16u
#define TRAIN_PARAM_NAME_MAX   31u
#define TRAIN_PARAM_VALUES_MAX 16u

struct train_param {
    char name[TRAIN_PARAM_NAME_MAX + 1];
    char word[TRAIN_PARAM_NAME_MAX + 1]; /* "": numbers */
    size_t values;
    double value[TRAIN_PARAM_VALUES_MAX];
};

struct train_params {
    size_t count;
    struct train_param param[TRAIN_PARAMS_MAX];
};

/*
 * Sets a parameter, over an earlier one of the same name; true and false are 1 and 0.
 * INVALID_ARGUMENT: no good name, a value that is neither numbers nor a word, or too many of
 * either; the text says what was expected.
 */
enum stepd_status params_set(struct train_params *params, const char *name, size_t name_length,
                             const char *value, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same of "NAME=VALUE". */
enum stepd_status params_set_pair(struct train_params *params, const char *pair,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Takes those of `over` over as they stand. INVALID_ARGUMENT: these are too many. */
enum stepd_status params_merge(struct train_params *params, const struct train_params *over,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The number of a parameter, or fallback where it was not given as one. */
double params_number(const struct train_params *params, const char *name, double fallback);

/* Describes them as libstepd wants them; borrows them. ret_public: room for TRAIN_PARAMS_MAX.
 * Returns how many. */
size_t params_describe(const struct train_params *params, struct stepd_param *ret_public);

#endif
