/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of an optimizer, a schedule or a job as they are given on the command line: by name,
 * a number, numbers with ',' between them, or a word. What they mean is the server's to say.
 */
#ifndef CLIENT_LIB_CORE_ARGUMENTS_H
#define CLIENT_LIB_CORE_ARGUMENTS_H

#include <stddef.h>

#include <stepd/client.h>

#define STEPD_ARGUMENTS_MAX       16u
#define STEPD_ARGUMENT_NAME_MAX   31u
#define STEPD_ARGUMENT_VALUES_MAX 16u

struct stepd_argument {
    char name[STEPD_ARGUMENT_NAME_MAX + 1];
    char word[STEPD_ARGUMENT_NAME_MAX + 1]; /* "": numbers */
    size_t values;
    double value[STEPD_ARGUMENT_VALUES_MAX];
};

struct stepd_arguments {
    size_t count;
    struct stepd_argument argument[STEPD_ARGUMENTS_MAX];
};

/*
 * Sets a parameter, over an earlier one of the same name; true and false are 1 and 0.
 * INVALID_ARGUMENT: no good name, a value that is neither numbers nor a word, or too many of
 * either; the text says what was expected.
 */
enum stepd_status stepd_arguments_set(struct stepd_arguments *arguments, const char *name,
                                      size_t name_length, const char *value,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same of "NAME=VALUE". */
enum stepd_status stepd_arguments_set_pair(struct stepd_arguments *arguments, const char *pair,
                                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Takes those of `over` over as they stand. INVALID_ARGUMENT: these are too many. */
enum stepd_status stepd_arguments_merge(struct stepd_arguments *arguments,
                                        const struct stepd_arguments *over,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The number of a parameter, or fallback where it was not given as one. */
double stepd_arguments_number(const struct stepd_arguments *arguments, const char *name,
                              double fallback);

/* Describes them as libstepd wants them; borrows them. ret_public: room for STEPD_ARGUMENTS_MAX.
 * Returns how many. */
size_t stepd_arguments_describe(const struct stepd_arguments *arguments,
                                struct stepd_param *ret_public);

#endif
