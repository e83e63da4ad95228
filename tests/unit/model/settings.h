/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups as a test writes them: settings as lists of literals, and groups made of them that must be
 * right, or must be refused with a text.
 */
#ifndef TESTS_UNIT_MODEL_SETTINGS_H
#define TESTS_UNIT_MODEL_SETTINGS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/model/group.h"

/* A setting of one number, of a word, of numbers. */
#define NUMBER(setting, number)                                                                    \
    {                                                                                              \
        .name = (setting), .values = 1, .value = (const double[]){number}, .word = ""              \
    }
#define WORD(setting, text)                                                                        \
    {                                                                                              \
        .name = (setting), .word = (text)                                                          \
    }
#define NUMBERS(setting, ...)                                                                      \
    {                                                                                              \
        .name = (setting), .values = sizeof((const double[]){__VA_ARGS__}) / sizeof(double),       \
        .value = (const double[]){__VA_ARGS__}, .word = ""                                         \
    }

/* A list of the above. */
#define SETTINGS(...)                                                                              \
    (struct stepd_settings)                                                                        \
    {                                                                                              \
        .count =                                                                                   \
            sizeof((const struct stepd_setting[]){__VA_ARGS__}) / sizeof(struct stepd_setting),    \
        .at = (const struct stepd_setting[])                                                       \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* "g" of an optimizer, for all tensors. */
static inline struct stepd_group group_of(const char *optimizer, struct stepd_settings settings)
{
    return (struct stepd_group){
        .name = "g", .match = "*", .optimizer = optimizer, .settings = settings, .schedule = ""};
}

static inline struct group make_over(struct stepd_group defaults, struct stepd_group def)
{
    struct group group;
    struct stepd_error error = {.code = STEPD_OK};
    if (group_init(&defaults, &def, &group, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return group;
}

static inline struct group make(struct stepd_group def)
{
    return make_over((struct stepd_group){.name = NULL}, def);
}

static inline void refuse_over(struct stepd_group defaults, struct stepd_group def,
                               enum stepd_status code, const char *text)
{
    struct group group = {.name = NULL};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(group_init(&defaults, &def, &group, &error), code);
    assert_int_equal(error.code, code);
    assert_string_equal(error.text, text);
    assert_null(group.name); /* untouched */
}

static inline void refuse(struct stepd_group def, enum stepd_status code, const char *text)
{
    refuse_over((struct stepd_group){.name = NULL}, def, code, text);
}

#endif
