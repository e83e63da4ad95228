/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/model/same_group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_same_bits(const double *a, const double *b, size_t n, const char *what)
{
    if (memcmp(a, b, n * sizeof *a) != 0)
        fail_msg("%s: %.17g became %.17g", what, *a, *b);
}

static void assert_same_schedule(const struct schedule *a, const struct schedule *b)
{
    assert_ptr_equal(a->kind, b->kind);
    assert_int_equal(a->parts, b->parts);
    for (size_t i = 0; i < a->kind->params; i++) {
        const struct schedule_param_spec *spec = &a->kind->param[i];
        size_t values[2];
        const double *value[2] = {schedule_get(a, spec, &values[0]),
                                  schedule_get(b, spec, &values[1])};
        assert_int_equal(value[0] == NULL, value[1] == NULL);
        if (value[0] == NULL)
            continue;
        assert_int_equal(values[0], values[1]);
        assert_same_bits(value[0], value[1], values[0], spec->name);
    }
    for (size_t i = 0; i < a->parts; i++)
        assert_same_schedule(&a->part[i], &b->part[i]);
}

void same_group_assert(const struct group *a, const struct group *b)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (group_same(a, b, &error) != STEPD_OK)
        fail_msg("group '%s': %s", a->name, error.text);
    for (size_t i = 0; i < a->phases; i++)
        assert_same_bits((const double *)&a->phase[i].hyper, (const double *)&b->phase[i].hyper,
                         sizeof a->phase[i].hyper / sizeof(double), a->phase[i].optimizer->name);
    assert_same_schedule(&a->schedule, &b->schedule);
}
