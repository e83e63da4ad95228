/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of groups share: make one over defaults, or be refused with a text. Needs CMocka's
 * includes before it. Groups end with group_deinit.
 */
#ifndef TESTS_UNIT_MODEL_GROUPS_H
#define TESTS_UNIT_MODEL_GROUPS_H

#include <string.h>

#include "proto/error.h"
#include "server/model/group.h"
#include "tests/lib/settings.h"

/* No defaults. */
static const struct stepd_group groups_nothing = {.name = ""};

static inline struct group groups_make_over(const struct stepd_group *defaults,
                                            const struct stepd_group *def)
{
    struct group group = {.name = NULL};
    struct stepd_error error = {.code = STEPD_OK};
    if (group_init(defaults, def, &group, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return group;
}

static inline struct group groups_make(const struct stepd_group *def)
{
    return groups_make_over(&groups_nothing, def);
}

/* The hyperparameters of a group of this optimizer and these settings, from the beginning. */
static inline struct optim_hyper groups_hyper(const char *optimizer, const char *settings)
{
    const struct stepd_group def = settings_group(optimizer, settings);
    struct group group = groups_make(&def);
    const struct optim_hyper hyper = group.phase[0].hyper;
    group_deinit(&group);
    return hyper;
}

static inline void groups_refuse_over(const struct stepd_group *defaults,
                                      const struct stepd_group *def, enum stepd_status status,
                                      const char *text)
{
    struct group group = {.name = NULL};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(group_init(defaults, def, &group, &error), status);
    assert_int_equal(error.code, status);
    assert_string_equal(error.text, text);
    assert_null(group.name); /* untouched */
}

/* A group "g" without defaults is INVALID_ARGUMENT with this text, behind its name. */
static inline void groups_refuse(const struct stepd_group *def, const char *text)
{
    char expected[STEPD_ERROR_TEXT_BYTES];
    (void)stepd_format(expected, sizeof expected, "group 'g': %s", text);
    groups_refuse_over(&groups_nothing, def, STEPD_INVALID_ARGUMENT, expected);
}

/* The same with a text that begins so: what it ends with is a list that grows. */
static inline void groups_refuse_beginning(const struct stepd_group *def, const char *text)
{
    struct group group = {.name = NULL};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(group_init(&groups_nothing, def, &group, &error), STEPD_INVALID_ARGUMENT);
    if (strncmp(error.text, text, strlen(text)) != 0)
        fail_msg("%s", error.text);
}

static inline void groups_refuse_settings(const char *optimizer, const char *settings,
                                          const char *text)
{
    const struct stepd_group def = settings_group(optimizer, settings);
    groups_refuse(&def, text);
}

static inline void groups_refuse_defaults(const struct stepd_group *defaults,
                                          enum stepd_status status, const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(group_check_defaults(defaults, &error), status);
    assert_string_equal(error.text, text);
}

#endif
