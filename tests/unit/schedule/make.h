/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of schedules share: make one, give it parameters, look at its values, be refused.
 * Needs CMocka's includes before it. Schedules end with schedule_deinit.
 */
#ifndef TESTS_SCHEDULE_MAKE_H
#define TESTS_SCHEDULE_MAKE_H

#include <math.h>
#include <stdint.h>

#include "server/schedule/schedule.h"

/* Relative to the scale that is given. */
#define TOLERANCE 1e-14

static inline struct schedule make(const char *kind)
{
    struct schedule schedule;
    assert_int_equal(schedule_init(kind, &schedule, NULL), STEPD_OK);
    return schedule;
}

static inline void give(struct schedule *schedule, const char *name, double value)
{
    assert_int_equal(schedule_set(schedule, name, 1, &value, NULL), STEPD_OK);
}

static inline void give_word(struct schedule *schedule, const char *name, const char *word)
{
    assert_int_equal(schedule_set_word(schedule, name, word, NULL), STEPD_OK);
}

/* Up to the first NaN. */
static inline void give_list(struct schedule *schedule, const char *name, const double *value)
{
    size_t values = 0;
    while (!isnan(value[values]))
        values++;
    assert_int_equal(schedule_set(schedule, name, values, value, NULL), STEPD_OK);
}

#define LIST_OF(...) ((const double[]){__VA_ARGS__, NAN})

/* Takes the part over. */
static inline void give_part(struct schedule *schedule, struct schedule part)
{
    assert_int_equal(schedule_add(schedule, &part, NULL), STEPD_OK);
}

static inline void assert_near(double got, double right, double scale)
{
    if (!(fabs(got - right) <= TOLERANCE * scale))
        fail_msg("got %.17g, right is %.17g", got, right);
}

/* The learning rates of the first steps, up to the first NaN, from a group's learning rate of 1. */
static inline void assert_rates(const struct schedule *schedule, const double *right)
{
    assert_int_equal(schedule_check(schedule, NULL), STEPD_OK);
    for (uint64_t step = 0; !isnan(right[step]); step++)
        assert_near(schedule_lr(schedule, 1.0, step), right[step], 1.0);
}

/* schedule_check must refuse, with this text. */
static inline void refuse_check(const struct schedule *schedule, const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(schedule_check(schedule, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(error.code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
}

#endif
